"""Every status there is, and all that is known of each: the one place to change for a new one.

What a status looks like on a terminal, a page or a drawing is decided there by its `look`, of which there are few.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple, Union


class _About(NamedTuple):
    """What is known of a status.

    Attributes:
        final: Whether it stays.
        failed: Whether the Task itself came to no good end, so that trying again may help.
        exit_code: The exit code of a command that waited for it.
        symbol: What stands before it, so that its colour is not all that tells it from others.
        look: The kind of its colour: `good`, `bad`, `busy`, `odd` or `quiet`.
        badness: Of several, the one with the highest counts.
    """

    final: bool
    failed: bool
    exit_code: int
    symbol: str
    look: str
    badness: int


_ABOUT = {
    "PENDING": _About(False, False, 1, "…", "quiet", 2),
    "RUNNING": _About(False, False, 1, "▶", "busy", 3),
    "COMPLETED": _About(True, False, 0, "✓", "good", 1),
    "FAILED": _About(True, True, 1, "✗", "bad", 8),
    "STOPPED": _About(False, False, 1, "‖", "odd", 4),
    "CANCELLED": _About(True, False, 143, "⊘", "odd", 6),
    "TIMEDOUT": _About(True, True, 124, "⏲", "bad", 7),
    "SKIPPED": _About(True, False, 99, "-", "quiet", 0),
    "BLOCKED": _About(True, False, 99, "⊣", "odd", 5),
}
SYMBOLS = {name: about.symbol for name, about in _ABOUT.items()}
LOOKS = {name: about.look for name, about in _ABOUT.items()}


class _Known(Enum):
    """A status that knows what the table says of it."""

    @property
    def final(self) -> bool:
        """Whether it stays."""
        return _ABOUT[self.name].final

    @property
    def failed(self) -> bool:
        """Whether the Task itself came to no good end."""
        return _ABOUT[self.name].failed

    @property
    def exit_code(self) -> int:
        """The exit code of a command that waited for it."""
        return _ABOUT[self.name].exit_code

    @property
    def symbol(self) -> str:
        """What stands before it."""
        return _ABOUT[self.name].symbol

    @property
    def look(self) -> str:
        """The kind of its colour: `good`, `bad`, `busy`, `odd` or `quiet`."""
        return _ABOUT[self.name].look

    @property
    def badness(self) -> int:
        """Of several, the one with the highest counts."""
        return _ABOUT[self.name].badness

    @property
    def bad(self) -> bool:
        """Whether something went wrong, in the Task or in what it needs."""
        return self.final and self.badness > _ABOUT["COMPLETED"].badness


class TaskStatus(_Known):
    """Where a Task is in its life."""

    PENDING = 0
    """Not yet run: queued, or waiting for earlier Tasks."""
    RUNNING = 1
    """Running now."""
    COMPLETED = 2
    """Ran to its end with no fatal error."""
    FAILED = 3
    """Ended with a fatal error."""
    STOPPED = 4
    """Suspended, perhaps for a while."""
    CANCELLED = 5
    """Ended from outside before it completed or failed."""
    TIMEDOUT = 6
    """Ended because its time was over."""


class StepState(_Known):
    """Where a step of a workflow is."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    TIMEDOUT = "TIMEDOUT"
    CANCELLED = "CANCELLED"
    SKIPPED = "SKIPPED"
    """Its condition was false, or its rule cannot come true with nothing having failed."""
    BLOCKED = "BLOCKED"
    """What it needs failed."""


def state_of_run(status: Union[TaskStatus, str], ended: bool = True) -> StepState:
    """Returns the state of a step by the status of its run.

    A run that is suspended still runs. One that has ended with a status of the living, as an older `lute` kept it,
    has failed.

    >>> state_of_run("STOPPED", ended=False), state_of_run("STOPPED"), state_of_run(TaskStatus.TIMEDOUT)
    (<StepState.RUNNING: 'RUNNING'>, <StepState.FAILED: 'FAILED'>, <StepState.TIMEDOUT: 'TIMEDOUT'>)
    """
    known = TaskStatus[status] if isinstance(status, str) else status
    if not known.final:
        return StepState.FAILED if ended else StepState.PENDING if known is TaskStatus.PENDING else StepState.RUNNING
    return StepState[known.name]


def exit_code_of(name: str) -> int:
    """Returns the exit code of a command that waited for a status."""
    return _ABOUT[name].exit_code


def badness_of(name: str) -> int:
    """Returns how much a status counts among several; one that is not known counts most."""
    return _ABOUT[name].badness if name in _ABOUT else len(_ABOUT)


LIVE = tuple(status.name for status in TaskStatus if not status.final)
"""The statuses of a run that has not ended."""
