"""Starts one command after another, and says what each cost. Run as a script.

A small process of its own, because the kernel counts the memory of the process that spawned a command into
that command's peak. A request and its answer are a line of JSON each:

    {"argv", "cwd", "env", "out", "err", "timeout"}   `out` and `err` are files; `out` may be `pty`
    {"code", "wall_s", "cpu_s", "peak_kib"}           with all children that were waited for
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import termios
import time
from typing import Any

WRITE = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
PTY_LINES, PTY_COLUMNS = 24, 80


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Runs one command to its end."""
    os.chdir(request["cwd"])
    for name in (request["out"], request["err"]):
        if os.path.isfile(name):
            os.unlink(name)  # to truncate a file takes as long as it is large, and may wait for the disk
    terminal = _open_terminal() if request["out"] == "pty" else None
    actions: list[Any] = [(os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)]
    if terminal:
        actions += [(os.POSIX_SPAWN_DUP2, terminal[1], 1)]
    else:
        actions += [(os.POSIX_SPAWN_OPEN, 1, request["out"], WRITE, 0o600)]
    actions += [(os.POSIX_SPAWN_OPEN, 2, request["err"], WRITE, 0o600)]
    argv, env = request["argv"], request["env"]
    begun = time.monotonic()
    pid = os.posix_spawnp(argv[0], argv, env, file_actions=actions, setsigdef=IGNORED, setpgroup=0)
    for number in (signal.SIGALRM, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.killpg(pid, signal.SIGKILL))
    signal.setitimer(signal.ITIMER_REAL, request["timeout"])
    _, status, usage = os.wait4(pid, 0)
    wall = time.monotonic() - begun
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    for descriptor in terminal or ():
        os.close(descriptor)
    cpu = usage.ru_utime + usage.ru_stime
    return {"code": os.waitstatus_to_exitcode(status), "wall_s": wall, "cpu_s": cpu, "peak_kib": usage.ru_maxrss}


IGNORED = [signal.SIGPIPE, signal.SIGXFSZ]
"""What Python ignores and a shell does not."""


def _open_terminal() -> tuple[int, int]:
    """Opens a terminal of 24 lines. A page has room in it without a reader."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (PTY_LINES, PTY_COLUMNS))
    return ours, theirs


def main() -> None:
    """Serves requests until standard input ends."""
    with contextlib.suppress(KeyboardInterrupt):
        for line in sys.stdin:
            print(json.dumps(run(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
