"""`lute history`: what ran, newest first."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lute.cli import _columns, common
from lute.errors import RecordError, UsageError
from lute.record.db import Record
from lute.record.rows import public
from lute.record.schema import is_live
from lute.tasks.progress import as_text
from lute.wire.results import TaskStatus

if TYPE_CHECKING:
    from lute.record.types import RunRow

NEEDED = (
    *(
        "id",
        "started",
        "experiment",
        "run",
        "task",
        "managed_task",
        "status",
        "valid",
        "wall_s",
        "summary",
        "outputs",
    ),
    *("reason", "progress", "ended"),
)
"""The columns that the usual table is made of."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _add_filters(parser)
    parser.add_argument("--sort", metavar="COLUMN[:asc|desc]", default="started:desc", help="newest first if not given")
    parser.add_argument("-n", "--limit", metavar="N", type=_from_one, help="at most N runs")
    parser.add_argument("--before", metavar="ID", help="the page after the one that ended with this run")
    parser.add_argument("--columns", metavar="A,B,C", help="these columns, such as id,parameters.n,metrics.peaks")
    parser.add_argument("--csv", action="store_true", help="print CSV, with each parameter as a column")
    parser.add_argument(
        "--recover", action="store_true", help="take in runs that the database could not take, and say which"
    )
    common.add_options(parser, plugins_required=False)


def _add_filters(parser: argparse.ArgumentParser) -> None:
    names = ", ".join(status.name for status in TaskStatus)
    parser.add_argument(
        "-t", "--task", metavar="NAME", help="only runs of this Task or managed Task; may be repeated", action="append"
    )
    parser.add_argument(
        "--status",
        metavar="STATUS",
        type=str.upper,
        choices=[status.name for status in TaskStatus],
        help=f"only runs with this status ({names}); may be repeated",
        action="append",
    )
    when = "as 2026-11-23, 2026-11-23T14:30, or 2h, 3d for so long ago"
    parser.add_argument("--since", metavar="TIME", help=f"only runs that started at this time or later: {when}")
    parser.add_argument("--until", metavar="TIME", help="only runs that started before this time")
    parser.add_argument(
        "--where",
        metavar="CONDITION",
        help="only runs with such a parameter: 'Task.n >= 3'; may be repeated",
        action="append",
    )
    parser.add_argument("--text", metavar="TEXT", help="only runs with this in summary or reason, in any case")
    parser.add_argument("--workflow", metavar="ID", help="only runs of this workflow run; `last` is the last one")
    valid = parser.add_mutually_exclusive_group()
    valid.add_argument("--valid", action="store_true", help="only runs whose results others may use")
    valid.add_argument("--invalid", action="store_true", help="only runs whose results others may not use")


def _from_one(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text[:18]) > 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text[:18])


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    if options.json and options.csv:
        raise UsageError("give either --json or --csv")
    wanted = _columns.read(options.columns) if options.columns else []
    with common.open_record(options, up_to_date=not options.recover) as record:
        if options.recover:
            recover(record)
            record.refresh()
        limit = _limit(options)
        columns = _columns.sources(wanted) or (() if options.json or options.csv else NEEDED)
        rows = _find(record, options, columns, None if limit is None else limit + 1)
    more, rows = limit is not None and len(rows) > limit, rows[:limit]
    _print(options, rows, wanted)
    if more and options.limit is None:
        _tell_next(options, rows[-1]["id"])
    return 0


def recover(record: Record) -> list[str]:
    """Takes in what the database could not take, and says on standard error what that was. Returns the runs' ids."""
    taken = record.recover()
    print("\n".join(f"recovered run {identity}" for identity in taken) or "nothing to recover", file=sys.stderr)
    return taken


def _limit(options: argparse.Namespace) -> int | None:
    if options.limit is not None or options.json or options.csv or not sys.stdout.isatty():
        return int(options.limit) if options.limit is not None else None
    return max(shutil.get_terminal_size().lines - 4, 5)


def _find(record: Record, options: argparse.Namespace, columns: Sequence[str], limit: int | None) -> list[RunRow]:
    sort, _, way = options.sort.partition(":")
    if way not in ("", "asc", "desc"):
        raise UsageError(f"--sort {options.sort}: write {sort}:asc or {sort}:desc")
    before = None
    if options.before:
        last = record.get(options.before)
        before = (last["started"], last["id"])
    return record.find(
        columns=columns,
        sort=sort,
        descending=way == "desc",
        limit=limit,
        before=before,
        tasks=options.task,
        statuses=options.status,
        experiment=options.experiment,
        run=options.run,
        since=options.since,
        until=options.until,
        where=options.where,
        text=options.text,
        workflow=_workflow(record, options.workflow) if options.workflow else None,
        valid=True if options.valid else False if options.invalid else None,
    )


def _workflow(record: Record, identity: str) -> str:
    from lute.record import workflow_store

    try:
        return str(workflow_store.get(record, identity)["id"])
    except RecordError:
        if not record.count(at_most=1, workflow=identity):  # it may be the name of one that is not `lute`'s
            raise
    return identity


def _print(options: argparse.Namespace, rows: list[RunRow], wanted: list[str]) -> None:
    if options.json:
        common.print_json([_columns.picked(row, wanted) if wanted else public(row) for row in rows])
    elif options.csv:
        _columns.print_csv(rows, wanted)
    elif not rows:
        print("no run is recorded that fits", file=sys.stderr)
    elif wanted:
        common.print_table([name.upper() for name in wanted], [_columns.cells(row, wanted) for row in rows])
    else:
        head = ("ID", "STARTED", "EXPERIMENT", "RUN", "TASK", "STATUS", "TIME", "SUMMARY")
        common.print_table(head, [_cells(row) for row in rows])


def _cells(row: RunRow) -> tuple[Any, ...]:
    return (
        row["id"],
        common.when(row["started"]),
        row["experiment"],
        row["run"],
        row["managed_task"] or row["task"],
        row["status"] + _mark(row),
        common.seconds(row["wall_s"]),
        _last_column(row),
    )


def _mark(row: RunRow) -> str:
    """Returns what is to be known of a completed run's result: that it is not valid, or not there as it was."""
    if row["status"] != "COMPLETED":
        return ""
    if not row["valid"]:
        return " (invalid)"
    return " (replaced)" if any("replaced_by" in entry for entry in row["outputs"] or ()) else ""


def _last_column(row: RunRow) -> str:
    """Returns what a run found, why it found nothing, or how far it is."""
    if row["status"] == "COMPLETED":
        return str(row["summary"])
    progress = row["progress"] if is_live(row) else None
    return str(row["reason"]) or (as_text(progress) if progress else "")


def _tell_next(options: argparse.Namespace, last: str) -> None:
    if options.sort == "started:desc":
        print(f"There are more. The next page: the same with --before {last}", file=sys.stderr)
    else:
        print("There are more: give --limit N", file=sys.stderr)
