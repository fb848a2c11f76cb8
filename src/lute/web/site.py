"""What one server knows: the record, where figures are, and who may look."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lute.errors import RecordError
from lute.publish.report import summary_folder
from lute.record import workflow_store
from lute.record.store import Record
from lute.workflows import detached

if TYPE_CHECKING:
    from lute.record.types import RunRow, WorkflowRow

_ID = re.compile(r"[0-9a-z]{1,40}")


class NotThere(RecordError):
    """What was asked for does not exist."""


@dataclass
class Site:
    """One server's.

    Attributes:
        record: The record.
        summary: The folder of figures that belongs to it.
        token: What a visitor must know; None lets everybody look, and nobody act.
        hosts: The names by which the server may be called, in small letters.
        cookie: Name of the cookie. It has the port, since browsers do not tell ports apart.
        again: Arguments and variables by which another `lute` finds the same record and Tasks.
        stopping: Set when the server ends, so that open streams end too.
    """

    record: Record
    summary: Path
    token: str | None
    hosts: frozenset[str]
    cookie: str = "lute"
    again: tuple[tuple[str, ...], Mapping[str, str]] = ((), MappingProxyType({}))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    def derived(self, use: str) -> str:
        """Returns a secret made from the token, for one use; from it the token cannot be found."""
        return hmac.new((self.token or "").encode(), use.encode(), hashlib.sha256).hexdigest()

    def run(self, identity: str) -> RunRow:
        """Returns one run by its id, the unique start of one, or `last`.

        Raises:
            NotThere: There is none, or more than one.
        """
        _check(identity)
        try:
            return self.record.get(identity)
        except RecordError as error:
            raise NotThere(str(error)) from error

    def workflow(self, identity: str) -> WorkflowRow:
        """Returns one workflow run by its id, the unique start of one, or `last`.

        Raises:
            NotThere: There is none, or more than one.
        """
        _check(identity)
        try:
            return workflow_store.get(self.record, identity)
        except RecordError as error:
            raise NotThere(str(error)) from error

    def tasks(self) -> list[str]:
        """Returns the names of the Tasks that are recorded."""
        if not self.record.exists():
            return []
        found = self.record.read("SELECT DISTINCT task FROM lute_view_columns ORDER BY task")
        return [str(task) for (task,) in found]

    def refresh(self) -> None:
        """Brings the record up to date: takes in what was put aside, marks lost runs."""
        if self.record.exists():
            self.record.refresh()
            detached.mark_lost(self.record)


def figures_of(row: RunRow) -> Path:
    """Returns the folder in which a run's figures must be."""
    header = (row["parameters"] or {}).get("lute_config") or {}
    return summary_folder(str(header.get("work_dir") or "."), row["experiment"] or "", row["run"] or "")


def _check(identity: str) -> None:
    if not _ID.fullmatch(identity):
        raise NotThere("an id has only small letters and digits")
