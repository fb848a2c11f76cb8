"""Reading the record: with a thousand runs, and with a million."""

from __future__ import annotations

import socket
import sqlite3
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator

from lutebench.bench import LUTE, Bench, Project
from lutebench.costs import Cost
from lutebench.lines import SECONDS, Goal, Line, Stats, both
from lutebench.rows import row

FEW, MANY, MOST = 1_000, 100_000, 1_000_000
TWICE = Goal("at most", 2)
FLOOR = f"the same with {FEW:,} runs"
START_WAIT = 30.0
"""Longest time until the web page is there, in s."""
_CHANGED = {
    "id": "printf('%012x', number)",
    "run": "number / 10",
    "status": "CASE number % 10 WHEN 7 THEN 'FAILED' ELSE 'COMPLETED' END",
    "valid": "number % 10 <> 7",
    "started": "strftime('%Y-%m-%dT%H:%M:%S.000000Z', 1600000000 + 20 * number, 'unixepoch')",
    "ended": "strftime('%Y-%m-%dT%H:%M:%S.250000Z', 1600000000 + 20 * number, 'unixepoch')",
}
"""What tells the runs of a filled record from the real one that they are copies of."""


def filled(bench: Bench, runs: int) -> Project:
    """Returns a project with that many runs in its record, the same for all rows."""
    return bench.once(f"record of {runs} runs", lambda: _fill(bench, runs))


def _fill(bench: Bench, runs: int) -> Project:
    project = bench.project("noop", {"Noop": {"number": 2}})
    project.run("Noop", "-q")
    database = sqlite3.connect(project.folder / "lute.db")
    columns = [row[1] for row in database.execute("PRAGMA table_info(lute_runs)")]
    values = ", ".join(_CHANGED.get(name, f"model.{name}") for name in columns)
    database.execute("PRAGMA synchronous = OFF")
    with database:
        database.execute(
            "WITH RECURSIVE numbers(number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM numbers WHERE number < ?)"
            f" INSERT INTO lute_runs ({', '.join(columns)}) SELECT {values} FROM numbers,"
            " (SELECT * FROM lute_runs LIMIT 1) AS model",
            [runs - 1],
        )
    database.close()
    return project


def _compared(
    bench: Bench, key: str, what: str, runs: int, measure: Callable[[Project], Cost], goal: Goal | None = TWICE
) -> Line:
    few, many = filled(bench, FEW), filled(bench, runs)
    floor, ours = bench.interleaved(15, lambda: measure(few), lambda: measure(many))
    walls = both(floor, ours, lambda cost: cost.wall_s)
    return Line(f"{key}_{runs}", f"{what}, {runs:,} runs", FLOOR, SECONDS, *walls, goal)


def _sizes(bench: Bench) -> tuple[int, ...]:
    return bench.pick((MANY, MOST), (MANY,))


@row("reading.history")
def history(bench: Bench) -> Iterator[Line]:
    """The first page of `lute history`: 25 runs, and what a terminal of 24 lines gets."""
    for runs in _sizes(bench):
        page = lambda project: project.cost("history", "--limit", "25", "-c", "bench.yaml")  # noqa: E731
        yield _compared(bench, "page", "`lute history --limit 25`", runs, page)
        screen = lambda project: project.cost("history", "-c", "bench.yaml", out="pty")  # noqa: E731
        yield _compared(bench, "terminal", "`lute history` on a terminal", runs, screen)


@row("reading.filtered")
def filtered(bench: Bench) -> Iterator[Line]:
    """The first page of the runs that failed, and of one acquisition run."""
    for runs in _sizes(bench):
        failed = lambda project: project.cost("history", "-n", "25", "--status", "FAILED")  # noqa: E731
        yield _compared(bench, "failed", "`lute history -n 25 --status FAILED`", runs, failed, None)
        one = lambda project: project.cost("history", "-n", "25", "-e", "bench", "-r", "17")  # noqa: E731
        yield _compared(bench, "one_run", "`lute history -n 25 -e bench -r 17`", runs, one, None)


@row("reading.show")
def show(bench: Bench) -> Iterator[Line]:
    """`lute show ID`."""
    for runs in _sizes(bench):
        measure = lambda project: project.cost("show", f"{FEW // 2:012x}", "-c", "bench.yaml")  # noqa: E731
        yield _compared(bench, "show", "`lute show ID`", runs, measure)


@row("reading.web")
def web(bench: Bench) -> Iterator[Line]:
    """The first page of `lute serve`."""
    runs = bench.pick(MOST, MANY)
    line = Line("page", f"first page of `lute serve`, {runs:,} runs", FLOOR, SECONDS, goal=TWICE)
    line.reason = bench.lacks("serve")
    if not line.reason:
        with _Server(filled(bench, FEW)) as few, _Server(filled(bench, runs)) as many:
            line.floor, line.ours = map(Stats.of, bench.interleaved(20, few.seconds, many.seconds))
    yield line


class _Server:
    """A running `lute serve`."""

    def __init__(self, project: Project) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        argv = [LUTE, "serve", "--db", str(project.folder / "lute.db"), "--port", str(self._port), "--no-token"]
        with open(project.folder / "serve.log", "wb") as log:
            self._process = subprocess.Popen(argv, cwd=project.folder, env=project.bench.env, stdout=log, stderr=log)

    def __enter__(self) -> _Server:
        deadline = time.monotonic() + START_WAIT
        while True:
            try:
                self.seconds()
                return self
            except OSError:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.05)

    def __exit__(self, *error: object) -> None:
        self._process.terminate()
        self._process.wait()

    def seconds(self) -> float:
        """Returns the time of the first page, in s."""
        begun = time.monotonic()
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/", timeout=START_WAIT) as page:
            page.read()
        return time.monotonic() - begun
