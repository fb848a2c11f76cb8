import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from lute import Field, Task, TaskParameters, TaskResult, TaskStatus, ThirdPartyParameters, ThirdPartyTask


class BreakParameters(TaskParameters):
    step: str


class Break(Task):
    def _break(self, step):
        if self._task_parameters.step == step:
            raise ValueError(f"boom in {step}")

    def _pre_run(self):
        self._break("_pre_run")

    def _run(self):
        self._break("_run")

    def _post_run(self):
        self._break("_post_run")

    def _signal_start(self):
        super()._signal_start()
        self._break("start")


class LeaveParameters(TaskParameters):
    code: str


class Leave(Task):
    def _run(self):
        exec(self._task_parameters.code)


class InitBreaksParameters(TaskParameters):
    pass


class InitBreaks(Task):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        raise LookupError("broken from birth")

    def _run(self):
        pass


class EndAsParameters(TaskParameters):
    status: str
    anew: bool = False


class EndAs(Task):
    def _run(self):
        status = TaskStatus[self._task_parameters.status]
        if self._task_parameters.anew:
            self._result = TaskResult(self.name, status, "made anew", {"a": 1}, "schema1;schema2")
        else:
            self._result.task_status = status
        self._result.summary = "as told"


class SlowParameters(TaskParameters):
    how: str = "sleep"


class Slow(Task):
    def _run(self):
        how = self._task_parameters.how
        print("begin", flush=True)
        if how == "deaf":
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        if how == "children":
            for command in (["sleep", "77"], ["setsid", "sleep", "77"]):
                subprocess.Popen(command)
        while True:
            try:
                time.sleep(0.05)
            except Exception:
                print("swallowed", flush=True)

    def clean_up_timeout(self):
        Path("cleaned").write_text(self._task_parameters.how)
        print("clean up", flush=True)
        if self._task_parameters.how == "slow clean up":
            time.sleep(60)
        if self._task_parameters.how == "bad clean up":
            raise RuntimeError("the broom is broken")


class TimerParameters(TaskParameters):
    pass


class Timer(Task):
    def _run(self):
        self._result.payload = [signal.getitimer(signal.ITIMER_REAL)[0], os.getcwd(), os.getpid()]


class NowhereParameters(TaskParameters):
    class Config:
        run_directory = "/nowhere/at all"


class Nowhere(Task):
    def _run(self):
        self._result.payload = os.getcwd()


class ProgramParameters(ThirdPartyParameters):
    executable: str = sys.executable
    flag: str = Field("-c", flag_type="")
    code: str = Field("import\tsignal;print(signal.getitimer(signal.ITIMER_REAL)[0])", flag_type="")


class OwnProgramParameters(ProgramParameters):
    pass


class OwnProgram(ThirdPartyTask):
    pass
