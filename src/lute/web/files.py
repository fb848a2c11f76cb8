"""Files that are shown: logs and figures, and nothing that is not in its place."""

from __future__ import annotations

import codecs
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lute.record.rows import RunFiles
from lute.web.site import NotThere

if TYPE_CHECKING:
    from lute.record.types import LogPiece, RunRow

PIECE = 1 << 16
TAIL_LINES = 200
TAIL_BYTES = 1 << 18
"""Most of a log's end that a page shows."""
MOST_BEHIND = 1 << 20
"""A follower that is further behind is taken to the log's end, in bytes."""
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


def open_below(folder: Path, path: str | Path) -> BinaryIO:
    """Opens a regular file below a folder. Links that lead out of the folder are refused.

    Args:
        folder: The folder.
        path: The file, from there.

    Raises:
        NotThere: There is no such file, or it is none that may be shown.
    """
    try:
        root = os.path.realpath(folder, strict=True)
        place = os.path.realpath(os.path.join(root, path), strict=True)
        descriptor = os.open(place, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError) as error:
        raise NotThere("there is no such file") from error
    opened = os.readlink(f"/proc/self/fd/{descriptor}")  # what was opened, whatever has changed meanwhile
    if not opened.startswith(root + os.sep) or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotThere("there is no such file")
    return open(descriptor, "rb", buffering=0)


def of_run(row: RunRow) -> RunFiles:
    """Returns the files of a run.

    Raises:
        NotThere: What the record calls the log is not at a log's place.
    """
    path = Path(row["log"] or "-")
    folder = path.parent
    in_place = folder.name == row["id"] and bool(_DATE.fullmatch(folder.parent.name))
    if not in_place or folder.parent.parent.name != "lute.runs" or path != RunFiles(folder).log:
        raise NotThere(f"run {row['id']} has no log in its folder")
    return RunFiles(folder)


def open_log(row: RunRow) -> BinaryIO:
    """Opens the log of a run.

    Raises:
        NotThere: It is not there any more, or what the record calls the log is not at a log's place.
    """
    path = of_run(row).log
    try:
        return open_below(path.parent, path.name)
    except NotThere as error:
        raise NotThere(f"the log {path} is not there any more") from error


def request_file(row: RunRow) -> Path:
    """Returns where a request to a run's owner is left.

    Raises:
        NotThere: The run has no folder.
    """
    open_log(row).close()
    return RunFiles(Path(row["log"]).parent).request


def pieces(file: BinaryIO, offset: int, end: int) -> Iterator[bytes]:
    """Yields the bytes of a file from one place to another, and closes it."""
    with file:
        file.seek(offset)
        while offset < end and (piece := file.read(min(PIECE, end - offset))):
            offset += len(piece)
            yield piece


def size_of(file: BinaryIO) -> int:
    """Returns the size of an open file, in bytes."""
    return os.fstat(file.fileno()).st_size


def tail(row: RunRow) -> tuple[str, int, bool]:
    """Returns the last lines of a log, the size that it has, and whether there is more before.

    Raises:
        NotThere: There is no log.
    """
    with open_log(row) as file:
        end = size_of(file)
        start = max(0, end - TAIL_BYTES)
        data = b"".join(pieces(file, start, end))
    text, held = whole(data)
    lines = text.splitlines(keepends=True)
    if start and len(lines) > 1:
        del lines[0]  # its beginning is missing
    return "".join(lines[-TAIL_LINES:]), end - held, bool(start) or len(lines) > TAIL_LINES


def whole(data: bytes) -> tuple[str, int]:
    """Returns bytes as text, and how many at the end are the beginning of a character that is not there yet.

    Bytes that are no UTF-8 are written in hexadecimal.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    text = decoder.decode(data)
    return text, len(decoder.getstate()[0])


class Follower:
    """Reads a log as it grows.

    Args:
        row: The run.
        offset: Where to begin, in bytes.
    """

    def __init__(self, row: RunRow, offset: int) -> None:
        self._row = row
        self.offset = offset

    def more(self) -> LogPiece | None:
        """Returns the next piece: `text`, `offset` after it, and how many bytes before it were `skipped`; or None."""
        try:
            file = open_log(self._row)
        except NotThere:  # not made yet, or removed
            return None
        with file:
            end = size_of(file)
            skipped = end - TAIL_BYTES - self.offset if end - self.offset > MOST_BEHIND else 0
            file.seek(self.offset + skipped)
            text, held = whole(data := file.read(PIECE))
        used = len(data) - held
        if used <= 0:
            return None
        self.offset += skipped + used
        return {"offset": self.offset, "text": text, "skipped": skipped}
