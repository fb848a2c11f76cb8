"""The record: what ran, kept in SQLite or PostgreSQL.

Every change of a run writes its whole row, so that a row is true at any moment and a write can be repeated. A
write that the database does not take goes to a file of its own under `lute.db.d/`, and whoever reads next
takes it in.
"""

from __future__ import annotations

import functools
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.process_identity import is_gone
from lute.batch.scheduler import scheduler
from lute.errors import RecordError, SchedulerError, UsageError, did_you_mean
from lute.record import schema
from lute.record.database import Database
from lute.record.row_codec import from_sql, to_sql, upsert_query
from lute.record.rows import Earlier, column, plain_value_of, value_of
from lute.record.sqlite import Sqlite
from lute.record.views import Views
from lute.wire.status import LIVE

if TYPE_CHECKING:
    from typing import Unpack

    from lute.record.queries import Clause, Condition, Wanted
    from lute.record.spool import Spool
    from lute.record.types import Owner, RunRow

__all__ = ["Record"]

logger = logging.getLogger(__name__)

BUSY_TIMEOUT = 30.0
"""Longest time a write waits for other writers, in s."""
BETWEEN_QUESTIONS = 1.0
"""Least time between two questions to a batch system, in s."""
_LIVE = ", ".join(schema.literal(status) for status in LIVE)  # not bound: the index on `status` is for these


class Record:
    """One record. Constructing opens nothing. Several threads may use it.

    Args:
        place: The SQLite file, or the URL of a PostgreSQL database.
        busy_timeout: Longest time a write waits for other writers, in s.
        aside: For a URL, the folder of rows that the database did not take; `lute.db.d` if not given.

    Raises:
        UsageError: It is a URL that cannot be used.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        busy_timeout: float = BUSY_TIMEOUT,
        *,
        aside: str | os.PathLike[str] | None = None,
    ) -> None:
        self.busy_timeout = busy_timeout
        self._database = _database_at(str(place), busy_timeout, Path(aside or "lute.db.d").absolute())
        self._there: list[str] = []
        self._lock = threading.RLock()
        self._asked_at = -BETWEEN_QUESTIONS
        self._views = Views(self._database)

    def __str__(self) -> str:
        return self._database.name

    def exists(self) -> bool:
        """Returns whether there is a record to read; a database that cannot be reached may be one."""
        return self._database.exists()

    # ------------------------------------------------------------------------------------- writing

    def save(self, row: RunRow, wait: float | None = None, *, again: bool = False) -> bool:
        """Writes a run's whole row.

        Args:
            row: The run, by the names in `_schema.COLUMNS`.
            wait: Longest time to wait for other writers, in s; the record's own if not given.
            again: Whether its owner has written it before.

        Returns:
            False if the database did not take it and it went to a file beside it.

        Raises:
            RecordError: Not even the file beside it could be written.
        """
        try:
            with self.transaction(wait):
                self._upsert(row, fixed=schema.FIXED if again else ())
                self._views.extend(str(row["task"]), row.get("parameters") or {})
                self._replace_outputs(row)
            if self.aside.is_dir():  # an older state of this run, from when nothing could be written
                self._spool.file(row["id"]).unlink(missing_ok=True)
            return True
        except (OSError, RecordError) as error:
            logger.warning("run %s was not recorded: %s", row["id"], error)
            self.close()
        try:
            self._spool.put(row)
        except OSError as error:
            raise RecordError(
                f"run {row['id']} could not be recorded, neither in {self} nor in {self.aside}: {error}"
            ) from error
        return False

    def _upsert(self, row: RunRow, only_newer: bool = False, fixed: tuple[str, ...] = ()) -> None:
        names = tuple(name for name in schema.COLUMNS if name in row)
        self._database.execute(
            upsert_query(names, only_newer, fixed), [to_sql(name, column(row, name)) for name in names]
        )

    def _replace_outputs(self, row: RunRow) -> None:
        """Notes what a run that has ended wrote, and on the outputs of earlier runs that it wrote anew, that it did."""
        if not row.get("ended") or not row.get("outputs"):
            return
        from lute.record.written import replace_outputs  # many runs write nothing that is declared

        replace_outputs(self._database, row)

    def add(self, row: RunRow) -> None:
        """Writes the row of a run that waits for its job; nothing if the job was faster, and wrote it.

        Raises:
            RecordError: The database did not take it.
        """
        with self.transaction():
            if not self._database.execute("SELECT 1 FROM lute_runs WHERE id = ?", (row["id"],)):
                self._upsert(row)

    def set_valid(self, identity: str, valid: bool, reason: str | None = None) -> None:
        """Says whether the result of a run may be used by others, and why not."""
        with self.transaction():
            self._database.execute(
                "UPDATE lute_runs SET valid = ?, invalid_reason = ? WHERE id = ?", (int(valid), reason, identity)
            )

    @functools.cached_property
    def _spool(self) -> Spool:
        from lute.record.spool import Spool  # most rows are taken

        return Spool(self._database.aside, self._database.mark)

    @property
    def aside(self) -> Path:
        """The folder of rows that the database did not take."""
        return self._database.aside

    def recover(self) -> list[str]:
        """Takes in the rows that were put aside. Returns the runs' ids; environment and files are untouched."""
        taken = []
        for file, row in self._spool.rows() if self.aside.is_dir() else ():
            with self.transaction():
                self._upsert(row, only_newer=True)
                self._views.extend(str(row["task"]), row.get("parameters") or {})
                self._replace_outputs(row)
            file.unlink(missing_ok=True)
            taken.append(str(row["id"]))
        return taken

    # ------------------------------------------------------------------------------------- reading

    def refresh(self) -> None:
        """Makes the record true before it is read: takes in what was put aside, marks lost runs.

        Raises:
            RecordError: The database cannot be reached.
        """
        if self.exists():
            self._open()
            if self._database.read_only():
                return  # who may only read, reads what is there
        for step in (self.recover, self.mark_lost):
            try:
                step()
            except (OSError, RecordError) as error:
                logger.warning("the record %s can be read, but not brought up to date: %s", self, error)

    def mark_lost(self) -> list[str]:
        """Marks the runs of this host FAILED whose `lute` process is gone. Returns their ids.

        When they ended is not known, so `ended` stays empty; the reason says when it was noticed.
        """
        lost: dict[str, tuple[str, str]] = {}
        in_jobs: dict[str, Owner] = {}
        noticed = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())
        reason = (
            "the lute process that owned this run is gone (killed, or its machine was restarted);"
            f" that was noticed at {noticed}"
        )
        query = f"SELECT id, host, owner FROM lute_runs WHERE status IN ({_LIVE}) AND ended IS NULL"
        for identity, host, text in self.read(query):
            owner = json.loads(text or "{}")
            if host == socket.gethostname() and is_gone(owner):
                lost[identity] = ("FAILED", reason)
            if owner.get("job"):
                in_jobs[identity] = owner
        for identity, end in self._ends_of_jobs(in_jobs, lost).items():
            lost.pop(identity, None)
            lost |= {identity: end} if end else {}
        for identity, (status, told) in lost.items():
            self.end_lost(identity, status, told)
        return list(lost)

    def _ends_of_jobs(self, in_jobs: Mapping[str, Owner], gone: Iterable[str]) -> dict[str, tuple[str, str] | None]:
        """Returns what has become of runs in batch jobs whose owner does not say: status and reason, None to wait.

        Args:
            in_jobs: The owners of runs in jobs.
            gone: Runs whose owner is known to be gone; what the batch system says of their job is the better reason.
        """
        if not in_jobs:
            return {}
        if time.monotonic() - self._asked_at < BETWEEN_QUESTIONS:
            return dict.fromkeys(in_jobs)
        self._asked_at = time.monotonic()
        try:
            jobs = {run: (owner["job"], owner.get("cluster", "")) for run, owner in in_jobs.items()}
            return scheduler().ends(jobs, gone)
        except SchedulerError as error:
            logger.info("what became of the runs in batch jobs is not known: %s", error)
            return {}

    def end_lost(self, identity: str, status: str, reason: str) -> None:
        """Ends a run in the record whose owner cannot, unless it has ended."""
        with self.transaction():
            self._database.execute(
                f"UPDATE lute_runs SET status = ?, valid = 0, reason = ? WHERE id = ?"
                f" AND status IN ({_LIVE}) AND ended IS NULL",
                (status, reason, identity),
            )

    def find(
        self,
        *,
        columns: Sequence[str] = (),
        sort: str = "started",
        descending: bool = True,
        limit: int | None = None,
        offset: int = 0,
        before: tuple[str, str] | None = None,
        **wanted: Unpack[Wanted],
    ) -> list[RunRow]:
        """Returns runs as dicts by the names in `_schema.COLUMNS`, newest first.

        Args:
            columns: What is read of each run; all if not given.
            sort: The column to sort by.
            descending: Whether the largest comes first.
            limit: At most so many.
            offset: So many are left out first. With a large record `before` is faster.
            before: `started` and `id` of the last run of the page before this one.
            **wanted: Which runs; see `lute.record.queries.Wanted`.

        Raises:
            UsageError: There is no such column or parameter, or a comparison or time is none.
        """
        from lute.record import queries  # not needed to run a Task

        page = queries.Page(columns, sort, descending, limit, offset, before)
        queries.check(page)
        found = queries.branches(wanted, before, self._database, self._locate)
        names, (query, values) = queries.select(page, self._open(), found)
        return [self._of_today(from_sql(names, row, columns or schema.COLUMNS)) for row in self.read(query, values)]

    def count(self, at_most: int | None = None, **wanted: Unpack[Wanted]) -> int:
        """Returns how many runs there are; stops counting at `at_most`. `wanted` is as for `find`."""
        from lute.record import queries

        query, values = queries.count(queries.branches(wanted, None, self._database, self._locate), at_most)
        return int(self.read(query, values)[0][0])

    def _locate(self, condition: Condition) -> Clause:
        """Returns the clause of a comparison: the paths that its name stands for are those of the Tasks' views."""
        task, _, rest = condition.name.partition(".")
        query = "SELECT DISTINCT path FROM lute_view_columns WHERE name = ?"
        paths = self.read(f"{query} AND task = ?", (rest, task)) if rest else []
        clause, values = ("task = ? AND ", [task]) if paths else ("", [])
        paths = paths or self.read(query, (condition.name,))
        if not paths:
            known = [str(row[0]) for row in self.read("SELECT DISTINCT name FROM lute_view_columns")]
            close = did_you_mean(rest if rest in known else condition.name, known)
            raise UsageError(f"no run in {self} has a parameter {condition.name!r}.{close}")
        parts = []
        for (path,) in paths:
            operator = "=" if condition.operator == "!=" else condition.operator
            part, bound = self._database.condition(path, operator, condition.value)
            parts.append(f"NOT {part}" if condition.operator == "!=" else part)
            values += bound
        return f"({clause}({' OR '.join(parts)}))", values

    def get(self, identity: str) -> RunRow:
        """Returns one run by its id, the unique start of one, or `last`.

        Raises:
            RecordError: There is no such run, or more than one.
            UsageError: The id is empty.
        """
        if not identity:
            raise UsageError("which run? Its id is empty. Give an id, the start of one, or `last`")
        if identity == "last":
            found = self.find(limit=1)
        else:
            there, names = self._open(), list(schema.COLUMNS)
            columns = ", ".join(name if name in there else f"NULL AS {name}" for name in names)
            query = f"SELECT {columns} FROM lute_runs WHERE id >= ? AND id < ? LIMIT 2"
            rows = self.read(query, (identity, identity + "\U0010ffff"))
            found = [self._of_today(from_sql(names, row, names)) for row in rows]
        if len(found) == 1 or (found and found[0]["id"] == identity):
            return found[0]
        if found:
            raise RecordError(f"{identity!r} is the start of several runs' ids: give more of it")
        raise RecordError(f"there is no run {identity!r} in {self}. See: lute history --db {self}")

    def _of_today(self, row: RunRow) -> RunRow:
        """Returns a run with the paths of today: the record was moved with what lies beside it, or a page was."""
        home = self._database.home
        log = row.get("log")
        if home is not None and log and not log.startswith(home):
            from lute.record.moved import resolved  # few records are moved

            row = resolved(row, home.rstrip("/"))
        if any("/lute.runs/" not in path for path in row.get("plots") or ()):
            from lute.record.moved import page_kept  # pages were in the summary folder alone

            row["plots"] = [page_kept(path, row.get("id") or "") for path in row["plots"]]
        return row

    def latest_value(
        self, task: str, param: str, *, valid_only: bool = True, run: str | None = None, experiment: str | None = None
    ) -> Any:
        """Returns a parameter's or result's value in the latest run of a Task; None if there is none."""
        return self.latest(task, param, valid_only=valid_only, run=run, experiment=experiment)[1]

    def latest(
        self, task: str, param: str, *, valid_only: bool = True, run: str | None = None, experiment: str | None = None
    ) -> tuple[str | None, Any]:
        """Returns the id of the latest run of a Task, and a parameter's or result's value in it; or None twice."""
        columns = ("id", "parameters", "status", "summary", "payload", "impl_schemas", "valid", "outputs")
        valid = True if valid_only else None
        for row in self.find(task=task, valid=valid, run=run, experiment=experiment, limit=1, columns=columns):
            return row["id"], plain_value_of(row, param)
        return None, None

    def earlier(self, param: str, *, identity: str = "", **wanted: Unpack[Wanted]) -> Earlier | None:
        """Returns a parameter's or result's value, equal to what ran, in one run or the latest of some.

        Args:
            param: The parameter or result.
            identity: The run's id.
            **wanted: Or which runs; see `lute.record.queries.Wanted`.

        Raises:
            NotKeptError: It could not be kept.
        """
        for row in [self.get(identity)] if identity else self.find(limit=1, **wanted):
            return Earlier(value_of(row, param), row["id"], plain_value_of(row, param))
        return None

    # -------------------------------------------------------------------------------- the database

    def read(self, query: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Returns the rows of a query, in which `?` stands for a bound value."""
        with self._lock:
            self._open()
            return self._database.execute(query, values)

    def knows(self, column: str) -> bool:
        """Returns whether runs have a column: an older record that may only be read stays as it is."""
        return column in self._open()

    def schema(self) -> int:
        """Returns the version of the schema as it is: opening here does not bring it up to date."""
        with self._lock:
            fresh = self._database.open()
            try:
                return self._database.version()
            finally:
                if fresh:
                    self.close()

    def _open(self, create: bool = False, wait: float | None = None) -> list[str]:
        """Opens the database with the schema brought up to date. Returns the columns that a run has there.

        Raises:
            RecordError: It is no record, or a newer `lute` wrote it.
        """
        with self._lock:
            try:
                if self._database.open(create, wait):
                    self._views.forget()  # it may be another file than before
                    version = self._database.version()
                    if version != len(schema.MIGRATIONS):
                        from lute.record.migrate import upgraded  # rarely needed: no start should load it

                        version = upgraded(self._database, wait)
                    self._there = schema.columns_of(version)
            except BaseException:
                self.close()  # or the next use would find it open, with nothing known of it
                raise
            return self._there

    @contextmanager
    def transaction(self, wait: float | None = None) -> Iterator[Database]:
        """All that is written in it, or nothing; waits at most `wait` s for other writers, or the record's own time."""
        with self._lock:
            self._open(create=True, wait=wait)
            try:
                with self._database.transaction(wait):
                    yield self._database
            except BaseException:
                self._views.forget()
                raise

    def close(self) -> None:
        """Closes the connection; the next use opens it again."""
        with self._lock:
            self._database.close()
            self._views.forget()

    def __enter__(self) -> Record:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _database_at(place: str, busy_timeout: float, aside: Path) -> Database:
    if "://" not in place:
        return Sqlite(Path(place).absolute(), busy_timeout)
    from lute.record.postgres import Postgres  # costs 0.15 s, and needs an extra

    return Postgres(place, busy_timeout, aside)
