"""Where a run's values, files and code come from, and what files it made. None of this decides about the run."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import logging
import os
import shutil
import signal
import stat
import subprocess
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute import plugins
from lute.models.base import TaskParameters
from lute.models.files import NamedFile, inputs_named, outputs_declared
from lute.record.rows import utc

if TYPE_CHECKING:
    from lute.record.types import CodeEntry, FileEntry, Origin

logger = logging.getLogger(__name__)

GIT_LIMIT = 1.0
VERSION_LIMIT = 2.0
"""Longest times for `git` and for a program's `version_command`, in s."""
LONGEST_WAIT = 3.0
"""Longest time that the end of a run waits for what they tell, in s."""
MOST_FILES = 1000
LONGEST_VERSION = 200

_code: dict[str, CodeEntry] = {}
"""What is known of a plug-in's file: it is loaded once in a process, and so looked at once."""
_versions: dict[tuple[Any, ...], str | None] = {}


class Provenance:
    """What one run was made from.

    Args:
        params: The run's parameters.
        cwd: The folder it runs in, which relative paths start from.
    """

    def __init__(self, params: TaskParameters, cwd: str) -> None:
        self._params, self._cwd = params, cwd
        self._inputs: list[FileEntry] = []
        self._thread: threading.Thread | None = None
        self._version: str | None = None

    def at_start(self) -> Origin:
        """Returns the runs that values came from, and the files that parameters name."""
        return _or_nothing(self._at_start)

    def _at_start(self) -> Origin:
        self._inputs = _looked_at(inputs_named(self._params, self._cwd), regular=True)
        return {"sources": self._params._lute_sources, "inputs": self._inputs}

    def look(self, env: Mapping[str, str]) -> None:
        """Begins to look at the code and the program, beside the Task, which has started.

        Args:
            env: The Task's environment.
        """
        files = [module.__file__ for module in plugins.modules() if module.__file__]
        command = self._params.Config.version_command
        if command or any(file not in _code for file in files):
            work = functools.partial(_or_nothing, functools.partial(self._look, files, command, env))
            self._thread = threading.Thread(target=work, daemon=True, name="lute-lineage")
            self._thread.start()

    def _look(self, files: list[str], command: list[str], env: Mapping[str, str]) -> Origin:
        if command:
            self._version = version_of(command, env, self._cwd)
        for file in files:
            if file not in _code:
                _code[file] = code_of(file)
        return {}

    def at_end(self, versions: Mapping[str, str]) -> Origin:
        """Returns the files that were read and made, the code, and the versions with the program's."""
        return _or_nothing(functools.partial(self._at_end, versions))

    def _at_end(self, versions: Mapping[str, str]) -> Origin:
        if self._thread is not None:
            self._thread.join(LONGEST_WAIT)
        outputs = _looked_at(outputs_declared(self._params, self._cwd), regular=False)
        if self._params.lute_config.digests:
            for file in [*self._inputs, *outputs]:
                file["digest"] = digest_of(file)
        sources = [module.__file__ or "" for module in plugins.modules()]
        code = [_code[source] for source in sources if source in _code]
        program = {"program": self._version} if self._version else {}
        return {"inputs": self._inputs, "outputs": outputs, "code": code, "versions": {**versions, **program}}


def _or_nothing(look: Callable[[], Origin]) -> Origin:
    """Returns what a look found; one that fails is told, and costs the run nothing."""
    try:
        return look()
    except Exception:
        logger.warning("where this run comes from is not recorded", exc_info=True)
        return {}


# -------------------------------------------------------------------------------------------- files


def _looked_at(files: Iterable[NamedFile], regular: bool) -> list[FileEntry]:
    """Returns what is known of the files that there are, and of folders unless `regular`."""
    found: list[FileEntry] = []
    for file in files:
        with contextlib.suppress(OSError, ValueError):
            about = os.stat(file.path)
            is_file = stat.S_ISREG(about.st_mode)
            if is_file or not regular:
                size, mtime = about.st_size if is_file else None, utc(about.st_mtime)
                found.append(
                    {"parameter": file.parameter, "path": file.path, "size": size, "mtime": mtime, "digest": None}
                )
    return found[:MOST_FILES]


def digest_of(file: FileEntry) -> str | None:
    """Returns the SHA-256 of a file; None if it is a folder, or not what it was when it was looked at."""
    with contextlib.suppress(OSError):
        about = os.stat(file["path"])
        if file["size"] == about.st_size and file["mtime"] == utc(about.st_mtime):
            with open(file["path"], "rb") as data:
                return hashlib.file_digest(data, "sha256").hexdigest()
    return None


# --------------------------------------------------------------------------------------------- code


def code_of(path: str) -> CodeEntry:
    """Returns what is known of a source file: `path`, `digest` (SHA-256), `commit` and whether it is `dirty`.

    The last two are null outside a Git repository, or where `git` does not answer. Only the file itself is looked at:
    it is dirty if it is not as committed.
    """
    about: CodeEntry = {"path": path, "digest": None, "commit": None, "dirty": None}
    with contextlib.suppress(OSError):
        about["digest"] = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    if any((folder / ".git").exists() for folder in Path(path).parents):
        commit = _git(path, "rev-parse", "HEAD")
        state = _git(path, "status", "--porcelain", "--ignored", "--", path)
        about["commit"] = commit.strip() or None if commit is not None else None
        about["dirty"] = state != "" if state is not None else None
    return about


def _git(path: str, *arguments: str) -> str | None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env["GIT_OPTIONAL_LOCKS"] = "0"  # so that a look changes nothing in the repository
    return _output(["git", "-C", os.path.dirname(path), *arguments], env, None, GIT_LIMIT)


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
        said = _output([program, *command[1:]], env, cwd, VERSION_LIMIT) or ""
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        _versions[key] = lines[0][:LONGEST_VERSION] if lines else None
    return _versions[key]


def _output(argv: list[str], env: Mapping[str, str], cwd: str | None, limit: float) -> str | None:
    """Returns what a program prints; None if it fails, does not exist or takes longer than `limit` s."""
    own = {name: value for name, value in env.items() if name != "LUTE_RUN_ID"}  # it is no process of the run
    with contextlib.suppress(OSError, ValueError):
        with subprocess.Popen(
            argv,
            env=own,
            cwd=cwd,
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ) as process:
            try:
                said = process.communicate(timeout=limit)[0]
                return said.decode("utf-8", "replace") if process.returncode == 0 else None
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    return None
