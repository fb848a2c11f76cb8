"""The state of a workflow run as data: its steps, their instances, how each attempt ended; and as the record has it.

What becomes of them is decided in `lute.workflows.progression`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from lute.graph.dag import Rule, Step, Workflow, state_of_all
from lute.record.rows import fingerprint_of, since_epoch, utc
from lute.wire.status import StepState
from lute.workflows.results import NO_ITEM

if TYPE_CHECKING:
    from lute.record.types import OutputEntry, RunRow, StepEntry


@dataclass(frozen=True)
class Options:
    """How a workflow is run.

    Attributes:
        jobs: Most cores in use at once; None for all.
        fail_fast: Whether the first failure stops everything.
        fresh: Whether nothing is reused.
        reuse_all: Whether Tasks that declare no outputs are reused too.
        start: Only these steps and what needs them; what comes before is taken as it last was.
        only: Only these steps; what comes before is taken as it last was.
        triggers: Which changes make a step run again, by the names of `lute.workflows.reuse.TRIGGERS`; all if empty.
    """

    jobs: int | None = None
    fail_fast: bool = False
    fresh: bool = False
    reuse_all: bool = False
    start: tuple[str, ...] = ()
    only: tuple[str, ...] = ()
    triggers: tuple[str, ...] = ()

    @property
    def rerun_reason(self) -> str:
        """What asks that steps run though nothing has changed; nothing if none does."""
        given = {"--fresh": self.fresh, "--from": self.start, "--only": self.only}
        return next((f"{name} was given" for name, value in given.items() if value), "")


@dataclass
class Outcome:
    """How one attempt of one instance ended.

    Attributes:
        state: How.
        reason: Why.
        run: The id of its run; None if nothing was started.
        exit_code: Its exit status.
        started: When, in s since the epoch.
        ended: When.
        fingerprint: Its fingerprint.
        outputs: What it wrote.
        reused: Whether `run` is an earlier run, which was taken.
    """

    state: StepState
    reason: str = ""
    run: str | None = None
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    fingerprint: str = ""
    outputs: Sequence[OutputEntry] = ()
    reused: bool = False

    @classmethod
    def of_row(cls, row: RunRow, state: StepState, reason: str, reused: bool = False) -> Outcome:
        """Returns the outcome that a run is."""
        return cls(
            state,
            reason,
            row["id"],
            row["exit_code"],
            fingerprint=fingerprint_of(row),
            outputs=row.get("outputs") or (),
            reused=reused,
        )


@dataclass
class StepInstance:
    """One run of a step: the step itself, or one of its `foreach`."""

    name: str
    node: StepNode
    item: Any = NO_ITEM
    attempt: int = 0
    attempts_before: int = 0
    """Attempts of an earlier time, if the workflow run is being resumed."""
    state: StepState = StepState.PENDING
    outcome: Outcome | None = None


@dataclass
class StepNode:
    """A step while its workflow runs."""

    step: Step
    needed_by: list[StepNode] = field(default_factory=list)
    waiting_for: int = 0
    state: StepState = StepState.PENDING
    reason: str = ""
    instances: list[StepInstance] = field(default_factory=list)
    open: int = 0

    @property
    def fingerprints(self) -> list[str]:
        """The fingerprints of what it ran."""
        return [one.outcome.fingerprint for one in self.instances if one.outcome is not None]


def nodes_of(workflow: Workflow) -> dict[str, StepNode]:
    """Returns the steps of a workflow before it runs, by name."""
    nodes = {name: StepNode(step, waiting_for=len(step.needs)) for name, step in workflow.steps.items()}
    for node in nodes.values():
        for need in node.step.needs:
            nodes[need].needed_by.append(node)
    return nodes


def entries_of(node: StepNode) -> list[StepEntry]:
    """Returns what the record keeps of a step: one entry, or one for each instance."""
    if not node.instances:
        return [_entry(node.step, node.step.name, node.state, 0, Outcome(node.state, node.reason))]
    return [_entry(node.step, one.name, one.state, one.attempt, one.outcome) for one in node.instances]


def _entry(step: Step, name: str, state: StepState, attempt: int, outcome: Outcome | None) -> StepEntry:
    return {
        "step": step.name,
        "task": step.task,
        "needs": list(step.needs),
        "rule": step.rule.value,
        "job": None,
        "name": name,
        "status": state.value,
        "reason": outcome.reason if outcome else "",
        "id": outcome.run if outcome else None,
        "attempt": attempt,
        "reused": outcome.reused if outcome else False,
        "started": utc(outcome.started) if outcome and outcome.started else None,
        "ended": utc(outcome.ended) if outcome and outcome.ended else None,
        "exit_code": outcome.exit_code if outcome else None,
    }


def waiting_again(entries: list[StepEntry], why: str) -> list[StepEntry]:
    """Returns the entries of a step whose job was told to end, and will be started again if there is a reason for it.

    Args:
        entries: The entries.
        why: Why it will be started again; nothing if it will not.
    """
    if not why:
        return entries
    return [
        entry | {"status": "PENDING", "reason": why, "ended": None} if entry["status"] == "CANCELLED" else entry
        for entry in entries
    ]


def state_in(entries: Iterable[StepEntry]) -> StepState:
    """Returns the state of a step, by what the record keeps of it."""
    return state_of_all([StepState[entry["status"]] for entry in entries])


def step_in(entry: StepEntry) -> Step:
    """Returns a step, as far as the record keeps it: its Task, what it needs and its rule."""
    return Step(entry["task"], entry["step"], needs=tuple(entry["needs"]), rule=Rule(entry["rule"]))


def restore(node: StepNode, entries: Sequence[StepEntry]) -> None:
    """Makes a step what the record keeps of it: the other way round than `entries_of`."""
    node.state = state_in(entries)
    node.reason = next((entry["reason"] for entry in entries if entry["status"] == node.state.value), "")
    node.instances = []
    for entry in entries:
        if entry["id"] is None and entry["name"] == entry["step"]:
            continue  # it has not begun, or was never to run
        state = StepState[entry["status"]]
        times = (since_epoch(entry["started"]), since_epoch(entry["ended"]))
        outcome = Outcome(state, entry["reason"], entry["id"], entry["exit_code"], *times, reused=entry["reused"])
        node.instances.append(StepInstance(entry["name"], node, attempt=entry["attempt"], state=state, outcome=outcome))


class Follower(Protocol):
    """Follows the log of one run."""

    def start(self, row: RunRow) -> None:
        """The run has been recorded; this is its row."""

    def finish(self) -> None:
        """The log is complete."""


Watcher = Callable[["StepNode", "StepInstance | None"], None]
"""Called in the main thread when a step, or one of its instances, has changed."""
