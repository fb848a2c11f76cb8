"""Runs -> what pages show of them: pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from lute import registry
from lute.base.formatting import seconds, when
from lute.errors import TaskNotFoundError
from lute.record import compare
from lute.record.defaults import defaults_of, own_parameters
from lute.record.schema import is_live
from lute.tasks.progress import as_text, metric_as_text
from lute.web.render import as_value
from lute.wire.status import badness_of

if TYPE_CHECKING:
    from lute.record.types import RunRow, StepEntry

MOST_NUMBERS = 3
"""Key numbers of a run in the grid."""


@dataclass
class Cell:
    """The runs of a Task on one acquisition: the newest, and how many others the page has."""

    row: RunRow
    others: int = 0


@dataclass
class Line:
    """One acquisition of the grid; `cells` by the name of the Task."""

    experiment: str
    run: str
    cells: dict[str, Cell] = field(default_factory=dict)


def name_of(row: RunRow) -> str:
    """Returns by which name a run was started."""
    return str(row["managed_task"] or row["task"])


def grid(rows: Sequence[RunRow]) -> tuple[list[str], list[Line]]:
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


def key_numbers(row: RunRow) -> list[str]:
    """Returns the few things worth knowing of a run: its metrics or summary; why it failed; or how far it is."""
    if is_live(row):
        return [as_text(row["progress"])] if row["progress"] else []
    if row["status"] != "COMPLETED":
        return [str(row["reason"] or "")]
    if row["plots"] and row["summary"] in row["plots"]:
        return [f"figure {PurePath(str(row['summary'])).parent.name}"]
    metrics = [f"{name} {metric_as_text(value)}" for name, value in (row["metrics"] or {}).items()]
    return metrics[:MOST_NUMBERS] or str(row["summary"] or "").split(";")[:MOST_NUMBERS]


@dataclass
class Parameter:
    """A parameter of a run. Where `default` or `last` is None, there is none or it is the same."""

    name: str
    value: Any
    default: list[Any] | None
    last: list[Any] | None


def parameters(row: RunRow, last: RunRow | None) -> list[Parameter]:
    """Returns a run's parameters, with the default and the value of the last run of the Task where they differ."""
    defaults = _defaults_of(row["task"])
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


def own(row: RunRow) -> dict[str, Any]:
    """Returns a run's parameters without the header, flat."""
    return own_parameters(row["parameters"])


def _defaults_of(task: str) -> dict[str, Any]:
    """Returns the defaults of a Task's parameters, flat; nothing if its plug-in is not loaded."""
    try:
        return defaults_of(registry.model_of(task))
    except TaskNotFoundError:
        return {}


@dataclass
class Difference:
    """One line of a comparison; None where a run has no such entry."""

    name: str
    a: str | None
    b: str | None
    differs: bool


def compared(a: RunRow, b: RunRow, everything: bool) -> dict[str, list[Difference]]:
    """Returns two runs side by side, by section: what `lute diff` tells, and when and where they ran."""
    found = {"About": [Difference(name, about(a), about(b), False) for name, about in _ABOUT.items()]}
    for section, entries in compare.compare(a, b, everything).items():
        found[section.capitalize()] = [
            Difference(name, _side(entry, "a"), _side(entry, "b"), compare.differs(entry))
            for name, entry in entries.items()
        ]
    return found


def _side(entry: compare.Entries, side: str) -> str | None:
    return as_value(entry[side]) if side in entry else None


_ABOUT: dict[str, Callable[[RunRow], str]] = {
    "acquisition": lambda row: f"{row['experiment'] or ''} {row['run'] or ''}",
    "why it ended": lambda row: row["reason"] or "",
    "started": lambda row: when(row["started"]),
    "took": lambda row: seconds(row["wall_s"]),
    "host": lambda row: row["host"] or "",
}


def states_of(steps: Sequence[StepEntry]) -> dict[str, str]:
    """Returns the worst status of each step of a workflow run, whose instances may have several."""
    found: dict[str, str] = {}
    for step in steps:
        found[step["step"]] = max(found.get(step["step"], step["status"]), step["status"], key=badness_of)
    return found
