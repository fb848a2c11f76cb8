"""New files or acquisition runs -> a workflow run for each: in order, one at a time, once each.

What has been seen is kept in a file in the work folder, written whole after each change: a watcher that is killed goes
on where it was, and the workflow run that it was in is resumed.
"""

from __future__ import annotations

import fcntl
import glob
import hashlib
import json
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO, TypedDict

from lute.base.files import create_file, make_folder, write_whole
from lute.errors import UsageError

FOLDER = "lute.watch"
"""Where in the work folder it is remembered what has been seen."""
SKIPPED = "SKIPPED"
"""Stands for what was there before anyone watched."""

Stamp = tuple[float, int]
"""Time of the last change, in ns since the epoch, and size in bytes; of a run, its number and 0."""
Look = Callable[[], Mapping[str, Stamp]]
"""Returns what is there: names and stamps."""


def files(pattern: str) -> Look:
    """Returns a look at the regular files that a pattern fits; `**` goes into folders."""
    whole = os.path.abspath(os.path.expanduser(pattern))

    def look() -> dict[str, Stamp]:
        found = {}
        for path in glob.iglob(whole, recursive=True):
            try:
                about = os.stat(path)
            except OSError:  # it went while we looked
                continue
            if stat.S_ISREG(about.st_mode):
                found[path] = (float(about.st_mtime_ns), about.st_size)
        return found

    return look


def numbers(runs: Callable[[], Iterable[int]]) -> Look:
    """Returns a look at acquisition runs by their numbers."""
    return lambda: {str(run): (float(run), 0) for run in runs()}


def run_in(pattern: str, path: str) -> str | None:
    """Returns the acquisition run that a file's path names; None if it names none.

    >>> run_in("run([0-9]+)", "/data/run0012/run0013_ch1.h5")
    '13'
    """
    found = list(re.finditer(pattern, path))
    if not found:
        return None
    text = found[-1][1]
    return str(int(text)) if text.isdecimal() else text


@dataclass
class Settling:
    """Finds what has not changed for some time.

    Args:
        seconds: How long.
    """

    seconds: float
    _since: dict[str, tuple[Stamp, float]] = field(default_factory=dict)

    def settled(self, there: Mapping[str, Stamp], now: float) -> list[str]:
        """Returns the names that have not changed, oldest first.

        Args:
            there: What is there now.
            now: The time, in s on a clock that only goes on.
        """
        before, self._since = self._since, {}
        for name, stamp in there.items():
            known = before.get(name)
            self._since[name] = known if known and known[0] == stamp else (stamp, now)
        ready = [name for name, (_, since) in self._since.items() if now - since >= self.seconds]
        return sorted(ready, key=lambda name: (there[name][0], name))

    @property
    def waiting(self) -> bool:
        """Whether something is there that may still settle."""
        return bool(self._since)


class Seen(TypedDict, total=False):
    """What is kept of one thing that was seen; `workflow` is missing of what nobody was to look at."""

    workflow: str
    status: str


class Memory:
    """What one watch has seen, kept in a file. Only one process at a time can have it.

    Args:
        work_dir: The work folder.
        name: The workflow's name.
        watched: What makes this watch another than others: workflow, YAML file, source.

    Raises:
        UsageError: Another process has it.
    """

    def __init__(self, work_dir: str, name: str, watched: object) -> None:
        key = hashlib.sha256(json.dumps(watched).encode()).hexdigest()[:12]
        folder = Path(work_dir).absolute() / FOLDER
        make_folder(folder)
        self.path = folder / f"{name}.{key}.json"
        self._lock = self._locked(self.path.with_suffix(".lock"))
        text = self.path.read_text() if self.path.exists() else ""
        self._seen: dict[str, Seen] | None = json.loads(text)["seen"] if text else None

    def _locked(self, path: Path) -> TextIO:
        create_file(path)
        lock = open(path, "r+")  # noqa: SIM115 - it is held until the process ends
        try:
            fcntl.lockf(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # children do not inherit it
        except OSError as error:
            lock.close()
            raise UsageError(f"another `lute watch` does this already: it holds {path}") from error
        return lock

    @property
    def is_new(self) -> bool:
        """Whether nobody has watched this before."""
        return self._seen is None

    def begin(self, there: Iterable[str]) -> None:
        """Remembers what is there at the very beginning, which is nothing new."""
        self._seen = {name: {"status": SKIPPED} for name in there}
        self._save()

    def new(self, names: Iterable[str]) -> list[str]:
        """Returns those that were not seen, in their order."""
        return [name for name in names if name not in (self._seen or {})]

    def left(self) -> list[tuple[str, str]]:
        """Returns name and workflow run of what was begun and has not ended."""
        seen = self._seen or {}
        return [(name, entry["workflow"]) for name, entry in seen.items() if not entry["status"]]

    def put(self, name: str, workflow: str, status: str = "") -> None:
        """Remembers the workflow run of one, and how it ended if it did."""
        self._seen = (self._seen or {}) | {name: {"workflow": workflow, "status": status}}
        self._save()

    def forget(self, name: str) -> None:
        """Makes it new again: its workflow run never began."""
        self._seen = {key: entry for key, entry in (self._seen or {}).items() if key != name}
        self._save()

    def _save(self) -> None:
        write_whole(self.path, json.dumps({"seen": self._seen}, indent=1).encode())


def watch(
    look: Look,
    memory: Memory,
    settling: Settling,
    start: Callable[[str], bool | None],
    every: float,
    once: bool = False,
    existing: bool = False,
) -> None:
    """Starts something for each new thing; ends when `start` says so, or after one look.

    Args:
        look: What is there.
        memory: What has been seen.
        settling: What has not changed for some time.
        start: Called with the name of each, one after another; returns whether to go on, None if it could not be
            started yet.
        every: Time between two looks, in s.
        once: Whether to end when what is new has settled, or has had the time to.
        existing: Whether what is there when nobody has watched before is new too.
    """
    if memory.is_new:
        memory.begin([] if existing else look())
    until = time.monotonic() + settling.seconds
    while True:
        there = look()
        new = {name: there[name] for name in memory.new(there)}
        ready = settling.settled(new, time.monotonic())
        going = start(ready[0]) if ready else None
        if going is False:
            return
        if going:
            continue  # what else is ready is seen at the next look, in order
        if once and (not new or time.monotonic() > until + every):
            return
        soon = min(every, max(settling.seconds, 0.05))
        time.sleep(soon if settling.waiting and not ready else every)
