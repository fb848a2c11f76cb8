from typing import Annotated

from lute import Executor, IsResult, Output, Positional, ThirdPartyParameters


class ShellParameters(ThirdPartyParameters):
    """Run a line of shell."""

    executable: str = "sh"
    option: Annotated[str, Positional()] = "-c"
    line: Annotated[str, Positional()] = "true"
    out_file: Annotated[str, IsResult(), Output(), Positional()] = ""
    in_file: Annotated[str, Positional()] = ""


Shell = Executor("Shell")
