"""Runs -> what pages show of them: pure functions."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from lute import registry
from lute.errors import TaskNotFoundError
from lute.io._schema import LIVE
from lute.io.rows import plain
from lute.io.shown import seconds, when
from lute.tasks.progress import as_text, metric_as_text
from lute.web.render import as_value

MOST_NUMBERS = 3
"""Key numbers of a run in the grid."""
Row = Mapping[str, Any]


@dataclass
class Cell:
    """The runs of a Task on one acquisition: the newest, and how many others the page has."""

    row: Row
    others: int = 0


@dataclass
class Line:
    """One acquisition of the grid; `cells` by the name of the Task."""

    experiment: str
    run: str
    cells: dict[str, Cell] = field(default_factory=dict)


def name_of(row: Row) -> str:
    """Returns by which name a run was started."""
    return str(row["managed_task"] or row["task"])


def grid(rows: Sequence[Row]) -> tuple[list[str], list[Line]]:
    """Returns the Tasks, in the order in which they first ran, and the acquisitions, those with new runs first."""
    lines: dict[tuple[str, str], Line] = {}
    for row in rows:
        experiment, run = str(row["experiment"] or ""), str(row["run"] or "")
        cells = lines.setdefault((experiment, run), Line(experiment, run)).cells
        if (name := name_of(row)) in cells:
            cells[name].others += 1
        else:
            cells[name] = Cell(row)
    tasks = dict.fromkeys(name_of(row) for row in reversed(rows))
    return list(tasks), list(lines.values())


def key_numbers(row: Row) -> list[str]:
    """Returns the few things worth knowing of a run: its metrics or summary; why it failed; or how far it is."""
    if row["status"] in LIVE:
        return [as_text(row["progress"])] if row["progress"] else []
    if row["status"] != "COMPLETED":
        return [str(row["reason"] or "")]
    if row["plots"] and row["summary"] in row["plots"]:
        return [f"figure {PurePath(str(row['summary'])).parent.name}"]
    metrics = [f"{name} {metric_as_text(value)}" for name, value in (row["metrics"] or {}).items()]
    return metrics[:MOST_NUMBERS] or str(row["summary"] or "").split(";")[:MOST_NUMBERS]


def flat(value: Any, name: str = "") -> dict[str, Any]:
    """Returns nested values by names as `a.b`; lists stay whole.

    >>> flat({"a": {"b": 1, "c": {}}, "d": [1, 2]})
    {'a.b': 1, 'a.c': {}, 'd': [1, 2]}
    """
    if not isinstance(value, Mapping) or (name and not value):
        return {name: value}
    found = {}
    for key, item in value.items():
        found.update(flat(item, f"{name}.{key}" if name else str(key)))
    return found


@dataclass
class Parameter:
    """A parameter of a run. Where `default` or `last` is None, there is none or it is the same."""

    name: str
    value: Any
    default: list[Any] | None
    last: list[Any] | None


def parameters(row: Row, last: Row | None) -> list[Parameter]:
    """Returns a run's parameters, with the default and the value of the last run of the Task where they differ."""
    defaults = defaults_of(row["task"])
    before = own(last) if last is not None else {}
    found = []
    for name, value in own(row).items():
        default = [defaults[name]] if name in defaults and defaults[name] != value else None
        if last is not None and name not in before:
            earlier: list[Any] | None = []
        else:
            earlier = [before[name]] if last is not None and before[name] != value else None
        found.append(Parameter(name, value, default, earlier))
    return found


def own(row: Row) -> dict[str, Any]:
    """Returns a run's parameters without the header, flat."""
    return flat({name: value for name, value in (row["parameters"] or {}).items() if name != "lute_config"})


def defaults_of(task: str) -> dict[str, Any]:
    """Returns the defaults of a Task's parameters, flat; nothing if its plug-in is not loaded."""
    try:
        model: Any = registry.model_of(task)
    except TaskNotFoundError:
        return {}
    given = {
        name: plain(about.default)
        for name, about in model.model_fields.items()
        if name != "lute_config" and not about.is_required() and about.default_factory is None
    }
    return flat(given)


@dataclass
class Difference:
    """One line of a comparison; None where a run has no such entry."""

    name: str
    a: str | None
    b: str | None
    differs: bool


def compare(a: Row, b: Row) -> dict[str, list[Difference]]:
    """Returns two runs side by side, by section."""
    sections = [(_about(a), _about(b), "Run"), (own(a), own(b), "Parameters")]
    for title, name in (("Metrics", "metrics"), ("Versions", "versions"), ("Environment", "environment")):
        sections.append((_texts(name, a), _texts(name, b), title))
    header = [flat((row["parameters"] or {}).get("lute_config") or {}) for row in (a, b)]
    sections.append((header[0], header[1], "Header"))
    return {title: lines for left, right, title in sections if (lines := differences(left, right))}


def differences(left: Mapping[str, Any], right: Mapping[str, Any]) -> list[Difference]:
    """Returns every entry of two mappings, in order."""
    none = object()
    return [
        Difference(name, _text(left, name), _text(right, name), left.get(name, none) != right.get(name, none))
        for name in dict.fromkeys([*left, *right])
    ]


def _text(values: Mapping[str, Any], name: str) -> str | None:
    return as_value(values[name]) if name in values else None


def _texts(name: str, row: Row) -> dict[str, Any]:
    found = row[name] or {}
    return {key: metric_as_text(value) for key, value in found.items()} if name == "metrics" else dict(found)


def _about(row: Row) -> dict[str, Any]:
    return {
        "Task": name_of(row),
        "Status": row["status"],
        "Why it ended": row["reason"] or "",
        "Experiment": row["experiment"] or "",
        "Acquisition run": row["run"] or "",
        "Started": when(row["started"]),
        "Time it took": seconds(row["wall_s"]),
        "Host": row["host"] or "",
        "Summary": row["summary"] or "",
        "Command": shlex.join(row["command"] or []),
        "Code": "; ".join(_code(file) for file in row["code"] or []),
    }


def _code(file: Mapping[str, Any]) -> str:
    commit = f" at {file['commit'][:12]}" if file.get("commit") else ""
    return f"{file['path']}{commit}{' (changed since)' if file.get('dirty') else ''}"


def states_of(steps: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Returns the worst status of each step of a workflow run, whose instances may have several."""
    order = ("FAILED", "TIMEDOUT", "CANCELLED", "BLOCKED", "RUNNING", "PENDING", "COMPLETED", "SKIPPED")
    found: dict[str, str] = {}
    for step in steps:
        known = found.get(step["step"], "SKIPPED")
        worse = min(known, step["status"], key=lambda one: order.index(one) if one in order else 0)
        found[step["step"]] = worse
    return found
