"""The tables of the record, as numbered steps. A step is never changed once it was released."""

from __future__ import annotations

from typing import Any

TEXT, INTEGER, REAL, JSON = "TEXT", "INTEGER", "REAL", "JSON"

COLUMNS: dict[str, str] = {
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
"""The columns of a run, in order. `owner` says which process keeps the row true while the run lives."""

PUBLIC = [name for name in COLUMNS if name not in ("log_tail", "owner")]
"""The keys of `lute show --json`."""

LONGEST_LIST = 20
"""A longer list is one column of a Task's view instead of a column an item."""
MOST_COLUMNS = 500

_DECLARED = ", ".join(
    f"{name} {'TEXT' if kind == JSON else kind}{' PRIMARY KEY' if name == 'id' else ''}"
    for name, kind in COLUMNS.items()
)

MIGRATIONS: list[list[str]] = [
    [
        f"CREATE TABLE lute_runs ({_DECLARED})",
        "CREATE INDEX lute_runs_by_start ON lute_runs (started, id)",
        "CREATE INDEX lute_runs_by_task ON lute_runs (task, valid, started)",
        "CREATE INDEX lute_runs_by_status ON lute_runs (status) WHERE status IN ('PENDING', 'RUNNING', 'STOPPED')",
        "CREATE TABLE lute_view_columns (task TEXT, name TEXT, path TEXT, position INTEGER, PRIMARY KEY (task, path))",
    ],
]
"""The statements of each step; the number of steps done is the schema's version."""

RESULT_COLUMNS = {
    "result.task_status": "status",
    "result.summary": "summary",
    "result.payload": "json_extract(payload, '$')",
    "result.impl_schemas": "impl_schemas",
    "valid_flag": "valid",
    "id": "id",
    "experiment": "experiment",
    "run": "run",
    "started": "started",
}
"""The last columns of a Task's view, and where they come from."""


def flat_names(parameters: dict[str, Any]) -> dict[str, str]:
    """Returns the columns of a Task's view, with the JSON path of each.

    >>> flat_names({"a": {"b": [1, 2]}, "c": "x"})
    {'a.b[0]': '$."a"."b"[0]', 'a.b[1]': '$."a"."b"[1]', 'c': '$."c"'}
    """
    found: dict[str, str] = {}
    _flatten(parameters, "", "$", found)
    return dict(list(found.items())[:MOST_COLUMNS])


def _flatten(value: Any, name: str, path: str, found: dict[str, str]) -> None:
    if isinstance(value, dict) and value and not any('"' in str(key) for key in value):
        for key, item in value.items():
            _flatten(item, f"{name}.{key}" if name else str(key), f'{path}."{key}"', found)
    elif isinstance(value, list) and 0 < len(value) <= LONGEST_LIST and name:
        for number, item in enumerate(value):
            _flatten(item, f"{name}[{number}]", f"{path}[{number}]", found)
    elif name:
        found[name] = path


def view_statements(task: str, columns: dict[str, str]) -> list[str]:
    """Returns the SQL that makes a Task's view anew; columns that differ only in case get a number."""
    used: set[str] = set()
    parts = []
    for name, path in columns.items():
        parts.append(f"json_extract(parameters, {literal(path)}) AS {identifier(_unused(name, used))}")
    for name, column in RESULT_COLUMNS.items():
        parts.append(f"{column} AS {identifier(_unused(name, used))}")
    view = identifier(f"{task} (Task)" if task.lower().startswith(("lute_", "sqlite_")) else task)
    return [
        f"DROP VIEW IF EXISTS {view}",
        f"CREATE VIEW {view} AS SELECT {', '.join(parts)} FROM lute_runs WHERE task = {literal(task)}",
    ]


def _unused(name: str, used: set[str]) -> str:
    candidate, number = name, 1
    while candidate.lower() in used:
        number += 1
        candidate = f"{name} ({number})"
    used.add(candidate.lower())
    return candidate


def identifier(name: str) -> str:
    """Returns a name quoted for SQL."""
    return '"' + name.replace('"', '""').replace("\0", "") + '"'


def literal(text: str) -> str:
    """Returns a text quoted for SQL, for the statements that cannot have bound values."""
    return "'" + text.replace("'", "''").replace("\0", "") + "'"
