"""Which run wrote which path: an output that a later run writes anew is not what the earlier run made any more."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lute.record.database import Database
    from lute.record.store import Record
    from lute.record.types import OutputEntry, RunRow


def replace_outputs(database: Database, row: RunRow) -> None:
    """Notes the paths that a run wrote, and on those earlier runs' outputs `replaced_by`; inside a transaction."""
    for path in dict.fromkeys(_paths(row["outputs"] or ())):
        earlier = database.execute("SELECT run FROM lute_outputs WHERE path = ? AND run <> ?", (path, row["id"]))
        for (run,) in earlier:
            _mark_replaced(database, run, path, row)
        database.execute(
            "INSERT INTO lute_outputs (path, run) VALUES (?, ?) ON CONFLICT (path, run) DO NOTHING", (path, row["id"])
        )


def _paths(outputs: Iterable[OutputEntry]) -> Iterable[str]:
    return (entry["path"] for entry in outputs if entry.get("count") != 0 and entry.get("written", True))


def _mark_replaced(database: Database, run: str, path: str, by: RunRow) -> None:
    found = database.execute("SELECT outputs, started FROM lute_runs WHERE id = ?", (run,))
    if not found or found[0][1] > by["started"]:
        return
    outputs = json.loads(found[0][0] or "[]")
    marked = [entry for entry in outputs if entry["path"] == path and "replaced_by" not in entry]
    for entry in marked:
        entry["replaced_by"] = by["id"]
    if marked:
        database.execute("UPDATE lute_runs SET outputs = ? WHERE id = ?", (json.dumps(outputs), run))


def last_writer(record: Record, path: str) -> str | None:
    """Returns the id of the last run that wrote a path as its output; None if no run in the record did."""
    return _last(record, path)[0]


def valid_writer(record: Record, path: str) -> str | None:
    """Returns the id of the run whose output a path still is, if that run is valid."""
    run, valid = _last(record, path)
    return run if valid else None


def _last(record: Record, path: str) -> tuple[str | None, bool]:
    if not (record.exists() and record.knows("given")):
        return None, False
    query = (
        "SELECT r.id, r.valid FROM lute_outputs o JOIN lute_runs r ON r.id = o.run WHERE o.path = ?"
        " ORDER BY r.started DESC, r.id DESC LIMIT 1"
    )
    for run, valid in record.read(query, (path,)):
        return run, bool(valid)
    return None, False
