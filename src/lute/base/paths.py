"""Dotted paths: `Task.cells[0]['a.b']` names a value within nested dicts and lists."""

from __future__ import annotations

import ast
import re
from typing import Any, Iterable, Mapping

from lute.errors import SubstitutionError

NOTHING: Any = object()
"""Stands for what a path does not lead to."""
QUOTED = r"""(?:'(?:[^'\\]|\\[\\'"nrtxuU])*'|"(?:[^"\\]|\\[\\'"nrtxuU])*")"""
"""The pattern of a text in quotes, as Python has them."""
_PART = rf"\[({QUOTED})\]|([^.\[\]]+)"
_PLAIN_PART = r"[^\s.\[\]:|{}$'\"]+"
_LONGEST_ITEM = 19


def split_path(name: str) -> list[str]:
    """Returns the parts of a dotted path.

    >>> split_path("Task.cells[0]['a.b']")
    ['Task', 'cells', '0', 'a.b']
    """
    return [_unquoted(quoted) if quoted else part for quoted, part in re.findall(_PART, name)]


def _unquoted(text: str) -> str:
    try:
        return str(ast.literal_eval(text))
    except (ValueError, SyntaxError) as error:
        raise SubstitutionError(f"[{text}] is no text in quotes as Python has them: {error}") from error


def join_path(parts: Iterable[str]) -> str:
    """Returns the dotted path of some parts, the opposite of `split_path`.

    >>> join_path(["Task", "cells", "0", "a.b"])
    "Task.cells.0['a.b']"
    """
    return "".join(f".{part}" if re.fullmatch(_PLAIN_PART, part) else f"[{_quoted(part)}]" for part in parts).lstrip(
        "."
    )


def _quoted(part: str) -> str:
    return repr(part).replace("{", r"\x7b").replace("}", r"\x7d")


def item_number(part: str) -> int:
    """Returns the number of an item that a part of a path names; -1 if it names none.

    >>> [item_number(part) for part in ("2", "a", "²", "9" * 5000)]
    [2, -1, -1, -1]
    """
    return int(part) if part.isdecimal() and len(part) < _LONGEST_ITEM else -1


def value_at(value: Any, parts: Iterable[str]) -> Any:
    """Returns what a path leads to in a value; `NOTHING` if it leads nowhere.

    >>> value_at({"a": [{"b": 5}]}, split_path("a[0].b"))
    5
    """
    for part in parts:
        number = item_number(part)
        if isinstance(value, Mapping):
            found = value.get(part, NOTHING)
            value = value.get(number, NOTHING) if found is NOTHING and number >= 0 else found
        else:
            value = value[number] if isinstance(value, list) and 0 <= number < len(value) else NOTHING
        if value is NOTHING:
            break
    return value
