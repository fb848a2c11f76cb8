import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

import lute
from lute import Flag, Task, TaskParameters, ThirdPartyParameters


class TellParameters(TaskParameters):
    code: str


class Tell(Task):
    def _run(self):
        exec(self._task_parameters.code, {"self": self, "time": time, "os": os, "signal": signal, "Path": Path})


@lute.task
def tell_plainly(n: int = 3) -> int:
    for number in range(n):
        lute.report_progress(number + 1, n, "steps")
    lute.log_metric("score", 0.5, "mm")
    return n


class PrintParameters(ThirdPartyParameters):
    executable: str = sys.executable
    code: Annotated[str, Flag("-c")]

    class Config(ThirdPartyParameters.Config):
        progress_pattern = r"frame (?P<done>\d+) of (?P<total>\d+)(?: (?P<text>\w+))?"
        metric_patterns = {"rmerge": r"R-merge:\s*(\S+)", "d_min": (r"(?P<what>resolution) (?P<value>[\d.]+)", "A")}
