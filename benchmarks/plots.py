"""Draws the results of the benchmark: python benchmarks/plots.py [RESULTS] [--out FOLDER].

Files written: `ratios.svg`, how far each goal is; and for each line that grows, a drawing named after it.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path
from typing import Any

os.environ.setdefault("MPLBACKEND", "agg")
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

HERE = Path(__file__).parent
FOLDER = HERE.parent / "docs" / "explanation" / "performance"
REACHED, MISSED = "tab:green", "tab:red"


def growth(line: dict[str, Any]) -> Figure:
    """Returns a drawing of a cost over a size, both logarithmic, with quartiles."""
    points = line["growth"]["points"]
    middles = [point["median"] for point in points]
    below = [point["median"] - point["q1"] for point in points]
    above = [point["q3"] - point["median"] for point in points]
    figure, axes = plt.subplots(figsize=(5, 3.2), layout="constrained")
    axes.errorbar([point["size"] for point in points], middles, yerr=[below, above], marker="o", capsize=3)
    axes.set(xscale="log", yscale="log", xlabel=line["growth"]["size"], ylabel=f"median, {line['unit']}")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("{x:g}" if axis is axes.yaxis else "")
    axes.set_title(f"{line['what'].rpartition(':')[0]} (slope {line['growth']['log_log_slope']:.2f})")
    return figure


def ratios(lines: dict[str, Any]) -> Figure:
    """Returns a drawing of ratio over goal, for each line with a goal that is a ratio; a cost is best left of 1."""
    shown = {
        name: line for name, line in lines.items() if line["ratio"] and line["goal_kind"] in ("at most", "at least")
    }
    figure, axes = plt.subplots(figsize=(8, 1 + 0.3 * len(shown)), layout="constrained")
    for place, line in enumerate(shown.values()):
        part = line["ratio"]["median"] / line["goal_limit"]
        part = part if line["goal_kind"] == "at most" else 1 / part
        axes.barh(place, part, color=REACHED if line["reached"] else MISSED)
    axes.axvline(1, color="black", linewidth=1)
    axes.set(xscale="log", xlabel="cost in parts of the goal (1 is the goal, less is better)")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter("")
    axes.set_yticks(range(len(shown)), list(shown))
    axes.invert_yaxis()
    return figure


def draw(lines: dict[str, Any], folder: Path) -> None:
    """Draws everything, in place of what was there."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    plt.rc("font", size=9)
    plt.rc("axes", grid=True, axisbelow=True)
    plt.rc("svg", hashsalt="lute")  # so that a drawing of the same numbers is the same file
    drawings = {name: growth(line) for name, line in lines.items() if line["growth"]}
    drawings["ratios"] = ratios(lines)
    for name, figure in drawings.items():
        file = folder / f"{name}.svg"
        figure.savefig(file, metadata={"Date": None})
        plt.close(figure)
        print(file)


def main() -> None:
    """Reads the results and draws them."""
    assert __doc__ is not None
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("results", nargs="?", type=Path, default=HERE / "results.json", help="what run.py wrote")
    parser.add_argument("--out", metavar="FOLDER", type=Path, default=FOLDER, help="where the drawings go")
    asked = parser.parse_args()
    draw(json.loads(asked.results.read_text(encoding="utf-8"))["lines"], asked.out)


if __name__ == "__main__":
    main()
