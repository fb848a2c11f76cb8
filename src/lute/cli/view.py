"""`lute view`: the record as a full-screen program."""

from __future__ import annotations

import argparse
import sys

from lute.cli import common
from lute.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    common.add_options(parser)
    parser.epilog = "keys: / filter, c cancel, i invalidate, r restore, f follow the newest, Tab to the run, q quit"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    if options.json:
        raise UsageError("lute view is for people; for a program: lute history --json")
    if not sys.stdin.isatty() or not sys.stdout.isatty():
        raise UsageError("lute view needs a terminal. Without one: lute history")
    try:
        from lute.tui.app import RecordApp
    except ImportError as error:
        raise UsageError(f"lute view needs Textual ({error}). Try: pip install 'lute-executor[tui]'") from error
    with common.open_record(options) as record:
        RecordApp(record, common.when, common.seconds).run()
    return 0
