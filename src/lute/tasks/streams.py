"""Files in place of a program's standard input, output and error; they are opened without a shell.

Loaded for the programs that have any. `files` is what `lute.tasks.program.stream_files` returns.
"""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Dict, Iterator, Mapping, Optional, Tuple

from lute.errors import LaunchError, UsageError

NUMBERS = {"stdin": 0, "stdout": 1, "stderr": 2}
Files = Mapping[str, Tuple[str, bool]]
"""Paths, and whether the file is added to, by the stream's name."""


def make_ready(task: str, files: Files, written_later: bool = False) -> None:
    """Looks at the files before a program is started, and makes the folders that output goes to.

    Args:
        task: The Task's name.
        files: The files, with absolute paths.
        written_later: Whether `lute` itself may still write the file for standard input.

    Raises:
        UsageError: A file cannot be read or written.
    """
    for name, (path, append) in files.items():
        if name == "stdin" and written_later:
            continue
        reason = _why_not(name, path)
        source = files.get("stdin", ("", False))[0]
        if reason is None and name != "stdin" and not append and _same(path, source):
            reason = "is read as standard input, and would be empty before it is"
        if reason is not None:
            raise UsageError(f"{task}: its {name} {path} {reason}")


def _why_not(name: str, path: str) -> Optional[str]:
    """Returns why a file cannot be opened; None if it can. The folder of an output is made."""
    reads = name == "stdin"
    try:
        if not reads:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        mode = os.stat(path).st_mode
    except FileNotFoundError:
        if reads:
            return "does not exist"
        return None if os.access(os.path.dirname(path) or ".", os.W_OK | os.X_OK) else "cannot be made in its folder"
    except (OSError, ValueError) as error:  # ValueError: a NUL byte
        return f"cannot be used: {getattr(error, 'strerror', None) or error}"
    if stat.S_ISDIR(mode):
        return "is a folder"
    if stat.S_ISFIFO(mode):
        return "is a named pipe, which nobody may be at the other end of: give a file"
    return None if os.access(path, os.R_OK if reads else os.W_OK) else f"cannot be {'read' if reads else 'written'}"


def _same(one: str, other: str) -> bool:
    return bool(other) and os.path.exists(one) and os.path.exists(other) and os.path.samefile(one, other)


@contextlib.contextmanager
def opened(files: Files) -> Iterator[Dict[int, int]]:
    """Yields descriptors of the files, by the number of the stream. One file for both outputs is open once.

    Raises:
        LaunchError: A file cannot be opened.
    """
    found: Dict[int, int] = {}
    try:
        for name, (path, append) in files.items():
            found[NUMBERS[name]] = _open(name, path, append)
        if 1 in found and 2 in found and os.path.sameopenfile(found[1], found[2]):
            os.close(found[2])
            found[2] = found[1]
        yield found
    finally:
        for descriptor in set(found.values()):
            os.close(descriptor)


def _open(name: str, path: str, append: bool) -> int:
    reason = _why_not(name, path)
    flags = os.O_RDONLY if name == "stdin" else os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
    try:
        if reason is None:
            return os.open(path, flags | os.O_NOCTTY, 0o666)
    except OSError as error:
        reason = f"cannot be opened: {error.strerror}"
    raise LaunchError(f"its {name} {path} {reason}")


@contextlib.contextmanager
def redirected(files: Files) -> Iterator[None]:
    """Has this process, and the program that takes its place meanwhile, read and print to the files.

    Raises:
        LaunchError: A file cannot be opened.
    """
    with opened(files) as found:
        before = {number: os.dup(number) for number in found}
        for number, descriptor in found.items():
            os.dup2(descriptor, number)
        try:
            yield
        finally:  # there was no program to take its place
            for number, descriptor in before.items():
                os.dup2(descriptor, number)
                os.close(descriptor)
