"""What the record needs of a database. The two there are: `sqlite` and `postgres`."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

Values = Sequence[Any]
JSON_KINDS = {bool: "boolean", int: "number", float: "number", str: "string", type(None): "null"}
"""The Python types that a parameter can be compared with, and what JSON calls them."""


class Database(Protocol):
    """One database. In every query `?` stands for a bound value. Whatever goes wrong is a `RecordError`."""

    name: str
    """As people are shown it, with no password."""
    home: str | None
    """The folder that it is in, which ends in `/`; None if it is in none of ours."""
    aside: Path
    """The folder of rows that it did not take."""
    mark: str | None
    """What tells those rows from other databases' in the same folder; None if they are all its own."""
    types: dict[str, str]
    """Its names of the types in `_schema`."""
    longest_name: int
    """Longest name that it keeps whole, in bytes."""
    like: str
    """Its operator that ignores case."""

    def exists(self) -> bool:
        """Returns whether there is something to read."""

    def open(self, create: bool = False, wait: float | None = None) -> bool:
        """Opens it. Returns False if it was open already."""

    def close(self) -> None:
        """Closes it; the next use opens it again."""

    def read_only(self) -> bool:
        """Returns whether it cannot be written by this user."""

    def execute(self, query: str, values: Values = ()) -> list[tuple[Any, ...]]:
        """Runs one statement. Returns its rows."""

    def transaction(self, wait: float | None = None, patient: bool = False) -> AbstractContextManager[None]:
        """All or nothing; waits at most `wait` s for other writers, and if `patient` as long as the work takes."""

    def part(self) -> AbstractContextManager[None]:
        """A part of a transaction that can be undone on its own."""

    def lock(self) -> None:
        """Keeps other processes from changing tables and views until the transaction ends."""

    def version(self) -> int:
        """Returns how many steps of `_schema.MIGRATIONS` were done."""

    def set_version(self, version: int) -> None:
        """Keeps how many steps were done."""

    def view(self, task: str, columns: Sequence[tuple[str, str, str | None]], results: dict[str, str]) -> str:
        """Returns the query behind a Task's view.

        Args:
            task: Name of the Task.
            columns: Name, path and kind of each parameter's column.
            results: Name and column in `lute_runs` of each of the last columns.
        """

    def condition(self, path: str, operator: str, value: Any) -> tuple[str, list[Any]]:
        """Returns the SQL and its values that compare the parameter at a path with a value of `JSON_KINDS`."""
