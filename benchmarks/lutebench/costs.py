"""What a command costs: wall time, CPU time and peak memory, with its children."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")
LONGEST = 900.0
"""Longest time that a command may take, in s."""


class CommandFailed(Exception):
    """A command ended otherwise than expected."""


@dataclass(frozen=True)
class Cost:
    """What a command cost.

    Attributes:
        wall_s: From its start to its end, in s.
        cpu_s: User and system time, in s, with all descendants that were waited for.
        peak_mib: Peak memory of the largest process among it and them, in MiB.
    """

    wall_s: float
    cpu_s: float
    peak_mib: float


class Spawner:
    """Runs commands by way of a small process of its own (`spawner.py` says why)."""

    def __init__(self) -> None:
        script = str(Path(__file__).with_name("spawner.py"))
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def cost(
        self,
        argv: list[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        out: Path | str = os.devnull,
        err: Path | str = "",
        codes: tuple[int, ...] = (0,),
    ) -> Cost:
        """Runs a command and waits for its end.

        Args:
            argv: The command; PATH is searched.
            cwd: Where it runs.
            env: Its environment, whole.
            out: File for its standard output; `pty` gives it a terminal instead.
            err: File for its standard error; a file in `cwd` if not given.
            codes: The exit codes that are expected.

        Raises:
            CommandFailed: It ended with another code, or not in time.
        """
        err = str(err or cwd / "stderr")
        request = {"argv": argv, "cwd": str(cwd), "env": dict(env), "out": str(out), "err": err, "timeout": LONGEST}
        answer = self._ask(request)
        if answer["code"] not in codes:
            told = Path(err).read_text(errors="replace")[-2000:] if Path(err).is_file() else ""
            raise CommandFailed(f"{' '.join(argv)[:300]} ended with {answer['code']}\n{told}".strip())
        return Cost(answer["wall_s"], answer["cpu_s"], answer["peak_kib"] / 1024)

    def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline() or '{"code": "no spawner"}')
        return answer

    def close(self) -> None:
        """Ends the small process."""
        self._process.communicate()


def interleaved(rounds: int, *measures: Callable[[], Found], warm: bool) -> list[list[Found]]:
    """Measures several things in turn, so that all see the same machine.

    Args:
        rounds: How often each is measured.
        *measures: Each measures once. Who begins changes from round to round.
        warm: Whether each is done once before, for caches of files.

    Returns:
        For each measure its results, in the order of the rounds.
    """
    results: list[list[Found]] = [[] for _ in measures]
    for measure in measures if warm else ():
        measure()
    for number in range(rounds):
        for place in range(len(measures)):
            which = (number + place) % len(measures)
            results[which].append(measures[which]())
    return results
