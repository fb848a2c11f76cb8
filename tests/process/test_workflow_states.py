"""Random workflows against a simple model of them: each step ends in the state that the model says, and runs once."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lute import Resources, Retries, Rule, Step, ThirdPartyParameters, Workflow
from lute.io.config import AS_WRITTEN, read_config
from lute.io.record import Record
from lute.workflows.dag import State, ordered
from lute.workflows.local import Local
from lute.workflows.nodes import Instance, Options, Outcome

MOST = int(os.environ.get("LUTE_WORKFLOW_STEPS", "60"))
"""Steps of the largest random workflow; `LUTE_WORKFLOW_STEPS=1000` for a long test."""
TRIES = int(os.environ.get("LUTE_FUZZ", "0"))
GOOD, BAD = (State.COMPLETED,), (State.FAILED, State.TIMEDOUT, State.CANCELLED, State.BLOCKED)


class FlowProgramParameters(ThirdPartyParameters):
    """A program without arguments: `true`, `false`."""

    executable: str = "true"


@dataclass(frozen=True)
class Fate:
    """What a step is and what becomes of each attempt: its exit codes, of which the last one stays."""

    needs: tuple[int, ...] = ()
    rule: Rule = Rule.ALL_SUCCEEDED
    when: bool | None = None
    items: int | None = None
    retries: int = 0
    retried: tuple[str | int, ...] = ()
    codes: tuple[int, ...] = (0,)
    cores: int = 1


@dataclass
class Log:
    """What was attempted: starts and ends in their order."""

    events: list[tuple[str, str]] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    cores: int = 0
    most_cores: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@st.composite
def fates(draw: Any, most: int = 12) -> list[Fate]:
    """A random workflow; a step needs only earlier ones."""
    count = draw(st.integers(1, most))
    found = []
    for number in range(count):
        needs = draw(st.sets(st.integers(max(0, number - 12), number - 1), max_size=4)) if number else set()
        fate = Fate(
            tuple(sorted(needs)),
            draw(st.sampled_from(list(Rule))),
            draw(st.sampled_from([None, None, None, True, False])),
            draw(st.sampled_from([None, None, None, 0, 1, 3])),
            draw(st.integers(0, 2)),
            draw(st.sampled_from([(), (), ("TIMEDOUT",), (75,), ("FAILED", 3)])),
            tuple(draw(st.lists(st.sampled_from([0, 0, 0, 1, 75, 124]), min_size=1, max_size=3))),
            draw(st.integers(1, 3)),
        )
        found.append(fate)
    return found


# ------------------------------------------------------------------------------------------ the model


def code_of(fate: Fate, item: int, attempt: int) -> int:
    """The exit code of an attempt: every item but the first goes well at once."""
    return fate.codes[min(attempt, len(fate.codes)) - 1] if item == 0 else 0


def status_of(code: int) -> str:
    return {0: "COMPLETED", 124: "TIMEDOUT"}.get(code, "FAILED")


def tried(fate: Fate, item: int) -> tuple[str, int]:
    """How an instance ends, and after how many attempts."""
    for attempt in range(1, fate.retries + 2):
        code = code_of(fate, item, attempt)
        worth = (status_of(code) in fate.retried or code in fate.retried) if fate.retried else True
        if code == 0 or not worth:
            break
    return status_of(code), attempt


def ran(fate: Fate) -> tuple[str, list[int]]:
    """How a step ends whose turn has come, and the attempts of each of its instances."""
    if fate.when is False or fate.items == 0:
        return "SKIPPED", []
    ends = [tried(fate, item) for item in range(fate.items or 1)]
    states = {state for state, _ in ends}
    state = "FAILED" if "FAILED" in states else "TIMEDOUT" if "TIMEDOUT" in states else "COMPLETED"
    return state, [attempts for _, attempts in ends]


def model(steps: list[Fate]) -> tuple[list[str], list[list[int]]]:
    """The state of each step and its attempts, by the rules as a person would write them down."""
    states: list[str] = []
    attempts: list[list[int]] = []
    for fate in steps:
        before = [states[need] for need in fate.needs]
        failed = [state for state in before if state in ("FAILED", "TIMEDOUT", "BLOCKED")]
        turn = {
            Rule.ALL_SUCCEEDED: all(state == "COMPLETED" for state in before),
            Rule.ANY_SUCCEEDED: not before or "COMPLETED" in before,
            Rule.ANY_FAILED: bool(failed),
            Rule.ALL_DONE: True,
            Rule.ALWAYS: True,
        }[fate.rule]
        if turn:
            state, tries = ran(fate)
        else:
            state, tries = "BLOCKED" if failed and fate.rule is not Rule.ANY_FAILED else "SKIPPED", []
        states.append(state)
        attempts.append(tries)
    return states, attempts


# ----------------------------------------------------------------------------------------- the engine


def workflow_of(steps: list[Fate], task: str = "FlowProgram", real: bool = False) -> Workflow:
    made = {}
    for number, fate in enumerate(steps):
        made[f"s{number}"] = Step(
            task,
            f"s{number}",
            needs=tuple(f"s{need}" for need in fate.needs),
            rule=fate.rule,
            when="" if fate.when is None else "1 > 0" if fate.when else "1 > 2",
            foreach=None if fate.items is None else list(range(fate.items)),
            parameters={"executable": "true" if fate.codes == (0,) else "false"} if real else {},
            retries=Retries(fate.retries, 0, fate.retried),
            resources=Resources(fate.cores),
        )
    return Workflow("random", ordered(made))


def number_of(instance: str) -> tuple[int, int]:
    """The step and the item of an instance's name."""
    step, _, item = instance.removesuffix("]").partition("[")
    return int(step[1:]), int(item or 0)


@contextmanager
def local(folder: Path, workflow: Workflow, options: Options, known: Any = None) -> Iterator[Local]:
    config = folder / "config.yaml"
    if not config.exists():
        config.write_text(f"experiment: e\nrun: 1\nwork_dir: {folder}\n---\n{{}}\n")
    record = Record(folder / "lute.db")
    try:
        yield Local(workflow, "w" * 20, read_config(config), AS_WRITTEN, options, record, known=known)
    finally:
        record.close()


class Fake(Local):
    """A `Local` whose attempts start nothing: a fake that ends them as their fates say."""

    steps: list[Fate]
    log: Log

    def _attempt(self, instance: Instance, launcher: Any) -> Outcome:
        number, item = number_of(instance.name)
        fate = self.steps[number]
        with self.log.lock:
            self.log.events.append(("start", instance.name))
            self.log.attempts[instance.name] += 1
            self.log.cores += fate.cores
            alone = self.log.cores == fate.cores
            self.log.most_cores = max(self.log.most_cores, 0 if alone else self.log.cores)
            assert instance.attempt == self.log.attempts[instance.name]
        code = code_of(fate, item, instance.attempt)
        with self.log.lock:
            self.log.events.append(("end", instance.name))
            self.log.cores -= fate.cores
        return Outcome(State[status_of(code)], f"exit {code}", exit_code=code)


def run_fake(folder: Path, steps: list[Fate], options: Options) -> tuple[Fake, Log]:
    with local(folder, workflow_of(steps), options) as one:
        one.__class__ = Fake
        one.steps, one.log = steps, Log()  # type: ignore[attr-defined]
        one.execute()
        return one, one.log  # type: ignore[return-value, attr-defined]


def ready(steps: list[Fate], number: int, ended: dict[int, str]) -> bool:
    """Whether a step's rule is true of the steps that have ended."""
    fate = steps[number]
    done = [ended[need] for need in fate.needs if need in ended]
    if fate.rule is Rule.ANY_SUCCEEDED:
        return not fate.needs or "COMPLETED" in done
    if fate.rule is Rule.ANY_FAILED:
        return any(state in ("FAILED", "TIMEDOUT", "BLOCKED", "CANCELLED") for state in done)
    return len(done) == len(fate.needs)


def check_order(steps: list[Fate], log: Log, states: list[str]) -> None:
    """A step starts only after what it needs has ended."""
    ends = {name: max(i for i, event in enumerate(log.events) if event == ("end", name)) for name in log.attempts}
    last = {}
    for name, place in ends.items():
        number = number_of(name)[0]
        last[number] = max(last.get(number, -1), place)
    for place, (what, name) in enumerate(log.events):
        if what == "start":
            ended = {n: state for n, state in enumerate(states) if last.get(n, -1) < place}
            assert ready(steps, number_of(name)[0], ended), f"{name} started too early"


tries = settings(
    max_examples=TRIES or 60,
    derandomize=not TRIES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@tries
@given(fates(MOST), st.integers(1, 4))
def test_every_step_ends_as_the_model_says(tmp_path: Path, steps: list[Fate], jobs: int) -> None:
    """B3: rules, conditions, foreach and retries: the states of a simple model, each attempt once, in order."""
    one, log = run_fake(tmp_path, steps, Options(jobs=jobs))
    states, attempts = model(steps)
    assert [node.state.value for node in one.nodes.values()] == [states[number_of(name)[0]] for name in one.nodes]
    expected = {
        f"s{number}" if steps[number].items is None else f"s{number}[{item}]": count
        for number, counts in enumerate(attempts)
        for item, count in enumerate(counts)
    }
    assert dict(log.attempts) == expected
    assert log.most_cores <= jobs
    check_order(steps, log, states)


@tries
@given(fates(MOST), st.integers(1, 4))
def test_fail_fast(tmp_path: Path, steps: list[Fate], jobs: int) -> None:
    """B3: `--fail-fast`: after the first failure nothing new starts but what is to run always, and all ends."""
    one, log = run_fake(tmp_path, steps, Options(jobs=jobs, fail_fast=True))
    states = {number_of(name)[0]: node.state for name, node in one.nodes.items()}
    expected = model(steps)[0]
    failures = [number for number, state in states.items() if state in (State.FAILED, State.TIMEDOUT)]
    assert all(state.final for state in states.values())
    assert bool(one.stopped_by) == bool(failures)
    assert all(log.attempts[name] <= steps[number_of(name)[0]].retries + 1 for name in log.attempts)
    if not failures:
        assert [states[number].value for number in range(len(steps))] == expected
    for number, state in states.items():
        always = steps[number].rule is Rule.ALWAYS or any(states[need] in BAD for need in above(steps, number))
        assert state is State.CANCELLED or always or state.value == expected[number] or state in BAD


def above(steps: list[Fate], number: int) -> set[int]:
    """All that a step needs, directly or not."""
    found: set[int] = set()
    for need in steps[number].needs:
        found |= {need} | above(steps, need)
    return found


@settings(tries, max_examples=TRIES or 6)
@given(fates(10))
def test_real_programs_end_as_the_model_says(tmp_path_factory: Any, steps: list[Fate]) -> None:
    """B3: the same with real processes: the record has each attempt once, with its step."""
    one_item = [None if fate.items is None else min(fate.items, 1) for fate in steps]
    steps = [
        Fate(fate.needs, fate.rule, fate.when, items, fate.retries, codes=(min(fate.codes[0], 1),))
        for fate, items in zip(steps, one_item, strict=True)
    ]
    states, attempts = model(steps)
    folder = tmp_path_factory.mktemp("real")
    with local(folder, workflow_of(steps, real=True), Options(jobs=3)) as one:
        one.execute()
        record = Record(folder / "lute.db")
        found = record.find(workflow="w" * 20) if record.exists() else []
        record.close()
    assert [one.nodes[f"s{number}"].state.value for number in range(len(steps))] == states
    expected = {
        (f"s{number}" if steps[number].items is None else f"s{number}[{item}]", attempt)
        for number, counts in enumerate(attempts)
        for item, count in enumerate(counts)
        for attempt in range(1, count + 1)
    }
    assert Counter((row["step"], row["attempt"]) for row in found) == Counter(expected)
