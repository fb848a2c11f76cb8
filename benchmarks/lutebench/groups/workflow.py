"""What each further step of a workflow costs."""

from __future__ import annotations

import importlib.util
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from functools import partial

from lutebench.bench import Bench, Project
from lutebench.lines import SECONDS, Goal, Line, Series, Stats
from lutebench.rows import TOO_LONG, Missing, row

TWICE = Goal("at most", 2)
ROUNDS = {100: 7, 1_000: 3, 10_000: 1}
"""How often workflows of so many steps are measured."""
PEERS = ("doit", "parsl", "luigi", "snakemake")
_Time = Callable[[int], float]
"""Runs a workflow of so many steps, and returns the time of the whole, in s."""
_Measure = Callable[[], float]


def _each(seconds: _Time, count: int) -> float:
    """Returns what each further step costs, in s: a workflow of so many, less one of a single step."""
    return (seconds(count) - seconds(1)) / (count - 1)


def _floor(bench: Bench, how: str, count: int) -> float:
    return float(bench.peer("processes", how, count, bench.new_folder("processes"))) / count


def _by_lute(bench: Bench, plugin: str, task: str, managed_task: str) -> _Time:
    """Returns what measures a workflow. Its folder stays: after many were deleted, ext4 is slow for minutes."""

    def seconds(count: int) -> float:
        project = bench.project(plugin, {task: {"number": 2}})
        steps = {f"step{number}": {"task": managed_task} for number in range(count)}
        (project.folder / "workflow.yaml").write_text(json.dumps({"steps": steps}))
        options = ["-c", project.config.name, "-j", "1", "--fresh", "-q"]
        cost = project.cost("workflow", "run", "workflow.yaml", *options)
        _check(project, count)
        return cost.wall_s

    return seconds


def _check(project: Project, count: int) -> None:
    """Raises an error if not every step has run and is in the record."""
    database = sqlite3.connect(project.folder / "lute.db")
    (done,) = database.execute("SELECT count(*) FROM lute_runs WHERE status = 'COMPLETED'").fetchone()
    database.close()
    if done < count:
        raise RuntimeError(f"{done} of {count} steps are in the record as COMPLETED")


def _measured(bench: Bench, line: Line, rounds: int, floor: _Measure, ours: _Measure) -> Line:
    """Measures the floor, and ours as soon as there are workflows. Returns the line."""
    line.reason = bench.lacks("workflow", "run")
    measures = [floor] if line.reason else [floor, ours]
    numbers = [Stats.of(times) for times in bench.interleaved(rounds, *measures, short=1, warm=False)]
    line.floor, line.ours = numbers[0], numbers[1] if len(numbers) > 1 else None
    return line


def _local(bench: Bench, how: str, floor_name: str, what: str, seconds: _Time) -> Iterator[Line]:
    wholes: dict[int, list[float]] = {}

    def kept(count: int) -> float:
        wholes.setdefault(count, []).append(seconds(count))
        return wholes[count][-1]

    counts = bench.pick(tuple(ROUNDS), (10, 100))
    for count in counts:
        line = Line(f"each_{count}", f"{what}, {count:,} steps", floor_name, SECONDS, goal=TWICE)
        floor, ours = partial(_floor, bench, how, count), partial(_each, kept, count)
        yield _measured(bench, line, ROUNDS.get(count, 1), floor, ours)
    sizes = sorted(wholes)
    series = Series("steps", tuple((size, Stats.of(wholes[size])) for size in sizes))
    least, most = Stats.of(wholes[sizes[0]][:1]), Stats.of(wholes[sizes[-1]][:1])
    what = f"a workflow of steps like these: {sizes[-1]:,} steps"
    yield Line("by_steps", what, f"the same with {sizes[0]}", SECONDS, least, most, series=series)


@row("workflow.program")
def program(bench: Bench) -> Iterator[Line]:
    """Each further program in a local workflow, one at a time."""
    floor_name = "posix_spawn, session, log file, pidfd"
    yield from _local(bench, "spawn", floor_name, "each further program", _by_lute(bench, "noop", "Noop", "Noop"))


@row("workflow.python_task")
def python_task(bench: Bench) -> Iterator[Line]:
    """Each further Python Task in a local workflow, in a process of its own, one at a time."""
    floor_name = "fork of a process with pydantic, log file"
    yield from _local(bench, "fork", floor_name, "each further Python Task", _by_lute(bench, "idle", "Idle", "Idler"))


@row("workflow.peers")
def peers(bench: Bench) -> Iterator[Line]:
    """Each further program in other engines that are installed (pip install 'lute-executor[peers]')."""
    if bench.short:
        raise Missing(TOO_LONG)
    there = [name for name in PEERS if importlib.util.find_spec(name)]
    if not there:
        raise Missing(f"none of {', '.join(PEERS)} is installed: pip install 'lute-executor[peers]'")
    ours = _by_lute(bench, "noop", "Noop", "Noop")
    for name in there:
        yield _peer(bench, name, 100, ours)


def _peer(bench: Bench, name: str, count: int, ours: _Time) -> Line:
    def theirs(steps: int) -> float:
        folder = bench.new_folder(name)
        time = float(bench.peer("engines", name, steps, folder))
        shutil.rmtree(folder)
        return time

    line = Line(f"{name}_{count}", f"each further program, {count} steps", name, SECONDS)
    return _measured(bench, line, 3, partial(_each, theirs, count), partial(_each, ours, count))
