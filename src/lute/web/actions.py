"""What a visitor may do: cancel or repeat a run, say whether its result counts. Each is a POST from our own form."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import parse_qs

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from lute.errors import UsageError
from lute.execution import requests
from lute.record.rows import RERUN_OF, utc
from lute.record.schema import is_live
from lute.web import files
from lute.web.guard import is_bearer, may_act
from lute.web.render import page
from lute.web.site import Site

if TYPE_CHECKING:
    from lute.record.types import RunRow

LONGEST_FORM = 10_000
"""Largest form, in bytes."""
LONGEST_REASON = 500
RERUN_APPEARS = 30.0
"""Longest time until a run that is repeated is in the record, in s."""


async def act(request: Request) -> Response:
    """Does what is asked of a run."""
    site: Site = request.app.state.site
    form = await _form(request)
    if why := may_act(request, form, site):
        if is_bearer(request, site):
            return JSONResponse({"error": why}, 403)
        return page("error.html", 403, title="Not done", text=why)
    reason = " ".join(form.get("reason", "").split())[:LONGEST_REASON]
    action = request.path_params["action"]
    done = {"cancel": cancel, "rerun": rerun, "invalidate": invalidate, "restore": restore}.get(action)
    if done is None:
        raise UsageError(f"there is nothing called {action!r} to do with a run")
    identity = await run_in_threadpool(done, site, request.path_params["id"], reason)
    if is_bearer(request, site):
        return JSONResponse({"id": identity, "done": action})
    return RedirectResponse(f"/runs/{identity}", status_code=303)


def cancel(site: Site, identity: str, reason: str) -> str:
    """Asks a run's owner to stop it, as `lute cancel` does."""
    row = site.run(identity)
    if not is_live(row):
        raise UsageError(f"run {row['id']} is {row['status']}: there is nothing to cancel")
    request = requests.Request(requests.CANCEL, f"{requests.this_user()} on the web page", reason)
    if not requests.cancel_waiting(site.record, row, request):
        requests.post(files.request_file(row), request)
    return str(row["id"])


def rerun(site: Site, identity: str, reason: str) -> str:
    """Starts `lute rerun`, which lives on when this server ends. Returns the new run's id.

    Raises:
        UsageError: The run has not ended, or nothing was started; it says why.
    """
    row = site.run(identity)
    if is_live(row):
        raise UsageError(f"run {row['id']} is {row['status']}: it can be repeated when it has ended")
    begun = utc(time.time())
    with tempfile.TemporaryFile() as told:
        process = _start_rerun(site, row["id"], told)
        deadline = time.monotonic() + RERUN_APPEARS
        while time.monotonic() < deadline:
            ended = process.poll() is not None
            if (new := _repeats(site, row, begun)) is not None:
                return new
            if ended:
                break
            time.sleep(requests.LOOK)
        told.seek(0)
        why = told.read(4096).decode("utf-8", "backslashreplace").strip()
    raise UsageError(f"run {row['id']} was not started again: {why or 'it did not appear in the record'}")


def _start_rerun(site: Site, identity: str, told: IO[bytes]) -> subprocess.Popen[bytes]:
    arguments, variables = site.again
    argv = [sys.executable, "-m", "lute", "rerun", identity, "-q", *arguments]
    nothing: Any = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL}
    process = subprocess.Popen(argv, env={**os.environ, **variables}, stderr=told, start_new_session=True, **nothing)
    threading.Thread(target=process.wait, daemon=True, name="lute-rerun").start()
    return process


def _repeats(site: Site, row: RunRow, since: str) -> str | None:
    """Returns the run that repeats another, once it is in the record."""
    found = site.record.find(task=row["task"], since=since, columns=["id", "sources"])
    return next((str(new["id"]) for new in found if (new["sources"] or {}).get(RERUN_OF) == row["id"]), None)


def invalidate(site: Site, identity: str, reason: str) -> str:
    """Says that a result must not be used by others, and why."""
    row = site.run(identity)
    _check_completed(row)
    if not reason:
        raise UsageError("say why: the reason is kept in the record")
    site.record.set_valid(row["id"], False, reason)
    return str(row["id"])


def restore(site: Site, identity: str, reason: str) -> str:
    """Says that a result may be used by others after all."""
    row = site.run(identity)
    _check_completed(row)
    site.record.set_valid(row["id"], True, reason or None)
    return str(row["id"])


def _check_completed(row: RunRow) -> None:
    if row["status"] != "COMPLETED":
        raise UsageError(f"run {row['id']} is {row['status']}: only what completed has a result")


async def _form(request: Request) -> dict[str, str]:
    data = b""
    async for piece in request.stream():
        data += piece
        if len(data) > LONGEST_FORM:
            raise UsageError(f"the form is too long: at most {LONGEST_FORM} bytes")
    return {name: values[-1] for name, values in parse_qs(data.decode("utf-8", "replace")).items()}
