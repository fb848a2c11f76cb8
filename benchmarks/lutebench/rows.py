"""The rows of the benchmark: functions that measure, each under a name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lutebench.bench import Bench
    from lutebench.lines import Line

Measure = Callable[["Bench"], Iterator["Line"]]
ROWS: dict[str, Row] = {}
"""All rows, in the order of the table."""
TOO_LONG = "takes too long for --short"


class Missing(Exception):
    """Something that a row needs is not there, on this machine or in this version. Its text is the reason."""


class UnknownRow(Exception):
    """A row was asked for that there is not."""


@dataclass(frozen=True)
class Row:
    """One row: what it is about, and the function that measures it."""

    name: str
    about: str
    measure: Measure


def row(name: str) -> Callable[[Measure], Measure]:
    """Makes a function a row of the benchmark.

    Args:
        name: `GROUP.ROW`. The first line of the function's docstring says what it is about.
    """

    def add(measure: Measure) -> Measure:
        if name in ROWS:
            raise ValueError(f"there are two rows {name!r}")
        ROWS[name] = Row(name, (measure.__doc__ or "").strip().split("\n")[0], measure)
        return measure

    return add


def chosen(names: list[str]) -> list[Row]:
    """Returns the rows with these names, or in these groups; all if none is given.

    Raises:
        UnknownRow: There is no such row and no such group.
    """
    for name in names:
        if not any(_fits(known, name) for known in ROWS):
            close = difflib.get_close_matches(name, ROWS, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise UnknownRow(f"there is no row and no group {name!r}.{hint} See: python benchmarks/run.py --list")
    return [found for known, found in ROWS.items() if not names or any(_fits(known, name) for name in names)]


def _fits(known: str, name: str) -> bool:
    return known == name or known.startswith(f"{name}.")
