"""Where a run's values, files and code come from, and what files it made. None of this decides about the run."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lute.base.code_files import Imported, keep, read_imports
from lute.base.imports import dependencies
from lute.execution import code
from lute.execution.code import said_by
from lute.execution.installed import versions_of
from lute.execution.listing import input_state
from lute.execution.outputs import RunOutputs, entry_of
from lute.models.files import NamedFile, inputs_named
from lute.record.rows import RunFiles, is_time_of

if TYPE_CHECKING:
    from lute.execution.plan import Plan
    from lute.record.types import CodeEntry, FileEntry, Origin

logger = logging.getLogger(__name__)

VERSION_LIMIT = 2.0
"""Longest time for a program's `version_command`, in s."""
LONGEST_WAIT = 3.0
"""Longest time that the end of a run waits for what they tell, in s."""
MOST_FILES = 1000
LONGEST_VERSION = 200

_versions: dict[tuple[Any, ...], str | None] = {}


class Provenance:
    """What one run was made from.

    Args:
        plan: What is run.
        files: The run's files.
        outputs: What it writes.
    """

    def __init__(self, plan: Plan, files: RunFiles, outputs: RunOutputs) -> None:
        self._params, self._cwd, self._files = plan.params, plan.cwd, files
        self._outputs = outputs
        self._roots = code.roots(plan)
        self._inputs: list[FileEntry] = []
        self._thread: threading.Thread | None = None
        self._version: str | None = None

    def at_start(self) -> Origin:
        """Returns the runs that values came from, and the files that parameters name."""
        return _or_nothing(self._at_start)

    def _at_start(self) -> Origin:
        self._inputs = _looked_at(inputs_named(self._params, self._cwd), [self._cwd, self._params.lute_config.work_dir])
        return {"sources": self._params._lute_sources, "inputs": self._inputs}

    def look(self, env: Mapping[str, str]) -> None:
        """Begins to look at the code and the program, beside the Task, which has started.

        Args:
            env: The Task's environment.
        """
        command = self._params.Config.version_command
        files = code.unknown((source.path, source.digest) for source in dependencies(self._roots).sources)
        if command or files:
            work = functools.partial(_or_nothing, functools.partial(self._look, files, command, env))
            self._thread = threading.Thread(target=work, daemon=True, name="lute-provenance")
            self._thread.start()

    def _look(self, files: list[code.FileState], command: list[str], env: Mapping[str, str]) -> Origin:
        if command:
            self._version = version_of(command, env, self._cwd)
        code.ask_repositories(files)
        return {}

    def at_end(self, versions: Mapping[str, str], secrets: Sequence[str] = ()) -> Origin:
        """Returns the files that were read and made, the code, and the versions with the program's.

        Args:
            versions: Those that are known already.
            secrets: Code that holds one of them is not kept.
        """
        return _or_nothing(functools.partial(self._at_end, versions, secrets))

    def _at_end(self, versions: Mapping[str, str], secrets: Sequence[str]) -> Origin:
        if self._thread is not None:
            self._thread.join(LONGEST_WAIT)
        digests = self._params.lute_config.digests
        for file in self._inputs if digests else ():
            file["digest"] = digest_of(file)
        program = {"program": self._version} if self._version else {}
        files, installed = self._code(secrets)
        return {
            "inputs": self._inputs,
            "outputs": self._outputs.entries(self._files, digests),
            "code": files,
            "versions": {**versions_of(installed), **versions, **program},
        }

    def _code(self, secrets: Sequence[str]) -> tuple[list[CodeEntry], list[str]]:
        """Returns the files that the result depends on, and the names of what is installed that they import."""
        known = dependencies(self._roots)
        told = read_imports(str(self._files.imports)) if self._files.imports.exists() else Imported([], [])
        self._files.imports.unlink(missing_ok=True)
        found = {source.path: (source.module, source.path, source.digest) for source in known.sources}
        found |= {path: (module, path, digest) for module, path, digest in told.files}  # it is its text that ran
        code.ask_repositories(code.unknown((path, digest) for _, path, digest in found.values()))
        for source in known.sources:
            keep(str(self._files.code), source, secrets)
        return [code.entry_of(*file) for file in found.values()], [*known.installed, *told.installed]


def _or_nothing(look: Callable[[], Origin]) -> Origin:
    """Returns what a look found; one that fails is told, and costs the run nothing."""
    try:
        return look()
    except Exception:
        logger.warning("where this run comes from is not recorded", exc_info=True)
        return {}


# -------------------------------------------------------------------------------------------- files


def _looked_at(files: Iterable[NamedFile], around: Iterable[str]) -> list[FileEntry]:
    """Returns what is known of the files and folders that there are, without folders that hold one of `around`."""
    found: list[FileEntry] = []
    for file in files:
        state = input_state(file.path, around)
        if state:
            found.append(entry_of(file.parameter, file.path, state, digests=False))
    return found[:MOST_FILES]


def digest_of(file: FileEntry) -> str | None:
    """Returns the SHA-256 of a file; None if it is a folder, or not what it was when it was looked at."""
    with contextlib.suppress(OSError):
        about = os.stat(file["path"])
        if file["size"] == about.st_size and is_time_of(file["mtime"], about.st_mtime_ns):
            with open(file["path"], "rb") as data:
                return hashlib.file_digest(data, "sha256").hexdigest()
    return None


# ------------------------------------------------------------------------------------------ programs


def version_of(command: list[str], env: Mapping[str, str], cwd: str) -> str | None:
    """Returns the first line that a program says of its version; asked once for each file that it is.

    Args:
        command: The program and its arguments.
        env: Its environment; `PATH` is searched.
        cwd: The folder it runs in.
    """
    program = shutil.which(command[0], path=env.get("PATH"))
    if program is None:
        return None
    key = (*command, program, os.stat(program).st_mtime_ns)
    if key not in _versions:
        said = said_by([program, *command[1:]], env, cwd, VERSION_LIMIT) or ""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        _versions[key] = lines[0][:LONGEST_VERSION] if lines else None
    return _versions[key]
