"""Groups of parameters of which at most one, or exactly one, may be given: what the commands tell of them."""

from __future__ import annotations

from typing import Any

from conftest import Project
from process.test_cli import is_valid

PLUGIN = """
    from pathlib import Path
    from typing import Annotated
    from lute import FromResult, Task, TaskParameters

    class GroupParameters(TaskParameters):
        class Config:
            exactly_one = [("mask", "no_mask")]
            at_most_one = [("a", "b", "c")]

        mask: Path | None = None
        no_mask: bool = False
        a: int = 5
        b: list[str] = []
        c: Annotated[str | None, FromResult("Other")] = None

    class Group(Task):
        def _run(self):
            pass
"""


def test_tasks_and_schema_tell_of_groups(project: Project) -> None:
    """C4: in `lute tasks`, as text and JSON, and in the JSON Schema."""
    project.write("tasks.py", PLUGIN)
    about = project.lute("tasks", "Group", "-p", "tasks.py", "--json").json
    assert (about["exactly_one"], about["at_most_one"]) == ([["mask", "no_mask"]], [["a", "b", "c"]])
    out = project.lute("tasks", "Group", "-p", "tasks.py").out
    assert "\nAt most one of these can be given: a, b, c\n" in out
    assert "\nExactly one of these can be given: mask, no_mask\n" in out
    schema = project.lute("schema", "-p", "tasks.py").json
    good: list[Any] = [
        {"mask": "m"},
        {"no_mask": True},
        {"mask": "m", "no_mask": False},
        {"mask": "{{ other }}", "a": 1, "b": []},
        {"mask": "m", "c": "x", "b": []},
    ]
    bad: list[Any] = [
        {},
        {"no_mask": False},
        {"mask": "m", "no_mask": True},
        {"mask": "m", "a": 1, "b": ["x"]},
        {"mask": "m", "b": ["x"], "c": "x"},
    ]
    assert [one for one in good if not is_valid(schema, schema, {"Group": one})] == []
    assert [one for one in bad if is_valid(schema, schema, {"Group": one})] == []


def test_a_run_that_breaks_a_group_is_not_started(project: Project) -> None:
    """C4: exit status 2, and file, line and column; `--set` is named where that gave the parameter."""
    project.write("tasks.py", PLUGIN)
    project.config("Group:\n  mask: m\n  no_mask: true")
    outcome = project.lute("run", "Group", "-c", "config.yaml")
    assert outcome.code == 2
    said = "Group: exactly one of mask, no_mask can be given, and mask, no_mask are"
    assert f"config.yaml:10:3: {said}" in outcome.err, outcome
    assert project.lute("check", "-c", "config.yaml").out.count(said) == 1
    project.config("Group:\n  mask: m")
    outcome = project.lute("run", "Group", "-c", "config.yaml", "-s", "Group.no_mask=true")
    assert f"--set Group.no_mask: {said}" in outcome.err, outcome
    assert project.run_task("Group")["status"] == "COMPLETED"
    again = project.lute("rerun", "last", "-c", "config.yaml", "--json", "-q")
    assert (again.code, again.json["status"]) == (0, "COMPLETED"), again
