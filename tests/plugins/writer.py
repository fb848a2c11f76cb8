from pathlib import Path
from typing import Annotated

from lute import Executor, Flag, IsResult, Output, Positional, ThirdPartyParameters


class WriterParameters(ThirdPartyParameters):
    executable: str = "sh"
    script: Annotated[str, Flag("-c")]
    zero: Annotated[str, Positional()] = "sh"
    out: Annotated[Path, Positional(), IsResult(), Output()] = Path("result file.txt")
    log: Annotated[Path, Positional(), Output(may_be_empty=True)] = Path("log.txt")


Writer = Executor("Writer")
