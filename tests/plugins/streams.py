import sys
from pathlib import Path
from typing import Annotated

from lute import (
    Executor,
    IsResult,
    MPIExecutor,
    Output,
    Positional,
    Stderr,
    Stdin,
    Stdout,
    Task,
    TemplateConfig,
    ThirdPartyParameters,
    ThirdPartyTask,
)

UPPER = """
import os, sys
if os.environ.get("PMI_RANK", "0") == "0":
    print(sys.stdin.read().upper(), end="")
print("out of", os.environ.get("PMI_RANK", "one"))
print(f"err of {os.environ.get('PMI_RANK', 'one')}\\n", end="", file=sys.stderr)
"""


class UpperParameters(ThirdPartyParameters):
    """Copy standard input in upper case."""

    executable: str = sys.executable
    flag: Annotated[str, Positional()] = "-c"
    code: Annotated[str, Positional()] = UPPER
    data: Annotated[Path | None, Stdin()] = None
    out: Annotated[Path | str | None, Stdout(), Output(), IsResult()] = None
    err: Annotated[Path | None, Stderr()] = None


class UpperOwnParameters(UpperParameters):
    """The same, by a class of its own."""


class UpperOwn(ThirdPartyTask):
    pass


class AddParameters(UpperParameters):
    """Add to what is there."""

    out: Annotated[Path, Stdout(append=True)]
    err: Annotated[Path | None, Stderr(append=True)] = None


class AddOwnParameters(AddParameters):
    """The same, by a class of its own."""


class AddOwn(ThirdPartyTask):
    pass


class FilledParameters(ThirdPartyParameters):
    """Read what a template makes."""

    executable: str = "cat"
    data: Annotated[Path, Stdin()] = Path("filled.txt")
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="in.txt", output_path="filled.txt")


class InPythonParameters(UpperParameters):
    """Streams of what is no program."""


class InPython(Task):
    def _run(self):
        raise NotImplementedError


class MissingParameters(ThirdPartyParameters):
    """A program that is not there, with its output in files."""

    executable: str = "no-such-program"
    out: Annotated[Path, Stdout(), Stderr()] = Path("both.txt")


class MissingOwnParameters(MissingParameters):
    """The same, by a class of its own."""


class MissingOwn(ThirdPartyTask):
    pass


class BothParameters(ThirdPartyParameters):
    """Both outputs in one file."""

    executable: str = "sh"
    flag: Annotated[str, Positional()] = "-c"
    code: Annotated[str, Positional()] = "echo 1; echo 2 >&2; echo 3; echo 4 >&2"
    out: Annotated[Path, Stdout(), Stderr()] = Path("both.txt")


class BothOwnParameters(BothParameters):
    """The same, by a class of its own."""


class BothOwn(ThirdPartyTask):
    pass


Ranked = MPIExecutor("Upper", ranks=2)
RankedOwn = MPIExecutor("UpperOwn", ranks=2)
Made = Executor("Filled")


def make_input(path):
    Path(path).write_text("from a tasklet")


Prepared = Executor("Upper")
Prepared.add_tasklet(make_input, ["{{ data }}"], when="before")
