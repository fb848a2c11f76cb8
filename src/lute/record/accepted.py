"""Changes of code that somebody said are harmless: who, when and what."""

from __future__ import annotations

import getpass
import time
from typing import TYPE_CHECKING, NamedTuple

from lute.record.rows import utc

if TYPE_CHECKING:
    from lute.record.store import Record


class Change(NamedTuple):
    """A file's text that is another now.

    Attributes:
        path: The file.
        before: The digest of the text that ran.
        after: The digest of the text of now; empty if the file is gone.
    """

    path: str
    before: str
    after: str


def accept(record: Record, step: str, change: Change) -> None:
    """Records that a change is harmless to a step.

    Raises:
        RecordError: The database did not take it.
    """
    with record.transaction() as database:
        database.execute(
            "INSERT INTO lute_accepted (path, before, after, step, who, at) VALUES (?, ?, ?, ?, ?, ?)",
            (*change, step, _who(), utc(time.time())),
        )


def _who() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a user that has no name
        return "?"


def is_accepted(record: Record, step: str, change: Change) -> bool:
    """Returns whether a change was said to be harmless to a step."""
    query = "SELECT 1 FROM lute_accepted WHERE path = ? AND after = ? AND before = ? AND step = ?"
    asked = (change.path, change.after, change.before, step)
    return record.exists() and record.knows("given") and bool(record.read(query, asked))
