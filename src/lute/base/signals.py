"""Signals that ask for an end, told by their names to whoever can act on them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager


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
