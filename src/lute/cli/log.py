"""`lute log`: what a Task and its children printed."""

from __future__ import annotations

import argparse
import bisect
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lute.cli import common
from lute.errors import RecordError
from lute.execution import run_log
from lute.record.db import Record
from lute.record.schema import is_live

if TYPE_CHECKING:
    from lute.record.types import RunRow

PIECE = 1 << 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`")
    how = parser.add_mutually_exclusive_group()
    how.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    how.add_argument("--times", action="store_true", help="show when each line was seen")
    common.add_options(parser, plugins_required=False)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        row = record.get(options.id)
        path = Path(row["log"])
        if not path.is_file():
            raise RecordError(f"the log {path} of run {row['id']} is not there any more")
        if options.json:
            text = path.read_bytes().decode("utf-8", "backslashreplace")
            common.print_json({"id": row["id"], "log": str(path), "text": text})
        elif options.times:
            _print_with_times(path)
        else:
            _print(path, record, row, options.follow)
    return 0


def _print(path: Path, record: Record, row: RunRow, follow: bool) -> None:
    with open(path, "rb") as file:
        while True:
            live = follow and is_live(row)
            while piece := file.read(PIECE):
                sys.stdout.buffer.write(piece)
            sys.stdout.buffer.flush()
            if not live:
                return
            time.sleep(run_log.LOOK)
            record.mark_lost()
            row = record.get(row["id"])


def _print_with_times(path: Path) -> None:
    """Prints each line with the time at which the log had grown to hold it."""
    times = path.with_name(path.name + ".times")
    seen = [line.split() for line in times.read_text().splitlines()] if times.is_file() else []
    sizes = [int(size) for _, size in seen]
    at = 0
    with open(path, "rb") as file:
        for line in file:
            number = bisect.bisect_left(sizes, at + len(line))
            at += len(line)
            text = _clock(float(seen[number][0])) if number < len(seen) else " " * 12
            sys.stdout.buffer.write(f"{text}  ".encode() + line)
    sys.stdout.buffer.write(b"" if at == 0 or line.endswith(b"\n") else b"\n")
    sys.stdout.buffer.flush()


def _clock(seconds: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(seconds % 1 * 1000):03d}"
