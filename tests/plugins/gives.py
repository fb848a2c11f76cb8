import collections
import datetime
import os
import sys
import threading
from pathlib import Path

from lute import ElogSummaryPlots, Task, TaskParameters


class GiveParameters(TaskParameters):
    payload: str = "''"
    summary: str = "''"
    before: str = ""


class Give(Task):
    def _run(self):
        names = {
            "ElogSummaryPlots": ElogSummaryPlots,
            "os": os,
            "sys": sys,
            "collections": collections,
            "datetime": datetime,
            "threading": threading,
            "Path": Path,
            "__name__": "__main__",
        }
        params = self._task_parameters
        exec(params.before, names)
        self._result.payload = eval(params.payload, names)
        self._result.summary = eval(params.summary, names)
