import time
from pathlib import Path
from typing import Annotated

from lute import Executor, Positional, Task, TaskParameters, ThirdPartyParameters


class SayParameters(ThirdPartyParameters):
    executable: str = "echo"
    text: Annotated[str, Positional()] = "hello"


class SlowParameters(TaskParameters):
    size: int = 3


class Slow(Task):
    def _run(self):
        self.report_progress(1, 4, "frames")
        print("the first line [not markup]", flush=True)
        while not Path("go").exists():
            time.sleep(0.02)
        print("the last line", flush=True)


Sayer = Executor("Say")
Slower = Executor("Slow")
