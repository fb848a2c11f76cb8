"""Loads what of a result came as pickles, when nothing of the run lives any more.

To load a pickle runs code of others: it may take for ever, end the process, or take all memory. So each is first
loaded in a process of its own, which is ended when its time is over; what did well there is loaded here. What did
not is kept as bytes, with the reason. Nothing of this decides about the run.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import select
import signal
import time
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from lute.base import procfs
from lute.base.time_limits import AlarmLimit, CallTimeout
from lute.wire.pickled import Pickled, Unloadable, pickled_in, replaced

LIMIT = 10.0
"""Longest time to load all of a result, in s; once in the process of its own, and once here."""
CANCELLED = "it was not loaded, since the run was cancelled"
_BEYOND = 1.0
"""Time after the limit when that process ends itself, in s: it only matters if we are gone."""
_LONGEST_REASON = 1000


class ResultLoader:
    """Loads what of one run's result came as pickles.

    Args:
        give_up: Looks around; returns whether someone wants it to end.
        look: Longest time between two looks, in s.
        limit: Longest time, in s.

    Attributes:
        originals: What each value that was loaded came as, by the value's `id()`.
    """

    def __init__(self, give_up: Callable[[], bool], look: float, limit: float = LIMIT) -> None:
        self._give_up, self._look, self._limit = give_up, look, limit
        self._alarm = AlarmLimit(limit)
        self._deadline = time.monotonic() + limit
        self.originals: dict[int, Pickled] = {}

    def stop(self) -> None:
        """Ends the loading that is under way here; may be called from a signal's handler."""
        self._alarm.ring()

    def load(self, value: Any) -> Any:
        """Returns a value with all that is pickled in it loaded, or as an `Unloadable` with the reason."""
        parts = pickled_in(value)
        reasons = self._try(parts)
        with self._alarm:
            found = {id(part): self._load(part, reason) for part, reason in zip(parts, reasons, strict=True)}
        try:
            return replaced(value, lambda part: found[id(part)])
        except Exception as error:  # one that is an item of a set has no hash here, say
            told = f"{type(error).__name__}: {error}"
            return replaced(value, lambda part: part.unloadable(told))

    def _load(self, part: Pickled, reason: str) -> Any:
        if not reason and (self._give_up() or time.monotonic() > self._deadline + self._limit):
            reason = self._why_ended()
        if reason:
            return part.unloadable(reason)
        try:
            value = self._alarm.call(part.load)
        except CallTimeout:
            return part.unloadable(self._why_ended())
        self.originals[id(value)] = part
        return value

    def _why_ended(self) -> str:
        return CANCELLED if self._give_up() else f"it could not be loaded in {self._limit:g} s"

    # ------------------------------------------------------------------------ in a process of its own

    def _try(self, parts: Sequence[Pickled]) -> list[str]:
        """Returns why each part cannot be loaded; an empty text for those that can."""
        reasons: list[str] = []
        while len(reasons) < len(parts):
            if self._give_up() or time.monotonic() >= self._deadline:
                return reasons + [self._why_ended()] * (len(parts) - len(reasons))
            reasons += self._trial(parts[len(reasons) :])
        return reasons

    def _trial(self, parts: Sequence[Pickled]) -> list[str]:
        """Returns the reasons for the first parts, up to one that ends the process."""
        read, write = os.pipe()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # a lock that a thread holds costs the time, no more
            pid = os.fork()
        if pid == 0:
            _load_each(parts, write, self._deadline - time.monotonic() + _BEYOND)
        os.close(write)
        try:
            told = self._hear(read, len(parts))
        finally:
            os.close(read)
            for kill in (os.killpg, os.kill):  # the first is for what it started; it may not be a group yet
                with contextlib.suppress(OSError):
                    kill(pid, signal.SIGKILL)
            _, status = os.waitpid(pid, 0)
        if len(told) < len(parts):
            late = self._give_up() or time.monotonic() >= self._deadline
            told.append(self._why_ended() if late else f"the process that loaded it {_ending(status)}")
        return told

    def _hear(self, read: int, count: int) -> list[str]:
        data = b""
        while data.count(b"\n") < count and not self._give_up():
            left = self._deadline - time.monotonic()
            if left <= 0:
                break
            if select.select([read], [], [], min(left, self._look))[0]:
                piece = os.read(read, 1 << 16)
                if not piece:
                    break
                data += piece
        return [_text_in(line) for line in data.split(b"\n")[:-1][:count]]


def _text_in(line: bytes) -> str:
    try:
        return str(json.loads(line))
    except ValueError:  # what was loaded has written there
        return "it meddled with the process that loaded it"


def _ending(status: int) -> str:
    if os.WIFSIGNALED(status):
        return f"was ended by {procfs.signal_name(os.WTERMSIG(status))}"
    return f"exited with status {os.WEXITSTATUS(status)}"


def _load_each(parts: Sequence[Pickled], write: int, seconds: float) -> NoReturn:
    """Loads parts in a new process and writes a line of JSON for each: why it cannot be loaded, or an empty text."""
    try:
        os.setsid()
        for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, seconds)
        _keep_only(write)
        _limit_memory()
        for part in parts:
            found = part.load()
            reason = found.reason if type(found) is Unloadable else ""
            os.write(write, json.dumps(reason[:_LONGEST_REASON]).encode() + b"\n")
    finally:
        os._exit(0)


def _keep_only(descriptor: int) -> None:
    """Closes what else is open: what is loaded here prints to nobody, and holds none of our connections open."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(nothing, number)
    for number in map(int, os.listdir("/proc/self/fd")):
        if number > 2 and number != descriptor:
            with contextlib.suppress(OSError):
                os.close(number)


def _limit_memory() -> None:
    """Lets this process take half of the memory that is free, and be the first to go where there is none left."""
    with contextlib.suppress(OSError, ValueError, LookupError):
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write("1000")
        free, used = _kib("/proc/meminfo", "MemAvailable:"), _kib("/proc/self/status", "VmData:")
        _, most = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, ((used + free // 2) << 10, most))


def _kib(file: str, name: str) -> int:
    with open(file) as lines:
        return next(int(line.split()[1]) for line in lines if line.startswith(name))
