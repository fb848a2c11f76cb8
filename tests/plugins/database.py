from lute import Task, TaskParameters


class BytesParameters(TaskParameters):
    n: int = 5


class Bytes(Task):
    def _run(self):
        print("x" * 99)
        self._result.payload = bytes(self._task_parameters.n)
