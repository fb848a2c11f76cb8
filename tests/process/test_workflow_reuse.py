"""What is not run again: the second time nothing, after one change exactly what depends on it, and the reason told."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute.record.store import Record
from process.flows import Flow, anew

STEPS = """
a: { task: Writer, parameters: { text: a, out_file: a.txt } }
b: { task: Writer, needs: a, parameters: { text: b, in_file: "{{ steps.a.result }}", out_file: b.txt } }
c: { task: Writer, needs: a, parameters: { text: c, in_file: other.txt, out_file: c.txt } }
t: { task: Templater }
d: { task: Writer, needs: [b, c], parameters: { text: d, in_file: b.txt, out_file: d.txt } }
"""
ALL = {"a", "b", "c", "d", "t"}


@pytest.fixture
def flow(project: Project) -> Iterator[Flow]:
    """A workflow of a fan-out, a join and a step beside them, run once."""
    made = Flow(project)
    project.write("other.txt", "other\n")
    project.write("templates/some.j2", "one {{ word }}\n")
    project.config("Templated: { word: x }")
    made.steps(STEPS)
    assert anew(made.run()) == ALL
    yield made
    made.close()


def forecast(flow: Flow, *arguments: str) -> dict[str, tuple[bool | None, str]]:
    """What `--dry-run` says: whether each step would run, and why."""
    outcome = flow.lute("run", "flow.yaml", "--dry-run", "--json", *arguments)
    assert outcome.code == 0, outcome
    return {one["step"]: (one["runs"], one["why"]) for one in outcome.json}


def test_the_second_time_nothing_runs(flow: Flow) -> None:
    """B3: nothing has changed: nothing runs, every step is COMPLETED with its earlier run, and says why."""
    ran = flow.ran()
    first = {step["name"]: step["id"] for step in flow.lute("status", "--json").json["steps"]}
    row = flow.run()
    assert (row["status"], anew(row), flow.ran()) == ("COMPLETED", set(), ran)
    assert {step["name"]: step["id"] for step in row["steps"]} == first
    assert {step["reason"] for step in row["steps"]} == {"nothing that it depends on has changed"}
    assert {runs for runs, _ in forecast(flow).values()} == {False}
    plain = flow.lute("run", "flow.yaml")
    assert plain.out.count("COMPLETED (reused)") == 5
    assert plain.err.count("reused: nothing that it depends on has changed") == 5


def change_steps(before: str, after: str) -> Any:
    return lambda flow: flow.steps(STEPS.replace(before, after))


def touch_text(name: str, text: str) -> Any:
    def change(flow: Flow) -> None:
        file = flow.folder / name
        mode = file.stat().st_mode
        file.write_text(text)
        file.chmod(mode)

    return change


def same_size(flow: Flow) -> None:
    """Another content of the same size."""
    touch_text("other.txt", "OTHER\n")(flow)


def invalid(flow: Flow) -> None:
    with Record(flow.folder / "lute.db") as record:
        [run] = record.find(step="d", limit=1)
        record.set_valid(run["id"], False)


def plug_in(flow: Flow) -> None:
    file = flow.folder / "tasks.py"
    file.write_text(file.read_text() + "\n# changed\n")


def program(flow: Flow) -> None:
    file = flow.folder / "write.sh"
    file.write_text(file.read_text() + "# changed\n")


CHANGES = {
    "a parameter": (change_steps("text: c", "text: C"), {"c", "d"}, "c", "its parameters"),
    "a parameter of the first": (change_steps("text: a,", "text: A,"), {"a", "b", "c", "d"}, "a", "its parameters"),
    "an input file": (touch_text("other.txt", "longer than before\n"), {"c", "d"}, "c", "its input files"),
    "an input file of the same size": (same_size, {"c", "d"}, "c", "its input files"),
    "the program": (program, {"a", "b", "c", "d"}, "a", "the program"),
    "a plug-in's code": (plug_in, ALL, "t", "the code"),
    "a template": (touch_text("templates/some.j2", "two {{ word }}\n"), {"t"}, "t", "template"),
    "an output is deleted": (lambda flow: (flow.folder / "d.txt").unlink(), {"d"}, "d", "what it wrote"),
    "an output is changed": (touch_text("d.txt", "something else"), {"d"}, "d", "what it wrote"),
    "an output is changed, of the same size": (
        lambda flow: touch_text("d.txt", flow.text("d.txt").upper())(flow),
        {"d"},
        "d",
        "what it wrote",
    ),
    "a result is invalid": (invalid, {"d"}, "d", "valid"),
}


def test_one_change_runs_what_depends_on_it(flow: Flow) -> None:
    """B3: one thing changed: exactly what depends on it runs again, and the forecast said so, with the reason."""
    for what, (change, again, step, told) in CHANGES.items():
        change(flow)
        said = forecast(flow)
        assert {name for name, (runs, _) in said.items() if runs is not False} == again, what
        assert told in said[step][1], (what, said)
        assert anew(flow.run()) == again, what


def test_another_run_of_the_experiment(flow: Flow) -> None:
    """B3: a result of run 7 is none of run 8."""
    assert anew(flow.run("-r", "8")) == ALL
    assert anew(flow.run("-r", "8")) == set()


def test_why(flow: Flow) -> None:
    """B: `lute workflow why STEP` names what changed, or that nothing has."""
    assert flow.lute("why", "c", "flow.yaml").out.startswith("c would not run: nothing that it depends on")
    same_size(flow)
    why = flow.lute("why", "c", "flow.yaml")
    assert (why.code, "c would run" in why.out, "its input files" in why.out) == (0, True, True), why
    why = flow.lute("why", "d", "flow.yaml", "--json")
    assert why.json == {"step": "d", "runs": True, "why": "changed since it last completed: what it needs"}
    assert len(flow.lute("list", "--json").json) == 1, "a forecast starts nothing"


def test_options_that_ask(flow: Flow) -> None:
    """B3: `--fresh` runs all; `--from` a step and what needs it; `--only` it alone, the rest as it was."""
    assert anew(flow.run("--fresh")) == ALL
    assert {runs for runs, _ in forecast(flow, "--fresh").values()} == {True}
    assert forecast(flow, "--fresh")["a"] == (True, "--fresh was given")
    row = flow.run("--from", "c")
    assert anew(row) == {"c", "d"}
    assert row["states"] == {"a": "COMPLETED", "b": "COMPLETED", "t": "SKIPPED", "c": "COMPLETED", "d": "COMPLETED"}
    row = flow.run("--only", "c")
    assert anew(row) == {"c"}
    assert row["states"] == {"a": "COMPLETED", "b": "SKIPPED", "t": "SKIPPED", "c": "COMPLETED", "d": "SKIPPED"}
    row = flow.run("--only", "c", "--only", "t")
    assert anew(row) == {"c", "t"}


def test_what_comes_before_is_not_looked_at(flow: Flow) -> None:
    """B3: `--only` takes what comes before as it last was, also if that has changed."""
    touch = flow.folder / "input.txt"
    touch.write_text("changed\n")
    assert anew(flow.run("--only", "d")) == {"d"}
    assert flow.run("--from", "b")["states"]["a"] == "COMPLETED"


def test_from_where_nothing_was_before(flow: Flow) -> None:
    """B3: `--only` of a step whose needs never ran for this run: exit 2, and what to do."""
    outcome = flow.lute("run", "flow.yaml", "--only", "d", "-r", "99", "--json")
    assert outcome.code == 2, outcome
    assert "--only" in outcome.json["error"]
    assert len(flow.lute("list", "--json").json) == 1, "nothing was started, nothing is recorded"


def test_another_workflows_step_is_not_ours(flow: Flow) -> None:
    """B3: a step of the same name in another workflow is not what this one "last was"."""
    flow.steps("a: { task: Writer, parameters: { text: zzz, out_file: zzz.txt } }", "neighbour.yaml")
    flow.run(file="neighbour.yaml")
    row = flow.run("--only", "b")
    assert Path(flow.history()[-1]["parameters"]["in_file"]).name == "a.txt"
    assert row["status"] == "COMPLETED"


def test_reuse_of_some_instances(flow: Flow) -> None:
    """B3: of a fan-out only the changed instances run; a step taken as it last was has all of them."""

    def steps(last: str) -> None:
        flow.steps(
            f"""
            fan:
              task: Writer
              foreach: [x, y, {last}]
              parameters: {{ text: "{{{{ item }}}}", out_file: "{{{{ item }}}}.txt" }}
            join: {{ task: Giver, needs: fan, parameters: {{ value: "{{{{ steps.fan.result }}}}" }} }}
            """
        )

    steps("z")
    assert anew(flow.run()) == {"fan[0]", "fan[1]", "fan[2]", "join"}
    steps("zz")
    assert anew(flow.run()) == {"fan[2]", "join"}
    assert anew(flow.run("--only", "join")) == {"join"}
    assert [Path(path).name for path in flow.history()[-1]["payload"]] == ["x.txt", "y.txt", "zz.txt"]


@pytest.mark.parametrize(
    ("step", "arguments", "runs", "told"),
    [
        ("{ task: Shell }", [], True, "declares no outputs"),
        ("{ task: Shell }", ["--reuse-all"], False, "nothing that it depends on"),
        ("{ task: Shell, reuse: true }", [], False, "nothing that it depends on"),
        ("{ task: Writer, reuse: false }", [], True, "its `reuse` is false"),
        ("{ task: Writer, reuse: false }", ["--reuse-all"], True, "its `reuse` is false"),
        ("{ task: Shell, reuse: true }", ["--fresh"], True, "--fresh"),
    ],
)
def test_reuse_is_asked_for(project: Project, step: str, arguments: list[str], runs: bool, told: str) -> None:
    """B3: Tasks that declare no outputs run again unless asked; `reuse` says otherwise for one step."""
    flow = Flow(project)
    flow.steps(f"x: {step}")
    flow.run()
    why = flow.lute("why", "x", "flow.yaml", "--json", *arguments)
    assert (why.json["runs"], told in why.json["why"]) == (runs, True), why
    assert bool(anew(flow.run(*arguments))) is runs


def test_a_failed_run_is_not_reused(flow: Flow) -> None:
    """B3: only what completed and is valid is taken."""
    flow.steps("x: { task: Shell, reuse: true, parameters: { code: 'echo x >> ran.txt; [ -e ok ]' } }")
    flow.run(code=1)
    (flow.folder / "ok").touch()
    assert flow.run()["states"] == {"x": "COMPLETED"}
    assert anew(flow.run()) == set()
    assert flow.ran()["x"] == 2


def test_a_dry_run_starts_nothing(project: Project) -> None:
    """B: `--dry-run` of a workflow that never ran: nothing runs, no record is made, each step says why."""
    flow = Flow(project)
    flow.steps(
        STEPS.replace("t: { task: Templater }", "t: { task: Shell }")
        + "w: { task: Shell, needs: a, when: 'steps.a.result' }"
    )
    before = sorted(os.listdir(flow.folder))
    said = forecast(flow)
    assert said["a"] == (True, "it has not completed before")
    assert said["w"][0] is None
    assert all(runs for name, (runs, _) in said.items() if name != "w")
    assert [name for name in sorted(os.listdir(flow.folder)) if name != "__pycache__"] == before
    plain = flow.lute("run", "flow.yaml", "--dry-run")
    assert "not known yet" in plain.out


def test_a_deleted_step_and_a_new_one(flow: Flow) -> None:
    """B3: a new step runs, the others are taken; one that is gone is not missed."""
    flow.steps(STEPS.replace("t: { task: Templater }", "n: { task: Writer, parameters: { out_file: n.txt } }"))
    assert anew(flow.run()) == {"n"}


def test_why_of_an_unknown_step(flow: Flow) -> None:
    """B: a misspelt step gets the nearest name."""
    flow.steps("index: Shell")
    outcome = flow.lute("why", "indx", "flow.yaml", "--json")
    assert (outcome.code, "'index'" in json.dumps(outcome.json)) == (2, True), outcome
