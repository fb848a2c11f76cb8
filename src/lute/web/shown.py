"""Pictures and HTML among the outputs of a run, as its page shows them: only what is below its work folder."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from lute.execution.outputs import differs
from lute.web import files
from lute.web.site import NotThere

if TYPE_CHECKING:
    from lute.record.types import RunRow

PICTURES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".svg": "image/svg+xml",
}
HTML = (".html", ".htm")
LARGEST = 1 << 25
"""A file that is larger is not shown, in bytes."""
MOST = 50
"""So many files are shown at most."""
PICTURE_HEADERS = {"Content-Security-Policy": "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:"}
"""Even opened alone, a picture (an SVG may hold scripts) runs nothing and loads nothing."""


class ShownFile(NamedTuple):
    """An output that can be shown.

    Attributes:
        name: Its parameter, and its file's name.
        address: Where it is sent from.
        is_picture: Whether it is a picture, and no HTML.
        why_not: Why it is not shown; empty if it is.
    """

    name: str
    address: str
    is_picture: bool
    why_not: str


def shown(row: RunRow) -> list[ShownFile]:
    """Returns the pictures and HTML files among a run's outputs."""
    found: list[ShownFile] = []
    for number, file in enumerate(row["outputs"] or []):
        kind = os.path.splitext(str(file["path"]))[1].lower()
        if (kind not in PICTURES and kind not in HTML) or len(found) == MOST:
            continue
        why = ""
        try:
            content(row, number)
        except NotThere as error:
            why = str(error)
        name = f"{file['parameter']}: {os.path.basename(file['path'])}"
        found.append(ShownFile(name, f"/runs/{row['id']}/outputs/{number}", kind in PICTURES, why))
    return found


def content(row: RunRow, number: int, read: bool = False) -> tuple[str, bytes]:
    """Returns type and bytes of an output, if they are wanted.

    Raises:
        NotThere: There is no such output, or it may not be shown, or it is not what the run wrote.
    """
    outputs = row["outputs"] or []
    if number >= len(outputs):
        raise NotThere(f"run {row['id']} has no such output")
    path = str(outputs[number]["path"])
    kind = os.path.splitext(path)[1].lower()
    if kind not in PICTURES and kind not in HTML:
        raise NotThere("this output is no picture and no HTML")
    with files.open_below(files.of_run(row).folder.parents[2], path) as file:
        if files.size_of(file) > LARGEST:
            raise NotThere("it is too large to be shown here: open the file")
        changed = differs(outputs[number])
        if changed:
            raise NotThere(changed)
        return PICTURES.get(kind, "text/html"), file.read() if read else b""
