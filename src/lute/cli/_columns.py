"""`--columns` and `--csv`: columns of runs, with parameters and metrics as columns of their own."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lute.cli import common
from lute.errors import UsageError, did_you_mean
from lute.record.rows import column, printable
from lute.record.schema import BESIDES, COLUMNS, PUBLIC, flat_values
from lute.tasks.progress import metric_as_text

if TYPE_CHECKING:
    from lute.record.types import RunRow

NESTED = ("parameters", "metrics")
"""Columns whose entries can be columns, as `parameters.a.b[0]`."""
_TIMES = ("started", "ended")


def read(text: str) -> list[str]:
    """Returns the names in `a,b,c`.

    Raises:
        UsageError: There is no such column.
    """
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = [*PUBLIC, *BESIDES]
    for name in names:
        first, dot, rest = name.partition(".")
        if name not in known and not (first in NESTED and dot and rest):
            hint = did_you_mean(name, known) or " Parameters are parameters.NAME, metrics metrics.NAME."
            raise UsageError(f"--columns: a run has no column {name!r}.{hint}")
    if not names:
        raise UsageError("--columns: give names, as in id,task,parameters.n")
    return names


def sources(names: Iterable[str]) -> list[str]:
    """Returns the columns of the record that named columns come from."""
    found = [name if name in COLUMNS else name.partition(".")[0] for name in names]
    return list(dict.fromkeys(found))


def picked(row: RunRow, names: Iterable[str]) -> object:
    """Returns the values of named columns; null for a parameter or metric that a run has not."""
    return {name: _value(row, name) for name in names}


def cells(row: RunRow, names: Iterable[str]) -> list[str]:
    """Returns named columns as people read them."""
    return [_as_text(name, _value(row, name)) for name in names]


def print_csv(rows: Sequence[RunRow], names: Sequence[str] = ()) -> None:
    """Prints runs as CSV: named columns, or every column, parameter and metric. Times are as in the record."""
    table = csv.writer(sys.stdout, lineterminator="\n")
    names = names or _all_names(rows)
    table.writerow(names)
    for row in rows:
        flat = _flat(row)
        table.writerow([_as_cell(flat[name] if name in flat else _value(row, name)) for name in names])


def _all_names(rows: Iterable[RunRow]) -> list[str]:
    parts: dict[str, None] = {}
    for row in rows:
        parts |= dict.fromkeys(_flat(row))
    return [*(name for name in [*PUBLIC, *BESIDES] if name not in NESTED), *parts]


def _flat(row: RunRow) -> dict[str, Any]:
    """Returns parameters, without the header, and metrics by the names of their columns."""
    parameters = {name: value for name, value in (row.get("parameters") or {}).items() if name != "lute_config"}
    found = {f"parameters.{name}": value for name, value in flat_values(parameters).items()}
    return found | {f"metrics.{name}": item["value"] for name, item in (row.get("metrics") or {}).items()}


def _value(row: RunRow, name: str) -> Any:
    if name in row:
        return column(row, name)
    first, _, rest = name.partition(".")
    if first == "metrics":
        metric = (row["metrics"] or {}).get(rest)
        return metric["value"] if metric is not None else None
    parameters = row["parameters"] or {}
    return parameters[rest] if rest in parameters else flat_values(parameters).get(rest)


def _as_cell(value: Any) -> Any:
    if isinstance(value, bool):
        return "true" if value else "false"
    return json.dumps(printable(value), ensure_ascii=False) if isinstance(value, (dict, list)) else value


def _as_text(name: str, value: Any) -> str:
    if name in _TIMES:
        return common.when(value)
    if name == "wall_s":
        return common.seconds(value)
    if name == "metrics":
        return ", ".join(f"{key} {metric_as_text(item)}" for key, item in (value or {}).items())
    return "" if value is None else str(_as_cell(value))
