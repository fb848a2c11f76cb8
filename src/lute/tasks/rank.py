"""Starts one rank of an MPI program, its output labelled with its number: `[3] text`.

    python -I -S rank.py [--plain | --only=NUMBER] PROGRAM ARGUMENT...

Every MPI labels in a way of its own, and cuts lines that are long or come from several ranks at once; so a small
process beside each rank does it here, for standard output and error, or for the one that a number tells. It reads what
the rank and its children print, and writes whole lines: to the run's log where that is this host's file, otherwise to
where `mpirun` takes output from. It goes when the last that can print has gone. The rank's own process becomes the
program.

Standard library alone, Python 3.9; run as a file, so that nothing of `lute` is loaded.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import NoReturn, Optional

RANK_VARIABLES = ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "SLURM_PROCID")
"""Where the starters of ranks say which one it is: MPICH and Intel MPI, Open MPI, PMIx, srun."""
LOG_VARIABLE = "LUTE_RANK_LOG"
"""The run's log: `BOOT:INODE:PATH`, with the kernel's id of the boot, which tells the host."""
PIECE = 1 << 20
"""Most bytes that are read at once; a longer line is cut."""
_SET_PIPE_SIZE = 1031  # F_SETPIPE_SZ, which the module `fcntl` has from Python 3.10 on
_SIGNALS_TO_ALL = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM)


def rank_of(env: dict[str, str]) -> Optional[str]:
    """Returns the number of the rank whose environment it is, or None."""
    return next((env[name] for name in RANK_VARIABLES if env.get(name)), None)


def whole_lines(data: bytes) -> int:
    """Returns how many of the bytes are whole lines. A carriage return ends a line that is written over."""
    return max(data.rfind(b"\n"), data.rfind(b"\r", 0, -1)) + 1


def labelled(lines: bytes, label: bytes) -> bytes:
    r"""Returns whole lines, the label before each.

    >>> labelled(b"one\r\n10 %\r20 %\n", b"[3] ")
    b'[3] one\r\n[3] 10 %\r[3] 20 %\n'
    """
    if b"\r" in lines:
        import re

        return label + re.sub(rb"(\n|\r(?!\n))(?!\Z)", rb"\1" + label, lines)
    return label + lines[:-1].replace(b"\n", b"\n" + label) + lines[-1:]


def copy_lines(source: int, out: int, label: bytes) -> None:
    """Copies to the end of `source`, each line with the label and in one piece."""
    rest = b""
    in_a_line = False  # whose first part was written already, since it is so long
    while piece := os.read(source, PIECE):
        rest += piece
        end = whole_lines(rest) or (len(rest) if len(rest) >= PIECE else 0)
        if end:
            lines, rest = rest[:end], rest[end:]
            _write_fully(out, labelled(lines, label)[len(label) if in_a_line else 0 :])
            in_a_line = not lines.endswith((b"\n", b"\r"))
    if rest or in_a_line:
        _write_fully(out, (b"" if in_a_line else label) + rest + b"\n")


def _write_fully(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def open_log(place: str) -> Optional[int]:
    """Returns the run's log, open to be added to; None where it is not this host's file."""
    boot, inode, path = place.split(":", 2)
    try:
        with open("/proc/sys/kernel/random/boot_id") as file:
            if file.read().strip() != boot:
                return None
        log = os.open(path, os.O_WRONLY | os.O_APPEND)
    except OSError:
        return None
    if str(os.fstat(log).st_ino) == inode:
        return log
    os.close(log)
    return None


def label_output(label: bytes, log: str, numbers: tuple[int, ...] = (1, 2)) -> None:
    """Has what this process prints from now on labelled, by a process that is nobody's child here.

    Args:
        label: The label.
        log: Where the run's log is.
        numbers: Which of standard output and error.
    """
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        if os.fork() == 0:
            os.close(sink)
            _be_labeller(source, label, log, numbers[0])
        os._exit(0)
    os.waitpid(child, 0)
    for number in numbers:
        os.dup2(sink, number)
    os.close(source)
    os.close(sink)


def _be_labeller(source: int, label: bytes, log: str, usual: int) -> NoReturn:
    try:
        os.setsid()
        for number in _SIGNALS_TO_ALL:  # the last that a rank says comes after these
            signal.signal(number, signal.SIG_IGN)
        _enlarge(source)
        out = (open_log(log) if log else None) or os.dup(usual)
        os.dup2(source, 0)
        os.dup2(out, 1)
        os.dup2(out, 2)
        os.closerange(3, 1 << 16)  # such as the one by which MPI knows that the rank lives
        copy_lines(0, 1, label)
    finally:
        os._exit(0)


def _enlarge(pipe: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(pipe, _SET_PIPE_SIZE, PIECE)
    except OSError:  # as many as this user may have are in use
        return


def become(argv: list[str]) -> NoReturn:
    """Replaces this process by a program, with default signal actions. PATH is searched."""
    for name in ("SIGPIPE", "SIGXFSZ"):  # Python ignores them
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    try:
        os.execvp(argv[0], argv)
    except OSError as error:
        where = f". PATH searched: {os.environ.get('PATH', os.defpath)}" if os.sep not in argv[0] else ""
        print(f"[lute] program {argv[0]!r} could not be started: {error.strerror}{where}", file=sys.stderr, flush=True)
        os._exit(127 if error.errno == errno.ENOENT else 126)


def main(arguments: list[str]) -> NoReturn:
    """Starts the rank."""
    plain, only = arguments[0] == "--plain", arguments[0].startswith("--only=")
    log = os.environ.pop(LOG_VARIABLE, "")
    rank = rank_of(dict(os.environ))
    if not plain and rank is not None:
        label_output(f"[{rank}] ".encode(), log, (int(arguments[0][-1]),) if only else (1, 2))
    become(arguments[plain or only :])


if __name__ == "__main__":
    main(sys.argv[1:])
