"""A terminal that shows a log as it grows, and below it one line that tells how far a run is."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import sys
import threading
import time
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lute.tasks.progress import ERASE, as_text, share
from lute.wire.channel import write_fully

if TYPE_CHECKING:
    from lute.record.types import Progress, RunRow

WIDEST_BAR = 30
"""Most columns of the bar itself."""
FROM = 2.0
"""Time after which an estimate of what is left is shown, in s."""


class Screen(io.TextIOBase):
    """Standard error while a run lives: what is written appears above the line of progress.

    That line is drawn only where the text stands at the start of a line, so that neither cuts the other.

    Args:
        descriptor: The terminal.
        name: What the line is about.
    """

    def __init__(self, descriptor: int, name: str) -> None:
        self._out, self._name = descriptor, name
        self._lock = threading.RLock()
        self._drawn = ""
        self._at_start = True
        self._estimate = Estimate()

    @contextlib.contextmanager
    def instead_of_stderr(self) -> Iterator[None]:
        """Has all that is written to standard error, also by loggers, appear above the line of progress."""
        handlers = [one for one in logging.root.handlers if isinstance(one, logging.StreamHandler)]
        before = [(one, one.setStream(self)) for one in handlers if one.stream is sys.stderr]
        try:
            with contextlib.redirect_stderr(self):
                yield
        finally:
            with contextlib.suppress(OSError):  # the terminal is gone
                self.erase()
            for handler, stream in before:
                handler.setStream(stream)

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """How text becomes bytes."""
        return "utf-8"

    def fileno(self) -> int:
        """Returns the terminal's descriptor."""
        return self._out

    def isatty(self) -> bool:
        """Returns that it is a terminal."""
        return True

    def writable(self) -> bool:
        """Returns that it can be written to."""
        return True

    def write(self, text: str) -> int:
        """Writes text above the line of progress."""
        self.write_bytes(text.encode("utf-8", "backslashreplace"))
        return len(text)

    def write_bytes(self, data: bytes) -> None:
        """Writes a piece of the log above the line of progress."""
        with self._lock:
            drawn = self._drawn
            self.erase()
            write_fully(self._out, data)
            self._at_start = data.endswith(b"\n")
            self._draw(drawn)

    def show(self, row: RunRow) -> None:
        """Draws the line for a run as it is now; nothing if it has told of no progress."""
        progress = row.get("progress")
        if progress:
            left = self._estimate.left(progress)
            line = progress_line(self._name, progress, left, _columns(self._out))
            with self._lock:
                if line != self._drawn:
                    self.erase()
                    self._draw(line)

    def erase(self) -> None:
        """Takes the line of progress away."""
        with self._lock:
            if self._drawn:
                write_fully(self._out, ERASE.encode())
                self._drawn = ""

    def _draw(self, line: str) -> None:
        if line and self._at_start:
            write_fully(self._out, line.encode("utf-8", "backslashreplace"))
            self._drawn = line


class Estimate:
    """How long it still takes, from how fast it went so far."""

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def left(self, progress: Progress) -> float | None:
        """Returns the time that is left, in s; None if that cannot be told yet."""
        now, done = time.monotonic(), float(progress["done"])
        if self._first is None or done < self._first[1]:  # a new count has begun
            self._first = (now, done)
        begun, before = self._first
        if not progress["total"] or done <= before or now - begun < FROM:
            return None
        return max(0.0, (float(progress["total"]) - done) * (now - begun) / (done - before))


def progress_line(name: str, progress: Progress, left: float | None, columns: int) -> str:
    """Returns progress as one line that fits into so many columns.

    >>> progress_line("Index", {"done": 34, "total": 100, "text": "frames"}, 66.0, 80)
    'Index  ━━━━━━━━━━────────────────────  34/100 (34 %) frames  1:06 left'
    """
    part, text = share(progress), as_text(progress)
    after = f"  {_clock(left)} left" if left is not None else ""
    room = columns - 1 - _width(f"{name}  {text}{after}") - 2
    if part is None or room < 5:
        return _cut(f"{name}  {text}{after}", columns - 1)
    size = min(WIDEST_BAR, room)
    full = int(part * size)
    return f"{name}  {'━' * full}{'─' * (size - full)}  {text}{after}"


def _clock(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def _width(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(c) in "WF" else not unicodedata.combining(c) for c in text)


def _cut(text: str, columns: int) -> str:
    while _width(text) > columns:
        text = text[:-1]
    return text


def _columns(descriptor: int) -> int:
    try:
        return os.get_terminal_size(descriptor).columns or 80
    except OSError:
        return 80
