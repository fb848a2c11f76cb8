"""Programs that say on disk that they ran."""

import time
from pathlib import Path
from typing import Annotated, Any

from lute import (
    Executor,
    Field,
    FromResult,
    IsResult,
    Output,
    Positional,
    Task,
    TaskParameters,
    TemplateConfig,
    ThirdPartyParameters,
)


class ShParameters(ThirdPartyParameters):
    """A line for the shell; declares no outputs."""

    executable: str = "bash"
    flag: str = Field("-c", flag_type="")
    code: Annotated[str, Positional()] = "true"


class WriteParameters(ThirdPartyParameters):
    """Copies a file, with a text behind it."""

    class Config:
        set_result = True

    executable: str = "./write.sh"
    text: Annotated[str, Positional()] = "text"
    in_file: Annotated[str, Positional()] = "input.txt"
    out_file: Annotated[str, Positional(), IsResult()] = "out.txt"


class TemplatedParameters(ThirdPartyParameters):
    """Copies its rendered template."""

    executable: str = "cp"
    config: Annotated[str, Positional()] = "rendered.txt"
    out_file: Annotated[str, Positional(), Output()] = "copied.txt"
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="some.j2", output_path="rendered.txt")


class GiveParameters(TaskParameters):
    """Gives what it is told to."""

    value: Any = None
    wait: str = ""


class Give(Task):
    def _run(self):
        self._result.payload = self._task_parameters.value
        deadline = time.monotonic() + 20
        while self._task_parameters.wait and not Path(self._task_parameters.wait).exists():
            assert time.monotonic() < deadline
            time.sleep(0.005)


class TakeParameters(TaskParameters):
    """Takes what `Give` gave."""

    value: Annotated[Any, FromResult("Give", "result")] = None


class Take(Task):
    def _run(self):
        self._result.payload = self._task_parameters.value


Shell = Executor("Sh")
Writer = Executor("Write")
Giver = Executor("Give")
Taker = Executor("Take")
Templater = Executor("Templated")
