"""What is PostgreSQL's own in the record. Loaded only where a URL asks for it: needs the extra `postgres`."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lute.base import secrets
from lute.errors import RecordError, UsageError
from lute.record.database import JSON_KINDS, Values
from lute.record.schema import NUMBER, identifier, literal

try:
    import psycopg
except ImportError as error:
    raise UsageError(f"a record in PostgreSQL needs psycopg ({error}): pip install 'lute-executor[postgres]'") from None

SCHEMES = ("postgresql://", "postgres://")
ANSWER_LIMIT = 10.0
"""Longest time for the server's answer to a write, beyond that for others' locks, in s: it may be there, but stuck."""
READ_LIMIT = 300.0
"""Longest time for a query that only reads, in s."""
CONNECT_TIMEOUT = 5
"""Longest time to connect to one address, in s, unless the URL has its own `connect_timeout`."""
LOCK_KEY = 0x6C757465
"""Names our advisory lock; the letters of "lute"."""
_NETWORK = {
    "keepalives_idle": 10,  # s; a server that vanished is noticed within half a minute
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,  # ms
}
_BOUND_AS = {"number": "numeric", "string": "text", "boolean": "boolean"}


class Postgres:
    """One database of a PostgreSQL server. Constructing opens nothing.

    Args:
        url: Where it is; a password in it is never shown. libpq's variables and password file count, too.
        busy_timeout: Longest time a write waits for other writers, in s.
        aside: The folder of rows that it did not take.

    Raises:
        UsageError: It is no such URL.
    """

    longest_name = 63
    like = "ILIKE"

    def __init__(self, url: str, busy_timeout: float, aside: Path) -> None:
        self.name = secrets.without_password(url)
        self._secrets = secrets.passwords_in(url)
        self._options = _options(url, self.name)
        self.home: str | None = None
        self.aside = aside
        self.mark: str | None = f"postgresql/{self._options.get('dbname', '')}"
        self.types = {"TEXT": 'text COLLATE "C"', "INTEGER": "bigint", "REAL": "double precision"}
        self._busy_timeout = busy_timeout
        self._connection: psycopg.Connection[Any] | None = None
        self._inside = False  # a transaction
        self._cut_after: float | None = None

    def exists(self) -> bool:
        """Returns True: whether it can be reached is seen when it is opened."""
        return True

    def open(self, create: bool = False, wait: float | None = None) -> bool:
        """Connects. Returns False if that was done already.

        Raises:
            RecordError: The server cannot be reached, or does not let this user in.
        """
        if self._connection is not None:
            return False
        self._connect(wait)
        return True

    def _connect(self, wait: float | None) -> psycopg.Connection[Any]:
        self.close()
        patience = {"connect_timeout": CONNECT_TIMEOUT if wait is None else max(2, min(CONNECT_TIMEOUT, int(wait)))}
        with self._telling():
            options = {"application_name": "lute", **_NETWORK, **patience, **self._options}
            # not prepared: a pooler may give the next statement to another session
            self._connection = psycopg.connect(autocommit=True, prepare_threshold=None, **options)
        return self._connection

    def close(self) -> None:
        """Disconnects; the next use connects again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def read_only(self) -> bool:
        """Returns whether this user may not write, or the server is a copy that nobody may write."""
        query = (
            "SELECT NOT pg_is_in_recovery() AND NOT current_setting('transaction_read_only')::boolean AND"
            " coalesce(has_table_privilege(to_regclass('lute_runs')::oid, 'UPDATE'),"
            " has_schema_privilege(current_schema(), 'CREATE'))"
        )
        return self.execute(query) != [(True,)]

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            text = " ".join(secrets.hide(str(error), self._secrets).split())
            if self._cut_after is not None:
                text = f"the server did not answer within {self._cut_after:g} s"
            raise RecordError(f"the record {self.name}: {text}") from None  # whose text may hold the password

    def execute(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Runs one statement. Returns its rows. A connection that was lost since the last one is made anew."""
        connection = self._connection or self._connect(None)
        with self._telling(), contextlib.nullcontext() if self._inside else self._limit(READ_LIMIT):
            try:
                return _rows(connection, query, values)
            except psycopg.OperationalError:
                if self._inside or self._cut_after is not None or not connection.closed:
                    raise
            return _rows(self._connect(None), query, values)

    @contextlib.contextmanager
    def _limit(self, seconds: float) -> Iterator[None]:
        """Cuts the connection if what is done here takes longer: no setting of the server's or libpq's does that."""
        self._cut_after = None
        timer = threading.Timer(seconds, self._cut, (seconds,))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()  # where threads are left, a launcher cannot be forked

    def _cut(self, seconds: float) -> None:
        self._cut_after = seconds
        with contextlib.suppress(OSError, psycopg.Error, AttributeError):  # it may be closing just now
            with socket.socket(fileno=os.dup(self._connection.fileno())) as end:  # type: ignore[union-attr]
                end.shutdown(socket.SHUT_RDWR)

    @contextlib.contextmanager
    def transaction(self, wait: float | None = None, patient: bool = False) -> Iterator[None]:
        """All or nothing; waits at most `wait` s for other writers, or the record's own time."""
        seconds = self._busy_timeout if wait is None else wait
        with contextlib.nullcontext() if patient else self._limit(seconds + ANSWER_LIMIT):
            self.execute("BEGIN ISOLATION LEVEL READ COMMITTED")
            self._inside = True
            try:
                self.execute(f"SET LOCAL lock_timeout = {int(seconds * 1000)}")
                yield
                self.execute("COMMIT")
            except BaseException:
                self._roll_back("ROLLBACK")
                raise
            finally:
                self._inside = False

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """A part of a transaction that can be undone on its own."""
        self.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self._roll_back("ROLLBACK TO part")
            raise
        self.execute("RELEASE part")

    def _roll_back(self, query: str) -> None:
        if self._connection is not None and not self._connection.closed:
            self.execute(query)

    def lock(self) -> None:
        """Keeps other processes from changing tables and views until the transaction ends."""
        self.execute("SELECT pg_advisory_xact_lock(?)", (LOCK_KEY,))

    def version(self) -> int:
        """Returns how many steps of the schema were done."""
        if self.execute("SELECT to_regclass('lute_schema')") == [(None,)]:
            return 0
        return int(self.execute("SELECT max(version) FROM lute_schema")[0][0])

    def set_version(self, version: int) -> None:
        """Keeps how many steps of the schema were done."""
        self.execute("CREATE TABLE IF NOT EXISTS lute_schema (version bigint)")
        self.execute("INSERT INTO lute_schema VALUES (?)", (version,))

    def view(self, task: str, columns: Sequence[tuple[str, str, str | None]], results: dict[str, str]) -> str:
        """Returns the query behind a Task's view. It reads the JSON of each row once."""
        parts = [f"{_column(path, kind)} AS {identifier(name)}" for name, path, kind in columns]
        for name, column in results.items():
            value = "coalesce(of_payload ->> '~float', of_payload #>> '{}')" if column == "payload" else column
            parts.append(f"{value} AS {identifier(name)}")
        both = f"SELECT {_json('parameters')} AS of_parameters, {_json('payload')} AS of_payload OFFSET 0"
        return (
            f"SELECT {', '.join(parts)} FROM lute_runs CROSS JOIN LATERAL ({both}) AS found"
            f" WHERE task = {literal(task)}"
        )

    def condition(self, path: str, operator: str, value: Any) -> tuple[str, list[Any]]:
        """Returns the SQL and its values that compare the parameter at a path with a value."""
        at, kind = f"({_json('parameters')}) #> ?", JSON_KINDS[type(value)]
        is_of_type, steps = f"jsonb_typeof({at}) = '{kind}'", _steps(path)
        if value is None:
            return is_of_type, [steps]
        return f"({is_of_type} AND {at} {operator} to_jsonb(?::{_BOUND_AS[kind]}))", [steps, steps, value]


def _options(url: str, name: str) -> dict[str, Any]:
    """Returns what libpq needs to connect. Its own errors are not passed on: they may quote the password."""
    authority = re.split("[/?#]", url.partition("://")[2], maxsplit=1)[0]
    try:
        options = psycopg.conninfo.conninfo_to_dict(url)
    except psycopg.Error:
        options = {}
    if not url.startswith(SCHEMES) or authority.count("@") > 1 or not (options or url in SCHEMES):
        raise UsageError(
            f"{name} is no URL of PostgreSQL: write postgresql://user@host:port/database, with special characters of"
            " a password as %40 (@), %2F (/), %25 (%), or leave the password to $PGPASSWORD or ~/.pgpass"
        )
    return dict(options)


def _rows(connection: psycopg.Connection[Any], query: str, values: Values) -> list[tuple[Any, ...]]:
    text: Any = query.replace("%", "%%").replace("?", "%s") if values else query
    cursor = connection.execute(text, values or None)
    return cursor.fetchall() if cursor.description else []


def _json(column: str) -> str:
    """Returns a column's text as jsonb, which has neither NUL nor lone surrogates: few texts have such."""
    clean = rf"regexp_replace({column}, '\\u(0000|d[89a-f][0-9a-f]{{2}})', '\\ufffd', 'gi')::jsonb"
    return rf"CASE strpos({column}, '\u') WHEN 0 THEN {column}::jsonb ELSE {clean} END"


def _steps(path: str) -> list[str]:
    """Returns a path in PostgreSQL's spelling.

    >>> _steps('$."a"."b c"[0]')
    ['a', 'b c', '0']
    """
    return [key or number for key, number in re.findall(r'\."([^"]*)"|\[(\d+)\]', path)]


def _column(path: str, kind: str | None) -> str:
    value = f"of_parameters #>> ARRAY[{', '.join(literal(step) for step in _steps(path))}]"
    if kind != NUMBER:
        return value
    return f"CASE {value} WHEN 'true' THEN 1 WHEN 'false' THEN 0 ELSE ({value})::double precision END"
