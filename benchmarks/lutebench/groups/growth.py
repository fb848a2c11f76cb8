"""How costs grow with what people have much of."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Sequence

from lutebench.bench import Bench, Project
from lutebench.costs import Cost
from lutebench.groups.reading import filled
from lutebench.lines import SECONDS, Line, Series, Stats
from lutebench.rows import row


def _grown(
    bench: Bench, what: str, size: str, sizes: Sequence[int], measure: Callable[[int], Cost], key: str = "wall"
) -> Line:
    """Measures at every size in turn. The line compares the largest with the smallest."""
    measures = [functools.partial(measure, one) for one in sizes]
    rounds = bench.interleaved(7, *measures)
    costs = [Stats.of(cost.wall_s for cost in found) for found in rounds]
    series = Series(size, tuple(zip(sizes, costs, strict=True)))
    text = f"{what}: {sizes[-1]:,} {size}"
    return Line(key, text, f"the same with {sizes[0]:,}", SECONDS, costs[0], costs[-1], series=series)


def _runs(bench: Bench) -> tuple[int, ...]:
    return bench.pick((100, 1_000, 10_000, 100_000, 1_000_000), (100, 100_000))


@row("growth.run_by_record")
def run_by_record(bench: Bench) -> Iterator[Line]:
    """`lute run` of a program against the number of runs in the record."""
    measure = lambda runs: filled(bench, runs).run("Noop", "-q")  # noqa: E731
    yield _grown(bench, "`lute run -q` of `true`", "runs in the record", _runs(bench), measure)


@row("growth.history_by_record")
def history_by_record(bench: Bench) -> Iterator[Line]:
    """`lute history --limit 25` against the number of runs in the record."""
    measure = lambda runs: filled(bench, runs).cost("history", "--limit", "25")  # noqa: E731
    yield _grown(bench, "`lute history --limit 25`", "runs in the record", _runs(bench), measure)


@row("growth.all_history_by_record")
def all_history_by_record(bench: Bench) -> Iterator[Line]:
    """`lute history --json` of everything against the number of runs in the record."""
    runs = bench.pick((100, 1_000, 10_000), (100, 1_000))
    measure = lambda runs: filled(bench, runs).cost("history", "--json")  # noqa: E731
    yield _grown(bench, "`lute history --json`", "runs in the record", runs, measure)


def _with_lines(bench: Bench, lines: int) -> Project:
    """Makes a project whose YAML has so many lines of parameters, every tenth with a substitution."""
    project = bench.project("table", {})
    header = f"experiment: bench\nrun: 1\nwork_dir: {project.folder}\nplugins: [table.py]\n"
    values = ("'{{ experiment }}'" if number % 10 == 9 else str(number) for number in range(lines))
    text = "".join(f"    value{number}: {value}\n" for number, value in enumerate(values))
    project.config.write_text(f"{header}---\nTable:\n  values:\n{text}")
    return project


@row("growth.check_by_yaml")
def check_by_yaml(bench: Bench) -> Iterator[Line]:
    """`lute check` against the number of lines of parameters."""
    sizes = bench.pick((10, 100, 1_000, 10_000), (10, 1_000))
    projects = {lines: _with_lines(bench, lines) for lines in sizes}
    measure = lambda lines: projects[lines].cost("check", "-c", "bench.yaml")  # noqa: E731
    yield _grown(bench, "`lute check`", "lines of parameters", sizes, measure)


@row("growth.run_by_yaml")
def run_by_yaml(bench: Bench) -> Iterator[Line]:
    """`lute run` of a Python Task against the number of lines of parameters."""
    sizes = bench.pick((10, 100, 1_000, 10_000), (10, 1_000))
    projects = {lines: _with_lines(bench, lines) for lines in sizes}
    measure = lambda lines: projects[lines].run("Tabler", "-q")  # noqa: E731
    yield _grown(bench, "`lute run -q` of a Python Task", "lines of parameters", sizes, measure)


STEPS = 150
"""Steps of the workflow with many edges."""
_NEEDS = {STEPS - 1: 1, 1_022: 7, 9_950: 100}
"""How many of the steps before it each step needs, by the edges of the whole."""


def _with_edges(bench: Bench, edges: int) -> Project:
    """Makes a project with a workflow of `STEPS` steps and that many edges."""
    project = bench.project("noop", {"Noop": {"number": 2}})
    before = {number: range(max(0, number - _NEEDS[edges]), number) for number in range(STEPS)}
    steps = {f"step{n}": {"task": "Noop", "needs": [f"step{m}" for m in before[n]]} for n in before}
    (project.folder / "workflow.yaml").write_text(json.dumps({"steps": steps}))
    return project


@row("growth.workflow_by_edges")
def workflow_by_edges(bench: Bench) -> Iterator[Line]:
    """`lute workflow run` of 150 steps against the number of edges: who needs whom."""
    projects = {edges: _with_edges(bench, edges) for edges in _NEEDS}
    options = ("-c", "bench.yaml", "-j", "1", "--fresh", "-q")
    measure = lambda edges: projects[edges].cost("workflow", "run", "workflow.yaml", *options)  # noqa: E731
    yield _grown(bench, f"`lute workflow run -q` of {STEPS} steps", "edges", tuple(_NEEDS), measure)


def _with_log(bench: Bench, mebibytes: int) -> Project:
    """Makes a project with one run, whose log has that size in lines of 64 bytes."""
    code = f"import os\nfor _ in range({mebibytes}): os.write(1, (b'x' * 63 + b'\\n') * 16384)"
    values = {"executable": "python3", "arguments": ["-c", code]}
    project = bench.project("printer", {"Printer": values})
    project.run("Printer", "-q")
    return project


@row("growth.log_by_size")
def log_by_size(bench: Bench) -> Iterator[Line]:
    """`lute log` into a file, and `lute show`, against the size of the log."""
    sizes = bench.pick((1, 10, 100, 1_000), (1, 64))
    projects = {size: _with_log(bench, size) for size in sizes}
    out = bench.folder / "printed"

    def cat(size: int) -> Cost:
        log = next(projects[size].folder.glob("lute.runs/*/*/log"))
        return bench.spawner.cost(["cat", str(log)], cwd=bench.folder, env=bench.env, out=out)

    log = lambda size: projects[size].cost("log", "last", out=out)  # noqa: E731
    show = lambda size: projects[size].cost("show", "last")  # noqa: E731
    yield _grown(bench, "`cat` of the log into a file", "MiB of log", sizes, cat, "cat")
    yield _grown(bench, "`lute log` into a file", "MiB of log", sizes, log, "log")
    yield _grown(bench, "`lute show`", "MiB of log", sizes, show, "show")
    out.unlink()
