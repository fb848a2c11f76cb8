"""Stopping a program that ignores SIGTERM and has grandchildren in sessions of their own."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from lutebench.bench import HERE, LUTE, Bench, Project
from lutebench.lines import SECONDS, Goal, Line, Stats
from lutebench.rows import row

GRACE = 1.0
"""Between SIGTERM and SIGKILL, in s."""
TIMEOUT = 1.5
HALF_A_SECOND = Goal("floor plus", 0.5)
FLOOR = f"SIGTERM, {GRACE:g} s, SIGKILL by hand"
LONGEST = 60.0


class Stubborn:
    """A program that ignores SIGTERM, and its grandchildren, each known by a descriptor."""

    def __init__(self, pid_file: Path) -> None:
        deadline = time.monotonic() + LONGEST
        while not pid_file.exists():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the program did not start within {LONGEST:g} s")
            time.sleep(0.005)
        self.pids = [int(pid) for pid in pid_file.read_text().split()]
        self._descriptors = [os.pidfd_open(pid) for pid in self.pids]
        pid_file.unlink()

    def __enter__(self) -> Stubborn:
        return self

    def __exit__(self, *error: object) -> None:
        for descriptor in self._descriptors:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            os.close(descriptor)

    def started(self) -> float:
        """Returns when the program started, in s of the monotonic clock, to a hundredth."""
        fields = Path(f"/proc/{self.pids[0]}/stat").read_text().rpartition(")")[2].split()
        since_boot = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return since_boot - time.clock_gettime(time.CLOCK_BOOTTIME) + time.monotonic()

    def send(self, number: int) -> None:
        """Sends all of them a signal."""
        for descriptor in self._descriptors:
            signal.pidfd_send_signal(descriptor, number)

    def gone(self) -> float:
        """Waits until all have ended. Returns when that was, in s of the monotonic clock."""
        for descriptor in self._descriptors:
            if not select.select([descriptor], [], [], LONGEST)[0]:
                raise RuntimeError(f"a process lives {LONGEST:g} s after it should have ended")
        return time.monotonic()


def _command(folder: Path) -> list[str]:
    return ["-I", "-S", str(HERE / "peers" / "stubborn.py"), str(folder / "pids")]


def _by_hand(folder: Path) -> float:
    process = subprocess.Popen([sys.executable, *_command(folder)], start_new_session=True)
    with Stubborn(folder / "pids") as stubborn:
        begun = time.monotonic()
        stubborn.send(signal.SIGTERM)
        time.sleep(GRACE)
        stubborn.send(signal.SIGKILL)
        ended = stubborn.gone()
    process.wait()
    return ended - begun


def _by_lute(project: Project, stop: Callable[[Stubborn], float]) -> float:
    """Returns the time from when it should stop until no process is left, in s."""
    argv = [LUTE, "run", "Printer", "-c", "bench.yaml", "-q"]
    devnull = subprocess.DEVNULL
    process = subprocess.Popen(argv, cwd=project.folder, env=project.bench.env, stdout=devnull, stderr=devnull)
    with Stubborn(project.folder / "pids") as stubborn:
        begun = stop(stubborn)
        ended = stubborn.gone()
    process.wait()
    return ended - begun


def _compared(
    bench: Bench, header: dict[str, float], what: str, stop: Callable[[Project, Stubborn], float]
) -> Iterator[Line]:
    project = bench.project("printer", {}, {"terminate_grace": GRACE, **header})
    values = {"executable": sys.executable, "arguments": _command(project.folder)}
    project.write_config({"Printer": values}, {"terminate_grace": GRACE, "plugins": ["printer.py"], **header})
    floor, ours = bench.interleaved(
        7,
        lambda: _by_hand(project.folder),
        lambda: _by_lute(project, lambda stubborn: stop(project, stubborn)),
        short=1,
        warm=False,
    )
    yield Line("gone", what, FLOOR, SECONDS, Stats.of(floor), Stats.of(ours), HALF_A_SECOND)


@row("stop.timeout")
def timeout(bench: Bench) -> Iterator[Line]:
    """A timeout: from when the time is over until no process is left."""

    def over(project: Project, stubborn: Stubborn) -> float:
        return stubborn.started() + TIMEOUT

    yield from _compared(bench, {"task_timeout": TIMEOUT}, "timeout to no process left", over)


@row("stop.cancel")
def cancel(bench: Bench) -> Iterator[Line]:
    """`lute cancel`: from when the command is typed until no process is left."""

    def ask(project: Project, stubborn: Stubborn) -> float:
        begun = time.monotonic()
        project.cost("cancel", "last", "-c", "bench.yaml")
        return begun

    yield from _compared(bench, {}, "`lute cancel` to no process left", ask)
