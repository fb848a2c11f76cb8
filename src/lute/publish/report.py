"""Pages of figures on disk. Each run has its own, and the summary folder of an experiment has the latest of each name:

    <run's folder>/plots/<display_name>/report.html
    <summary folder>/<display_name>/report.html       as the last run wrote it
    <summary folder>/index.html                       all of them, by tab

The index is made from the folders themselves, so that several processes can write at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from lute import facility
from lute.base.files import create_file, make_folder, write_whole
from lute.publish.page import About, Entry, Told, about_of, index, page
from lute.record.rows import utc
from lute.wire.results import RenderedPage

__all__ = [
    "About",
    "entries",
    "folder_of",
    "page_path",
    "summary_folder",
    "write_index",
    "write_page",
]

if TYPE_CHECKING:
    from lute.models.base import AnalysisHeader

logger = logging.getLogger(__name__)

HEAD = 1 << 14
"""How much of a page is read to know what it is about, in bytes."""
LOCK_WAIT = 10.0
"""Longest time to wait for another who writes the index, in s."""


def folder_of(header: AnalysisHeader) -> Path:
    """Returns the folder of an experiment's pages: what the facility says, or `<work_dir>/summary`."""
    return summary_folder(header.work_dir, header.experiment, header.run)


def summary_folder(work_dir: str, experiment: str, run: object = "") -> Path:
    """Returns the folder of an experiment's pages, as `folder_of` does."""
    site = facility.current()
    return Path(site.path(site.summary_dir, experiment, run) if site.summary_dir else Path(work_dir) / "summary")


def page_path(folder: Path, display_name: str) -> Path:
    """Returns where a page belongs. Whatever its name, it is below `folder`, and no figure is lost for its name.

    >>> str(page_path(Path("summary"), "../scans//my_motor_scan"))
    'summary/scans/my_motor_scan/report.html'
    """
    parts = [part.strip().replace("\0", "") for part in display_name.split("/")]
    names = [_usable(part) for part in parts if part not in ("", ".", "..")]
    return folder.joinpath(*(names or ["unnamed"])) / "report.html"


def _usable(name: str) -> str:
    """Returns a name of at most 200 bytes (file systems take 255) that is none of our own files'."""
    short = name.encode("utf-8", "backslashreplace")[:200].decode("utf-8", "ignore")
    return f"{short}_" if short in (".lock", "index.html", "report.html") else short


def write_page(
    own: Path,
    summary: Path,
    display_name: str,
    rendered: RenderedPage,
    about: About,
    told: Told = MappingProxyType({}),
) -> Path:
    """Writes a page of a run, and the same into the summary folder, aside first and then in place.

    Args:
        own: The folder of the run's own pages. If it has one of this name, the new one gets a number behind its name:
            `<display_name> (2)`.
        summary: The summary folder.
        display_name: The page's name.
        rendered: The figures.
        about: What the page is about, but for its name and time.
        told: What stands below the figures.

    Returns:
        Where the run's own page is.

    Raises:
        OSError: A file cannot be written.
    """
    path = first = page_path(own.absolute(), display_name)
    number = 1
    while path.exists():
        number += 1
        path = first.parent.with_name(f"{first.parent.name} ({number})") / first.name
    name = path.parent.relative_to(own.absolute())
    about = replace(about, page=name.as_posix(), time=utc(time.time()))
    for place, has_index in ((path, False), (summary.absolute() / name / path.name, True)):
        make_folder(place.parent)
        write_whole(place, page(rendered, about, has_index, told).encode("utf-8", "xmlcharrefreplace"))
    return path


def write_index(folder: Path) -> Path:
    """Writes the index of all pages that are in a summary folder, aside first and then in place.

    Raises:
        OSError: The file cannot be written.
    """
    path = folder.absolute() / "index.html"
    with _alone(folder):
        write_whole(path, index(list(entries(folder.absolute()))).encode("utf-8", "xmlcharrefreplace"))
    return path


def entries(folder: Path) -> Iterator[Entry]:
    """Yields the pages that are in a summary folder."""
    for place, _, names in os.walk(folder):
        if "report.html" in names and Path(place) != folder:
            path = Path(place) / "report.html"
            about = _about(path)
            name = Path(place).relative_to(folder).as_posix()
            about = about if about.page else About(name, time=utc(path.stat().st_mtime))
            yield Entry(about, path.relative_to(folder).as_posix())


def _about(path: Path) -> About:
    with open(path, "rb") as file:
        return about_of(file.read(HEAD).decode("utf-8", "replace"))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps others from writing the index meanwhile, where the file system has locks."""
    make_folder(folder)
    create_file(folder / ".lock")
    descriptor = os.open(folder / ".lock", os.O_RDWR)
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                logger.warning("somebody has been writing the index of %s for %g s; going on", folder, LOCK_WAIT)
                break
            time.sleep(0.01)
        yield
    finally:
        os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:  # a file system without locks
        logger.debug("no lock: %s", error)
    return True
