from pathlib import Path
from typing import Annotated

from pydantic import BaseModel

from lute import FromResult, IsResult, Output, Positional, Task, TaskParameters, ThirdPartyParameters


class Inner(BaseModel):
    files: list[str] = []


class MakeParameters(TaskParameters):
    n: int = 1
    source: Path = Path("source.txt")
    text: str = "not a file"
    lines: str = "two\nlines"
    folder: str = "."
    nested: Inner = Inner()
    out: Annotated[Path, Output(), IsResult()] = Path("made.txt")


class Make(Task):
    def _run(self):
        Path(self._task_parameters.out).write_text("made")


class UseParameters(TaskParameters):
    made: Annotated[Path, FromResult("Make")]
    n: Annotated[int, FromResult("Make", "n")] = 5


class Use(Task):
    def _run(self):
        pass


class ProgramParameters(ThirdPartyParameters):
    executable: str = "sh"
    code: Annotated[list[str], Positional()] = ["-c", "true"]

    class Config:
        version_command = ["./tool", "--version"]
