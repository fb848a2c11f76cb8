"""A run's row <-> what the database takes and gives."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from lute.record import schema

if TYPE_CHECKING:
    from lute.record.types import RunRow

_as_json = json.JSONEncoder(ensure_ascii=False).encode
_JSON_COLUMNS = {name for name, kind in schema.COLUMNS.items() if kind == schema.JSON}


@functools.lru_cache(maxsize=16)
def upsert_query(names: tuple[str, ...], only_newer: bool, fixed: tuple[str, ...]) -> str:
    """Returns the statement that writes a run.

    Args:
        names: The columns that are written.
        only_newer: Whether a run that has ended stays as it is unless this has ended, too.
        fixed: Those of them that stay as they are if the run is there.
    """
    newer = " WHERE lute_runs.ended IS NULL OR excluded.ended IS NOT NULL" if only_newer else ""
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in ("id", *fixed))
    marks = ", ".join("?" * len(names))
    insert = f"INSERT INTO lute_runs ({', '.join(names)}) VALUES ({marks})"
    return f"{insert} ON CONFLICT (id) DO UPDATE SET {changes}{newer}"


def to_sql(name: str, value: Any) -> Any:
    """Returns a column's value as the database takes it."""
    if value is None:
        return None
    if name in _JSON_COLUMNS:
        value = _as_json(value)
    elif isinstance(value, (int, float)):
        return int(value) if isinstance(value, bool) else value
    if type(value) is str and value.isascii() and "\0" not in value:
        return value
    # a lone surrogate stands for a byte that is no UTF-8; not every database keeps a NUL
    return str(value).encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def from_sql(names: Sequence[str], row: tuple[Any, ...], wanted: Iterable[str]) -> RunRow:
    """Returns what is wanted of a run, by the columns' names and what the database gave of them."""
    found = dict(zip(names, row, strict=True))
    return cast("RunRow", {name: _value(name, found[name]) for name in wanted})


def _value(name: str, value: Any) -> Any:
    if name == "valid":
        return bool(value)
    return json.loads(value) if schema.COLUMNS[name] == schema.JSON and value is not None else value
