"""The Tasks of this project. For each: a model of its parameters, its code or its program, and a managed Task."""

from pathlib import Path
from typing import Annotated

from lute import (
    ElogSummaryPlots,
    Executor,
    Field,
    Flag,
    IsResult,
    Output,
    Positional,
    Task,
    TaskParameters,
    TemplateConfig,
    ThirdPartyParameters,
)

# ------------------------------------------------------------------ a program: awk selects points


class SelectPointsParameters(ThirdPartyParameters):
    """Keep the points of a scan that are above a threshold, with awk.

    The threshold is no argument of awk: it is a variable of the script `templates/select.awk`.
    """

    executable: str = "awk"
    lute_template_cfg: TemplateConfig
    script: Annotated[Path, Flag("-f")] = Field(Path("select.awk"), description="The rendered script.")
    out_file: Annotated[str, Flag("-v", sep="out="), IsResult(), Output()] = Field(description="File to write.")
    in_file: Annotated[Path, Positional()] = Field(description="The scan: angle (degrees) and counts.")


PointSelector = Executor("SelectPoints")


# --------------------------------------------------------------------- Python: find and draw a peak


class FindPeakParameters(TaskParameters):
    """Find the centre and width of the peak in a scan."""

    in_file: Path = Field(description="The scan: angle (degrees) and counts.")
    background: float = Field(0.0, ge=0, description="Counts to subtract from every point.", unit="counts")


class FindPeak(Task):
    """The centre of mass above half of the height, and the full width there."""

    def _run(self) -> None:
        params = self._task_parameters
        points = [tuple(map(float, line.split())) for line in params.in_file.read_text().splitlines()]
        points = [(angle, max(counts - params.background, 0.0)) for angle, counts in sorted(points)]
        half = max(counts for _, counts in points) / 2
        top = [(angle, counts) for angle, counts in points if counts >= half]
        centre = sum(angle * counts for angle, counts in top) / sum(counts for _, counts in top)
        width = top[-1][0] - top[0][0]
        self._result.summary = {"centre (degrees)": round(centre, 4), "width (degrees)": round(width, 4)}
        self._result.payload = (
            {"centre": centre, "width": width},
            ElogSummaryPlots("scans/rotation", draw(points, centre)),
        )


PeakFinder = Executor("FindPeak")


def draw(points: list[tuple[float, float]], centre: float) -> str:
    """Return the scan as a picture in HTML, 600 by 300 pixels. With matplotlib, return a Figure instead."""
    angles, counts = [point[0] for point in points], [point[1] for point in points]
    left, scale_x, scale_y = min(angles), 560 / (max(angles) - min(angles)), 260 / max(counts)
    line = " ".join(f"{20 + (angle - left) * scale_x:.1f},{280 - n * scale_y:.1f}" for angle, n in points)
    mark = 20 + (centre - left) * scale_x
    return (
        '<svg role="img" aria-label="Counts against angle, with the centre of the peak"'
        ' viewBox="0 0 600 300" width="600" font-family="sans-serif" font-size="12">'
        f'<polyline points="{line}" fill="none" stroke="#1f77b4" stroke-width="2"/>'
        f'<line x1="{mark:.1f}" x2="{mark:.1f}" y1="20" y2="280" stroke="#d62728" stroke-dasharray="4"/>'
        f'<text x="{mark + 6:.1f}" y="32" fill="#d62728">{centre:.4f} degrees</text></svg>'
    )
