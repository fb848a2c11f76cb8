"""A program that does not want to end: python stubborn.py PID_FILE.

It ignores SIGTERM, and so do its grandchildren, each in a session of its own. The file has the pids, its own
first, once all of them live.
"""

from __future__ import annotations

import os
import signal
import sys

GRANDCHILDREN = 3


def grandchild(told: int) -> None:
    """Becomes a grandchild's parent, which leaves it alone in a new session."""
    if os.fork():
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    os.write(told, b"%d\n" % os.getpid())
    while True:
        signal.pause()


def main(pid_file: str) -> None:
    """Starts them, and waits for ever."""
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    read, write = os.pipe()
    for _ in range(GRANDCHILDREN):
        grandchild(write)
        os.wait()
    told = b"%d\n" % os.getpid()
    while told.count(b"\n") <= GRANDCHILDREN:
        told += os.read(read, 4096)
    with open(pid_file + ".part", "wb") as file:
        file.write(told)
    os.replace(pid_file + ".part", pid_file)
    while True:
        signal.pause()


if __name__ == "__main__":
    main(sys.argv[1])
