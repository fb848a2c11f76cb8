"""Workflows as data: joining in Python, order, circles, and what becomes of a step by what it needs."""

from __future__ import annotations

from itertools import pairwise, permutations, product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lute import Executor, Resources, Retries, Rule, Step, Workflow
from lute.errors import WorkflowError
from lute.graph.dag import decide, ordered
from lute.wire.status import StepState

DONE, BAD, OUT, OPEN = StepState.COMPLETED, StepState.FAILED, StepState.SKIPPED, StepState.PENDING


def needs_of(nodes: Any) -> dict[str, set[str]]:
    return {name: set(step.needs) for name, step in Workflow.of(nodes).steps.items()}


# ----------------------------------------------------------------------------------------- in Python


def test_a_fan_out_and_a_join() -> None:
    """B3: `a >> [b, c] >> d`."""
    a, b, c, d = (Step(name) for name in "abcd")
    assert needs_of(a >> [b, c] >> d) == {"a": set(), "b": {"a"}, "c": {"a"}, "d": {"b", "c"}}


def test_a_list_may_come_first_and_last() -> None:
    """B3: lists stand on either side."""
    assert needs_of([Step("a"), Step("b")] >> Step("c")) == {"a": set(), "b": set(), "c": {"a", "b"}}
    assert needs_of(Step("a") >> [Step("b"), Step("c")]) == {"a": set(), "b": {"a"}, "c": {"a"}}


def test_lists_of_chains() -> None:
    """B3: a list may hold chains; what comes next waits for the end of each."""
    a, b, c, d, e = (Step(name) for name in "abcde")
    assert needs_of(a >> [b >> c, d] >> e) == {"a": set(), "b": {"a"}, "d": {"a"}, "c": {"b"}, "e": {"c", "d"}}


def test_chains_are_joined_twice() -> None:
    """B3: a chain can be used in several others, and is not changed by that."""
    a, b, c, d = (Step(name) for name in "abcd")
    first = a >> b
    assert needs_of([first >> c, first >> d]) == {"a": set(), "b": {"a"}, "c": {"b"}, "d": {"b"}}
    assert needs_of(first) == {"a": set(), "b": {"a"}}
    assert needs_of([a >> b, a >> b]) == {"a": set(), "b": {"a"}}
    assert needs_of([a >> c, b >> c]) == {"a": set(), "b": set(), "c": {"a", "b"}}


def test_executors_and_their_names_are_steps() -> None:
    """B3: managed Tasks themselves stand in a chain, and names beside them."""
    index, merge = Executor("Indexing"), Executor("Merging")
    workflow = Workflow.of(index >> [merge, "Solver"] >> Step("Plotter"))
    assert {name: set(step.needs) for name, step in workflow.steps.items()} == {
        "Indexing": set(),
        "Merging": {"Indexing"},
        "Solver": {"Indexing"},
        "Plotter": {"Merging", "Solver"},
    }
    assert workflow.steps["Indexing"].executor is index
    assert needs_of("Solver" >> merge) == {"Solver": set(), "Merging": {"Solver"}}
    assert needs_of([index >> merge, index >> Step("x")])["x"] == {"Indexing"}


def test_two_managed_tasks_of_one_task() -> None:
    """B3: each is a step of its own under a name of its own; without one, the error says how to give it."""
    small, large = Executor("Index"), Executor("Index")
    with pytest.raises(WorkflowError, match=r"named 'Index': give one a name, Step\(MANAGED_TASK, name=...\)"):
        Workflow.of(small >> large)
    workflow = Workflow.of(small >> Step(large, "again"))
    assert {name: (step.task, step.executor) for name, step in workflow.steps.items()} == {
        "Index": ("Index", small),
        "again": ("Index", large),
    }


def test_a_step_keeps_all_its_arguments() -> None:
    """B3: `Step` has what the flat form has."""
    step = Step(
        "Indexer",
        "index",
        needs=("before",),
        rule=Rule.ALL_DONE,
        when="steps.before.result > 0",
        foreach=[1, 2],
        parameters={"threshold": "{{ item }}"},
        slurm="--ntasks=4",
        timeout=5,
        retries=Retries(2, 0.5, ("FAILED", 75)),
        resources=Resources(2, 1 << 30),
        reuse=False,
    )
    kept = Workflow.of([Step("Source", "before"), step], "mine", {"Indexer": 2})
    assert (kept.name, dict(kept.limits), list(kept.steps)) == ("mine", {"Indexer": 2}, ["before", "index"])
    for name in ("task", "needs", "rule", "when", "foreach", "parameters", "slurm", "timeout", "retries", "reuse"):
        assert getattr(kept.steps["index"], name) == getattr(step, name)
    assert kept.steps["index"].resources == Resources(2, 1 << 30)


@pytest.mark.parametrize("node", [3, None, object(), Executor, Step])
def test_what_is_no_step(node: Any) -> None:
    """B3: what cannot be a step is an error that says what can."""
    with pytest.raises(WorkflowError, match="is no step: use Step"):
        Step("a") >> node


@pytest.mark.parametrize(
    "other",
    [
        Step("Other", "a"),
        Step("a", parameters={"x": 2}),
        Step("a", timeout=3),
        Step("a", when="true"),
        Executor("a"),
    ],
)
def test_two_steps_of_one_name(other: Any) -> None:
    """B3: two different steps of one name are an error; neither is dropped in silence."""
    with pytest.raises(WorkflowError, match=r"two .*steps are named 'a'.*name="):
        Workflow.of([Step("a") >> Step("b"), other >> Step("c")])


def test_two_equal_steps_of_one_name_are_one() -> None:
    """B3: the same step written twice is one."""
    assert needs_of([Step("a", timeout=3) >> Step("b"), Step("a", timeout=3) >> Step("c")])["c"] == {"a"}


def test_a_circle_is_shown() -> None:
    """B3: a circle is an error that shows it."""
    a, b, c = (Step(name) for name in "abc")
    with pytest.raises(WorkflowError, match="circle") as error:
        Workflow.of([a >> b >> c >> a, Step("z") >> a])
    circle = str(error.value).rpartition(": ")[2].split(" -> ")
    assert circle[0] == circle[-1]
    assert {tuple(pair) for pair in pairwise(circle)} == {("a", "b"), ("b", "c"), ("c", "a")}


def test_a_step_that_needs_itself() -> None:
    """B3: the smallest circle."""
    with pytest.raises(WorkflowError, match="a -> a"):
        Workflow.of(Step("a", needs=("a",)))


def test_an_unknown_need_has_the_nearest_name() -> None:
    """B3: a misspelt need gets the nearest name."""
    with pytest.raises(WorkflowError, match=r"'indx', which is no step.*index"):
        Workflow.of([Step("index"), Step("merge", needs=("indx",))])


def test_a_long_chain() -> None:
    """B3: a chain of thousands of steps is no recursion."""
    steps = {f"s{i}": Step("T", f"s{i}", needs=(f"s{i - 1}",) if i else ()) for i in range(5000)}
    assert list(ordered(dict(reversed(steps.items())))) == list(steps)


@st.composite
def graphs(draw: Any) -> dict[str, Step]:
    """Steps that need only earlier ones, in any order of writing."""
    count = draw(st.integers(1, 15))
    needs = [draw(st.sets(st.integers(0, i - 1), max_size=4)) if i else set() for i in range(count)]
    steps = [Step("T", f"s{i}", needs=tuple(f"s{need}" for need in needs[i])) for i in range(count)]
    return {step.name: step for step in draw(st.permutations(steps))}


fixed = settings(derandomize=True, database=None, deadline=None, max_examples=60)


@fixed
@given(graphs())
def test_each_step_comes_after_what_it_needs(steps: dict[str, Step]) -> None:
    """B3: the order is one in which everything needed comes first, and nothing is lost."""
    order = list(ordered(steps))
    assert sorted(order) == sorted(steps)
    assert all(order.index(need) < order.index(name) for name, step in steps.items() for need in step.needs)


@fixed
@given(graphs(), st.data())
def test_before_and_after(steps: dict[str, Step], data: Any) -> None:
    """B3: `--from` and `--only` are of what a step needs and is needed by, directly or not."""
    workflow = Workflow("w", ordered(steps))
    name = data.draw(st.sampled_from(sorted(steps)))

    def above(one: str) -> set[str]:
        return set().union(*({need} | above(need) for need in steps[one].needs))

    assert workflow.before([name]) == above(name)
    assert workflow.after([name]) == {name} | {other for other in steps if name in above(other)}


@pytest.mark.parametrize("name", ["a.b", "a[0]", "a b", "<b>", "-a", "a\n", 'a"'])
def test_what_is_no_name(name: str) -> None:
    """B3: in Python too, a name is one that can be asked for."""
    with pytest.raises(WorkflowError, match="letters, digits"):
        Workflow.of(Step("T", name))


# ----------------------------------------------------------------------------------- what is decided

TABLE = [
    # rule, states of what it needs, what becomes of it
    ("all_succeeded", [], "RUNNING"),
    ("all_succeeded", [DONE, DONE], "RUNNING"),
    ("all_succeeded", [DONE, OPEN], None),
    ("all_succeeded", [BAD, OPEN], "BLOCKED"),
    ("all_succeeded", [DONE, OUT], "SKIPPED"),
    ("all_succeeded", [OUT, BAD], "BLOCKED"),
    ("all_succeeded", [OUT, OPEN], None),
    ("any_succeeded", [], "RUNNING"),
    ("any_succeeded", [DONE, OPEN], "RUNNING"),
    ("any_succeeded", [DONE, BAD], "RUNNING"),
    ("any_succeeded", [BAD, OPEN], None),
    ("any_succeeded", [BAD, OUT], "BLOCKED"),
    ("any_succeeded", [OUT, OUT], "SKIPPED"),
    ("all_done", [], "RUNNING"),
    ("all_done", [BAD, OUT, DONE], "RUNNING"),
    ("all_done", [BAD, OPEN], None),
    ("any_failed", [], "SKIPPED"),
    ("any_failed", [BAD, OPEN], "RUNNING"),
    ("any_failed", [StepState.BLOCKED, DONE], "RUNNING"),
    ("any_failed", [DONE, OUT], "SKIPPED"),
    ("any_failed", [DONE, OPEN], None),
    ("always", [BAD, OUT], "RUNNING"),
    ("always", [OPEN], None),
]


@pytest.mark.parametrize(("rule", "needs", "becomes"), TABLE)
def test_what_becomes_of_a_step(rule: str, needs: list[StepState], becomes: str | None) -> None:
    """B3: the trigger rules, in any order of what is needed."""
    for order in set(permutations(needs)):
        names = [f"n{i}" for i in range(len(order))]
        found = decide(Step("T", needs=tuple(names), rule=Rule(rule)), dict(zip(names, order, strict=True)))
        assert (found and found.value) == becomes


@pytest.mark.parametrize("rule", [rule for rule in Rule if rule is not Rule.ALWAYS])
def test_nothing_new_starts_while_it_is_stopped(rule: Rule) -> None:
    """B3: cancel stops all but what is to run always."""
    for states in product(StepState, repeat=2):
        step = Step("T", needs=("x", "y"), rule=rule)
        assert decide(step, dict(zip("xy", states, strict=True)), stopping=True) is StepState.CANCELLED
    step = Step("T", needs=("x",), rule=Rule.ALWAYS)
    assert decide(step, {"x": StepState.CANCELLED}, stopping=True) is StepState.RUNNING
    assert decide(step, {"x": StepState.RUNNING}, stopping=True) is None


@pytest.mark.parametrize("rule", Rule)
def test_a_verdict_stays(rule: Rule) -> None:
    """B3: what is decided while some steps still run is what would be decided at the end: no race decides."""
    step = Step("T", needs=("x", "y", "z"), rule=rule)
    final = [state for state in StepState if state.final]
    for early in product([*final, StepState.RUNNING], repeat=3):
        verdict = decide(step, dict(zip("xyz", early, strict=True)))
        if verdict is not None:
            for late in product(*([state] if state.final else final for state in early)):
                assert decide(step, dict(zip("xyz", late, strict=True))) is verdict


@pytest.mark.parametrize(
    ("retries", "status", "code", "worth"),
    [
        (Retries(1), "FAILED", 1, True),
        (Retries(1), "TIMEDOUT", None, True),
        (Retries(1), "CANCELLED", None, False),
        (Retries(1, on=(75,)), "FAILED", 75, True),
        (Retries(1, on=(75,)), "FAILED", 1, False),
        (Retries(1, on=(0,)), "FAILED", 0, True),
        (Retries(1, on=(0,)), "FAILED", None, False),
        (Retries(1, on=("TIMEDOUT",)), "FAILED", 1, False),
        (Retries(1, on=("TIMEDOUT", 3)), "FAILED", 3, True),
    ],
)
def test_what_is_worth_another_attempt(retries: Retries, status: str, code: int | None, worth: bool) -> None:
    """B3: retries on chosen statuses or exit codes."""
    assert retries.worth(status, code) is worth
