"""A program's output into its log, against the shell's `prog > file`."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from lutebench.bench import Bench, Project
from lutebench.lines import MEBIBYTES, MEGABYTES_PER_S, PER_SECOND, Goal, Line, both
from lutebench.rows import row

NEARLY = Goal("at least", 0.9)
FLAT = Goal("at most", 1.05, "flat")
SHELL = "the shell's `prog > file`"


def _printer(bench: Bench, *command: str) -> Project:
    return bench.project("printer", {"Printer": {"executable": command[0], "arguments": list(command[1:])}})


def _by_shell(project: Project, command: list[str], into: str) -> float:
    """Returns the time in which a shell runs a command, in s."""
    shell = ["sh", "-c", f"{shlex.join(command)} {into}"]
    cost = project.bench.spawner.cost(shell, cwd=project.folder, env=project.bench.env)
    (project.folder / "file").unlink()
    return cost.wall_s


def _logged(project: Project) -> tuple[float, float]:
    """Returns how long the program ran by its record, in s, and the peak memory of `lute run`, in MiB."""
    cost, row = project.run_json("Printer")
    Path(row["log"]).unlink()
    return float(row["wall_s"]), cost.peak_mib


def _copied(project: Project) -> float:
    """Returns the time of a whole `lute run` that copies the log to standard error, in s."""
    cost = project.run("Printer", err=project.folder / "copy")
    for log in project.folder.glob("lute.runs/*/*/log"):
        log.unlink()
    (project.folder / "copy").unlink()
    return cost.wall_s


@row("output.bytes")
def many_bytes(bench: Bench) -> Iterator[Line]:
    """1 GB from `head -c`: MB/s while the program runs, by its record."""
    size = 1_000_000_000  # also under --short: some 20 ms of the record's time are not the program's
    command = ["head", "-c", str(size), "/dev/zero"]
    project, idle = _printer(bench, *command), _printer(bench, "true", "x")
    shell, ours, nothing = bench.interleaved(
        9,
        lambda: (_by_shell(project, command, "> file"), 0.0),
        lambda: _logged(project),
        lambda: _logged(idle),
    )
    speeds = both(shell, ours, lambda one: size / 1e6 / one[0])
    yield Line("speed", f"{size / 1e9:g} GB of `head -c` into the log", SHELL, MEGABYTES_PER_S, *speeds, NEARLY)
    peaks = both(nothing, ours, lambda one: one[1])
    yield Line("peak", "peak memory of `lute run` meanwhile", "`lute run` of `true`", MEBIBYTES, *peaks, FLAT)


@row("output.lines")
def many_lines(bench: Bench) -> Iterator[Line]:
    """10 million short lines, a write each: lines per second while the program runs, by its record."""
    count = bench.pick(10_000_000, 500_000)
    code = f"import os\nfor number in range({count}): os.write(1, b'%d\\n' % number)"
    command = [sys.executable, "-I", "-S", "-c", code]
    project = _printer(bench, *command)
    shell, ours = bench.interleaved(
        5, lambda: _by_shell(project, command, "> file"), lambda: _logged(project)[0], warm=False
    )
    speeds = both(shell, ours, lambda wall: count / wall)
    what = f"{count / 1e6:g} million lines, a write each, into the log"
    yield Line("speed", what, SHELL, PER_SECOND, *speeds, NEARLY)


@row("output.copied")
def copied(bench: Bench) -> Iterator[Line]:
    """The same bytes with the log copied to standard error, the start of `lute` included."""
    size = bench.pick(1_000_000_000, 100_000_000)
    command = ["head", "-c", str(size), "/dev/zero"]
    project = _printer(bench, *command)
    into = "| tee file > copy"
    shell, ours = bench.interleaved(7, lambda: _by_shell(project, command, into), lambda: _copied(project))
    speeds = both(shell, ours, lambda wall: size / 1e6 / wall)
    what = f"{size / 1e9:g} GB into the log and to standard error, whole command"
    yield Line("speed", what, "the shell's `prog | tee file`", MEGABYTES_PER_S, *speeds)
