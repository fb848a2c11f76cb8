"""What `lute` asks of a batch system, whichever it is, and the table of those that it knows.

A scheduler is a module with the functions of `Scheduler`; Slurm's is `lute.batch.slurm`. A new one is one module, and
one entry in `lute.registry.SCHEDULERS`.
"""

from __future__ import annotations

import importlib
import logging
import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, cast

from lute import registry
from lute.errors import SchedulerError, UsageError, did_you_mean

if TYPE_CHECKING:
    from lute.batch.jobs import Job, Options, OwnJob
    from lute.record.types import Owner


logger = logging.getLogger(__name__)

LOOK = 1.0
"""Time between two looks at jobs, in s."""
STOP_SIGNALS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM"}
"""The signals by which somebody who waits for a job cancels it."""


class Scheduler(Protocol):
    """A batch system, asked by its own commands.

    Attributes:
        NAME: What people call it.
    """

    NAME: str

    # ------------------------------------------------------------------------------------------- options

    def read_options(self, words: str | Sequence[str]) -> Options:
        """Returns the options that a person wrote, by their long names; of one that is given twice, the last.

        Raises:
            UsageError: A word is not an option, or an option cannot be given here.
        """

    def merged(self, *several: Mapping[str, str | None]) -> Options:
        """Returns options in which later ones replace the same, or contradicting, earlier ones."""

    def seconds_of(self, text: str | None) -> float | None:
        """Returns the time limit in s that the option `time` asks for; None if it asks for none."""

    def warning(self, grace: float) -> Options:
        """Returns the options that warn a job of its time limit so early that its Task can end within `grace` s."""

    # ---------------------------------------------------------------------------------------------- jobs

    def script(
        self, options: Mapping[str, str | None], command: Sequence[str], settings: Mapping[str, str] | None = None
    ) -> str:
        """Returns the script of a job that becomes `command`, with the variables in `settings` set before."""

    def submit(self, text: str, env: Mapping[str, str] | None = None) -> str:
        """Submits a script. Returns the job's id.

        Args:
            text: The script.
            env: The environment that the job starts from; this process's if not given.

        Raises:
            SchedulerBusyError: It takes no more jobs of this user until others have ended.
            SchedulerError: The scheduler refused it, or cannot be reached.
        """

    def largest_array(self) -> int:
        """Returns the most jobs that an array may have.

        Raises:
            SchedulerError: The scheduler does not answer.
        """

    def jobs(self, identities: Iterable[str]) -> dict[str, Job]:
        """Returns the states of jobs, by their ids; each id is answered.

        Raises:
            SchedulerError: The scheduler does not answer.
        """

    def ends(
        self, in_jobs: Mapping[str, tuple[str, str]], gone: Iterable[str] = ()
    ) -> dict[str, tuple[str, str] | None]:
        """Returns what became of runs in jobs: status and reason, or None for one that may go on.

        A run that is left out lives on, or has ended for a reason that the scheduler does not know.

        Args:
            in_jobs: The job and the cluster of each run.
            gone: Runs whose process is known to be gone.

        Raises:
            SchedulerError: The scheduler does not answer.
        """

    def cancel(self, identities: Iterable[str]) -> None:
        """Cancels jobs: those that wait are taken back, those that run get SIGTERM. A job that has ended is no error.

        Raises:
            SchedulerError: The scheduler does not answer.
        """

    def taken_back(self, own: OwnJob) -> str:
        """Returns why the job of this process, which was told to end, will be started again; nothing if it will not.

        Raises:
            SchedulerError: The scheduler does not answer.
        """

    def started_again(self, own: OwnJob) -> str:
        """Returns why the job of this process was started again, as far as that is known."""

    def own_job(self, env: Mapping[str, str]) -> OwnJob | None:
        """Returns the job of the process that has this environment; None if it is in no job of this scheduler."""


def scheduler() -> Scheduler:
    """Returns the scheduler that `$LUTE_SCHEDULER` names: Slurm if it names none.

    Raises:
        UsageError: It is neither in the table nor a module.
    """
    name = registry.scheduler_name()
    module = registry.SCHEDULERS[name][0] if name in registry.SCHEDULERS else name
    try:
        return cast(Scheduler, importlib.import_module(module))
    except ModuleNotFoundError as error:
        if error.name != module.split(".")[0]:
            raise
        raise UsageError(
            f"${registry.SCHEDULER} names the scheduler {name!r}, which does not exist."
            f"{did_you_mean(name, registry.SCHEDULERS)} It may be {' or '.join(registry.SCHEDULERS)}, or the name of a"
            " module"
        ) from error


def own_job() -> OwnJob | None:
    """Returns the job that this process is in; None if it is in none."""
    return scheduler().own_job(os.environ) if registry.may_be_in_job() else None


def taken_back() -> str:
    """Returns why the job of this process, which was told to end, will be started again; nothing if it will not."""
    job = own_job()
    try:
        return scheduler().taken_back(job) if job else ""
    except SchedulerError as error:
        logger.warning("whether job %s will be started again is not known: %s", job and job.id, error)
        return ""


def job_here() -> Owner:
    """Returns what the owner of a run notes of the job that it is a part of: nothing if it is in none."""
    job = own_job()
    return {"job": job.id, "cluster": job.cluster} if job else {}


if TYPE_CHECKING:
    from lute.batch import slurm

    _conforms: Scheduler = slurm
