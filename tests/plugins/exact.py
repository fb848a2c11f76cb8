"""Parameters whose values are more than JSON has words for, and a Task that takes them from an earlier run."""

from dataclasses import dataclass
from datetime import datetime
from enum import Enum, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, Field, field_validator

from lute import Executor, FromResult, Output, Task, TaskParameters


class Col(Enum):
    RED = "red"
    BLUE = "blue"
    BOTH = ("red", "blue")


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Word(StrEnum):
    A = "a"
    B = "b"


@dataclass(frozen=True)
class Point:
    x: float
    y: float = 0.0


@dataclass
class Box:
    corner: Point
    col: Col = Col.RED


class Shape(BaseModel):
    n: int = 1
    col: Col = Col.RED


class Round(Shape):
    """A subclass of what is declared."""

    radius: float = 1.0


class Things(TaskParameters):
    """What both have."""

    col: Col = Col.RED
    cols: set[Col] = set()
    by_col: dict[Col, float] = {}
    point: Point = Point(0.0)
    box: Box = Field(Box(Point(1.0)), validate_default=True)
    shape: Shape = Shape()
    raw: bytes = b""
    anything: Any = None
    pair: tuple[int, str] = (0, "")
    text_or_path: str | Path = ""
    path: Path = Path("x")
    numbers: dict[int, str] = {}
    when: datetime = datetime(2026, 1, 1)
    limit: float = 1.0


class MakeParameters(Things):
    """Values that a validator makes of what a YAML file can give."""

    lost: Any = None

    @field_validator("text_or_path")
    @classmethod
    def _a_path(cls, value: str | Path) -> Path:
        return Path(value)

    @field_validator("shape")
    @classmethod
    def _round(cls, value: Shape) -> Shape:
        return Round(n=value.n + 1, col=value.col, radius=2.5)

    @field_validator("anything")
    @classmethod
    def _more(cls, value: Any) -> Any:
        return (value, {Path("p")}, {Col.RED: float("inf")}, {1: b"\xff"}, Point(-0.0))

    @field_validator("lost")
    @classmethod
    def _an_object(cls, value: Any) -> Any:
        return object() if value else None


def told(params: TaskParameters) -> str:
    """Returns all of them as text: a set in order, a time without the class of its zone."""
    names = Things.model_fields.keys() - {"lute_config"}
    values = {name: getattr(params, name) for name in sorted(names)}
    values |= {"cols": sorted(values["cols"], key=repr), "when": values["when"].isoformat()}
    return repr(values)


class Make(Task):
    def _run(self) -> None:
        self._result.payload = told(self._task_parameters)


class TakeParameters(TaskParameters):
    """Takes each of them."""

    col: Annotated[Col, FromResult("Make", "col")]
    cols: Annotated[set[Col], FromResult("Make", "cols")]
    by_col: Annotated[dict[Col, float], FromResult("Make", "by_col")]
    point: Annotated[Point, FromResult("Make", "point")]
    box: Annotated[Box, FromResult("Make", "box")]
    shape: Annotated[Shape, FromResult("Make", "shape")]
    raw: Annotated[bytes, FromResult("Make", "raw")]
    anything: Annotated[Any, FromResult("Make", "anything")]
    pair: Annotated[tuple[int, str], FromResult("Make", "pair")]
    text_or_path: Annotated[str | Path, FromResult("Make", "text_or_path")]
    path: Annotated[Path, FromResult("Make", "path")]
    numbers: Annotated[dict[int, str], FromResult("Make", "numbers")]
    when: Annotated[datetime, FromResult("Make", "when")]
    limit: Annotated[float, FromResult("Make", "limit")]


class Take(Task):
    def _run(self) -> None:
        self._result.payload = told(self._task_parameters)


class PlainParameters(TaskParameters):
    """Takes some of them as another type, and a value that cannot be kept."""

    col: Annotated[str, FromResult("Make", "col")]
    path: Annotated[str, FromResult("Make", "path")]
    cols: Annotated[list[str], FromResult("Make", "cols")]
    shape: Annotated[dict[str, Any], FromResult("Make", "shape")]
    nested: Annotated[Any, FromResult("Make", "box.corner.x")]
    inside: Annotated[Any, FromResult("Make", "anything[1]")]


class Plain(Task):
    def _run(self) -> None:
        names = ("col", "path", "cols", "shape", "nested", "inside")
        self._result.payload = repr([getattr(self._task_parameters, name) for name in names])


class WantParameters(TaskParameters):
    """Takes what cannot be kept."""

    lost: Annotated[Any, FromResult("Make", "lost")] = None


class Want(Task):
    def _run(self) -> None: ...


class WriteParameters(TaskParameters):
    """Files of which a pattern tells."""

    files: Annotated[Path, Output(glob=True)] = Path("part-*.txt")
    anything: Any = None


class Write(Task):
    def _run(self) -> None:
        Path("part-1.txt").write_text("1")
        self._result.payload = repr(self._task_parameters.anything)


class ReadParameters(TaskParameters):
    files: Annotated[Any, FromResult("Write", "files")]


class Read(Task):
    def _run(self) -> None:
        self._result.payload = repr(self._task_parameters.files)


Maker = Executor("Make")
Writer = Executor("Write")
Reader = Executor("Read")
Taker = Executor("Take")
Plainer = Executor("Plain")
Wanter = Executor("Want")
