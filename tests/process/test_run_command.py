"""`lute run`, from YAML to record, with real child processes."""

from __future__ import annotations

import pytest

from conftest import Project


def test_json_of_run_has_the_keys_people_read(project: Project) -> None:
    """B: `--json` of `run` prints one object with fixed keys."""
    project.plugin("hello")
    project.config("Hello: {name: Ada}")
    found = project.run_task("Greeter")
    assert found["returncode"] == 0
    assert (found["status"], found["managed_task"], found["task"]) == ("COMPLETED", "Greeter", "Hello")
    assert found["payload"] == {"greeted": "Ada"}
    assert (project.folder / found["log"]).read_text() == "hello Ada\n"


@pytest.mark.parametrize(
    "env", [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}]
)
def test_a_text_that_the_terminal_cannot_show(project: Project, env: dict[str, str]) -> None:
    """B1: a run that completed is told of, in any encoding: what cannot be written is escaped."""
    project.plugin("hello")
    project.config("Hello: {summary: Greek}")
    outcome = project.lute("run", "Greeter", "-c", "config.yaml", env=env)
    assert (outcome.code, "Traceback" in outcome.err) == (0, False), outcome
    assert "summary  \\u03bb is 3" in outcome.out
    listed = project.lute("history", "-c", "config.yaml", env=env)
    assert (listed.code, "\\u03bb is 3" in listed.out) == (0, True), listed


def test_json_of_run_is_that_of_show(project: Project) -> None:
    """B5: what `run --json` prints is what the record keeps: secrets are hidden, NUL is escaped."""
    project.plugin("hello")
    project.config("Hello: {summary: secret}")
    outcome = project.lute("run", "Greeter", "-c", "config.yaml", "--json", "-q", env={"API_TOKEN": "s3cr3t-value"})
    shown = project.lute("show", "last", "-c", "config.yaml", "--json")
    assert outcome.json == shown.json
    assert "s3cr3t" not in outcome.out
    assert outcome.json["summary"].startswith("a \\x00 and ")


def test_a_text_does_not_steer_the_terminal(project: Project) -> None:
    """B: control characters of a summary, a reason or a parameter are escaped, but for newlines and tabs."""
    project.plugin("hello")
    project.config("Hello: {summary: evil}")
    told = "\\x1b[2J\\x07 \\x9b31m\\x7f\\x0d one"
    done = project.lute("run", "Greeter", "-c", "config.yaml", "-s", r'Hello.name="\e[1m"')
    shown = [done, *(project.lute(*words.split(), "-c", "config.yaml") for words in ("history", "show last"))]
    for outcome in shown:
        assert told in outcome.out, outcome
        assert set(outcome.out) & {chr(code) for code in (*range(32), *range(127, 160))} <= {"\n", "\t"}
    assert "\\x1b[1m" in shown[-1].out
    assert "one\n\ttwo" in shown[-1].out
    assert project.lute("show", "last", "-c", "config.yaml", "--json").json["summary"].startswith("\x1b[2J\x07")
    failed = project.lute("run", "Greeter", "-c", "config.yaml", "-q", "-s", "Hello.name=x")
    assert (failed.code, told in failed.out, "\x1b" in failed.out) == (1, True, False), failed
