"""The views of the record: each Task has a table-shaped one that grows with its parameters."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from lute.errors import RecordError
from lute.record import schema
from lute.record.database import Database

if TYPE_CHECKING:
    from lute.record.types import JsonObject

logger = logging.getLogger(__name__)

Kinds = dict[str, str | None]
"""The kind of each column of a view, by its path."""


class _Column(NamedTuple):
    """A parameter's column of a view."""

    path: str
    name: str
    kind: str | None


class Views:
    """The views of one database, as far as this process has seen them.

    Args:
        database: The database.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: dict[str, Kinds] = {}
        self._last: dict[str, JsonObject] = {}

    def forget(self) -> None:
        """Forgets what was seen: a transaction that failed has taken it back."""
        self._seen.clear()
        self._last.clear()

    def extend(self, task: str, parameters: JsonObject) -> None:
        """Adds to a Task's view what it has not, within a transaction.

        A view that cannot be made (someone else's hangs on it, say) costs no row.
        """
        if self._last.get(task) == parameters:  # mostly the next write of the same run
            return
        self._last[task] = parameters
        names = schema.flat_names(parameters)
        if task in self._seen and not _missing(self._seen[task], names):
            return
        try:
            with self._database.part():
                self._seen[task] = self._extended(task, names)
        except RecordError as error:
            logger.warning("the view of Task %s was left as it is: %s", task, error)

    def _extended(self, task: str, names: dict[str, tuple[str, str | None]]) -> Kinds:
        database = self._database
        known = self._columns(task)
        if not known or _missing(_kinds(known), names):
            database.lock()
            known = self._columns(task)
            for path, (name, kind) in _missing(_kinds(known), names).items():
                database.execute(
                    "INSERT INTO lute_view_columns (task, name, path, position, kind) VALUES (?, ?, ?, ?, ?)"
                    " ON CONFLICT (task, path) DO UPDATE SET kind = excluded.kind",
                    (task, name, path, len(known), kind),
                )
                known[path] = known[path]._replace(kind=kind) if path in known else _Column(path, name, kind)
            self._make(task, list(known.values())[: schema.MOST_COLUMNS])
        return _kinds(known)

    def _columns(self, task: str) -> dict[str, _Column]:
        query = "SELECT path, name, kind FROM lute_view_columns WHERE task = ? ORDER BY position, path"
        return {row[0]: _Column(*row) for row in self._database.execute(query, (task,))}

    def _make(self, task: str, columns: list[_Column]) -> None:
        database = self._database
        wanted = [*(column.name for column in columns), *schema.RESULT_COLUMNS]
        names = schema.column_names(wanted, database.longest_name)
        parameters = [(name, column.path, column.kind) for name, column in zip(names, columns, strict=False)]
        results = dict(zip(names[len(columns) :], schema.RESULT_COLUMNS.values(), strict=True))
        view = schema.identifier(self._name(task))
        database.execute(f"DROP VIEW IF EXISTS {view}")
        database.execute(f"CREATE VIEW {view} AS {database.view(task, parameters, results)}")

    def _name(self, task: str) -> str:
        names = dict(self._database.execute("SELECT task, name FROM lute_views"))
        if task not in names:
            taken = {str(name).lower() for name in names.values()}
            names[task] = schema.view_name(task, taken, self._database.longest_name)
            self._database.execute("INSERT INTO lute_views VALUES (?, ?)", (task, names[task]))
        return str(names[task])


def _kinds(columns: Mapping[str, _Column]) -> Kinds:
    return {path: column.kind for path, column in columns.items()}


def _missing(known: Kinds, names: Mapping[str, tuple[str, str | None]]) -> dict[str, tuple[str, str | None]]:
    """Returns the paths that a view has not, or not of a kind that holds the value, with their names and kinds."""
    found = {}
    for name, (path, kind) in names.items():
        if path not in known:
            found[path] = name, kind
        elif kind is not None and known[path] not in (kind, schema.OTHER):
            found[path] = name, kind if known[path] is None else schema.OTHER
    return found
