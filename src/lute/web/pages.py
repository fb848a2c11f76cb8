"""The pages."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from lute.errors import LuteError, UsageError
from lute.publish import page as figures
from lute.publish import report
from lute.record import workflow_store
from lute.record.schema import flat_values
from lute.web import asking, files, lists, plot, shown, tables, views
from lute.web.guard import FORM_USE
from lute.web.render import page, readable
from lute.web.site import NotThere, Site, figures_of
from lute.wire.status import SYMBOLS
from lute.workflows import definition, draw

if TYPE_CHECKING:
    from lute.record.types import FigureEntry, MetricPoint, RunRow, WorkflowRow

LARGEST_FIGURE = 1 << 28
"""A page of figures that is larger is not shown, in bytes."""
FIGURE_HEADERS = {
    "Content-Security-Policy": f"sandbox allow-scripts allow-downloads; {figures.SCRIPTED}; frame-ancestors 'self'"
}
"""A page of figures has its own scripts, but no part of this site: no cookie, no other page, no network."""


def show(request: Request, template: str, /, **content: Any) -> Response:
    """Returns a page of the site."""
    site: Site = request.app.state.site
    fixed = {"path": request.url.path, "record": str(site.record), "may_act": site.token is not None}
    return page(template, **fixed, check=site.derived(FORM_USE), **content)


def home(request: Request) -> Response:
    """Shows what ran, as a grid or as a list."""
    site: Site = request.app.state.site
    asked, wrong = _asked(request)
    limit = asked.limit or (lists.GRID if asked.view == "grid" else asking.PAGE)
    try:
        rows, more = ([], False) if wrong else lists.runs(site, asked, limit)
    except UsageError as error:
        rows, more, wrong = [], False, str(error)
    tasks, lines = views.grid(rows)
    older = asked.older(rows[-1]) if more else None
    content = {"asked": asked, "rows": rows, "older": older, "wrong": wrong, "columns": tasks, "lines": lines}
    return show(
        request,
        "home.html",
        **content,
        statuses=asking.STATUSES,
        known=site.tasks(),
        key_numbers=views.key_numbers,
        name_of=views.name_of,
    )


def _asked(request: Request) -> tuple[asking.RunQuery, str]:
    """Returns what is asked for, and what is wrong with it."""
    try:
        return asking.read(request.query_params), ""
    except UsageError as error:
        return asking.read(type(request.query_params)()), str(error)


def run(request: Request) -> Response:
    """Shows one run."""
    site: Site = request.app.state.site
    row = site.run(request.path_params["id"])
    last = lists.last_before(site, row)
    try:
        text, offset, more = files.tail(row)
        log = {"text": readable(text), "offset": offset, "more": more, "missing": ""}
    except NotThere as error:
        log = {"text": readable(row["log_tail"] or ""), "offset": 0, "more": False, "missing": str(error)}
    header = flat_values((row["parameters"] or {}).get("lute_config") or {})
    content = {"row": row, "last": last, "log": log, "header": header, "name": views.name_of(row)}
    drawn = {"figures": _figures(row), "tables": tables.of_payload(row), "shown": shown.shown(row)}
    return show(request, "run.html", **content, **drawn, parameters=views.parameters(row, last))


def _figures(row: RunRow) -> list[FigureEntry]:
    """Returns name and address of each of a run's pages of figures."""
    found: list[FigureEntry] = []
    for number, path in enumerate(row["plots"] or []):
        name = re.sub(r"/(report|history/\w+)\.html$", "", str(path).removeprefix(f"{_folder_of(row, str(path))}/"))
        found.append({"name": name, "address": f"/runs/{row['id']}/figures/{number}", "there": _is_there(row, number)})
    return found


def _folder_of(row: RunRow, page: str) -> Path:
    """Returns the folder in which a run's page must be: its own, or the summary folder of a run before that was."""
    if "/lute.runs/" in page:
        with contextlib.suppress(NotThere):
            return files.of_run(row).plots
    return figures_of(row)


def _is_there(row: RunRow, number: int) -> bool:
    try:
        _open_figure(row, number).close()
    except NotThere:
        return False
    return True


def _open_figure(row: RunRow, number: int) -> BinaryIO:
    path = str(row["plots"][number])
    return files.open_below(_folder_of(row, path), path)


def run_figure(request: Request) -> Response:
    """Sends a page of figures that a run made."""
    row = request.app.state.site.run(request.path_params["id"])
    paths, number = row["plots"] or [], request.path_params["number"]
    if number >= len(paths):
        raise NotThere(f"run {row['id']} has no such figure")
    return _figure(_open_figure(row, number))


def run_output(request: Request) -> Response:
    """Sends a picture or HTML file that a run wrote."""
    row = request.app.state.site.run(request.path_params["id"])
    kind, data = shown.content(row, request.path_params["number"], read=True)
    headers = FIGURE_HEADERS if kind == "text/html" else shown.PICTURE_HEADERS
    return Response(data, media_type=kind, headers=headers)


def summary_file(request: Request) -> Response:
    """Sends a page of figures of the summary folder."""
    path = request.path_params["path"]
    if not path.endswith(".html"):
        raise NotThere("there is no such page of figures")
    return _figure(files.open_below(request.app.state.site.summary, path))


def _figure(file: BinaryIO) -> Response:
    with file:
        if files.size_of(file) > LARGEST_FIGURE:
            raise NotThere("this page of figures is too large to be shown here: open its file")
        data = file.read()
    return Response(figures.without_way(data), media_type="text/html", headers=FIGURE_HEADERS)


def run_log(request: Request) -> Response:
    """Sends a log as it is, from a place in it on."""
    row = request.app.state.site.run(request.path_params["id"])
    offset = asking.number(request.query_params, "offset", 0, 2**62) if request.query_params.get("offset") != "0" else 0
    file = files.open_log(row)
    end = files.size_of(file)
    start = min(offset or 0, end)
    headers = {"Content-Length": str(end - start)}
    return StreamingResponse(files.pieces(file, start, end), media_type="text/plain", headers=headers)


def compare(request: Request) -> Response:
    """Shows two runs side by side."""
    site: Site = request.app.state.site
    asked = [request.query_params.get(name, "").strip() for name in ("a", "b")]
    chosen = [identity for identity in [*asked, *reversed(request.query_params.getlist("id"))] if identity]
    if len(chosen) != 2:
        return show(request, "compare.html", chosen=[*chosen, "", ""][:2], many=len(chosen), sections={}, rows=[])
    rows = [site.run(identity) for identity in chosen]
    only = request.query_params.get("only") == "differences"
    sections = views.compared(rows[0], rows[1], everything=not only)
    ids = [row["id"] for row in rows]
    return show(request, "compare.html", chosen=ids, many=2, sections=sections, rows=rows, only=only)


def trends(request: Request) -> Response:
    """Shows a metric over runs."""
    site: Site = request.app.state.site
    asked, wrong = _asked(request)
    limit = asked.limit or asking.PAGE * 4
    names = lists.metric_names(site, asked, limit) if asked.given["task"] and not wrong else []
    metric = request.query_params.get("metric", "") or (names[0] if names else "")
    found = lists.metrics(site, asked, metric, limit) if names else []
    content = {"asked": asked, "metric": metric, "names": names, "found": found, "wrong": wrong, "limit": limit}
    return show(request, "trends.html", **content, drawing=_drawing(found, metric), known=site.tasks())


def _drawing(found: list[MetricPoint], metric: str) -> Markup:
    usable = [one for one in found if one["value"] is not None and math.isfinite(one["value"])]
    points = [
        plot.Point(
            float(one["value"] or 0),
            one["run"] or "",
            f"acquisition run {one['run']}: {one['value']:g} {one['unit']}",
            f"/runs/{one['id']}",
            one["valid"],
        )
        for one in usable
    ]
    if not points:
        return Markup("")
    label = f"{metric} of {len(points)} runs; the same numbers are in the table below"
    return Markup(plot.as_svg(points, label, usable[-1]["unit"]))  # noqa: S704 - what is not ours is escaped there


def summary(request: Request) -> Response:
    """Lists the pages of figures, by tab."""
    folder = request.app.state.site.summary
    entries = sorted(report.entries(folder.absolute()), key=lambda entry: entry.about.time, reverse=True)
    tabs: dict[str, list[Any]] = {}
    for entry in entries:
        tabs.setdefault(entry.about.tab, []).append(entry)
    chosen = request.query_params.get("tab") or next(iter(tabs), "")
    return show(request, "summary.html", tabs=dict(sorted(tabs.items())), chosen=chosen, folder=str(folder))


def summary_page(request: Request) -> Response:
    """Shows one page of figures."""
    path = request.path_params["path"]
    for entry in report.entries(request.app.state.site.summary.absolute()):
        if entry.path == path:
            return show(request, "figure.html", entry=entry)
    raise NotThere("there is no such page of figures")


def workflows(request: Request) -> Response:
    """Lists workflow runs."""
    site: Site = request.app.state.site
    found = workflow_store.find(site.record, asking.PAGE * 4) if site.record.exists() else []
    return show(request, "workflows.html", rows=found, counts=_counts)


def _counts(row: WorkflowRow) -> list[tuple[str, int]]:
    statuses = [step["status"] for step in row["steps"] or []]
    return [(status, statuses.count(status)) for status in SYMBOLS if status in statuses]


def workflow(request: Request) -> Response:
    """Shows one workflow run."""
    row = request.app.state.site.workflow(request.path_params["id"])
    drawing = ""
    if row["definition"]:
        try:
            parsed = definition.parse(row["definition"], row["file"] or "workflow")
            drawing = draw.as_svg(parsed, views.states_of(row["steps"] or []))
        except LuteError:  # it ran with Tasks that are not loaded here: the table below says all
            drawing = ""
    return show(request, "workflow.html", row=row, drawing=Markup(drawing))  # noqa: S704 - escaped there
