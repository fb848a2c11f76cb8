"""What can be asked of the record, in each kind of database: filters, order, pages, and how fast; older schemas."""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from conftest import Project
from lute.errors import RecordError, UsageError
from lute.record import schema, workflow_store
from lute.record.queries import Condition, read_condition
from lute.record.row_codec import to_sql
from lute.record.rows import utc
from lute.record.store import Record
from postgres import Server
from process.test_record import obey_permissions

KINDS = ["sqlite", "postgresql"]


def run(number: int, **other: Any) -> dict[str, Any]:
    """A row of the record; the larger its number, the later it started."""
    status = "FAILED" if number % 5 == 4 else "COMPLETED"
    fixed = {
        "id": f"{number:012d}",
        "task": f"Task{number % 3}",
        "managed_task": f"Managed{number % 2}",
        "experiment": f"exp{number % 2}",
        "run": str(number % 4),
        "status": status,
        "reason": "exited with status 1: 100% wrong" if status == "FAILED" else "",
        "summary": f"peak_{number}",
        "payload": {"n": number},
        "valid": status == "COMPLETED",
        "parameters": {"n": number, "x": number / 2, "name": f"f{number}", "flag": number % 2 == 0, "none": None},
        "started": utc(1_600_000_000 + number),
        "ended": utc(1_600_000_001 + number),
        "wall_s": float(100 - number),
        "host": "far-away",
        "log": "",
        "attempt": 1,
    }
    return {**fixed, **other}


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where an empty record is to be."""
    if request.param == "sqlite":
        return str(tmp_path / "lute.db")
    return str(request.getfixturevalue("postgres").new_database())


@pytest.fixture
def record(place: str, tmp_path: Path) -> Iterator[Record]:
    """A record with twenty runs."""
    with Record(place, aside=tmp_path / "aside") as one:
        for number in range(20):
            assert one.save(run(number))
        yield one


def numbers(rows: list[dict[str, Any]]) -> list[int]:
    """The numbers of runs."""
    return [int(row["id"]) for row in rows]


ALL = list(range(19, -1, -1))


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({}, ALL),
        ({"tasks": ["Task1"]}, [n for n in ALL if n % 3 == 1]),
        ({"tasks": ["Managed1"]}, [n for n in ALL if n % 2]),
        ({"tasks": ["Task1", "Managed1"]}, [n for n in ALL if n % 3 == 1 or n % 2]),
        ({"tasks": ["Task1", *(f"no{n}" for n in range(300))], "statuses": ["FAILED", "RUNNING"]}, [19, 4]),
        ({"tasks": []}, ALL),
        ({"task": "Managed1"}, []),
        ({"task": "Task2", "managed_task": "Managed0"}, [n for n in ALL if n % 3 == 2 and n % 2 == 0]),
        ({"statuses": ["FAILED"]}, [19, 14, 9, 4]),
        ({"statuses": ["FAILED", "RUNNING"], "tasks": ["Task1", "Task0"]}, [19, 9, 4]),
        ({"experiment": "exp1", "run": 3}, [19, 15, 11, 7, 3]),
        ({"valid": False}, [19, 14, 9, 4]),
        ({"valid": True, "run": "3"}, [15, 11, 7, 3]),
        ({"workflow": "none"}, []),
        ({"since": utc(1_600_000_017)}, [19, 18, 17]),
        ({"until": datetime.datetime.fromtimestamp(1_600_000_002, datetime.UTC)}, [1, 0]),
        ({"since": "2020-09-13T12:26:58+00:00", "until": "2020-09-13T14:26:59+02:00"}, [18]),
        ({"text": "PEAK_1"}, [19, 18, 17, 16, 15, 14, 13, 12, 11, 10, 1]),
        ({"text": "100% w"}, [19, 14, 9, 4]),
        ({"text": "peak%"}, []),
        ({"where": {"n": 7}}, [7]),
        ({"where": {"Task1.n": 7}}, [7]),
        ({"where": {"Task2.n": 7}}, []),
        ({"where": ["x>=9"]}, [19, 18]),
        ({"where": ["x < 1", "n != 0"]}, [1]),
        ({"where": ["n=7.0"]}, [7]),
        ({"where": {"n": "7"}}, []),
        ({"where": ['name="f7"']}, [7]),
        ({"where": ["name>=f8", "name != f9"]}, [8]),
        ({"where": {"flag": False}, "statuses": ["FAILED"]}, [19, 9]),
        ({"where": {"none": None, "n": 3}}, [3]),
        ({"where": ["none=1"]}, []),
        ({"where": ["n>a"]}, []),
        ({"where": [Condition("Task0.n", ">", 10)], "tasks": ["Managed0"]}, [18, 12]),
        ({"where": {"n": 2**70}}, []),
        ({"text": "x' OR '1'='1"}, []),
        ({"tasks": ["'; DROP TABLE lute_runs; --", "?", "%s"]}, []),
        ({"where": {"name": "?%s"}}, []),
    ],
    ids=lambda given: str(given)[:60],
)
def test_what_can_be_asked_for(record: Record, wanted: dict[str, Any], expected: list[int]) -> None:
    """B2: runs are found by everything that is known of them, and counted."""
    assert numbers(record.find(**wanted)) == expected
    assert record.count(**wanted) == len(expected)
    assert record.count(2, **wanted) == min(2, len(expected))
    assert numbers(record.find(**wanted, limit=2, offset=1)) == expected[1:3]


def test_pages_go_on_from_the_one_before(record: Record) -> None:
    """B2: pages without gaps and doubles, also where runs started at the same moment."""
    for number in range(20, 24):
        assert record.save(run(number, started=run(19)["started"]))
    found: list[int] = []
    before = None
    while page := record.find(limit=5, before=before):
        found += numbers(page)
        before = (page[-1]["started"], page[-1]["id"])
    assert found == list(range(23, -1, -1))
    assert numbers(record.find(tasks=["Task1"], limit=2, before=before)) == []


def test_order(record: Record) -> None:
    """B2: any column that is no list or object can be sorted by; runs without a value come last."""
    record.save(run(20, wall_s=None))
    assert numbers(record.find(sort="wall_s", limit=3)) == [0, 1, 2]
    assert numbers(record.find(sort="wall_s", descending=False))[:2] == [19, 18]
    assert numbers(record.find(sort="wall_s", descending=False))[-1] == 20
    assert numbers(record.find(sort="status", statuses=["FAILED", "COMPLETED"], limit=4)) == [19, 14, 9, 4]
    assert numbers(record.find(descending=False, tasks=["Task0", "Managed0"], limit=3)) == [0, 2, 3]
    assert numbers(record.find(sort="id", limit=1)) == [20]


def test_only_some_columns(record: Record) -> None:
    """B2: what is not asked for is not read."""
    assert record.find(columns=["status", "valid"], limit=1, sort="wall_s") == [{"status": "COMPLETED", "valid": True}]
    assert list(record.find(limit=1)[0]) == list(schema.COLUMNS)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"sort": "stared"}, "no column 'stared' to sort by. Did you mean 'started'?"),
        ({"sort": "parameters"}, "no column 'parameters' to sort by"),
        ({"sort": "id; DROP TABLE lute_runs"}, "no column 'id; DROP TABLE lute_runs'"),
        ({"columns": ["sumary"]}, "no column 'sumary'. Did you mean 'summary'?"),
        ({"where": {"nam": 1}}, "parameter 'nam'. Did you mean 'name'?"),
        ({"where": {"Task1.nam": 1}}, "parameter 'Task1.nam'"),
        ({"where": {"n') OR ('1'='1": 1}}, "no run in"),
        ({"where": {"n": [1, 2]}}, "n: [1, 2] cannot be compared with"),
        ({"where": ["n"]}, "'n' is no comparison: write Task.name=value"),
        ({"where": [Condition("n", "LIKE", 1)]}, "there is no comparison 'LIKE'"),
        ({"where": ["n > null"]}, "nothing is smaller or larger than null"),
        ({"since": "yesterday"}, "'yesterday' is no time: write it as"),
        ({"before": ("2020", "1"), "sort": "wall_s"}, "`before` goes on"),
    ],
)
def test_what_cannot_be_asked_for(record: Record, asked: dict[str, Any], said: str) -> None:
    """STYLE: an error says what was expected, with the nearest name; nothing that is given becomes SQL."""
    with pytest.raises(UsageError) as raised:
        record.find(**asked)
    assert said in str(raised.value)
    assert record.count() == 20


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b[0] == 1", ("a.b[0]", "=", 1)),
        ("x<=1e-3", ("x", "<=", 0.001)),
        ("name='1'", ("name", "=", "1")),
        ("name = a = b", ("name", "=", "a = b")),
        ("name=", ("name", "=", None)),
        ("flag!=true", ("flag", "!=", True)),
        ("run=0012", ("run", "=", "0012")),
    ],
)
def test_comparisons_in_a_text(text: str, expected: tuple[str, str, Any]) -> None:
    """A5, B2: a value in a comparison is read as in a YAML file."""
    assert read_condition(text) == expected


def test_odd_names_and_values(record: Record) -> None:
    """B2: nested, long and non-ASCII names; names that differ only in case; NUL and bytes that are no UTF-8."""
    long = "p" * 70
    odd = {
        "a": {"b c": [1, "it's"]},
        "caf\u00e9": 1,
        "n": 1,
        "N": 2,
        long: 3,
        long + "q": 4,
        "text": "a\0b\udce9 \\u0000",
    }
    row = run(30, task='Odd\'s "Task"', parameters=odd, summary="a\0\udce9", payload="x\0\udce9", experiment="e\0")
    assert record.save(row)
    found = record.get("000000000030")
    assert (found["parameters"], found["payload"], found["summary"]) == (odd, "x\0\udce9", "a\\x00\\udce9")
    for name, value in (("a.b c[0]", 1), ("a.b c[1]", "it's"), ("caf\u00e9", 1), ("N", 2), (long + "q", 4)):
        assert numbers(record.find(where={name: value}, task=row["task"])) == [30], name
    assert numbers(record.find(where={"N": 1}, task=row["task"])) == []


def names_of_views(record: Record) -> dict[str, str]:
    """The name of each Task's view."""
    return dict(record.read("SELECT task, name FROM lute_views"))


def view(record: Record, task: str) -> list[tuple[Any, ...]]:
    """The rows of a Task's view, newest first."""
    name = schema.identifier(names_of_views(record)[task])
    return record.read(f'SELECT "n", "result.payload" FROM {name} ORDER BY started DESC')


def test_tasks_that_are_nearly_named_the_same(record: Record) -> None:
    """B2: each Task has a view of its own: names that differ only in case, or only after 63 bytes, or are ours."""
    long = "\u00e9" * 40
    tasks = ["Same", "same", "SAME", long + "a", long + "b", "lute_runs", "sqlite_x", 'quo"te', "a'b", "x" * 63]
    for number, task in enumerate(tasks):
        assert record.save(run(100 + number, task=task, parameters={"n": number}))
    for number, task in enumerate(tasks):
        [(n, payload)] = view(record, task)
        assert (n, json.loads(payload)) == (number, {"n": 100 + number})
    names = list(names_of_views(record).values())
    assert len({name.lower() for name in names}) == len(names)
    assert {"Same", "x" * 63} <= set(names)


def test_a_column_whose_values_change_their_kind(record: Record) -> None:
    """B2: a parameter that was always a number and then is a text is a column still, with every value."""
    for number, value in enumerate([None, 1, True, 2.5, "text", None, 2**70]):
        assert record.save(run(100 + number, task="Kinds", parameters={"n": value}, payload=None))
        newest = view(record, "Kinds")
        assert len(newest) == number + 1
    shown = [str(row[0]) for row in view(record, "Kinds")]
    assert shown[2] == "text"
    assert float(shown[3]) == 2.5
    assert float(shown[0]) == float(2**70)


def test_a_row_that_is_older_does_not_undo_a_newer_one(record: Record, tmp_path: Path) -> None:
    """B2: what was put aside while a run lived does not replace its final row; the final one does replace a lost one's."""
    record._spool.put(run(3, status="RUNNING", ended=None))
    record._spool.put(run(50, status="RUNNING", ended=None))
    assert record.recover() == ["000000000003", "000000000050"]
    assert [record.get(f"{number:012d}")["status"] for number in (3, 50)] == ["COMPLETED", "RUNNING"]
    record._spool.put(run(50))
    assert record.recover() == ["000000000050"]
    assert record.get("000000000050")["status"] == "COMPLETED"


def test_a_row_that_is_written_again(record: Record, place: str) -> None:
    """B2: a later state of a run replaces all that can change; a row that is gone meanwhile is there again, whole."""
    first = {**run(30), "status": "RUNNING", "valid": False, "ended": None, "fingerprint": "a:1"}
    assert record.save(first)
    last = {**first, "status": "COMPLETED", "valid": True, "ended": utc(1_600_000_050), "wall_s": 20.0}
    assert record.save(last, again=True)
    assert record.get(first["id"]) == {**record.get(first["id"]), **last}
    with record.transaction() as database:
        database.execute("DELETE FROM lute_runs WHERE id = ?", (first["id"],))
    assert record.save(last, again=True)
    assert record.get(first["id"]) == {**record.get(first["id"]), **last}


def test_a_last_write_leaves_most_indexes_alone(tmp_path: Path) -> None:
    """DESIGN: what a run's owner wrote at its start is not written again: fewer pages for each end of a run."""

    def pages(again: bool) -> int:
        with Record(str(tmp_path / f"{again}.db")) as record:
            for number in range(50):
                record.save(run(number))
            log = tmp_path / f"{again}.db-wal"
            before = log.stat().st_size
            for number in range(50):
                record.save({**run(number), "status": "FAILED"}, again=again)
            return log.stat().st_size - before

    assert pages(True) < 0.7 * pages(False)


def test_set_valid(record: Record) -> None:
    """B: a result is declared unusable, with the reason, and usable again."""
    record.set_valid("000000000003", False, "wrong calibration")
    found = record.get("000000000003")
    assert (found["valid"], found["invalid_reason"], found["status"]) == (False, "wrong calibration", "COMPLETED")
    assert record.latest("Task0", "n", run="3", experiment="exp1") == ("000000000015", 15)
    record.set_valid("000000000003", True)
    assert record.get("000000000003")["invalid_reason"] is None


def test_latest_by_parameters_named_like_columns(record: Record) -> None:
    """A5: a parameter that has the name of a column of the record is the parameter."""
    assert record.save(run(60, task="Names", parameters={"id": 1, "run": 2, "started": 3, "status": 4}))
    assert [record.latest_value("Names", name) for name in ("id", "run", "started", "status")] == [1, 2, 3, 4]
    assert record.latest_value("Names", "result.task_status") == "COMPLETED"
    assert record.latest("Names", "nothing") == ("000000000060", None)
    assert record.latest("No", "id") == (None, None)


# ----------------------------------------------------------------------------------------- how fast


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"tasks": ["Task1"]},
        {"tasks": ["Task1", "Managed2"], "statuses": ["FAILED", "RUNNING"]},
        {"statuses": ["FAILED"]},
        {"experiment": "exp1"},
        {"run": 3},
        {"experiment": "exp1", "run": 3, "task": "Task1", "valid": True},
        {"workflow": "w"},
        {"fingerprint": "f"},
        {"since": "2020-01-01", "until": "2021-01-01"},
    ],
    ids=str,
)
def test_no_page_needs_a_full_scan(tmp_path: Path, wanted: dict[str, Any]) -> None:
    """DESIGN: a page of runs goes along an index and sorts no more than a page, whatever is asked for."""
    with Record(tmp_path / "lute.db") as record:
        record.save(run(1))
        queries: list[str] = []
        connection: sqlite3.Connection = record._database.connection  # type: ignore[attr-defined]
        connection.set_trace_callback(queries.append)
        record.find(**wanted, limit=50)
        record.find(**wanted, limit=50, before=("2022", "x"))
        if not wanted:
            record.mark_lost()
            record.latest("Task1", "n", run="3", experiment="exp1")
        connection.set_trace_callback(None)
        assert len(queries) >= 2
        for query in queries:
            plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}")]
            on_runs = [step for step in plan if "lute_runs" in step]
            assert on_runs
            assert all("USING INDEX" in step or "USING COVERING INDEX" in step for step in on_runs), plan
            if "UNION" not in query:
                assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), plan


def fill(place: str, count: int) -> None:
    """Writes many runs at once, around the record's own way."""
    row = run(0)
    names = list(row)
    insert = f"INSERT INTO lute_runs ({', '.join(names)}) VALUES"
    values = ([to_sql(name, value) for name, value in run(number).items()] for number in range(count))
    if "://" not in place:
        with contextlib.closing(sqlite3.connect(place)) as database:
            database.executemany(f"{insert} ({', '.join('?' * len(names))})", values)
            database.commit()
        return
    with psycopg.connect(place) as server:
        with server.cursor().copy(f"COPY lute_runs ({', '.join(names)}) FROM STDIN") as copy:
            for one in values:
                copy.write_row(one)


def best_time(record: Record, **wanted: Any) -> float:
    """The shortest of several times for a page, in s."""
    times = []
    for _ in range(7):
        begun = time.perf_counter()
        assert len(record.find(**wanted, limit=50)) == 50
        times.append(time.perf_counter() - begun)
    return min(times)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_many_is_as_fast_as_one_of_few(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """DESIGN: the first page of 100,000 runs takes at most twice as long as that of 1,000."""
    times: list[dict[str, float]] = []
    for count in (1000, 100_000):
        server: Server | None = request.getfixturevalue("postgres") if kind == "postgresql" else None
        place = server.new_database() if server else str(tmp_path / f"{count}.db")
        with Record(place) as record:
            record.save(run(0))
            with record.transaction() as database:
                database.execute("DELETE FROM lute_runs")
            fill(place, count)
            if server:
                with psycopg.connect(place, autocommit=True) as connection:
                    connection.execute("ANALYZE lute_runs")
            asked: list[dict[str, Any]] = [{}, {"tasks": ["Task1"]}, {"statuses": ["FAILED"]}, {"experiment": "exp1"}]
            times.append({str(wanted): best_time(record, **wanted) for wanted in asked})
    few, many = times
    assert all(many[wanted] <= 2 * few[wanted] + 0.001 for wanted in few), times


# ------------------------------------------------------------------------------------ older schemas

FIRST = schema.columns_of(1)
READ = """
    import json, sys
    from lute.record.store import Record
    with Record(sys.argv[1]) as record:
        record.refresh()
        [row] = record.find(tasks=["Task1"], where=["n=1"])
        read = [row["parameters"]["n"], row["fingerprint"], row["sources"]]
        tasks = [row["task"] for row in record.find(columns=["task"])]
        print(json.dumps([tasks, read, record.get("last")["id"], record.count(valid=True, task="Task2")]))
"""


def make_first_schema(place: str) -> None:
    """Makes a record as the first version of `lute` did, with two runs and a view."""
    types = {"TEXT": "TEXT", "INTEGER": "BIGINT", "REAL": "DOUBLE PRECISION"}
    rows = [{**dict.fromkeys(FIRST), **run(number)} for number in (1, 2)]
    with contextlib.closing(psycopg.connect(place) if "://" in place else sqlite3.connect(place)) as database:
        cursor: Any = database.cursor()
        for statement in schema.MIGRATIONS[0]:
            cursor.execute(statement.format(**types))
        mark = "%s" if "://" in place else "?"
        for row in rows:
            values = [to_sql(name, row[name]) for name in FIRST]
            cursor.execute(
                f"INSERT INTO lute_runs ({', '.join(FIRST)}) VALUES ({', '.join([mark] * len(FIRST))})", values
            )
            known = f"INSERT INTO lute_view_columns VALUES ({', '.join([mark] * 4)}) ON CONFLICT DO NOTHING"
            cursor.execute(known, (row["task"], "n", '$."n"', 0))
        if "://" in place:
            cursor.execute("CREATE TABLE lute_schema (version bigint)")
            cursor.execute("INSERT INTO lute_schema VALUES (1)")
        else:
            cursor.execute("CREATE VIEW Task1 AS SELECT json_extract(parameters, '$.n') AS n FROM lute_runs")
            cursor.execute("PRAGMA user_version = 1")
        database.commit()


def test_a_record_of_the_first_schema(place: str, caplog: pytest.LogCaptureFixture) -> None:
    """B2: numbered migrations: an older record is brought up to date when it is opened, says so, and loses nothing."""
    make_first_schema(place)
    caplog.set_level(logging.INFO)
    with Record(place) as record:
        assert numbers(record.find()) == [2, 1]
        newest = len(schema.MIGRATIONS)
        assert f"was brought from schema 1 to schema {newest}" in caplog.text
        assert {record.get("last")[name] for name in ("fingerprint", "progress", "invalid_reason")} == {None}
        for number in (3, 4):
            assert record.save(run(number, sources={"n": "x"}, fingerprint="f", parameters={"n": number, "new": "a"}))
        assert numbers(record.find(fingerprint="f")) == [4, 3]
        assert numbers(record.find(where={"n": 1})) == [1]
        assert [float(row[0]) for row in view(record, "Task1")] == [4, 1]
        assert set(names_of_views(record)) == {"Task0", "Task1", "Task2"}
    caplog.clear()
    with Record(place) as record:
        assert record.count() == 4
    assert "was brought" not in caplog.text


@pytest.mark.parametrize("version", range(2, len(schema.MIGRATIONS)))
def test_a_record_of_a_later_schema(place: str, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """B2: so is a record of every other earlier schema; runs and workflow runs can be written and read then."""
    with monkeypatch.context() as patch, Record(place) as record:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:version])
        assert record.save(run(1))
        assert record.save(run(2, fingerprint="f"))
    with Record(place) as record:
        assert numbers(record.find()) == [2, 1]
        assert numbers(record.find(fingerprint="f")) == [2]
        assert workflow_store.find(record) == []
        assert record.save(run(3))
        assert numbers(record.find()) == [3, 2, 1]


def test_a_record_of_the_first_schema_that_may_only_be_read(project: Project) -> None:
    """B2: who may only read an older record reads it; what it has not is null."""
    path = project.folder / "lute.db"
    make_first_schema(str(path))
    before = path.read_bytes()
    script = project.write("script.py", READ)
    path.chmod(0o440)
    project.folder.chmod(0o550)
    try:
        done = subprocess.run(
            [sys.executable, str(script), str(path)], env=project.env, capture_output=True, preexec_fn=obey_permissions
        )
    finally:
        project.folder.chmod(0o750)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == [["Task2", "Task1"], [1, None, None], "000000000002", 1]
    assert path.read_bytes() == before


def test_a_record_that_another_is_making(tmp_path: Path) -> None:
    """B2: who comes while another makes the record waits; who gives up finds it whole the next time."""
    path = tmp_path / "lute.db"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with Record(path, busy_timeout=0.1) as record:
            with pytest.raises(RecordError, match="locked"):
                workflow_store.find(record)
            other.execute("ROLLBACK")
            with Record(path) as maker:
                assert maker.save(run(1))
            assert record.get("last")["payload"] == {"n": 1}
    later = tmp_path / "later.db"
    with contextlib.closing(sqlite3.connect(later, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        release = threading.Timer(0.3, other.execute, ["ROLLBACK"])
        release.start()
        with Record(later) as record:
            assert record.save(run(1))
            assert record.get("last")["payload"] == {"n": 1}
        release.join()


def test_a_record_of_a_newer_lute(place: str) -> None:
    """B2: a record that a newer version wrote is refused, and left alone."""
    with Record(place) as record:
        record.save(run(1))
        with record.transaction() as database:
            database.set_version(99)
    with Record(place) as record, pytest.raises(RecordError, match=r"newer lute \(schema 99.*update lute"):
        record.find()
