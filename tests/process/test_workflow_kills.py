"""Random workflows of real programs whose `lute` is killed at random moments, against the simple model of them.

What ran is told by the programs themselves: each writes a line when it starts and one before it ends.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from conftest import Project
from lute.record import workflow_store
from lute.record.store import Record
from process.helpers import pids_with, start, wait_until
from process.workflow_model import Fate, check_order, fates, instances, large, model

MOST = int(os.environ.get("LUTE_WORKFLOW_STEPS", "20"))
TRIES = int(os.environ.get("LUTE_FUZZ", "0"))
JOBS = 3
TELL = """
    #!/bin/sh
    code=$3
    if [ "$2" -gt 0 ]; then
        [ "$(cat "tries-$1" 2>/dev/null | wc -l)" -lt "$2" ] && code=1
    fi
    echo "start $1 $LUTE_RUN_ID" >> ran.txt
    [ "$2" -gt 0 ] && echo again >> "tries-$1"
    echo "end $1 $LUTE_RUN_ID $code" >> ran.txt
    exit $code
"""


class Random:
    """A random workflow in a folder of its own, and what its programs say.

    Args:
        folder: The folder.
        steps: The workflow.
    """

    def __init__(self, folder: Path, steps: list[Fate]) -> None:
        self.project, self.steps = Project(folder), steps
        self.project.plugin("teller")
        self.project.write("tell.sh", TELL).chmod(0o755)
        self.project.config("{}", "terminate_grace: 0.2\nclean_up_grace: 0.2")
        written = {f"s{number}": self._written(number, fate) for number, fate in enumerate(steps)}
        lines = [f"  {name}: {json.dumps(step)}" for name, step in written.items()]
        self.project.write("flow.yaml", "\n".join(["steps:", *lines, ""]))
        self.kills = self.unrecorded = 0

    def _written(self, number: int, fate: Fate) -> dict[str, Any]:
        failures = len(fate.codes) - 1
        ends = [{"name": f"s{number}", "failures": failures, "code": fate.codes[-1]}]
        if fate.items is not None:
            ends = [ends[0] | {"name": f"s{number}[0]"}][: fate.items]
            ends += [{"name": f"s{number}[{item}]", "failures": 0, "code": 0} for item in range(1, fate.items)]
        names = (
            ends[0] if fate.items is None else {name: f"{{{{ item.{name} }}}}" for name in ("name", "failures", "code")}
        )
        return {
            "task": "Teller",
            "needs": [f"s{need}" for need in fate.needs],
            "when": {"rule": fate.rule.value, "if": fate.when},
            "parameters": names,
            "retries": fate.retries,
            "resources": {"cores": fate.cores},
            **({} if fate.items is None else {"foreach": ends}),
        }

    def told(self) -> list[list[str]]:
        """The lines that programs wrote, each as words."""
        file = self.project.folder / "ran.txt"
        return [line.split() for line in file.read_text().splitlines()] if file.exists() else []

    def run(self, kill_at: int | None = None, delay: float = 0) -> dict[str, Any] | None:
        """Begins the workflow, or goes on with it.

        Args:
            kill_at: With so many lines written it is killed; None to let it end.
            delay: How much later, in s.

        Returns:
            What `--json` printed; None if it was killed.
        """
        identity = self.identity()
        what = ["--resume", identity] if identity else ["flow.yaml"]
        arguments = ["workflow", "run", *what, "-c", "config.yaml", "-j", str(JOBS), "-q", "--json"]
        with open(self.project.folder / "out", "wb") as out, open(self.project.folder / "err", "wb") as err:
            driver = start(self.project, *arguments, stdout=out, stderr=err)
            try:
                if kill_at is None:
                    driver.wait(timeout=240)
                else:
                    wait_until(lambda: len(self.told()) >= kill_at or driver.poll() is not None, "it goes on", 120)
                    time.sleep(delay)  # the moment of the kill is what is random here
            finally:
                killed = driver.poll() is None
                driver.kill()
                driver.wait()
        if killed:
            self.kills += 1
            return None
        assert driver.returncode in (0, 1), (self.project.folder / "err").read_text()
        found: dict[str, Any] = json.loads((self.project.folder / "out").read_text())
        return found

    def identity(self) -> str:
        """The id of the workflow run; nothing before it is recorded."""
        if not (self.project.folder / "lute.db").exists():
            return ""
        with Record(self.project.folder / "lute.db") as record:
            return next((str(row["id"]) for row in workflow_store.find(record, 1)), "")

    def gone(self) -> None:
        """Waits until no process of it is there."""
        wait_until(lambda: not pids_with(f"{self.project.folder}/"), "no process of the workflow is left", 15)

    def check(self, row: dict[str, Any]) -> None:
        """Compares how the workflow ended, and what its programs said, with the model."""
        expected, told = instances(self.steps), self.told()
        assert {step["name"]: step["status"] for step in row["steps"]} == {
            name: state for name, (state, _) in expected.items()
        }
        with Record(self.project.folder / "lute.db") as record:
            status = {run["id"]: run["status"] for run in record.find()}
        starts, ends, completed, unrecorded = Counter[str](), Counter[str](), set[str](), 0
        events = []
        for what, name, run, *code in told:
            assert name not in completed, f"{name} had completed, and ran again"
            if what == "start":
                starts[name] += 1
                events.append((what, name))
                continue
            ends[name] += 1
            unrecorded += code == ["0"] and status[run] != "COMPLETED"
            if code == ["0"] and status[run] == "COMPLETED":
                completed.add(name)
            if code == ["0"] if expected[name][0] == "COMPLETED" else ends[name] == expected[name][1]:
                events.append((what, name))
        assert completed == {name for name, (state, _) in expected.items() if state == "COMPLETED"}
        assert starts.keys() == {name for name, (_, count) in expected.items() if count}, "just what is to run has"
        assert unrecorded <= JOBS * self.kills
        assert starts.total() - ends.total() <= JOBS * self.kills
        if not self.kills:
            assert dict(ends) == {name: count for name, (_, count) in expected.items() if count}
        check_order(self.steps, model(self.steps)[0], events)
        self.unrecorded = unrecorded


def total(steps: list[Fate]) -> int:
    """The lines that the programs of a workflow write if nothing is killed."""
    return 2 * sum(count for _, count in instances(steps).values())


def killed_and_resumed(folder: Path, steps: list[Fate], moments: list[tuple[float, float]], at_once: bool) -> Random:
    """Runs a workflow, kills its `lute` at some moments and goes on each time; checks what came of it.

    Args:
        folder: An empty folder.
        steps: The workflow.
        moments: For each kill the part of the whole that is to be done by then, and how much later it comes, in s.
        at_once: Whether it goes on while processes of before may still be there.
    """
    one = Random(folder, steps)
    whole = total(steps)
    for part, later in sorted(moments):
        row = one.run(int(part * whole), later)
        if row is not None:
            break
        if not at_once:
            one.gone()
    else:
        row = one.run()
    assert row is not None
    one.check(row)
    one.gone()
    return one


MOMENTS = st.lists(st.tuples(st.floats(0, 1), st.sampled_from([0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3])), max_size=4)


@pytest.mark.timeout(0 if TRIES else 120)
@settings(
    max_examples=TRIES or 6,
    derandomize=not TRIES,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate] if TRIES else list(Phase),
)
@given(fates(MOST, real=True), MOMENTS, st.booleans())
def test_killed_at_random_moments(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Fate], moments: list[tuple[float, float]], at_once: bool
) -> None:
    """B3: a killed workflow goes on: each step ends as the model says, and what completed has completed once."""
    one = killed_and_resumed(tmp_path_factory.mktemp("random"), steps, moments, at_once)
    if TRIES:
        print(f"{len(steps)} steps, {total(steps) // 2} attempts, {one.kills} kills, {one.unrecorded} ends unrecorded")


@pytest.mark.slow
@pytest.mark.parametrize("moments", [[], [(0.3, 0.003), (0.7, 0.001)]], ids=["left alone", "killed twice"])
def test_a_thousand_steps(tmp_path: Path, moments: list[tuple[float, float]]) -> None:
    """B3: the same of 1,000 steps, left alone and killed twice."""
    one = killed_and_resumed(tmp_path, large(1000, 1, real=True), moments, at_once=True)
    assert one.kills == len(moments)
