"""The code that a run's result depends on: project files as they were compiled, and the state of their repositories."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import signal
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lute import registry
from lute.base.imports import loaded_digest

if TYPE_CHECKING:
    from lute.execution.plan import Plan
    from lute.record.types import CodeEntry

GIT_LIMIT = 1.0
"""Longest time for `git`, in s."""


class Commit(NamedTuple):
    """What a repository says of a file; None where it does not answer, or there is none.

    Attributes:
        commit: The commit that is checked out.
        dirty: Whether the file is not as committed.
    """

    commit: str | None = None
    dirty: bool | None = None


FileState = tuple[str, str]
"""A file's path and digest."""

_commits: dict[FileState, Commit] = {}
"""What is known: a file is asked about once."""


def roots(plan: Plan) -> list[str]:
    """Returns the names of the modules that define a plan's Task, model, managed Task and tasklets."""
    settings = plan.settings
    functions = [tasklet.function for several in settings.tasklets.values() for tasklet in several]
    named = [type(plan.params), registry.task_of(plan.task), *functions]
    found = [str(module) for one in named if (module := getattr(one, "__module__", None))]
    return list(dict.fromkeys([*found, *settings.modules]))


def entry_of(module: str, path: str, digest: str) -> CodeEntry:
    """Returns what the record keeps of a file."""
    commit, dirty = _commits.get((path, digest), Commit())
    return {"module": module, "path": path, "digest": digest, "commit": commit, "dirty": dirty}


def unknown(files: Iterable[FileState]) -> list[FileState]:
    """Returns the files whose repository was not asked yet."""
    return [file for file in files if file not in _commits]


def digest_now(path: str, loaded: bool) -> str | None:
    """Returns the digest of a file's text; None if it is not there.

    Args:
        path: The file.
        loaded: Whether the text counts that this process has loaded, which a process that it forks runs; or else
            what a new interpreter would load.
    """
    digest = loaded_digest(path) if loaded else None
    return digest or digest_on_disk(path)


def digest_on_disk(path: str) -> str | None:
    """Returns the digest of a file as it is now; None if it is not there."""
    try:
        about = os.stat(path)
    except OSError:
        return None
    return _digest_of_file(path, about.st_size, about.st_mtime_ns, about.st_ino)


@functools.lru_cache(maxsize=1024)
def _digest_of_file(path: str, size: int, mtime: int, inode: int) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def ask_repositories(files: Iterable[FileState]) -> None:
    """Finds out which commits files are of; each repository is asked once for all of its files.

    A file is dirty if it is not as committed. Outside a repository, or where `git` does not answer, nothing is known.
    """
    of_repository: dict[str, list[FileState]] = {}
    for file in files:
        home = next((str(folder) for folder in Path(file[0]).parents if (folder / ".git").exists()), "")
        of_repository.setdefault(home, []).append(file)
    for home, several in of_repository.items():
        if not home:
            _commits.update(dict.fromkeys(several, Commit()))
            continue
        names = [os.path.relpath(os.path.realpath(path), os.path.realpath(home)) for path, _ in several]
        commit = _git(home, "rev-parse", "HEAD")
        options = ("--porcelain", "-z", "--ignored", "--untracked-files=all", "--no-renames")
        state = _git(home, "status", *options, "--", *names)
        changed = None if state is None else {entry[3:] for entry in state.split("\0") if entry}
        for file, name in zip(several, names, strict=True):
            dirty = None if changed is None else name in changed
            _commits[file] = Commit(commit.strip() or None if commit is not None else None, dirty)


def _git(folder: str, *arguments: str) -> str | None:
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    env["GIT_OPTIONAL_LOCKS"] = "0"  # so that a look changes nothing in the repository
    return said_by(["git", "-C", folder, *arguments], env, None, GIT_LIMIT)


def said_by(argv: list[str], env: Mapping[str, str], cwd: str | None, limit: float) -> str | None:
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
