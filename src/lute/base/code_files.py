"""The texts of project files, each kept once by its digest, and the list in which a Task says what it imports.

<work_dir>/lute.runs/code/DIGEST     a text
<run's folder>/imports               a line of JSON for each import: module, path and digest, or an installed name
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Set, Tuple

from lute.base.files import make_folder, write_whole
from lute.base.imports import Found, Source
from lute.base.secrets import secret_values

FOLDER = "code"
"""Its name in `lute.runs`."""

SHORTEST_SECRET = 8
"""A shorter one is not looked for in code, in characters: it may be any word."""

_kept: Set[Tuple[str, str]] = set()
"""What is known to be kept, by folder and digest."""


class Imported(NamedTuple):
    """What a Task's process has imported.

    Attributes:
        files: Module, path and digest of each project file.
        installed: The top-level names of what is installed.
    """

    files: List[Tuple[str, str, str]]
    installed: List[str]


def keep(folder: str, source: Source, secrets: Iterable[str] = ()) -> None:
    """Keeps a text, if it is not there yet; one that holds a secret is not kept.

    Args:
        folder: `lute.runs/code` of the work folder.
        source: The file that was loaded.
        secrets: The secrets.

    Raises:
        OSError: It cannot be written.
    """
    if (folder, source.digest) in _kept:
        return
    if any(len(secret) >= SHORTEST_SECRET and os.fsencode(secret) in source.text for secret in secrets):
        return
    path = Path(folder, source.digest)
    if not path.exists():
        make_folder(path.parent)
        write_whole(path, source.text)
    _kept.add((folder, source.digest))


def kept_text(folder: str, digest: str) -> bytes:
    """Returns a text that was kept.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is not what was kept.
    """
    text = Path(folder, digest).read_bytes()
    if hashlib.sha256(text).hexdigest() != digest:
        raise ValueError(f"{Path(folder, digest)} was changed: it is not the text that ran")
    return text


def restore(files: Iterable[Tuple[str, str, str]], texts: str, folder: str) -> Dict[str, str]:
    """Writes the texts that were kept of project files so that they can be imported from a folder.

    Args:
        files: Module, path and digest of each.
        texts: Where the texts are kept.
        folder: Where they are written to.

    Returns:
        Where each is now, by its path of then.

    Raises:
        FileNotFoundError: A text is not there.
        ValueError: A text is not what was kept.
    """
    written = {}
    for module, path, digest in files:
        place = Path(folder, place_of_module(module, path))
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(kept_text(texts, digest))
        written[path] = str(place)
    return written


def place_of_module(module: str, path: str) -> str:
    """Returns where a module's file belongs below a folder that it is to be imported from.

    >>> place_of_module("hits.find", "/home/me/hits/find.py")
    'hits/find.py'
    """
    name = os.path.basename(path)
    place = Path(*module.split("."))
    return str(place / name if name == "__init__.py" else place.with_name(place.name + os.path.splitext(name)[1]))


class ImportList:
    """Says in a file what is imported; any process of a run may write a line.

    Args:
        file: The file.
        folder: Where the texts are kept.
    """

    def __init__(self, file: str, folder: str) -> None:
        self._file, self._folder = file, folder

    def add(self, found: Found) -> None:
        """Adds what was imported. What cannot be written costs the Task nothing."""
        lines = [[source.module, source.path, source.digest] for source in found.sources]
        text = "".join(f"{json.dumps(line)}\n" for line in [*lines, *found.installed])
        with contextlib.suppress(OSError):
            descriptor = os.open(self._file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            os.write(descriptor, text.encode("ascii"))
            os.close(descriptor)
        secrets = secret_values(os.environ) if found.sources else []
        for source in found.sources:
            with contextlib.suppress(OSError):
                keep(self._folder, source, secrets)


def read_imports(file: str) -> Imported:
    """Returns what was said in a list of imports; a line that is not whole is left out."""
    found = Imported([], [])
    with contextlib.suppress(OSError), open(file, encoding="ascii", errors="replace") as lines:
        for line in lines:
            with contextlib.suppress(ValueError):
                entry = json.loads(line)
                if isinstance(entry, str):
                    found.installed.append(entry)
                else:
                    module, path, digest = entry
                    found.files.append((module, path, digest))
    return found
