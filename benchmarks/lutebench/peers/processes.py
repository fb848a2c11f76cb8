"""The least that N processes one after another cost: python -m lutebench.peers.processes spawn|fork N FOLDER.

`spawn` starts `true` with posix_spawn; `fork` forks a process that has pydantic and yaml imported and a model
defined, which is all that the child does. Each in a session of its own, with a log file of its own, waited for by
a pidfd. Prints the seconds for all.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import sys
import time
from collections.abc import Callable

FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND
TRUE = shutil.which("true") or "/bin/true"


def spawn(log: int) -> int:
    """Starts a program."""
    actions = [(os.POSIX_SPAWN_DUP2, log, 1), (os.POSIX_SPAWN_DUP2, log, 2)]
    return os.posix_spawn(TRUE, [TRUE, "-n", "2"], os.environ, file_actions=actions, setsid=True)


def fork(log: int) -> int:
    """Forks."""
    pid = os.fork()
    if pid == 0:
        os.setsid()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os._exit(0)
    return pid


def become_large() -> None:
    """Imports what a process that runs Tasks has imported."""
    import pydantic
    import yaml

    class Model(pydantic.BaseModel):
        number: int = 1

    assert yaml.__name__
    Model(number=1)


def seconds(start: Callable[[int], int], count: int, folder: str) -> float:
    """Returns the time for all processes, in s."""
    begun = time.monotonic()
    for number in range(count):
        log = os.open(f"{folder}/{number}.log", FLAGS, 0o600)
        pid = start(log)
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [])
        os.close(descriptor)
        if os.wait4(pid, 0)[1]:
            sys.exit("a process failed")
        os.close(log)
    return time.monotonic() - begun


if __name__ == "__main__":
    if sys.argv[1] == "fork":
        become_large()
    print(json.dumps(seconds({"spawn": spawn, "fork": fork}[sys.argv[1]], int(sys.argv[2]), sys.argv[3])))
