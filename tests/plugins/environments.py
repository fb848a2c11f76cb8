import os
import sys
from typing import Annotated

from lute import Executor, Positional, Task, TaskParameters, ThirdPartyParameters, ThirdPartyTask


class SeenParameters(TaskParameters):
    """Tell the environment."""


class Seen(Task):
    def _run(self):
        self._result.payload = {"python": sys.executable, **os.environ}


class PrintedParameters(ThirdPartyParameters):
    """Print a variable, with what `PATH` leads to."""

    executable: str = "tool"
    name: Annotated[str, Positional()] = "SEEN"


class OwnPrintedParameters(PrintedParameters):
    """The same, by a class of its own."""


class OwnPrinted(ThirdPartyTask):
    pass


class FarParameters(TaskParameters):
    """Tell the environment, in a module of its own."""

    class Config:
        task_module = "far"


Seer, OtherSeer, Changed = Executor("Seen"), Executor("Seen"), Executor("Seen")
Printer, OwnPrinter = Executor("Printed"), Executor("OwnPrinted")
Farer = Executor("Far")
Changed.update_environment({"SEEN": "of the Executor", "SEEN_OWN": "1", "PATH": "/of/the/executor"})
