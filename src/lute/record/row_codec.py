"""A run's row <-> what the database takes and gives.

JSON has no nan and no infinity. In what a run gave they are `{"~float": "nan"}`; a dict of the run's own with a key
that begins with `~` is `{"~dict": {...}}`, so that no text and no dict is taken for one of them.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from lute.record import schema

if TYPE_CHECKING:
    from lute.record.types import RunRow

_as_json = json.JSONEncoder(ensure_ascii=False).encode
_as_strict_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_as_ascii = json.JSONEncoder(allow_nan=False).encode
_EXACT = ("given", "exact")
"""The columns whose JSON is ASCII: every text comes back as it was, also one that is not valid Unicode."""
_GIVEN = ("payload", "metrics")
"""The columns with what a run gave."""
_FLOAT, _DICT = "~float", "~dict"
_MARK = '"~'
"""What the JSON of every such value contains."""
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
        value = given_as_json(value) if name in _GIVEN else (_as_ascii if name in _EXACT else _as_json)(value)
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
    if name in _GIVEN and value is not None:
        return given_from_json(value)
    return json.loads(value) if schema.COLUMNS[name] == schema.JSON and value is not None else value


def given_as_json(value: Any) -> str:
    """Returns what a run gave as JSON, nan and infinities too.

    >>> given_as_json({"a": [float("nan"), "nan"]})
    '{"a": [{"~float": "nan"}, "nan"]}'
    """
    try:
        text = _as_strict_json(value)
    except ValueError:
        text = _MARK
    return _as_strict_json(_tagged(value)) if _MARK in text else text


def given_from_json(text: str) -> Any:
    """Returns the value that `given_as_json` wrote."""
    value = json.loads(text)
    return _untagged(value) if _MARK in text else value


def _tagged(value: Any) -> Any:
    if isinstance(value, float):
        return value if value - value == 0 else {_FLOAT: str(float(value))}
    if isinstance(value, (list, tuple)):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        tagged = {key: _tagged(item) for key, item in value.items()}
        return {_DICT: tagged} if any(str(key).startswith("~") for key in value) else tagged
    return value


def _untagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_untagged(item) for item in value]
    if not isinstance(value, dict):
        return value
    if value.keys() == {_FLOAT}:
        return float(value[_FLOAT])
    inner = value[_DICT] if value.keys() == {_DICT} else value
    return {key: _untagged(item) for key, item in inner.items()}
