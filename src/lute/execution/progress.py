"""What a run tells of itself while it lives: progress and metrics, by messages and by what it prints; and failures.

The log is read behind its writers, who never wait for us: whole lines, a bounded piece at each look. Whoever prints
faster than patterns can be looked for is not read in full, but the end of what it printed always is. Where a pattern
tells of failure, every line is read, if need be when the run has ended.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from lute.base.time_limits import AlarmLimit, CallTimeout
from lute.tasks.progress import metric_of, one_line, progress_of
from lute.wire import control
from lute.wire.channel import OUR_MARK

if TYPE_CHECKING:
    from lute.models.patterns import Patterns
    from lute.record.types import Metric, Progress

PIECE = 1 << 20
"""Most bytes of the log that are read at once."""
MOST_BEHIND = 1 << 24
"""Of a log that has grown by more bytes since the last look, the older ones are not read."""
LONGEST_LINE = 1 << 16
"""A longer line is cut, in bytes."""
MOST_METRICS = 1000
"""Further names are not kept."""
_LABEL = re.compile(r"^\[\d+\] ")
LIMIT = 1.0
"""Longest time for a pattern in one piece of the log, in s; after it the pattern is given up."""
Ranges = Sequence[tuple[int, int]]
"""Parts of a file, in order: first byte, and the one behind the last."""
_Search = tuple[re.Pattern[str], Callable[[re.Match[str]], None]]
"""A pattern, and what is done with each line that it fits."""


class Lines:
    """Gives the whole lines by which a file has grown, and remembers how far it is.

    Args:
        descriptor: The open file.
        start: Where to begin.
        whole: Whether every line is wanted, however far behind they are.
        but: What is left out.
    """

    def __init__(self, descriptor: int, start: int, whole: bool = False, but: Ranges = ()) -> None:
        self._descriptor, self._at, self._whole, self._but = descriptor, start, whole, but
        self._rest = b""
        self._skipping = False

    def behind(self, size: int) -> bool:
        """Returns whether there is something to read in a file that has `size` bytes."""
        return self._at < size

    def read(self, size: int) -> list[bytes]:
        """Returns the whole lines of the next piece of a file that has `size` bytes.

        A carriage return ends a line as well: that is how programs write over what they told before.
        """
        if size - self._at > MOST_BEHIND and not self._whole:
            self._at, self._rest, self._skipping = size - MOST_BEHIND, b"", True
        end = min(self._at + PIECE, size)
        piece = b"".join(os.pread(self._descriptor, stop - start, start) for start, stop in self._parts(end))
        self._at = end
        lines = (self._rest + piece).replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop()[:LONGEST_LINE]
        if self._skipping and lines:  # the first is not whole
            self._skipping = False
            del lines[0]
        return lines

    def _parts(self, end: int) -> Iterator[tuple[int, int]]:
        at = self._at
        for start, stop in self._but:
            if at < min(start, end):
                yield at, min(start, end)
            at = max(at, stop)
        if at < end:
            yield at, end

    def rest(self) -> list[bytes]:
        """Returns the last line, if nothing ended it."""
        rest, self._rest = self._rest, b""
        return [rest] if rest and not self._skipping else []


class ProgressTracker:
    """What one run has told so far.

    Args:
        patterns: What to look for in its log.
        labelled: Whether the lines of its log may begin with the number of an MPI rank.

    Attributes:
        progress: How far it is; None if it has not told.
        metrics: Its metrics, by name.
        failures: The first line that tells of each failure, as a reason, by the failure's name.
        changed: Whether there is something new since this was last set to False.
        troubles: What a person is to be told, taken away by whoever tells it.
    """

    def __init__(self, patterns: Patterns, labelled: bool = False) -> None:
        self._patterns, self._labelled = patterns, labelled
        self._lines: Lines | None = None
        self._log, self._start = -1, 0
        self._wanted = self._searches()
        self.progress: Progress | None = None
        self.metrics: dict[str, Metric] = {}
        self.failures: dict[str, str] = {}
        self.changed = False
        self.troubles: list[str] = []
        self._told: set[str] = set()

    def take(self, message: control.Progress | control.Metric) -> None:
        """Takes what the Task sent."""
        try:
            if isinstance(message, control.Progress):
                self._set_progress(progress_of(*message))
            else:
                self._set_metric(message.name, metric_of(message.value, message.unit))
        except (TypeError, ValueError) as error:  # the Task's side is another's Python
            self.trouble(f"the Task's side sent what cannot be understood: {error}")

    def follow(self, descriptor: int) -> None:
        """Begins to look for the patterns in what is added to the log from now on."""
        if self._patterns:
            self._log, self._start = descriptor, os.fstat(descriptor).st_size
            self._read_again()

    def leave_out(self, ours: Ranges) -> None:
        """Reads again, without the parts of the log that are `lute`'s own: they are known when they stand there."""
        if self._lines is not None and ours:
            for name in self._patterns.metrics:
                self.metrics.pop(name, None)
            self.progress, self.changed = None, True
            self.failures.clear()
            self._read_again(ours)

    def _read_again(self, but: Ranges = ()) -> None:
        self._lines = Lines(self._log, self._start, bool(self._patterns.failures), but)

    def look(self, size: int, ended: bool = False) -> None:
        """Looks for the patterns in what is new in the log, now of `size` bytes: a piece of it, or all if it ended."""
        while self._lines is not None and self._lines.behind(size):
            self._match_all(self._lines.read(size))
            if not ended:
                return
        if self._lines is not None and ended:
            self._match_all(self._lines.rest())

    def failures_in_order(self) -> list[str]:
        """Returns the reasons of the failures that were found, in the order of their patterns."""
        return [self.failures[name] for name in self._patterns.failures if name in self.failures]

    def _searches(self) -> dict[str, _Search]:
        """Returns what is looked for, by its name for people."""
        found: dict[str, _Search] = {}
        if self._patterns.progress is not None:
            found["the progress_pattern"] = self._patterns.progress, self._progress_in
        for name, (pattern, unit) in self._patterns.metrics.items():
            found[f"the pattern of the metric {name}"] = pattern, partial(self._metric_in, name, unit)
        for name, pattern in self._patterns.failures.items():
            found[f"the failure pattern {name!r}"] = pattern, partial(self._failure_in, name)
        return found

    def _match_all(self, lines: list[bytes]) -> None:
        texts = self._output_in(lines)
        with AlarmLimit(LIMIT) as limit:
            for name, (pattern, take) in list(self._wanted.items()):
                try:
                    limit.call(_match_each, pattern, texts, take)
                except CallTimeout:
                    del self._wanted[name]
                    self.trouble(
                        f"{name} took longer than {LIMIT:g} s, and is given up for this run: does it hold nested"
                        " repetitions, such as (a+)+ ?"
                    )

    def _output_in(self, lines: list[bytes]) -> list[str]:
        """Returns lines as text, without a rank's label, but for those that `lute` itself has written."""
        texts = [line[:LONGEST_LINE].decode("utf-8", "replace") for line in lines]
        if self._labelled:
            texts = [_LABEL.sub("", text) for text in texts]
        return [text for text in texts if not text.startswith(OUR_MARK)]

    def _progress_in(self, found: re.Match[str]) -> None:
        groups = {name: text for name, text in found.groupdict().items() if text is not None}
        done, total = groups.get("done", groups.get("percent")), groups.get("total")
        try:
            if done is not None:
                known = _number(total) if total else 100 if "percent" in groups else None
                self._set_progress(progress_of(_number(done), known, groups.get("text", "")))
        except ValueError as error:
            self.trouble(f"the progress_pattern found {found[0]!r}, which tells of no progress: {error}")

    def _failure_in(self, name: str, found: re.Match[str]) -> None:
        more = found["reason"] if "reason" in found.re.groupindex else None
        self.failures.setdefault(name, f"{name}: {text}" if (text := one_line(more or "")) else name)

    def _metric_in(self, name: str, unit: str, found: re.Match[str]) -> None:
        text = found["value"] if "value" in found.re.groupindex else found[1]
        try:
            if text is not None:
                self._set_metric(name, metric_of(_number(text), unit))
        except ValueError:
            self.trouble(f"the pattern of the metric {name} found {text!r}, which is no number")

    def _set_progress(self, progress: Progress) -> None:
        self.changed = self.changed or progress != self.progress
        self.progress = progress

    def _set_metric(self, name: Any, metric: Metric) -> None:
        name = one_line(name)
        if name not in self.metrics and len(self.metrics) >= MOST_METRICS:
            self.trouble(f"there are more than {MOST_METRICS} metrics: those with further names are not kept")
            return
        self.changed = self.changed or self.metrics.get(name) != metric
        self.metrics[name] = metric

    def trouble(self, text: str) -> None:
        """Has a trouble told, each kind once."""
        kind = text.partition(":")[0].partition(" found ")[0]
        if kind not in self._told:
            self._told.add(kind)
            self.troubles.append(text)


def _match_each(pattern: re.Pattern[str], lines: list[str], take: Callable[[re.Match[str]], None]) -> None:
    for found in filter(None, map(pattern.search, lines)):
        take(found)


def _number(text: str) -> int | float:
    return int(text) if text.strip().lstrip("+-").isdecimal() else float(text)
