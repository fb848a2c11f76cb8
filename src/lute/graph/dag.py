"""Workflows as data: steps, what each needs, and when it may run. Pure: nothing here starts or reads anything.

In Python:

    from lute import Step
    index, merge, solve = Step("Indexer"), Step("Merger"), Step("Solver")
    workflow = index >> [merge, solve]
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from enum import Enum
from typing import Any

from lute.errors import WorkflowError, did_you_mean
from lute.wire.status import StepState, TaskStatus

NAME = re.compile(r"\w[\w-]*")
"""What a step may be called; other characters mean something in `steps.NAME.result` and `NAME[3]`."""


class Rule(Enum):
    """What must be known of the steps that a step needs before it runs."""

    ALL_SUCCEEDED = "all_succeeded"
    """All of them COMPLETED."""
    ANY_SUCCEEDED = "any_succeeded"
    """One COMPLETED; it does not wait for the others."""
    ALL_DONE = "all_done"
    """All have ended, however."""
    ANY_FAILED = "any_failed"
    """One failed; it does not wait for the others."""
    ALWAYS = "always"
    """All have ended, however, also if the workflow is being stopped."""


@dataclass(frozen=True)
class Retries:
    """What is done when a step fails.

    Attributes:
        times: How often it is tried again.
        delay: Time before that, in s.
        on: Statuses and exit codes that are worth it; empty: FAILED and TIMEDOUT.
    """

    times: int = 0
    delay: float = 0.0
    on: tuple[str | int, ...] = ()

    def worth(self, status: str, exit_code: int | None) -> bool:
        """Returns whether an attempt that ended so is worth another."""
        if not self.on:
            return TaskStatus[status].failed
        return status in self.on or (exit_code is not None and exit_code in self.on)


@dataclass(frozen=True)
class Resources:
    """What a step takes of the machine while it runs.

    Attributes:
        cores: Cores.
        memory: Memory, in bytes.
    """

    cores: int = 1
    memory: int = 0


class Joinable:
    """What can stand in `a >> [b, c] >> d`."""

    def __rshift__(self, other: Nodes) -> Chain:
        return Chain.of(self).then(other)

    def __rrshift__(self, other: Nodes) -> Chain:
        return Chain.of(other).then(self)


@dataclass(frozen=True, eq=False)
class Step(Joinable):
    """One step of a workflow: a managed Task, and when and how it is run.

    Args:
        task: The managed Task: its name, or the Executor itself. Or the name of a Task, which then runs under
            `Executor`.
        name: The step's name; the Task's if not given.
        needs: Names of the steps that come before.
        rule: What must be known of those.
        when: A condition on earlier results (`lute.workflows.conditions`).
        foreach: Values, `{"files": GLOB}`, `{"runs": "1-5,8"}` or a text with a substitution: one instance for each.
        parameters: Parameters of the Task, before substitution.
        texts: How numbers among those were written, so that `1.10` for a text stays `1.10`.
        slurm: Options for `sbatch`.
        timeout: Longest time for the Task, in s.
        retries: What is done when it fails.
        resources: What it takes of the machine.
        reuse: Whether an unchanged earlier run is taken; None: if the Task declares outputs.
        executor: The Executor, where it is given itself instead of by a name.
    """

    task: Any  # a name once the step is made
    name: str = ""
    needs: tuple[str, ...] = ()
    rule: Rule = Rule.ALL_SUCCEEDED
    when: str = ""
    foreach: Any = None
    parameters: Mapping[str, Any] = field(default_factory=dict)
    slurm: str = ""
    timeout: float | None = None
    retries: Retries = Retries()
    resources: Resources = Resources()
    reuse: bool | None = None
    executor: Any = None
    texts: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        given: Any = self.task
        if _is_executor(given):
            object.__setattr__(self, "executor", given)
            object.__setattr__(self, "task", given.task_name)
        object.__setattr__(self, "name", self.name or self.task)


Nodes = Any
"""A step, a managed Task (the Executor or its name), a chain, or several of these."""


@dataclass
class Chain(Joinable):
    """Steps that were joined by `>>`: all of them, which come first, and which come last."""

    steps: dict[str, Step]
    needs: dict[str, list[str]]
    first: list[str]
    last: list[str]

    @classmethod
    def of(cls, nodes: Nodes) -> Chain:
        """Returns a chain of what stands on one side of `>>`."""
        if isinstance(nodes, Chain):
            return nodes
        if isinstance(nodes, (list, tuple, set)):
            whole = cls({}, {}, [], [])
            for node in nodes:
                whole._add(cls.of(node))
            return whole
        step = nodes if isinstance(nodes, Step) else _step_of(nodes)
        return cls({step.name: step}, {step.name: list(step.needs)}, [step.name], [step.name])

    def _add(self, other: Chain) -> None:
        self._take(other)
        self.first += [name for name in other.first if name not in self.first]
        self.last += [name for name in other.last if name not in self.last]

    def _take(self, other: Chain) -> None:
        for name, step in other.steps.items():
            if not same(self.steps.setdefault(name, step), step):
                what = repr(step.task) if step.executor is None else "MANAGED_TASK"
                raise WorkflowError(f"two different steps are named {name!r}: give one a name, Step({what}, name=...)")
            needs = self.needs.setdefault(name, [])
            needs += [need for need in other.needs[name] if need not in needs]

    def then(self, other: Nodes) -> Chain:
        """Returns the chain with other steps after its last ones."""
        after = Chain.of(other)
        joined = Chain({}, {}, list(self.first), list(after.last))
        joined._take(self)
        joined._take(after)
        for name in after.first:
            joined.needs[name] += [need for need in self.last if need not in joined.needs[name]]
        return joined


def same(one: Step, other: Step) -> bool:
    """Returns whether two steps differ in nothing but what they need."""
    names = [field.name for field in fields(Step) if field.name != "needs"]
    return one is other or all(getattr(one, name) == getattr(other, name) for name in names)


def _step_of(node: Any) -> Step:
    if not isinstance(node, str) and not _is_executor(node):
        raise WorkflowError(f"{node!r} is no step: use Step(...), a managed Task or its name")
    return Step(node)


def _is_executor(node: Any) -> bool:
    return getattr(node, "_is_lute_executor", False) and not isinstance(node, type)


@dataclass(frozen=True)
class Workflow:
    """A workflow that can run: its steps by name, in an order in which each comes after what it needs.

    Attributes:
        name: Its name.
        steps: Its steps.
        limits: Most steps of a Task at once, by the Task's name.
        path: The file it was read from, if it was.
        text: That file's text.
    """

    name: str
    steps: Mapping[str, Step]
    limits: Mapping[str, int] = field(default_factory=dict)
    path: str = ""
    text: str = ""

    @classmethod
    def of(cls, nodes: Nodes, name: str = "workflow", limits: Mapping[str, int] | None = None) -> Workflow:
        """Returns the workflow of a chain.

        Raises:
            WorkflowError: A step needs one that is not there, or they need each other in a circle.
        """
        from dataclasses import replace

        chain = Chain.of(nodes)
        steps = {key: replace(step, needs=tuple(chain.needs[key])) for key, step in chain.steps.items()}
        return cls(name, ordered(steps), limits or {})

    def after(self, names: Iterable[str]) -> set[str]:
        """Returns the steps named and all that need them, directly or not."""
        found = set(names)
        for name, step in self.steps.items():  # in order, so one pass is enough
            if found.intersection(step.needs):
                found.add(name)
        return found

    def before(self, names: Iterable[str]) -> set[str]:
        """Returns all steps that those named need, directly or not, without themselves."""
        found: set[str] = set()
        wanted = set(names)
        for name in reversed(list(self.steps)):
            if name in wanted or name in found:
                found.update(self.steps[name].needs)
        return found

    def find(self, name: str) -> Step:
        """Returns a step.

        Raises:
            WorkflowError: There is none of that name.
        """
        if name not in self.steps:
            raise WorkflowError(f"there is no step {name!r}.{did_you_mean(name, self.steps)}")
        return self.steps[name]


def ordered(steps: Mapping[str, Step]) -> dict[str, Step]:
    """Returns steps in an order in which each comes after what it needs; otherwise as they were written.

    Raises:
        WorkflowError: A name is none, a step needs one that is not there, or they need each other in a circle.
    """
    for step in steps.values():
        if not NAME.fullmatch(step.name):
            raise WorkflowError(f"step {step.name!r}: a step's name has letters, digits, _ and - only")
        for need in step.needs:
            if need not in steps:
                raise WorkflowError(f"step {step.name!r} needs {need!r}, which is no step.{did_you_mean(need, steps)}")
    if circle := circle_of(steps):
        raise WorkflowError(in_a_circle(circle))
    return {name: steps[name] for name in _in_order(steps)}


def circle_of(steps: Mapping[str, Step]) -> list[str]:
    """Returns steps that need each other in a circle, the first again at the end; none if there is no circle."""
    left = steps.keys() - set(_in_order(steps))
    if not left:
        return []
    path = [min(left)]
    while path.count(path[-1]) == 1:
        path.append(next(need for need in steps[path[-1]].needs if need in left))
    return path[path.index(path[-1]) :][::-1]


def in_a_circle(circle: list[str]) -> str:
    """Returns what is wrong with a circle."""
    return f"steps need each other in a circle: {' -> '.join(circle)}"


def _in_order(steps: Mapping[str, Step]) -> Iterator[str]:
    """Yields the steps' names, each after what it needs; those in a circle and after one are left out."""
    waiting = {name: len(set(step.needs)) for name, step in steps.items()}
    needed_by: dict[str, list[str]] = {name: [] for name in steps}
    for name, step in steps.items():
        for need in set(step.needs):
            needed_by[need].append(name)
    ready = deque(name for name, count in waiting.items() if count == 0)
    while ready:
        name = ready.popleft()
        yield name
        for later in needed_by[name]:
            waiting[later] -= 1
            if waiting[later] == 0:
                ready.append(later)


def decide(step: Step, states: Mapping[str, StepState], stopping: bool = False) -> StepState | None:
    """Returns what becomes of a step by the states of those it needs, its condition apart.

    Args:
        step: The step.
        states: The state of every step.
        stopping: Whether the workflow is being stopped, so that nothing new should start.

    Returns:
        RUNNING if it may start, SKIPPED, BLOCKED or CANCELLED if it never will, None if that is not known yet.
    """
    needs = [states[name] for name in step.needs]
    done = all(state.final for state in needs)
    if step.rule is Rule.ALWAYS:
        return StepState.RUNNING if done else None
    if stopping:
        return StepState.CANCELLED
    if step.rule is Rule.ALL_DONE:
        return StepState.RUNNING if done else None
    if step.rule is Rule.ANY_FAILED:
        if any(state.bad for state in needs):
            return StepState.RUNNING
        return StepState.SKIPPED if done else None
    if step.rule is Rule.ANY_SUCCEEDED:
        if StepState.COMPLETED in needs or not needs:
            return StepState.RUNNING
        return _never(needs) if done else None
    if any(state.bad for state in needs):
        return StepState.BLOCKED
    if not done:  # one was skipped, perhaps, but another may still fail
        return None
    return StepState.SKIPPED if StepState.SKIPPED in needs else StepState.RUNNING


def why_not(step: Step, states: Mapping[str, StepState]) -> str:
    """Returns why a step never runs, by the states of those it needs."""
    bad = [name for name in step.needs if states[name].bad]
    if bad and step.rule in (Rule.ALL_SUCCEEDED, Rule.ANY_SUCCEEDED):
        return f"{', '.join(bad)} did not complete"
    skipped = [name for name in step.needs if states[name] is StepState.SKIPPED]
    return f"{', '.join(skipped)} was skipped" if skipped else f"its rule {step.rule.value} cannot come true"


def state_of_all(states: Iterable[StepState]) -> StepState:
    """Returns the state of a step by those of its instances: the worst, once all have ended."""
    known = set(states)
    if any(not state.final for state in known):
        return StepState.RUNNING if known != {StepState.PENDING} else StepState.PENDING
    return max(known, key=lambda state: state.badness, default=StepState.COMPLETED)


def verdict(states: Mapping[str, StepState]) -> tuple[str, str]:
    """Returns status and reason of a workflow run whose steps have ended so."""
    bad = [name for name, state in states.items() if state.bad]
    failed = [name for name in bad if states[name].failed]
    return ("FAILED", f"{', '.join(failed or bad)} did not complete") if bad else ("COMPLETED", "")


def _never(needs: list[StepState]) -> StepState:
    return StepState.BLOCKED if any(state.bad for state in needs) else StepState.SKIPPED
