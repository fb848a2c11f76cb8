"""Workflows of thousands of steps: bounded memory, and the same time for each step however many there are."""

from __future__ import annotations

import json
import os
import sys

import pytest

from conftest import Project
from process.flows import Flow

MANY = int(os.environ.get("LUTE_WORKFLOW_MANY", "2000"))
"""Steps of the large workflows; `LUTE_WORKFLOW_MANY=10000` for the whole test."""
FEW = MANY // 10
KIB_A_STEP = 8
"""Most memory that a step, its definition and its state may take while the workflow runs, in KiB; 5 were measured."""
NO_OPS = '''
    """Runs a workflow whose attempts start nothing (a fake): what is left is what lute itself does for a step."""
    import json, resource, sys, time
    from lute.config.config_file import read_config
    from lute.workflows import definition, runner
    from lute.workflows.engines import local
    from lute.wire.status import StepState

    class Fake(local.LocalEngine):
        def _attempt(self, instance, launcher):
            return local.Outcome(StepState.COMPLETED, exit_code=0)

    runner.LocalEngine = Fake
    config = read_config("config.yaml")
    config.load_plugins()
    began = time.process_time()
    row = runner.WorkflowRun(definition.load(sys.argv[1]), config).execute()
    assert row["status"] == "COMPLETED", row["reason"]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"cpu": time.process_time() - began, "rss": peak, "steps": len(row["steps"])}))
'''


def flat(count: int) -> dict[str, list[str]]:
    return {f"s{i}": [] for i in range(count)}


def chain(count: int) -> dict[str, list[str]]:
    return {f"s{i}": [f"s{i - 1}"] if i else [] for i in range(count)}


def join(count: int) -> dict[str, list[str]]:
    """A fan of half of the steps, one join, and a fan behind it."""
    half = count // 2
    first = [f"a{i}" for i in range(half)]
    return {**{name: [] for name in first}, "join": first, **{f"b{i}": ["join"] for i in range(count - half - 1)}}


SHAPES = {"flat": flat, "flat, with a limit": flat, "chain": chain, "join": join}


def write(flow: Flow, name: str, needs: dict[str, list[str]], limits: str = "{}") -> str:
    lines = [
        json.dumps(step) + ": " + json.dumps({"task": "Program", "needs": before}) for step, before in needs.items()
    ]
    flow.steps("\n".join(lines), name, limits=limits)
    return name


@pytest.fixture
def flow(project: Project) -> Flow:
    """A project with a program that does nothing."""
    made = Flow(project)
    project.write(
        "tasks.py",
        """
        from lute import Executor, ThirdPartyParameters
        class TrueParameters(ThirdPartyParameters):
            executable: str = "true"
        Program = Executor("True")
        """,
    )
    project.write("no_ops.py", NO_OPS)
    return made


def measured(flow: Flow, needs: dict[str, list[str]], limits: str) -> dict[str, float]:
    outcome = flow.project.run([sys.executable, "no_ops.py", write(flow, "many.yaml", needs, limits)], timeout=110)
    assert outcome.code == 0, outcome
    found: dict[str, float] = outcome.json
    assert found["steps"] == len(needs)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("shape", SHAPES)
def test_time_and_memory_of_many_steps(flow: Flow, shape: str) -> None:
    """B3: ten times the steps take at most 1.5 times the CPU time each, and a few KiB each of memory."""
    limits = "{Program: 1}" if "limit" in shape else "{}"
    few, many = (measured(flow, SHAPES[shape](count), limits) for count in (FEW, MANY))
    assert many["cpu"] / MANY <= 1.5 * few["cpu"] / FEW
    assert many["rss"] - few["rss"] <= KIB_A_STEP * (MANY - FEW)


@pytest.mark.slow
def test_memory_of_real_steps(flow: Flow) -> None:
    """B3: real programs, recorded one by one: the memory of `lute` does not grow with what has run."""
    peaks = []
    for count in (FEW // 4, MANY // 4):
        code = "import resource, sys; from lute.cli import main; code = main(); print(resource.getrusage(0).ru_maxrss, file=sys.stderr); sys.exit(code)"
        arguments = [
            "workflow",
            "run",
            write(flow, "many.yaml", flat(count)),
            "-c",
            "config.yaml",
            "-q",
            "--json",
            "--fresh",
        ]
        outcome = flow.project.run([sys.executable, "-c", code, *arguments], timeout=110)
        assert outcome.code == 0, outcome
        assert len(outcome.json["steps"]) == count
        peaks.append(int(outcome.err.split()[-1]))
    assert peaks[1] <= 1.5 * peaks[0]
