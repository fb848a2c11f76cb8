"""thpp, a small organic molecule: merging statistics, refinement, and how well model and data agree.

Two programs of cctbx are wrapped as third-party Tasks; a Python Task reads what they wrote.

    lute run StatisticsCalculator -c thpp.yaml
    lute run Refiner              -c thpp.yaml
    lute run ModelComparer        -c thpp.yaml
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np

from lute import (
    ElogSummaryPlots,
    Executor,
    Field,
    Flag,
    FromResult,
    IsResult,
    KeyValue,
    Output,
    Positional,
    Task,
    TaskParameters,
    ThirdPartyParameters,
)

if TYPE_CHECKING:
    from cctbx import xray
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# The programs -------------------------------------------------------------------------------------


class MergingStatisticsParameters(ThirdPartyParameters):
    """How well symmetry-equivalent intensities agree, by resolution, with `iotbx.merging_statistics`."""

    executable: str = Field("iotbx.merging_statistics", description="Program, searched on PATH.")
    unmerged: Annotated[Path, KeyValue("file_name")] = Field(
        description="Scaled intensities, not merged: SHELX HKLF 4, MTZ, XDS or Scalepack."
    )
    symmetry: Annotated[Path, KeyValue("symmetry_file")] = Field(
        description="File with unit cell and space group, such as a SHELX .ins."
    )
    n_bins: Annotated[int, KeyValue()] = Field(
        10, ge=1, description="Number of resolution shells of equal volume; 5 to 20 is usual."
    )
    high_resolution: Annotated[float | None, KeyValue()] = Field(
        None, gt=0, unit="Å", description="Leave out data finer than this; all data if not given."
    )
    json_file: Annotated[Path, KeyValue("json.file_name"), Output(), IsResult()] = Field(
        Path("merging.json"), description="Statistics as JSON, overall and by shell. Each run replaces it."
    )


class RefineParameters(ThirdPartyParameters):
    """Least-squares refinement of a small molecule against intensities, with `smtbx.refine`."""

    executable: str = Field("smtbx.refine", description="Program, searched on PATH.")
    overwrite: Annotated[bool, Flag("--overwrite")] = Field(
        True, description="Replace `refined` if it exists. The program refuses to do so otherwise."
    )
    max_cycles: Annotated[int, Flag("--max-cycles")] = Field(
        8, ge=1, description="Most least-squares cycles; it stops earlier when nothing moves any more."
    )
    start: Annotated[Path, Positional()] = Field(description="Model to start from: SHELX .ins or .res.")
    reflections: Annotated[Path, Positional()] = Field(description="Intensities, SHELX HKLF 4.")
    refined: Annotated[Path, Positional(), Output(), IsResult()] = Field(
        Path("refined.cif"), description="Refined model to write; its name must end in .cif."
    )


class CompareModelParameters(TaskParameters):
    """R1 of a refined model, and figures of the data and of the refinement."""

    merging: Annotated[Path, FromResult("MergingStatistics", "json_file")] = Field(
        description="Merging statistics as JSON. Those of the latest MergingStatistics if not given."
    )
    refined: Annotated[Path, FromResult("Refine", "refined")] = Field(
        description="Refined model, CIF. That of the latest Refine if not given."
    )
    reflections: Annotated[Path, FromResult("Refine", "reflections")] = Field(
        description="Intensities to compare with, SHELX HKLF 4. Those of the latest Refine if not given."
    )
    sigma_cutoff: float = Field(
        2.0, ge=0, description="A reflection is strong if I > this many sigma(I); 2 is the custom."
    )
    n_labels: int = Field(4, ge=0, description="How many of the worst reflections are named by h k l.")
    numbers: Annotated[Path, Output()] = Field(
        Path("comparison.json"), description="R1 and how many reflections, as JSON. Each run replaces it."
    )


# What the programs wrote --------------------------------------------------------------------------


def merging_summary(json_file: Path | str) -> dict[str, float]:
    """Returns the overall numbers of `iotbx.merging_statistics`; none has a unit but completeness."""
    overall = json.loads(Path(json_file).read_text())["overall"]
    return {
        "Rmerge": round(overall["r_merge"], 3),
        "CC1/2": round(overall["cc_one_half"], 3),
        "I/sigma": round(overall["i_over_sigma_mean"], 1),
        "completeness %": round(overall["completeness"], 1),
        "observations": overall["n_obs"],
        "unique": overall["n_uniq"],
    }


@dataclass(frozen=True)
class Shells:
    """Merging statistics in shells of resolution, coarse to fine. Each array has the shape `(shells,)`.

    Attributes:
        edges: Where each shell ends, as 1/d^2, in 1/Å^2.
        centres: The middle of each shell, as 1/d^2, in 1/Å^2.
        values: The program's columns: `cc_one_half`, `i_over_sigma_mean`, `completeness` (%), ...
    """

    edges: np.ndarray
    centres: np.ndarray
    values: dict[str, np.ndarray]


def read_shells(json_file: Path) -> Shells:
    """Reads the shells from the JSON of `iotbx.merging_statistics`."""
    columns = json.loads(json_file.read_text())
    values = {name: np.array(column) for name, column in columns.items() if isinstance(column, list)}
    # Of the two limits the program calls the finer one "min", so neither name is relied on.
    limits = np.stack([values["d_star_sq_min"], values["d_star_sq_max"]])
    return Shells(edges=limits.max(axis=0), centres=limits.mean(axis=0), values=values)


def read_structure(cif: Path) -> "xray.structure":
    """Reads a structure from CIF, with the dispersion f', f'' (electrons) that the file lists."""
    from iotbx.cif import reader

    document = reader(file_path=str(cif))
    (block,) = document.model().values()
    (structure,) = document.build_crystal_structures().values()
    names = ("symbol", "scat_dispersion_real", "scat_dispersion_imag")
    columns = [block[f"_atom_type_{name}"] for name in names]
    dispersion = {symbol: (float(fp), float(fdp)) for symbol, fp, fdp in zip(*columns, strict=True)}
    for atom in structure.scatterers():
        atom.fp, atom.fdp = dispersion[atom.scattering_type]
    return structure


# Model against data -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Amplitudes:
    """Measured and calculated amplitudes of the unique reflections.

    Attributes:
        hkl: Miller indices, int, shape `(reflections, 3)`.
        d_star_sq: 1/d^2 in 1/Å^2, shape `(reflections,)`, as are those below.
        fo: Measured |Fo|, on the scale of `fc`; 0 where the intensity is negative.
        fc: Calculated |Fc|, in electrons per unit cell.
        strong: Whether I is above the cut-off.
    """

    hkl: np.ndarray
    d_star_sq: np.ndarray
    fo: np.ndarray
    fc: np.ndarray
    strong: np.ndarray


def compare(reflections: Path, structure: "xray.structure", sigma_cutoff: float) -> Amplitudes:
    """Merges the intensities and calculates amplitudes from the structure for the same reflections.

    As in `smtbx.refine`, equivalents are merged in the structure's symmetry and systematic absences stay in.
    The scale is this function's own, since the program does not write the one it found.
    """
    from iotbx.reflection_file_reader import any_reflection_file

    (unmerged, *_) = any_reflection_file(f"{reflections}=hklf4").as_miller_arrays(crystal_symmetry=structure)
    merged = unmerged.merge_equivalents().array()
    f_calc = merged.structure_factors_from_scatterers(structure, algorithm="direct").f_calc()
    intensity, sigma = np.array(merged.data()), np.array(merged.sigmas())
    fo, fc = np.sqrt(np.maximum(intensity, 0)), np.array(abs(f_calc).data())
    strong = intensity > sigma_cutoff * sigma
    fo = fo / least_squares_scale(fo[strong], fc[strong])
    d_star_sq = np.array(merged.d_star_sq().data())
    return Amplitudes(np.array(list(merged.indices())), d_star_sq, fo, fc, strong)


def least_squares_scale(fo: np.ndarray, fc: np.ndarray) -> float:
    """Returns the k that makes sum (Fo - k Fc)^2 smallest: sum(Fo Fc) / sum(Fc^2).

    >>> least_squares_scale(np.array([2.0, 4.0]), np.array([1.0, 2.0]))
    2.0
    """
    return float((fo * fc).sum() / (fc**2).sum())


def r1(fo: np.ndarray, fc: np.ndarray) -> float:
    """Returns R1 = sum ||Fo| - |Fc|| / sum |Fo|, both on one scale; no reflections give nan.

    Of the strong reflections only, it is `_refine_ls_R_factor_gt` of the IUCr's core CIF dictionary.

    >>> r1(np.array([10.0, 10.0]), np.array([9.0, 12.0]))
    0.15
    """
    return float(np.abs(fo - fc).sum() / fo.sum()) if fo.size else float("nan")


def r1_by_shell(amplitudes: Amplitudes, edges: np.ndarray) -> np.ndarray:
    """Returns R1 of the strong reflections in each shell, which ends at one of `edges` (1/d^2, in 1/Å^2)."""
    shell = np.digitize(amplitudes.d_star_sq, edges[:-1])
    chosen = [amplitudes.strong & (shell == number) for number in range(len(edges))]
    return np.array([r1(amplitudes.fo[one], amplitudes.fc[one]) for one in chosen])


def worst(amplitudes: Amplitudes, count: int) -> np.ndarray:
    """Returns the positions of the reflections with the largest ||Fo| - |Fc||, worst first."""
    return np.argsort(-np.abs(amplitudes.fo - amplitudes.fc))[:count]


def refinement_summary(amplitudes: Amplitudes) -> dict[str, float]:
    """Returns R1 for the reflections above the cut-off and for all, and how many they are."""
    strong = amplitudes.strong
    return {
        "R1": round(r1(amplitudes.fo[strong], amplitudes.fc[strong]), 4),
        "strong reflections": int(strong.sum()),
        "R1 all": round(r1(amplitudes.fo, amplitudes.fc), 4),
        "all reflections": len(strong),
    }


# Figures ------------------------------------------------------------------------------------------

BLUE, ORANGE, GREY = "#1f5fa8", "#c8601a", "#8a8a8a"
RESOLUTIONS = (4.0, 2.0, 1.5, 1.2, 1.0, 0.9, 0.8, 0.75, 0.7, 0.65, 0.6)
"""The d (Å) that an axis of resolution may show."""


def resolution_axis(axes: "Axes", shells: Shells) -> None:
    """Makes x an axis of 1/d^2 that is labelled with d."""
    finest = shells.edges[-1]
    shown = [d for d in RESOLUTIONS if 1 / d**2 < 1.01 * finest]
    axes.set_xticks([1 / d**2 for d in shown], [f"{d:g}" for d in shown], fontsize=8)
    axes.set_xlim(0, 1.02 * finest)
    axes.set_xlabel("resolution d / Å (linear in 1/d²)")
    axes.grid(alpha=0.25)


def draw_column(axes: "Axes", x: np.ndarray, y: np.ndarray, label: str, colour: str, top: float) -> None:
    """Draws one value a shell, on a y axis from 0 to `top` in the same colour."""
    axes.plot(x, y, "o-", color=colour, markersize=4)
    axes.set_ylim(0, top)
    axes.set_ylabel(label, color=colour)
    axes.tick_params(axis="y", colors=colour)


def amplitude_axes(axes: "Axes", top: float) -> None:
    """Makes both axes square-root axes from 0 to `top`, which show weak and strong reflections alike."""
    ticks = [value for value in (0, 1, 5, 10, 25, 50, 100, 200, 500, 1000) if value < top]
    axes.set_xscale("function", functions=(np.sqrt, np.square))
    axes.set_yscale("function", functions=(np.sqrt, np.square))
    axes.set(xlim=(0, top), ylim=(0, top), xticks=ticks, yticks=ticks, aspect="equal")
    axes.set(xlabel="|Fc| / electrons", ylabel="|Fo| / electrons")
    axes.grid(alpha=0.25)


def draw_amplitudes(axes: "Axes", amplitudes: Amplitudes, n_labels: int) -> None:
    """Draws |Fo| against |Fc| with the line where they agree, and names the worst reflections."""
    fo, fc, strong = amplitudes.fo, amplitudes.fc, amplitudes.strong
    top = 1.15 * max(fo.max(), fc.max())
    axes.plot([0, top], [0, top], color=ORANGE, linewidth=1, label="|Fo| = |Fc|")
    axes.scatter(fc[~strong], fo[~strong], s=6, color=GREY, linewidths=0, alpha=0.6, label="weak")
    axes.scatter(fc[strong], fo[strong], s=8, color=BLUE, linewidths=0, alpha=0.6, label="strong")
    for one in worst(amplitudes, n_labels):
        name = "({} {} {})".format(*amplitudes.hkl[one])
        below = {"xytext": (0, -12), "textcoords": "offset points", "ha": "center"}
        axes.annotate(name, (fc[one], fo[one]), fontsize=8, **below)
    amplitude_axes(axes, top)
    axes.legend(loc="upper left", frameon=False, fontsize=8)


def merging_figure(shells: Shells, summary: dict[str, float]) -> "Figure":
    """Draws CC1/2 with Rmeas, I/sigma, and completeness with multiplicity, by resolution."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    left, middle, right = panels = figure.subplots(1, 3)
    x, columns = shells.centres, shells.values
    r_meas, ratio, multiplicity = (columns[name] for name in ("r_meas", "i_over_sigma_mean", "multiplicity"))
    draw_column(left, x, columns["cc_one_half"], "CC½", BLUE, 1.05)
    draw_column(left.twinx(), x, r_meas, "Rmeas", ORANGE, 2 * r_meas.max())
    draw_column(middle, x, ratio, "mean I/σ(I)", BLUE, 1.1 * ratio.max())
    draw_column(right, x, columns["completeness"], "completeness / %", BLUE, 105)
    draw_column(right.twinx(), x, multiplicity, "multiplicity", ORANGE, 1.6 * multiplicity.max())
    for axes in panels:
        resolution_axis(axes, shells)
    left.set_title("all data: CC½ {CC1/2}, Rmerge {Rmerge}".format_map(summary), fontsize=10)
    middle.set_title("all data: mean I/σ(I) {I/sigma}".format_map(summary), fontsize=10)
    right.set_title("{observations} observations, {unique} unique".format_map(summary), fontsize=10)
    return figure


def refinement_figure(amplitudes: Amplitudes, shells: Shells, n_labels: int) -> "Figure":
    """Draws |Fo| against |Fc|, and R1 of the strong reflections by resolution."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    summary = refinement_summary(amplitudes)
    by_shell = r1_by_shell(amplitudes, shells.edges)
    draw_amplitudes(left, amplitudes, n_labels)
    draw_column(right, shells.centres, by_shell, "R1 of strong reflections", BLUE, 1.25 * np.nanmax(by_shell))
    right.axhline(summary["R1"], color=ORANGE, linewidth=1, label="all shells together")
    right.legend(loc="upper right", frameon=False, fontsize=8)
    resolution_axis(right, shells)
    title = "R1 {R1} for {strong reflections} strong, {R1 all} for all {all reflections} reflections"
    left.set_title(title.format_map(summary), fontsize=10)
    return figure


# The Python Task, and the managed Tasks -----------------------------------------------------------


class CompareModel(Task):
    """Calculates R1 and draws the pages `<experiment>/merging` and `<experiment>/refinement`."""

    def _run(self) -> None:
        parameters = self._task_parameters
        shells = read_shells(parameters.merging)
        structure = read_structure(parameters.refined)
        amplitudes = compare(parameters.reflections, structure, parameters.sigma_cutoff)
        tab = parameters.lute_config.experiment
        merging = merging_figure(shells, merging_summary(parameters.merging))
        refinement = refinement_figure(amplitudes, shells, parameters.n_labels)
        self._result.summary = summary = refinement_summary(amplitudes)
        parameters.numbers.write_text(json.dumps(summary))
        self._result.payload = (
            ElogSummaryPlots(f"{tab}/merging", merging),
            ElogSummaryPlots(f"{tab}/refinement", refinement),
        )


StatisticsCalculator = Executor("MergingStatistics")
StatisticsCalculator.add_tasklet(merging_summary, ["{{ json_file }}"], when="after", set_summary=True)
Refiner = Executor("Refine")
ModelComparer = Executor("CompareModel")
