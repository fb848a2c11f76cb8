"""Workflow runs in the record. Their steps' own runs are rows of `lute_runs`, by `workflow` and `step`."""

from __future__ import annotations

import json
import logging
import socket
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from lute.base.process_identity import is_gone
from lute.batch.scheduler import scheduler
from lute.errors import RecordError, SchedulerError, UsageError
from lute.record.rows import column
from lute.record.schema import JSON, WORKFLOW_COLUMNS
from lute.record.store import Record

if TYPE_CHECKING:
    from lute.record.types import Owner, RunRow, StepEntry, WorkflowRow

logger = logging.getLogger(__name__)

_NAMES = ", ".join(WORKFLOW_COLUMNS)
LOOKED_AT = 100
"""So many workflow runs are looked at for what a step last was."""
LOST = "the lute process that ran this workflow is gone (killed, or its machine was restarted)"


def save(record: Record, row: WorkflowRow, wait: float | None = None) -> None:
    """Writes a workflow run's whole row.

    Raises:
        RecordError: The database did not take it.
    """
    marks = ", ".join("?" * len(WORKFLOW_COLUMNS))
    changes = ", ".join(f"{name} = excluded.{name}" for name in WORKFLOW_COLUMNS if name != "id")
    values = [_to_sql(row, name) for name in WORKFLOW_COLUMNS]
    with record.transaction(wait) as database:
        query = f"INSERT INTO lute_workflows ({_NAMES}) VALUES ({marks}) ON CONFLICT (id) DO UPDATE SET {changes}"
        database.execute(query, values)


@contextmanager
def changing(record: Record, identity: str) -> Iterator[WorkflowRow]:
    """Yields a workflow run's row to be changed, while nobody else can; it is written at the end.

    Raises:
        RecordError: There is none, or the database did not take it.
    """
    with record.transaction() as database:
        database.execute("UPDATE lute_workflows SET id = id WHERE id = ?", (identity,))  # others wait for this row
        found = database.execute(f"SELECT {_NAMES} FROM lute_workflows WHERE id = ?", (identity,))
        if not found:
            raise RecordError(f"there is no workflow run {identity!r} in {record}")
        row = _row(found[0])
        yield row
        names = [name for name in WORKFLOW_COLUMNS if name not in ("id", "definition", "options")]
        values = [_to_sql(row, name) for name in names]
        changes = ", ".join(f"{name} = ?" for name in names)
        database.execute(f"UPDATE lute_workflows SET {changes} WHERE id = ?", (*values, identity))


def is_there(record: Record, identity: str) -> bool:
    """Returns whether there is a workflow run of that whole id."""
    return record.exists() and bool(list(record.read("SELECT 1 FROM lute_workflows WHERE id = ?", (identity,))))


def on_others(record: Record) -> list[str]:
    """Returns the ids of the workflow runs that have not ended and have no driver here: their steps are batch jobs."""
    query = "SELECT id, owner FROM lute_workflows WHERE status IN ('RUNNING', 'CANCELLED') AND ended IS NULL"
    found = [(identity, json.loads(owner or "{}")) for identity, owner in record.read(query)]
    return [identity for identity, owner in found if owner.get("on") or owner.get("job")]


def get(record: Record, identity: str) -> WorkflowRow:
    """Returns one workflow run by its id, the unique start of one, or `last`.

    Raises:
        RecordError: There is none, or more than one.
        UsageError: The id is empty.
    """
    if not identity:
        raise UsageError("which workflow run? Its id is empty. Give an id, the start of one, or `last`")
    found = find(record, 1) if identity == "last" else _starting_with(record, identity)
    exact = [row for row in found if row["id"] == identity]
    if len(exact or found) == 1:
        return (exact or found)[0]
    if found:
        raise RecordError(f"{identity!r} is the start of several workflow runs' ids: give more of it")
    raise RecordError(f"there is no workflow run {identity!r} in {record}. See: lute workflow list")


def _starting_with(record: Record, identity: str) -> list[WorkflowRow]:
    query = f"SELECT {_NAMES} FROM lute_workflows WHERE id >= ? AND id < ? LIMIT 2"
    return [_row(values) for values in record.read(query, (identity, identity + "\U0010ffff"))]


def find(record: Record, limit: int | None = None) -> list[WorkflowRow]:
    """Returns workflow runs, newest first."""
    query = f"SELECT {_NAMES} FROM lute_workflows ORDER BY started DESC, id DESC LIMIT ?"
    return [_row(values) for values in record.read(query, (2**31 - 1 if limit is None else limit,))]


def steps_of(record: Record, workflow: str) -> dict[str, RunRow]:
    """Returns the last run of each step, or instance of one, in a workflow run, by its name."""
    return {row["step"]: row for row in record.find(workflow=workflow, descending=False) if row["step"]}


def last_completed(record: Record, name: str, experiment: str, run: str) -> dict[str, dict[str, str]]:
    """Returns for each step of a workflow the runs it had when it last completed, by the instance's name.

    Args:
        record: The record.
        name: The workflow's name.
        experiment: The experiment that it ran for.
        run: The run that it ran for.
    """
    found: dict[str, dict[str, str]] = {}
    query = (
        "SELECT steps FROM lute_workflows WHERE name = ? AND experiment = ? AND run = ?"
        f" ORDER BY started DESC, id DESC LIMIT {LOOKED_AT}"
    )
    for (text,) in record.read(query, (name, experiment, run)) if record.exists() else ():
        for step, several in by_step(json.loads(text or "[]")).items():
            if step not in found and all(one["status"] == "COMPLETED" and one["id"] for one in several):
                found[step] = {one["name"]: str(one["id"]) for one in several}
    return found


def by_step(entries: Iterable[StepEntry]) -> dict[str, list[StepEntry]]:
    """Returns the entries of each step: one, or one for each instance of its `foreach`."""
    found: dict[str, list[StepEntry]] = {}
    for entry in entries:
        found.setdefault(entry["step"], []).append(entry.copy())
    return found


def take_run(entry: StepEntry, run: RunRow) -> None:
    """Takes into the entry of a step, or of an instance of one, what its run's row says of it."""
    entry |= {"status": run["status"], "reason": run["reason"], "id": run["id"], "attempt": run["attempt"]}
    entry |= {"started": run["started"], "ended": run["ended"], "exit_code": run["exit_code"]}


def mark_lost(record: Record) -> list[str]:
    """Marks the workflow runs of this host FAILED whose `lute` process is gone. Returns their ids.

    One whose batch job waits to be started again, or has ended with a reason of its own, is left alone.
    """
    gone: dict[str, Owner] = {}
    for identity, host, text in record.read("SELECT id, host, owner FROM lute_workflows WHERE status = 'RUNNING'"):
        owner: Owner = json.loads(text or "{}")
        if host == socket.gethostname() and is_gone(owner):
            gone[identity] = owner
    told = _ends_of_jobs({identity: owner for identity, owner in gone.items() if owner.get("job")})
    lost = [identity for identity in gone if identity not in told]
    for identity in lost:
        end_lost(record, identity, LOST)
    return lost


def _ends_of_jobs(gone: Mapping[str, Owner]) -> Collection[str]:
    """Returns those whose batch job has ended, or may go on; all if the batch system does not answer."""
    try:
        jobs = {identity: (owner["job"], owner.get("cluster", "")) for identity, owner in gone.items()}
        return scheduler().ends(jobs, gone) if gone else ()
    except SchedulerError as error:
        logger.info("what became of workflow runs in batch jobs is not known: %s", error)
        return gone


def end_lost(record: Record, identity: str, reason: str) -> None:
    """Marks a workflow run FAILED that cannot do so itself, with its steps as the record of their runs has them."""
    steps = json.dumps(_as_they_are(record, identity))
    with record.transaction() as database:
        query = "UPDATE lute_workflows SET status = 'FAILED', reason = ?, steps = ? WHERE id = ? AND status = 'RUNNING'"
        database.execute(query, (f"{reason}. To go on: lute workflow run --resume {identity}", steps, identity))


def _as_they_are(record: Record, identity: str) -> list[StepEntry]:
    """Returns the steps of a workflow run that was lost, as the record of their own runs has them."""
    record.mark_lost()
    runs = steps_of(record, identity)
    steps = get(record, identity)["steps"]
    for entry in steps:
        known = runs.get(entry["name"])
        if known is not None:
            take_run(entry, known)
        elif entry["status"] == "RUNNING":
            entry["status"] = "PENDING"
    return steps


def claim(record: Record, identity: str, owner: Owner | None) -> bool:
    """Makes a process the owner of a workflow run that does not run. Returns whether it is; only one can be.

    Raises:
        RecordError: The database did not take it.
    """
    mine = json.dumps(owner)
    with record.transaction() as database:
        query = "UPDATE lute_workflows SET status = 'RUNNING', owner = ?, host = ? WHERE id = ? AND status <> 'RUNNING'"
        database.execute(query, (mine, socket.gethostname(), identity))
        [(now,)] = database.execute("SELECT owner FROM lute_workflows WHERE id = ?", (identity,))
    return bool(now == mine)


def _row(values: tuple[Any, ...]) -> WorkflowRow:
    found = zip(WORKFLOW_COLUMNS.items(), values, strict=True)
    row = {name: json.loads(value or "null") if kind == JSON else value for (name, kind), value in found}
    return cast("WorkflowRow", row)


def _to_sql(row: WorkflowRow, name: str) -> Any:
    value = column(row, name)
    return json.dumps(value) if WORKFLOW_COLUMNS[name] == JSON else value
