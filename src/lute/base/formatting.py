"""Times, time spans and texts of the record as people read them."""

from __future__ import annotations

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a terminal would obey, as it is written instead."""


def visible(text: str) -> str:
    r"""Returns a text with its control characters escaped, all but newlines and tabs.

    >>> print(visible("\x1b[31mred"))
    \x1b[31mred
    """
    return text if text.isprintable() else text.translate(_CONTROLS)


def when(iso: str | None) -> str:
    """Returns a time of the record as people read it, in this machine's time zone."""
    if not iso:
        return ""
    from datetime import datetime  # costs time at every start

    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def between(started: str | None, ended: str | None) -> str:
    """Returns the time between two times of the record as people read it; nothing if one is missing."""
    if not started or not ended:
        return ""
    from datetime import datetime

    return seconds((datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())


def seconds(value: float | None) -> str:
    """Returns a time span as people read it."""
    if value is None:
        return ""
    if value < 100:
        return f"{value:.2f} s" if value < 10 else f"{value:.1f} s"
    return f"{int(value // 60)} min {int(value % 60)} s" if value < 3600 else f"{value / 3600:.1f} h"
