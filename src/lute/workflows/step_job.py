"""One step of a workflow run on its own: what a batch job or an Airflow task runs; or all steps, in one job.

A step reads in the record how those ended that it needs, runs as it would beside them, and writes there how it goes
on and ends. What all of them come to is worked out in `lute.workflows.detached`.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypedDict

from lute.batch.scheduler import own_job, scheduler, taken_back
from lute.errors import WorkflowError
from lute.execution.run import STOP_SIGNALS
from lute.graph.dag import Rule
from lute.record import workflow_store
from lute.record.rows import fingerprint_of
from lute.record.schema import is_live
from lute.record.store import Record
from lute.record.workflow_store import by_step
from lute.wire.status import StepState
from lute.workflows import detached
from lute.workflows.detached import ENGINE, cancel, report_if_ended, settle, with_entries
from lute.workflows.engines.local import LocalEngine
from lute.workflows.prepared import PreparedWorkflow
from lute.workflows.runner import SAVE_EVERY, Viewer, WorkflowRun, in_its_folder, kept_in, options_in
from lute.workflows.state import Follower, StepInstance, StepNode, Watcher, entries_of, restore, state_in, waiting_again

if TYPE_CHECKING:
    from lute.record.types import RunRow, StepEntry, WorkflowRow


def run_step(
    record: Record,
    identity: str,
    name: str,
    numbers: range | None = None,
    watcher: Watcher = lambda node, instance: None,
    follower: Callable[[str], Follower | None] = lambda name: None,
) -> StepState:
    """Runs one step of a workflow run, or some instances of it, here. Returns how that ended.

    Args:
        record: Where the workflow run is recorded.
        identity: Its id.
        name: The step.
        numbers: The numbers of instances of its `foreach`; None for all.
        watcher: Told of each change.
        follower: Returns what follows the log of an instance's attempt, by the instance's name.

    Raises:
        RecordError: There is no such workflow run, or the record cannot be written.
        WorkflowError: There is no such step.
    """
    row = _row_for(record, identity, name)
    with in_its_folder(row):
        return _run_step(record, row, name, numbers, watcher, follower)


def _run_step(
    record: Record,
    row: WorkflowRow,
    name: str,
    numbers: range | None,
    watcher: Watcher,
    follower: Callable[[str], Follower | None],
) -> StepState:
    identity = row["id"]
    workflow, config, overrides = kept_in(row, ())
    step = workflow.find(name)
    if row["status"] != "RUNNING" and step.rule is not Rule.ALWAYS:
        return StepState.CANCELLED
    options = replace(options_in(row), jobs=None)  # those are the whole workflow's
    told = _Told(record, identity, watcher)
    prepared = PreparedWorkflow(workflow, config, overrides, options, record, _known(record, row, name), told)
    _restore_others(record, prepared.nodes, name, row["steps"])
    node = told.node = prepared.progression.limit_to(name, numbers)
    told.stopped_by = lambda: prepared.progression.stopped_by
    engine = LocalEngine(prepared, identity, told.look, follower)
    engine.submit()
    engine.wait()
    told.write()
    if node.state.bad and options.fail_fast and not told.again:
        cancel(record, identity, f"--fail-fast: {name} {node.state.value}", "FAILED")
    return node.state


def _row_for(record: Record, identity: str, name: str) -> WorkflowRow:
    """Returns the row of a workflow run as a step of it is to see it.

    Of jobs that should have ended by now, but have not said how, the scheduler is asked; and if this job was started
    again, what came of its first end is taken back.
    """
    row, job = workflow_store.get(record, identity), own_job()
    if job and job.restarts:
        row = detached.begin_step_again(record, identity, name, job)
    needs = {need for entry in row["steps"] if entry["step"] == name for need in entry["needs"]}
    told = all(StepState[entry["status"]].final for entry in row["steps"] if entry["step"] in needs)
    return row if told else detached.refresh(record, identity)


def _known(record: Record, row: WorkflowRow, name: str) -> dict[str, RunRow]:
    """Returns the runs that a step has already had; one that seems to live belongs to a job that was started again."""
    known = workflow_store.steps_of(record, row["id"])
    own = {instance: run for instance, run in known.items() if instance.partition("[")[0] == name}
    job = own_job()
    for instance, run in own.items():
        if job and is_live(run) and (run["owner"] or {}).get("job") == job.id:
            record.end_lost(run["id"], "FAILED", scheduler().started_again(job))
            own[instance] = record.get(run["id"])
    return own


def _restore_others(record: Record, nodes: Mapping[str, StepNode], name: str, entries: Iterable[StepEntry]) -> None:
    """Makes all steps but one what the record has of them, those that this one needs with their fingerprints."""
    for other, several in by_step(entries).items():
        if other != name:
            restore(nodes[other], several)
    for need in nodes[name].step.needs:
        for instance in nodes[need].instances:
            if instance.outcome is not None and instance.outcome.run:
                row = record.get(instance.outcome.run)
                instance.outcome.fingerprint, instance.outcome.outputs = fingerprint_of(row), row["outputs"] or ()


class _Told:
    """Writes how a step goes on into the workflow run's row: when it begins, at most once a second, and at its end.

    Attributes:
        node: The step.
        stopped_by: Returns what stopped it; nothing if nothing did.
        again: Why its job will be started again, when that has been asked for; nothing if it will not.
    """

    def __init__(self, record: Record, identity: str, watcher: Watcher) -> None:
        self._record, self._identity, self._watcher = record, identity, watcher
        self.node: StepNode | None = None
        self.stopped_by: Callable[[], str] = str
        self.again: str | None = None
        self._at, self._changed = -SAVE_EVERY, False

    def __call__(self, node: StepNode, instance: StepInstance | None) -> None:
        self._changed = True
        self._watcher(node, instance)

    def look(self) -> None:
        if self._changed and time.monotonic() - self._at > SAVE_EVERY:
            self.write()

    def write(self) -> None:
        assert self.node is not None
        self._at, self._changed = time.monotonic(), False
        entries = entries_of(self.node)
        if self.stopped_by() == STOP_SIGNALS[signal.SIGTERM] and any(
            entry["status"] == "CANCELLED" for entry in entries
        ):
            self.again = taken_back() if self.again is None else self.again
            entries = waiting_again(entries, self.again)
        with workflow_store.changing(self._record, self._identity) as row:
            row["steps"] = with_entries(row["steps"], entries)
            settle(row)
        report_if_ended(self._record, row)


class StepReport(TypedDict):
    """How a step stands and what it gave; of a step with `foreach`, the last four are lists, one item an instance."""

    workflow: str
    step: str
    status: str
    reason: str
    id: str | list[str | None] | None
    summary: str | list[str | None] | None
    result: Any
    log: str | list[str | None] | None


def told_of(record: Record, identity: str, name: str) -> StepReport:
    """Returns how a step stands and what it gave; of a step with `foreach`, a list with one item an instance."""
    entries = by_step(workflow_store.get(record, identity)["steps"])[name]
    state = state_in(entries).value
    runs = [record.get(entry["id"]) if entry["id"] else {} for entry in entries]

    def given(column: str) -> Any:
        values = [run.get(column) for run in runs]
        return values[0] if entries[0]["name"] == name else values

    reason = next((entry["reason"] for entry in entries if entry["status"] == state), "")
    return {
        "workflow": identity,
        "step": name,
        "status": state,
        "reason": reason,
        "id": given("id"),
        "summary": given("summary"),
        "result": given("payload"),
        "log": given("log"),
    }


def run_all(record: Record, identity: str, viewer: Viewer | None = None) -> WorkflowRow:
    """Runs all steps of a workflow run here, side by side: in the one job that was submitted for them.

    Raises:
        RecordError: There is no such workflow run.
        WorkflowError: It does not wait for that.
    """
    row = workflow_store.get(record, identity)
    with in_its_folder(row):
        return _run_all(record, row, viewer)


def _run_all(record: Record, row: WorkflowRow, viewer: Viewer | None) -> WorkflowRow:
    identity = row["id"]
    run = WorkflowRun(*kept_in(row, ()), options_in(row), viewer, earlier=row)
    with workflow_store.changing(record, identity) as row:
        known, job = row["owner"] or {}, own_job()
        waits = row["status"] == "RUNNING" and (known.get(ENGINE) or (job and known.get("job") == job.id))
        if not waits:
            raise WorkflowError(f"workflow run {identity} is {row['status']}, and waits for no job")
        row["owner"] = run.row["owner"]
    run.taken_back = taken_back
    return run.execute()
