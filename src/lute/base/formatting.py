"""Values as text and back: times and texts of the record as people read them, what an unquoted text means."""

from __future__ import annotations

import re
from typing import Any, Iterable, Optional

_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_LEADING_ZERO = re.compile(r"[-+]?0[0-9]")
_INT = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEX = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_INFINITE = re.compile(r"([-+]?)\.(?:inf|Inf|INF)\Z")
_NAN = {".nan", ".NaN", ".NAN"}
_LONGEST_NUMBER = 4000
_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a terminal would obey, as it is written instead."""


def visible(text: str) -> str:
    r"""Returns a text with its control characters escaped, all but newlines and tabs.

    >>> print(visible("\x1b[31mred"))
    \x1b[31mred
    """
    return text if text.isprintable() else text.translate(_CONTROLS)


def when(iso: Optional[str]) -> str:
    """Returns a time of the record as people read it, in this machine's time zone."""
    if not iso:
        return ""
    from datetime import datetime  # costs time at every start

    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def between(started: Optional[str], ended: Optional[str]) -> str:
    """Returns the time between two times of the record as people read it; nothing if one is missing."""
    if not started or not ended:
        return ""
    from datetime import datetime

    return seconds((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())


def seconds(value: Optional[float]) -> str:
    """Returns a time span as people read it."""
    if value is None:
        return ""
    if value < 100:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s" if value < 3600 else f"{value / 3600:.1f} h"


def read_scalar(text: str) -> Any:
    """Returns what a plain scalar means by the core schema; a number with a leading zero is text.

    >>> [read_scalar(text) for text in ("1e-3", "no", "12:30", "0012", "0x1f", "null", "")]
    [0.001, 'no', '12:30', '0012', 31, None, None]
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if text[0] not in "+-.0123456789" or _LEADING_ZERO.match(text) or len(text) > _LONGEST_NUMBER:
        return text
    if _INT.match(text):
        return int(text)
    if _OCTAL.match(text) or _HEX.match(text):
        return int(text, 0)
    if _FLOAT.match(text):
        return float(text)
    if _INFINITE.match(text):
        return float(text.replace(".", ""))
    return float("nan") if text in _NAN else text


def in_order(items: Iterable[Any]) -> list[Any]:
    """Returns the items; those of a set sorted, since its own order is another in each process."""
    if not isinstance(items, (set, frozenset)):
        return list(items)
    try:
        return sorted(items)
    except TypeError:
        return sorted(items, key=str)
