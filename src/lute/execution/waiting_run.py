"""A run that waits for its batch job: in the record from the moment it was submitted, and then run under that id."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lute.batch.scheduler import own_job, scheduler
from lute.execution.executor import BaseExecutor
from lute.execution.plan import Plan
from lute.execution.recorder import RunContext
from lute.execution.run import SUBMITTED
from lute.models.base import AnalysisHeader
from lute.record.rows import RunFiles

if TYPE_CHECKING:
    from lute.record.types import Owner, RunRow


def waiting_row(executor: BaseExecutor, plan: Plan, place: RunContext, job: str) -> RunRow:
    """Returns the row of a run that waits for its job: PENDING, with all that is known by now."""
    run = executor.prepare(plan, place)
    owner: Owner = {"job": job, "cluster": "", "cwd": os.getcwd(), "config": plan.config_path}
    row = run.row()
    row |= {"owner": owner, "host": "", "reason": f"waits for {scheduler().NAME} job {job}"}
    return row


def place_in_job(plan: Plan, managed_task: str) -> RunContext:
    """Returns what a run is a part of; in a job of `lute submit` it is the run that waits for that job.

    A job that was started again runs under the same id, as another attempt, its log behind that of the first.
    """
    identity = os.environ.pop(SUBMITTED, "")  # what the Task starts is no such run
    if not identity:
        return RunContext(managed_task)
    files_of(plan, identity).job.unlink(missing_ok=True)  # of an attempt whose node failed
    job = own_job()
    return RunContext(managed_task, identity=identity, attempt=(job.restarts if job else 0) + 1, submitted=True)


def files_of(plan: Plan, identity: str) -> RunFiles:
    """Returns the files of a run that is not there yet."""
    return RunFiles.of(plan.params.lute_config.work_dir, identity)


def time_limit(header: AnalysisHeader, task: str) -> float | None:
    """Returns a Task's longest time in s, where the YAML file gives one; None where it is the usual one."""
    if task in header.task_timeouts:
        return float(header.task_timeouts[task])
    return float(header.task_timeout) if "task_timeout" in header.model_fields_set else None
