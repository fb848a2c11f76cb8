"""What one whole command costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from lutebench.bench import Bench, Project
from lutebench.costs import Cost
from lutebench.lines import MEBIBYTES, SECONDS, Goal, Line, both
from lutebench.rows import row

MODEL = "import pydantic, yaml\nclass M(pydantic.BaseModel):\n    n: int = 1\nM(n=1)"
FLOOR = "python -c: pydantic, yaml, one model"
BARE = "python -c pass"
MEMORY = Goal("at most", 1.4, "42/30 MB")


def _whole_command(bench: Bench, what: str, run: Callable[[], Cost]) -> Iterator[Line]:
    bare, floor, ours = bench.interleaved(20, lambda: bench.python("pass"), lambda: bench.python(MODEL), run)
    wall, cpu, peak = ("wall_s", "cpu_s", "peak_mib")
    half_more = Goal("at most", 1.5)
    yield _line("wall", f"{what}: wall time", FLOOR, SECONDS, floor, ours, wall, half_more)
    yield _line("cpu", f"{what}: CPU time", FLOOR, SECONDS, floor, ours, cpu, half_more)
    yield _line("peak", f"{what}: peak memory of its largest process", FLOOR, MEBIBYTES, floor, ours, peak, MEMORY)
    yield _line("bare", f"{what}: wall time", BARE, SECONDS, bare, ours, wall, None)


def _line(
    key: str, what: str, floor_name: str, unit: str, floor: list[Cost], ours: list[Cost], name: str, goal: Goal | None
) -> Line:
    return Line(key, what, floor_name, unit, *both(floor, ours, lambda cost: float(getattr(cost, name))), goal)


def _noop(bench: Bench) -> Project:
    return bench.project("noop", {"Noop": {"number": 2}})


def _idle(bench: Bench) -> Project:
    return bench.project("idle", {"Idle": {"number": 2}})


@row("start.program")
def program(bench: Bench) -> Iterator[Line]:
    """A whole `lute run -q` of a program that does nothing."""
    project = _noop(bench)
    yield from _whole_command(bench, "`lute run -q` of `true`", lambda: project.run("Noop", "-q"))


@row("start.program_copied")
def program_copied(bench: Bench) -> Iterator[Line]:
    """The same with the log copied to standard error."""
    project = _noop(bench)
    yield from _whole_command(bench, "`lute run` of `true`, log copied", lambda: project.run("Noop"))


@row("start.python_task")
def python_task(bench: Bench) -> Iterator[Line]:
    """A whole `lute run -q` of a Python Task that does nothing."""
    project = _idle(bench)
    yield from _whole_command(bench, "`lute run -q` of a Python Task", lambda: project.run("Idler", "-q"))


@row("start.new_interpreter")
def new_interpreter(bench: Bench) -> Iterator[Line]:
    """A Python Task whose environment takes a new interpreter."""
    project = _idle(bench)
    floor, ours = bench.interleaved(20, lambda: bench.python(MODEL), lambda: project.run("NewIdler", "-q"))
    what = "`lute run -q` of a Python Task in a new interpreter: wall time"
    yield _line("wall", what, FLOOR, SECONDS, floor, ours, "wall_s", None)
