from pathlib import Path
from typing import Annotated

from lute import Executor, Positional, ThirdPartyParameters


class ShellParameters(ThirdPartyParameters):
    """Run a line of shell on a file."""

    executable: str = "sh"
    option: Annotated[str, Positional()] = "-ec"
    line: Annotated[str, Positional()] = 'echo "$0" >> done'
    in_file: Annotated[Path, Positional()]
    number: Annotated[int, Positional()]


Shell = Executor("Shell")
