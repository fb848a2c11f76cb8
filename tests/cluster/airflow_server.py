"""A private Airflow for the tests: SQLite, LocalExecutor, everything in one folder, its API on the loopback.

It lives in a venv of its own, which `make test` makes; without `make` it is made here, which takes half a minute.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from conftest import Outcome, Project
from process.helpers import wait_until
from process.test_demo import FOLDER, demo_python

ROOT = Path(__file__).resolve().parents[2]
USER, PASSWORD = "admin", "not-for-the-world-4711"
HEALTHY = ("metadatabase", "scheduler", "dag_processor")


def venv() -> Path:
    """Returns the venv that has Airflow, made if it is not there: `$AIRFLOW_VENV`, or `.airflow-venv`."""
    folder = Path(os.environ.get("AIRFLOW_VENV") or ROOT / ".airflow-venv")
    if not (folder / ".ready").exists():
        made = subprocess.run(
            ["make", "-C", str(ROOT), f"AIRFLOW_VENV={folder}", f"{folder}/.ready"], capture_output=True, text=True
        )
        assert made.returncode == 0, f"no Airflow to test with:\n{made.stdout[-2000:]}\n{made.stderr[-4000:]}"
    return folder


def demo_environment(work_dir: Path) -> dict[str, str]:
    """Returns what the example examples/thpp needs besides its workflow: its programs, its data, its work folder."""
    code = (
        f"import json, sys; sys.path.insert(0, {str(FOLDER)!r}); import demo;"
        " print(json.dumps(demo.environment(demo.data_folder())))"
    )
    done = subprocess.run([demo_python(), "-c", code], capture_output=True, text=True, timeout=60, check=True)
    found = json.loads(done.stdout)
    return {name: found[name] for name in ("PATH", "THPP_DATA")} | {"LUTE_WORK_DIR": str(work_dir)}


class AirflowServer:
    """One Airflow. Its database is made at once; its scheduler and API only run after `start`."""

    def __init__(self) -> None:
        self._programs = venv() / "bin"
        self.folder = Path(tempfile.mkdtemp(prefix="lair-"))
        self.dags = self.folder / "dags"
        self.dags.mkdir()
        (self.folder / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self._connections: dict[str, str] = {}
        self._port = port

    @property
    def environment(self) -> dict[str, str]:
        """What `lute workflow run --on airflow` needs to speak with it."""
        return {"LUTE_AIRFLOW_URL": self.url, "LUTE_AIRFLOW_USER": USER, "LUTE_AIRFLOW_PASSWORD": PASSWORD}

    def for_a_page(self) -> dict[str, str]:
        """What a page's commands need: `airflow` on PATH, its settings, its folder of DAGs as `$DAGS`."""
        path = f"{os.pathsep}{self._programs}"  # behind all others: it has a Python of its own
        return {**self._settings(), **self.environment, "DAGS": str(self.dags), "PATH": path}

    def connect(self, name: str, command: list[str], environment: dict[str, str] | None = None) -> None:
        """Adds a connection of the type `lute`, by an environment variable, before `start`."""
        extra = {"command": command, "environment": environment or {}}
        self._connections[f"AIRFLOW_CONN_{name.upper()}"] = json.dumps({"conn_type": "lute", "extra": extra})

    def airflow(self, *arguments: str, timeout: float = 100) -> Outcome:
        """Runs the command `airflow`."""
        return Project(self.folder).run([str(self._programs / "airflow"), *arguments], self._settings(), timeout)

    def export(self, project: Project, workflow: str, *arguments: str) -> str:
        """Puts the DAG file of a workflow into the folder of DAGs. Returns the DAG's id."""
        done = project.lute("airflow", "export", workflow, *arguments, "--json")
        assert done.code == 0, done
        (self.dags / f"{done.json['dag_id']}.py").write_text(done.json["text"])
        return str(done.json["dag_id"])

    def connect_demo(self) -> None:
        """Adds the connection `lute_demo`, which has the programs of examples/thpp, where they are installed."""
        if demo_python():
            (self.folder / "demo").mkdir(exist_ok=True)
            self.connect("lute_demo", [demo_python(), "-m", "lute"], demo_environment(self.folder / "demo"))

    def start(self) -> None:
        """Starts scheduler, API and the rest, and waits until they are well: half a minute."""
        with open(self.folder / "standalone.log", "wb") as log:
            env = {**os.environ, **self._settings(), "PATH": f"{self._programs}{os.pathsep}{os.environ['PATH']}"}
            self._process = subprocess.Popen(
                [str(self._programs / "airflow"), "standalone"],
                env=env,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_until(self._well, f"Airflow is well; see {self.folder}/standalone.log", 100)

    def _well(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "standalone.log").read_text()[-3000:]
        try:
            with urllib.request.urlopen(f"{self.url}/api/v2/monitor/health", timeout=5) as answer:
                health = json.loads(answer.read())
        except (OSError, ValueError):
            return False
        return all(health[part]["status"] == "healthy" for part in HEALTHY)

    def close(self) -> None:
        """Ends it with all of its processes, and removes its folder."""
        if self._process is not None:
            group = self._process.pid
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(15)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
            self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _settings(self) -> dict[str, str]:
        settings: dict[str, Any] = {
            "CORE__DAGS_FOLDER": self.dags,
            "CORE__PLUGINS_FOLDER": self.folder / "plugins",
            "CORE__LOAD_EXAMPLES": False,
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": 4,
            "CORE__DAGS_ARE_PAUSED_AT_CREATION": False,
            "CORE__EXECUTION_API_SERVER_URL": f"{self.url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": self.folder / "passwords.json",
            "API__HOST": "127.0.0.1",
            "API__PORT": self._port,
            "API__BASE_URL": self.url,
            "API__WORKERS": 1,
            "API_AUTH__JWT_SECRET": "for-tests-only-for-tests-only-for-tests-only-for-tests-only-0123",
            "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": 1,
            "DAG_PROCESSOR__REFRESH_INTERVAL": 3,
            "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": 3,
            "WORKERS__MIN_HEARTBEAT_INTERVAL": 1,  # it also notices only then that a task's process has ended
        }
        named = {f"AIRFLOW__{name}": str(value) for name, value in settings.items()}
        return {"AIRFLOW_HOME": str(self.folder), "PYTHONDONTWRITEBYTECODE": "", **named, **self._connections}
