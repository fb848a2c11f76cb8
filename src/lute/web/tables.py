"""The tables in a run's payload, as its page shows them: their first rows."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.errors import UsageError
from lute.record import table_files
from lute.record.rows import kept_file
from lute.web import files
from lute.web.site import NotThere

if TYPE_CHECKING:
    from lute.record.types import KeptFile, RunRow

MOST_ROWS, MOST_COLUMNS, MOST_TABLES = 300, 100, 10
"""What a page shows of each table, and of how many."""
LARGEST = 1 << 28
"""A table whose file is larger is not read for a page, in bytes."""
LONGEST_CELL = 200


@dataclass
class ShownTable:
    """A table on a page.

    Attributes:
        name: Where it is in the payload.
        path: Its file.
        shape: All its rows and columns.
        columns: The names of the columns that are shown.
        rows: The rows that are shown.
        cut: What is not shown; empty if all is.
        missing: Why nothing is shown.
    """

    name: str
    path: str
    shape: list[int]
    columns: list[str]
    rows: list[list[Any]] = field(default_factory=list)
    cut: str = ""
    missing: str = ""


def of_payload(row: RunRow) -> list[ShownTable]:
    """Returns the tables in a run's payload, at most `MOST_TABLES`."""
    found: list[ShownTable] = []
    for name, kept in _tables_in(row["payload"], "Payload"):
        if len(found) == MOST_TABLES:
            break
        found.append(_shown(row, name, kept))
    return found


def _tables_in(payload: Any, name: str) -> Iterator[tuple[str, KeptFile]]:
    if (kept := kept_file(payload)) is not None:
        if {"columns", "dtypes", "shape"} <= kept.keys() and kept["path"]:
            yield name, kept
    elif isinstance(payload, dict):
        for key, item in payload.items():
            yield from _tables_in(item, f"{name} {key}")
    elif isinstance(payload, list):
        for number, item in enumerate(payload):
            yield from _tables_in(item, f"{name} [{number}]")


def _shown(row: RunRow, name: str, kept: KeptFile) -> ShownTable:
    shown = ShownTable(name, str(kept["path"]), kept["shape"], kept["columns"][:MOST_COLUMNS])
    try:
        with _opened(row, kept) as file:
            rows = table_files.head(kept, file, MOST_ROWS)
    except NotThere:
        shown.missing = "The file of this table is not there any more, or it is too large to be shown here."
    except UsageError as error:
        shown.missing = f"{error}."
    except Exception as error:  # the file is not what was written
        shown.missing = f"The file of this table cannot be read: {type(error).__name__}."
    else:
        shown.rows = [[_cell(value) for value in cells[:MOST_COLUMNS]] for cells in rows]
        shown.cut = _cut(kept, len(rows))
    return shown


def _opened(row: RunRow, kept: KeptFile) -> Any:
    """Opens a table's file, which must be in the run's own folder."""
    file = files.open_below(Path(row["log"] or "-").parent, Path(str(kept["path"])).name)
    if files.size_of(file) > LARGEST:
        file.close()
        raise NotThere("it is too large")
    if "member" not in kept:
        return io.BufferedReader(file)
    with file, zipfile.ZipFile(file) as archive:
        return io.BytesIO(archive.read(kept["member"]))


def _cut(kept: KeptFile, rows: int) -> str:
    count, width = kept["shape"]
    parts = [f"the first {rows} of {count} rows"] if rows < count else []
    parts += [f"the first {MOST_COLUMNS} of {width} columns"] if width > MOST_COLUMNS else []
    return f"Shown are {' and '.join(parts)}" if parts else ""


def _cell(value: Any) -> Any:
    if value is None or (isinstance(value, (int, float)) and not isinstance(value, bool)):
        return value
    text = str(value)
    return text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL]}…"
