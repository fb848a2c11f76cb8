"""A workflow run without a driver: each step runs on its own, as a batch job or an Airflow task.

What all of them know of each other stands in the workflow run's row of the record. Each step reads there how those
ended that it needs, runs, and writes how it ended itself; whoever writes the last of them ends the workflow run. What
became of a step whose job died without a word, Slurm is asked by whoever looks at the workflow run.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from lute import slurm
from lute.errors import RecordError, SlurmError, UsageError, WorkflowError
from lute.execution import requests
from lute.execution.logging import get_logger
from lute.io import owner, workflow_record
from lute.io._schema import LIVE
from lute.io.files import make_folder
from lute.io.record import Record
from lute.io.rows import utc
from lute.workflows import page
from lute.workflows.dag import Rule, State, Step, Workflow, decide, state_of_all, verdict, why_not
from lute.workflows.local import Local
from lute.workflows.nodes import Follower, Instance, Node, Options, Outcome, Watcher, entries_of
from lute.workflows.runner import SAVE_EVERY, Viewer, WorkflowRun, kept_in

logger = get_logger(__name__)

ENGINE = "on"
"""What tells in the `owner` of a workflow run that it has no driver: `slurm` or `airflow`."""
OF_A_RUN = ("status", "reason", "id", "attempt", "started", "ended", "exit_code")


def begin(run: WorkflowRun, engine: str) -> dict[str, Any]:
    """Records a workflow run whose steps others will run, and returns its row.

    Args:
        run: The workflow run.
        engine: What runs the steps: `slurm` or `airflow`.

    Raises:
        WorkflowError: What is not to run cannot be taken as it last was.
    """
    run.local.check()
    run.local.select()
    make_folder(run.folder)  # for the report
    run.row |= {"owner": {ENGINE: engine}, "reason": ""}
    run.save()
    return run.row


def begin_again(record: Record, identity: str) -> dict[str, Any] | None:
    """Opens a workflow run again: what did not complete, and what needs it, waits anew.

    Args:
        record: Where it is recorded.
        identity: Its whole id.

    Returns:
        Its row; None if there is no such workflow run.
    """
    if not workflow_record.is_there(record, identity):
        return None
    with workflow_record.changing(record, identity) as row:
        several = by_step(row["steps"])
        anew: set[str] = set()
        for name, entries in several.items():  # each comes after what it needs
            state = state_of_all([State[entry["status"]] for entry in entries])
            if state.bad or not state.final or anew.intersection(entries[0]["needs"]):
                anew.add(name)
                several[name] = [_blank(entries[0])]
        row["steps"] = [entry for group in several.values() for entry in group]
        row |= {"status": "RUNNING", "reason": "", "ended": None, "wall_s": None}
    return row


def _blank(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the entry of a step before it begins."""
    step = Step(entry["task"], entry["step"], tuple(entry["needs"]), Rule(entry["rule"]))
    return entries_of(Node(step))[0]


# --------------------------------------------------------------------------------- one step, on its own


class OneStep(Local):
    """One step of a workflow run, or one instance of it; the others are as the record has them.

    Args:
        name: The step.
        index: The number of its instance; None for all.
        entries: What the record has of all steps.
        *arguments: As for `Local`.
        **keywords: As for `Local`.
    """

    def __init__(
        self, name: str, index: int | None, entries: Iterable[Mapping[str, Any]], *arguments: Any, **keywords: Any
    ) -> None:
        super().__init__(*arguments, **keywords)
        self._index = index
        self.node = self.nodes[name]
        self.node.waiting_for, self.node.needed_by = 0, []
        for other, several in by_step(entries).items():
            if other != name:
                restore(self.nodes[other], several)

    def _begin_all(self) -> None:
        for name in self.node.step.needs:
            for instance in self.nodes[name].instances:
                if instance.outcome is not None and instance.outcome.run:
                    instance.outcome.mark = self._record.get(instance.outcome.run)["fingerprint"] or ""
        self._settle(self.node)
        if not (self.node.state.final or self.node.instances):
            waits = [name for name in self.node.step.needs if not self.nodes[name].state.final]
            self._end_node(self.node, State.FAILED, f"it was started before {', '.join(waits)} had ended")

    def _instances(self, node: Node) -> list[Instance]:
        found = super()._instances(node)
        if self._index is None:
            return found
        wanted = f"{node.step.name}[{self._index}]"
        if not any(one.name == wanted for one in found):
            raise WorkflowError(f"step {node.step.name} has {len(found)} instances: there is no {wanted}")
        return [one for one in found if one.name == wanted]


def restore(node: Node, entries: Iterable[Mapping[str, Any]]) -> None:
    """Makes a step what the record has of it."""
    entries = list(entries)
    node.state = state_of_all([State[entry["status"]] for entry in entries])
    node.reason = next((entry["reason"] for entry in entries if entry["status"] == node.state.value), "")
    node.instances = []
    for entry in entries:
        if entry["id"] is None and entry["name"] == entry["step"]:
            continue  # it has not begun, or was never to run
        state = State[entry["status"]]
        times = (_seconds(entry["started"]), _seconds(entry["ended"]))
        outcome = Outcome(state, entry["reason"], entry["id"], entry["exit_code"], *times, reused=entry["reused"])
        node.instances.append(Instance(entry["name"], node, attempt=entry["attempt"], state=state, outcome=outcome))


def _seconds(moment: str | None) -> float | None:
    return datetime.fromisoformat(moment).timestamp() if moment else None


def run_step(
    record: Record,
    identity: str,
    name: str,
    index: int | None = None,
    watcher: Watcher = lambda node, instance: None,
    follower: Callable[[str], Follower | None] = lambda name: None,
) -> State:
    """Runs one step of a workflow run, or one instance of it, here. Returns how that ended.

    Args:
        record: Where the workflow run is recorded.
        identity: Its id.
        name: The step.
        index: The number of an instance of its `foreach`; None for all.
        watcher: Told of each change.
        follower: Returns what follows the log of an instance's attempt, by the instance's name.

    Raises:
        RecordError: There is no such workflow run, or the record cannot be written.
        WorkflowError: There is no such step.
    """
    row = workflow_record.get(record, identity)
    workflow, config, overrides = kept_in(row, ())
    step = workflow.find(name)
    if row["status"] != "RUNNING" and step.rule is not Rule.ALWAYS:
        return State.CANCELLED
    options = replace(options_in(row), jobs=None)  # those are the whole workflow's
    told = _Told(record, identity, watcher)
    known = _known(record, row, name)
    place = (workflow, identity, config, overrides, options, record, told, told.look, known)
    one = OneStep(name, index, row["steps"], *place)
    told.node, one.follower = one.node, follower
    one.execute()
    told.write()
    if one.node.state.bad and one.options.fail_fast:
        cancel(record, identity, f"--fail-fast: {name} {one.node.state.value}", "FAILED")
    return one.node.state


def _known(record: Record, row: Mapping[str, Any], name: str) -> dict[str, dict[str, Any]]:
    """Returns the runs that a step has already had; one that seems to live belongs to a job that was started again."""
    known = workflow_record.steps_of(record, row["id"])
    own = {instance: run for instance, run in known.items() if instance.partition("[")[0] == name}
    for instance, run in own.items():
        if run["status"] in LIVE and (run["owner"] or {}).get("job") == owner.own_job() != "":
            record.end_lost(run["id"], "FAILED", f"Slurm started job {owner.own_job()} again")
            own[instance] = record.get(run["id"])
    return own


def told_of(record: Record, identity: str, name: str) -> dict[str, Any]:
    """Returns how a step stands and what it gave; of a step with `foreach`, a list with one item an instance."""
    entries = by_step(workflow_record.get(record, identity)["steps"])[name]
    state = state_of_all([State[entry["status"]] for entry in entries]).value
    runs = [record.get(entry["id"]) if entry["id"] else {} for entry in entries]
    parts = {"id": "id", "summary": "summary", "result": "payload", "log": "log"}
    gave: dict[str, Any] = {part: [run.get(key) for run in runs] for part, key in parts.items()}
    if entries[0]["name"] == name:
        gave = {part: values[0] for part, values in gave.items()}
    reason = next((entry["reason"] for entry in entries if entry["status"] == state), "")
    return {"workflow": identity, "step": name, "status": state, "reason": reason, **gave}


class _Told:
    """Writes how a step goes on into the workflow run's row: when it begins, at most once a second, and at its end."""

    def __init__(self, record: Record, identity: str, watcher: Watcher) -> None:
        self._record, self._identity, self._watcher = record, identity, watcher
        self.node: Node | None = None
        self._at, self._changed = -SAVE_EVERY, False

    def __call__(self, node: Node, instance: Instance | None) -> None:
        self._changed = True
        self._watcher(node, instance)

    def look(self) -> None:
        if self._changed and time.monotonic() - self._at > SAVE_EVERY:
            self.write()

    def write(self) -> None:
        assert self.node is not None
        self._at, self._changed = time.monotonic(), False
        with workflow_record.changing(self._record, self._identity) as row:
            row["steps"] = with_entries(row["steps"], entries_of(self.node))
            settle(row)
        report_if_ended(self._record, row)


# ------------------------------------------------------------------------------ what all of them come to


def by_step(entries: Iterable[Mapping[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """Returns the entries of each step."""
    found: dict[str, list[dict[str, Any]]] = {}
    for entry in entries:
        found.setdefault(entry["step"], []).append(dict(entry))
    return found


def with_entries(steps: list[dict[str, Any]], entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Returns the entries of all steps with those of one step in place of what was there of it.

    Instances that others write stay; the one entry of a step that had not begun gives way to its instances.
    """
    step = entries[0]["step"]
    several = by_step(steps)
    before = {entry["name"]: entry for entry in several.get(step, [])}
    job = before.get(step, {}).get("job")
    new = {entry["name"]: entry | {"job": before.get(entry["name"], {}).get("job") or job} for entry in entries}
    kept = {name: entry for name, entry in before.items() if name != step or set(new) == {step}}
    several[step] = list((kept | new).values())
    return [entry for group in several.values() for entry in group]


def with_job(steps: list[dict[str, Any]], step: str, job: str, count: int) -> list[dict[str, Any]]:
    """Returns the entries of all steps with the job of one; what its job has already told stays.

    Args:
        steps: The entries.
        step: The step.
        job: Its job.
        count: The number of jobs if it is an array; 0 if it is none.
    """
    several = by_step(steps)
    before = {entry["name"]: entry for entry in several[step]}
    if not count:
        several[step] = [entry | {"job": job} for entry in before.values()]
    else:
        blank = _blank(several[step][0])
        names = [f"{step}[{number}]" for number in range(count)]
        several[step] = [
            before.get(name, blank | {"name": name}) | {"job": f"{job}_{number}"} for number, name in enumerate(names)
        ]
    return [entry for group in several.values() for entry in group]


def settle(
    row: dict[str, Any], jobs: Mapping[str, slurm.Job] | None = None, runs: Mapping[str, Any] | None = None
) -> None:
    """Says in a workflow run's row what is known by now: of steps that never run, and of the whole.

    Args:
        row: The row. It is changed.
        jobs: What Slurm says of the jobs of steps that have not told how they ended.
        runs: The last runs of steps, by the instance's name: what is known of them goes before what Slurm says.
    """
    several = by_step(row["steps"])
    states: dict[str, State] = {}
    for name, entries in several.items():  # each comes after what it needs
        states[name] = state_of_all([State[entry["status"]] for entry in entries])
        if states[name] is State.PENDING:
            _settle_waiting(entries, states, row)
        for entry in entries:
            if not State[entry["status"]].final and (jobs or {}).get(entry["job"], slurm.Job("PENDING")).ended:
                _take_end(entry, (jobs or {})[entry["job"]], (runs or {}).get(entry["name"]))
        states[name] = state_of_all([State[entry["status"]] for entry in entries])
    row["steps"] = [entry for group in several.values() for entry in group]
    if all(state.final for state in states.values()) and row["ended"] is None:
        if row["status"] == "RUNNING":
            row["status"], row["reason"] = verdict(states)
        now = time.time()
        row |= {"ended": utc(now), "wall_s": round(now - (_seconds(row["started"]) or now), 6)}


def _settle_waiting(entries: list[dict[str, Any]], states: Mapping[str, State], row: Mapping[str, Any]) -> None:
    first = entries[0]
    step = Step(first["task"], first["step"], needs=tuple(first["needs"]), rule=Rule(first["rule"]))
    found = decide(step, states, stopping=row["status"] != "RUNNING")
    if found in (State.BLOCKED, State.SKIPPED, State.CANCELLED):
        reason = row["reason"] if found is State.CANCELLED else why_not(step, states)
        for entry in entries:
            entry |= {"status": found.value, "reason": reason}


def _take_end(entry: dict[str, Any], job: slurm.Job, run: Mapping[str, Any] | None) -> None:
    if run is not None and run["status"] not in LIVE:
        entry |= {name: run[name] for name in OF_A_RUN}
        return
    entry |= {"status": job.status, "reason": job.explained(entry["job"])}
    if run is not None:
        entry |= {name: run[name] for name in ("id", "attempt", "started")}


def refresh(record: Record, identity: str) -> dict[str, Any]:
    """Returns a workflow run's row, with what Slurm knows of jobs that ended without a word.

    Raises:
        RecordError: There is no such workflow run.
        SlurmError: Slurm does not answer.
    """
    row = workflow_record.get(record, identity)
    if row["ended"] is not None:
        return row
    if whole := (row["owner"] or {}).get("job"):
        return _refresh_whole(record, row, whole)
    waiting = {entry["job"] for entry in row["steps"] if entry["job"] and not State[entry["status"]].final}
    jobs = {name: job for name, job in slurm.jobs(waiting).items() if job.ended}
    if not jobs:
        return row
    runs = workflow_record.steps_of(record, identity)
    for entry in row["steps"]:
        run = runs.get(entry["name"])
        if run is not None and entry["job"] in jobs and run["status"] in LIVE:
            job = jobs[entry["job"]]
            record.end_lost(run["id"], job.status, job.explained(entry["job"]))
            runs[entry["name"]] = record.get(run["id"])
    with workflow_record.changing(record, identity) as row:
        settle(row, jobs, runs)
    report_if_ended(record, row)
    return row


def _refresh_whole(record: Record, row: dict[str, Any], job: str) -> dict[str, Any]:
    """Ends a workflow run all of whose steps run in one job, if that has ended without a word."""
    known = slurm.jobs([job])[job]
    if not known.ended:
        return row
    workflow_record.end_lost(record, row["id"], known.explained(job))
    with workflow_record.changing(record, row["id"]) as row:
        row["ended"] = row["ended"] or utc(time.time())
    report_if_ended(record, row)
    return row


def run_all(record: Record, identity: str, viewer: Viewer | None = None) -> dict[str, Any]:
    """Runs all steps of a workflow run here, side by side: in the one job that was submitted for them.

    Raises:
        RecordError: There is no such workflow run.
        WorkflowError: It does not wait for that.
    """
    row = workflow_record.get(record, identity)
    run = WorkflowRun(*kept_in(row, ()), options_in(row), viewer, earlier=row)
    with workflow_record.changing(record, identity) as row:
        known = row["owner"] or {}
        waits = row["status"] == "RUNNING" and (known.get(ENGINE) or known.get("job") == owner.own_job())
        if not waits:
            raise WorkflowError(f"workflow run {identity} is {row['status']}, and waits for no job")
        row["owner"] = run.row["owner"]
    return run.execute()


def report_if_ended(record: Record, row: Mapping[str, Any]) -> None:
    """Writes the report page of a workflow run that has ended."""
    if row["ended"] is None:
        return
    steps = {
        name: Step(several[0]["task"], name, needs=tuple(several[0]["needs"]), rule=Rule(several[0]["rule"]))
        for name, several in by_step(row["steps"]).items()
    }
    try:
        page.write(Workflow(row["name"], steps), row, record)
    except Exception as error:  # it is for people; the workflow has ended as it has
        logger.warning("the report of workflow run %s could not be written: %s", row["id"], error)


def mark_lost(record: Record) -> None:
    """Makes the workflow runs in the record true: those whose process is gone, those whose jobs have ended."""
    workflow_record.mark_lost(record)
    for identity in workflow_record.on_others(record):
        try:
            refresh(record, identity)
        except (RecordError, SlurmError) as error:
            logger.info("what became of workflow run %s is not known: %s", identity, error)


def cancel(record: Record, identity: str, reason: str, status: str = "CANCELLED") -> dict[str, Any]:
    """Cancels a workflow run: nothing new starts but steps with the rule `always`, and its jobs are cancelled.

    Args:
        record: Where it is recorded.
        identity: Its id.
        reason: Why, for its row.
        status: The status that it gets.

    Returns:
        Its row.

    Raises:
        SlurmError: Slurm does not answer.
    """
    with workflow_record.changing(record, identity) as row:
        if row["ended"] is not None or row["status"] != "RUNNING":
            return row
        row |= {"status": status, "reason": reason}
        settle(row)
    own = {owner.own_job(), os.environ.get("SLURM_JOB_ID", "")}
    jobs = {entry["job"] for entry in row["steps"] if entry["job"] and Rule(entry["rule"]) is not Rule.ALWAYS}
    jobs |= {row["owner"]["job"]} if (row["owner"] or {}).get("job") else set()
    if jobs - own:
        slurm.cancel(jobs - own)
    _ask_to_end(record, row)
    report_if_ended(record, row)
    return row


def _ask_to_end(record: Record, row: Mapping[str, Any]) -> None:
    """Asks the steps that run in no job, so that nobody else can stop them from here."""
    entries = {entry["name"]: entry for entry in row["steps"]}
    for name, run in workflow_record.steps_of(record, row["id"]).items():
        entry = entries.get(name)
        if run["status"] in LIVE and (entry is None or (not entry["job"] and Rule(entry["rule"]) is not Rule.ALWAYS)):
            with contextlib.suppress(UsageError):  # it was asked before
                request = requests.Request(requests.CANCEL, requests.this_user(), row["reason"])
                requests.post(Path(run["log"]).with_name("request"), request)


def options_in(row: Mapping[str, Any]) -> Options:
    """Returns how a workflow run is run, as its row has it."""
    kept: dict[str, Any] = row["options"]["options"]
    found: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in kept.items()}
    return Options(**found)
