"""Puts the numbers of the benchmark into the page on performance, and draws its pictures.

python benchmarks/page.py [RESULTS]

In the page, `<!-- table GROUP ... -->` to `<!-- end -->` is a table of the lines of these rows or groups, and
`<!-- = LINE NUMBER -->` to `<!-- -->` one number of a line: its floor, ours, ratio or slope.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

from lutebench.report import number, reasons

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
PAGE = HERE.parent / "docs" / "explanation" / "performance.md"
MISSING = "(not measured)"
_TABLE = re.compile(r"(<!-- table ([^>]+?) -->\n).*?(<!-- end -->)", re.DOTALL)
_NUMBER = re.compile(r"(<!-- = (\S+) (floor|ours|ratio|slope) -->).*?(<!-- -->)")
_HOST = re.compile(r"(<!-- host -->\n).*?(<!-- end -->)", re.DOTALL)


def filled(page: str, results: dict[str, Any]) -> str:
    """Returns the page with the numbers of some results."""
    lines: dict[str, Any] = results["lines"]
    page = _TABLE.sub(lambda found: found[1] + table(lines, found[2].split()) + found[3], page)
    page = _NUMBER.sub(lambda found: found[1] + one(lines.get(found[2]), found[3]) + found[4], page)
    return _HOST.sub(lambda found: found[1] + host(results) + found[2], page)


def host(results: dict[str, Any]) -> str:
    """Returns a sentence on where and how the numbers were measured."""
    about = results["host"]
    how = "A little of everything was measured, on a busy machine: no number to rely on.\n" if results["short"] else ""
    return (
        f"Measured on {about['date']}: {about['cores']} cores ({about['processor']}), {about['memory_gib']:.0f} GiB,"
        f" Linux {about['kernel'].split('-')[0]}, Python {about['python']}, SQLite {about['sqlite']}; load before"
        f" {about['load_before']}.\n{how}"
    )


def one(line: dict[str, Any] | None, what: str) -> str:
    """Returns one number of a line."""
    if line is None or line["ours"] is None or (what == "slope" and not line["growth"]):
        return MISSING
    if what == "slope":
        return f"{line['growth']['log_log_slope']:.2f}"
    if line[what] is None:
        return MISSING
    return f"{line[what]['median']:.3g} x" if what == "ratio" else number(line[what]["median"], line["unit"])


def table(lines: dict[str, Any], wanted: list[str]) -> str:
    """Returns the lines of some rows or groups as a table, with the reasons below it."""
    chosen = {name: line for name, line in lines.items() if any(_fits(line["row"], row) for row in wanted)}
    known = reasons()
    head = "| what | held against | that | `lute` | ratio | goal |\n|---|---|---|---|---|---|\n"
    rows, notes = [], []
    for name, line in chosen.items():
        goal = (line["goal"] or "").replace("<=", "≤").replace(">=", "≥")
        if line["reached"] is False:
            notes.append(f"- {line['what']}: {known.get(name, line['reason'])}\n")
            goal += ", **not reached**"
        cells = (line["what"], line["floor_name"], *(one(line, what) for what in ("floor", "ours", "ratio")), goal)
        rows.append(f"| {' | '.join(cells).replace(MISSING, '-')} |\n")
    below = f"\nWhy goals were not reached:\n\n{''.join(notes)}" if notes else ""
    return f"\n{head}{''.join(rows)}{below}\n"


def _fits(row: str, name: str) -> bool:
    return row == name or row.startswith(f"{name}.")


def main() -> None:
    """Updates page and pictures."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="?", type=Path, default=RESULTS, help="what run.py wrote")
    results = json.loads(parser.parse_args().results.read_text(encoding="utf-8"))
    PAGE.write_text(filled(PAGE.read_text(encoding="utf-8"), results), encoding="utf-8")
    import plots  # needs matplotlib, which the check of the page does not

    plots.draw(results["lines"], plots.FOLDER)


if __name__ == "__main__":
    main()
