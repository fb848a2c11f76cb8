"""Commands that look at runs or stop them work also when a plug-in cannot be loaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conftest import Outcome, Project
from process.helpers import start, wait_until

BROKEN = {
    "syntax": "def broken(:\n",
    "missing file": None,
    "missing module": "import no_such_module_anywhere\n",
    "raises": "raise RuntimeError('out of order')\n",
    "exits": "raise SystemExit(3)\n",
    "prints": "print('chatter')\nraise RuntimeError('out of order')\n",
}


def break_plugin(project: Project, how: str) -> None:
    """Makes `tasks.py` a plug-in that does not load."""
    text, place = BROKEN[how], project.folder / "tasks.py"
    if text is None:
        place.unlink()
    else:
        place.write_text(text)


def noted(outcome: Outcome) -> Outcome:
    """A command that went on: its note is on standard error, once, and no traceback is."""
    notes = [line for line in outcome.err.splitlines() if line.startswith("lute: note: plug-in ")]
    assert len(notes) == 1, outcome
    assert "tasks.py" in notes[0], outcome
    assert "Traceback" not in outcome.err, outcome
    return outcome


@pytest.mark.parametrize("how", BROKEN)
def test_a_run_is_cancelled_though_its_plugin_is_broken_by_now(project: Project, how: str) -> None:
    """C10, P6: `lute cancel last -c c.yaml` ends a run whose plug-in was broken while it went on."""
    project.plugin("lives")
    project.config()
    with start(project, "run", "Slow", "-c", "config.yaml", "-q") as process:
        wait_until(lambda: list(Path(project.folder).glob("lute.runs/*/*/log")), "the run has begun")
        wait_until(lambda: "begin" in project.lute("log", "last", "-c", "config.yaml").out, "the Task runs")
        break_plugin(project, how)
        told = noted(project.lute("cancel", "last", "-c", "config.yaml", "--json"))
        assert told.code == 0, told
        assert told.json["status"] == "CANCELLED"
        process.communicate(timeout=30)
    assert process.returncode == 143


def test_a_run_is_paused_and_resumed_without_its_plugin(project: Project) -> None:
    """C10: `pause` and `resume` as well."""
    project.plugin("lives")
    project.config()
    with start(project, "run", "Slow", "-c", "config.yaml", "-q") as process:
        wait_until(lambda: "begin" in project.lute("log", "last", "-c", "config.yaml").out, "the Task runs")
        break_plugin(project, "syntax")
        for command, status in (("pause", "STOPPED"), ("resume", "RUNNING"), ("cancel", "CANCELLED")):
            told = noted(project.lute(command, "last", "-c", "config.yaml", "--json"))
            assert (told.code, told.json["status"]) == (0, status), told
        process.communicate(timeout=30)


@pytest.mark.parametrize("how", BROKEN)
def test_runs_are_looked_at_without_their_plugin(project: Project, how: str) -> None:
    """C10: `log`, `show`, `history`, `diff` and `invalidate` need the header alone; JSON stays clean."""
    project.plugin("lives")
    project.config()
    one, two = (str(project.run_task("Timer")["id"]) for _ in range(2))
    break_plugin(project, how)
    shown = noted(project.lute("show", one, "-c", "config.yaml", "--json"))
    assert shown.json["id"] == one
    assert "COMPLETED" in noted(project.lute("show", one, "-c", "config.yaml")).out
    assert noted(project.lute("log", one, "-c", "config.yaml", "--json")).json["id"] == one
    listed = noted(project.lute("history", "-c", "config.yaml", "--json")).json
    assert [row["id"] for row in listed] == [two, one]
    differences = noted(project.lute("diff", one, two, "-c", "config.yaml", "--json"))
    assert {differences.json["a"], differences.json["b"]} == {one, two}
    done = noted(project.lute("invalidate", two, "-c", "config.yaml", "--json"))
    assert [row["valid"] for row in done.json] == [False]


@pytest.mark.parametrize("given", ["-p", "variable"])
def test_a_plugin_given_otherwise_is_not_needed_either(project: Project, given: str) -> None:
    """C10: also one of `-p` or `LUTE_PLUGINS`."""
    project.plugin("lives")
    project.config()
    one = str(project.run_task("Timer")["id"])
    project.write("tasks_other.py", "1 / 0\n")
    arguments = ["-p", "tasks_other.py"] if given == "-p" else []
    env = {} if given == "-p" else {"LUTE_PLUGINS": "tasks_other.py"}
    shown = project.lute("show", one, "-c", "config.yaml", "--json", *arguments, env=env)
    assert (shown.code, json.loads(shown.out)["id"]) == (0, one)
    assert "tasks_other.py, line 1: ZeroDivisionError" in shown.err


def test_what_needs_the_plugin_still_ends_with_2(project: Project) -> None:
    """C10: what runs or describes Tasks does not go on."""
    project.plugin("lives")
    project.config()
    break_plugin(project, "syntax")
    for command in (["run", "Timer"], ["check"], ["tasks"], ["schema"]):
        outcome = project.lute(*command, "-c", "config.yaml")
        assert (outcome.code, "note" in outcome.err) == (2, False), outcome


def test_a_broken_header_is_no_note(project: Project) -> None:
    """C10: without the header nobody knows where the record is."""
    project.write("config.yaml", "work_dir: [\n---\n{}\n")
    outcome = project.lute("history", "-c", "config.yaml", "--json")
    assert (outcome.code, "error" in outcome.json) == (2, True)
