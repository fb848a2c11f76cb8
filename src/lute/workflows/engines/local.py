"""A workflow on this machine: as many steps at once as cores, memory and limits allow.

The main thread decides (`dag.decide`); a few worker threads plan and run one attempt of one step each. They share
one launcher and one record, so that a step costs little more than starting its program.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from lute import managed_tasks
from lute.base.secrets import hide_here
from lute.base.signals import heard
from lute.config.config_file import ConfigFile, Overrides
from lute.errors import LuteError, WorkflowError
from lute.execution.recorder import Place
from lute.execution.run import STOP_SIGNALS, Run
from lute.graph.dag import Resources, Rule, Workflow, decide, state_of_all, why_not
from lute.launcher.handle import Launcher
from lute.record import workflow_store
from lute.record.store import Record
from lute.wire.status import StepState, state_of_run
from lute.workflows import checking
from lute.workflows.planning import Planner
from lute.workflows.ready_queue import ReadyQueue
from lute.workflows.results import items_of
from lute.workflows.state import Follower, Options, Outcome, StepInstance, StepNode, Watcher

logger = logging.getLogger(__name__)

_BAD_IS_ENOUGH = (Rule.ALL_SUCCEEDED, Rule.ANY_FAILED)
BEFORE = "it completed before the workflow was resumed"
LOOK = 0.1
"""Longest time between two looks at what others ask for, in s."""


class Local:
    """One workflow run on this machine.

    Args:
        workflow: The workflow.
        identity: The workflow run's id.
        config: The YAML file with the parameters, its plug-ins loaded.
        overrides: What the command line changes of it.
        options: How it is run.
        record: Where its runs are recorded.
        watcher: Told of each change.
        look: Called about every `LOOK` s in the main thread.
        known: Runs of this workflow run of an earlier time, by the instance's name: those that completed stand.
    """

    def __init__(
        self,
        workflow: Workflow,
        identity: str,
        config: ConfigFile,
        overrides: Overrides,
        options: Options,
        record: Record,
        watcher: Watcher = lambda node, instance: None,
        look: Callable[[], None] = lambda: None,
        known: Mapping[str, dict[str, Any]] | None = None,
    ) -> None:
        self.workflow, self.identity, self.options = workflow, identity, options
        self._config, self._overrides, self._record = config, overrides, record
        self._watcher, self._on_look = watcher, look
        self._known = dict(known or {})
        self.nodes = {name: StepNode(step) for name, step in workflow.steps.items()}
        for node in self.nodes.values():
            node.waiting_for = len(node.step.needs)
            for need in node.step.needs:
                self.nodes[need].needed_by.append(node)
        self.stopped_by = ""
        self.follower: Callable[[str], Follower | None] = lambda name: None
        """Returns what follows the log of an instance's attempt, by the instance's name."""
        self._cores = options.jobs or int(os.environ.get("SLURM_CPUS_ON_NODE") or len(os.sched_getaffinity(0)))
        self._memory = _memory()
        self._free_cores, self._free_memory = self._cores, self._memory
        self._of_task: dict[str, int] = {}
        self._ready: ReadyQueue[StepInstance] = ReadyQueue(_room_of)
        self._later: list[tuple[float, int, StepInstance]] = []
        self._ended: deque[StepNode] = deque()
        self._jobs: queue.SimpleQueue[StepInstance | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[StepInstance, Outcome] | str] = queue.SimpleQueue()
        """Ends of attempts, and names of signals that ask for an end of all."""
        self._live: dict[str, Run] = {}
        self._busy = 0
        self.planner = Planner(workflow, config, overrides, options, record, self.nodes)

    # ----------------------------------------------------------------------------------- the whole

    def execute(self) -> None:
        """Runs it to its end, whatever that is; `nodes` say which."""
        self._record.close()  # no other process inherits it
        launcher = Launcher.start()  # before there are threads
        workers = [threading.Thread(target=self._work, args=(launcher,), daemon=True) for _ in range(self._cores)]
        try:
            with heard(STOP_SIGNALS, self._done.put):
                for worker in workers:
                    worker.start()
                self._begin_all()
                self._loop()
        finally:
            for _ in workers:
                self._jobs.put(None)
            for worker in workers:
                worker.join()
            launcher.close()

    def _begin_all(self) -> None:
        self.select()
        for node in list(self.nodes.values()):
            if not node.waiting_for:
                self._settle(node)

    def _loop(self) -> None:
        while True:
            self._spread()
            self._launch()
            if not (self._busy or self._ready or self._later):
                return
            self._hear()
            self._on_look()

    def _hear(self) -> None:
        """Waits for the end of an attempt, for a signal, or for the time of a retry."""
        timeout = LOOK
        if self._later:
            timeout = min(timeout, max(0.0, self._later[0][0] - time.monotonic()))
        with contextlib.suppress(queue.Empty):
            self._heard(self._done.get(timeout=timeout))
            while True:
                self._heard(self._done.get_nowait())

    def _heard(self, what: tuple[StepInstance, Outcome] | str) -> None:
        if isinstance(what, str):
            self.stop(what)
        else:
            self._take(*what)

    def stop(self, by: str) -> None:
        """Starts nothing new and cancels what runs; a second time, at once."""
        first, self.stopped_by = not self.stopped_by, self.stopped_by or by
        for run in list(self._live.values()):
            run.cancel(by)
        if first:
            self._cancel_waiting()

    def _cancel_waiting(self) -> None:
        while self._later:
            instance = heapq.heappop(self._later)[2]
            self._end_instance(instance, instance.outcome or Outcome(StepState.CANCELLED, self.stopped_by))
        for instance in self._ready.remove(lambda one: one.node.step.rule is not Rule.ALWAYS):
            self._end_instance(instance, Outcome(StepState.CANCELLED, f"cancelled by {self.stopped_by}"))
        for node in self.nodes.values():
            if node.state is StepState.PENDING:
                self._settle(node)

    # ------------------------------------------------------------------------------- what is decided

    def select(self) -> None:
        """Takes what comes before `--from` and `--only` as it last was."""
        chosen, adopted = self.chosen(), self._adopted()
        for name, node in self.nodes.items():
            if name in adopted:
                self.adopt(node, self.last_runs(name), "taken as it last was")
            elif name not in chosen:
                self._end_node(node, StepState.SKIPPED, "it was not chosen")

    def last_runs(self, name: str) -> dict[str, dict[str, Any]]:
        """Returns the runs of a step, by the instance's name, when it last completed.

        Raises:
            WorkflowError: It never did.
        """
        rows = {instance: self._record.get(run) for instance, run in self.last.get(name, {}).items()}
        if not rows or not all(row["valid"] for row in rows.values()):
            raise WorkflowError(
                f"step {name} has no completed, valid run to be taken as it was: run without --from and --only"
            )
        return rows

    @functools.cached_property
    def last(self) -> dict[str, dict[str, str]]:
        """The runs that each step had when it last completed, by the instance's name."""
        header = self._config.analysis_header()[0]
        return workflow_store.last_completed(self._record, self.workflow.name, header.experiment, str(header.run))

    def check(self) -> None:
        """Looks at what can be known before anything starts: parameters, and whether what is not run was run before.

        Raises:
            ConfigError: Parameters are wrong.
            WorkflowError: A step that is to be taken as it last was never completed.
        """
        for name in self._adopted():
            self.last_runs(name)
        self.check_parameters()

    def check_parameters(self) -> None:
        """Looks at the parameters of all steps that are to run.

        Raises:
            ConfigError: With every problem that can be known now.
        """
        done = {name for name, row in self._known.items() if row["status"] == "COMPLETED" and row["valid"]}
        chosen = self.chosen() - done
        names = [name for name in self.nodes if name in chosen]
        checking.check(names, self.workflow, self._config, self._overrides, self.planner)

    def _adopted(self) -> set[str]:
        chosen = self.chosen()
        return self.workflow.before(chosen) - chosen

    def chosen(self) -> set[str]:
        """Returns the steps that are to run; all but with `--from` or `--only`."""
        return set(self.options.only) or self.workflow.after(self.options.start) or set(self.nodes)

    def adopt(self, node: StepNode, rows: Mapping[str, dict[str, Any]], reason: str) -> None:
        """Takes completed runs as those of a step."""
        done = StepState.COMPLETED
        for name, row in sorted(rows.items()):
            fingerprint = row.get("fingerprint") or ""
            outcome = Outcome(done, reason, row["id"], row["exit_code"], fingerprint=fingerprint, reused=True)
            node.instances.append(StepInstance(name, node, attempt=row["attempt"], state=done, outcome=outcome))
        self._end_node(node, StepState.COMPLETED, reason)

    def adopt_known(self, node: StepNode) -> bool:
        """Takes a step as it was if all of it completed before the workflow run was resumed. Returns whether it did."""
        if not self._known:
            return False
        try:
            rows = {one.name: self._known.get(one.name) for one in self._instances(node)}
        except LuteError:  # what it is run for is not known yet
            return False
        completed = {name: row for name, row in rows.items() if row and row["status"] == "COMPLETED" and row["valid"]}
        if not rows or len(completed) < len(rows):
            return False
        self.adopt(node, completed, BEFORE)
        return True

    def _settle(self, node: StepNode) -> None:
        """Decides what becomes of a step, if that is known."""
        if node.state is not StepState.PENDING:
            return
        states = {name: self.nodes[name].state for name in node.step.needs}
        verdict = decide(node.step, states, bool(self.stopped_by))
        if verdict is StepState.RUNNING:
            self._begin(node)
        elif verdict is not None:
            by = f"cancelled by {self.stopped_by}"
            self._end_node(node, verdict, by if verdict is StepState.CANCELLED else why_not(node.step, states))

    def _begin(self, node: StepNode) -> None:
        try:
            if node.step.when and not self.planner.scope().holds(node.step.when):
                self._end_node(node, StepState.SKIPPED, f"its condition is false: {node.step.when}")
                return
            node.instances = self._instances(node)
        except LuteError as error:
            self._end_node(node, StepState.FAILED, hide_here(str(error)))
            return
        node.open = len(node.instances)
        if not node.open:
            self._end_node(node, StepState.SKIPPED, "its foreach has no items")
            return
        node.state = StepState.RUNNING
        for instance in list(node.instances):
            self._queue(instance)

    def _instances(self, node: StepNode) -> list[StepInstance]:
        if node.step.foreach is None:
            return [StepInstance(node.step.name, node)]
        items = items_of(node.step.foreach, self.planner.scope())
        return [StepInstance(f"{node.step.name}[{i}]", node, item) for i, item in enumerate(items)]

    def _queue(self, instance: StepInstance) -> None:
        """Puts an instance into the queue, unless it completed before the workflow run was resumed."""
        row = self._known.get(instance.name)
        if row is not None:
            instance.attempt = instance.before = row["attempt"]
        if row is None or row["status"] != "COMPLETED" or not row["valid"]:
            self._ready.append(instance)
            return
        outcome = Outcome(StepState.COMPLETED, BEFORE, row["id"], row["exit_code"])
        outcome.fingerprint, outcome.reused = row["fingerprint"] or "", True
        self._end_instance(instance, outcome)

    def _end_node(self, node: StepNode, state: StepState, reason: str) -> None:
        node.state, node.reason = state, reason
        self._ended.append(node)
        self._watcher(node, None)

    def _spread(self) -> None:
        """Tells those that need a step of its end; a loop, since a chain may be long."""
        while self._ended:
            ended = self._ended.popleft()
            broken = ended.state.bad and ended.state is not StepState.BLOCKED
            if broken and self.options.fail_fast and not self.stopped_by:
                self.stop(f"--fail-fast: {ended.step.name} {ended.state.value}")
            for node in ended.needed_by:
                node.waiting_for -= 1
                if not node.waiting_for or _may_be_known(node.step.rule, ended.state):
                    self._settle(node)

    # --------------------------------------------------------------------------------- what is started

    def _launch(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            self._ready.append(heapq.heappop(self._later)[2])
        while self._busy < self._cores:
            instance = self._ready.take(self._has_room)
            if instance is None:
                return
            self._occupy(instance, 1)
            instance.attempt += 1
            instance.state = StepState.RUNNING
            self._watcher(instance.node, instance)
            self._jobs.put(instance)

    def _has_room(self, instance: StepInstance) -> bool:
        step = instance.node.step
        limit = self.workflow.limits.get(step.task)
        if limit is not None and self._of_task.get(step.task, 0) >= limit:
            return False
        if not self._busy:  # what asks for more than there is runs alone
            return True
        return step.resources.cores <= self._free_cores and step.resources.memory <= self._free_memory

    def _occupy(self, instance: StepInstance, sign: int) -> None:
        step = instance.node.step
        self._busy += sign
        self._free_cores -= sign * step.resources.cores
        self._free_memory -= sign * step.resources.memory
        self._of_task[step.task] = self._of_task.get(step.task, 0) + sign

    def _take(self, instance: StepInstance, outcome: Outcome) -> None:
        """Takes in the end of an attempt."""
        self._occupy(instance, -1)
        retries = instance.node.step.retries
        again = instance.attempt - instance.before <= retries.times and retries.worth(
            outcome.state.value, outcome.exit_code
        )
        if outcome.state.bad and again and not self.stopped_by:
            instance.state, instance.outcome = StepState.PENDING, outcome
            heapq.heappush(self._later, (time.monotonic() + retries.delay, id(instance), instance))
            self._watcher(instance.node, instance)
            return
        self._end_instance(instance, outcome)

    def _end_instance(self, instance: StepInstance, outcome: Outcome) -> None:
        node = instance.node
        instance.state, instance.outcome = outcome.state, outcome
        self._watcher(node, instance)
        node.open -= 1
        if node.open:
            return
        state = state_of_all([one.state for one in node.instances])
        told = next(one.outcome.reason for one in node.instances if one.state is state and one.outcome is not None)
        self._end_node(node, state, told)

    # ---------------------------------------------------------------------------- in a worker's thread

    def _work(self, launcher: Launcher) -> None:
        while (instance := self._jobs.get()) is not None:
            started = time.time()
            try:
                outcome = self._attempt(instance, launcher)
            except LuteError as error:
                outcome = Outcome(StepState.FAILED, hide_here(str(error)))
            except Exception as error:  # a fault of ours must not leave the workflow waiting for ever
                logger.exception("lute failed while it ran step %s", instance.name)
                outcome = Outcome(StepState.FAILED, hide_here(f"lute itself failed: {type(error).__name__}: {error}"))
            outcome.started, outcome.ended = started, time.time()
            self._done.put((instance, outcome))

    def _attempt(self, instance: StepInstance, launcher: Launcher) -> Outcome:
        step = instance.node.step
        executor, plan, fingerprint = self.planner.planned(step, instance.item)
        earlier = self.planner.earlier(step, plan, fingerprint) if instance.attempt == instance.before + 1 else None
        if earlier is not None:
            told = "nothing that it depends on has changed"
            return Outcome(
                StepState.COMPLETED, told, earlier["id"], earlier["exit_code"], fingerprint=fingerprint, reused=True
            )
        place = Place(
            managed_tasks.name_of(executor), self.identity, instance.name, instance.attempt, fingerprint, self._record
        )
        follower = self.follower(instance.name)
        run = executor.prepare(plan, place, follower.start if follower else None)
        self._live[instance.name] = run
        try:
            if self.stopped_by and step.rule is not Rule.ALWAYS:
                run.cancel(self.stopped_by)
            run.execute(launcher)
        finally:
            del self._live[instance.name]
            if follower:
                follower.finish()
        row = run.analysis.record
        state = state_of_run(run.analysis.task_result.task_status)
        return Outcome(state, row["reason"], run.id, row["exit_code"], fingerprint=fingerprint)


def _room_of(instance: StepInstance) -> tuple[str, Resources]:
    return instance.node.step.task, instance.node.step.resources


def _may_be_known(rule: Rule, ended: StepState) -> bool:
    """Returns whether the end of one step may be enough to decide about one that needs others too."""
    return ended is StepState.COMPLETED if rule is Rule.ANY_SUCCEEDED else ended.bad and rule in _BAD_IS_ENOUGH


def _memory() -> int:
    """Returns the memory that is free now, in bytes."""
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 62
