"""What is SQLite's own in the record."""

from __future__ import annotations

import contextlib
import logging
import os
import sqlite3
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lute.base.files import create_file, make_folder, on_network, whose
from lute.errors import RecordError
from lute.record.database import JSON_KINDS, Values
from lute.record.schema import identifier, literal

logger = logging.getLogger(__name__)

LOOK = 0.01
"""Time between two tries where SQLite does not wait by itself, in s."""
_PAYLOAD = """coalesce(json_extract(payload, '$."~float"'), json_extract(payload, '$'))"""
"""A payload as one value: `nan` for `{"~float": "nan"}`, as `row_codec` writes it."""
_JSON_TYPES = {"boolean": "'true', 'false'", "number": "'integer', 'real'", "string": "'text'", "null": "'null'"}


class Sqlite:
    """One file. Constructing opens nothing.

    Args:
        path: The file.
        busy_timeout: Longest time a write waits for other writers, in s.
    """

    longest_name = sys.maxsize
    like = "LIKE"
    mark: str | None = None

    def __init__(self, path: Path, busy_timeout: float) -> None:
        self.path = path
        self.name = str(path)
        self.home: str | None = f"{path.parent}/"
        self.aside = path.with_name(path.name + ".d")
        self.types = {"TEXT": "TEXT", "INTEGER": "INTEGER", "REAL": "REAL"}
        self._busy_timeout = busy_timeout
        self._patience: float | None = None
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int] | None = None

    def exists(self) -> bool:
        """Returns whether there is a file."""
        return self.path.exists()

    def open(self, create: bool = False, wait: float | None = None) -> bool:
        """Opens the file, anew if another is in its place. Returns False if it was open already.

        Raises:
            RecordError: There is no file, or it is no database.
        """
        if self._connection is not None:
            if self._connection.in_transaction or self._opened == self._file():
                return False
            logger.warning("the record %s was deleted or replaced while it was open: a new one is used", self.path)
            self.close()
        if create:
            try:
                create_file(self.path)
            except FileNotFoundError:
                make_folder(self.path.parent)
                create_file(self.path)
        elif not self.path.exists():
            raise RecordError(f"there is no record at {self.path}. Run a Task first, or give -c FILE or --db PATH")
        read_only = self.read_only()
        place = f"file:{quote(self.name)}?mode=ro{self._immutable()}" if read_only else self.name
        self._opened = self._file()
        with self._telling():
            self._connection = sqlite3.connect(
                place,
                timeout=self._busy_timeout,
                isolation_level=None,
                uri=read_only,
                check_same_thread=False,  # one at a time: `Record` sees to it
            )
            if not read_only:
                self._connection.execute("PRAGMA synchronous = NORMAL")
                if self.version() == 0 and not on_network(self.path):
                    self._keep_a_log_of_writes(self._busy_timeout if wait is None else wait)
        return True

    def _file(self) -> tuple[int, int] | None:
        """Returns what tells the file from another at the same place; None if there is none."""
        try:
            about = os.stat(self.path)
        except OSError:
            return None
        return about.st_dev, about.st_ino

    def _keep_a_log_of_writes(self, wait: float) -> None:
        """Switches to a write-ahead log. SQLite itself waits for nobody here, such as another who does the same."""
        deadline = time.monotonic() + wait
        while True:
            try:
                self.connection.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
                if not busy or time.monotonic() > deadline:
                    raise
                time.sleep(LOOK)

    def close(self) -> None:
        """Closes the file; the next use opens it again."""
        if self._connection is not None:
            self._connection.close()
            self._connection = self._patience = None

    def read_only(self) -> bool:
        """Returns whether file or folder cannot be written by this user."""
        return not (os.access(self.path, os.W_OK) and os.access(self.path.parent, os.W_OK))

    def _immutable(self) -> str:
        """A reader that may not make the files of the write-ahead log reads the database as it stands."""
        return "" if self.path.with_name(self.path.name + "-shm").exists() else "&immutable=1"

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            if type(error) is sqlite3.DatabaseError:
                self.close()
                raise RecordError(f"{self.path} is no record of lute, or damaged: {error}") from error
            if error.sqlite_errorname == "SQLITE_CANTOPEN" and not os.access(self.path, os.R_OK):
                told = f"the record {self.path} may not be read by you: {whose(self.path)}"
                raise RecordError(f"{told}. Have it opened to your group, or keep your own with --db PATH") from error
            raise RecordError(f"the record {self.path}: {error}") from error

    @property
    def connection(self) -> sqlite3.Connection:
        """The open connection."""
        if self._connection is None:
            self.open()
        assert self._connection is not None
        return self._connection

    def execute(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Runs one statement. Returns its rows."""
        with self._telling():
            return self.connection.execute(query, values).fetchall()

    @contextlib.contextmanager
    def transaction(self, wait: float | None = None, patient: bool = False) -> Iterator[None]:
        """All or nothing; waits at most `wait` s for other writers, or the file's own time."""
        patience = self._busy_timeout if wait is None else wait
        if patience != self._patience:
            self.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
            self._patience = patience
        self.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            if self._connection is not None and self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise
        self.execute("COMMIT")

    @contextlib.contextmanager
    def part(self) -> Iterator[None]:
        """A part of a transaction that can be undone on its own."""
        self.execute("SAVEPOINT part")
        try:
            yield
        except BaseException:
            self.execute("ROLLBACK TO part")
            self.execute("RELEASE part")
            raise
        self.execute("RELEASE part")

    def lock(self) -> None:
        """Does nothing: a transaction has the file for itself."""

    def version(self) -> int:
        """Returns how many steps of the schema were done."""
        return int(self.execute("PRAGMA user_version")[0][0])

    def set_version(self, version: int) -> None:
        """Keeps how many steps of the schema were done."""
        self.execute(f"PRAGMA user_version = {version}")

    def view(self, task: str, columns: Sequence[tuple[str, str, str | None]], results: dict[str, str]) -> str:
        """Returns the query behind a Task's view."""
        parts = [f"json_extract(parameters, {literal(path)}) AS {identifier(name)}" for name, path, _ in columns]
        for name, column in results.items():
            value = _PAYLOAD if column == "payload" else column
            parts.append(f"{value} AS {identifier(name)}")
        return f"SELECT {', '.join(parts)} FROM lute_runs WHERE task = {literal(task)}"

    def condition(self, path: str, operator: str, value: Any) -> tuple[str, list[Any]]:
        """Returns the SQL and its values that compare the parameter at a path with a value."""
        is_of_type = f"json_type(parameters, ?) IN ({_JSON_TYPES[JSON_KINDS[type(value)]]})"
        if value is None:
            return is_of_type, [path]
        return f"({is_of_type} AND json_extract(parameters, ?) {operator} ?)", [path, path, value]
