from lute import Task, TaskParameters, TaskStatus


class LeaverParameters(TaskParameters):
    status: str = "STOPPED"


class Leaver(Task):
    def _run(self):
        self._result.task_status = TaskStatus[self._task_parameters.status]
