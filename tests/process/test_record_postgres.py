"""The record in PostgreSQL: many at once, a server that goes away or is stuck, passwords, rights."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import LUTE, Project
from lute.errors import RecordError, UsageError
from lute.record.store import Record
from postgres import PASSWORD, QUOTED, Server
from process.helpers import python, wait_until
from process.test_record import go, history, waiting_run
from process.test_record_queries import KINDS, run

SECRETS = [PASSWORD, QUOTED, "nge:9"]
"""The password as it is, as the URL has it, and a piece of it."""


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that the test may kill."""
    one = Server()
    one.start()
    yield one
    one.close()


def project_at(project: Project, url: str, header: str = "") -> Project:
    """A project whose header names the record."""
    project.plugin("keeps")
    project.config("{}", f"clean_up_grace: 1\nterminate_grace: 0.5\ndatabase: {json.dumps(url)}\n{header}")
    return project


@pytest.fixture
def shelf(project: Project, postgres: Server) -> Project:
    """A project whose record is in an empty database of the tests' server."""
    return project_at(project, postgres.new_database())


def asides(project: Project) -> list[Path]:
    """The rows beside the record."""
    return list((project.folder / "lute.db.d").glob("*"))


WRITER = """
    import sys
    from lute.record.store import Record
    sys.path.append(sys.argv[3])
    from process.test_record_queries import run
    place, number = sys.argv[1], int(sys.argv[2])
    print("ready", flush=True)
    sys.stdin.read()
    with Record(place) as record:
        for n in range(20):
            one = 1000 * number + n
            assert record.save(run(one, task="Same", parameters={"n": one, f"own_{number}": n})), one
            assert record.save(run(one, status="COMPLETED", task=f"Task{n}"), wait=30)
"""


@pytest.mark.parametrize("kind", KINDS)
def test_sixteen_begin_at_once(kind: str, project: Project, request: pytest.FixtureRequest) -> None:
    """B2: many write at once, from the creation of the record on, and lose nothing: no row, no view, no column."""
    place = "lute.db" if kind == "sqlite" else request.getfixturevalue("postgres").new_database()
    script = project.write("writer.py", WRITER)
    tests = str(Path(__file__).parents[1])
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    writers = [
        subprocess.Popen(
            [sys.executable, str(script), place, str(n), tests], cwd=project.folder, env=project.env, **pipes
        )
        for n in range(16)
    ]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"ready\n"
    said = [writer.communicate(timeout=100)[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 16, said
    assert set(said) == {""}, said
    assert asides(project) == []
    with Record(project.folder / place if kind == "sqlite" else place) as record:
        assert record.count() == 16 * 20
        assert record.count(task="Task7") == 16
        names = {row[0] for row in record.read("SELECT name FROM lute_view_columns WHERE task = 'Same'")}
        assert names == {"n", *(f"own_{n}" for n in range(16))}
        assert len(record.read('SELECT "own_0", "own_15" FROM "Same"')) == 0
        assert record.save(run(1, task="Same", parameters={"own_3": 5}))
        assert [float(row[0]) for row in record.read('SELECT "own_3" FROM "Same"')] == [5]


def test_a_server_killed_while_a_task_runs(project: Project, server: Server) -> None:
    """B2: the run goes on, its row goes beside the log, the user is told, and it is taken in when the server is back."""
    shelf = project_at(project, server.new_database())
    with waiting_run(shelf, "Wait") as running:
        assert [row["status"] for row in history(shelf)] == ["RUNNING"]
        server.kill()
        go(shelf)
        out, err = running.communicate(timeout=60)
    assert running.returncode == 0, err.decode()
    found = json.loads(out)
    assert found["status"] == "COMPLETED"
    assert f"did not take this run; it is kept in {shelf.folder}/lute.db.d" in Path(found["log"]).read_text()
    [file] = asides(shelf)
    assert (file.stem, file.stat().st_mode & 0o077) == (found["id"], 0)
    down = shelf.lute("history", "-c", "config.yaml", "--json")
    assert (down.code, list(down.json)) == (2, ["error"])
    assert len(asides(shelf)) == 1
    server.start()
    told = shelf.lute("history", "-c", "config.yaml", "--recover")
    assert (told.code, f"recovered run {found['id']}" in told.err) == (0, True), told
    assert history(shelf) == [found]
    assert asides(shelf) == []


def test_a_server_that_comes_back_in_time(project: Project, server: Server) -> None:
    """B2: a server restarted between two writes of a run costs nothing: the connection is made anew."""
    shelf = project_at(project, server.new_database())
    with waiting_run(shelf, "Wait") as running:
        server.kill()
        server.start()
        go(shelf)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, b"")
    assert asides(shelf) == []
    assert history(shelf) == [json.loads(out)]


def test_a_server_that_is_stuck(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """B2: a server that takes a write and never answers holds up nobody for ever."""
    from lute.record import postgres

    monkeypatch.setattr(postgres, "ANSWER_LIMIT", 0.5)
    with Record(server.new_database(), aside=tmp_path / "aside") as record:
        assert record.save(run(1))
        [(pid,)] = record.read("SELECT pg_backend_pid()")
        os.kill(pid, signal.SIGSTOP)
        try:
            begun = time.monotonic()
            assert record.save(run(2), wait=0.5) is False
            assert time.monotonic() - begun < 1 + 5
        finally:
            os.kill(pid, signal.SIGCONT)
        assert record.recover() == ["000000000002"]


def test_a_record_that_others_hold(postgres: Server, tmp_path: Path) -> None:
    """B2: a busy wait with an end: a table that another session holds, and a view that someone is reading."""
    url = postgres.new_database()
    with Record(url, busy_timeout=0.3, aside=tmp_path / "aside") as record, psycopg.connect(url) as other:
        assert record.save(run(1))
        other.execute("LOCK TABLE lute_runs")
        begun = time.monotonic()
        assert record.save(run(2)) is False
        assert 0.3 <= time.monotonic() - begun < 5
        other.rollback()
        assert record.recover() == ["000000000002"]
        other.execute('SELECT * FROM "Task1"')
        assert record.save(run(1, parameters={"new": 1})), "the view waits, the row does not"
        assert record.get("000000000001")["parameters"] == {"new": 1}
        other.rollback()
        assert record.save(run(4, parameters={"new": 2}))
        assert record.read('SELECT "new" FROM "Task1" ORDER BY id') == [(1.0,), (2.0,)]


def test_someone_elses_view_on_a_view(shelf: Project, caplog: pytest.LogCaptureFixture) -> None:
    """B2: a view that cannot be changed costs no row; the user is told, and what others made stays."""
    assert shelf.run_task("Keep")["status"] == "COMPLETED"
    url = shelf_url(shelf)
    with psycopg.connect(url) as other:
        other.execute('CREATE VIEW mine AS SELECT "n" FROM "Keep"')
    shelf.config("Keep: {mapping: {other: 5}}", f"database: {json.dumps(url)}")
    outcome = shelf.lute("run", "Keep", "-c", "config.yaml", "--json")
    assert (outcome.code, asides(shelf)) == (0, [])
    assert "the view of Task Keep was left as it is" in outcome.err
    assert len(history(shelf)) == 2
    with psycopg.connect(url) as other:
        assert other.execute("SELECT * FROM mine").fetchall() == [(1.0,), (1.0,)]


def shelf_url(shelf: Project) -> str:
    """The URL in a project's header."""
    import yaml

    header: dict[str, Any] = next(yaml.safe_load_all((shelf.folder / "config.yaml").read_text()))
    return str(header["database"])


def test_who_may_only_read(shelf: Project, postgres: Server) -> None:
    """B2: someone with SELECT alone sees what ran; a run of theirs goes beside the record, and is told."""
    assert shelf.run_task("Keep")["status"] == "COMPLETED"
    name = shelf_url(shelf).rsplit("/", 1)[1]
    postgres.execute("CREATE ROLE reader LOGIN PASSWORD 'reader'", database=name)
    postgres.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader", database=name)
    url = f"postgresql://reader:reader@127.0.0.1:{postgres.port}/{name}"
    rows = shelf.lute("history", "--db", url, "--json")
    assert (rows.code, [row["status"] for row in rows.json], rows.err) == (0, ["COMPLETED"], "")
    outcome = shelf.lute("run", "Keep", "-c", "config.yaml", "--db", url, "--json")
    assert (outcome.code, "permission denied" in outcome.err) == (0, True), outcome
    assert len(asides(shelf)) == 1
    assert len(shelf.lute("history", "--db", url, "--json").json) == 1
    assert len(history(shelf)) == 2, "who may write takes it in"


def test_rows_aside_are_taken_in_by_their_own_record(shelf: Project, postgres: Server) -> None:
    """B2: a work folder where both kinds of record were used: each takes in its own rows."""
    folder = shelf.folder / "lute.db.d"
    for place, number in ((shelf_url(shelf), 1), (shelf.folder / "lute.db", 2), (postgres.new_database(), 3)):
        with Record(place, aside=folder) as record:
            record._spool.put(run(number))
    with Record(shelf_url(shelf), aside=folder) as record:
        assert record.recover() == ["000000000001"]
    with Record(shelf.folder / "lute.db") as file:
        assert file.recover() == ["000000000002"]
    assert [path.stem for path in asides(shelf)] == ["000000000003"]


# ------------------------------------------------------------------------------- no server, no way in


def test_no_server_at_all(project: Project) -> None:
    """B2: a run goes on without its record, in bounded time, and the user is told; a reader exits with 2 and says why."""
    shelf = project_at(project, "postgresql://lute@127.0.0.1:1/none")
    begun = time.monotonic()
    outcome = shelf.lute("run", "Keep", "-c", "config.yaml", "--json")
    assert time.monotonic() - begun < 20
    assert (outcome.code, outcome.json["status"]) == (0, "COMPLETED"), outcome
    assert "lute.db.d" in outcome.err
    assert "Traceback" not in outcome.err
    for command in (["history"], ["show", "last"], ["log", "last"], ["history", "--recover"]):
        told = shelf.lute(*command, "-c", "config.yaml", "--json")
        assert told.code == 2, told
        assert "127.0.0.1" in told.json["error"]
        assert "Traceback" not in told.err
    assert len(asides(shelf)) == 1


def test_a_server_that_never_lets_one_in(project: Project) -> None:
    """B2: something that accepts connections and says nothing: the time to connect is bounded."""
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        shelf = project_at(project, f"postgresql://lute@127.0.0.1:{silent.getsockname()[1]}/none?connect_timeout=2")
        begun = time.monotonic()
        assert shelf.lute("history", "-c", "config.yaml").code == 2
        assert time.monotonic() - begun < 10
        outcome = shelf.lute("run", "Keep", "-c", "config.yaml", "--json")
        assert (outcome.code, len(asides(shelf))) == (0, 1), outcome


def everything(shelf: Project) -> bytes:
    """All that is in a project's files but its YAML file, and in its record."""
    texts = [path.read_bytes() for path in shelf.folder.rglob("*") if path.is_file() and path.name != "config.yaml"]
    with psycopg.connect(shelf_url(shelf)) as database:
        tables = [name for (name,) in database.execute("SELECT tablename FROM pg_tables WHERE tablename LIKE 'lute%'")]
        texts += [repr(database.execute(f"SELECT * FROM {table}").fetchall()).encode() for table in tables]
    return b"".join(texts)


def test_the_password_is_seen_nowhere(shelf: Project, postgres: Server) -> None:
    """B5: a password in the URL is in no log, message, row, view, dry run or file; not as it is, and not as it is written."""
    url = shelf_url(shelf)
    shelf.config('Keep: {text: "at {{ database }}"}', f"database: {json.dumps(url)}")
    wrong = url.replace(QUOTED, QUOTED + "x")
    said = []
    for arguments in (
        ["run", "Keep", "-c", "config.yaml", "-vv"],
        ["run", "Keep", "-c", "config.yaml", "--json"],
        ["run", "Keep", "-c", "config.yaml", "--dry-run"],
        ["run", "Keep", "-c", "config.yaml", "--dry-run", "--json"],
        ["run", "Keep", "-c", "config.yaml", "-vv", "--db", wrong],
        ["history", "-c", "config.yaml", "--db", wrong, "--json", "-vv"],
        ["history", "-c", "config.yaml", "-vv"],
        ["show", "last", "-c", "config.yaml"],
        ["show", "none", "-c", "config.yaml"],
        ["log", "last", "-c", "config.yaml"],
        ["check", "-c", "config.yaml"],
        ["history", "--db", url + "?bad=1"],
        ["history", "--db", url, "--recover"],
        ["history", "--db", url.replace("@127", "@@127")],
        ["history", "--db", f"postgresql://127.0.0.1:{postgres.port}/x?user=lute&password={QUOTED}x"],
        ["run", "Keep", "-c", "config.yaml", "--db", wrong],
    ):
        outcome = shelf.lute(*arguments)
        assert "Traceback" not in outcome.err, outcome
        said.append(outcome.out + outcome.err)
    assert "password authentication failed" in said[4]
    assert len(asides(shelf)) == 1
    seen = everything(shelf).decode("utf-8", "replace") + "".join(said)
    assert "at postgresql://lute:***@127.0.0.1" in seen
    for secret in SECRETS:
        assert secret not in seen


@pytest.mark.parametrize("how", ["PGPASSWORD", "pgpass"])
def test_a_password_from_elsewhere(shelf: Project, postgres: Server, how: str) -> None:
    """B2: libpq's own ways to give a password work."""
    url = shelf_url(shelf).replace(f":{QUOTED}", "")
    shelf.config("{}", f"database: {url}")
    if how == "PGPASSWORD":
        shelf.env["PGPASSWORD"] = PASSWORD
    else:
        file = shelf.write("pgpass", "*:*:*:lute:" + PASSWORD.replace(":", "\\:"))
        file.chmod(0o600)
        shelf.env["PGPASSFILE"] = str(file)
    assert shelf.run_task("Keep")["status"] == "COMPLETED"
    assert asides(shelf) == []
    assert len(history(shelf)) == 1
    shelf.env = {name: value for name, value in shelf.env.items() if not name.startswith("PGPASS")}
    shelf.env["HOME"] = str(shelf.folder)
    assert "no password supplied" in shelf.lute("history", "-c", "config.yaml").err


@pytest.mark.parametrize(
    "url", ["mysql://me@host/db", "postgresql://u:p@ss@host/db", "postgresql://u:50%x@h/db", "postgresql://h/db?x=1"]
)
def test_a_url_that_is_none(project: Project, url: str) -> None:
    """STYLE: a URL that cannot be used is a usage error that says how one is written; nothing is started."""
    shelf = project_at(project, url)
    outcome = shelf.lute("run", "Keep", "-c", "config.yaml", "--json")
    assert outcome.code == 2
    assert "is no URL of PostgreSQL: write postgresql://user@host:port/database" in outcome.json["error"]
    assert "p@ss" not in outcome.out + outcome.err
    assert not (shelf.folder / "lute.runs").exists()


def test_without_psycopg(shelf: Project) -> None:
    """STYLE: without the extra the error says what to install, and nothing is started."""
    code = """
        import sys
        sys.modules["psycopg"] = None
        from lute.cli import main
        sys.exit(main(["run", "Keep", "-c", "config.yaml", "--json"]))
    """
    outcome = python(shelf, code)
    assert (outcome.code, "pip install 'lute-executor[postgres]'" in outcome.json["error"]) == (2, True), outcome
    assert not (shelf.folder / "lute.runs").exists()


def test_a_file_costs_no_psycopg(project: Project) -> None:
    """DESIGN: psycopg is imported only where a URL asks for it."""
    shelf = project_at(project, "lute.db")
    outcome = python(shelf, "import sys, lute.cli.run, lute.record.db; print('psycopg' in sys.modules)")
    assert outcome.out == "False\n", outcome


def test_a_database_of_something_else(postgres: Server) -> None:
    """B2: a database that holds other tables too is used beside them; one of our name is told, not touched."""
    url = postgres.new_database()
    with psycopg.connect(url, autocommit=True) as other:
        other.execute('CREATE TABLE "Task1" (a int)')
        other.execute('INSERT INTO "Task1" VALUES (5)')
        with Record(url) as record:
            assert record.save(run(1))
            assert record.count() == 1
        assert other.execute('SELECT * FROM "Task1"').fetchall() == [(5,)]
        other.execute("DROP TABLE lute_runs CASCADE")
    with Record(url) as record, pytest.raises(RecordError, match="lute_runs"):
        record.find()
    with pytest.raises(UsageError):
        Record("http://example.org/db")


def test_following_a_log_and_cancelling(shelf: Project) -> None:
    """B: `lute log -f` and `lute cancel` work with a record on a server."""
    with waiting_run(shelf, "Wait") as running:
        [row] = history(shelf)
        argv = [*LUTE, "log", row["id"], "-f", "-c", "config.yaml"]
        with subprocess.Popen(argv, cwd=shelf.folder, env=shelf.env, stdout=subprocess.PIPE) as following:
            assert following.stdout is not None
            assert following.stdout.readline() == b"waiting\n"
            assert shelf.lute("cancel", row["id"], "-c", "config.yaml").code == 0
            running.wait(30)
            wait_until(lambda: following.poll() is not None, "the log ends")
    assert [row["status"] for row in history(shelf)] == ["CANCELLED"]
