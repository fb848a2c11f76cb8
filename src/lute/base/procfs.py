"""Which processes belong to a run, and signals to them. Linux: `/proc` and one call of `prctl`."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path
from typing import Union

_PR_SET_CHILD_SUBREAPER = 36
_PR_GET_CHILD_SUBREAPER = 37
LOOKS = 3
"""How often in a row nothing must be found where something may be."""
KILLING = 0.1
"""Longest time that children are killed at a stretch, in s."""
SEARCH = 0.25
"""Time between two searches of all processes for those of a run that is being ended, in s."""


def become_subreaper(on: bool = True) -> bool:
    """Makes orphans among this process's descendants its children. Returns whether it was so before."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = ctypes.c_int()
    libc.prctl(_PR_GET_CHILD_SUBREAPER, ctypes.byref(before), 0, 0, 0)
    libc.prctl(_PR_SET_CHILD_SUBREAPER, int(on), 0, 0, 0)
    return bool(before.value)


def stat_fields(pid: Union[int, str], most: int = -1) -> list[str]:
    """Returns the fields of `/proc/PID/stat` behind the program's name, the state first; none if it is gone.

    Args:
        pid: The process, or `self`.
        most: The fields behind so many are left in one, which is faster.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb", buffering=0) as file:
            return file.read().rpartition(b")")[2].decode().split(None, most)
    except OSError:
        return []


def parents() -> dict[int, int]:
    """Returns the parent of every process that lives; zombies are left out."""
    found = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            fields = stat_fields(entry, 2)
            if fields and fields[0] not in "ZX":
                found[int(entry)] = int(fields[1])
    return found


def any_lives(pids: Iterable[int]) -> bool:
    """Returns whether one of some processes lives; much cheaper than `processes_of`."""
    states = (stat_fields(pid, 1) for pid in pids)
    return any(fields[0] not in "ZX" for fields in states if fields)


def descendants(roots: Iterable[int], tree: dict[int, int]) -> set[int]:
    """Returns the roots that live and everything below them."""
    children: dict[int, list[int]] = {}
    for pid, parent in tree.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in tree]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting += children.get(pid, [])
    return found


def run_id_of(pid: int) -> str | None:
    """Returns the run that a process was started in, by its environment; None if it does not say."""
    try:
        data = Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return None
    for item in data.split(b"\0"):
        if item.startswith(b"LUTE_RUN_ID="):
            return os.fsdecode(item.partition(b"=")[2])
    return None


def of_runs(runs: Collection[str]) -> list[int]:
    """Returns the processes that live and say that they were started in one of some runs."""
    return sorted(pid for pid in parents() if run_id_of(pid) in runs)


def children() -> set[int]:
    """Returns this process's children, those that have ended and were not waited for among them.

    The kernel's list can only miss a child while another is waited for.

    Raises:
        OSError: The kernel does not tell (it is without CONFIG_PROC_CHILDREN).
    """
    found: set[int] = set()
    for thread in os.listdir("/proc/self/task"):
        with open(f"/proc/self/task/{thread}/children") as file:
            found.update(int(pid) for pid in file.read().split())
    return found


def children_if_told() -> set[int]:
    """Returns this process's children, or none where the kernel does not tell."""
    try:
        return children()
    except OSError:
        return set()


def kill_children(known: Collection[int], wanted: Callable[[int], bool]) -> None:
    """Kills children and what they fork meanwhile, which no look at all processes is quick enough for.

    An orphan of a subreaper's descendants is its child at once.

    Args:
        known: Children that are not looked at.
        wanted: Returns whether another one is to be killed.
    """
    until, quiet = time.monotonic() + KILLING, 0
    while quiet < LOOKS and time.monotonic() < until:
        found = [pid for pid in children_if_told().difference(known) if wanted(pid)]
        send(found, signal.SIGKILL)
        for pid in found:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, os.WNOHANG)
        quiet = 0 if found else quiet + 1


def prints_to(pid: int, log: str | None) -> bool:
    """Returns whether standard output or error of a process is a certain file."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if log is not None and os.readlink(f"/proc/{pid}/fd/{number}") == log:
                return True
    return False


def strays(known: Collection[int]) -> set[int]:
    """Returns this process's children, with all below them, that it got from a launcher that was killed.

    They do not say which run they are of, and have a session of their own, as all that a launcher starts.

    Args:
        known: Children that it had before.
    """
    tree = parents()
    unknown = [pid for pid, parent in tree.items() if parent == os.getpid() and pid not in known]
    return descendants((pid for pid in unknown if is_stray(pid)), tree)


def is_stray(pid: int, run: str | None = None) -> bool:
    """Returns whether a child of this process says of no run but `run` that it is of it, and has another session."""
    try:
        return os.getsid(pid) != os.getsid(0) and run_id_of(pid) in (None, run)
    except ProcessLookupError:
        return False


def processes_of(
    run: str,
    root: int | None,
    others: Iterable[int] = (),
    adopter: int | None = None,
    log: str | None = None,
    alone: bool | None = None,
) -> set[int]:
    """Returns the processes of a run that live.

    Args:
        run: The run's id.
        root: Its first process.
        others: First processes of other runs, whose descendants are not touched.
        adopter: The subreaper. Its children that do not say which run they are of belong to this run if they print
            to its log, or if there is no other.
        log: The run's log.
        alone: Whether there is no other run; if not given, whether there are no `others`.
    """
    tree = parents()
    others = list(others)
    alone = not others if alone is None else alone
    foreign = descendants(others, tree)
    roots = {root} if root else set()
    for pid, parent in tree.items():
        if pid in foreign or pid in (os.getpid(), adopter):
            continue
        said = run_id_of(pid)
        if said == run or (parent == adopter and said is None and (alone or prints_to(pid, log))):
            roots.add(pid)
    return descendants(roots, tree) - foreign - {os.getpid()}


def with_command(pids: Iterable[int], argv: list[str]) -> set[int]:
    """Returns those processes that were started with a command line."""
    found, wanted = set(), b"".join(os.fsencode(argument) + b"\0" for argument in argv)
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes() == wanted:
                found.add(pid)
    return found


def send(pids: Iterable[int], number: int) -> None:
    """Sends a signal to processes; those that are gone, or that became another user's, are passed over."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(pid, number)


def signal_name(number: int) -> str:
    """Returns a signal's name, `SIG34` for one that has none."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"SIG{number}"
