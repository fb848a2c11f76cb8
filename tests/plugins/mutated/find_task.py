"""One Task of five: it depends on helpers, one of them imported late, on a package, and on a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from find_helper import FACTOR
from pack import inner

from lute import Executor, IsResult, Output, Task, TaskParameters


class FindParameters(TaskParameters):
    """Adds up what is in a folder."""

    frames: Path = Path("frames")
    gain: float = 1.0
    lazily: str = "find_lazy"
    out: Annotated[Path, Output(), IsResult()] = Path("out/found.txt")


class Find(Task):
    """Adds up numbers in files."""

    def _run(self) -> None:
        from find_lazy import OFFSET

        params = self._task_parameters
        total = sum(int(file.read_text()) for file in sorted(params.frames.iterdir()))
        params.out.write_text(f"{total * FACTOR * params.gain + inner.VALUE + OFFSET}\n")


Finder = Executor("Find")
