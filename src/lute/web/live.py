"""A run as it goes: server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, cast

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lute.record.rows import column, printable
from lute.record.schema import is_live
from lute.tasks.progress import as_text, metric_as_text, share
from lute.web.asking import number
from lute.web.files import Follower
from lute.web.site import Site
from lute.wire.status import LOOKS, SYMBOLS

if TYPE_CHECKING:
    from lute.record.types import RunRow, RunState

LOOK = 0.3
"""Time between two looks at a run, in s."""
STILL_HERE = 15.0
"""After so many s with nothing to tell, a comment is sent, so that nothing between takes the connection for dead."""


async def events(request: Request) -> Response:
    """Sends a run's state, its progress and its log as they change, until it has ended."""
    site: Site = request.app.state.site
    row = await run_in_threadpool(site.run, request.path_params["id"])
    last = request.headers.get("last-event-id", "")
    offset = int(last) if last.isascii() and last.isdigit() else _offset(request)
    return StreamingResponse(_events(site, row["id"], Follower(row, offset)), media_type="text/event-stream")


def _offset(request: Request) -> int:
    if request.query_params.get("offset", "0") == "0":
        return 0
    return number(request.query_params, "offset", 0, 2**62) or 0


async def _events(site: Site, identity: str, log: Follower) -> AsyncIterator[str]:
    told: object = None
    spoke = time.monotonic()
    while not site.stopping.is_set():
        row = await run_in_threadpool(site.run, identity)  # before the log: after its end nothing more is written
        if (state := state_of(row)) != told:
            told, spoke = state, time.monotonic()
            yield _event("state", state)
        while piece := await run_in_threadpool(log.more):
            spoke = time.monotonic()
            yield _event("log", piece, piece["offset"])
        if not is_live(row):
            yield _event("end", {"status": row["status"]})
            return
        if time.monotonic() - spoke > STILL_HERE:
            spoke = time.monotonic()
            yield ": still here\n\n"
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(site.stopping.wait(), LOOK)


def state_of(row: RunRow) -> RunState:
    """Returns what may change of a run while it lives; `progress` also as text and share, metrics also as text."""
    names = ("status", "reason", "summary", "started", "ended", "wall_s", "progress")
    state = {name: column(row, name) for name in names} | {
        "symbol": SYMBOLS[row["status"]],
        "look": LOOKS[row["status"]],
    }
    progress = row["progress"]
    state["progress_text"] = as_text(progress) if progress else ""
    state["progress_share"] = share(progress) if progress else None
    state["metrics"] = {
        name: {**value, "text": metric_as_text(value)} for name, value in (row["metrics"] or {}).items()
    }
    return cast("RunState", state)


def _event(name: str, data: object, identity: int | None = None) -> str:
    place = f"id: {identity}\n" if identity is not None else ""
    return f"event: {name}\n{place}data: {json.dumps(printable(data))}\n\n"
