"""`lute cancel`: stops a run: its own clean-up, SIGTERM, SIGKILL; or a workflow run with all of its steps."""

from __future__ import annotations

import argparse

from lute.cli import _requests
from lute.execution import requests
from lute.wire.status import LIVE


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    _requests.add_arguments(parser, also="; or a workflow run's whole id")


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    return _requests.ask(
        options, requests.CANCEL, lambda status: status not in LIVE, LIVE, (_requests.RUN, _requests.WORKFLOW)
    )
