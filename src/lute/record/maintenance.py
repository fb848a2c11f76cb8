"""Looking after a record: what it is, how large, whether all is there, and bringing its schema up to date."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.files import create_file
from lute.record.moved import RUNS
from lute.record.rows import kept_files
from lute.record.schema import MIGRATIONS, is_live
from lute.record.store import Record

if TYPE_CHECKING:
    from lute.record.types import Migration, RecordPlace, RecordSize, RunCount

MOST = 1000
"""Problems of one kind that are told at most."""


def where(record: Record) -> RecordPlace:
    """Returns where a record is, of which kind, and its schema; opening does not bring it up to date."""
    is_url = "://" in str(record)
    return {
        "record": str(record),
        "kind": "PostgreSQL" if is_url else "SQLite",
        "schema": record.schema() if record.exists() else None,
        "newest_schema": len(MIGRATIONS),
        "aside": str(record.aside),
        "waiting": len(list(record.aside.glob("*.json"))) if record.aside.is_dir() else 0,
    }


def size(record: Record) -> RecordSize:
    """Returns how many runs there are, by Task and status, and how many bytes database, logs and the rest take."""
    query = "SELECT task, status, count(*) FROM lute_runs GROUP BY task, status ORDER BY task, status"
    runs: list[RunCount] = [
        {"task": task, "status": status, "runs": count} for task, status, count in record.read(query)
    ]
    logs = others = 0
    for folder in _folders(record):
        for name in os.listdir(folder):
            about = _size_of(folder / name)
            logs, others = (logs + about, others) if name in ("log", "log.times") else (logs, others + about)
    return {"runs": runs, "database_bytes": _database_bytes(record), "log_bytes": logs, "other_bytes": others}


def _database_bytes(record: Record) -> int:
    if "://" in str(record):
        query = "SELECT sum(pg_total_relation_size(to_regclass(name)::oid)) FROM (VALUES {}) AS tables (name)"
        tables = ("lute_runs", "lute_workflows", "lute_views", "lute_view_columns", "lute_schema")
        return int(record.read(query.format(", ".join(f"('{name}')" for name in tables)))[0][0] or 0)
    return sum(_size_of(Path(f"{record}{suffix}")) for suffix in ("", "-wal", "-shm"))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def migrate(record: Record) -> Migration:
    """Brings a record's schema up to date; a SQLite file is copied first, beside itself.

    Returns:
        The schema's version `before` and `now`, and where the `copy` is; None if nothing was to be done.
    """
    before, copy = record.schema(), None
    if before < len(MIGRATIONS) and "://" not in str(record):
        copy = Path(f"{record}.schema-{before}.{time.strftime('%Y%m%d-%H%M%S')}")
        create_file(copy)
        with closing(sqlite3.connect(str(record))) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
    record.read("SELECT 1")  # opens it, and so brings it up to date
    return {"before": before, "now": record.schema(), "copy": str(copy) if copy else None}


# ----------------------------------------------------------------------------------------- checking


def check(record: Record) -> list[dict[str, str]]:
    """Returns every problem of a record: `kind`, `run` or nothing, and `text`. A damaged one is read no further."""
    damage = list(_damage(record))
    found = [{"kind": "database", "run": "", "text": text} for text in damage or _missing_views(record)]
    if damage:
        return found
    known: set[str] = set()
    missing: list[dict[str, str]] = []
    for row in _rows(record):
        known.add(row[0])
        missing += _missing(*row)
    known |= {identity for (identity,) in record.read("SELECT id FROM lute_workflows")}
    return [*found, *missing[:MOST], *_orphans(record, known), *_aside(record)]


def _damage(record: Record) -> Iterator[str]:
    if "://" not in str(record):
        told = [row[0] for row in record.read("PRAGMA integrity_check")]
        yield from (text for text in told if text != "ok")
    else:
        query = (
            "SELECT c.relname FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid"
            " WHERE NOT i.indisvalid AND c.relname LIKE 'lute@_%' ESCAPE '@'"
        )
        yield from (f"the index {name} is not valid" for (name,) in record.read(query))


def _missing_views(record: Record) -> Iterator[str]:
    for task, name in record.read("SELECT task, name FROM lute_views"):
        if not _is_view(record, name):
            yield f"the view {name!r} of Task {task} is not there"


def _is_view(record: Record, name: str) -> bool:
    if "://" in str(record):
        query = "SELECT 1 FROM pg_views WHERE viewname = ? AND schemaname = current_schema()"
    else:
        query = "SELECT 1 FROM sqlite_master WHERE type = 'view' AND name = ?"
    return bool(record.read(query, (name,)))


def _rows(record: Record) -> Iterator[tuple[str, str, bool, Any]]:
    """Gives id, log and payload of every run, and whether it is live, some thousand at a time."""
    before, columns = None, ("id", "log", "status", "ended", "payload", "started")
    while rows := record.find(columns=columns, limit=5000, before=before):
        for row in rows:
            yield row["id"], row["log"] or "", is_live(row), row["payload"]
        before = (rows[-1]["started"], rows[-1]["id"])


def _missing(identity: str, log: str, live: bool, payload: Any) -> Iterator[dict[str, str]]:
    if live:
        return
    paths = [("log", log)] if log else []
    paths += [("payload", kept["path"]) for kept in kept_files(payload) if kept["path"]]
    for kind, path in paths:
        if not os.path.exists(path):
            yield {"kind": f"missing {kind}", "run": identity, "text": f"{path} is not there any more"}


def _orphans(record: Record, known: set[str]) -> list[dict[str, str]]:
    """Returns the folders of runs that are not in the record."""
    known |= {file.stem for file in record.aside.glob("*.json")} if record.aside.is_dir() else set()
    orphans = [folder for folder in _folders(record) if folder.name not in known]
    text = "is the folder of a run that is not in the record"
    return [{"kind": "orphan", "run": folder.name, "text": f"{folder} {text}"} for folder in orphans[:MOST]]


def _aside(record: Record) -> Iterator[dict[str, str]]:
    for file in sorted(record.aside.glob("*")) if record.aside.is_dir() else []:
        if file.suffix == ".json":
            yield {"kind": "waiting", "run": file.stem, "text": f"{file} waits to be taken in: lute db recover"}
        elif file.suffix == ".bad":
            yield {"kind": "bad", "run": "", "text": f"{file} holds no run"}


def _folders(record: Record) -> Iterable[Path]:
    """Gives the folders of all runs, in every work folder that the record knows and that is on this machine."""
    roots = {Path(str(record)).parent / RUNS} if "://" not in str(record) else set()
    for (log,) in record.read("SELECT DISTINCT log FROM lute_runs WHERE log <> ''"):
        parents = Path(log).parents
        if len(parents) > 2 and parents[2].name == RUNS:
            roots.add(parents[2])
    for root in sorted(roots):
        yield from (folder for folder in sorted(root.glob("*/*")) if folder.is_dir())
