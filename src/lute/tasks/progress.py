"""What a Task tells of itself while it runs: how far it is, numbers worth following from run to run, and figures."""

from __future__ import annotations

import operator
import os
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional, TextIO, Union

from lute.wire import control
from lute.wire.results import ElogSummaryPlots

if TYPE_CHECKING:
    from lute.record.types import Metric, Progress

__all__ = ["log_metric", "report_progress", "show"]

Number = Union[int, float]

AT_ONCE, A_SECOND = 5, 5
"""Reports of progress that are sent one after the other, and then in each second: never more than ten in a second.
The last one is always sent, if need be at the end."""
LONGEST_TEXT = 200
"""Most characters of a text, a name or a unit."""
ERASE = "\r\x1b[K"
"""Takes a terminal to the start of its line, and the line away."""


def report_progress(done: float, total: Optional[float] = None, text: str = "") -> None:
    """Is `report_progress` of the Task that runs in this process, for Tasks that are functions.

    Args:
        done: How much is done, in a unit of your own; from 0 on.
        total: How much there is; None if it is not known.
        text: What is being done, for people.
    """
    (_running or ProgressReporter()).progress(done, total, text)


def log_metric(name: str, value: float, unit: str = "") -> None:
    """Is `log_metric` of the Task that runs in this process, for Tasks that are functions.

    Args:
        name: The metric's name.
        value: Its value; a later one takes its place.
        unit: The value's unit.
    """
    (_running or ProgressReporter()).metric(name, value, unit)


def show(figure: Any, name: str) -> None:
    """Is `show` of the Task that runs in this process, for Tasks that are functions.

    Args:
        figure: What `ElogSummaryPlots` takes.
        name: The page's name.
    """
    (_running or ProgressReporter()).show(figure, name)


class ProgressReporter:
    """What one Task tells.

    Args:
        send: Sends a value to the Executor; None where there is none. Then progress is shown on standard error if
            that is a terminal.
        speaks: Returns whether this is the rank that speaks.

    Attributes:
        metrics: Value and unit of each metric, by name.
        pages: The pages of figures that were shown; drawn, if there is an Executor.
    """

    def __init__(
        self,
        send: Optional[Callable[[Union[control.Progress, control.Metric]], None]] = None,
        speaks: Callable[[], bool] = lambda: True,
    ) -> None:
        self.metrics: dict[str, Metric] = {}
        self.pages: list[ElogSummaryPlots] = []
        self._send, self._speaks = send, speaks
        self._credit, self._looked = float(AT_ONCE), time.monotonic()
        self._held: Optional[Progress] = None
        self._drawn = False

    def start(self) -> None:
        """Makes this the one that `report_progress()` and `log_metric()` of this module speak through."""
        global _running
        _running = self

    def end(self) -> None:
        """Sends what was held back."""
        global _running
        _running = None
        self.flush()
        if self._drawn:
            print(file=sys.stderr)

    def progress(self, done: float, total: Optional[float], text: str) -> None:
        """Tells how far the Task is, now or, where it told that too often, later.

        Raises:
            TypeError: `done` or `total` is no number.
            ValueError: `done` or `total` is negative or not finite.
        """
        self._held = progress_of(done, total, text)
        now = time.monotonic()
        self._credit = min(AT_ONCE, self._credit + (now - self._looked) * A_SECOND)
        self._looked = now
        if self._credit >= 1:
            self._credit -= 1
            self.flush()

    def metric(self, name: str, value: float, unit: str) -> None:
        """Keeps a metric and sends it.

        Raises:
            TypeError: `value` is no number.
        """
        found = self.metrics[one_line(name)] = metric_of(value, unit)
        if self._send is not None:
            self._send(control.Metric(one_line(name), found["value"], found["unit"]))

    def show(self, figure: Any, name: Any) -> None:
        """Draws a page of figures as they are now. What is wrong with it is told in the log, and raises nothing."""
        if not self._speaks():
            return
        if not is_page_name(name):
            print(f"show(): {name!r} is no name of a page, such as 'scans/x'; it gets another", file=sys.stderr)
        page = ElogSummaryPlots(name if isinstance(name, str) else "", figure)
        if self._send is not None:
            from lute.tasks import figures  # most Tasks show none

            page = figures.rendered(page, {})
        self.pages.append(page)

    def flush(self) -> None:
        """Sends the progress that was held back, if there is any."""
        held, self._held = self._held, None
        if held is None:
            return
        if self._send is not None:
            self._send(control.Progress(held["done"], held["total"], held["text"]))
        elif draws(sys.stderr):
            self._drawn = True
            print(end=f"{ERASE}{as_text(held)}", file=sys.stderr, flush=True)


_running: Optional[ProgressReporter] = None


def is_page_name(name: Any) -> bool:
    """Returns whether a page can be kept under a name as it is.

    >>> [is_page_name(name) for name in ("scans/x", "x y", "", "/x", "../x", None)]
    [True, True, False, False, False, False]
    """
    return isinstance(name, str) and "\0" not in name and not {"", ".", ".."} & {*map(str.strip, name.split("/"))}


def draws(stream: TextIO) -> bool:
    """Returns whether a line on a stream can be taken away again: it is a terminal, and a clever one."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


# ------------------------------------------------------------------------------- values, both sides


def progress_of(done: Any, total: Any = None, text: Any = "") -> Progress:
    """Returns progress as it is sent and recorded.

    Raises:
        TypeError: `done` or `total` is no number.
        ValueError: `done` or `total` is negative or not finite.
    """
    found: Progress = {
        "done": _number("done", done),
        "total": None if total is None else _number("total", total),
        "text": one_line(text),
    }
    for name, value in (("done", found["done"]), ("total", found["total"])):
        if value is not None and not 0 <= value < float("inf"):
            raise ValueError(f"progress: {name} is {value!r}, but must be a finite number from 0 on")
    return found


def metric_of(value: Any, unit: Any = "") -> Metric:
    """Returns a metric as it is sent and recorded.

    Raises:
        TypeError: `value` is no number.
    """
    number = float("nan") if value is None else _number("the metric's value", value)
    return {"value": number, "unit": one_line(unit)}


def _number(what: str, value: Any) -> Number:
    try:
        return int(operator.index(value))
    except TypeError:
        pass  # no whole number
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{what} is {value!r}, which is no number") from error


def one_line(text: Any) -> str:
    """Returns a text without line ends and other control characters, at most `LONGEST_TEXT` of it."""
    return " ".join("".join(c if c.isprintable() else " " for c in str(text)).split())[:LONGEST_TEXT]


def share(progress: Progress) -> Optional[float]:
    """Returns which part is done, from 0 to 1; None if it is not known."""
    return min(1.0, progress["done"] / progress["total"]) if progress["total"] else None


def as_text(progress: Progress) -> str:
    """Returns progress for people.

    >>> as_text({"done": 340, "total": 1000, "text": "frames"})
    '340/1000 (34 %) frames'
    """
    part, done, total = share(progress), written(progress["done"]), progress["total"]
    counted = done if part is None or total is None else f"{done}/{written(total)} ({int(100 * part)} %)"
    return f"{counted} {progress['text']}".rstrip()


def metric_as_text(metric: Metric) -> str:
    """Returns a metric's value and unit for people."""
    value = metric["value"]
    return f"{'nan' if value is None else written(value)} {metric['unit']}".rstrip()


def written(number: Number) -> str:
    """Returns a number as people read it."""
    return str(number) if isinstance(number, int) else f"{number:g}"
