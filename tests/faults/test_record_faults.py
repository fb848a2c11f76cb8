"""The record: many writers, a locked, read-only or full one, a writer killed in mid-write, and two hosts."""

from __future__ import annotations

import contextlib
import json
import os
import random
import socket
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import LUTE, Project
from faults.support import FINAL, SLACK, Running, marked
from lute.record.db import Record
from process.helpers import wait_until


def sh(running: Running, code: str, **header: Any) -> None:
    """Writes the YAML for a program."""
    running.config(json.dumps({"Sh": {"code": code}}), **header)


@pytest.fixture(params=["sqlite", "postgresql"])
def anywhere(request: pytest.FixtureRequest, running: Running) -> Running:
    """A project whose record is in each kind of database."""
    if request.param == "postgresql":
        running.project.env["LUTE_DATABASE"] = request.getfixturevalue("postgres").new_database()
    return running


def rows_of(running: Running, sql: str) -> list[Any]:
    """Reads with nothing but the database's own driver; a file is checked to be whole."""
    if url := running.project.env.get("LUTE_DATABASE"):
        with psycopg.connect(url) as database:
            return database.execute(sql).fetchall()
    check(running.home / "lute.db")
    with contextlib.closing(sqlite3.connect(running.home / "lute.db")) as file:
        return file.execute(sql).fetchall()


def check(path: Path) -> None:
    """Checks that a database is whole."""
    with sqlite3.connect(path) as database:
        assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    database.close()


def test_thirty_at_once(anywhere: Running) -> None:
    """B2: many Executors write one record at once, from its creation on, and lose nothing."""
    sh(anywhere, "echo hello")
    argv = [*LUTE, "run", "Shell", "-c", "config.yaml", "--json", "-q"]
    env = {**anywhere.project.env, **anywhere.env}
    pipes: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    many = [subprocess.Popen(argv, cwd=anywhere.home, env=env, **pipes) for _ in range(30)]
    said = [process.communicate(timeout=90) for process in many]
    assert [process.returncode for process in many] == [0] * 30, [err for _, err in said if err]
    rows = anywhere.history()
    assert {row["id"] for row in rows} == {json.loads(out)["id"] for out, _ in said}
    assert {row["status"] for row in rows} == {"COMPLETED"}
    assert rows_of(anywhere, 'SELECT count(*) FROM "Sh"') == [(30,)]
    assert not list((anywhere.home / "lute.db.d").glob("*")) if (anywhere.home / "lute.db.d").exists() else True


LOCKED = """
    import sys
    from lute import plugins
    from lute.record import db
    db.Record.__init__.__defaults__ = (0.2,)
    plugins.load("tasks.py")
    from lute import managed_tasks
    analysis = managed_tasks.find(sys.argv[1]).execute_task("config.yaml")
    print(analysis.task_result.task_status.name)
"""


@pytest.fixture
def lock(running: Running) -> Iterator[sqlite3.Connection]:
    """Another process's lock on the record, as far as SQLite is concerned."""
    sh(running, "true")
    running.start("Shell", "-q")
    assert running.wait() == 0
    database = sqlite3.connect(running.home / "lute.db", isolation_level=None)
    database.execute("BEGIN IMMEDIATE")
    yield database
    database.close()


def test_record_locked_all_the_while(running: Running, lock: sqlite3.Connection) -> None:
    """B2: the record is locked: the run goes on, its row goes beside it, the user is told, and any reader takes it in."""
    script = running.project.write("locked.py", LOCKED)
    running.start("", argv=[sys.executable, str(script), "Shell"])
    assert running.wait() == 0, running.stderr
    aside = running.home / "lute.db.d"
    [file] = aside.glob("*.json")
    assert str(aside) in running.stderr
    assert (aside.stat().st_mode & 0o077, file.stat().st_mode & 0o077) == (0, 0)
    assert not list(aside.glob("*.part"))
    lock.execute("ROLLBACK")
    outcome = running.lute("history", "--recover", "--json")
    assert outcome.code == 0
    assert [row["status"] for row in outcome.json] == ["COMPLETED", "COMPLETED"]
    assert file.stem in {row["id"] for row in outcome.json}
    assert not list(aside.glob("*"))


def test_recover_says_what_it_took_in(running: Running, lock: sqlite3.Connection) -> None:
    """B2: `lute history --recover` names the runs that it takes in."""
    script = running.project.write("locked.py", LOCKED)
    running.start("", argv=[sys.executable, str(script), "Shell"])
    assert running.wait() == 0
    [file] = (running.home / "lute.db.d").glob("*.json")
    lock.execute("ROLLBACK")
    outcome = running.lute("history", "--recover")
    assert f"recovered run {file.stem}" in outcome.err


def test_an_older_row_aside_does_not_undo_a_newer_one(running: Running, lock: sqlite3.Connection) -> None:
    """B2: a row put aside while the run was RUNNING must not replace the final one that the database took."""
    script = running.project.write("locked.py", LOCKED)
    running.config(json.dumps({"Sh": {"code": "touch reached; read x < go; true"}}))
    running.start("", argv=[sys.executable, str(script), "Shell"])
    running.reach()
    wait_until(lambda: list((running.home / "lute.db.d").glob("*.json")), "a row aside")
    lock.execute("ROLLBACK")
    running.go()
    assert running.wait() == 0, running.stderr
    rows = running.history("--recover")
    assert [row["status"] for row in rows] == ["COMPLETED", "COMPLETED"], [row["reason"] for row in rows]


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_record_locked_with_the_usual_patience(running: Running, lock: sqlite3.Connection) -> None:
    """B2: a write that is not confirmed within 30 s goes aside; a run takes no longer than its few writes."""
    begin = time.monotonic()
    running.start("Shell", "-q")
    assert running.wait(200) == 0
    assert time.monotonic() - begin < 3 * 30 + 5 + SLACK
    assert lock.in_transaction
    assert len(list((running.home / "lute.db.d").glob("*.json"))) == 1


def test_broken_file_aside(running: Running, lock: sqlite3.Connection) -> None:
    """B2: a file aside that is broken does not keep the record from being read, nor others from being taken in."""
    lock.execute("ROLLBACK")
    aside = running.home / "lute.db.d"
    aside.mkdir()
    (aside / "0000broken.json").write_text('{"id": "0000bro')
    script = running.project.write("locked.py", LOCKED)
    lock.execute("BEGIN IMMEDIATE")
    running.start("", argv=[sys.executable, str(script), "Shell"])
    assert running.wait() == 0, running.stderr
    lock.execute("ROLLBACK")
    outcome = running.lute("history", "--json")
    assert outcome.code == 0, outcome
    assert [row["status"] for row in outcome.json] == ["COMPLETED", "COMPLETED"]
    assert "0000broken" in outcome.err


# --------------------------------------------------------------------------- read-only, as not root


@pytest.fixture
def shared(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A project in a place that another user can enter."""
    import shutil
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="lute-shared-"))
    folder.chmod(0o755)
    with Running(Project(folder)) as one:
        yield one
    shutil.rmtree(folder)


AS_NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]


def nobody_can_run() -> bool:
    """Whether another user can start this Python."""
    return subprocess.run([*AS_NOBODY, *LUTE, "--version"], capture_output=True, cwd="/").returncode == 0


@pytest.fixture(scope="module")
def as_nobody() -> Iterator[list[str]]:
    """The start of a command that runs as another user, who can reach this Python and its packages."""
    changed = []
    places = [Path(sys.executable), Path(sys.executable).resolve(), Path(__file__)]
    for place in [parent for path in places for parent in path.parents]:
        mode = place.stat().st_mode
        if not mode & 0o001:
            place.chmod(mode | 0o001)
            changed.append((place, mode))
    assert nobody_can_run()
    yield AS_NOBODY
    for place, mode in changed:
        place.chmod(mode)


def test_read_only_database_can_be_read(shared: Running, as_nobody: list[str]) -> None:
    """B2: who may only read the record can read it."""
    sh(shared, "true")
    shared.start("Shell", "-q")
    assert shared.wait() == 0
    for path in shared.home.rglob("*"):
        path.chmod(path.stat().st_mode | 0o044 | (0o011 if path.is_dir() else 0))
    outcome = shared.project.run([*as_nobody, *LUTE, "history", "--json"])
    assert outcome.code == 0, outcome
    assert [row["status"] for row in outcome.json] == ["COMPLETED"]
    assert shared.project.run([*as_nobody, *LUTE, "log", "last"]).code == 0


def test_run_with_a_read_only_database(shared: Running, as_nobody: list[str]) -> None:
    """B2: the database cannot be written: the run goes on, its row is kept aside, and the user is told."""
    sh(shared, "echo hello")
    shared.start("Shell", "-q")
    assert shared.wait() == 0
    (shared.home / "lute.db").chmod(0o644)
    shared.home.chmod(0o777)
    (shared.home / "lute.runs").rename(shared.home / "runs.of.root")
    for name in ("stdout", "stderr"):
        (shared.home / name).unlink()
    done = shared.project.run([*as_nobody, *LUTE, "run", "Shell", "-c", "config.yaml", "--json"])
    assert done.code == 0, done
    assert done.json["status"] == "COMPLETED"
    assert "lute.db.d" in done.err
    rows = shared.history("--recover")
    assert {row["id"]: row["status"] for row in rows}[done.json["id"]] == "COMPLETED"


def test_run_in_a_read_only_folder(shared: Running, as_nobody: list[str]) -> None:
    """B2: a work folder that cannot be written is a usage error that names it: nothing is started."""
    sh(shared, "echo hello")
    done = shared.project.run([*as_nobody, *LUTE, "run", "Shell", "-c", "config.yaml", "--json"])
    assert done.code == 2, done
    assert str(shared.home) in done.err
    assert "Traceback" not in done.err


# --------------------------------------------------------------------------------------- full disk


def fill(folder: Path) -> None:
    """Writes a file until there is no room."""
    with contextlib.suppress(OSError), open(folder / "filler", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


def test_disk_full_for_the_record(running: Running, small_disk: Path) -> None:
    """B2: the disk of the record fills while a run is under way: the run's own outcome stands, and the user is told."""
    sh(running, "touch reached; read x < go; true")
    running.start("Shell", "--db", str(small_disk / "lute.db"))
    running.reach()
    fill(small_disk)
    running.go()
    assert running.wait() == 0, running.stderr
    assert "Traceback" not in running.stderr, running.stderr
    assert running.result["status"] == "COMPLETED"
    assert "could not be recorded" in running.stderr
    (small_disk / "filler").unlink()
    check(small_disk / "lute.db")
    outcome = running.lute("history", "--json", "--db", str(small_disk / "lute.db"))
    assert [row["status"] for row in outcome.json] == ["FAILED"], "its owner is gone, and more is not known"


@pytest.mark.parametrize("quiet", [[], ["-q"]], ids=["", "quiet"])
def test_disk_full_from_the_start(running: Running, small_disk: Path, quiet: list[str]) -> None:
    """B2: there is no room for a record at all: the run goes on and the user is told."""
    fill(small_disk)
    sh(running, "echo hello")
    running.start("Shell", *quiet, "--db", str(small_disk / "lute.db"))
    assert running.wait() == 0, running.stderr
    assert "Traceback" not in running.stderr, running.stderr
    assert running.result["status"] == "COMPLETED"
    assert "could not be recorded" in running.stderr


# ---------------------------------------------------------------------------- killed in mid-write


def test_killed_at_random_moments(anywhere: Running) -> None:
    """B2: `lute` killed at any moment: the database is whole, and every row is true when it is read next."""
    sh(anywhere, "true")
    anywhere.start("Shell", "-q")
    begin = time.monotonic()
    assert anywhere.wait() == 0
    usual = time.monotonic() - begin
    chance = random.Random(20)
    ended: Counter[str] = Counter()
    for _ in range(30):
        anywhere.start("Shell", "-q")
        late = time.monotonic() + chance.uniform(0.3, 1.1) * usual
        wait_until(lambda late=late: time.monotonic() > late, "the moment")
        assert anywhere.owner is not None
        ended["alive" if anywhere.owner.poll() is None else "over"] += 1
        anywhere.owner.kill()
        anywhere.owner.wait()
    wait_until(lambda: not marked(anywhere.mark), "all gone", 3 + 2 + SLACK)
    rows = anywhere.history()
    assert all(row["status"] in ("COMPLETED", "FAILED") for row in rows), Counter(row["status"] for row in rows)
    assert all(row["reason"] for row in rows)
    assert sum(row["status"] == "COMPLETED" for row in rows) >= ended["over"] + 1
    assert len(rows_of(anywhere, 'SELECT id FROM "Sh"')) == len(rows)


def test_a_writer_killed_inside_a_transaction(running: Running) -> None:
    """B2: a writer killed between BEGIN and COMMIT leaves the record as it was, and locks nobody out."""
    sh(running, "true")
    running.start("Shell", "-q")
    assert running.wait() == 0
    code = (
        "import sqlite3, os, sys\n"
        "d = sqlite3.connect('lute.db', isolation_level=None)\n"
        "d.execute('PRAGMA cache_size = 1'); d.execute('BEGIN IMMEDIATE')\n"
        "d.execute('UPDATE lute_runs SET status = \\'RUNNING\\', summary = ?', ('x' * 10000000,))\n"
        "os.kill(os.getpid(), 9)"
    )
    done = running.project.run([sys.executable, "-c", code])
    assert done.code == -9
    assert running.row()["status"] == "COMPLETED"
    check(running.home / "lute.db")


# --------------------------------------------------------------------------------------- two hosts


def elsewhere(running: Running, *arguments: str) -> Any:
    """Runs `lute` on another host, as far as names tell."""
    command = ["unshare", "--uts", "sh", "-c", 'hostname far-away; exec "$0" "$@"', *LUTE, *arguments]
    return running.project.run(command)


def test_another_host_marks_nothing_lost(anywhere: Running) -> None:
    """B2: what runs or ran on another host is not guessed: neither a live run nor one whose owner is gone is marked."""
    sh(anywhere, "touch reached; read x < go; true")
    owner = anywhere.start("Shell", "-q")
    anywhere.reach()
    for status in ("live", "gone"):
        outcome = elsewhere(anywhere, "history", "--json")
        assert [(row["status"], row["host"]) for row in outcome.json] == [("RUNNING", socket.gethostname())], status
        if status == "live":
            anywhere.kill(owner)
            anywhere.wait_gone(3 + 2 + SLACK)
    assert anywhere.row()["status"] == "FAILED"
    assert [row["status"] for row in elsewhere(anywhere, "history", "--json").json] == ["FAILED"]


def test_a_run_of_another_host_is_not_ours(anywhere: Running) -> None:
    """B2: and the other way round, also where the other host's pid lives here or does not."""
    sh(anywhere, "touch reached; read x < go; true")
    command = ["unshare", "--uts", "sh", "-c", 'hostname far-away; exec "$0" "$@"', *LUTE]
    owner = anywhere.start("", argv=[*command, "run", "Shell", "-c", "config.yaml", "-q"])
    anywhere.reach()
    assert anywhere.row()["status"] == "RUNNING"
    anywhere.kill(owner)
    anywhere.wait_gone(3 + 2 + SLACK)
    row = anywhere.row()
    assert (row["status"], row["host"]) == ("RUNNING", "far-away")
    assert [row["status"] for row in elsewhere(anywhere, "history", "--json").json] == ["FAILED"]


def test_cancel_from_another_host(running: Running) -> None:
    """B1: `lute cancel` works from another host that sees the folder."""
    sh(running, "touch reached; exec sleep 60")
    running.start("Shell", "-q")
    running.reach()
    outcome = elsewhere(running, "cancel", running.row()["id"])
    assert outcome.code == 0, outcome
    assert running.wait() == 143
    assert "far-away" in running.row()["reason"]


def test_cancel_of_a_run_whose_owner_is_gone(anywhere: Running) -> None:
    """B1: `lute cancel` of a run whose owner was killed says so at once and does not wait."""
    sh(anywhere, "touch reached; exec sleep 60")
    owner = anywhere.start("Shell", "-q")
    anywhere.reach()
    identity = anywhere.row()["id"]
    anywhere.kill(owner)
    begin = time.monotonic()
    outcome = anywhere.lute("cancel", identity)
    assert outcome.code == 1
    assert "FAILED" in outcome.err
    assert time.monotonic() - begin < 2 + SLACK


def test_a_reused_pid_is_no_owner(running: Running) -> None:
    """B1: a run whose owner's pid now is another process's is lost all the same."""
    sh(running, "touch reached; read x < go; true")
    owner = running.start("Shell", "-q")
    running.reach()
    row = running.row()
    running.kill(owner)
    running.wait_gone(3 + 2 + SLACK)
    with sqlite3.connect(running.home / "lute.db") as database:
        [(text,)] = database.execute("SELECT owner FROM lute_runs").fetchall()
        changed = json.dumps({**json.loads(text), "pid": os.getpid()})
        database.execute("UPDATE lute_runs SET owner = ?", (changed,))
    database.close()
    assert running.row()["status"] == "FAILED"
    assert row["status"] == "RUNNING"


def test_statuses_of_these_tests() -> None:
    """B1: what is final."""
    assert "STOPPED" not in FINAL
    assert Record("x").busy_timeout == 30
