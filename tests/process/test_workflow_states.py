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

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lute import Resources, Retries, Rule, Step, ThirdPartyParameters, Workflow
from lute.config.config_file import AS_WRITTEN, read_config
from lute.graph.dag import ordered
from lute.record.store import Record
from lute.wire.status import StepState
from lute.workflows.engines.local import LocalEngine
from lute.workflows.prepared import PreparedWorkflow
from lute.workflows.progression import Progression
from lute.workflows.state import Options, Outcome, StepInstance
from process.workflow_model import (
    Fate,
    attempted,
    check_order,
    code_of,
    fates,
    large,
    model,
    number_of,
    status_of,
)

MOST = int(os.environ.get("LUTE_WORKFLOW_STEPS", "60"))
"""Steps of the largest random workflow; `LUTE_WORKFLOW_STEPS=1000` for a long test."""
TRIES = int(os.environ.get("LUTE_FUZZ", "0"))
BAD = (StepState.FAILED, StepState.TIMEDOUT, StepState.CANCELLED, StepState.BLOCKED)


class FlowProgramParameters(ThirdPartyParameters):
    """A program without arguments: `true`, `false`."""

    executable: str = "true"


@dataclass
class Log:
    """What was attempted: starts and ends in their order."""

    events: list[tuple[str, str]] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    cores: int = 0
    most_cores: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


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


@contextmanager
def prepared_in(folder: Path, workflow: Workflow, options: Options) -> Iterator[PreparedWorkflow]:
    config = folder / "config.yaml"
    if not config.exists():
        config.write_text(f"experiment: e\nrun: 1\nwork_dir: {folder}\n---\n{{}}\n")
    record = Record(folder / "lute.db")
    try:
        yield PreparedWorkflow(workflow, read_config(config), AS_WRITTEN, options, record)
    finally:
        record.close()


class Fake(LocalEngine):
    """A `LocalEngine` whose attempts start nothing: a fake that ends them as their fates say."""

    def __init__(self, prepared: PreparedWorkflow, steps: list[Fate]) -> None:
        super().__init__(prepared, "w" * 20)
        self.steps, self.log = steps, Log()

    def _attempt(self, instance: StepInstance, launcher: Any) -> Outcome:
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
        return Outcome(StepState[status_of(code)], f"exit {code}", exit_code=code)


def run_fake(folder: Path, steps: list[Fate], options: Options) -> tuple[Progression, Log]:
    with prepared_in(folder, workflow_of(steps), options) as prepared:
        fake = Fake(prepared, steps)
        fake.submit()
        fake.wait()
        return prepared.progression, fake.log


tries = settings(
    max_examples=TRIES or 60,
    derandomize=not TRIES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.mark.timeout(0 if TRIES else 120)
@tries
@example(large(1000, 1), 4)
@given(fates(MOST), st.integers(1, 4))
def test_every_step_ends_as_the_model_says(tmp_path: Path, steps: list[Fate], jobs: int) -> None:
    """B3: rules, conditions, foreach and retries: the states of a simple model, each attempt once, in order."""
    one, log = run_fake(tmp_path, steps, Options(jobs=jobs))
    states, _ = model(steps)
    assert [node.state.value for node in one.nodes.values()] == [states[number_of(name)[0]] for name in one.nodes]
    assert dict(log.attempts) == attempted(steps)
    assert log.most_cores <= jobs
    check_order(steps, states, log.events)


@pytest.mark.timeout(0 if TRIES else 120)
@tries
@given(fates(MOST), st.integers(1, 4))
def test_fail_fast(tmp_path: Path, steps: list[Fate], jobs: int) -> None:
    """B3: `--fail-fast`: after the first failure nothing new starts but what is to run always, and all ends."""
    one, log = run_fake(tmp_path, steps, Options(jobs=jobs, fail_fast=True))
    states = {number_of(name)[0]: node.state for name, node in one.nodes.items()}
    expected = model(steps)[0]
    failures = [number for number, state in states.items() if state in (StepState.FAILED, StepState.TIMEDOUT)]
    assert all(state.final for state in states.values())
    assert bool(one.stopped_by) == bool(failures)
    assert all(log.attempts[name] <= steps[number_of(name)[0]].retries + 1 for name in log.attempts)
    if not failures:
        assert [states[number].value for number in range(len(steps))] == expected
    bad_above: list[bool] = []
    for number, fate in enumerate(steps):
        state = states[number]
        bad_above.append(any(states[need] in BAD or bad_above[need] for need in fate.needs))
        always = fate.rule is Rule.ALWAYS or bad_above[number]
        assert state in BAD or always or state.value == expected[number]


@pytest.mark.timeout(0 if TRIES else 120)
@settings(tries, max_examples=TRIES or 6)
@given(fates(10))
def test_real_programs_end_as_the_model_says(tmp_path_factory: Any, steps: list[Fate]) -> None:
    """B3: the same with real processes: the record has each attempt once, with its step."""
    one_item = [None if fate.items is None else min(fate.items, 1) for fate in steps]
    steps = [
        Fate(fate.needs, fate.rule, fate.when, items, fate.retries, codes=(min(fate.codes[0], 1),))
        for fate, items in zip(steps, one_item, strict=True)
    ]
    states, _ = model(steps)
    folder = tmp_path_factory.mktemp("real")
    with prepared_in(folder, workflow_of(steps, real=True), Options(jobs=3)) as one:
        engine = LocalEngine(one, "w" * 20)
        engine.submit()
        engine.wait()
        record = Record(folder / "lute.db")
        found = record.find(workflow="w" * 20) if record.exists() else []
        record.close()
    assert [one.nodes[f"s{number}"].state.value for number in range(len(steps))] == states
    expected = {(name, attempt) for name, count in attempted(steps).items() for attempt in range(1, count + 1)}
    assert Counter((row["step"], row["attempt"]) for row in found) == Counter(expected)
