"""Pages of figures on disk: `<summary folder>/<display_name>/report.html`."""

from __future__ import annotations

import os
from pathlib import Path

from lute import facility
from lute.io.files import make_folder, shared_mode
from lute.tasks.dataclasses import ElogSummaryPlots, RenderedPage
from lute.tasks.figures import render

__all__ = ["page_path", "summary_folder", "write_page"]


def summary_folder(work_dir: str, experiment: str, run: object = "") -> Path:
    """Returns the folder of an experiment's pages: what the facility says, or `<work_dir>/summary`."""
    site = facility.current()
    return Path(site.path(site.summary_dir, experiment, run) if site.summary_dir else Path(work_dir) / "summary")


def page_path(folder: Path, display_name: str) -> Path:
    """Returns where a page belongs. Whatever its name, it is below `folder`, and no figure is lost for its name.

    >>> str(page_path(Path("summary"), "../scans//my_motor_scan"))
    'summary/scans/my_motor_scan/report.html'
    """
    parts = [part.strip().replace("\0", "") for part in display_name.split("/")]
    names = [_short_enough(part) for part in parts if part not in ("", ".", "..")]
    return folder.joinpath(*(names or ["unnamed"])) / "report.html"


def _short_enough(name: str) -> str:
    """Returns a name of at most 200 bytes; file systems take 255."""
    return name.encode("utf-8", "backslashreplace")[:200].decode("utf-8", "ignore")


def write_page(folder: Path, plots: ElogSummaryPlots) -> Path:
    """Writes a page, aside first and then in place.

    Files written: `<folder>/<display_name>/report.html`.

    Raises:
        OSError: The file cannot be written.
    """
    path = page_path(folder, plots.display_name).absolute()
    page = plots.figures if isinstance(plots.figures, RenderedPage) else render(plots)
    make_folder(path.parent)
    part = path.with_name(f"report.{os.getpid()}.part")
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        os.fchmod(file.fileno(), shared_mode(path.parent, 0o600))
        file.write(page.html.encode("utf-8", "xmlcharrefreplace"))
    part.replace(path)
    return path
