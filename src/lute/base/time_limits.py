"""Calls to code of others, such as hooks and tasklets, with a limit on their time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any


class CallTimeout(BaseException):
    """The time for a call was over. No `except Exception` of the code that is called catches it."""


class AlarmLimit:
    """Limits the time of calls in this thread; those within one `with` share a timer, as many in a row need.

    Only the main thread can be interrupted, and only between Python's own steps; in another thread there is no limit.

    Args:
        seconds: Longest time for each call.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._entered = 0
        self._before: tuple[Any, tuple[float, float]] | None = None
        self._deadline: float | None = None

    def __enter__(self) -> AlarmLimit:
        self._entered += 1
        return self

    def __exit__(self, *error: object) -> None:
        self._entered -= 1
        if not self._entered and self._before:
            (handler, timer), self._before = self._before, None
            signal.setitimer(signal.ITIMER_REAL, *timer)
            signal.signal(signal.SIGALRM, handler)

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        """Calls a function and interrupts it when its time is over.

        Raises:
            CallTimeout: The time was over.
        """
        with self:
            if self._before is None:
                self._arm()
            self._deadline = time.monotonic() + self._seconds
            try:
                return function(*args)
            finally:
                self._deadline = None

    def ring(self) -> None:
        """Ends the call that is under way, as if its time were over; may be called from a signal's handler."""
        if self._before is not None and self._deadline is not None:
            self._deadline = 0.0
            signal.raise_signal(signal.SIGALRM)

    def _arm(self) -> None:
        """Lets the timer ring again and again, so that it always does before the time of the next call is over."""
        if threading.current_thread() is threading.main_thread():
            handler = signal.signal(signal.SIGALRM, self._ring)
            self._before = handler, signal.setitimer(signal.ITIMER_REAL, self._seconds, self._seconds)

    def _ring(self, number: int, frame: FrameType | None) -> None:
        if self._deadline is None:
            return
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise CallTimeout(f"it took longer than {self._seconds:g} s")
        signal.setitimer(signal.ITIMER_REAL, left, self._seconds)


def call_in_thread(function: Callable[[], Any], seconds: float, give_up: Callable[[], bool], look: float) -> Any:
    """Calls a function in a thread of its own and waits for it.

    A function that does not return in time is left behind: its thread does not keep the process from ending.

    Args:
        function: What is called.
        seconds: Longest time for it.
        give_up: Asked while waiting; True ends the waiting.
        look: Time between two questions, in s.

    Raises:
        CallTimeout: The time was over, or the waiting was given up.
        Exception: Whatever the function raised.
    """
    found: list[Any] = []
    failed: list[BaseException] = []
    done = threading.Event()

    def work() -> None:
        try:
            found.append(function())
        except BaseException as error:
            failed.append(error)
        finally:
            done.set()

    thread = threading.Thread(target=work, daemon=True, name="lute-tasklet")
    thread.start()
    left = seconds
    while not done.wait(min(look, left)):
        left -= look
        if give_up():
            raise CallTimeout("the run was cancelled, or its Task is gone")
        if left <= 0:
            raise CallTimeout(f"it took longer than {seconds:g} s")
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
