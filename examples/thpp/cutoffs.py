"""How the merging statistics change with the resolution to which data are kept: one table and one page."""

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from lute import ElogSummaryPlots, Executor, Field, IsResult, Output, Task, TaskParameters

if TYPE_CHECKING:
    from matplotlib.figure import Figure

COLUMNS = {
    "d_min": "d_min / Å",
    "r_merge": "Rmerge",
    "cc_one_half": "CC½",
    "i_over_sigma_mean": "mean I/σ(I)",
    "completeness": "completeness / %",
    "n_obs": "observations",
    "n_uniq": "unique",
}
"""What is compared: the program's name for it (`d_min` is ours), and how people are told of it."""
DRAWN = ("r_merge", "cc_one_half", "i_over_sigma_mean")


class CompareCutoffsParameters(TaskParameters):
    """Compare the merging statistics of one data set at several high-resolution limits."""

    merged: list[Path] = Field(description="Merging statistics as JSON, one file for each limit.")
    table: Annotated[Path, Output(), IsResult()] = Field(
        Path("cutoffs.tsv"),
        description="Table to write: a line for each limit, coarse to fine; tabs between columns.",
    )


class CompareCutoffs(Task):
    """Writes the table and draws the page `<experiment>/cutoffs`."""

    def _run(self) -> None:
        parameters = self._task_parameters
        rows = sorted(map(read_overall, parameters.merged), key=lambda row: -row["d_min"])
        parameters.table.write_text(as_table(rows))
        self._result.summary = {f"Rmerge to {row['d_min']:.2f} Å": round(row["r_merge"], 4) for row in rows}
        page = ElogSummaryPlots(f"{parameters.lute_config.experiment}/cutoffs", cutoffs_figure(rows))
        self._result.payload = (str(parameters.table), page)


def read_overall(json_file: Path) -> dict[str, float]:
    """Returns the overall numbers of `iotbx.merging_statistics`, with the limit `d_min` in Å."""
    overall = json.loads(json_file.read_text())["overall"]
    finest = max(overall["d_star_sq_min"], overall["d_star_sq_max"])  # the program calls the finer one "min"
    return {name: overall[name] for name in COLUMNS if name != "d_min"} | {"d_min": 1 / math.sqrt(finest)}


def as_table(rows: list[dict[str, float]]) -> str:
    """Returns the numbers as text: a line of names, then a line for each limit.

    >>> as_table([dict.fromkeys(COLUMNS, 0.5)]).splitlines()[1].split()
    ['0.5', '0.5', '0.5', '0.5', '0.5', '0.5', '0.5']
    """
    lines = ["\t".join(COLUMNS.values()), *("\t".join(f"{row[name]:.6g}" for name in COLUMNS) for row in rows)]
    return "".join(f"{line}\n" for line in lines)


def cutoffs_figure(rows: list[dict[str, float]]) -> "Figure":
    """Draws three of the columns over the limit, which runs from coarse to fine."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.8), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(DRAWN)), DRAWN, strict=True):
        axes.plot([row["d_min"] for row in rows], [row[name] for row in rows], "o-", color="#1f5fa8")
        axes.invert_xaxis()
        axes.set(xlabel=COLUMNS["d_min"], ylabel=COLUMNS[name])
        axes.grid(alpha=0.25)
    return figure


CutoffComparer = Executor("CompareCutoffs")
