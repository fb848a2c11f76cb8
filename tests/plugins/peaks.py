from lute import Executor, Task, TaskParameters
from lute.publish.elog import post_elog_message


class PeaksParameters(TaskParameters):
    peaks: int = 5


class Peaks(Task):
    def _run(self):
        self._result.summary = {"peaks": self._task_parameters.peaks, "rate": 0.5}


class QuietParameters(TaskParameters):
    pass


class Quiet(Task):
    def _run(self):
        self._result.payload = 1


def tell(text, folder):
    post_elog_message("exp1", str(text), work_dir=folder)


Teller = Executor("Quiet")
Teller.add_tasklet(tell, ["{{ lute_config.title }}", "{{ lute_config.work_dir }}"])
