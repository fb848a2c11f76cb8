"""Issue 6, the people's side: what is written at the start, reused, reported, run again and cancelled."""

from __future__ import annotations

from typing import Any

import pytest

from conftest import Project

TASKS = '''
from pathlib import Path
from typing import Annotated

from lute import Executor, IsResult, Output, Positional, ThirdPartyParameters


class ShellParameters(ThirdPartyParameters):
    """Run a line of shell."""

    executable: str = "sh"
    option: Annotated[str, Positional()] = "-c"
    line: Annotated[str, Positional()] = "true"
    out_file: Annotated[str, IsResult(), Output(), Positional()] = ""
    in_file: Annotated[str, Positional()] = ""


Shell = Executor("Shell")
'''


def prepare(project: Project, workflow: str) -> None:
    """Writes a project with the managed Task `Shell` and a workflow."""
    project.write("tasks.py", TASKS)
    project.config()
    project.write("work.yaml", workflow)


def run(project: Project, *arguments: str, **keywords: Any) -> dict[str, Any]:
    """Runs the workflow. Returns what `--json` prints, with the exit code as `returncode`."""
    outcome = project.lute("workflow", "run", *arguments, "-c", "config.yaml", "--json", "-q", **keywords)
    assert outcome.out, outcome
    return {**outcome.json, "returncode": outcome.code, "stderr": outcome.err}


def reused(row: dict[str, Any]) -> list[str]:
    """Returns the names of the steps that were not run again."""
    return [step["name"] for step in row["steps"] if step["reused"]]


def test_the_workflow_that_init_writes_runs_and_is_not_run_again(project: Project) -> None:
    """B3: the workflow of `lute init`: its second step works on the result of the first; nothing is run twice."""
    assert project.lute("init").code == 0
    first = run(project, "workflow.yaml")
    assert (first["returncode"], first["status"], reused(first)) == (0, "COMPLETED", []), first
    peak = project.lute("show", first["steps"][1]["id"], "-c", "config.yaml", "--json").json
    assert peak["parameters"]["in_file"] == "strong_0001.dat"
    assert reused(run(project, "workflow.yaml")) == ["select", "peak"]
    assert reused(run(project, "workflow.yaml", "-s", "FindPeak.background=40")) == ["select"]
    assert reused(run(project, "workflow.yaml", "-s", "SelectPoints.threshold=120")) == []


@pytest.mark.parametrize("text", ["bbb", "b"])
def test_what_another_run_has_written_over_is_not_reused(project: Project, text: str) -> None:
    """B3: a step is run again if its output was replaced, be it by a file of the same size."""
    step = "steps: {{one: {{task: Shell, parameters: {{line: 'printf {0} > \"$0\"', out_file: out.txt}}}}}}"
    prepare(project, step.format("aaa"))
    assert reused(run(project, "work.yaml")) == []
    assert reused(run(project, "work.yaml")) == ["one"]
    project.write("other.yaml", step.format(text))
    assert reused(run(project, "other.yaml")) == []
    assert reused(run(project, "work.yaml")) == []
    assert (project.folder / "out.txt").read_text() == "aaa"
