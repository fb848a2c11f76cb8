"""`lute invalidate`: keeps other runs from using a result."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lute.cli import _validity
from lute.errors import UsageError
from lute.record.schema import is_live

if TYPE_CHECKING:
    from lute.record.types import RunRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _validity.add_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    if options.reason is not None and not options.reason.strip():
        raise UsageError("--reason is empty: say why the result must not be used")
    return _validity.change(options, False, _check)


def _check(row: RunRow) -> None:
    if is_live(row):
        raise UsageError(f"run {row['id']} is {row['status']}: it has no result yet. To stop it: lute cancel")
