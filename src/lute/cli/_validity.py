"""What `lute invalidate` and `lute restore` share: all runs are looked at before one is changed."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING

from lute.cli import common
from lute.record.rows import public

if TYPE_CHECKING:
    from lute.record.types import RunRow

EPILOG = "exit status: 0 done, 2 one of the runs cannot be changed, and so none was"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that both have."""
    parser.add_argument("ids", metavar="ID", nargs="+", help="a run's id, the start of it, or `last`")
    parser.add_argument("--reason", metavar="TEXT", help="why; kept in the record")
    common.add_options(parser, plugins_required=False)
    parser.epilog = EPILOG


def change(options: argparse.Namespace, valid: bool, check: Callable[[RunRow], None]) -> int:
    """Says of runs whether their results may be used by others. Returns the exit code.

    Args:
        options: The command's.
        valid: What is said.
        check: Raises `UsageError` for a run of which that cannot be said.
    """
    common.set_up(options)
    reason = (options.reason or "").strip() or None
    with common.open_record(options) as record:
        rows = [record.get(identity) for identity in dict.fromkeys(options.ids)]
        for row in rows:
            check(row)
        for row in rows:
            record.set_valid(row["id"], valid, reason)
        rows = [record.get(row["id"]) for row in rows]
    if options.json:
        common.print_json([public(row) for row in rows])
        return 0
    for row in rows:
        told = f": {reason}" if reason else ""
        print(f"run {row['id']} of {row['task']} is {'valid again' if valid else 'not valid any more'}{told}")
    return 0
