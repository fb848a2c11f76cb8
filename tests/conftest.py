"""What all tests share: a project in a folder of its own, and the real command run in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from cluster.airflow_server import AirflowServer
    from postgres import Server

LUTE = [sys.executable, "-m", "lute"]
PLUGINS = Path(__file__).parent / "plugins"
ALONE = ("faults/", "cluster/", "web/test_speed.py", "docs/test_tutorial.py", "docs/test_benchmarks.py")
ALONE += tuple(f"process/test_{name}.py" for name in ("mpi", "watch", "workflow_kills", "workflow_scale", "endings"))
"""The tests that run one after the other: they measure times, kill processes or start servers of their own."""
LAUNCHER = "LUTE_LAUNCHER"
"""`LUTE_LAUNCHER=exec pytest ...` runs tests without the fast path: every Task in a new interpreter."""


@dataclass
class Outcome:
    """What a command did; it prints itself in a failed assertion."""

    argv: list[str]
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output, read as JSON."""
        return json.loads(self.out)

    def __repr__(self) -> str:
        return f"{' '.join(self.argv)}\nexit {self.code}\n--- stdout\n{self.out}\n--- stderr\n{self.err}"


class Project:
    """A folder with a YAML file and a plug-in, where the real `lute` is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        kept = (name for name in os.environ if name == LAUNCHER or not name.startswith(("LUTE_", "RUN", "EXPERIMENT")))
        self.env = {name: os.environ[name] for name in kept}

    def write(self, name: str, text: str) -> Path:
        """Writes a file, its text dedented."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"), encoding="utf-8")
        return path

    def plugin(self, name: str, file: str = "tasks.py") -> Path:
        """Takes the plug-in `tests/plugins/NAME.py`, as the file `tasks.py` or another."""
        path = self.folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copyfile(PLUGINS / f"{name}.py", path))

    def add_to_plugin(self, text: str) -> None:
        """Adds lines, their text dedented, to `tasks.py`."""
        with open(self.folder / "tasks.py", "a", encoding="utf-8") as file:
            file.write("\n" + textwrap.dedent(text))

    def config(self, tasks: str = "{}", header: str = "") -> Path:
        """Writes `config.yaml`: a header with the plug-in `tasks.py` if there is one, and the Tasks' parameters."""
        plugins = "plugins: [tasks.py]\n" if (self.folder / "tasks.py").exists() else ""
        fixed = f"experiment: exp1\nrun: 7\ntask_timeout: 60\nwork_dir: {json.dumps(str(self.folder))}\n{plugins}"
        body = textwrap.dedent(tasks).strip("\n")
        return self.write("config.yaml", f"{fixed}{textwrap.dedent(header).strip()}\n---\n{body}\n")

    def lute(self, *arguments: str, env: Mapping[str, str] | None = None, timeout: float = 60) -> Outcome:
        """Runs `lute` in the folder and waits for its end."""
        return self.run([*LUTE, *arguments], env=env, timeout=timeout)

    def run(self, argv: list[str], env: Mapping[str, str] | None = None, timeout: float = 60) -> Outcome:
        """Runs any command in the folder and waits for its end."""
        done = subprocess.run(
            argv,
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        out, err = (stream.decode("utf-8", "backslashreplace") for stream in (done.stdout, done.stderr))
        return Outcome(argv, done.returncode, out, err)

    def run_task(self, name: str, *arguments: str, **keywords: Any) -> dict[str, Any]:
        """Runs `lute run NAME -c config.yaml --json`. Returns the JSON object, with the exit code as `returncode`."""
        outcome = self.lute("run", name, "-c", "config.yaml", "--json", "-q", *arguments, **keywords)
        assert outcome.out, outcome
        return {**outcome.json, "returncode": outcome.code, "stderr": outcome.err}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks the tests that have to run alone; `make test` runs the others side by side."""
    here = Path(__file__).parent
    for item in items:
        if str(item.path.relative_to(here)).startswith(ALONE) or item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.alone)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project in a folder of its own."""
    return Project(tmp_path)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server of our own; a test asks it for a new database."""
    from postgres import Server  # not needed by most tests

    server = Server()
    server.start()
    yield server
    server.close()


@pytest.fixture(scope="session")
def openmpi(request: pytest.FixtureRequest) -> str:
    """A Python with Open MPI, kept in pytest's cache from one session to the next."""
    from openmpi import python_with_openmpi

    return python_with_openmpi(request.config.cache.mkdir("openmpi"))


@pytest.fixture(scope="session")
def airflow() -> Iterator[AirflowServer]:
    """An Airflow of our own, with scheduler and API; half a minute until it is there."""
    from cluster.airflow_server import AirflowServer  # not needed by most tests

    server = AirflowServer()
    try:
        server.connect_demo()
        server.start()
        yield server
    finally:
        server.close()


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of the caller's reaches a test, but for `LAUNCHER`."""
    for name in list(os.environ):
        if (name.startswith("LUTE_") and name != LAUNCHER) or name in ("EXPERIMENT", "RUN", "RUN_NUM", "SLURM_NTASKS"):
            monkeypatch.delenv(name)
