"""Which process owns a run: told by host, pid and start time, so that a reused pid is no owner."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING

from lute.base import procfs

if TYPE_CHECKING:
    from lute.record.types import Owner


@functools.cache
def boot_id() -> str:
    """Returns the kernel's id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_time(pid: int) -> str | None:
    """Returns when a process started, in the kernel's ticks since boot; None if it is gone or a zombie."""
    fields = procfs.stat_fields(pid)
    return None if not fields or fields[0] in "ZX" else fields[19]


def this_process() -> Owner:
    """Returns what tells this process from every other."""
    return _process(os.getpid())


@functools.lru_cache(maxsize=1)
def _process(pid: int) -> Owner:
    return {"pid": pid, "started": start_time(pid), "boot": boot_id()}


def is_gone(owner: Owner) -> bool:
    """Returns whether an owner on this host does not live any more; False if that cannot be told."""
    if not owner.get("pid"):
        return False
    return bool(owner["boot"] != boot_id() or start_time(owner["pid"]) != owner["started"])
