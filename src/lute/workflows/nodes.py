"""The state of a workflow run: its steps, their instances, how each attempt ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from lute.workflows.dag import State, Step
from lute.workflows.results import NO_ITEM


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
    """

    jobs: int | None = None
    fail_fast: bool = False
    fresh: bool = False
    reuse_all: bool = False
    start: tuple[str, ...] = ()
    only: tuple[str, ...] = ()

    @property
    def anew(self) -> str:
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
        mark: Its fingerprint.
        reused: Whether `run` is an earlier run, which was taken.
    """

    state: State
    reason: str = ""
    run: str | None = None
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    mark: str = ""
    reused: bool = False


@dataclass
class Instance:
    """One run of a step: the step itself, or one of its `foreach`."""

    name: str
    node: Node
    item: Any = NO_ITEM
    attempt: int = 0
    before: int = 0
    """Attempts of an earlier time, if the workflow run is being resumed."""
    state: State = State.PENDING
    outcome: Outcome | None = None


@dataclass
class Node:
    """A step while its workflow runs."""

    step: Step
    needed_by: list[Node] = field(default_factory=list)
    waiting_for: int = 0
    state: State = State.PENDING
    reason: str = ""
    instances: list[Instance] = field(default_factory=list)
    open: int = 0

    @property
    def marks(self) -> list[str]:
        """The fingerprints of what it ran."""
        return [one.outcome.mark for one in self.instances if one.outcome is not None]


Watcher = Callable[["Node", "Instance | None"], None]
"""Called in the main thread when a step, or one of its instances, has changed."""
