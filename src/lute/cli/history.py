"""`lute history`: what ran, newest first."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Mapping
from typing import Any

from lute.cli import common
from lute.io._schema import LIVE
from lute.io.rows import public
from lute.tasks.dataclasses import TaskStatus
from lute.tasks.progress import as_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "-t", "--task", metavar="NAME", action="append", help="only runs of this Task or managed Task; may be repeated"
    )
    parser.add_argument(
        "--status",
        metavar="STATUS",
        action="append",
        type=str.upper,
        choices=[status.name for status in TaskStatus],
        help=f"only runs with this status ({', '.join(status.name for status in TaskStatus)}); may be repeated",
    )
    parser.add_argument("-n", "--limit", metavar="N", type=int, help="at most N runs")
    parser.add_argument(
        "--recover", action="store_true", help="take in runs that the database could not take, and say which"
    )
    common.add_options(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options, up_to_date=not options.recover) as record:
        if options.recover:
            recovered = record.recover()
            print(
                "\n".join(f"recovered run {identity}" for identity in recovered) or "nothing to recover",
                file=sys.stderr,
            )
            record.refresh()
        limit = options.limit
        if limit is None and not options.json and sys.stdout.isatty():
            limit = max(shutil.get_terminal_size().lines - 3, 5)
        rows = record.find(
            tasks=options.task, statuses=options.status, experiment=options.experiment, run=options.run, limit=limit
        )
    if options.json:
        common.print_json([public(row) for row in rows])
        return 0
    cells = [
        (
            row["id"],
            common.when(row["started"]),
            row["experiment"],
            row["run"],
            row["managed_task"] or row["task"],
            row["status"] + ("" if row["valid"] or row["status"] != "COMPLETED" else " (invalid)"),
            common.seconds(row["wall_s"]),
            _last_column(row),
        )
        for row in rows
    ]
    if cells:
        common.print_table(("ID", "STARTED", "EXPERIMENT", "RUN", "TASK", "STATUS", "TIME", "SUMMARY"), cells)
    else:
        print("no run is recorded that fits", file=sys.stderr)
    return 0


def _last_column(row: Mapping[str, Any]) -> str:
    """Returns what a run found, why it found nothing, or how far it is."""
    if row["status"] == "COMPLETED":
        return str(row["summary"])
    live = row["status"] in LIVE and row["progress"]
    return str(row["reason"]) or (as_text(row["progress"]) if live else "")
