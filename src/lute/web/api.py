"""The JSON API. It only reads."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lute.errors import UsageError
from lute.record import workflow_store
from lute.record.rows import printable, public
from lute.web import asking, lists
from lute.web.site import Site
from lute.workflows import page as workflow_page


def runs(request: Request) -> Response:
    """Returns one page of runs, newest first, and the address of the next."""
    site: Site = request.app.state.site
    asked = asking.read(request.query_params)
    rows, more = lists.runs(site, asked, asked.limit or asking.PAGE, ())
    older = asked.older(rows[-1], "/api/runs") if more else None
    return JSONResponse(printable({"runs": [public(row) for row in rows], "next": older}))


def run(request: Request) -> Response:
    """Returns one run."""
    row = request.app.state.site.run(request.path_params["id"])
    return JSONResponse(printable(public(row)))


def workflows(request: Request) -> Response:
    """Returns the last workflow runs."""
    site: Site = request.app.state.site
    limit = asking.number(request.query_params, "limit", asking.PAGE, asking.LARGEST)
    found = workflow_store.find(site.record, limit) if site.record.exists() else []
    return JSONResponse({"workflows": [workflow_page.public(row) for row in found]})


def workflow(request: Request) -> Response:
    """Returns one workflow run."""
    return JSONResponse(workflow_page.public(request.app.state.site.workflow(request.path_params["id"])))


def tasks(request: Request) -> Response:
    """Returns the names of the Tasks that are recorded."""
    return JSONResponse({"tasks": request.app.state.site.tasks()})


def metrics(request: Request) -> Response:
    """Returns a metric's values over runs, or the names of the metrics there are."""
    site: Site = request.app.state.site
    asked = asking.read(request.query_params)
    if not asked.given["task"]:
        raise UsageError("which Task? Give task=NAME, as /api/tasks lists them")
    limit = asking.number(request.query_params, "limit", asking.PAGE * 4, lists.MOST_POINTS) or 1
    metric = request.query_params.get("metric", "")
    found: object = {"metrics": lists.metric_names(site, asked, limit)}
    if metric:
        found = {"metric": metric, "values": lists.metrics(site, asked, metric, limit)}
    return JSONResponse(printable(found))
