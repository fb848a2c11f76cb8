"""Any program, with its arguments as a list."""

from typing import Annotated

from lute import Executor, Positional, ThirdPartyParameters


class PrinterParameters(ThirdPartyParameters):
    """Run a program."""

    executable: str
    arguments: Annotated[list[str], Positional()]


Printer = Executor("Printer")
