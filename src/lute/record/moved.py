"""A record in a folder that was moved: paths below the work folder are resolved against where the record is now."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from lute.record.types import RunRow

RUNS = "lute.runs"
"""The folder, in a work folder, of all runs' folders."""
AS_THEY_WERE = ("command", "environment", "log_tail", "reason", "summary")
"""What tells of the run as it was."""


def work_dir_of(log: str) -> str | None:
    """Returns the work folder that a run's log is in; None if it is in none.

    >>> work_dir_of("/data/lute.runs/2026-01-31/6b8sk2ygn87n/log")
    '/data'
    """
    parents = Path(log).parents
    return str(parents[3]) if len(parents) > 3 and parents[2].name == RUNS else None


def resolved(row: RunRow, home: str) -> RunRow:
    """Returns a run as it was recorded, or with the paths of today if its folder has come to lie beside the record.

    Args:
        row: The run, or some of its columns.
        home: The folder that the record is in.
    """
    before = work_dir_of(row.get("log") or "")
    if before is None or before == home or os.path.exists(row["log"]):
        return row
    if not os.path.exists(os.path.join(home, os.path.relpath(row["log"], before))):
        return row
    return cast("RunRow", {k: v if k in AS_THEY_WERE else _moved(v, before, home) for k, v in row.items()})


def page_kept(path: str, run_id: str) -> str:
    """Returns where the page of a run is that has none of its own, if an older `lute` kept it from a later run's."""
    kept = os.path.join(os.path.dirname(path), "history", f"{run_id}.html")
    return kept if os.path.exists(kept) else path


def _moved(value: Any, before: str, home: str) -> Any:
    if isinstance(value, str):
        inside = value == before or value.startswith(f"{before}/")
        return home + value[len(before) :] if inside else value
    if isinstance(value, list):
        return [_moved(item, before, home) for item in value]
    if isinstance(value, dict):
        return {key: _moved(item, before, home) for key, item in value.items()}
    return value
