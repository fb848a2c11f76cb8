"""`lute restore`: lets other runs use a result again."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from lute.cli import _validity
from lute.errors import UsageError

if TYPE_CHECKING:
    from lute.record.types import RunRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _validity.add_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    return _validity.change(options, True, _check)


def _check(row: RunRow) -> None:
    if row["status"] != "COMPLETED":
        raise UsageError(f"run {row['id']} is {row['status']}: only a run that completed can be valid")
