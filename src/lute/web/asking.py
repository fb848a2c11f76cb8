"""The address of a page <-> which runs are asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from starlette.datastructures import QueryParams

from lute.errors import UsageError, did_you_mean
from lute.record.queries import Wanted
from lute.wire.results import TaskStatus

if TYPE_CHECKING:
    from lute.record.types import RunRow

STATUSES = [status.name for status in TaskStatus]
ONE = ("experiment", "run", "since", "until", "text")
SEVERAL = ("task", "status", "where")
PAGE, LARGEST = 50, 1000
"""Runs on a page: if nothing is said, and at most."""


@dataclass(frozen=True)
class RunQuery:
    """What an address asks for.

    Attributes:
        given: The filters, by name; lists for those of `SEVERAL`.
        before: Where the page before ended: `started` and `id`.
        limit: At most so many runs; None if that is not said.
        view: `grid` or `list`.
    """

    given: dict[str, Any]
    before: tuple[str, str] | None
    limit: int | None
    view: str

    @property
    def wanted(self) -> Wanted:
        """The filters as the record takes them."""
        found: Wanted = {
            "tasks": self.given["task"] or None,
            "statuses": self.given["status"] or None,
            "where": self.given["where"] or None,
        }
        for name in ONE:
            found[name] = self.given[name] or None  # type: ignore[literal-required]
        return found

    @property
    def filtered(self) -> bool:
        """Whether any filter is set."""
        return any(self.given.values())

    def address(self, path: str = "", **changes: Any) -> str:
        """Returns the address that asks for the same, but for some changes."""
        asked = {**self.given, "view": "list" if self.view == "list" else "", "limit": self.limit, **changes}
        pairs = [(name, value) for name, value in asked.items() if value not in (None, "", [])]
        return f"{path}?{urlencode(pairs, doseq=True)}"

    def older(self, row: RunRow, path: str = "") -> str:
        """Returns the address of the page after the one that ends with a run."""
        return self.address(path, before=f"{row['started']},{row['id']}")


def read(params: QueryParams) -> RunQuery:
    """Returns what an address asks for.

    Raises:
        UsageError: That cannot be asked.
    """
    given: dict[str, Any] = {name: _clean(params.get(name, "")) for name in ONE}
    given |= {name: [text for item in params.getlist(name) if (text := _clean(item))] for name in SEVERAL}
    given["status"] = [text.upper() for text in given["status"]]
    for status in given["status"]:
        if status not in STATUSES:
            raise UsageError(f"there is no status {status!r}.{did_you_mean(status, STATUSES)}")
    before = params.get("before")
    started, comma, identity = (before or "").partition(",")
    if before and not comma:
        raise UsageError("before: write the time and the id of a run, as `next` in the answer has them")
    view = "list" if params.get("view") == "list" else "grid"
    limit = number(params, "limit", None, LARGEST)
    return RunQuery(given, (started, identity) if before else None, limit, view)


def number(params: QueryParams, name: str, default: int | None, largest: int) -> int | None:
    """Returns a whole number from 1 on in an address.

    Raises:
        UsageError: It is none.
    """
    text = params.get(name, "")
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not int(text[:20]) > 0:
        raise UsageError(f"{name}: {text!r} is no number from 1 on")
    return min(int(text[:20]), largest)


def _clean(text: str) -> str:
    return text.strip().replace("\0", "")
