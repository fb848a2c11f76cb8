from typing import Annotated

from lute import Executor, Positional, ThirdPartyParameters


class TellParameters(ThirdPartyParameters):
    """Says that it starts, fails the first times it is run, and says how it ends."""

    executable: str = "./tell.sh"
    name: Annotated[str, Positional()]
    failures: Annotated[int, Positional()] = 0
    code: Annotated[int, Positional()] = 0


Teller = Executor("Tell")
