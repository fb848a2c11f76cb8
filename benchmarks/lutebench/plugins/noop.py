"""A program that does nothing."""

from typing import Annotated

from lute import Executor, Flag, ThirdPartyParameters


class NoopParameters(ThirdPartyParameters):
    """Run `true`."""

    executable: str = "true"
    number: Annotated[int, Flag("-n")] = 1


Noop = Executor("Noop")
