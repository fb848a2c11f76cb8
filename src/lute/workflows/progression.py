"""How a workflow run goes on: what becomes of each step by how those ended that it needs.

What runs the steps takes them from here and says here how they ended. Nothing here starts, waits or looks at a clock.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from lute.base.secrets import hide_here
from lute.errors import LuteError, WorkflowError
from lute.graph.dag import Resources, Rule, Workflow, decide, state_of_all, why_not
from lute.wire.status import StepState
from lute.workflows.ready_queue import ReadyQueue
from lute.workflows.results import Scope, items_of
from lute.workflows.state import Options, Outcome, StepInstance, StepNode, Watcher

if TYPE_CHECKING:
    from lute.record.types import RunRow

_BAD_IS_ENOUGH = (Rule.ALL_SUCCEEDED, Rule.ANY_FAILED)
BEFORE = "it completed before the workflow was resumed"
AS_IT_WAS = "taken as it last was"


class _Single(NamedTuple):
    """The step, or those of its instances, that alone are to run."""

    node: StepNode
    numbers: range | None


class Progression:
    """The steps of one workflow run, and the decisions over them.

    Args:
        workflow: The workflow.
        options: How it is run.
        nodes: Its steps, by name, as `nodes_of` makes them.
        scope: Returns what names in conditions and `foreach` mean by now.
        last_runs: Returns the runs of a step, by the instance's name, when it last completed; raises `WorkflowError`
            if it never did.
        known: Runs of this workflow run of an earlier time, by the instance's name: those that completed stand.
        watcher: Told of each change.

    Attributes:
        stopped_by: What stopped the workflow run; nothing if nothing did.
    """

    def __init__(
        self,
        workflow: Workflow,
        options: Options,
        nodes: Mapping[str, StepNode],
        scope: Callable[[], Scope],
        last_runs: Callable[[str], Mapping[str, RunRow]],
        known: Mapping[str, RunRow] | None = None,
        watcher: Watcher = lambda node, instance: None,
    ) -> None:
        self.workflow, self.options, self.nodes = workflow, options, nodes
        self._scope, self._last_runs = scope, last_runs
        self._known, self._watcher = dict(known or {}), watcher
        self.stopped_by = ""
        self._single: _Single | None = None
        self._ready: ReadyQueue[StepInstance] = ReadyQueue(_room_of)
        self._retries: list[tuple[float, int, StepInstance]] = []
        self._ended: deque[StepNode] = deque()

    # ------------------------------------------------------------------------------- what is to run

    def chosen(self) -> set[str]:
        """Returns the steps that are to run; all but with `--from` or `--only`."""
        return set(self.options.only) or self.workflow.after(self.options.start) or set(self.nodes)

    def taken(self) -> set[str]:
        """Returns the steps that are not to run and come before those that are: they are taken as they last were."""
        chosen = self.chosen()
        return self.workflow.before(chosen) - chosen

    def still_to_run(self) -> list[str]:
        """Returns the chosen steps without those that completed before the workflow run was resumed, in order."""
        chosen = self.chosen() - {name for name, row in self._known.items() if _stands(row)}
        return [name for name in self.nodes if name in chosen]

    def select(self) -> None:
        """Takes what comes before `--from` and `--only` as it last was.

        Raises:
            WorkflowError: A step that is to be taken never completed.
        """
        chosen, taken = self.chosen(), self.taken()
        for name, node in self.nodes.items():
            if name in taken:
                self.reuse_runs(node, self._last_runs(name), AS_IT_WAS)
            elif name not in chosen:
                self._end_node(node, StepState.SKIPPED, "it was not chosen")

    def limit_to(self, name: str, numbers: range | None = None) -> StepNode:
        """Makes one step the only one to run, now and whatever it waits for. Returns it.

        Args:
            name: The step.
            numbers: The numbers of the only instances of its `foreach` to run; None for all.
        """
        node = self.nodes[name]
        node.waiting_for, node.needed_by = 0, []
        self._single = _Single(node, numbers)
        return node

    def begin(self) -> None:
        """Decides about the steps that wait for no other.

        Raises:
            WorkflowError: A step that is to be taken as it last was never completed.
        """
        if self._single is not None:
            self._begin_single(self._single.node)
            return
        self.select()
        for node in self.nodes.values():
            if not node.waiting_for:
                self.settle(node)

    def _begin_single(self, node: StepNode) -> None:
        self.settle(node)
        if not (node.state.final or node.instances):
            waits = [name for name in node.step.needs if not self.nodes[name].state.final]
            self._end_node(node, StepState.FAILED, f"it was started before {', '.join(waits)} had ended")

    # ------------------------------------------------------------------------- what is taken as it was

    def reuse_runs(self, node: StepNode, rows: Mapping[str, RunRow], reason: str) -> None:
        """Takes completed runs, by the instance's name, as those of a step."""
        for name, row in sorted(rows.items()):
            outcome = _outcome_of(row, reason)
            node.instances.append(
                StepInstance(name, node, attempt=row["attempt"], state=outcome.state, outcome=outcome)
            )
        self._end_node(node, StepState.COMPLETED, reason)

    def reuse_known(self, node: StepNode) -> bool:
        """Takes a step as it was if all of it completed before the workflow run was resumed. Returns whether it did."""
        if not self._known:
            return False
        try:
            names = [one.name for one in self._instances(node)]
        except LuteError:  # what it is run for is not known yet
            return False
        completed = {name: self._known[name] for name in names if name in self._known and _stands(self._known[name])}
        if not names or len(completed) < len(names):
            return False
        self.reuse_runs(node, completed, BEFORE)
        return True

    # --------------------------------------------------------------------------- what becomes of a step

    def settle(self, node: StepNode) -> None:
        """Decides what becomes of a step, if that is known."""
        if node.state is not StepState.PENDING:
            return
        states = {name: self.nodes[name].state for name in node.step.needs}
        verdict = decide(node.step, states, bool(self.stopped_by))
        if verdict is StepState.RUNNING:
            self._begin_node(node)
        elif verdict is not None:
            by = f"cancelled by {self.stopped_by}"
            self._end_node(node, verdict, by if verdict is StepState.CANCELLED else why_not(node.step, states))

    def _begin_node(self, node: StepNode) -> None:
        try:
            if node.step.when and not self._scope().holds(node.step.when):
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
        step = node.step
        if step.foreach is None:
            found = [StepInstance(step.name, node)]
        else:
            items = items_of(step.foreach, self._scope())
            found = [StepInstance(f"{step.name}[{i}]", node, item) for i, item in enumerate(items)]
        if self._single is None or self._single.numbers is None:
            return found
        return _only(found, step.name, self._single.numbers)

    def _queue(self, instance: StepInstance) -> None:
        """Puts an instance into the queue, unless it completed before the workflow run was resumed."""
        row = self._known.get(instance.name)
        if row is not None:
            instance.attempt = instance.attempts_before = row["attempt"]
        if row is None or not _stands(row):
            self._ready.append(instance)
        else:
            self._end_instance(instance, _outcome_of(row, BEFORE))

    def _end_node(self, node: StepNode, state: StepState, reason: str) -> None:
        node.state, node.reason = state, reason
        self._ended.append(node)
        self._watcher(node, None)

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

    def spread(self) -> bool:
        """Tells those that need a step of its end; a loop, since a chain may be long.

        Returns:
            Whether an end stopped the whole workflow run, as `--fail-fast` says: what runs is to be cancelled.
        """
        stopped = False
        while self._ended:
            ended = self._ended.popleft()
            broken = ended.state.bad and ended.state is not StepState.BLOCKED
            if broken and self.options.fail_fast and not self.stopped_by:
                self.stop(f"--fail-fast: {ended.step.name} {ended.state.value}")
                stopped = True
            for node in ended.needed_by:
                node.waiting_for -= 1
                if not node.waiting_for or _may_be_known(node.step.rule, ended.state):
                    self.settle(node)
        return stopped

    # ----------------------------------------------------------------------------- what runs its steps

    @property
    def waits(self) -> bool:
        """Whether an instance waits for its start, or for the time of its next attempt."""
        return bool(self._ready or self._retries)

    @property
    def next_retry(self) -> float | None:
        """When the next attempt of one that failed is due, on the clock of `end_attempt`; None if none is."""
        return self._retries[0][0] if self._retries else None

    def queue_retries(self, now: float) -> None:
        """Puts those into the queue whose next attempt is due."""
        while self._retries and self._retries[0][0] <= now:
            self._ready.append(heapq.heappop(self._retries)[2])

    def take(self, has_room: Callable[[StepInstance], bool]) -> StepInstance | None:
        """Returns the instance that is to be started next, which runs from now on; None if none has room.

        Args:
            has_room: Returns whether an instance may run beside those that run.
        """
        instance = self._ready.take(has_room)
        if instance is not None:
            instance.attempt += 1
            instance.state = StepState.RUNNING
            self._watcher(instance.node, instance)
        return instance

    def end_attempt(self, instance: StepInstance, outcome: Outcome, now: float) -> None:
        """Takes in how an attempt ended: it is tried again, or that is the instance's end.

        Args:
            instance: What was attempted.
            outcome: How it ended.
            now: The time, in s on a clock that only goes on.
        """
        retries = instance.node.step.retries
        again = instance.attempt - instance.attempts_before <= retries.times and retries.worth(
            outcome.state.value, outcome.exit_code
        )
        if not (outcome.state.bad and again) or self.stopped_by:
            self._end_instance(instance, outcome)
            return
        instance.state, instance.outcome = StepState.PENDING, outcome
        heapq.heappush(self._retries, (now + retries.delay, id(instance), instance))
        self._watcher(instance.node, instance)

    def stop(self, by: str) -> None:
        """Cancels all that waits but what is to run always; what runs is for its engine to cancel."""
        if self.stopped_by:
            return
        self.stopped_by = by
        while self._retries:
            instance = heapq.heappop(self._retries)[2]
            self._end_instance(instance, instance.outcome or Outcome(StepState.CANCELLED, by))
        for instance in self._ready.remove(lambda one: one.node.step.rule is not Rule.ALWAYS):
            self._end_instance(instance, Outcome(StepState.CANCELLED, f"cancelled by {by}"))
        for node in self.nodes.values():
            if node.state is StepState.PENDING:
                self.settle(node)


def _stands(row: RunRow) -> bool:
    return row["status"] == "COMPLETED" and bool(row["valid"])


def _outcome_of(row: RunRow, reason: str) -> Outcome:
    """Returns the outcome of an instance whose run is an earlier one."""
    return Outcome.of_row(row, StepState.COMPLETED, reason, reused=True)


def _only(instances: list[StepInstance], step: str, numbers: range) -> list[StepInstance]:
    found = instances[numbers.start : numbers.stop] if instances[0].name != step else []
    if not found:
        raise WorkflowError(f"step {step} has {len(instances)} instances: there is no {step}[{numbers.start}]")
    return found


def _room_of(instance: StepInstance) -> tuple[str, Resources]:
    return instance.node.step.task, instance.node.step.resources


def _may_be_known(rule: Rule, ended: StepState) -> bool:
    """Returns whether the end of one step may be enough to decide about one that needs others too."""
    return ended is StepState.COMPLETED if rule is Rule.ANY_SUCCEEDED else ended.bad and rule in _BAD_IS_ENOUGH
