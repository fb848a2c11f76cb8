"""What a run wrote: looked at before it starts and when it has ended, so that what was there before does not count."""

from __future__ import annotations

import contextlib
import glob
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lute.base.files import make_folder, on_network, write_whole
from lute.errors import UsageError
from lute.execution import listing
from lute.execution.listing import State, state_of
from lute.models.files import NamedFile, outputs_declared
from lute.record.rows import RunFiles, is_time_of, utc_of_ns

if TYPE_CHECKING:
    from lute.config.run_names import RunNames
    from lute.execution.plan import Plan
    from lute.models.base import TaskParameters
    from lute.models.fields import Output
    from lute.record.types import FileEntry, OutputEntry

TICK = 0.01
"""How coarse a file's times may be, in s."""
NETWORK_TICK = 2.0
"""The same on a network file system."""
MOST_MATCHES = 10_000
"""Of a pattern that more files fit only so many are kept."""


@dataclass
class _Output:
    """An output that is declared, and what stands there, by path: before the run, and when it has ended."""

    file: NamedFile
    before: dict[str, State] = field(default_factory=dict)
    now: dict[str, State] = field(default_factory=dict)

    def look(self) -> dict[str, State]:
        """Returns what stands there."""
        if self.file.mark is None:  # a result that is nowhere said to be written: it is not judged
            return {}
        return {path: state_of(path) for path in _paths_of(self.file)}

    @property
    def written(self) -> list[str]:
        """The paths at which the run wrote something; with `may_be_old` all at which something is."""
        any_age = self.file.mark is not None and self.file.mark.may_be_old
        before, now = self.before, self.now
        return [path for path in now if any_age or listing.written_since(before.get(path, {}), now[path])]


class RunOutputs:
    """The outputs of one run.

    Args:
        params: The run's parameters, which declare them.
        cwd: The folder it runs in, which relative paths start from.
    """

    def __init__(self, params: TaskParameters, cwd: str) -> None:
        self._outputs = [_Output(file) for file in outputs_declared(params, cwd)]

    def before(self) -> None:
        """Looks at what is there, right before the Task's process starts.

        An output so young that its times could not tell whether it is written again is waited for.
        """
        for output in self._outputs:
            output.before = output.look()
            for path, state in output.before.items():
                _wait_for_clock(path, state)

    def after(self) -> None:
        """Looks at what is there when the run has ended."""
        for output in self._outputs:
            output.now = output.look()

    def wrong(self) -> str | None:
        """Returns what is wrong with the outputs; None if each is there, and this run wrote it."""
        for output in self._outputs:
            file, mark = output.file, output.file.mark
            told = mark and (_wrong_with_pattern(output, mark) if file.is_pattern else _wrong_with(output, mark))
            if told:
                return f"its output {file.parameter} = {file.text} {told}"
        return None

    def matches(self) -> dict[str, list[str]]:
        """Returns the files of this run that fit each output which is a pattern, by parameter; absolute, sorted."""
        found: dict[str, list[str]] = {}
        for output in self._outputs:
            if output.file.is_pattern:
                found.setdefault(output.file.parameter, []).extend(output.written)
        return found

    def entries(self, files: RunFiles, digests: bool) -> list[OutputEntry]:
        """Returns what the record keeps of the outputs that are there.

        Args:
            files: The run's files; listings of folders are written beside its log.
            digests: Whether the SHA-256 of files is taken.
        """
        found: list[OutputEntry] = []
        for output in self._outputs:
            file = output.file
            if file.is_pattern:
                found += _entries_of_pattern(output, digests)
                continue
            state = output.now.get(file.path) or state_of(file.path, inside=False)
            if not state:
                continue
            wrote = file.mark is not None and listing.written_since(output.before.get(file.path, {}), state)
            if wrote:
                found.append(entry_of(file.parameter, file.path, state, digests, files))
            elif file.mark is None or file.mark.may_be_old:
                found.append({**entry_of(file.parameter, file.path, state, digests, files), "written": False})
        return found


def _paths_of(file: NamedFile) -> list[str]:
    if not file.is_pattern:
        return [file.path]
    return sorted(glob.iglob(file.path, recursive=True))[:MOST_MATCHES]


def _wrong_with(output: _Output, mark: Output) -> str | None:
    now = output.now.get(output.file.path, {})
    if not now:
        return "is missing"
    if listing.is_empty(now) and not mark.may_be_empty:
        return "is empty"
    if output.written:
        return None
    of = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(listing.newest(now) / 1e9))
    return f"was not written by this run (it is of {of})"


def _wrong_with_pattern(output: _Output, mark: Output) -> str | None:
    written = output.written
    if len(written) < mark.at_least:
        old = len(output.now) - len(written)
        older = f"; {old} that fit are older" if old else ""
        return f"fits {len(written)} files that this run wrote, of at least {mark.at_least}{older}"
    empty = next((path for path in written if not mark.may_be_empty and listing.is_empty(output.now[path])), None)
    return f"fits {empty}, which is empty" if empty else None


def _wait_for_clock(path: str, state: State) -> None:
    youngest = max((max(one.mtime, one.ctime) for one in state.values()), default=0) / 1e9
    age = time.time() - youngest
    if 0 <= age < NETWORK_TICK:
        tick = NETWORK_TICK if on_network(Path(path)) else TICK
        time.sleep(max(0.0, tick - age))


def _entries_of_pattern(output: _Output, digests: bool) -> list[OutputEntry]:
    file = output.file
    entries = [entry_of(file.parameter, path, output.now[path], digests) for path in output.written]
    if not entries:  # so that it is known as a pattern, which nothing fits
        none: OutputEntry = {"parameter": file.parameter, "path": file.path, "size": None, "mtime": "", "digest": None}
        entries = [{**none, "count": 0}]
    for entry in entries:
        entry["pattern"] = file.text
    return entries


def entry_of(parameter: str, path: str, state: State, digests: bool, files: RunFiles | None = None) -> OutputEntry:
    """Returns what the record keeps of an output.

    Args:
        parameter: The parameter that names it.
        path: Where it is.
        state: What stands there.
        digests: Whether the SHA-256 of files is taken.
        files: The run's files; the listing of a folder is written beside its log.
    """
    mtime = utc_of_ns(listing.newest(state))
    about: OutputEntry = {"parameter": parameter, "path": path, "size": None, "mtime": mtime, "digest": None}
    if not listing.is_folder(state):
        about["size"] = state[""].size
        about["digest"] = listing.digest_of_file(path) if digests else None
        return about
    inside = {name: one for name, one in state.items() if name}
    taken = {name: listing.digest_of_file(os.path.join(path, name)) for name in inside} if digests else {}
    text = listing.listing_of(inside, taken)
    about["digest"] = listing.digest_of_text(text)
    about |= {
        "count": len(inside),
        "bytes": sum(one.size for one in inside.values()),
        "newest": mtime,
        "digests": digests,
    }
    if files is not None:
        place = files.kept(f"outputs-{parameter}", ".listing")
        with contextlib.suppress(OSError):
            write_whole(place, text.encode("utf-8", "surrogateescape"))
            about["listing"] = str(place)
    return about


def differs(entry: OutputEntry | FileEntry) -> str | None:
    """Returns how an input or output is not as it was recorded, in words for people; None if it is as it was.

    With a digest the digest decides, else size and time. What an older `lute` recorded of a folder is its time alone.
    """
    state = state_of(entry["path"], inside="count" in entry)
    if entry.get("count") == 0 and "pattern" in entry:
        return None
    if not state:
        return "it is gone"
    if "count" in entry:
        now = entry_of(entry["parameter"], entry["path"], state, digests=entry.get("digests", False))
        return None if now["digest"] == entry["digest"] else f"it has other files, the newest of {now['mtime']}"
    own = state[""]
    if entry["size"] is None:
        return None if own.is_folder else "it is no folder"
    if own.is_folder:
        return "it is a folder"
    if entry["digest"]:
        return None if listing.digest_of_file(entry["path"]) == entry["digest"] else "its contents are others"
    if own.size != entry["size"]:
        return f"it has {own.size} bytes, not {entry['size']}"
    return None if is_time_of(entry["mtime"], own.mtime) else f"it was changed at {utc_of_ns(own.mtime)}"


def make_folders(plan: Plan, identity: str) -> None:
    """Makes the folders that outputs are to be in, and the run's own if that is asked for.

    Raises:
        UsageError: One cannot be made.
    """
    names: RunNames | None = plan.params._lute_run_names
    if names is not None and "run_dir" in names.asked:
        own = RunFiles.of(plan.params.lute_config.work_dir, identity).made
        make_folder(Path(plan.cwd) if plan.cwd.startswith(str(own)) else own)
    for file in outputs_declared(plan.params, plan.cwd):
        parent = Path(file.path).parent
        if file.mark is None or parent.is_dir() or (file.is_pattern and glob.has_magic(str(parent))):
            continue
        try:
            make_folder(parent)
        except OSError as error:
            raise UsageError(
                f"{plan.task}: the folder {parent} of the output {file.parameter} = {file.text} cannot be made:"
                f" {error.strerror}"
            ) from error
