"""Requests to the owner of a run, from another process: cancel, pause, resume.

A request is a small file in the run's folder, which the owner looks for as often as it looks at the log. It
reaches an owner on another host too, where both see the folder, and only who may write there can make one.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lute.batch.scheduler import scheduler
from lute.errors import UsageError

if TYPE_CHECKING:
    from lute.record.store import Record
    from lute.record.types import RunRow

CANCEL, PAUSE, RESUME = "cancel", "pause", "resume"
LOOK = 0.05
"""Time between two looks whether a request was answered, in s."""


class Request(NamedTuple):
    """What is asked of a run's owner.

    Attributes:
        do: `cancel`, `pause` or `resume`.
        by: Who asks, as `user@host`.
        reason: Why, in the asker's words.
    """

    do: str
    by: str
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.by}{': ' + self.reason if self.reason else ''}"


def this_user() -> str:
    """Returns `user@host`."""
    import getpass  # not needed to run a Task

    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no such user in this container
        name = str(os.getuid())
    return f"{name}@{socket.gethostname()}"


def post(path: Path, request: Request) -> None:
    """Leaves a request for the owner.

    Args:
        path: The run's request file.
        request: What is asked.

    Raises:
        UsageError: An earlier request was not taken yet, or the folder cannot be written.
    """
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        aside.write_text(json.dumps(request._asdict()))
        aside.chmod(0o660)
        os.link(aside, path)
    except FileExistsError as error:
        raise UsageError("an earlier request to this run was not taken yet: try again in a moment") from error
    except OSError as error:
        raise UsageError(f"the run cannot be reached, {path.parent} cannot be written: {error.strerror}") from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def cancel_waiting(record: Record, row: RunRow, request: Request) -> bool:
    """Cancels a run whose batch job has not started, so that nobody could take a request. Returns whether it is one.

    Args:
        record: Where the run is recorded.
        row: The run.
        request: Who asks, and why.

    Raises:
        SchedulerError: The batch system does not answer.
    """
    job = (row["owner"] or {}).get("job") if row["status"] == "PENDING" else None
    if job is None:
        return False
    scheduler().cancel([job])
    record.end_lost(row["id"], "CANCELLED", f"cancelled by {request}")
    return True


def take(path: Path) -> Request | None:
    """Returns the request that was left, once; None if there is none or it is no request."""
    try:
        text = path.read_text()
        path.unlink()
        content = json.loads(text)
        return Request(str(content["do"]), str(content["by"]), str(content["reason"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
