"""Workflow runs in the record. Their steps' own runs are rows of `lute_runs`, by `workflow` and `step`."""

from __future__ import annotations

import json
import socket
from collections.abc import Mapping
from typing import Any

from lute.errors import RecordError
from lute.io._schema import JSON, WORKFLOW_COLUMNS
from lute.io.owner import is_gone
from lute.io.record import Record

_NAMES = ", ".join(WORKFLOW_COLUMNS)
LOST = "the lute process that ran this workflow is gone (killed, or its machine was restarted)"


def save(record: Record, row: Mapping[str, Any], wait: float | None = None) -> None:
    """Writes a workflow run's whole row.

    Raises:
        RecordError: The database did not take it.
    """
    marks = ", ".join("?" * len(WORKFLOW_COLUMNS))
    changes = ", ".join(f"{name} = excluded.{name}" for name in WORKFLOW_COLUMNS if name != "id")
    values = [json.dumps(row[name]) if kind == JSON else row[name] for name, kind in WORKFLOW_COLUMNS.items()]
    with record.transaction(wait) as database:
        query = f"INSERT INTO lute_workflows ({_NAMES}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}"
        database.execute(query, values)


def get(record: Record, identity: str) -> dict[str, Any]:
    """Returns one workflow run by its id, the unique start of one, or `last`.

    Raises:
        RecordError: There is none, or more than one.
    """
    found = find(record, 1) if identity == "last" else _starting_with(record, identity)
    exact = [row for row in found if row["id"] == identity]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise RecordError(f"{identity!r} is the start of several workflow runs' ids: give more of it")
    raise RecordError(f"there is no workflow run {identity!r} in {record}. See: lute workflow list")


def _starting_with(record: Record, identity: str) -> list[dict[str, Any]]:
    query = f"SELECT {_NAMES} FROM lute_workflows WHERE id >= ? AND id < ? LIMIT 2"
    return [_row(values) for values in record.read(query, (identity, identity + "\U0010ffff"))]


def find(record: Record, limit: int | None = None) -> list[dict[str, Any]]:
    """Returns workflow runs, newest first."""
    query = f"SELECT {_NAMES} FROM lute_workflows ORDER BY started DESC, id DESC LIMIT ?"
    return [_row(values) for values in record.read(query, (2**31 - 1 if limit is None else limit,))]


def steps_of(record: Record, workflow: str) -> dict[str, dict[str, Any]]:
    """Returns the last run of each step, or instance of one, in a workflow run, by its name."""
    return {row["step"]: row for row in record.find(workflow=workflow, descending=False) if row["step"]}


def last_runs(record: Record, step: str, experiment: str, run: str) -> dict[str, dict[str, Any]]:
    """Returns the completed, valid runs of a step, or of its instances, in the last workflow run that ran it."""
    query = (
        "SELECT workflow FROM lute_runs WHERE workflow IS NOT NULL AND (step = ? OR substr(step, 1, ?) = ?)"
        " AND status = 'COMPLETED' AND valid = 1 AND experiment = ? AND run = ? ORDER BY started DESC, id DESC LIMIT 1"
    )
    for (workflow,) in record.read(query, (step, len(step) + 1, f"{step}[", experiment, run)):
        rows = steps_of(record, workflow)
        mine = {name: row for name, row in rows.items() if name.partition("[")[0] == step}
        return {name: row for name, row in mine.items() if row["status"] == "COMPLETED" and row["valid"]}
    return {}


def mark_lost(record: Record) -> list[str]:
    """Marks the workflow runs of this host FAILED whose `lute` process is gone. Returns their ids."""
    lost = []
    for identity, host, owner in record.read("SELECT id, host, owner FROM lute_workflows WHERE status = 'RUNNING'"):
        if host == socket.gethostname() and is_gone(json.loads(owner or "{}")):
            lost.append(identity)
    for identity in lost:
        with record.transaction() as database:
            query = "UPDATE lute_workflows SET status = 'FAILED', reason = ? WHERE id = ? AND status = 'RUNNING'"
            reason = f"{LOST}. To go on: lute workflow run --resume {identity}"
            database.execute(query, (reason, identity))
    return lost


def _row(values: tuple[Any, ...]) -> dict[str, Any]:
    found = zip(WORKFLOW_COLUMNS.items(), values, strict=True)
    return {name: json.loads(value or "null") if kind == JSON else value for (name, kind), value in found}
