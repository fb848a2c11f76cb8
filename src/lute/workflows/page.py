"""A workflow run as one HTML page: its graph, a timeline and a table of its steps. Opens with no network."""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import datetime
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from lute.base.files import write_whole
from lute.graph.dag import Workflow
from lute.publish import page
from lute.record.store import Record
from lute.wire.status import badness_of
from lute.workflows.draw import as_svg, colour_of

if TYPE_CHECKING:
    from lute.record.types import PublicWorkflow, RunRow, StepEntry, WorkflowRow

logger = logging.getLogger(__name__)

NAME = "report.html"
LARGEST = 300
"""With more steps, counted with the instances of `foreach`, graph, timeline and the steps' commands are left out."""
COLUMNS = ("id", "step", "status", "started", "ended", "attempt", "command", "log", "plots")
"""What is read of each step's run."""
HEADS = ("Step", "Task", "Status", "Time", "Attempts", "Reason", "Command", "Log", "Figures")
ROW, BAR, LABEL, WIDE = 22, 14, 180, 900
"""Sizes of the timeline, in pixels: a row, the bar in it, the names, the whole."""

_STYLE = """
.paper{background:#fff;border:1px solid var(--line);border-radius:.5rem;padding:1rem;overflow-x:auto;margin:0 0 1.5rem}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:.9rem;background:var(--card)}
th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:left;vertical-align:top}
td.n{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
td code{font-size:.85em;overflow-wrap:anywhere}
.state{color:#1c2330;border-radius:.3rem;padding:.05rem .4rem;white-space:nowrap}
h2{font-size:1.2rem;margin:1.4rem 0 .5rem}
"""


def write(workflow: Workflow, row: WorkflowRow, record: Record) -> Path:
    """Writes the page of a workflow run into its folder.

    Args:
        workflow: The workflow.
        row: What the record has of the workflow run.
        record: Where the steps' runs are recorded.

    Raises:
        OSError: The file cannot be written.
        RecordError: The steps' runs cannot be read.
    """
    runs = _runs_of(record, row) if len(row["steps"]) <= LARGEST else []
    place = Path(row["folder"]) / NAME
    write_whole(place, html(workflow, row, runs).encode("utf-8", "xmlcharrefreplace"))
    return place


def write_if_possible(workflow: Workflow, row: WorkflowRow, record: Record) -> None:
    """Writes the page of a workflow run that has ended; that it cannot be written is no more than a warning."""
    try:
        write(workflow, row, record)
    except Exception as error:  # it is for people; the workflow has ended as it has
        logger.warning("the report of workflow run %s could not be written: %s", row["id"], error)


def public(row: WorkflowRow) -> PublicWorkflow:
    """Returns a workflow run as `--json` and the web page's API tell it."""
    shown = {name: value for name, value in row.items() if name not in ("owner", "definition", "options", "steps")}
    return cast("PublicWorkflow", {**shown, "report": path_of(row), "steps": row["steps"]})


def path_of(row: WorkflowRow) -> str | None:
    """Returns where the page of a workflow run is; None if it has none."""
    place = os.path.join(row["folder"], NAME)
    return place if os.path.isfile(place) else None


def _runs_of(record: Record, row: WorkflowRow) -> list[RunRow]:
    """Returns the runs of this workflow run, oldest first, and those that it took from earlier ones."""
    runs = record.find(workflow=row["id"], columns=COLUMNS, descending=False)
    own = {run["id"] for run in runs}
    return runs + [record.get(step["id"]) for step in row["steps"] if step["id"] and step["id"] not in own]


def html(workflow: Workflow, row: WorkflowRow, runs: Sequence[RunRow]) -> str:
    """Returns the page of a workflow run.

    Args:
        workflow: The workflow.
        row: What the record has of the workflow run.
        runs: Its steps' runs, oldest first, with `COLUMNS`.
    """
    parts = [f"<header><h1>{escape(row['name'])}: {escape(row['status'])}</h1>\n{_facts(row)}</header>\n<main>"]
    if len(row["steps"]) <= LARGEST:
        parts.append(f'<h2>Steps</h2>\n<div class="paper">{as_svg(workflow, _states(row))}</div>')
        parts.append(f'<h2>Timeline</h2>\n<div class="paper">{timeline(row, runs)}</div>')
    else:
        note = "The graph, the timeline and the steps' commands are left out:"
        parts.append(f"<p>{note} {len(row['steps'])} steps are more than {LARGEST}.</p>")
    parts.append(_table(row, {run["id"]: run for run in runs}) + "\n</main>")
    return page.document(f"{row['name']}: {row['status']}", "\n".join(parts), _STYLE)


def _facts(row: WorkflowRow) -> str:
    told = {
        "Workflow run": row["id"],
        "Why": row["reason"],
        "Experiment": row["experiment"],
        "Acquisition run": row["run"],
        "Started": _moment(row["started"]),
        "Time": _span(row["wall_s"]),
        "Host": row["host"],
        "Definition": row["file"],
        "Parameters": row["config"],
    }
    pairs = "".join(f"<div><dt>{name}</dt><dd>{escape(str(value))}</dd></div>" for name, value in told.items() if value)
    return f'<dl class="about">{pairs}</dl>'


def _states(row: WorkflowRow) -> dict[str, str]:
    """Returns the state of each step: of its instances' states, the one that counts most."""
    states: dict[str, str] = {}
    for entry in row["steps"]:
        known = states.get(entry["step"], entry["status"])
        states[entry["step"]] = max(known, entry["status"], key=badness_of)
    return states


# ---------------------------------------------------------------------------------------- the timeline


def timeline(row: WorkflowRow, runs: Sequence[RunRow]) -> str:
    """Returns a drawing: a line for each step or instance, a bar for each of its attempts."""
    bars = {entry["name"]: _bars(entry, runs) for entry in row["steps"]}
    ends = [end for several in bars.values() for _, end, _ in several]
    first = min((start for several in bars.values() for start, _, _ in several), default=0.0)
    whole = max([*ends, first + 1e-3]) - first
    high = ROW * (len(bars) + 1) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDE} {high}" width="{WIDE}" height="{high}" role="img"'
        f' aria-label="When the steps ran" font-family="sans-serif" font-size="12" fill="#212121">'
    ]
    for line, (name, several) in enumerate(bars.items()):
        parts.append(f'<text x="4" y="{ROW * line + 16}">{escape(name if len(name) < 25 else name[:24] + "…")}</text>')
        parts += [
            _bar(name, line, (start - first) / whole, (end - first) / whole, state, end - start)
            for start, end, state in several
        ]
    axis = ROW * len(bars) + 18
    parts.append(f'<path d="M{LABEL},{axis - 12} H{WIDE - 8}" stroke="#90a4ae"/>')
    for part in (0, 0.25, 0.5, 0.75, 1):
        anchor = "end" if part == 1 else "start" if part == 0 else "middle"
        x = LABEL + part * (WIDE - 8 - LABEL)
        parts.append(
            f'<text x="{x:.0f}" y="{axis + 2}" text-anchor="{anchor}" fill="#546e7a">{_span(part * whole)}</text>'
        )
    return "\n".join([*parts, "</svg>"])


def _bars(entry: StepEntry, runs: Sequence[RunRow]) -> list[tuple[float, float, str]]:
    """Returns start, end and state of each attempt; of a step that was reused, of the look at it."""
    own = [] if entry["reused"] else [bar for run in runs if run["step"] == entry["name"] and (bar := _bar_of(run))]
    whole = _bar_of(entry)
    return own or ([whole] if whole else [])


def _bar_of(one: RunRow | StepEntry) -> tuple[float, float, str] | None:
    started, ended = one["started"], one["ended"]
    return (_seconds(started), _seconds(ended), one["status"]) if started and ended else None


def _bar(name: str, line: int, start: float, end: float, state: str, took: float) -> str:
    room = WIDE - 8 - LABEL
    x, wide = LABEL + start * room, max(2.0, (end - start) * room)
    return (
        f'<rect x="{x:.1f}" y="{ROW * line + 5}" width="{wide:.1f}" height="{BAR}" rx="2"'
        f' fill="{colour_of(state)}" stroke="#607d8b">'
        f"<title>{escape(name)}: {escape(state)}, {_span(took)}</title></rect>"
    )


# ------------------------------------------------------------------------------------------- the table


def _table(row: WorkflowRow, runs: Mapping[str, RunRow]) -> str:
    heads = "".join(f"<th>{head}</th>" for head in HEADS)
    lines = "\n".join(_line(entry, runs.get(entry["id"] or ""), row["folder"]) for entry in row["steps"])
    return f'<h2>Table</h2>\n<div class="scroll"><table><tr>{heads}</tr>\n{lines}\n</table></div>'


def _line(entry: StepEntry, run: RunRow | None, folder: str) -> str:
    took = _seconds(entry["ended"]) - _seconds(entry["started"]) if entry["started"] and entry["ended"] else None
    state = entry["status"] + (" (reused)" if entry["reused"] else "")
    colour = colour_of(entry["status"])
    pages = [_link(path, folder, Path(path).parent.name) for path in (run.get("plots") or [] if run else [])]
    log = _link(run["log"], folder, "log") if run and run.get("log") else ""
    command = f"<code>{escape(shlex.join(run['command']))}</code>" if run and run.get("command") else ""
    return (
        f"<tr><td>{escape(entry['name'])}</td><td>{escape(entry['task'])}</td>"
        f'<td><span class="state" style="background:{colour}">{escape(state)}</span></td>'
        f'<td class="n">{_span(took)}</td><td class="n">{entry["attempt"] or ""}</td><td>{escape(entry["reason"])}</td>'
        f"<td>{command}</td><td>{log}</td><td>{', '.join(pages)}</td></tr>"
    )


def _link(path: str, folder: str, text: str) -> str:
    """Returns a link that still leads there when the work folder is seen from elsewhere."""
    return f'<a href="{escape(quote(os.path.relpath(path, folder)))}" title="{escape(path)}">{escape(text)}</a>'


def _seconds(iso: str) -> float:
    return datetime.fromisoformat(iso).timestamp()


def _moment(iso: str | None) -> str:
    return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z") if iso else ""


def _span(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.2f} s" if value < 10 else f"{value:.0f} s" if value < 600 else f"{value / 60:.0f} min"
