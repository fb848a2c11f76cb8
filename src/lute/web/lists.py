"""What lists and trends read of the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from lute.record.rows import column
from lute.web.asking import RunQuery
from lute.web.site import Site

if TYPE_CHECKING:
    from lute.record.types import MetricPoint, RunRow

COLUMNS = (
    *("id", "task", "managed_task", "experiment", "run", "status", "reason", "summary", "valid", "started"),
    *("wall_s", "metrics", "progress", "plots", "ended"),
)
"""What a list shows of a run. Parameters and payload can be large, and are left out."""
GRID = 300
"""Runs that a page of the grid is made of."""
MOST_POINTS = 2000


def runs(site: Site, asked: RunQuery, limit: int, columns: tuple[str, ...] = COLUMNS) -> tuple[list[RunRow], bool]:
    """Returns one page of runs, and whether there are older ones; nothing is counted, so its time does not grow.

    Raises:
        UsageError: A filter cannot be understood.
    """
    if not site.record.exists():
        return [], False
    found = site.record.find(columns=columns, limit=limit + 1, before=asked.before, **asked.wanted)
    return found[:limit], len(found) > limit


def last_before(site: Site, row: RunRow) -> RunRow | None:
    """Returns the run of the same Task before a run."""
    found = site.record.find(task=row["task"], before=(row["started"], row["id"]), limit=1) if row["started"] else []
    return found[0] if found else None


def metrics(site: Site, asked: RunQuery, metric: str, limit: int) -> list[MetricPoint]:
    """Returns a metric's values in the last runs of a Task, the oldest first.

    Raises:
        UsageError: A filter cannot be understood.
    """
    keys = ("id", "experiment", "run", "started", "status", "valid")
    found, _ = runs(site, asked, limit, (*keys, "metrics"))
    rows = [row for row in reversed(found) if metric in (row["metrics"] or {})]
    return [cast("MetricPoint", {name: column(row, name) for name in keys} | row["metrics"][metric]) for row in rows]


def metric_names(site: Site, asked: RunQuery, limit: int) -> list[str]:
    """Returns the names of the metrics that the last runs of a Task have."""
    found, _ = runs(site, asked, limit, ("id", "started", "metrics"))
    return sorted({name for row in found for name in row["metrics"] or {}})
