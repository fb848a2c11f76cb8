import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lute import Field, Task, TaskParameters


class Detector:
    pass


class OddParameters(TaskParameters):
    """Has parameters of all kinds."""

    class Config:
        arbitrary_types_allowed = True

    detector: Detector | None = None
    several: list[Detector] = []
    must: Detector
    function: Callable[[int], int] = abs
    key: Any = Detector
    kind: type = int
    limit: float = float("inf")
    words: list[str] = Field(default_factory=list, description="Words.")
    named: dict[str, int] = Field(default_factory=dict)
    identity: str = Field(default_factory=lambda: uuid.uuid4().hex)
    folder: Path = Field(default_factory=Path.cwd)
    twice: int = Field(default_factory=lambda data: 2)
    count: int = 3


class Odd(Task):
    def _run(self):
        pass
