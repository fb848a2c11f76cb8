"""A shell, and a Task with a clean-up."""

import time
from pathlib import Path
from typing import Annotated

from lute import Executor, Positional, Task, TaskParameters, ThirdPartyParameters


class ShParameters(ThirdPartyParameters):
    """A line for the shell."""

    executable: str = "bash"
    flag: Annotated[str, Positional()] = "-c"
    code: Annotated[str, Positional()] = "true"


class WaitParameters(TaskParameters):
    """Waits, and leaves a file when its time is over."""


class Wait(Task):
    def _run(self):
        Path("started").touch()
        time.sleep(100)

    def clean_up_timeout(self):
        Path("cleaned").write_text("yes")


Sh = Executor("Sh")
Wait = Executor("Wait")  # noqa: F811 - a managed Task of the same name
