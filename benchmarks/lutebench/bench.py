"""What a row is given: a folder, the commands to measure, and how thorough to be."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from lutebench.costs import Cost, Spawner, interleaved

HERE = Path(__file__).parent
LUTE = str(Path(sys.executable).with_name("lute"))
"""The installed command of the same environment."""
SHORT_ROUNDS = 2
"""How often each thing is measured under `--short`."""
Made = TypeVar("Made")


def clean_environment() -> dict[str, str]:
    """Returns this process's environment without what would steer `lute`."""
    ours = ("LUTE_", "RUN", "EXPERIMENT", "SLURM_", "PYTHON")
    env = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    env["PATH"] = f"{Path(LUTE).parent}{os.pathsep}{env.get('PATH', os.defpath)}"
    return env


class Bench:
    """What rows share.

    Args:
        folder: A folder that is deleted in the end.
        short: Whether to measure little, for the table's sake.
    """

    def __init__(self, folder: Path, short: bool) -> None:
        self.folder, self.short = folder, short
        self.env = clean_environment()
        self.spawner = Spawner()
        self._made: dict[str, Any] = {}
        self._numbers = itertools.count()

    def pick(self, full: Made, short: Made) -> Made:
        """Returns the first, or under `--short` the second."""
        return short if self.short else full

    def interleaved(
        self, rounds: int, *measures: Callable[[], Made], short: int = SHORT_ROUNDS, warm: bool = True
    ) -> list[list[Made]]:
        """Measures several things in turn (`costs.interleaved`), `short` rounds and nothing before under `--short`."""
        return interleaved(self.pick(rounds, short), *measures, warm=warm and not self.short)

    def once(self, name: str, make: Callable[[], Made]) -> Made:
        """Returns what `make` makes, made once for all rows."""
        if name not in self._made:
            self._made[name] = make()
        made: Made = self._made[name]
        return made

    def new_folder(self, name: str) -> Path:
        """Makes a folder for a row."""
        folder = self.folder / f"{name}.{next(self._numbers)}"
        folder.mkdir()
        return folder

    def project(self, plugin: str, tasks: dict[str, Any], header: dict[str, Any] | None = None) -> Project:
        """Makes a folder with a YAML file, and beside it a plug-in of `lutebench/plugins`."""
        folder = self.new_folder(plugin)
        shutil.copy(HERE / "plugins" / f"{plugin}.py", folder / f"{plugin}.py")
        project = Project(self, folder)
        project.write_config(tasks, {"plugins": [f"{plugin}.py"], **(header or {})})
        return project

    def python(self, code: str) -> Cost:
        """Measures a new interpreter that runs some code."""
        return self.spawner.cost([sys.executable, "-c", code], cwd=self.folder, env=self.env)

    def peer(self, name: str, *arguments: object) -> Any:
        """Runs a module of `lutebench.peers` and returns what it prints, read as JSON."""
        argv = [sys.executable, "-m", f"lutebench.peers.{name}", *map(str, arguments)]
        env = {**self.env, "PYTHONPATH": str(HERE.parent)}
        out = self.folder / "peer"
        self.spawner.cost(argv, cwd=self.folder, env=env, out=out)
        return json.loads(out.read_text())

    def lacks(self, *command: str) -> str:
        """Returns why a command of `lute` cannot be measured, or nothing if this version has it."""
        argv = [LUTE, *command, "--help"]
        code = self.once(" ".join(argv), lambda: subprocess.run(argv, env=self.env, capture_output=True).returncode)
        return f"not there yet: this version has no `lute {' '.join(command)}`" if code else ""


class Project:
    """A folder with a YAML file in which `lute` runs."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench, self.folder = bench, folder
        self.config = folder / "bench.yaml"

    def write_config(self, tasks: dict[str, Any], header: dict[str, Any]) -> None:
        """Writes the YAML file: two documents, JSON being YAML."""
        fixed = {"experiment": "bench", "run": 1, "task_timeout": 600, "work_dir": str(self.folder)}
        self.config.write_text(f"{json.dumps(fixed | header)}\n---\n{json.dumps(tasks)}\n")

    def cost(self, *arguments: str, **keywords: Any) -> Cost:
        """Measures `lute ARGUMENTS`; keywords as for `Spawner.cost`."""
        return self.bench.spawner.cost([LUTE, *arguments], cwd=self.folder, env=self.bench.env, **keywords)

    def run(self, name: str, *arguments: str, **keywords: Any) -> Cost:
        """Measures `lute run NAME`; keywords as for `Spawner.cost`."""
        return self.cost("run", name, "-c", self.config.name, *arguments, **keywords)

    def run_json(self, name: str, *arguments: str) -> tuple[Cost, dict[str, Any]]:
        """Measures `lute run NAME -q --json`. Returns what it printed too."""
        out = self.folder / "stdout"
        cost = self.run(name, "-q", "--json", *arguments, out=out)
        row: dict[str, Any] = json.loads(out.read_text())
        return cost, row
