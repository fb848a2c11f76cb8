"""The record: what is kept of a run while it lives and after it, whatever happens to it, to `lute` or to the database."""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import Project
from lute.record.store import Record
from process.helpers import alive, pids_with, python, start, wait_until


@pytest.fixture
def file_shelf(project: Project) -> Project:
    """A project with Tasks whose record is looked at, a file."""
    project.plugin("keeps")
    project.config("{}", "clean_up_grace: 1\nterminate_grace: 0.5")
    return project


@pytest.fixture(params=["sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, file_shelf: Project) -> Project:
    """The same with its record in each kind of database."""
    if request.param == "postgresql":
        file_shelf.env["LUTE_DATABASE"] = request.getfixturevalue("postgres").new_database()
    return file_shelf


@contextlib.contextmanager
def waiting_run(shelf: Project, name: str, *arguments: str, mark: str = "") -> Iterator[subprocess.Popen[bytes]]:
    """A `lute run` whose Task has started and waits on the fifo `go`."""
    for fifo in ("ready", "go"):
        os.mkfifo(shelf.folder / fifo)
    with start(shelf, "run", name, "-c", "config.yaml", "-q", "--json", *arguments, env={"MARK": mark}) as running:
        try:
            assert (shelf.folder / "ready").read_text().strip() == "ready"
            yield running
        finally:
            running.kill()


def go(shelf: Project) -> None:
    """Lets the Task that waits go on."""
    (shelf.folder / "go").write_text("go\n")


def history(shelf: Project, *arguments: str, **keywords: Any) -> Any:
    """What `lute history --json` tells."""
    outcome = shelf.lute("history", "-c", "config.yaml", "--json", *arguments, **keywords)
    assert outcome.code == 0, outcome
    return outcome.json


def query(shelf: Project, sql: str, *values: Any) -> list[dict[str, Any]]:
    """Reads with nothing but the database's own driver."""
    url = shelf.env.get("LUTE_DATABASE")
    with contextlib.closing(psycopg.connect(url) if url else sqlite3.connect(shelf.folder / "lute.db")) as database:
        cursor: Any = database.execute(sql.replace("?", "%s") if url else sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


# ---------------------------------------------------------------------------------- while it lives


@pytest.mark.parametrize("name", ["Wait", "WaitProgram"])
def test_the_row_is_there_while_the_run_lives(shelf: Project, name: str) -> None:
    """B1, point 5: a run is recorded when it starts and updated when it changes."""
    with waiting_run(shelf, name) as running:
        [row] = history(shelf)
        assert (row["status"], row["task"], row["ended"], row["exit_code"]) == ("RUNNING", name, None, None)
        assert row["started"]
        assert alive(row["pid"])
        assert Path(row["log"]).exists()
        assert row["host"] == os.uname().nodename
        go(shelf)
        assert running.wait(30) == 0
    [row] = history(shelf)
    assert (row["status"], row["exit_code"]) == ("COMPLETED", 0)
    assert row["ended"]


@pytest.mark.parametrize("another", [False, True])
def test_a_record_that_was_deleted_is_made_anew(file_shelf: Project, another: bool) -> None:
    """B2: the end of a run whose record was deleted while it ran is in the record that is there then."""
    shelf = file_shelf
    with waiting_run(shelf, "Wait") as running:
        for path in shelf.folder.glob("lute.db*"):
            path.unlink()
        if another:
            assert shelf.lute("run", "Keep", "-c", "config.yaml").code == 0
        go(shelf)
        assert running.wait(30) == 0
    [row] = [row for row in history(shelf) if row["task"] == "Wait"]
    assert (row["status"], row["exit_code"], row["valid"]) == ("COMPLETED", 0, True)
    assert row["started"]
    assert query(shelf, 'SELECT count(*) AS rows FROM "Wait"') == [{"rows": 1}]


def test_a_record_that_was_deleted_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """B2: that the file is another than the one that was opened is told once."""
    with Record(tmp_path / "lute.db") as record:
        for _ in range(2):
            record.save({"id": "a", "task": "T", "parameters": {}})
        assert not caplog.messages
        (tmp_path / "lute.db").unlink()
        for _ in range(2):
            record.save({"id": "a", "task": "T", "parameters": {}}, again=True)
        assert [row["id"] for row in record.find()] == ["a"]
    [message] = caplog.messages
    assert "was deleted or replaced while it was open" in message


@pytest.mark.parametrize("name", ["Wait", "WaitProgram"])
def test_kill_9_leaves_a_truthful_row_and_no_process(shelf: Project, name: str) -> None:
    """B1: when `lute` is killed with SIGKILL no process of the run outlives it, and the row is FAILED with that reason."""
    mark = f"KILL9_{os.getpid()}_{name}"
    options = ["-s", "Wait.children=true"] if name == "Wait" else []
    with waiting_run(shelf, name, *options, mark=mark) as running:
        [before] = history(shelf)
        os.kill(running.pid, signal.SIGKILL)
        running.wait(10)
        wait_until(lambda: pids_with(mark) == [], "no process of the run is left", 1 + 0.5 + 3)
    [row] = history(shelf)
    assert (row["id"], row["status"], row["valid"]) == (before["id"], "FAILED", False)
    assert row["reason"]
    assert row["reason"] in shelf.lute("show", row["id"], "-c", "config.yaml").out


def test_a_killed_launcher_leaves_no_process_either(shelf: Project) -> None:
    """B1: also when the process that starts the Tasks is killed: the Task goes with it, and the run is FAILED."""
    mark = f"LAUNCH_{os.getpid()}"
    with waiting_run(shelf, "Wait", "-s", "Wait.children=true", mark=mark) as running:
        [row] = history(shelf)
        others = set(pids_with(mark)) - {running.pid}
        parent = int(Path(f"/proc/{row['pid']}/stat").read_text().rpartition(")")[2].split()[1])
        assert parent in others, "the Task's parent is neither lute nor a process of the run"
        os.kill(parent, signal.SIGKILL)
        out, err = running.communicate(timeout=20)
        wait_until(lambda: pids_with(mark) == [], "no process of the run is left", 1 + 0.5 + 3)
    assert running.returncode == 1, err.decode()
    found = json.loads(out)
    assert (found["status"], history(shelf)[0]["status"]) == ("FAILED", "FAILED")
    assert found["reason"]


def test_a_run_that_lives_is_not_taken_for_dead(shelf: Project) -> None:
    """B1: only a run whose owner is gone is marked FAILED, however often the record is read meanwhile."""
    with waiting_run(shelf, "Wait") as running:
        for _ in range(3):
            assert [row["status"] for row in history(shelf, "--recover")] == ["RUNNING"]
        go(shelf)
        assert running.wait(30) == 0
    assert [row["status"] for row in history(shelf)] == ["COMPLETED"]


def test_a_task_that_dies_at_once_has_its_parameters_recorded(shelf: Project) -> None:
    """B1: the parent validates first, and so records the parameters even when the child dies at once."""
    found = shelf.run_task("Die", "-s", "Die.n=0")
    assert (found["status"], found["signal"], found["parameters"]["n"]) == ("FAILED", "SIGKILL", 0)


# ----------------------------------------------------------------------------------------- contents


def test_many_at_once_lose_nothing(shelf: Project) -> None:
    """B2: many Executors write at once and lose nothing."""

    def one(n: int) -> int:
        return shelf.lute("run", "Keep", "-c", "config.yaml", "-q", "-s", f"Keep.n={n}", timeout=100).code

    with ThreadPoolExecutor(10) as pool:
        assert list(pool.map(one, range(20))) == [0] * 20
    rows = history(shelf)
    assert sorted(row["parameters"]["n"] for row in rows) == list(range(20))
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert len({row["id"] for row in rows}) == 20
    assert len({row["log"] for row in rows}) == 20
    view = query(shelf, 'SELECT "n" FROM "Keep"')
    assert sorted(row["n"] for row in view) == list(range(20))


def test_odd_parameters_are_kept_as_they_are(shelf: Project) -> None:
    """B2: apostrophes, dicts, names that differ in case, non-ASCII, None, 0 and False come back as they were."""
    shelf.config("Keep: {quoted: \"it's; '' \\\" %s ? :x\", n: 0, N: 5}")
    assert shelf.run_task("Keep")["status"] == "COMPLETED"
    [row] = history(shelf)
    kept = {name: value for name, value in row["parameters"].items() if name != "lute_config"}
    assert kept == {
        "a": {"b": [1.5, 0.0], "text": "it's"},
        "mapping": {"x y": [1, {"z": None}]},
        "n": 0,
        "N": 5,
        "text": "caf\u00e9 \U0001f52c",
        "quoted": "it's; '' \" %s ? :x",
        "lines": "two\nlines",
        "nothing": None,
        "flag": False,
        "zero": 0.0,
        "empty": [],
        "path": "/a b/c",
        "big": 2**70,
    }
    assert (row["summary"], row["payload"]) == ("it's done", {"caf\u00e9": "it's"})


def test_a_tasks_view_opens_with_any_sql_tool(shelf: Project) -> None:
    """B2: a Task's view: one row a run, a column a parameter, nested names as `a.b[0]`, the result's, `valid_flag`."""
    for n in (3, 4):
        assert shelf.run_task("Keep", "-s", f"Keep.n={n}")["status"] == "COMPLETED"
    rows = query(shelf, 'SELECT * FROM "Keep"')
    assert len(rows) == 2
    assert {"a.b[0]", "a.b[1]", "a.text", "n", "text", "quoted", "zero", "flag", "path"} <= set(rows[0])
    wanted = {"result.task_status", "result.summary", "result.payload", "result.impl_schemas", "valid_flag"}
    assert wanted <= set(rows[0])
    found = query(
        shelf,
        'SELECT "a.b[0]" AS first, "a.b[1]" AS second, "a.text" AS text, "result.task_status" AS status,'
        ' "result.summary" AS summary, "result.payload" AS payload, "valid_flag" AS valid, "zero", "flag"'
        ' FROM "Keep" WHERE "n" = ?',
        3,
    )
    [row] = found
    assert (row["first"], row["second"], row["text"]) == (1.5, 0.0, "it's")
    assert (row["status"], row["summary"], row["valid"]) == ("COMPLETED", "it's done", 1)
    assert json.loads(row["payload"]) == {"caf\u00e9": "it's"}
    assert (row["zero"], row["flag"]) == (0.0, 0)
    both = query(shelf, 'SELECT * FROM "Keep" WHERE "n" = 4')
    assert both[0]["text"] == "caf\u00e9 \U0001f52c"


def test_columns_that_differ_in_case_are_both_there(shelf: Project) -> None:
    """B2, DESIGN: no row is lost because two options differ in case: each has its value in the view."""
    assert shelf.run_task("Keep", "-s", "Keep.n=30", "-s", "Keep.N=40")["status"] == "COMPLETED"
    [row] = query(shelf, 'SELECT * FROM "Keep"')
    assert (row["n"], row["N (2)"]) == (30, 40)


def test_a_view_grows_with_its_model(shelf: Project) -> None:
    """B2: runs with other parameters, a longer list or a new one, are one more row; older rows stay."""
    shelf.run_task("Keep")
    shelf.config("Keep: {a: {b: [1, 2, 3, 4]}, mapping: {other: 5}}")
    assert shelf.run_task("Keep")["status"] == "COMPLETED"
    rows = query(shelf, 'SELECT "a.b[0]" AS a, "a.b[3]" AS d, "mapping.other" AS o FROM "Keep"')
    assert sorted((row["a"], row["d"] or 0, row["o"] or 0) for row in rows) == [(1.0, 4.0, 5), (1.5, 0, 0)]


def test_many_parameters_and_a_long_list(shelf: Project) -> None:
    """B2: a parameter with more values than a table may have columns loses nothing."""
    shelf.config(f"Keep: {{a: {{b: {json.dumps([float(n) for n in range(5000)])}}}}}")
    assert shelf.run_task("Keep")["status"] == "COMPLETED"
    [row] = history(shelf)
    assert row["parameters"]["a"]["b"] == [float(n) for n in range(5000)]
    assert len(query(shelf, 'SELECT * FROM "Keep"')) == 1


def test_latest_values_are_read_back(shelf: Project) -> None:
    """A5: `read_latest_db_entry` gives the latest valid value of a parameter or result."""
    for n in (3, 4):
        shelf.run_task("Keep", "-s", f"Keep.n={n}")
    shelf.run_task("Keep", "-s", "Keep.n=99", "-r", "8")
    outcome = python(
        shelf,
        """
        import json
        from lute.record.db import read_latest_db_entry
        names = ["n", "a.b[0]", "result.task_status", "result.summary", "text"]
        print(json.dumps([read_latest_db_entry(".", "Keep", name, for_run=7) for name in names]))
        print(json.dumps([read_latest_db_entry(".", "Keep", "n", for_run=8)]))
        """,
    )
    assert outcome.code == 0, outcome
    first, second = (json.loads(line) for line in outcome.out.splitlines())
    assert first[:2] == [4, 1.5]
    assert first[2:] == ["COMPLETED", "it's done", "caf\u00e9 \U0001f52c"]
    assert second == [99]


def test_a_failed_run_is_kept_and_not_valid(shelf: Project) -> None:
    """B, B2: a run that failed is a row too, not valid, and its values are no defaults for others."""
    shelf.run_task("Keep", "-s", "Keep.n=3")
    found = shelf.run_task("Keep", "-s", "Keep.n=4", env={"BROKEN": "1"})
    assert (found["status"], found["valid"], found["summary"]) == ("FAILED", False, "ValueError: it's broken")
    rows = query(shelf, 'SELECT "n", "valid_flag", "result.task_status" AS status FROM "Keep" ORDER BY "n"')
    assert [(row["n"], row["valid_flag"], row["status"]) for row in rows] == [(3, 1, "COMPLETED"), (4, 0, "FAILED")]
    outcome = python(
        shelf, "from lute.record.db import read_latest_db_entry as read\nprint(read('.', 'Keep', 'n', for_run=7))"
    )
    assert outcome.out == "3\n", outcome


# --------------------------------------------------------------------------- when it cannot be written


def obey_permissions() -> None:
    """Makes the permissions of files count for root, too: drops CAP_DAC_OVERRIDE for what is started."""
    ctypes.CDLL(None).prctl(24, 1, 0, 0, 0)


def check_taken_in(shelf: Project, identity: str) -> None:
    """Checks that a run that was kept aside comes into the record, whole and once."""
    told = shelf.lute("history", "-c", "config.yaml", "--recover")
    assert told.code == 0
    assert identity in told.out + told.err
    for _ in range(2):
        rows = history(shelf)
        assert sorted(row["parameters"]["n"] for row in rows) == [1, 2]
        assert {row["status"] for row in rows} == {"COMPLETED"}
    aside = shelf.folder / "lute.db.d"
    assert not aside.exists() or list(aside.iterdir()) == []
    assert len(query(shelf, 'SELECT * FROM "Keep"')) == 2


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_a_locked_database_keeps_nobody_waiting_forever(file_shelf: Project) -> None:
    """B2: where the database takes no write the run goes on, is kept aside, the user is told, and it is taken in later."""
    assert file_shelf.run_task("Keep", "-s", "Keep.n=1")["status"] == "COMPLETED"
    path = file_shelf.folder / "lute.db"
    database = sqlite3.connect(path, isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    try:
        outcome = file_shelf.lute("run", "Keep", "-c", "config.yaml", "--json", "-s", "Keep.n=2", timeout=150)
    finally:
        database.execute("ROLLBACK")
        database.close()
    assert (outcome.code, outcome.json["status"]) == (0, "COMPLETED"), outcome
    assert "lute.db" in outcome.err
    assert list((file_shelf.folder / "lute.db.d").iterdir())
    check_taken_in(file_shelf, outcome.json["id"])


def test_a_read_only_record_is_put_right_later(file_shelf: Project) -> None:
    """B2: a database that may not be written: the run goes on, is kept aside, the user is told; it is taken in later."""
    assert file_shelf.run_task("Keep", "-s", "Keep.n=1")["status"] == "COMPLETED"
    path = file_shelf.folder / "lute.db"
    path.chmod(0o440)
    arguments = ("run", "Keep", "-c", "config.yaml", "--json", "-s", "Keep.n=2")
    with start(file_shelf, *arguments, preexec_fn=obey_permissions) as running:
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["status"] == "COMPLETED"
    assert b"lute.db" in err
    assert list((file_shelf.folder / "lute.db.d").iterdir())
    path.chmod(0o640)
    check_taken_in(file_shelf, found["id"])


def test_readers_merge_what_lies_aside(file_shelf: Project) -> None:
    """B2: any reader merges what was kept aside; `--recover` is not needed to see it."""
    assert file_shelf.run_task("Keep", "-s", "Keep.n=1")["status"] == "COMPLETED"
    path = file_shelf.folder / "lute.db"
    path.chmod(0o440)
    with start(file_shelf, "run", "Keep", "-c", "config.yaml", "--json", "-q", preexec_fn=obey_permissions) as running:
        found = json.loads(running.communicate(timeout=60)[0])
    path.chmod(0o640)
    assert history(file_shelf)[0] == found
    assert file_shelf.lute("show", found["id"], "-c", "config.yaml", "--json").json == found


def test_a_read_only_record_can_be_read(file_shelf: Project) -> None:
    """B: who may only read the record and its folder sees what ran."""
    assert file_shelf.run_task("Keep")["status"] == "COMPLETED"
    path = file_shelf.folder / "lute.db"
    path.chmod(0o440)
    file_shelf.folder.chmod(0o550)
    try:
        with start(file_shelf, "history", "--db", str(path), "--json", preexec_fn=obey_permissions) as reading:
            out, err = reading.communicate(timeout=30)
    finally:
        file_shelf.folder.chmod(0o750)
    assert reading.returncode == 0, err.decode()
    assert [row["status"] for row in json.loads(out)] == ["COMPLETED"]


def test_a_database_that_is_no_database(file_shelf: Project) -> None:
    """B2, STYLE: a damaged record is told and left alone; the run goes on and is kept aside."""
    (file_shelf.folder / "lute.db").write_bytes(b"this is no database, " * 1000)
    outcome = file_shelf.lute("run", "Keep", "-c", "config.yaml", "--json", "-s", "Keep.n=2")
    assert (outcome.code, outcome.json["status"]) == (0, "COMPLETED"), outcome
    assert "lute.db" in outcome.err
    assert (file_shelf.folder / "lute.db").read_bytes().startswith(b"this is no database")
    assert list((file_shelf.folder / "lute.db.d").iterdir())
    (file_shelf.folder / "lute.db").unlink()
    assert [row["id"] for row in history(file_shelf, "--recover")] == [outcome.json["id"]]
