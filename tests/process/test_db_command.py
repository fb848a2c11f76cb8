"""`lute db`: where the record is, its size, whether all is there, and older schemas, on both kinds of database."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
from pathlib import Path

import pytest

from conftest import LUTE, Project
from lute.record import schema
from lute.record.db import record_at
from process.test_record import obey_permissions


@pytest.fixture(params=["sqlite", "postgresql"])
def shelf(request: pytest.FixtureRequest, project: Project) -> Project:
    """A project with a run whose payload is in a file of its own, in each kind of database."""
    project.plugin("database")
    project.config()
    if request.param == "postgresql":
        project.env["LUTE_DATABASE"] = request.getfixturevalue("postgres").new_database()
    project.run_task("Bytes")
    return project


@pytest.fixture
def small(project: Project) -> Project:
    """A project with one run in SQLite."""
    project.plugin("database")
    project.config()
    project.run_task("Bytes")
    return project


def problems(shelf: Project) -> list[tuple[str, str]]:
    """The kinds of problems that are found, and the end of what is told of each."""
    outcome = shelf.lute("db", "check", "--json")
    assert outcome.code == int(bool(outcome.json)), outcome
    return [(problem["kind"], problem["text"]) for problem in outcome.json]


def test_it_tells_where_the_record_is_and_how_large(shelf: Project) -> None:
    """Issue 5.2: `lute db where` and `size`; a password is not told."""
    where = shelf.lute("db", "--json").json
    assert (where["schema"], where["waiting"]) == (len(schema.MIGRATIONS), 0)
    assert where["newest_schema"] == len(schema.MIGRATIONS)
    kind = "PostgreSQL" if "LUTE_DATABASE" in shelf.env else "SQLite"
    assert where["kind"] == kind
    assert kind in shelf.lute("db", "where").out
    assert ":" not in where["record"].partition("@")[0].partition("://")[2]
    size = shelf.lute("db", "size", "--json").json
    assert size["runs"] == [{"task": "Bytes", "status": "COMPLETED", "runs": 1}]
    assert size["log_bytes"] >= 100
    assert size["other_bytes"] == 5
    assert size["database_bytes"] > 4096
    assert "logs  " in shelf.lute("db", "size").out


def test_it_finds_what_is_missing_or_belongs_to_no_run(shelf: Project) -> None:
    """Issue 5.2: `lute db check`: rows whose log or payload is gone, folders of no run, rows that wait."""
    assert problems(shelf) == []
    assert "all is well" in shelf.lute("db", "check").out
    [folder] = (shelf.folder / "lute.runs").glob("2*/*")
    shutil.copytree(folder, folder.with_name("0000000000zz"))
    (folder / "log").unlink()
    (folder / "payload.bin").unlink()
    assert problems(shelf) == [
        ("missing log", f"{folder}/log is not there any more"),
        ("missing payload", f"{folder}/payload.bin is not there any more"),
        ("orphan", f"{folder.with_name('0000000000zz')} is the folder of a run that is not in the record"),
    ]
    told = shelf.lute("db", "check")
    assert (told.code, f"orphan           0000000000zz  {folder.parent}" in told.out) == (1, True), told


def test_a_view_that_is_not_there_is_a_problem(shelf: Project) -> None:
    with record_at(shelf.env.get("LUTE_DATABASE", shelf.folder)) as record, record.transaction() as database:
        database.execute('DROP VIEW "Bytes"')
    assert problems(shelf) == [("database", "the view 'Bytes' of Task Bytes is not there")]


def test_what_waits_is_told_and_taken_in(small: Project) -> None:
    """B2: `lute db recover` is what `lute history --recover` does."""
    aside = small.folder / "lute.db.d"
    aside.mkdir()
    row = {"id": "0000000000aa", "task": "Bytes", "status": "COMPLETED", "log": "", "ended": "x", "started": "x"}
    (aside / "0000000000aa.json").write_text(json.dumps({**row, "parameters": {}, "record": None}))
    (aside / "y.json.bad").write_text("no run")
    assert small.lute("db", "--json").json["waiting"] == 1
    assert [kind for kind, _ in problems(small)] == ["waiting", "bad"]
    taken = small.lute("db", "recover", "--json")
    assert (taken.json, taken.err) == (["0000000000aa"], "recovered run 0000000000aa\n")
    assert small.lute("db", "recover").err == "nothing to recover\n"
    assert len(small.lute("history", "--json").json) == 2


def test_what_is_no_file_does_not_stop_recovery(small: Project) -> None:
    """B2: a named pipe and a folder where rows wait are passed over; rows after them are taken in."""
    aside = small.folder / "lute.db.d"
    aside.mkdir()
    os.mkfifo(aside / "0.json")
    (aside / "1.json").mkdir()
    row = {"id": "0000000000aa", "task": "Bytes", "status": "COMPLETED", "log": "", "ended": "x", "started": "x"}
    (aside / "0000000000aa.json").write_text(json.dumps({**row, "parameters": {}, "record": None}))
    taken = small.lute("db", "recover", "--json", timeout=10)
    assert (taken.code, taken.json) == (0, ["0000000000aa"])


def test_a_damaged_file_is_told(small: Project) -> None:
    """Issue 5.2: the database's own check."""
    path = small.folder / "lute.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'lute_runs_by_start'")
        [(size,)] = connection.execute("PRAGMA page_size")
    connection.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * size + size - 200)
        file.write(b"\0" * 200)
    assert "database" in {kind for kind, _ in problems(small)}


@pytest.mark.parametrize("version", range(1, len(schema.MIGRATIONS)))
def test_an_older_record_is_copied_before_it_is_brought_up_to_date(project: Project, version: int) -> None:
    """Issue 5.2: `lute db migrate`, with a copy of the SQLite file before it, told where."""
    path = project.folder / "lute.db"
    with sqlite3.connect(path) as connection:
        for statements in schema.MIGRATIONS[:version]:
            for statement in statements:
                connection.execute(statement.format(TEXT="TEXT", INTEGER="INTEGER", REAL="REAL"))
        connection.execute("INSERT INTO lute_runs (id, task, status, started) VALUES ('1', 'Old', 'COMPLETED', '2020')")
        connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    assert project.lute("db", "--json").json["schema"] == version  # a look changes nothing
    done = project.lute("db", "migrate", "--json").json
    assert (done["before"], done["now"]) == (version, len(schema.MIGRATIONS))
    assert Path(done["copy"]).parent == project.folder
    with sqlite3.connect(done["copy"]) as copy:
        assert copy.execute("PRAGMA user_version").fetchone() == (version,)
        assert copy.execute("SELECT id FROM lute_runs").fetchall() == [("1",)]
    copy.close()
    assert [row["id"] for row in project.lute("history", "--json").json] == ["1"]
    again = project.lute("db", "migrate", "--json").json
    assert again == {"before": len(schema.MIGRATIONS), "now": len(schema.MIGRATIONS), "copy": None}


def test_where_there_is_no_record_that_is_told(project: Project) -> None:
    assert project.lute("db", "--json").json["schema"] is None
    for action in ("size", "migrate", "check"):
        outcome = project.lute("db", action, "--json")
        assert (outcome.code, "there is no record" in outcome.json["error"]) == (2, True), outcome
    assert not (project.folder / "lute.db").exists()
    assert project.lute("db", "mend").code == 2


def test_who_may_only_read_can_look(small: Project) -> None:
    """B2: who may not write reads the record as it is."""
    small.folder.chmod(0o555)
    command = [*LUTE, "db", "check"]
    try:
        done = subprocess.run(command, cwd=small.folder, env=small.env, preexec_fn=obey_permissions, timeout=60)
    finally:
        small.folder.chmod(0o755)
    assert done.returncode == 0
