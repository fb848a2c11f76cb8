"""`lute pause`: suspends all processes of a run, and its clock."""

from __future__ import annotations

import argparse

from lute.cli import _requests
from lute.execution import requests


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _requests.add_arguments(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    return _requests.ask(options, requests.PAUSE, lambda status: status != "RUNNING", ("RUNNING",))
