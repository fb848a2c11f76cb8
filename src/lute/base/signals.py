"""Signals that ask for an end, told by their names to whoever can act on them; and the timer that sends one."""

from __future__ import annotations

import signal
import threading
import time
from contextlib import contextmanager
from typing import Any, Callable, ClassVar, Iterator, Mapping

_AT_ONCE = 1e-6
"""A timer's shortest time, in s: 0 would stop it."""


@contextmanager
def stop_on_signals(signals: Mapping[signal.Signals, str], stop: Callable[[str], object]) -> Iterator[None]:
    """Calls `stop` with the name of each of the signals that comes, where Python lets us: in the main thread.

    Args:
        signals: The signals, and what they are called.
        stop: Called in the middle of anything, so it should only note what came.
    """
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number, name in signals.items():
            before[number] = signal.signal(number, lambda *_, name=name: stop(name))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Timer:
    """The real-time interval timer of a Task. Only the main thread can have its handler, and the newest Task has it."""

    _running: ClassVar[list[Timer]] = []
    """Those of Tasks that were made and have not ended, oldest first."""

    def __init__(self, seconds: float, handler: Any) -> None:
        self._handler, self._due = handler, time.monotonic() + seconds
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGALRM, handler), signal.setitimer(signal.ITIMER_REAL, seconds)[0]
            self._before = before[0], time.monotonic() + before[1] if before[1] else None
            Timer._running.append(self)

    def undo(self) -> None:
        """Stops the timer. The Task before it that has not ended has its own again, or else who had one before."""
        running = Timer._running
        if self not in running:
            return
        place = running.index(self)
        running.remove(self)
        if place < len(running):  # a newer one has the timer; what was before this is before that
            running[place]._before = self._before if not place else running[place]._before
            return
        handler, due = (running[-1]._handler, running[-1]._due) if running else self._before
        signal.setitimer(signal.ITIMER_REAL, max(_AT_ONCE, due - time.monotonic()) if due is not None else 0.0)
        signal.signal(signal.SIGALRM, handler)
