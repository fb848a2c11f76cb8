"""Pages of figures on disk, below the summary folder of an experiment:

    index.html                                all pages, by tab
    <display_name>/report.html                the latest version of a page
    <display_name>/history/<run id>.html      the earlier ones

All of it is found again from the folders themselves, so that several processes can write at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import re
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from lute import facility
from lute.base.files import create_file, make_folder, write_whole
from lute.publish.page import About, Entry, about_of, as_earlier, index, page
from lute.record.rows import utc
from lute.wire.results import RenderedPage

__all__ = [
    "KEPT",
    "About",
    "entries",
    "folder_of",
    "page_path",
    "summary_folder",
    "version_of",
    "write_index",
    "write_page",
]

if TYPE_CHECKING:
    from lute.models.base import AnalysisHeader

logger = logging.getLogger(__name__)

KEPT = 50
"""Earlier versions of a page that are kept."""
HEAD = 1 << 14
"""How much of a page is read to know what it is about, in bytes."""
LOCK_WAIT = 10.0
"""Longest time to wait for another who writes pages, in s."""


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
    folder: Path, display_name: str, rendered: RenderedPage, about: About, avoid: Collection[str] = ()
) -> Path:
    """Writes a page, aside first and then in place; the one that was there becomes an earlier version.

    Files written: `<folder>/<display_name>/report.html`, and one in `history/` beside it.

    Args:
        folder: The summary folder.
        display_name: The page's name.
        rendered: The figures.
        about: What the page is about, but for its name and time.
        avoid: Paths of this run's other pages. If it is one of them, the page gets a number: `<display_name> (2)`.

    Raises:
        OSError: The file cannot be written.
    """
    path = first = page_path(folder, display_name).absolute()
    number = 1
    while str(path) in avoid:
        number += 1
        path = first.parent.with_name(f"{first.parent.name} ({number})") / first.name
    name = path.parent.relative_to(folder.absolute()).as_posix()
    text = page(rendered, replace(about, page=name, time=utc(time.time())))
    make_folder(path.parent)
    with _alone(folder):
        if path.exists():
            _keep_earlier(path, name)
        write_whole(path, text.encode("utf-8", "xmlcharrefreplace"))
    return path


def _keep_earlier(path: Path, display_name: str) -> None:
    """Puts a page among its earlier versions, and forgets the oldest. It stays where it is until it is replaced."""
    written = path.stat()
    identity = _about(path).id
    if not re.fullmatch(r"[\w-]{1,64}", identity):  # not written by lute, or by an older one
        identity = time.strftime("%Y-%m-%dT%H-%M-%S", time.gmtime(written.st_mtime))
    kept = _history(path) / f"{identity}.html"
    make_folder(kept.parent)
    write_whole(kept, as_earlier(path.read_bytes(), display_name))
    os.utime(kept, ns=(written.st_atime_ns, written.st_mtime_ns))
    for old in _versions(path)[KEPT:]:
        old.unlink(missing_ok=True)


def _history(path: Path) -> Path:
    return path.parent / "history"


def _versions(path: Path) -> list[Path]:
    """Returns the earlier versions of a page, the newest first."""
    files = [file for file in _history(path).glob("*.html") if file.name != "report.html"]
    return sorted(files, key=lambda file: (file.stat().st_mtime_ns, file.name), reverse=True)


def version_of(path: str, run_id: str) -> str:
    """Returns where the page that a run wrote is now: among the earlier versions, if a later one took its place."""
    earlier = _history(Path(path)) / f"{run_id}.html"
    return str(earlier) if earlier.exists() else path


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
            earlier = ((_about(old), old.relative_to(folder).as_posix()) for old in _versions(path))
            about = _about(path)
            name = Path(place).relative_to(folder).as_posix()
            about = about if about.page else About(name, time=utc(path.stat().st_mtime))
            yield Entry(about, path.relative_to(folder).as_posix(), tuple(earlier))


def _about(path: Path) -> About:
    with open(path, "rb") as file:
        return about_of(file.read(HEAD).decode("utf-8", "replace"))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keeps others from writing pages and the index meanwhile, where the file system has locks."""
    make_folder(folder)
    create_file(folder / ".lock")
    descriptor = os.open(folder / ".lock", os.O_RDWR)
    try:
        deadline = time.monotonic() + LOCK_WAIT
        while not _locked(descriptor):
            if time.monotonic() > deadline:
                logger.warning("somebody has been writing pages into %s for %g s; going on", folder, LOCK_WAIT)
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
