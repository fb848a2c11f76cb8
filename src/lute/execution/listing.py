"""What stands at a path: a file's or a folder's state, to be compared with another time's."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from lute.record.rows import utc_of_ns

MOST_FILES = 100_000
"""Of a folder with more files only so many are looked at."""
MOST_OF_INPUT = 10_000
"""A folder with more files that a parameter names is not looked at."""


class FileState(NamedTuple):
    """What tells one state of a file from another; times in ns since the epoch."""

    inode: int
    size: int
    mtime: int
    ctime: int
    is_folder: bool
    is_regular: bool


State = Mapping[str, FileState]
"""The files at a path: of a folder all that are in it, by their names relative to it; of a file itself, as `""`.

Nothing is there if it is empty, but for a folder that is: that has itself, as `""`.
"""


def state_of(path: str, inside: bool = True, most: int = MOST_FILES) -> State:
    """Returns what stands at a path now; nothing that cannot be looked at. A folder is walked once.

    Args:
        path: The path.
        inside: Whether the files in a folder are looked at, too.
        most: How many of these at most.
    """
    try:
        about = os.stat(path)
    except (OSError, ValueError):
        return {}
    if not inside or not stat.S_ISDIR(about.st_mode):
        return {"": _state(about)}
    files = dict(itertools.islice(_files_in(path, ""), most))
    return dict(sorted(files.items())) or {"": _state(about)}


def input_state(path: str, around: Iterable[str]) -> State:
    """Returns what stands at a path that a Task may read: a file, or a folder with its files.

    A folder that a run's own files are in is none, nor is one with more than `MOST_OF_INPUT` files.

    Args:
        path: The path.
        around: The folders that a run's own files are in.
    """
    state = state_of(path, inside=False)
    own = state.get("")
    if own is None or not own.is_folder:
        return state if own is not None and own.is_regular else {}
    real = os.path.realpath(path)
    if any(f"{os.path.realpath(folder)}/".startswith(f"{real.rstrip('/')}/") for folder in around):
        return {}
    state = state_of(path, most=MOST_OF_INPUT + 1)
    return state if len(state) <= MOST_OF_INPUT else {}


def _state(about: os.stat_result) -> FileState:
    kind = about.st_mode
    times = about.st_mtime_ns, about.st_ctime_ns
    return FileState(about.st_ino, about.st_size, *times, stat.S_ISDIR(kind), stat.S_ISREG(kind))


def _files_in(folder: str, before: str) -> Iterator[tuple[str, FileState]]:
    """Gives the files in a folder at any depth; links to folders are not followed, bytecode is left out."""
    waiting = [(folder, before)]
    while waiting:
        place, name = waiting.pop()
        with contextlib.suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                inside = f"{name}{entry.name}"
                with contextlib.suppress(OSError):
                    if not entry.is_dir(follow_symlinks=False):
                        yield inside, _state(entry.stat())
                    elif entry.name != "__pycache__":
                        waiting.append((entry.path, f"{inside}/"))


def is_folder(state: State) -> bool:
    """Returns whether it is a folder that stands there."""
    return "" not in state or state[""].is_folder


def is_empty(state: State) -> bool:
    """Returns whether a file has no bytes, or a folder no files."""
    own = state.get("")
    return own is not None and (own.is_folder or own.size == 0)


def newest(state: State) -> int:
    """Returns the latest time of change, in ns since the epoch; 0 if nothing is there."""
    return max((one.mtime for one in state.values()), default=0)


def written_since(before: State, now: State) -> bool:
    """Returns whether something is there that was not, or was not as it is now; what is gone does not count."""
    return any(before.get(name) != one for name, one in now.items())


def listing_of(state: State, digests: Mapping[str, str | None]) -> str:
    """Returns the files in a folder as text: a line each, with size, digest or else time of change, and name.

    Args:
        state: The folder's.
        digests: The digests of files, by name; none if they are not to be taken.
    """
    files = ((name, one) for name, one in state.items() if name)
    return "".join(f"{one.size} {digests.get(name) or utc_of_ns(one.mtime)} {name}\n" for name, one in files)


def digest_of_text(text: str) -> str:
    """Returns the SHA-256 of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def digest_of_file(path: str) -> str | None:
    """Returns the SHA-256 of a file; None if it cannot be read."""
    with contextlib.suppress(OSError), open(path, "rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()
    return None
