"""Calls to code of others, such as hooks and tasklets, with a limit on their time."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


class TookTooLong(BaseException):
    """The time for a call was over. No `except Exception` of the code that is called catches it."""


def call_in_place(function: Callable[[], Any], seconds: float) -> Any:
    """Calls a function in this thread and interrupts it when its time is over.

    It costs next to nothing, and is for calls that come by the thousand. Only the main thread can be interrupted,
    and only between Python's own steps; in another thread there is no limit.

    Raises:
        TookTooLong: The time was over.
    """
    if threading.current_thread() is not threading.main_thread():
        return function()

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"it took longer than {seconds:g} s")

    handler = signal.signal(signal.SIGALRM, interrupt)
    before = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        return function()
    finally:
        signal.setitimer(signal.ITIMER_REAL, *before)
        signal.signal(signal.SIGALRM, handler)


def call_beside(function: Callable[[], Any], seconds: float, give_up: Callable[[], bool], look: float) -> Any:
    """Calls a function in a thread of its own and waits for it.

    A function that does not return in time is left behind: its thread does not keep the process from ending.

    Args:
        function: What is called.
        seconds: Longest time for it.
        give_up: Asked while waiting; True ends the waiting.
        look: Time between two questions, in s.

    Raises:
        TookTooLong: The time was over, or the waiting was given up.
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
            raise TookTooLong("the run was cancelled, or its Task is gone")
        if left <= 0:
            raise TookTooLong(f"it took longer than {seconds:g} s")
    thread.join()
    if failed:
        raise failed[0]
    return found[0]
