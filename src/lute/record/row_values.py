"""A parameter's or result's value in a run's row, by the name that other Tasks and people use."""

from __future__ import annotations

from typing import Any

from lute.base.paths import NOTHING, split_path, value_at
from lute.record import schema


def value_of(row: dict[str, Any], param: str) -> Any:
    """Returns a parameter's or result's value in a run; None if it has none."""
    if param in ("result", "payload", "result.payload"):
        return path_of_kept(row["payload"])
    if param.startswith("result.") or param == "valid_flag":
        column = schema.RESULT_COLUMNS.get(param)
        return row[column] if column else None
    return _walk(row["parameters"] or {}, param)


def _walk(value: Any, name: str) -> Any:
    if isinstance(value, dict) and name in value:
        return value[name]
    found = value_at(value, split_path(name))
    return None if found is NOTHING else found


def path_of_kept(value: Any) -> Any:
    """Returns a payload as another Task is given it: what is kept in a file of its own is that file's path."""
    kept = isinstance(value, dict) and {"type", "path", "size"} <= value.keys()
    return value["path"] if kept else value
