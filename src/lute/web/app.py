"""Which address is which page."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from lute.errors import LuteError, RecordError
from lute.web import actions, api, live, pages
from lute.web.guard import Guard
from lute.web.render import HERE, page
from lute.web.site import NotThere, Site

logger = logging.getLogger(__name__)

REFRESH = 3.0
"""Time between two times that the record is brought up to date, in s."""
ROUTES = [
    Route("/", pages.home),
    Route("/runs/{id}", pages.run),
    Route("/runs/{id}/log", pages.run_log),
    Route("/runs/{id}/figures/{number:int}", pages.run_figure),
    Route("/runs/{id}/outputs/{number:int}", pages.run_output),
    Route("/runs/{id}/{action}", actions.act, methods=["POST"]),
    Route("/compare", pages.compare),
    Route("/trends", pages.trends),
    Route("/summary/", pages.summary),
    Route("/summary/pages/{path:path}", pages.summary_page),
    Route("/summary/files/{path:path}", pages.summary_file),
    Route("/workflows", pages.workflows),
    Route("/workflows/{id}", pages.workflow),
    Route("/api/runs", api.runs),
    Route("/api/runs/{id}", api.run),
    Route("/api/runs/{id}/log", pages.run_log),
    Route("/api/runs/{id}/events", live.events),
    Route("/api/workflows", api.workflows),
    Route("/api/workflows/{id}", api.workflow),
    Route("/api/tasks", api.tasks),
    Route("/api/metrics", api.metrics),
    Mount("/static", StaticFiles(directory=HERE / "static")),
]


def make_app(site: Site) -> ASGIApp:
    """Returns the application of one server."""
    handlers = {LuteError: _cannot, HTTPException: _no_page, Exception: _broken}
    app = Starlette(routes=ROUTES, exception_handlers=handlers, lifespan=_lifespan)  # type: ignore[arg-type]
    app.state.site = site
    return Guard(app, site)


@contextlib.asynccontextmanager
async def _lifespan(app: Starlette) -> AsyncIterator[None]:
    site: Site = app.state.site
    task = asyncio.create_task(_keep_fresh(site))
    yield
    site.stopping.set()
    await task
    site.record.close()


async def _keep_fresh(site: Site) -> None:
    """Brings the record up to date now and then: reading a page must change nothing."""
    while not site.stopping.is_set():
        try:
            await run_in_threadpool(site.refresh)
        except (LuteError, OSError) as error:
            logger.warning("the record could not be brought up to date: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(site.stopping.wait(), REFRESH)


def _tell(request: Request, code: int, text: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text}, code)
    titles = {404: "Not there", 400: "That cannot be done", 503: "The record cannot be read"}
    return page("error.html", code, title=titles.get(code, "Something went wrong"), text=text)


def _cannot(request: Request, error: LuteError) -> Response:
    code = 404 if isinstance(error, NotThere) else 503 if isinstance(error, RecordError) else 400
    return _tell(request, code, str(error))


def _no_page(request: Request, error: HTTPException) -> Response:
    text = "there is no such page" if error.status_code == 404 else error.detail
    return _tell(request, error.status_code, text)


def _broken(request: Request, error: Exception) -> Response:
    return _tell(request, 500, "this is an error in lute; the server's terminal says more")
