"""Jobs of a batch system as plain data: what is asked for one, and what a scheduler says of one."""

from __future__ import annotations

from dataclasses import dataclass

Options = dict[str, "str | None"]
"""Options of a job by their long names; None for one without a value.

A scheduler has names of its own. Those that `lute` itself sets and reads, every scheduler must understand. They are
written as `sbatch` has them: `job-name`, `output` (with `%j`, `%A` and `%a`), `ntasks`, `cpus-per-task`, `mem` (`10M`),
`time`, `open-mode`, `array` (`0-9`), `dependency` (`afterok:1:2`, `afterok:1?afterok:2`, `afternotok`, `afterany`) and
`kill-on-invalid-dep`.
"""


@dataclass(frozen=True)
class Job:
    """What a scheduler says of a job.

    Attributes:
        state: Its state in the scheduler's own word; `UNKNOWN` if the scheduler does not know the job any more.
        ended: Whether it has ended.
        status: The status of a run whose job ended so, when nobody else reported how the run ended.
        reason: Why a run ended whose job ended so.
    """

    state: str
    ended: bool = False
    status: str = "FAILED"
    reason: str = ""


@dataclass(frozen=True)
class OwnJob:
    """The job that a process is in.

    Attributes:
        id: Its id, `123` or `123_4`.
        ids: All names by which the scheduler may call it.
        cluster: The cluster that runs it, where the scheduler has several.
        index: Its number in an array; None if it is not part of one.
        restarts: How often the scheduler has started it again.
    """

    id: str
    ids: tuple[str, ...] = ()
    cluster: str = ""
    index: int | None = None
    restarts: int = 0
