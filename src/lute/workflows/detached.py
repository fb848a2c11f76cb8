"""A workflow run without a driver: each step runs on its own, as a batch job or an Airflow task (`step_job`).

What the steps know of each other stands in the workflow run's row of the record, and here is what they come to
together: how the row begins, how it takes in what a step or Slurm says, how it ends and how it is cancelled. Whoever
writes the end of the last step ends the workflow run. What became of a step whose job died without a word, Slurm is
asked by whoever looks at the workflow run.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lute.base.files import make_folder
from lute.batch.jobs import Job, OwnJob
from lute.batch.scheduler import own_job, scheduler
from lute.errors import RecordError, SchedulerError, UsageError, WorkflowError
from lute.execution import requests
from lute.graph.dag import Rule, Workflow, decide, verdict, why_not
from lute.record import workflow_store
from lute.record.rows import since_epoch, utc
from lute.record.schema import is_live
from lute.record.store import Record
from lute.record.workflow_store import by_step
from lute.wire.status import StepState, state_of_run
from lute.workflows import page
from lute.workflows.state import StepNode, entries_of, state_in, step_in

if TYPE_CHECKING:
    from lute.record.types import RunRow, StepEntry, WorkflowRow
    from lute.workflows.runner import WorkflowRun

logger = logging.getLogger(__name__)

SHARE, RAREST = 0.1, 30.0
"""The scheduler is asked again after this share of the time that was waited so far, and at least so often, in s."""
ENGINE = "on"
"""What tells in the `owner` of a workflow run that it has no driver: `slurm` or `airflow`."""


# ----------------------------------------------------------------------- what is known -> the row


def with_entries(steps: list[StepEntry], entries: list[StepEntry]) -> list[StepEntry]:
    """Returns the entries of all steps with those of one step in place of what was there of it.

    Instances that others write stay; the one entry of a step that had not begun gives way to its instances.
    """
    step = entries[0]["step"]
    several = by_step(steps)
    before = {entry["name"]: entry for entry in several.get(step, [])}
    jobs = {name: entry["job"] for name, entry in before.items()}
    new = {entry["name"]: _with_job(entry, jobs.get(entry["name"]) or jobs.get(step)) for entry in entries}
    kept = {name: entry for name, entry in before.items() if name != step or set(new) == {step}}
    several[step] = list((kept | new).values())
    return [entry for group in several.values() for entry in group]


def with_job(steps: list[StepEntry], step: str, job: str, count: int = 0, size: int = 1) -> list[StepEntry]:
    """Returns the entries of all steps with the job of one; what its job has already told stays.

    Args:
        steps: The entries.
        step: The step.
        job: Its job.
        count: The number of instances if it is an array; 0 if it is none.
        size: How many instances each job of the array has.
    """
    several = by_step(steps)
    before = {entry["name"]: entry for entry in several[step]}
    if not count:
        several[step] = [_with_job(entry, job) for entry in before.values()]
    else:
        blank = _blank(several[step][0])
        names = [f"{step}[{number}]" for number in range(count)]
        found = [before.get(name, blank | {"name": name}) for name in names]
        several[step] = [_with_job(entry, f"{job}_{number // size}") for number, entry in enumerate(found)]
    return [entry for group in several.values() for entry in group]


def _with_job(entry: StepEntry, job: str | None) -> StepEntry:
    return entry | {"job": job}


def _blank(entry: StepEntry) -> StepEntry:
    """Returns the entry of a step before it begins."""
    return entries_of(StepNode(step_in(entry)))[0]


def settle(row: WorkflowRow, jobs: Mapping[str, Job] | None = None, runs: Mapping[str, RunRow] | None = None) -> None:
    """Says in a workflow run's row what is known by now: of steps that never run, and of the whole.

    Args:
        row: The row. It is changed.
        jobs: What Slurm says of the jobs of steps that have not told how they ended.
        runs: The last runs of steps, by the instance's name: what is known of them goes before what Slurm says.
    """
    several = by_step(row["steps"])
    states: dict[str, StepState] = {}
    for name, entries in several.items():  # each comes after what it needs
        states[name] = state_in(entries)
        if states[name] is StepState.PENDING:
            _settle_waiting(entries, states, row)
        for entry in entries:
            job = (jobs or {}).get(entry["job"]) if entry["job"] else None
            if job is not None and job.ended and not StepState[entry["status"]].final:
                _take_end(entry, job, (runs or {}).get(entry["name"]))
        states[name] = state_in(entries)
    row["steps"] = [entry for group in several.values() for entry in group]
    if all(state.final for state in states.values()) and row["ended"] is None:
        if row["status"] == "RUNNING":
            row["status"], row["reason"] = verdict(states)
        now = time.time()
        row |= {"ended": utc(now), "wall_s": round(now - (since_epoch(row["started"]) or now), 6)}


def _settle_waiting(entries: list[StepEntry], states: Mapping[str, StepState], row: WorkflowRow) -> None:
    step = step_in(entries[0])
    found = decide(step, states, stopping=row["status"] != "RUNNING")
    if found is not None and found.final:
        reason = row["reason"] if found is StepState.CANCELLED else why_not(step, states)
        for entry in entries:
            entry |= {"status": found.value, "reason": reason}


def _take_end(entry: StepEntry, job: Job, run: RunRow | None) -> None:
    if run is not None and not is_live(run):
        _take_run(entry, run)
        return
    entry |= {"status": job.status, "reason": job.reason}
    if run is not None:
        entry |= {"id": run["id"], "attempt": run["attempt"], "started": run["started"]}


def _take_run(entry: StepEntry, run: RunRow) -> None:
    entry |= {
        "status": state_of_run(run["status"]).value,
        "reason": run["reason"],
        "id": run["id"],
        "attempt": run["attempt"],
        "started": run["started"],
        "ended": run["ended"],
        "exit_code": run["exit_code"],
    }


# --------------------------------------------------------------------------------- the row in the record


def begin(run: WorkflowRun, engine: str) -> WorkflowRow:
    """Records a workflow run whose steps others will run, and returns its row.

    Args:
        run: The workflow run.
        engine: What runs the steps: `slurm` or `airflow`.

    Raises:
        WorkflowError: What is not to run cannot be taken as it last was, or a setting holds a secret.
    """
    from lute.workflows.runner import hidden_in  # whoever has a run has it

    for name in hidden_in(run.row):
        raise WorkflowError(
            f"--set {name} holds a secret, and steps on {engine} take settings from the record, where secrets are not"
            " written: name the variable in it instead, as {{ $NAME }}"
        )
    run.prepared.check()
    run.prepared.progression.select()
    make_folder(run.folder)  # for the report
    run.row |= {"owner": {"on": engine}, "reason": ""}
    run.save()
    return run.row


def begin_again(record: Record, identity: str) -> WorkflowRow | None:
    """Opens a workflow run again: what did not complete, and what needs it, waits anew.

    Args:
        record: Where it is recorded.
        identity: Its whole id.

    Returns:
        Its row; None if there is no such workflow run.
    """
    if not workflow_store.is_there(record, identity):
        return None
    with workflow_store.changing(record, identity) as row:
        several = by_step(row["steps"])
        again: set[str] = set()
        for name, entries in several.items():  # each comes after what it needs
            state = state_in(entries)
            if state.bad or not state.final or again.intersection(entries[0]["needs"]):
                again.add(name)
                several[name] = [_blank(entries[0])]
        row["steps"] = [entry for group in several.values() for entry in group]
        row |= {"status": "RUNNING", "reason": "", "ended": None, "wall_s": None}
    return row


def begin_step_again(record: Record, identity: str, name: str, job: OwnJob) -> WorkflowRow:
    """Takes back what the first end of a job has brought about, since the job was started again. Returns the row.

    What was cancelled stays so.

    Args:
        record: Where the workflow run is recorded.
        identity: Its id.
        name: The step that the job runs.
        job: The job.
    """
    with workflow_store.changing(record, identity) as row:
        if row["status"] == "CANCELLED":
            return row
        again: set[str] = set()
        for entry in row["steps"]:  # each comes after what it needs
            own = entry["step"] == name and entry["job"] in job.ids
            after = entry["id"] is None and bool(again.intersection(entry["needs"]))
            if (own or after) and entry["status"] != "COMPLETED":
                again.add(entry["step"])
                entry |= {"status": "PENDING", "reason": "", "ended": None, "exit_code": None}
        if again and row["ended"] is not None:
            row |= {"status": "RUNNING", "reason": "", "ended": None, "wall_s": None}
    return row


def refresh(record: Record, identity: str) -> WorkflowRow:
    """Returns a workflow run's row, with what Slurm knows of jobs that ended without a word.

    Raises:
        RecordError: There is no such workflow run.
        SchedulerError: Slurm does not answer.
    """
    row = workflow_store.get(record, identity)
    if row["ended"] is not None:
        return row
    if whole := (row["owner"] or {}).get("job"):
        return _refresh_whole(record, row, whole)
    waiting = {entry["job"] for entry in row["steps"] if entry["job"] and not StepState[entry["status"]].final}
    jobs = {name: job for name, job in scheduler().jobs(waiting).items() if job.ended}
    if not jobs:
        return row
    runs = workflow_store.steps_of(record, identity)
    for entry in row["steps"]:
        run = runs.get(entry["name"])
        if run is not None and entry["job"] in jobs and is_live(run):
            job = jobs[entry["job"]]
            record.end_lost(run["id"], job.status, job.reason)
            runs[entry["name"]] = record.get(run["id"])
    with workflow_store.changing(record, identity) as row:
        settle(row, jobs, runs)
    report_if_ended(record, row)
    return row


class Watch:
    """Looks at a workflow run whose steps run elsewhere: into the record each time, at its jobs ever more rarely.

    Steps tell the record themselves how they go on. The scheduler is asked only for jobs that died without a word; that
    it does not answer is told, and it is asked again: jobs go on while it is restarted.
    """

    def __init__(self, record: Record, identity: str) -> None:
        self._record, self._identity = record, identity
        self._begun = self._next = time.monotonic()
        self._told = ""

    def look(self) -> WorkflowRow:
        """Returns the workflow run's row as it is now.

        Raises:
            RecordError: The record cannot be read.
        """
        now = time.monotonic()
        if now < self._next:
            return workflow_store.get(self._record, self._identity)
        try:
            row, self._told = refresh(self._record, self._identity), ""
        except SchedulerError as error:
            if str(error) != self._told:
                self._told = str(error)
                logger.warning("%s. The jobs may go on; it is asked again", error)
            row = workflow_store.get(self._record, self._identity)
        self._next = time.monotonic() + min(RAREST, (now - self._begun) * SHARE)
        return row


def _refresh_whole(record: Record, row: WorkflowRow, job: str) -> WorkflowRow:
    """Ends a workflow run all of whose steps run in one job, if that has ended without a word."""
    known = scheduler().jobs([job])[job]
    if not known.ended:
        return row
    workflow_store.end_lost(record, row["id"], known.reason)
    with workflow_store.changing(record, row["id"]) as row:
        row["ended"] = row["ended"] or utc(time.time())
    report_if_ended(record, row)
    return row


def mark_lost(record: Record) -> None:
    """Makes the workflow runs in the record true: those whose process is gone, those whose jobs have ended."""
    workflow_store.mark_lost(record)
    for identity in workflow_store.on_others(record):
        try:
            refresh(record, identity)
        except (RecordError, SchedulerError) as error:
            logger.info("what became of workflow run %s is not known: %s", identity, error)


def cancel(record: Record, identity: str, reason: str, status: str = "CANCELLED") -> WorkflowRow:
    """Cancels a workflow run: nothing new starts but steps with the rule `always`, and its jobs are cancelled.

    Args:
        record: Where it is recorded.
        identity: Its id.
        reason: Why, for its row.
        status: The status that it gets.

    Returns:
        Its row.

    Raises:
        SchedulerError: Slurm does not answer.
    """
    with workflow_store.changing(record, identity) as row:
        if row["ended"] is not None or row["status"] != "RUNNING":
            return row
        row |= {"status": status, "reason": reason}
        settle(row)
    here = own_job()
    own = set(here.ids) if here else set()
    jobs = {entry["job"] for entry in row["steps"] if entry["job"] and Rule(entry["rule"]) is not Rule.ALWAYS}
    if whole := (row["owner"] or {}).get("job"):
        jobs.add(whole)
    if jobs - own:
        scheduler().cancel(jobs - own)
    _ask_to_end(record, row)
    report_if_ended(record, row)
    return row


def _ask_to_end(record: Record, row: WorkflowRow) -> None:
    """Asks the steps that run in no job, so that nobody else can stop them from here."""
    entries = {entry["name"]: entry for entry in row["steps"]}
    for name, run in workflow_store.steps_of(record, row["id"]).items():
        entry = entries.get(name)
        if is_live(run) and (entry is None or (not entry["job"] and Rule(entry["rule"]) is not Rule.ALWAYS)):
            with contextlib.suppress(UsageError):  # it was asked before
                request = requests.Request(requests.CANCEL, requests.this_user(), row["reason"])
                requests.post(Path(run["log"]).with_name("request"), request)


def report_if_ended(record: Record, row: WorkflowRow) -> None:
    """Writes the report page of a workflow run that has ended."""
    if row["ended"] is None:
        return
    steps = {name: step_in(entries[0]) for name, entries in by_step(row["steps"]).items()}
    page.write_if_possible(Workflow(row["name"], steps), row, record)
