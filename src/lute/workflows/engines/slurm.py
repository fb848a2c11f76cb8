"""A workflow on Slurm: one job a step, which need each other as the steps do; or all steps in one job.

Once the jobs are submitted nothing of ours needs to live: each job runs its step and says in the record how it ended
(`lute.workflows.step_job`). Who waits only looks.
"""

from __future__ import annotations

import functools
import itertools
import logging
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lute import facility, managed_tasks
from lute.base.files import make_folder, on_network
from lute.base.signals import stop_on_signals
from lute.batch.jobs import Options
from lute.batch.scheduler import LOOK, STOP_SIGNALS, scheduler
from lute.errors import SchedulerBusyError, SchedulerError, UsageError, WorkflowError
from lute.execution import waiting_run
from lute.graph.dag import Rule, Step, Workflow, decide, why_not
from lute.models.base import AnalysisHeader
from lute.record import workflow_store
from lute.record.schema import is_live
from lute.record.store import Record
from lute.record.workflow_store import by_step
from lute.wire.status import StepState
from lute.workflows import detached
from lute.workflows.preview import of_step
from lute.workflows.results import items_of, steps_used
from lute.workflows.runner import WorkflowRun, kept_in
from lute.workflows.state import StepNode, entries_of, restore, state_in

if TYPE_CHECKING:
    from lute.record.types import WorkflowRow

logger = logging.getLogger(__name__)

MINUTE, LOOKED_AT, FEWEST_SLICES = 60.0, 20, 20
"""How long a slice of an array may take, in s, by so many of the Task's last runs; the fewest slices of an array."""
FIRST_WAIT, LONGEST_WAIT = 1.0, 30.0
"""When a job is submitted again that was refused for a limit on their number: each time twice as late, in s."""


# --------------------------------------------------------------------------------- pure: a step -> its job


def dependency(step: Step, jobs: Mapping[str, str], may_skip: set[str]) -> str | None:
    """Returns what Slurm is told of the jobs that a step's job needs; None if it needs none.

    Args:
        step: The step.
        jobs: The jobs of the steps that have one.
        may_skip: The steps that may be skipped: Slurm sees no difference between that and a failure.

    >>> dependency(Step("C", needs=("a", "b"), rule=Rule.ANY_SUCCEEDED), {"a": "1", "b": "2"}, set())
    'afterok:1?afterok:2'
    """
    waits = [name for name in step.needs if name in jobs]
    numbers = [jobs[name] for name in waits]
    if not waits:
        return None
    if step.rule is Rule.ALL_SUCCEEDED:
        return ":".join(["afterok", *numbers])
    if step.rule is Rule.ANY_SUCCEEDED:
        return "?".join(f"afterok:{number}" for number in numbers)
    if step.rule is Rule.ANY_FAILED and not may_skip.intersection(waits):
        return "?".join(f"afternotok:{number}" for number in numbers)
    return ":".join(["afterany", *numbers])


def skippable(workflow: Workflow) -> set[str]:
    """Returns the steps that may be skipped: by their own condition, or because one that they need was."""
    found: set[str] = set()
    for name, step in workflow.steps.items():  # each comes after what it needs
        own = step.when or step.foreach is not None or step.rule in (Rule.ANY_FAILED, Rule.ANY_SUCCEEDED)
        if own or (step.rule is Rule.ALL_SUCCEEDED and found.intersection(step.needs)):
            found.add(name)
    return found


def options_of(step: Step, defaults: Options) -> Options:
    """Returns the options of a step's job: its resources and its own options replace the same defaults.

    Raises:
        WorkflowError: Its options are none of Slurm's.
    """
    wanted: Options = {}
    if step.resources.cores > 1:
        wanted["cpus-per-task"] = str(step.resources.cores)
    if step.resources.memory:
        wanted["mem"] = f"{-(-step.resources.memory >> 20)}M"
    try:
        return scheduler().merged(defaults, wanted, scheduler().read_options(step.slurm))
    except UsageError as error:
        raise WorkflowError(f"step {step.name}: {error}") from error


def slice_in(options: Options) -> int | None:
    """Takes out of a job's options how many instances of a `foreach` it is to run; None if that is not said.

    Raises:
        WorkflowError: It is no number from 1.

    >>> slice_in({"slice": "10", "time": "5"})
    10
    """
    text = options.pop("slice", "")
    if text == "":
        return None
    if text is None or not text.isdecimal() or int(text) < 1:
        raise WorkflowError(f"slurm: slice is {text}, and must be a number from 1: so many instances run in one job")
    return int(text)


def limit_of(step: Step, header: AnalysisHeader) -> float | None:
    """Returns a step's longest time in s, where it or the YAML file gives one."""
    executor = step.executor or managed_tasks.find(step.task)
    return step.timeout or waiting_run.time_limit(header, executor.task_name if executor else step.task)


def check_time(step: Step, limit: float | None, options: Mapping[str, str | None]) -> None:
    """Looks whether a step may take longer than its job.

    Raises:
        WorkflowError: It may.
    """
    granted = scheduler().seconds_of(options.get("time"))
    if granted is not None and limit is not None and limit > granted:
        raise WorkflowError(
            f"step {step.name} may take {limit:g} s, but its job only {granted:g} s (--time={options['time']}):"
            " give the job more time, or the step less"
        )


def defaults_of(header: AnalysisHeader, options: Options) -> Options:
    """Returns what a job has besides its step's options: the warning ahead of its end, the facility's, those given."""
    grace = header.clean_up_grace + header.terminate_grace
    site = facility.current().job_options(header.experiment, header.run)
    return scheduler().merged(scheduler().warning(grace), site, options)


def command_of(record: Record, identity: str, *arguments: str) -> list[str]:
    """Returns what a job runs: `lute workflow step` with the record it is to look into."""
    where = [] if "://" in str(record) else ["--db", str(record)]
    return [sys.executable, "-m", "lute", "workflow", "step", identity, *arguments, *where]


def environment_of(header: AnalysisHeader) -> dict[str, str]:
    """Returns the environment that jobs start from: a database's URL may hold a password, so it is in no script."""
    url = header.database if "://" in header.database else ""
    return {**os.environ, **({"LUTE_DATABASE": url} if url else {})}


# ------------------------------------------------------------------------------------------- one step


def step_as_job(
    record: Record, identity: str, name: str, options: Options, on_output: Callable[[dict[str, str]], None]
) -> StepState:
    """Runs one step of a workflow run in a job of its own, and waits for its end; SIGTERM and Ctrl-C cancel it.

    If the step has completed, or its job lives, since who waited for it was lost, no other job is submitted.

    Args:
        record: Where the workflow run is recorded.
        identity: Its id.
        name: The step.
        options: Options of `sbatch`; the step's own replace them.
        on_output: Called with `{"log": PATH}` when the job prints into that file.

    Raises:
        RecordError: There is no such workflow run.
        SchedulerError: Slurm refused the job, or does not answer.
        WorkflowError: There is no such step, or it may take longer than its job.
    """
    row = workflow_store.get(record, identity)
    state = state_in(by_step(row["steps"])[name])
    if state is StepState.COMPLETED:
        return state
    cancelled = threading.Event()
    with stop_on_signals(STOP_SIGNALS, lambda by: cancelled.set()):
        job = _living_job(record, row, name) or _submit_step(record, row, name, options)
        printed = Path(row["folder"]) / f"{name}-{job}.out"
        begun, watch = False, detached.Watch(record, identity)
        while True:
            row = watch.look()
            if printed.is_file() and not begun:
                begun = True
                on_output({"log": str(printed)})
            state = state_in(by_step(row["steps"])[name])
            if state.final and _has_ended(job):
                return state
            if cancelled.wait(LOOK):
                scheduler().cancel([job])
                cancelled.clear()


def _has_ended(job: str) -> bool:
    try:
        return scheduler().jobs([job])[job].ended
    except SchedulerError as error:
        logger.info("whether job %s has ended is not known: %s", job, error)
        return False


def _living_job(record: Record, row: WorkflowRow, name: str) -> str | None:
    """Returns the job in which a step waits or runs; None if there is none."""
    jobs = {entry["job"] for entry in row["steps"] if entry["step"] == name and entry["job"]}
    runs = workflow_store.steps_of(record, row["id"]).values()
    own = [run for run in runs if (run["step"] or "").partition("[")[0] == name and is_live(run)]
    jobs |= {job for run in own if (job := (run["owner"] or {}).get("job"))}
    return next((identity for identity, job in scheduler().jobs(jobs).items() if not job.ended), None)


def _submit_step(record: Record, row: WorkflowRow, name: str, options: Options) -> str:
    """Submits the job of a step, and notes it in the record. Returns its id."""
    workflow, config, _ = kept_in(row, ())
    step, header = workflow.find(name), config.analysis_header()[0]
    asked = options_of(step, defaults_of(header, options))
    check_time(step, limit_of(step, header), asked)
    slice_in(asked)
    own: Options = {"job-name": name, "output": f"{row['folder']}/{name}-%j.out", "open-mode": "append"}
    text = scheduler().script(scheduler().merged(own, asked), command_of(record, row["id"], name, "--log"))
    job = scheduler().submit(text, environment_of(header))
    with workflow_store.changing(record, row["id"]) as row:
        row["steps"] = detached.with_job(row["steps"], name, job)
    return job


# ------------------------------------------------------------------------------------------- the whole


class SlurmEngine:
    """Runs a workflow as jobs of Slurm; `wait` only looks at how they go on.

    Args:
        run: The workflow run.
        options: Options of `sbatch` for every step that does not say otherwise.
        pack: Whether all steps run in one job.
    """

    def __init__(self, run: WorkflowRun, options: Options, pack: bool = False) -> None:
        self.run, self.pack = run, pack
        self.workflow, self.nodes = run.prepared.workflow, run.prepared.nodes
        self._defaults = defaults_of(run.header, options)
        self._options = {name: options_of(step, self._defaults) for name, step in self.workflow.steps.items()}
        self._sizes = {name: size for name, asked in self._options.items() if (size := slice_in(asked)) is not None}
        self._jobs: dict[str, str] = {}
        self._lanes = itertools.count()
        self._wake = threading.Event()
        self._stopped_by = ""

    # --------------------------------------------------------------------------------- what is submitted

    def warnings(self) -> list[str]:
        """Returns what may go otherwise than people think."""
        found, nodes, record = [], self._defaults.get("nodes", "1"), str(self.run.record)
        if self.pack and nodes not in ("1", "1-1"):
            told = "--pack starts all steps on the first of the job's"
            found.append(f"{told} {nodes} nodes: the others are of use to MPI Tasks alone")
        if not self.pack and "://" not in record and on_network(Path(record)):
            told = f"the record {record} is a file on a network file system, which all jobs write at once"
            found.append(f"{told}: for many jobs take PostgreSQL, --pack or slices (docs/how-to/slurm.md)")
        return found

    def scripts(self) -> Iterator[tuple[str, str]]:
        """Yields the name and the script of each job as it would be submitted; `JOB(step)` stands for a job's id."""
        if self.pack:
            yield self.workflow.name, self._whole_script()
            return
        names = {name: f"JOB({name})" for name in self.nodes}
        for name, node in self.nodes.items():
            yield name, self._script(node, names)

    def submit(self) -> None:
        """Records the workflow run and submits what is to run.

        Raises:
            SchedulerError: Slurm refused a job; those before it are cancelled.
            WorkflowError: A step cannot run as it is.
        """
        for name, step in self.workflow.steps.items():
            check_time(step, limit_of(step, self.run.header), self._options[name])
        make_folder(self.run.folder)
        detached.begin(self.run, "slurm")
        try:
            if self.pack:
                self._submit_whole()
            else:
                for node in self.nodes.values():
                    self._submit_step(node)
        except (SchedulerError, WorkflowError, KeyboardInterrupt) as error:
            self._give_up(error)
            raise
        self.run.row = detached.refresh(self.run.record, self.run.row["id"])

    def _give_up(self, error: BaseException) -> None:
        scheduler().cancel(self._jobs.values())
        with workflow_store.changing(self.run.record, self.run.row["id"]) as row:
            row |= {"status": "FAILED", "reason": f"it could not be submitted: {error or 'Ctrl-C'}"}
            detached.settle(row)

    def _submit_step(self, node: StepNode) -> None:
        """Submits a step's job, unless it is known by now that it need not run."""
        if node.state.final or self._is_settled(node):
            return self._write(node)
        wait = FIRST_WAIT
        while True:
            jobs = {name: job for name, job in self._jobs.items() if not self.nodes[name].state.final}
            try:
                job = scheduler().submit(self._script(node, jobs), self._environment())
                break
            except SchedulerBusyError as error:
                self._wait_for_room(error, wait)
                wait = min(2 * wait, LONGEST_WAIT)
                if node.state.final or self._is_settled(node):  # how its needs ended is known by now
                    return self._write(node)
        self._jobs[node.step.name] = job
        self._write(node, job)

    def _wait_for_room(self, error: SchedulerBusyError, seconds: float) -> None:
        """Waits until a job may be submitted again, and sees what has become of those that were."""
        if seconds == FIRST_WAIT:
            left = sum(not node.state.final for node in self.nodes.values()) - len(self._jobs)
            logger.warning("%s; %d steps wait to be submitted until others have ended", error, max(1, left))
        time.sleep(seconds)
        self._show(detached.refresh(self.run.record, self.run.row["id"]))

    def _is_settled(self, node: StepNode) -> bool:
        """Decides about a step as far as that can be done now: it was skipped, or an earlier run of it is reused."""
        step = node.step
        states = {name: self.nodes[name].state for name in step.needs}
        found = decide(step, states)
        if found in (StepState.BLOCKED, StepState.SKIPPED):
            node.state, node.reason = found, why_not(step, states)
        elif found is StepState.RUNNING and not self.run.prepared.progression.reuse_known(node):
            running = {name for name in self._jobs if not self.nodes[name].state.final}
            one = of_step(self.run.prepared, node, running)
            if one.runs is None and not set(step.needs) & running and step.rule is Rule.ALL_SUCCEEDED:
                raise WorkflowError(f"step {step.name}: {one.why}")
            if one.runs is False and not node.state.final:
                node.state, node.reason = StepState.SKIPPED, one.why
        return node.state.final

    def _write(self, node: StepNode, job: str | None = None) -> None:
        """Writes into the record what became of a step: its job, whose instances may already have told more."""
        with workflow_store.changing(self.run.record, self.run.row["id"]) as row:
            if job is None:
                row["steps"] = detached.with_entries(row["steps"], entries_of(node))
            else:
                row["steps"] = detached.with_job(row["steps"], node.step.name, job, *self._slices(node.step))
            detached.settle(row)

    def _script(self, node: StepNode, jobs: Mapping[str, str]) -> str:
        step, folder = node.step, self.run.folder
        count, size = self._slices(step)
        own: Options = {
            "job-name": step.name,
            "output": f"{folder}/{step.name}-{'%A_%a' if count else '%j'}.out",
            "kill-on-invalid-dep": "yes",
            "open-mode": "append",
        }
        waits, most = dependency(step, jobs, skippable(self.workflow)), self.run.prepared.options.jobs
        if count:
            own["array"] = f"0-{-(-count // size) - 1}" + (f"%{most}" if most else "")
        elif most and "?" not in (waits or ""):  # Slurm cannot say "either, and then"
            own["job-name"] = f"{self.workflow.name}-{self.run.row['id']}-{next(self._lanes) % most + 1}"
            waits = f"{waits},singleton" if waits else "singleton"
        if waits is not None:
            own["dependency"] = waits
        command = self._command(step.name, *([f"--slice={size}"] if size > 1 else []))
        return scheduler().script(scheduler().merged(own, self._options[step.name]), command)

    def _slices(self, step: Step) -> tuple[int, int]:
        """Returns the number of a step's instances, and how many each job of an array runs; 0 if one job runs all.

        That is 1 as long as Slurm takes an array of so many. Else it is as many as take about a minute, by what the
        Task's last runs took, and at least so many that the array is not too large.
        """
        foreach = step.foreach
        if foreach is None or (isinstance(foreach, Mapping) and "files" in foreach) or steps_used(step)["foreach"]:
            return 0, 1
        count = len(items_of(foreach, self.run.prepared.planner.scope()))
        size = self._sizes.get(step.name, 1)
        if step.name not in self._sizes and count > self._largest_array:
            size = max(-(-count // self._largest_array), self._in_a_minute(step, count))
        return (count, size) if count > size else (0, 1)

    def _in_a_minute(self, step: Step, count: int) -> int:
        """Returns how many instances of a step run in about a minute, by what the Task's last runs took."""
        task = self.run.prepared.planner.executor_of(step).task_name
        runs = self.run.record.find(task=task, valid=True, limit=LOOKED_AT, columns=("wall_s",))
        took = sorted(run["wall_s"] for run in runs if run["wall_s"])
        return min(count // FEWEST_SLICES, int(MINUTE / took[len(took) // 2])) if took else 1

    @functools.cached_property
    def _largest_array(self) -> int:
        return scheduler().largest_array()

    def _command(self, *step: str) -> list[str]:
        return command_of(self.run.record, self.run.row["id"], *step)

    def _environment(self) -> dict[str, str]:
        return environment_of(self.run.header)

    # ------------------------------------------------------------------------------- all steps in one job

    def _whole_script(self) -> str:
        own: Options = {
            "job-name": self.workflow.name,
            "output": f"{self.run.folder}/slurm-%j.out",
            "open-mode": "append",
        }
        return scheduler().script(scheduler().merged(own, self._defaults), self._command("--all"))

    def _submit_whole(self) -> None:
        job = scheduler().submit(self._whole_script(), self._environment())
        self._jobs[self.workflow.name] = job
        with workflow_store.changing(self.run.record, self.run.row["id"]) as row:
            if row["owner"] and row["owner"].get(detached.ENGINE) == "slurm":  # it has not begun
                row["owner"] |= {"job": job}

    # ------------------------------------------------------------------------------------------ waiting

    def wait(self) -> None:
        """Waits until the workflow run has ended; Ctrl-C and SIGTERM cancel it.

        Raises:
            RecordError: The record cannot be read.
        """
        identity, record, viewer = self.run.row["id"], self.run.record, self.run.viewer
        watch = detached.Watch(record, identity)
        with stop_on_signals(STOP_SIGNALS, self.cancel):
            while True:
                if self._stopped_by:
                    detached.cancel(record, identity, f"cancelled by {self._stopped_by}")
                    self._stopped_by = ""
                    watch = detached.Watch(record, identity)
                self.run.row = row = watch.look()
                self._show(row)
                if row["ended"] is not None:
                    return
                if viewer:
                    viewer.look()
                self._wake.wait(LOOK)
                self._wake.clear()

    def _show(self, row: WorkflowRow) -> None:
        """Tells people what has changed."""
        for name, entries in by_step(row["steps"]).items():
            node = self.nodes[name]
            before = {one.name: (one.state, one.attempt) for one in node.instances}
            state = node.state
            restore(node, entries)
            for one in node.instances:
                if before.get(one.name, (StepState.PENDING, 0)) != (one.state, one.attempt) and self.run.viewer:
                    self.run.viewer.changed(node, one)
            if node.state is not state and not node.instances and self.run.viewer:
                self.run.viewer.changed(node, None)

    def cancel(self, by: str) -> None:
        """Has `wait` cancel the workflow run and its jobs at once."""
        self._stopped_by = by
        self._wake.set()
