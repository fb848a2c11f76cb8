"""What becomes of a workflow's steps, with nothing that runs them: no process, no thread, no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from lute import Retries, Rule, Step, Workflow
from lute.errors import WorkflowError
from lute.graph.dag import ordered
from lute.record.rows import fingerprint_of
from lute.record.types import RunRow
from lute.wire.status import StepState
from lute.workflows.progression import AS_IT_WAS, BEFORE, Progression
from lute.workflows.results import Results, Scope
from lute.workflows.state import Options, Outcome, StepInstance, StepNode, entries_of, nodes_of, restore

GOOD = Outcome(StepState.COMPLETED, run="r1", exit_code=0)
BAD = Outcome(StepState.FAILED, "exit status 1", run="r2", exit_code=1)


class World:
    """What a progression is told and what it told: the results of steps, and each change."""

    def __init__(self, *steps: Step, options: Options = Options(), known: Any = None, last: Any = None) -> None:  # noqa: B008
        self.results: dict[str, Any] = {}
        self.last: Mapping[str, Any] = last or {}
        self.told: list[str] = []
        workflow = Workflow("w", ordered({step.name: step for step in steps}))
        self.nodes = nodes_of(workflow)
        self.all = Progression(workflow, options, self.nodes, self._scope, self._last_runs, known, self._watch)

    def _scope(self) -> Scope:
        return Scope(Results(lambda name: self.results[name], lambda: list(self.results)), [{}, {}])

    def _last_runs(self, name: str) -> Mapping[str, RunRow]:
        if name not in self.last:
            raise WorkflowError(f"{name} never completed")
        return cast(Mapping[str, RunRow], self.last[name])

    def _watch(self, node: StepNode, instance: StepInstance | None) -> None:
        self.told.append(f"{instance.name if instance else node.step.name} {(instance or node).state.value}")

    def started(self, has_room: Callable[[StepInstance], bool] = lambda one: True) -> list[StepInstance]:
        """Takes all that can start now."""
        self.all.spread()
        found = []
        while (instance := self.all.take(has_room)) is not None:
            found.append(instance)
        return found

    def run(self, ends: Mapping[str, Outcome] | None = None) -> list[str]:
        """Ends each attempt as told, else well, until nothing is left. Returns what was attempted, in order."""
        attempted: list[str] = []
        self.all.begin()
        while running := self.started():
            for instance in running:
                attempted.append(instance.name)
                self.all.end_attempt(instance, (ends or {}).get(instance.name, GOOD), 0.0)
        return attempted

    @property
    def states(self) -> dict[str, str]:
        return {name: node.state.value for name, node in self.nodes.items()}


def step(name: str, *needs: str, **more: Any) -> Step:
    return Step("T", name, needs=needs, **more)


def row(identity: str, status: str = "COMPLETED", valid: bool = True, attempt: int = 1) -> Any:
    """What is looked at of a run's row."""
    exit_code = 0 if status == "COMPLETED" else 1
    known = {"id": identity, "status": status, "valid": valid, "attempt": attempt, "exit_code": exit_code}
    return {**known, "fingerprint": f"f-{identity}"}


# -------------------------------------------------------------------------------------- chains and rules


def test_a_chain_runs_in_order() -> None:
    """B3: each step waits for the one before it, and is told of once for each change."""
    world = World(step("a"), step("b", "a"), step("c", "b"))
    assert world.run() == ["a", "b", "c"]
    assert set(world.states.values()) == {"COMPLETED"}
    assert world.told[:4] == ["a RUNNING", "a COMPLETED", "a COMPLETED", "b RUNNING"]
    assert not world.all.waits


def test_a_long_chain_needs_no_deep_recursion() -> None:
    world = World(step("s0"), *(step(f"s{n}", f"s{n - 1}") for n in range(1, 5000)))
    world.run({"s0": BAD})
    assert list(world.states.values()) == ["FAILED"] + 4999 * ["BLOCKED"]


@pytest.mark.parametrize(
    ("rule", "one", "other", "expected"),
    [
        (Rule.ALL_SUCCEEDED, GOOD, GOOD, "COMPLETED"),
        (Rule.ALL_SUCCEEDED, GOOD, BAD, "BLOCKED"),
        (Rule.ANY_SUCCEEDED, GOOD, BAD, "COMPLETED"),
        (Rule.ANY_SUCCEEDED, BAD, BAD, "BLOCKED"),
        (Rule.ALL_DONE, BAD, BAD, "COMPLETED"),
        (Rule.ANY_FAILED, GOOD, GOOD, "SKIPPED"),
        (Rule.ANY_FAILED, GOOD, BAD, "COMPLETED"),
        (Rule.ALWAYS, BAD, GOOD, "COMPLETED"),
    ],
)
def test_rules(rule: Rule, one: Outcome, other: Outcome, expected: str) -> None:
    """B3: what becomes of a step by its rule and the ends of the two that it needs."""
    world = World(step("a"), step("b"), step("c", "a", "b", rule=rule))
    world.run({"a": one, "b": other})
    assert world.states["c"] == expected


@pytest.mark.parametrize(("rule", "outcome"), [(Rule.ANY_SUCCEEDED, GOOD), (Rule.ANY_FAILED, BAD)])
def test_a_step_that_needs_one_of_several_does_not_wait_for_the_others(rule: Rule, outcome: Outcome) -> None:
    world = World(step("a"), step("b"), step("c", "a", "b", rule=rule))
    world.all.begin()
    first, _ = world.started()
    world.all.end_attempt(first, outcome, 0.0)
    assert [one.name for one in world.started()] == ["c"]


def test_a_condition_is_judged_by_what_earlier_steps_gave() -> None:
    world = World(step("a"), step("b", "a", when="steps.a.result > 3"), step("c", "a", when="steps.a.result < 3"))
    world.results["a"] = {"result": 2}
    assert world.run() == ["a", "c"]
    assert world.states["b"] == "SKIPPED"
    assert world.nodes["b"].reason == "its condition is false: steps.a.result > 3"


def test_a_condition_that_cannot_be_judged_fails_the_step() -> None:
    world = World(step("a", when="steps.nobody.result > 3"), step("b", "a"))
    assert world.run() == []
    assert world.states == {"a": "FAILED", "b": "BLOCKED"}


# -------------------------------------------------------------------------------------------- foreach


def test_foreach_is_one_instance_for_each_item() -> None:
    """B3: the step is as its worst instance, with the reason of that."""
    world = World(step("a", foreach=[0, "", None]), step("b", "a"))
    assert world.run({"a[1]": BAD}) == ["a[0]", "a[1]", "a[2]"]
    assert world.states == {"a": "FAILED", "b": "BLOCKED"}
    assert [one.item for one in world.nodes["a"].instances] == [0, "", None]
    assert world.nodes["a"].reason == "exit status 1"


def test_foreach_of_nothing_is_skipped() -> None:
    world = World(step("a", foreach=[]), step("b", "a", rule=Rule.ALL_DONE))
    assert world.run() == ["b"]
    assert (world.states["a"], world.nodes["a"].reason) == ("SKIPPED", "its foreach has no items")


def test_foreach_over_a_result() -> None:
    world = World(step("a"), step("b", "a", foreach="{{ steps.a.result }}"))
    world.results["a"] = {"result": [4, 5]}
    assert world.run() == ["a", "b[0]", "b[1]"]


def test_what_has_no_room_waits_and_the_next_is_taken() -> None:
    world = World(Step("Large", "a"), Step("Small", "b"))
    world.all.begin()
    assert [one.name for one in world.started(lambda one: one.node.step.task == "Small")] == ["b"]
    assert world.all.waits


# -------------------------------------------------------------------------------------------- retries


def test_a_failed_attempt_is_tried_again_when_it_is_time() -> None:
    """B3: `delay` seconds later, as often as `times` says."""
    world = World(step("a", retries=Retries(1, 5.0)), step("b", "a"))
    world.all.begin()
    [instance] = world.started()
    world.all.end_attempt(instance, BAD, 10.0)
    assert (instance.state, world.all.next_retry, world.all.waits) == (StepState.PENDING, 15.0, True)
    world.all.queue_retries(14.9)
    assert world.started() == []
    world.all.queue_retries(15.0)
    assert (world.started(), instance.attempt, world.all.next_retry) == ([instance], 2, None)
    world.all.end_attempt(instance, BAD, 20.0)
    world.all.spread()
    assert world.states == {"a": "FAILED", "b": "BLOCKED"}


def test_a_retry_for_other_ends_is_none() -> None:
    world = World(step("a", retries=Retries(3, 0.0, (75,))))
    assert world.run({"a": BAD}) == ["a"]
    assert world.states == {"a": "FAILED"}


# --------------------------------------------------------------------------------------------- resume


def test_what_completed_before_stands() -> None:
    """B3: a workflow run that goes on runs only what did not complete, and counts its attempts on."""
    known = {"a": row("r1"), "b": row("r2", "FAILED", attempt=2)}
    world = World(step("a"), step("b", "a", retries=Retries(1)), step("c", "b"), known=known)
    assert world.all.still_to_run() == ["b", "c"]
    assert world.run({"b": BAD}) == ["b"]
    [a], [b] = world.nodes["a"].instances, world.nodes["b"].instances
    assert a.outcome == Outcome(
        StepState.COMPLETED, BEFORE, "r1", 0, fingerprint=fingerprint_of(row("r1")), reused=True
    )
    assert (b.attempt, world.all.next_retry) == (3, 0.0)  # its retries begin again, too
    assert world.nodes["a"].fingerprints == [fingerprint_of(row("r1"))]


def test_a_run_that_is_not_valid_any_more_does_not_stand() -> None:
    world = World(step("a"), step("b", "a"), known={"a": row("r1", valid=False), "b": row("r2")})
    assert world.run() == ["a"]
    assert world.nodes["b"].reason == BEFORE


def test_of_a_foreach_what_did_not_complete_runs_again() -> None:
    world = World(step("a", foreach=[1, 2]), known={"a[0]": row("r1")})
    assert not world.all.reuse_known(world.nodes["a"])
    assert world.run() == ["a[1]"]
    assert world.states == {"a": "COMPLETED"}


def test_a_step_that_completed_before_is_taken_whole() -> None:
    world = World(step("a", foreach=[1, 2]), known={"a[0]": row("r1"), "a[1]": row("r2")})
    assert world.all.reuse_known(world.nodes["a"])
    assert [one.outcome and one.outcome.run for one in world.nodes["a"].instances] == ["r1", "r2"]
    assert world.nodes["a"].state is StepState.COMPLETED


# -------------------------------------------------------------------------------------- --from, --only


def test_from_takes_what_comes_before_as_it_last_was() -> None:
    steps = (step("a"), step("b", "a"), step("c", "b"), step("other"))
    world = World(*steps, options=Options(start=("b",)), last={"a": {"a": row("r9")}})
    assert (world.all.chosen(), world.all.taken()) == ({"b", "c"}, {"a"})
    assert world.run() == ["b", "c"]
    assert (world.nodes["a"].reason, world.nodes["other"].reason) == (AS_IT_WAS, "it was not chosen")
    assert world.states == {"a": "COMPLETED", "b": "COMPLETED", "c": "COMPLETED", "other": "SKIPPED"}


def test_only_what_was_never_run_cannot_be_taken() -> None:
    world = World(step("a"), step("b", "a"), options=Options(only=("b",)))
    with pytest.raises(WorkflowError, match="a never completed"):
        world.all.begin()


# ----------------------------------------------------------------------------------- cancel, fail-fast


def test_stop_cancels_what_waits_but_what_is_to_run_always() -> None:
    """B3: what runs goes on until its engine has ended it."""
    world = World(step("a"), step("b"), step("c", "a"), step("d", "c", rule=Rule.ALWAYS))
    world.all.begin()
    a = world.all.take(lambda one: True)
    assert a is not None
    world.all.stop("SIGINT")
    world.all.stop("SIGTERM")  # it stays with the first
    assert world.all.stopped_by == "SIGINT"
    assert world.states == {"a": "RUNNING", "b": "CANCELLED", "c": "CANCELLED", "d": "RUNNING"}
    assert world.nodes["b"].reason == world.nodes["c"].reason == "cancelled by SIGINT"
    assert [one.name for one in world.started()] == ["d"]


def test_stop_ends_the_wait_for_another_attempt() -> None:
    world = World(step("a", retries=Retries(5, 60.0)))
    world.all.begin()
    [instance] = world.started()
    world.all.end_attempt(instance, BAD, 0.0)
    world.all.stop("SIGTERM")
    assert (instance.state, instance.outcome, world.all.waits) == (StepState.FAILED, BAD, False)


def test_after_a_stop_nothing_is_tried_again() -> None:
    world = World(step("a", retries=Retries(5)))
    world.all.begin()
    [instance] = world.started()
    world.all.stop("SIGTERM")
    world.all.end_attempt(instance, BAD, 0.0)
    assert (world.states, world.all.waits) == ({"a": "FAILED"}, False)


def test_fail_fast_stops_all_at_the_first_failure() -> None:
    """B3: `spread` says once that what runs is to be cancelled."""
    steps = (step("a"), step("b"), step("c", "b"), step("d", "a", rule=Rule.ANY_FAILED))
    world = World(*steps, options=Options(fail_fast=True))
    world.all.begin()
    a, b = world.started()
    world.all.end_attempt(a, BAD, 0.0)
    assert world.all.spread()
    assert world.all.stopped_by == "--fail-fast: a FAILED"
    assert world.states == {"a": "FAILED", "b": "RUNNING", "c": "CANCELLED", "d": "CANCELLED"}
    world.all.end_attempt(b, Outcome(StepState.CANCELLED, "cancelled"), 0.0)
    assert not world.all.spread()
    assert not world.all.waits


# ---------------------------------------------------------------------------- one step; and as entries


def test_one_step_alone_runs_by_what_the_record_says_of_the_others() -> None:
    """B3: as a batch job runs it: nothing else starts, whoever needs it is not told."""
    world = World(step("a"), step("b", "a", foreach=[1, 2]), step("c", "b"))
    done = World(step("a"))
    done.run()
    restore(world.nodes["a"], entries_of(done.nodes["a"]))
    node = world.all.limit_to("b", range(1, 2))
    assert world.run() == ["b[1]"]
    assert (node.state, world.states["c"]) == (StepState.COMPLETED, "PENDING")


def test_one_instance_that_is_not_there_fails_the_step() -> None:
    world = World(step("a", foreach=[1, 2]))
    world.all.limit_to("a", range(7, 8))
    assert world.run() == []
    assert world.nodes["a"].reason == "step a has 2 instances: there is no a[7]"


def test_one_step_that_was_started_too_early_fails() -> None:
    world = World(step("a"), step("b", "a"))
    world.all.limit_to("b")
    assert world.run() == []
    assert world.nodes["b"].reason == "it was started before a had ended"


def test_a_step_is_restored_from_its_entries() -> None:
    """B3: what the record keeps of a step makes the same step again."""
    world = World(step("a", foreach=[1, 2], retries=Retries(1)), step("b", "a"))
    world.run({"a[1]": BAD})
    for name, node in world.nodes.items():
        again = StepNode(node.step)
        restore(again, entries_of(node))
        assert (again.state, again.reason) == (node.state, node.reason), name
        assert entries_of(again) == entries_of(node)
