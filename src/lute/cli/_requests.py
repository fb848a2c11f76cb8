"""What `lute cancel`, `lute pause` and `lute resume` share: leave a request, and wait until it has been met."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.cli import common
from lute.cli.workflow import end
from lute.errors import RecordError
from lute.execution import requests
from lute.record import workflow_store
from lute.record.rows import RunFiles, public
from lute.record.schema import is_live
from lute.record.store import Record

if TYPE_CHECKING:
    from lute.record.types import RunRow, WorkflowRow

NOT_LIVE = 1


@dataclass(frozen=True)
class Kind:
    """A kind of thing that takes requests.

    Attributes:
        name: What people call it.
        get: Returns its row for an id.
        folder: Returns its folder for its row.
        mark_lost: Marks those FAILED whose owner is gone.
        public: Returns its row as `--json` prints it.
        cancel_elsewhere: Cancels it where no owner takes requests, in a batch system; returns whether it is there.
    """

    name: str
    get: Callable[[Record, str], Any]
    folder: Callable[[Any], str]
    mark_lost: Callable[[Record], object]
    public: Callable[[Any], object]
    cancel_elsewhere: Callable[[Record, Any, requests.Request], bool]


def _cancel_workflow(record: Record, row: WorkflowRow, request: requests.Request) -> bool:
    from lute.workflows import detached

    elsewhere = bool((row["owner"] or {}).get(detached.ENGINE))
    if elsewhere:
        detached.cancel(record, row["id"], f"cancelled by {request}")
    return elsewhere


def _mark_lost(record: Record) -> None:
    from lute.workflows import detached

    detached.mark_lost(record)


RUN = Kind(
    "run", Record.get, lambda row: os.path.dirname(row["log"]), Record.mark_lost, public, requests.cancel_waiting
)
WORKFLOW = Kind(
    "workflow run",
    workflow_store.get,
    lambda row: str(row["folder"]),
    _mark_lost,
    end.public,
    _cancel_workflow,
)


def add_arguments(parser: argparse.ArgumentParser, also: str = "") -> None:
    """Adds the arguments that all three have.

    Args:
        parser: The command's.
        also: What else the command can be asked for.
    """
    parser.add_argument("id", metavar="ID", help=f"the run's id, the start of it, or `last`{also}")
    parser.add_argument("--reason", metavar="TEXT", default="", help="why; kept in the record")
    parser.add_argument(
        "--wait", metavar="SECONDS", type=float, default=60.0, help="longest time to wait; 60 if not given"
    )
    common.add_options(parser, plugins_required=False)
    parser.epilog = "exit status: 0 done, 1 the run does not live or did not answer, 2 there is no such run"


def ask(
    options: argparse.Namespace,
    do: str,
    met: Callable[[str], bool],
    sensible: tuple[str, ...],
    kinds: tuple[Kind, ...] = (RUN,),
) -> int:
    """Asks a run's owner for something and waits until the record says that it was done. Returns the exit code.

    Args:
        options: The command's.
        do: What is asked.
        met: Whether a status means that it was done.
        sensible: Statuses in which it can be asked.
        kinds: What can be asked; what is not a run is known by its whole id only.
    """
    common.set_up(options)
    with common.open_record(options) as record:
        kind, row = _find(record, options.id, kinds)
        told = f"{kind.name} {row['id']}"
        if row["status"] not in sensible or row["ended"] is not None:
            return _tell(options, kind.public(row), f"{told} is {row['status']}: there is nothing to {do}", NOT_LIVE)
        place = RunFiles(Path(kind.folder(row))).request
        request = requests.Request(do, requests.this_user(), options.reason)
        if do != requests.CANCEL or not kind.cancel_elsewhere(record, row, request):
            requests.post(place, request)
        deadline = time.monotonic() + options.wait
        while not met(row["status"]) and time.monotonic() < deadline:
            time.sleep(requests.LOOK)
            kind.mark_lost(record)
            row = kind.get(record, row["id"])
        if not is_live(row):  # it ended by itself, and nobody takes requests any more
            place.unlink(missing_ok=True)
    if not met(row["status"]):
        text = f"{told} on {row['host']} did not answer within {options.wait:g} s; it is {row['status']}"
        return _tell(options, kind.public(row), text, NOT_LIVE)
    text = f"{told} is {row['status']}{': ' + row['reason'] if row['reason'] else ''}"
    return _tell(options, kind.public(row), text, 0)


def _find(record: Record, identity: str, kinds: tuple[Kind, ...]) -> tuple[Kind, RunRow | WorkflowRow]:
    for kind in kinds[1:]:
        with contextlib.suppress(RecordError):
            row = kind.get(record, identity)
            if row["id"] == identity:
                return kind, row
    return kinds[0], kinds[0].get(record, identity)


def _tell(options: argparse.Namespace, row: object, text: str, code: int) -> int:
    with common.unread_output():
        if options.json:
            common.print_json(row)
        if not options.json or code:
            print(common.visible(text), file=sys.stderr if code else sys.stdout)
    return code
