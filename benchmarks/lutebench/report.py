"""The table on the terminal, and the file of results."""

from __future__ import annotations

import json
import textwrap
import tomllib
from pathlib import Path
from typing import Any

from lutebench.lines import SECONDS, Line, Stats

WIDTHS = (70, 12, 32, 9, 20, 7)
HEAD = ("WHAT", "FLOOR", "OURS (quartiles)", "RATIO", "GOAL", "REACHED", "THE FLOOR IS")
REASONS = Path(__file__).parents[1] / "reasons.toml"
"""Why a goal is not reached, by line: written by people, shown as long as it is so."""


def reasons() -> dict[str, str]:
    """Returns the known reasons by `ROW.KEY`."""
    found: dict[str, str] = tomllib.loads(REASONS.read_text(encoding="utf-8"))
    return found


def number(value: float, unit: str) -> str:
    """Returns a number as people read it.

    >>> number(0.0123, "s")
    '12.3 ms'
    """
    if unit == SECONDS and value < 1:
        return f"{value * 1e3:.3g} ms" if value >= 1e-3 else f"{value * 1e6:.3g} us"
    return f"{value:,.0f} {unit}".strip() if value >= 1000 else f"{value:.3g} {unit}".strip()


def spread(stats: Stats, unit: str) -> str:
    """Returns median and quartiles.

    >>> spread(Stats((0.01, 0.02, 0.03)), "s")
    '20 ms (15 ms .. 25 ms)'
    """
    first, middle, third = (number(value, unit) for value in stats.quartiles)
    return f"{middle} ({first} .. {third})"


def head() -> str:
    """Returns the table's head."""
    return "  ".join([*(name.ljust(width) for name, width in zip(HEAD, WIDTHS, strict=False)), HEAD[-1]])


def text(line: Line, reason: str) -> str:
    """Returns a line of the table, with what there is to say below it."""
    cells = (
        line.what,
        number(line.floor.median, line.unit) if line.floor else "-",
        spread(line.ours, line.unit) if line.ours else "-",
        f"{line.ratio.median:.3g} x" if line.ratio else "-",
        str(line.goal) if line.goal else "-",
        {True: "yes", False: "NO", None: "-"}[line.reached],
    )
    padded = [cell.ljust(width) for cell, width in zip(cells, WIDTHS, strict=True)]
    below = [f"growth: slope {line.series.slope:.2f} over {line.series.size}"] if line.series else []
    below += textwrap.wrap(f"reason: {reason}", 150) if reason else []
    return "\n".join(["  ".join([*padded, line.floor_name]), *(f"    {one}" for one in below)])


def reason_of(row: str, line: Line, known: dict[str, str]) -> str:
    """Returns why a line was not measured, or does not reach its goal."""
    if line.reason or line.reached is not False:
        return line.reason
    return known.get(f"{row}.{line.key}", "not explained yet: add it to benchmarks/reasons.toml")


def write(path: Path, host: dict[str, Any], short: bool, measured: dict[str, dict[str, Any]]) -> None:
    """Writes the results.

    Args:
        path: The file.
        host: Facts of the machine.
        short: Whether little was measured.
        measured: The lines by `ROW.KEY`.
    """
    path.write_text(json.dumps({"host": host, "short": short, "lines": measured}, indent=1) + "\n", encoding="utf-8")
