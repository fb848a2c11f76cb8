"""The example examples/thpp: real programs, where they are installed, on real data."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from conftest import Project

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "examples" / "thpp"
STEPS = ["merge", "refine", "limit[0]", "limit[1]", "limit[2]", "compare", "cutoffs"]


def demo_python() -> str:
    """Returns a Python that has cctbx: `$DEMO_PYTHON`, this one, or that of `make demo`; empty if there is none."""
    if given := os.environ.get("DEMO_PYTHON"):
        return given
    made = ROOT / ".demo-venv" / "bin" / "python"
    return sys.executable if find_spec("smtbx") else str(made) if made.exists() else ""


def steps_of(project: Project, *arguments: str) -> tuple[dict[str, tuple[str, str]], str]:
    """Runs the demo. Returns status and result of each step, and all that it printed."""
    done = project.run([demo_python(), str(FOLDER / "demo.py"), "out", *arguments], timeout=110)
    assert done.code == 0, done
    lines = [line.split(None, 4) for line in done.out.split("\n\n")[0].splitlines()[1:]]
    return {name: (status, result[0]) for name, _, status, _, *result in lines}, done.out


def test_its_workflow_is_a_join_and_a_fan_out(project: Project) -> None:
    """B3: `lute workflow show` reads the example's workflow without its programs."""
    done = project.lute("workflow", "show", str(FOLDER / "workflow.yaml"), "-c", str(FOLDER / "thpp.yaml"), "--json")
    needs = {step["name"]: step["needs"] for step in done.json["steps"]}
    expected = {"merge": [], "refine": [], "compare": ["merge", "refine"], "limit": [], "cutoffs": ["limit"]}
    assert needs == expected, done


@pytest.mark.slow
@pytest.mark.skipif(
    not demo_python() and not os.environ.get("CI"), reason="needs cctbx-base: make demo, or DEMO_PYTHON"
)
def test_the_second_time_it_runs_nothing_and_then_what_has_changed(project: Project) -> None:
    """B3: a step whose inputs did not change is not run again; with one changed, exactly what depends on it."""
    steps, _ = steps_of(project)
    assert [status for status, _ in steps.values()] == ["COMPLETED"] * 7, steps
    assert set(steps) == set(STEPS)
    assert steps["merge"][1].startswith("Rmerge 0.054, CC1/2 0.998"), steps
    assert 0.07 < float(steps["compare"][1].split()[1].rstrip(",")) < 0.08, steps
    again, told = steps_of(project)
    assert {status for status, _ in again.values()} == {"reused"}
    assert {name: result for name, (_, result) in again.items()} == {
        name: result for name, (_, result) in steps.items()
    }
    assert "nothing that they depend on has changed" in told
    settings: list[str] = []
    for setting, expected in (
        ("CompareModel.sigma_cutoff=3", {"compare"}),
        ("cutoffs=[1.2, 0.9, 0.75]", {"limit[2]", "cutoffs"}),
        ("Refine.max_cycles=4", {"refine", "compare"}),
    ):
        settings += ["-s", setting]
        changed, _ = steps_of(project, *settings)
        assert {name for name, (status, _) in changed.items() if status == "COMPLETED"} == expected, setting


def test_what_its_table_does_with_texts() -> None:
    """STYLE: short examples run."""
    for name in ("demo.py", "cutoffs.py"):
        subprocess.run([sys.executable, "-m", "doctest", str(FOLDER / name)], check=True, cwd=FOLDER)
