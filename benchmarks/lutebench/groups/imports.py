"""What is imported, and how long that takes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from lutebench.bench import LUTE, Bench
from lutebench.groups.startup import BARE, FLOOR, MODEL
from lutebench.lines import COUNT, SECONDS, Line, Stats, both
from lutebench.rows import row

_LINE = re.compile(r"^import time:\s+(\d+) \|\s+\d+ \| *(\S+)$", re.MULTILINE)
_PARTS = {"pydantic_core": "pydantic", "annotated_types": "pydantic", "typing_extensions": "pydantic"}
_PARTS |= {"typing_inspection": "pydantic", "markupsafe": "jinja2", "_yaml": "yaml"}
_KNOWN = ("lute", "pydantic", "yaml", "jinja2")


class Imports:
    """What an interpreter imported: by `python -X importtime`, which itself takes some time."""

    def __init__(self, report: str) -> None:
        self.seconds: dict[str, float] = {}
        self.modules: dict[str, int] = {}
        for time, module in _LINE.findall(report):
            part = self._part_of(module)
            self.seconds[part] = self.seconds.get(part, 0) + int(time) / 1e6
            self.modules[part] = self.modules.get(part, 0) + 1

    def _part_of(self, module: str) -> str:
        top = module.split(".")[0]
        top = _PARTS.get(top, top)
        if top in _KNOWN:
            return top
        return "standard library" if top in sys.stdlib_module_names else "other"

    @property
    def total_s(self) -> float:
        """Time of all imports, in s."""
        return sum(self.seconds.values())

    @property
    def total_modules(self) -> int:
        """Number of modules."""
        return sum(self.modules.values())


def _imports(bench: Bench, folder: Path, *arguments: str) -> Imports:
    argv = [sys.executable, "-X", "importtime", *arguments]
    done = subprocess.run(argv, cwd=folder, env=bench.env, capture_output=True, text=True, check=True)
    return Imports(done.stderr)


def _compared(what: str, floor_name: str, floor: list[Imports], ours: list[Imports]) -> Iterator[Line]:
    details = {
        "ours_s": {part: Stats.of(one.seconds.get(part, 0) for one in ours).median for part in ours[0].seconds},
        "ours_modules": ours[0].modules,
        "floor_s": {part: Stats.of(one.seconds.get(part, 0) for one in floor).median for part in floor[0].seconds},
        "floor_modules": floor[0].modules,
    }
    times, counts = both(floor, ours, lambda one: one.total_s), both(floor, ours, lambda one: one.total_modules)
    yield Line("time", f"{what}: time of imports", floor_name, SECONDS, *times, None, details=details)
    yield Line("modules", f"{what}: modules", floor_name, COUNT, *counts)


@row("imports.lute")
def import_lute(bench: Bench) -> Iterator[Line]:
    """`import lute`."""
    floor, ours = bench.interleaved(20, lambda: bench.python("pass"), lambda: bench.python("import lute"))
    walls = both(floor, ours, lambda cost: cost.wall_s)
    yield Line("wall", "python -c 'import lute': wall time", BARE, SECONDS, *walls)


@row("imports.run")
def imports_of_run(bench: Bench) -> Iterator[Line]:
    """What `lute run` of a program imports."""
    project = bench.project("noop", {"Noop": {"number": 2}})
    floor, ours = bench.interleaved(
        9,
        lambda: _imports(bench, project.folder, "-c", MODEL),
        lambda: _imports(bench, project.folder, LUTE, "run", "Noop", "-c", project.config.name, "-q"),
    )
    yield from _compared("`lute run`", FLOOR, floor, ours)


@row("imports.child")
def imports_of_child(bench: Bench) -> Iterator[Line]:
    """What a child in a new interpreter loads before its job is read (`python -m lute.tasks`)."""
    floor, ours = bench.interleaved(
        9,
        lambda: _imports(bench, bench.folder, "-c", "pass"),
        lambda: _imports(bench, bench.folder, "-c", "import lute.tasks.__main__"),
    )
    yield from _compared("`python -m lute.tasks`", BARE, floor, ours)
