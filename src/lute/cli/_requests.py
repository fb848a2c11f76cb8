"""What `lute cancel`, `lute pause` and `lute resume` share: leave a request, and wait until it has been met."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lute.cli import common
from lute.cli.run import public
from lute.execution import requests
from lute.io._schema import LIVE
from lute.io.rows import RunFiles

LOOK = 0.05
"""Time between two looks at the record, in s."""
NOT_LIVE = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments that all three have."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the record")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=60.0, help="longest time to wait; 60 if not given"
    )
    common.add_options(parser)
    parser.epilog = "exit status: 0 done, 1 the run does not live or did not answer, 2 there is no such run"


def ask(options: argparse.Namespace, do: str, met: Callable[[str], bool], sensible: tuple[str, ...]) -> int:
    """Asks a run's owner for something and waits until the record says that it was done. Returns the exit code.

    Args:
        options: The command's.
        do: What is asked.
        met: Whether a status means that it was done.
        sensible: Statuses in which it can be asked.
    """
    common.set_up(options)
    with common.open_record(options) as record:
        row = record.get(options.id)
        if row["status"] not in sensible:
            return _tell(options, row, f"run {row['id']} is {row['status']}: there is nothing to {do}", NOT_LIVE)
        request = requests.Request(do, requests.this_user(), options.reason)
        place = RunFiles(Path(row["log"]).parent).request
        requests.post(place, request)
        deadline = time.monotonic() + options.wait
        while not met(row["status"]) and time.monotonic() < deadline:
            time.sleep(LOOK)
            record.mark_lost()
            row = record.get(row["id"])
        if row["status"] not in LIVE:  # it ended by itself, and nobody takes requests any more
            place.unlink(missing_ok=True)
    if not met(row["status"]):
        text = f"run {row['id']} on {row['host']} did not answer within {options.wait:g} s; it is {row['status']}"
        return _tell(options, row, text, NOT_LIVE)
    return _tell(options, row, f"run {row['id']} is {row['status']}{': ' + row['reason'] if row['reason'] else ''}", 0)


def _tell(options: argparse.Namespace, row: dict[str, Any], text: str, code: int) -> int:
    if options.json:
        common.print_json(public(row))
    if not options.json or code:
        print(text, file=sys.stderr if code else sys.stdout)
    return code
