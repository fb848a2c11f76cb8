"""The commands that find, compare and change what ran, on both kinds of database."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import sys
from typing import Any

import pytest

from conftest import Outcome, Project
from lute.record.db import Record, read_latest_db_entry
from process.helpers import start, wait_until


@pytest.fixture(params=["sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, project: Project) -> Project:
    """A project whose record is in each kind of database."""
    project.plugin("history")
    project.config()
    if request.param == "postgresql":
        project.env["LUTE_DATABASE"] = request.getfixturevalue("postgres").new_database()
    return project


@pytest.fixture
def small(project: Project) -> Project:
    """A project with a record in SQLite."""
    project.plugin("history")
    project.config()
    return project


def count(shelf: Project, *numbers: int) -> list[str]:
    """Counts to each number. Returns the runs' ids."""
    return [str(shelf.run_task("Counter", "-s", f"Count.n={number}")["id"]) for number in numbers]


def found(shelf: Project, *arguments: str) -> list[str]:
    """The ids that `lute history` lists."""
    outcome = shelf.lute("history", "--json", *arguments)
    assert outcome.code == 0, outcome
    return [row["id"] for row in outcome.json]


def test_history_finds_what_fits(shelf: Project) -> None:
    """Issue 5.2: `lute history` with filters, order and pages."""
    one, three, bad = count(shelf, 1, 3, -1)
    other = str(shelf.run_task("Counter", "-e", "exp2", "-r", "8", "-s", "Count.name='3'")["id"])
    everything = [other, bad, three, one]
    for arguments, expected in (
        ([], everything),
        (["-t", "Counter"], everything),
        (["-t", "Use"], []),
        (["--status", "failed"], [bad]),
        (["-e", "exp2"], [other]),
        (["-r", "8"], [other]),
        (["--since", "2h"], everything),
        (["--until", "2h"], []),
        (["--since", "2100-01-01"], []),
        (["--where", "Count.n >= 1", "--where", "n<3"], [other, one]),
        (["--where", "name = '3'"], [other]),
        (["--text", "NEGATIVE"], [bad]),
        (["--valid"], [other, three, one]),
        (["--invalid"], [bad]),
        (["--limit", "2"], everything[:2]),
        (["--before", three], [one]),
        (["--before", bad, "--limit", "1"], [three]),
        (["--sort", "started:asc"], everything[::-1]),
        (["--sort", "experiment", "-t", "Count"], [one, three, bad, other]),
        (["--sort", "experiment:desc"], [other, bad, three, one]),
    ):
        assert found(shelf, *arguments) == expected, arguments


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--since", "yesterday"], "'yesterday' is no time"),
        (["--where", "m = 1"], "has a parameter 'm'"),
        (["--where", "n <> 5"], "or with != <= >= < >"),
        (["--where", "n => 5"], "or with != <= >= < >"),
        (["--workflow", "nope"], "there is no workflow run 'nope'"),
        (["--sort", "statsu"], "Did you mean 'status'?"),
        (["--sort", "status:up"], "write status:asc or status:desc"),
        (["--columns", "id,statsu"], "Did you mean 'status'?"),
        (["--columns", ","], "--columns: give names"),
        (["--before", "no-such-run"], "there is no run 'no-such-run'"),
        (["--limit", "0"], "'0' is no number from 1"),
        (["--before", "last", "--sort", "status"], "sorted by `started`"),
        (["--csv"], "either --json or --csv"),
    ],
)
def test_history_says_what_it_cannot_do(small: Project, arguments: list[str], told: str) -> None:
    """B: exit 2 with {"error": ...} under --json where nothing could be done."""
    count(small, 1)
    outcome = small.lute("history", "--json", *arguments)
    assert outcome.code == 2
    assert told in outcome.json["error"]


def test_history_prints_chosen_columns(small: Project) -> None:
    (one,) = count(small, 5)
    wanted = "id,parameters.n,parameters.nested.x[1],metrics.peaks,parameters.missing,parameters.nested"
    (row,) = small.lute("history", "--json", "--columns", wanted).json
    assert list(row.values()) == [one, 5, 2, 50, None, {"x": [1, 2]}]
    head, line = small.lute("history", "--columns", "id,parameters.n,metrics.peaks").out.splitlines()
    assert head.split() == ["ID", "PARAMETERS.N", "METRICS.PEAKS"]
    assert line.split() == [one, "5", "50"]


def test_history_as_csv_has_each_parameter_as_a_column(small: Project) -> None:
    """Issue 5.2: `--csv`: columns, and parameters as `parameters.a.b`."""
    count(small, 5, 6)
    small.run_task("Use")
    lines = list(csv.DictReader(io.StringIO(small.lute("history", "--csv").out)))
    assert [line["parameters.n"] for line in lines] == ["", "6", "5"]
    assert [line["parameters.nested.x[1]"] for line in lines] == ["", "2", "2"]
    assert [line["metrics.peaks"] for line in lines] == ["", "60", "50"]
    assert [line["valid"] for line in lines] == ["true"] * 3
    assert json.loads(lines[0]["command"]) == small.lute("show", "last", "--json").json["command"] != []
    assert not [name for name in lines[0] if "lute_config" in name]
    chosen = small.lute("history", "--csv", "--columns", "task,parameters.n").out
    assert chosen == "task,parameters.n\nUse,\nCount,6\nCount,5\n"


def test_a_terminal_gets_one_page_and_is_told_how_to_get_the_next(small: Project) -> None:
    """B: a terminal gets a page; it is told how to get the next, and what that prints goes on there."""
    ids = count(small, *range(7))[::-1]
    page = on_terminal(small, "stty rows 9; lute history")
    assert [one for one in ids if one in page.split("There are more")[0]] == ids[:5]
    assert f"--before {ids[4]}" in page
    assert found(small, "--before", ids[4]) == ids[5:]
    last = on_terminal(small, f"stty rows 9; lute history --before {ids[4]}")
    assert "There are more" not in last


def on_terminal(shelf: Project, command: str) -> str:
    """Runs a shell's command on a terminal of its own. Returns what it printed there."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(shelf.folder)
        # these would count more than the terminal; readline sets them where `os.environ` does not see it
        env = {name: value for name, value in os.environ.items() if name not in ("LINES", "COLUMNS")}
        os.execvpe("sh", ["sh", "-c", command.replace("lute ", f"{sys.executable} -m lute ")], env)
    printed = b""
    while True:
        try:
            piece = os.read(terminal, 1 << 16)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        printed += piece
    os.waitpid(pid, 0)
    os.close(terminal)
    return printed.decode()


def test_diff_tells_what_differs(shelf: Project) -> None:
    """Issue 5.2: `lute diff ID ID`: exit 0 where nothing differs, 1 where something does, 2 for no such run."""
    one, same, other = count(shelf, 1, 1, 2)
    nothing = shelf.lute("diff", one, same)
    assert (nothing.code, "nothing differs" in nothing.out) == (0, True), nothing
    some = shelf.lute("diff", one, other, "--json")
    assert some.code == 1
    assert some.json == {
        "a": one,
        "b": other,
        "same": False,
        "differences": {
            "parameters": {"n": {"a": 1, "b": 2}},
            "metrics": {"peaks": {"a": 10, "b": 20}},
            "result": {"summary": {"a": "counted to 1", "b": "counted to 2"}, "payload": {"a": 2, "b": 4}},
        },
    }
    table = shelf.lute("diff", one, other).out
    assert ["parameters:", "n", "1", "2"] in [line.split() for line in table.splitlines()]
    whole = shelf.lute("diff", one, other, "--all", "--json").json["differences"]
    assert whole["parameters"]["name"] == {"a": "a", "b": "a"}
    assert "n*" in shelf.lute("diff", one, other, "--all").out
    assert shelf.lute("diff", one, "no-such-run").code == 2


def test_diff_tells_of_code_environment_and_parameters_of_other_tasks(small: Project) -> None:
    (one,) = count(small, 1)
    source = small.folder / "tasks.py"
    source.write_text(source.read_text() + "\nCounter.update_environment({'LEVEL': 'high'})\n")
    other = str(small.run_task("Counter", "-e", "exp2")["id"])
    found = small.lute("diff", one, other, "--json").json["differences"]
    assert found.keys() == {"header", "environment", "code"}
    assert found["environment"] == {"LEVEL": {"b": "high"}}
    assert found["header"]["experiment"] == {"a": "exp1", "b": "exp2"}
    use = str(small.run_task("Use", "-e", "exp2")["id"])
    parameters = small.lute("diff", one, use, "--json").json["differences"]["parameters"]
    assert parameters["n"] == {"a": 1}
    assert parameters["counted"] == {"b": 2}


def test_an_invalid_result_is_used_by_nobody_until_it_is_restored(shelf: Project) -> None:
    """Issue 5.2: `lute invalidate` and `restore`, with reason: FromResult and read_latest_db_entry leave it out."""
    one, two = count(shelf, 1, 2)
    done = shelf.lute("invalidate", two, "--reason", "wrong beam")
    assert (done.code, "not valid any more: wrong beam" in done.out) == (0, True), done
    assert shelf.run_task("Use")["payload"] == 2
    assert latest(shelf) == 2
    assert latest(shelf, valid_only=False) == 4
    assert "(invalid)" in shelf.lute("history", "--task", "Count").out
    assert found(shelf, "--invalid") == [two]
    shown = shelf.lute("show", two)
    assert "valid         False: wrong beam" in shown.out, shown
    assert shelf.lute("show", two, "--json").json["invalid_reason"] == "wrong beam"
    assert shelf.lute("restore", two).code == 0
    assert shelf.run_task("Use")["payload"] == 4
    assert latest(shelf) == 4
    assert found(shelf, "--invalid") == []
    assert "valid         True\n" in shelf.lute("show", two).out
    assert one in found(shelf)


def latest(shelf: Project, **keywords: Any) -> Any:
    """What another program reads."""
    place = shelf.env.get("LUTE_DATABASE", shelf.folder)
    return read_latest_db_entry(place, "Count", "result.payload", for_run=None, **keywords)


def test_several_are_invalidated_together_or_none(small: Project) -> None:
    one, two, bad = count(small, 1, 2, -1)
    wrong = small.lute("invalidate", one, "no-such-run", "--reason", "x")
    assert (wrong.code, found(small, "--valid")) == (2, [two, one]), wrong
    assert small.lute("invalidate", one, two, "--reason", "x", "--json").json[1]["valid"] is False
    assert found(small, "--valid") == []
    failed = small.lute("restore", one, bad, "--reason", "was right")
    assert (failed.code, "only a run that completed can be valid" in failed.err) == (2, True), failed
    assert small.lute("restore", one, two, "--reason", "was right").code == 0
    assert "True: restored, was right" in small.lute("show", one).out


@pytest.mark.parametrize("command", ["show", "cancel", "invalidate", "log", "export", "workflow status"])
def test_an_empty_id_is_no_run(small: Project, command: str) -> None:
    """B: `lute show "$ID"` where ID is not set is a slip, and does not mean the only run."""
    count(small, 1)
    outcome = small.lute(*command.split(), "", "--db", "lute.db", "--json")
    assert (outcome.code, "id is empty" in outcome.json["error"]) == (2, True), outcome
    assert len(found(small, "--valid")) == 1


def test_a_reason_says_something(small: Project) -> None:
    """B: `lute invalidate ID`; a reason is kept if there is one, and an empty one is a slip."""
    (one,) = count(small, 1)
    outcome: Outcome = small.lute("invalidate", one, "--reason", " ")
    assert (outcome.code, "--reason" in outcome.err) == (2, True), outcome
    assert found(small, "--valid") == [one]
    assert small.lute("invalidate", one).code == 0
    assert found(small, "--valid") == []


def test_a_run_that_lives_is_not_invalidated(small: Project) -> None:
    process = start(small, "run", "Wait", "-c", "config.yaml", "-q")

    def runs() -> bool:
        with Record(small.folder / "lute.db") as record:
            return record.exists() and bool(record.find(statuses=["RUNNING"]))

    try:
        wait_until(runs, "the run lives")
        outcome = small.lute("invalidate", "last", "--reason", "x")
        assert (outcome.code, "it has no result yet" in outcome.err) == (2, True), outcome
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_a_log_is_followed_or_shown_with_times(small: Project) -> None:
    """B1: `lute log --times`; `-f` with it makes no sense, and that is said."""
    count(small, 1)
    outcome = small.lute("log", "last", "-f", "--times")
    assert (outcome.code, "not allowed with argument" in outcome.err) == (2, True), outcome
