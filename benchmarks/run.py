"""Measures `lute` beside the floor, prints a table and writes it as JSON.

python benchmarks/run.py                 everything, for about a quarter of an hour
python benchmarks/run.py --short         little of everything, under a minute
python benchmarks/run.py start reading   these rows or groups
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lutebench.groups  # noqa: F401 - its modules add the rows
from lutebench import host, report
from lutebench.bench import Bench
from lutebench.lines import Line
from lutebench.rows import ROWS, Missing, Row, UnknownRow, chosen

RESULTS = Path(__file__).with_name("results.json")
PART = Path(__file__).with_name("results.part.json")
"""Where a run goes that is short or of some rows only: it must not take the place of a whole one."""
FAILED, BAD_USAGE = 1, 2


def options() -> argparse.Namespace:
    """Returns the command line."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", metavar="ROW", nargs="*", help="rows or groups of rows; all if none is given")
    parser.add_argument("--list", action="store_true", help="list the rows; measure nothing")
    parser.add_argument("--short", action="store_true", help="measure little, for CI: the table, not the numbers")
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the JSON goes")
    return parser.parse_args()


def lines_of(row: Row, bench: Bench) -> Iterator[Line]:
    """Gives a row's lines; what cannot be measured is a line with its reason."""
    try:
        yield from row.measure(bench)
    except Missing as missing:
        yield Line("missing", row.about, "-", "", reason=str(missing))
    except Exception as error:
        traceback.print_exc()
        told = str(error).split("\n")
        yield Line("failed", row.about, "-", "", reason=f"FAILED: {type(error).__name__}: {told[0]} ... {told[-1]}")


def measure(rows: list[Row], bench: Bench) -> dict[str, dict[str, Any]]:
    """Measures rows and prints the table as it grows. Returns the lines by `ROW.KEY`."""
    known, found = report.reasons(), {}
    print(report.head())
    for row in rows:
        print(f"... {row.name}: {row.about}", file=sys.stderr, flush=True)
        begun = time.monotonic()
        for line in lines_of(row, bench):
            line.reason = report.reason_of(row.name, line, known)
            print(report.text(line, line.reason), flush=True)
            found[f"{row.name}.{line.key}"] = {"row": row.name, **line.as_json()}
        print(f"... {row.name} took {time.monotonic() - begun:.1f} s", file=sys.stderr, flush=True)
    return found


def main() -> int:
    """Runs the benchmark. Returns the exit code."""
    asked = options()
    try:
        rows = chosen(asked.rows)
    except UnknownRow as error:
        print(error, file=sys.stderr)
        return BAD_USAGE
    if asked.list:
        print("\n".join(f"{row.name:<32}{row.about}" for row in ROWS.values()))
        return 0
    with tempfile.TemporaryDirectory(prefix="lute-bench-") as folder:
        facts = host.facts(Path(folder))
        bench = Bench(Path(folder), asked.short)
        try:
            found = measure(rows, bench)
        finally:
            bench.spawner.close()
    out = asked.out or (PART if asked.short or asked.rows else RESULTS)
    report.write(out, facts, asked.short, found)
    reached = [line["reached"] for line in found.values()]
    print(f"{reached.count(True)} goals reached, {reached.count(False)} not; {out}", file=sys.stderr)
    return FAILED if any(name.endswith(".failed") for name in found) else 0


if __name__ == "__main__":
    sys.exit(main())
