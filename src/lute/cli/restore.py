"""`lute restore`: lets other runs use a result again."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from lute.cli import _validity
from lute.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _validity.add_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    return _validity.change(options, True, _check)


def _check(row: Mapping[str, Any]) -> None:
    if row["status"] != "COMPLETED":
        raise UsageError(f"run {row['id']} is {row['status']}: only a run that completed can be valid")
