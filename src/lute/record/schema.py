"""The tables of the record, as numbered steps, the same for SQLite and PostgreSQL.

A step is never changed once it was released. In a step, `{TEXT}`, `{INTEGER}` and `{REAL}` stand for the
database's own names of these types; JSON is kept as text.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lute.wire.status import LIVE

if TYPE_CHECKING:
    from lute.record.types import JsonObject, RunRow, WorkflowRow

TEXT, INTEGER, REAL, JSON = "TEXT", "INTEGER", "REAL", "JSON"

_FIRST: dict[str, str] = {
    "id": TEXT,
    "task": TEXT,
    "managed_task": TEXT,
    "experiment": TEXT,
    "run": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "exit_code": INTEGER,
    "signal": TEXT,
    "summary": TEXT,
    "payload": JSON,
    "impl_schemas": TEXT,
    "valid": INTEGER,
    "parameters": JSON,
    "command": JSON,
    "environment": JSON,
    "started": TEXT,
    "ended": TEXT,
    "wall_s": REAL,
    "user_s": REAL,
    "system_s": REAL,
    "max_rss_kib": INTEGER,
    "host": TEXT,
    "pid": INTEGER,
    "log": TEXT,
    "plots": JSON,
    "metrics": JSON,
    "versions": JSON,
    "workflow": TEXT,
    "step": TEXT,
    "attempt": INTEGER,
    "log_tail": TEXT,
    "owner": JSON,
}
_SECOND: dict[str, str] = {
    "progress": JSON,
    "invalid_reason": TEXT,
    "sources": JSON,
    "inputs": JSON,
    "outputs": JSON,
    "code": JSON,
    "fingerprint": TEXT,
}
_FOURTH: dict[str, str] = {
    "also": JSON,
    "given": JSON,
    "exact": JSON,
}

WORKFLOW_COLUMNS: dict[str, str] = {
    "id": TEXT,
    "name": TEXT,
    "file": TEXT,
    "config": TEXT,
    "experiment": TEXT,
    "run": TEXT,
    "status": TEXT,
    "reason": TEXT,
    "started": TEXT,
    "ended": TEXT,
    "wall_s": REAL,
    "host": TEXT,
    "owner": JSON,
    "folder": TEXT,
    "options": JSON,
    "definition": TEXT,
    "steps": JSON,
}
"""The columns of a workflow run, in order. `steps` is brought up to date at least once a second."""

COLUMNS: dict[str, str] = {**_FIRST, **_SECOND, **_FOURTH}
"""The columns of a run, in order. `owner` says which process keeps the row true while the run lives."""

FIXED = ("task", "managed_task", "experiment", "run", "started", "workflow", "step", "attempt", "fingerprint")
"""What a run's owner knows from its start. Most indexes are of these only: they need not be written again."""

PUBLIC = [name for name in _FIRST if name not in ("log_tail", "owner")]
"""The keys of `lute show --json`."""

BESIDES = ["also", "progress", "invalid_reason", "sources", "inputs", "outputs", "code", "given"]
"""What `lute show` tells besides those, where there is something to tell."""


def is_live(row: RunRow | WorkflowRow) -> bool:
    """Returns whether a run has not ended. An older `lute` also kept one of `LIVE` for runs that had."""
    return row["status"] in LIVE and row["ended"] is None


LONGEST_LIST = 20
"""A longer list is one column of a Task's view instead of a column an item."""
MOST_COLUMNS = 500


def _declared(columns: dict[str, str]) -> list[str]:
    return [f"{name} {{{TEXT if kind == JSON else kind}}}" for name, kind in columns.items()]


_TABLE = ", ".join(_declared(_FIRST)).replace("{TEXT}", "{TEXT} PRIMARY KEY", 1)

MIGRATIONS: list[list[str]] = [
    [
        f"CREATE TABLE lute_runs ({_TABLE})",
        "CREATE INDEX lute_runs_by_start ON lute_runs (started, id)",
        "CREATE INDEX lute_runs_by_task ON lute_runs (task, valid, started)",
        "CREATE INDEX lute_runs_by_status ON lute_runs (status) WHERE status IN ('PENDING', 'RUNNING', 'STOPPED')",
        "CREATE TABLE lute_view_columns"
        " (task {TEXT}, name {TEXT}, path {TEXT}, position {INTEGER}, PRIMARY KEY (task, path))",
    ],
    [
        *(f"ALTER TABLE lute_runs ADD COLUMN {column}" for column in _declared(_SECOND)),
        "DROP INDEX lute_runs_by_task",
        "DROP INDEX lute_runs_by_status",
        # each gives a page of runs, newest first, without sorting; `status` at the end is there to be filtered by
        "CREATE INDEX lute_runs_by_task ON lute_runs (task, started, id, status)",
        "CREATE INDEX lute_runs_by_managed_task ON lute_runs (managed_task, started, id, status)",
        "CREATE INDEX lute_runs_by_status ON lute_runs (status, started, id)",
        "CREATE INDEX lute_runs_by_experiment ON lute_runs (experiment, started, id)",
        "CREATE INDEX lute_runs_by_run ON lute_runs (run, started, id)",
        "CREATE INDEX lute_runs_by_source ON lute_runs (task, experiment, run, started, id)",
        "CREATE INDEX lute_runs_by_workflow ON lute_runs (workflow, started, id) WHERE workflow IS NOT NULL",
        "CREATE INDEX lute_runs_by_fingerprint ON lute_runs (fingerprint, started) WHERE fingerprint IS NOT NULL",
        "ALTER TABLE lute_view_columns ADD COLUMN kind {TEXT}",
        "UPDATE lute_view_columns SET kind = 'other'",
        "CREATE TABLE lute_views (task {TEXT} PRIMARY KEY, name {TEXT})",
        "INSERT INTO lute_views SELECT min(task), CASE WHEN substr(lower(min(task)), 1, 5) = 'lute_'"
        " THEN min(task) || ' (Task)' ELSE min(task) END FROM lute_view_columns GROUP BY lower(task)",
    ],
    [
        f"CREATE TABLE lute_workflows ({', '.join(_declared(WORKFLOW_COLUMNS))})".replace(
            "{TEXT}", "{TEXT} PRIMARY KEY", 1
        ),
        "CREATE INDEX lute_workflows_by_start ON lute_workflows (started, id)",
        "CREATE INDEX lute_workflows_by_status ON lute_workflows (status)",
    ],
    [
        *(f"ALTER TABLE lute_runs ADD COLUMN {column}" for column in _declared(_FOURTH)),
        "CREATE TABLE lute_outputs (path {TEXT}, run {TEXT}, PRIMARY KEY (path, run))",
        "CREATE TABLE lute_accepted (path {TEXT}, before {TEXT}, after {TEXT}, step {TEXT}, who {TEXT}, at {TEXT})",
        "CREATE INDEX lute_accepted_by_path ON lute_accepted (path, after)",
    ],
]
"""The statements of each step; the number of steps done is the schema's version."""


def columns_of(version: int) -> list[str]:
    """Returns the columns that a run has in a database with so many steps done."""
    return [name for columns in (_FIRST, _SECOND, {}, _FOURTH)[:version] for name in columns]


RESULT_COLUMNS = {
    "result.task_status": "status",
    "result.summary": "summary",
    "result.payload": "payload",
    "result.impl_schemas": "impl_schemas",
    "valid_flag": "valid",
    "id": "id",
    "experiment": "experiment",
    "run": "run",
    "started": "started",
}
"""The last columns of a Task's view, and where they come from."""

NUMBER, OTHER = "number", "other"
"""Kinds of a view's column: all its values were numbers, true, false or null; or not."""
LARGEST_NUMBER = 1e300


def flat_names(parameters: JsonObject) -> dict[str, tuple[str, str | None]]:
    """Returns the columns of a Task's view, each with its JSON path and its kind; None for a null.

    >>> flat_names({"a": {"b": [1, None]}, "c": "x"})
    {'a.b[0]': ('$."a"."b"[0]', 'number'), 'a.b[1]': ('$."a"."b"[1]', None), 'c': ('$."c"', 'other')}
    """
    leaves = itertools.islice(_leaves(parameters, "", "$"), MOST_COLUMNS)
    return {name: (path, _kind(value)) for name, path, value in leaves}


def flat_values(parameters: JsonObject) -> JsonObject:
    """Returns parameters by the names that a Task's view has for them.

    >>> flat_values({"a": {"b": [1, None]}, "c": "x"})
    {'a.b[0]': 1, 'a.b[1]': None, 'c': 'x'}
    """
    return {name: value for name, _, value in _leaves(parameters, "", "$")}


def _leaves(value: Any, name: str, path: str) -> Iterator[tuple[str, str, Any]]:
    if isinstance(value, dict) and value and not any('"' in str(key) for key in value):
        for key, item in value.items():
            yield from _leaves(item, f"{name}.{key}" if name else str(key), f'{path}."{key}"')
    elif isinstance(value, list) and 0 < len(value) <= LONGEST_LIST and name:
        for number, item in enumerate(value):
            yield from _leaves(item, f"{name}[{number}]", f"{path}[{number}]")
    elif name:
        yield name, path, value


def _kind(value: Any) -> str | None:
    if value is None:
        return None
    return NUMBER if isinstance(value, (bool, int, float)) and abs(value) < LARGEST_NUMBER else OTHER


def view_name(task: str, taken: set[str], longest: int) -> str:
    """Returns the name of a new Task's view.

    Args:
        task: Name of the Task.
        taken: The names of other Tasks' views, in small letters.
        longest: Longest name that the database keeps whole, in bytes.
    """
    ours = task.lower().startswith(("lute_", "sqlite_"))  # SQLite keeps the second for itself
    name = fitting(f"Task {task}" if ours else task, longest)
    return fitting(task, longest, always=True) if name.lower() in taken else name


def column_names(names: list[str], longest: int) -> list[str]:
    """Returns names as the columns of one view: those that differ only in case get a number.

    >>> column_names(["n", "N", "a" * 70], 63)
    ['n', 'N (2)', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa~ed6c69d9']
    """
    used: set[str] = set()
    found = []
    for name in names:
        candidate, number = fitting(name, longest), 1
        while candidate.lower() in used:
            number += 1
            candidate = fitting(f"{name} ({number})", longest)
        used.add(candidate.lower())
        found.append(candidate)
    return found


def fitting(name: str, longest: int, always: bool = False) -> str:
    """Returns a name of at most so many bytes: a longer one, or every one, ends in `~` and a hash of the whole."""
    data = name.encode("utf-8", "replace")
    if len(data) <= longest and not always:
        return name
    suffix = "~" + hashlib.sha1(data, usedforsecurity=False).hexdigest()[:8]
    return data[: longest - len(suffix)].decode("utf-8", "ignore") + suffix


def identifier(name: str) -> str:
    """Returns a name quoted for SQL."""
    return '"' + name.replace('"', '""').replace("\0", "") + '"'


def literal(text: str) -> str:
    """Returns a text quoted for SQL, for the statements that cannot have bound values."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"
