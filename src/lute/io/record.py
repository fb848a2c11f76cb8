"""The record: what ran, kept in SQLite.

Every change of a run writes its whole row, so that a row is true at any moment and a write can be repeated. A
write that the database does not take goes to a file of its own under `lute.db.d/`, and whoever reads next
takes it in.
"""

from __future__ import annotations

import json
import os
import socket
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lute.errors import RecordError
from lute.execution.logging import get_logger
from lute.io import _schema
from lute.io.files import create_file, make_folder, on_network, shared_mode
from lute.io.owner import is_gone

__all__ = ["Record"]

logger = get_logger(__name__)

BUSY_TIMEOUT = 30.0
"""Longest time a write waits for other writers, in s."""
_LIVE = ("PENDING", "RUNNING", "STOPPED")


class Record:
    """One record. Constructing opens nothing.

    Args:
        path: The SQLite file.
        busy_timeout: Longest time a write waits for other writers, in s.
    """

    def __init__(self, path: str | os.PathLike[str], busy_timeout: float = BUSY_TIMEOUT) -> None:
        self.path = Path(path).absolute()
        self.busy_timeout = busy_timeout
        self._connection: sqlite3.Connection | None = None
        self._views: dict[str, dict[str, str]] = {}

    # ------------------------------------------------------------------------------------- writing

    def save(self, row: Mapping[str, Any], wait: float | None = None) -> bool:
        """Writes a run's whole row.

        Args:
            row: The run, by the names in `_schema.COLUMNS`.
            wait: Longest time to wait for other writers, in s; the record's own if not given.

        Returns:
            False if the database did not take it and it went to a file beside it.

        Raises:
            RecordError: Not even the file beside it could be written.
        """
        try:
            with self._transaction(wait) as database:
                self._upsert(database, row)
                self._extend_view(database, str(row["task"]), row.get("parameters") or {})
            self._aside_file(row).unlink(
                missing_ok=True
            )  # an older state of this run, from when nothing could be written
            return True
        except (sqlite3.Error, OSError, RecordError) as error:
            logger.warning("the record %s did not take run %s: %s", self.path, row["id"], error)
            self.close()
            self._put_aside(row)
            return False

    def _upsert(self, database: sqlite3.Connection, row: Mapping[str, Any]) -> None:
        names = [name for name in _schema.COLUMNS if name in row]
        values = [_to_sql(name, row[name]) for name in names]
        database.execute(
            f"INSERT INTO lute_runs ({', '.join(names)}) VALUES ({', '.join('?' * len(names))}) ON CONFLICT (id) DO"
            f" UPDATE SET {', '.join(f'{name} = excluded.{name}' for name in names if name != 'id')}",
            values,
        )

    def _extend_view(self, database: sqlite3.Connection, task: str, parameters: dict[str, Any]) -> None:
        names = _schema.flat_names(parameters)
        if task in self._views and names.items() <= self._views[task].items():
            return
        query = "SELECT name, path FROM lute_view_columns WHERE task = ? ORDER BY position"
        known = dict(database.execute(query, (task,)).fetchall())
        paths = set(known.values())
        added = {name: path for name, path in names.items() if path not in paths}
        columns = {**known, **added}
        if added or not known:
            rows = [(task, name, path, len(known) + number) for number, (name, path) in enumerate(added.items())]
            database.executemany("INSERT OR IGNORE INTO lute_view_columns VALUES (?, ?, ?, ?)", rows)
            for statement in _schema.view_statements(task, dict(list(columns.items())[: _schema.MOST_COLUMNS])):
                database.execute(statement)
        self._views[task] = columns

    @property
    def aside(self) -> Path:
        """The folder of rows that the database did not take."""
        return self.path.with_name(self.path.name + ".d")

    def _aside_file(self, row: Mapping[str, Any]) -> Path:
        return self.aside / f"{row['id']}.json"

    def _put_aside(self, row: Mapping[str, Any]) -> None:
        try:
            make_folder(self.aside)
            part = self.aside / f"{row['id']}.{os.getpid()}.part"
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                os.fchmod(file.fileno(), shared_mode(self.path.parent, 0o600))
                json.dump(dict(row), file, default=str)
            part.replace(self._aside_file(row))
        except OSError as error:
            raise RecordError(
                f"run {row['id']} could not be recorded, neither in {self.path} nor in {self.aside}: {error}"
            ) from error

    def recover(self) -> list[str]:
        """Takes in the rows that were put aside. Returns the runs' ids; environment and files are untouched."""
        taken = []
        for file in sorted(self.aside.glob("*.json")) if self.aside.is_dir() else []:
            try:
                row = json.loads(file.read_text())
                identity, task = str(row["id"]), str(row["task"])
            except (ValueError, KeyError, TypeError) as error:
                logger.warning("%s holds no run (%s); it is set aside as %s.bad", file, error, file.name)
                file.replace(file.with_name(file.name + ".bad"))
                continue
            with self._transaction() as database:
                if not self._has_ended(database, identity) or row.get("ended"):
                    self._upsert(database, row)
                    self._extend_view(database, task, row.get("parameters") or {})
            file.unlink(missing_ok=True)
            taken.append(identity)
        return taken

    def _has_ended(self, database: sqlite3.Connection, identity: str) -> bool:
        found = database.execute("SELECT ended FROM lute_runs WHERE id = ?", (identity,)).fetchone()
        return found is not None and found[0] is not None

    # ------------------------------------------------------------------------------------- reading

    def refresh(self) -> None:
        """Makes the record true before it is read: takes in what was put aside, marks lost runs."""
        if self.path.exists() and not self._is_writable():
            return  # who may only read, reads what is there
        for step in (self.recover, self.mark_lost):
            try:
                step()
            except (sqlite3.Error, OSError, RecordError) as error:
                logger.warning("the record %s can be read, but not brought up to date: %s", self.path, error)

    def mark_lost(self) -> list[str]:
        """Marks the runs of this host FAILED whose `lute` process is gone. Returns their ids."""
        marks = ", ".join("?" * len(_LIVE))
        query = f"SELECT id, host, owner FROM lute_runs WHERE status IN ({marks})"
        lost = []
        for identity, host, owner in self.connection.execute(query, _LIVE).fetchall():
            if host == socket.gethostname() and is_gone(json.loads(owner or "{}")):
                lost.append(identity)
        reason = "the lute process that owned this run is gone (killed, or its machine was restarted)"
        for identity in lost:
            with self._transaction() as database:
                database.execute(
                    "UPDATE lute_runs SET status = 'FAILED', valid = 0, reason = ?"
                    f" WHERE id = ? AND status IN ({marks})",
                    (reason, identity, *_LIVE),
                )
        return lost

    def find(
        self,
        *,
        tasks: list[str] | None = None,
        statuses: list[str] | None = None,
        experiment: str | None = None,
        run: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[dict[str, Any]]:
        """Returns runs as dicts by the names in `_schema.COLUMNS`, newest first."""
        wanted: list[tuple[str, Any]] = []
        if tasks:
            marks = ", ".join("?" * len(tasks))
            wanted.append((f"(task IN ({marks}) OR managed_task IN ({marks}))", [*tasks, *tasks]))
        if statuses:
            wanted.append((f"status IN ({', '.join('?' * len(statuses))})", statuses))
        for column, one in (("experiment", experiment), ("run", run)):
            if one is not None:
                wanted.append((f"{column} = ?", [str(one)]))
        where = " AND ".join(clause for clause, _ in wanted) or "1"
        values = [value for _, part in wanted for value in part]
        query = f"SELECT {', '.join(_schema.COLUMNS)} FROM lute_runs WHERE {where} ORDER BY started DESC, id DESC"
        rows = self.connection.execute(f"{query} LIMIT ? OFFSET ?", [*values, -1 if limit is None else limit, offset])
        return [_from_sql(row) for row in rows]

    def get(self, identity: str) -> dict[str, Any]:
        """Returns one run by its id, the unique start of one, or `last`.

        Raises:
            RecordError: There is no such run, or more than one.
        """
        if identity == "last":
            found = self.find(limit=1)
        else:
            query = f"SELECT {', '.join(_schema.COLUMNS)} FROM lute_runs WHERE id >= ? AND id < ? LIMIT 2"
            rows = self.connection.execute(query, (identity, identity + "\U0010ffff"))
            found = [_from_sql(row) for row in rows]
        if len(found) == 1 or (found and found[0]["id"] == identity):
            return found[0]
        if found:
            raise RecordError(f"{identity!r} is the start of several runs' ids: give more of it")
        raise RecordError(f"there is no run {identity!r} in {self.path}. See: lute history --db {self.path}")

    def latest_value(
        self, task: str, param: str, *, valid_only: bool = True, run: str | None = None, experiment: str | None = None
    ) -> Any:
        """Returns a parameter's or result's value in the latest run of a Task; None if there is none."""
        clauses, values = ["task = ?"], [task]
        if valid_only:
            clauses.append("valid = 1")
        for column, value in (("run", run), ("experiment", experiment)):
            if value is not None:
                clauses.append(f"{column} = ?")
                values.append(str(value))
        query = (
            "SELECT parameters, status, summary, payload, impl_schemas, valid FROM lute_runs"
            f" WHERE {' AND '.join(clauses)} ORDER BY started DESC, id DESC LIMIT 1"
        )
        found = self.connection.execute(query, values).fetchone()
        if found is None:
            return None
        names = ("result.task_status", "result.summary", "result.payload", "result.impl_schemas", "valid_flag")
        results = dict(zip(names, found[1:], strict=True))
        if param in ("result", "payload", "result.payload"):
            return _path_of_kept(json.loads(results["result.payload"] or "null"))
        if param in results:
            return results[param]
        return _walk(json.loads(found[0] or "{}"), param)

    # ---------------------------------------------------------------------------------- connection

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection, with the schema brought up to date.

        Raises:
            RecordError: The file is no record, or a newer `lute` wrote it.
        """
        if self._connection is None:
            if not self.path.exists():
                raise RecordError(f"there is no record at {self.path}. Run a Task first, or give -c FILE or --db PATH")
            self._connection = self._open()
        return self._connection

    def _open(self) -> sqlite3.Connection:
        writable = self._is_writable()
        place = str(self.path) if writable else f"file:{quote(str(self.path))}?mode=ro{self._immutable()}"
        database = sqlite3.connect(place, timeout=self.busy_timeout, isolation_level=None, uri=not writable)
        try:
            if writable:
                database.execute("PRAGMA synchronous = NORMAL")
                self._migrate(database)
            elif not database.execute("PRAGMA user_version").fetchone()[0]:
                raise RecordError(f"{self.path} is no record of lute, and it cannot be written")
        except sqlite3.DatabaseError as error:
            database.close()
            if isinstance(error, sqlite3.OperationalError):
                raise
            raise RecordError(f"{self.path} is no record of lute: {error}") from error
        except RecordError:
            database.close()
            raise
        return database

    def _is_writable(self) -> bool:
        return os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK)

    def _immutable(self) -> str:
        """A reader that may not make the files of the write-ahead log reads the database as it stands."""
        return "" if self.path.with_name(self.path.name + "-shm").exists() else "&immutable=1"

    def _migrate(self, database: sqlite3.Connection) -> None:
        version = database.execute("PRAGMA user_version").fetchone()[0]
        newest = len(_schema.MIGRATIONS)
        if version > newest:
            raise RecordError(
                f"{self.path} was written by a newer lute (schema {version}, known {newest}): update lute"
            )
        if version == newest:
            return
        if version == 0:
            database.execute(f"PRAGMA journal_mode = {'DELETE' if on_network(self.path) else 'WAL'}")
        database.execute("BEGIN IMMEDIATE")
        try:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            for statements in _schema.MIGRATIONS[version:]:
                for statement in statements:
                    database.execute(statement)
            database.execute(f"PRAGMA user_version = {newest}")
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise

    @contextmanager
    def _transaction(self, wait: float | None = None) -> Iterator[sqlite3.Connection]:
        if self._connection is None:
            create_file(self.path)
            self._connection = self._open()
        database = self._connection
        if wait is not None:
            database.execute(f"PRAGMA busy_timeout = {int(wait * 1000)}")
        database.execute("BEGIN IMMEDIATE")
        try:
            yield database
        except BaseException:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        database.execute("COMMIT")

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _to_sql(name: str, value: Any) -> Any:
    if _schema.COLUMNS[name] == _schema.JSON:
        return None if value is None else json.dumps(value)
    if isinstance(value, str):  # a lone surrogate stands for a byte that is no UTF-8
        return value.encode("utf-8", "backslashreplace").decode()
    return (
        int(value)
        if isinstance(value, bool)
        else value
        if isinstance(value, (int, float)) or value is None
        else str(value)
    )


def _from_sql(row: tuple[Any, ...]) -> dict[str, Any]:
    found = dict(zip(_schema.COLUMNS, row, strict=True))
    for name, kind in _schema.COLUMNS.items():
        if kind == _schema.JSON and found[name] is not None:
            found[name] = json.loads(found[name])
    found["valid"] = bool(found["valid"])
    return found


def _path_of_kept(value: Any) -> Any:
    kept = isinstance(value, dict) and {"type", "path", "size"} <= value.keys()
    return value["path"] if kept else value


def _walk(value: Any, name: str) -> Any:
    if isinstance(value, dict) and name in value:
        return value[name]
    for part in name.replace("[", ".").replace("]", "").split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdigit() and int(part) < len(value):
            value = value[int(part)]
        else:
            return None
    return value
