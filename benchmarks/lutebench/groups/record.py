"""Writing the record."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from lutebench.bench import Bench
from lutebench.lines import PER_SECOND, Line, both
from lutebench.rows import row

BARE = "sqlite3, one INSERT of that size a commit"


def _row_file(bench: Bench) -> Path:
    """Writes the whole row of a real run to a file. Returns the file."""
    from lute.record.store import Record

    project = bench.project("noop", {"Noop": {"number": 2}})
    project.run("Noop", "-q")
    with Record(project.folder / "lute.db") as record:
        row = record.get("last")
    file = project.folder / "row.json"
    file.write_text(json.dumps(row))
    return file


def _writers(bench: Bench, writers: int, count: int) -> Iterator[Line]:
    row_file, folder = _row_file(bench), bench.new_folder("record")
    numbers = itertools.count()

    def seconds(kind: str) -> float:
        path = folder / f"{kind}{next(numbers)}.db"
        return float(bench.peer("writers", kind, path, writers, count, row_file))

    bare, ours = bench.interleaved(9, lambda: seconds("bare"), lambda: seconds("record"))
    speeds = both(bare, ours, lambda time: writers * count / time)
    size = row_file.stat().st_size
    what = f"rows saved (new runs, {size} bytes each) by {writers} process{'es' * (writers > 1)}"
    yield Line("rate", what, BARE, PER_SECOND, *speeds)


@row("record.one_writer")
def one_writer(bench: Bench) -> Iterator[Line]:
    """Rows of runs that one process saves in a second."""
    yield from _writers(bench, 1, bench.pick(3000, 300))


@row("record.16_writers")
def sixteen_writers(bench: Bench) -> Iterator[Line]:
    """Rows of runs that 16 processes save in a second."""
    yield from _writers(bench, 16, bench.pick(300, 30))
