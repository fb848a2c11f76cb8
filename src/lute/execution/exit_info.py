"""How the processes of a run ended, and how long they may take. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from lute.errors import LuteError

TIMEOUT = "timeout"
"""Who stopped a run whose own time was over."""
_WARNING = "(a batch system's warning that the job's time is nearly over)"
JOB_LIMITS = f"SIGUSR1 {_WARNING}", f"SIGUSR2 {_WARNING}"
"""Who stopped a run whose batch job's time was nearly over."""
TASKLET = "a tasklet that failed before the Task"
"""Who stopped a run that was not to begin."""


@dataclass
class ExitInfo:
    """How the processes of a run ended.

    Attributes:
        exit_code: Exit status of the first process; None if a signal ended it or it never started.
        signal: Name of the signal that ended it.
        core: Whether it left a core file.
        user_s: User time, in s.
        system_s: System time, in s.
        max_rss_kib: Peak memory, in KiB.
        failed: Why it could not be started.
        errno: The error's number, if it could not be started.
        stopped_by: `timeout`, a tasklet, or who cancelled it; None if it ended by itself.
        unprepared: Why the child could make no Task.
        rank: What an MPI rank other than the one that speaks failed with.
        out_of_memory: Whether the kernel's memory killer ended it.
        lost: Why it could not be run, or its end not be seen.
        taken_back: Why its batch job ends, which will be started again.
        place: Where in the project's own files an exception came from, as ` (peaks.py:19)`.
    """

    exit_code: int | None = None
    signal: str | None = None
    core: bool = False
    user_s: float = 0.0
    system_s: float = 0.0
    max_rss_kib: int = 0
    failed: str | None = None
    errno: int | None = None
    stopped_by: str | None = None
    unprepared: str | None = None
    rank: str | None = None
    lost: str | None = None
    out_of_memory: bool = False
    taken_back: str = ""
    place: str = ""

    @property
    def ran(self) -> bool:
        """Whether what was to be run has run, and its end was seen."""
        return self.stopped_by != TASKLET and (self.exit_code is not None or self.signal is not None)


class SourcingCancelled(LuteError):
    """A script of `shell_source` was stopped: `by` is `timeout`, or who cancelled the run."""

    def __init__(self, by: str) -> None:
        super().__init__(f"stopped by {by}")
        self.by = by


class Timeouts(NamedTuple):
    """Times of a run, in s.

    Attributes:
        timeout: Longest time for the Task.
        clean_up_grace: For the Task's own clean-up when it is stopped.
        terminate_grace: Between SIGTERM and SIGKILL.
        poll_interval: Longest time between two looks where there is nothing to wait on.
    """

    timeout: float
    clean_up_grace: float = 5.0
    terminate_grace: float = 3.0
    poll_interval: float = 0.05
