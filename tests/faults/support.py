"""What the fault tests share: runs in the background with a mark by which all their processes are found."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
import uuid
from pathlib import Path
from typing import Any

from conftest import LUTE, Outcome, Project
from lute.cli.run import public
from lute.record.db import record_at
from process.helpers import alive, wait_until

REPORT: dict[str, list[str]] = {}
"""Titles and lines that are printed after the tests."""
SLACK = float(os.environ.get("LUTE_FAULTS_SLACK", "2.0"))
"""What a busy machine may add to a promised time, in s."""
GRACE = 1.0
GRACES = f"terminate_grace: {GRACE:g}\nclean_up_grace: {GRACE:g}"
FINAL = ("COMPLETED", "FAILED", "CANCELLED", "TIMEDOUT")


SOURCE = """
    echo $$ > {home}/child
    {python} {home}/daemons.py {home}/pids
    touch {home}/reached
    read line < {home}/go || true
"""


def marked(mark: str) -> list[int]:
    """The processes that live, zombies not counted, and were started with a mark."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit() and int(entry) != os.getpid():
            with contextlib.suppress(OSError):
                if mark.encode() in Path(f"/proc/{entry}/environ").read_bytes() and alive(int(entry)):
                    found.append(int(entry))
    return found


def state_of(pid: int) -> str:
    """The kernel's letter for a process's state."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def parent_of(pid: int) -> int:
    """The parent of a process."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def children_of(pid: int) -> list[int]:
    """The children of a process."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError):
                if parent_of(int(entry)) == pid:
                    found.append(int(entry))
    return found


def take_plugin(project: Project) -> None:
    """Takes the plug-in of the fault tests, and the module that it imports."""
    project.plugin("faults")
    project.plugin("daemons", "daemons.py")


class Running:
    """One `lute run` in the background: its owner, its files, and everything it has started.

    Args:
        project: The folder it runs in, where this writes `tasks.py` and what belongs to it.
    """

    def __init__(self, project: Project) -> None:
        self.project, self.home = project, project.folder
        self.mark = f"FAULTS_MARK={uuid.uuid4().hex}"
        self.env = {"FAULTS_MARK": self.mark.partition("=")[2], "FAULTS_HOME": str(self.home), "FAULTS_PHASE": ""}
        self.owner: subprocess.Popen[bytes] | None = None
        self.killed_at = 0.0
        take_plugin(project)
        project.plugin("held_program", "program.py")
        project.write("source.sh", SOURCE.format(home=self.home, python=sys.executable))
        os.mkfifo(self.home / "go")

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *error: Any) -> None:
        for _ in range(3):
            for pid in marked(self.mark):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        if self.owner is not None:
            self.owner.kill()
            self.owner.wait(20)

    def config(self, tasks: str = "{}", header: str = "", **fixed: Any) -> None:
        """Writes `config.yaml` with short graces; `fixed` replaces lines such as `task_timeout`."""
        path = self.project.config(tasks, "\n".join([GRACES, textwrap.dedent(header).strip()]))
        text = path.read_text()
        for name, value in fixed.items():
            line = next((line for line in text.splitlines() if line.startswith(f"{name}:")), None)
            text = text.replace(line, f"{name}: {value}", 1) if line else f"{name}: {value}\n{text}"
        path.write_text(text)

    def start(self, name: str, *arguments: str, phase: str = "", argv: list[str] | None = None, **env: str) -> int:
        """Starts `lute run NAME`, or another command. Returns its pid."""
        self.env["FAULTS_PHASE"] = phase
        argv = argv or [*LUTE, "run", name, "-c", "config.yaml", "--json", *arguments]
        with open(self.home / "stdout", "wb") as out, open(self.home / "stderr", "wb") as err:
            self.owner = subprocess.Popen(
                argv,
                cwd=self.home,
                env={**self.project.env, **self.env, **env},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
        return self.owner.pid

    @property
    def stderr(self) -> str:
        """What the owner has printed."""
        file = self.home / "stderr"
        return file.read_text(errors="backslashreplace") if file.exists() else ""

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object that the owner has printed."""
        text = (self.home / "stdout").read_text()
        assert text, self.stderr
        return json.loads(text)

    def reach(self, name: str = "reached", seconds: float = 30) -> None:
        """Waits until the run is where it is to be."""
        assert self.owner is not None
        owner = self.owner
        wait_until(lambda: (self.home / name).exists() or owner.poll() is not None, f"{name}: {self.stderr}", seconds)
        assert (self.home / name).exists(), self.stderr

    def pid(self, name: str) -> int:
        """A process by the file that it wrote."""
        return int(wait_until(lambda: (self.home / name).exists() and (self.home / name).read_text(), name))

    def launcher(self) -> int:
        """The owner's first child; others, such as `git`, come and go."""
        assert self.owner is not None
        owner = self.owner.pid
        return min(children_of(owner))

    def kill(self, *pids: int) -> None:
        """Kills with SIGKILL, and remembers when."""
        for pid in pids:
            os.kill(pid, signal.SIGKILL)
        self.killed_at = time.monotonic()

    def go(self) -> None:
        """Lets the run go on from where it waits."""

        def opened() -> int:
            with contextlib.suppress(OSError):  # ENXIO: nobody reads yet
                return os.open(self.home / "go", os.O_WRONLY | os.O_NONBLOCK)
            return 0

        os.close(wait_until(opened, "somebody waits for the go"))

    def wait(self, seconds: float = 30) -> int:
        """Waits for the owner's end. Returns its exit code."""
        assert self.owner is not None
        return self.owner.wait(seconds)

    def wait_gone(self, seconds: float) -> float:
        """Waits until no process of the run lives, and the owner has ended. Returns the time since the kill."""
        assert self.owner is not None
        owner = self.owner
        try:
            wait_until(lambda: owner.poll() is not None and not marked(self.mark), "all gone", seconds)
        except AssertionError:
            raise AssertionError(f"after {seconds} s still there:\n{self.describe()}\n{self.stderr[-2000:]}") from None
        return time.monotonic() - self.killed_at

    def processes(self) -> list[bytes]:
        """The command lines of all processes of the run."""
        found = []
        for pid in marked(self.mark):
            with contextlib.suppress(OSError):
                found.append(Path(f"/proc/{pid}/cmdline").read_bytes())
        return found

    def describe(self) -> str:
        """The processes that are left, one a line."""
        lines = []
        for pid in marked(self.mark):
            with contextlib.suppress(OSError):
                words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                files = [name for name in ("child", "pids/forked", "pids/program") if self._is(name, pid)]
                lines.append(f"{pid} parent {parent_of(pid)} state {state_of(pid)} {files} {words[:120]}")
        return "\n".join(lines)

    def _is(self, name: str, pid: int) -> bool:
        file = self.home / name
        return file.exists() and file.read_text().strip() == str(pid)

    def lute(self, *arguments: str, **keywords: Any) -> Outcome:
        """Runs another `lute` command in the folder."""
        return self.project.lute(*arguments, **keywords)

    def history(self, *arguments: str) -> list[dict[str, Any]]:
        """What `lute history --json` prints."""
        outcome = self.lute("history", "--json", *arguments)
        assert outcome.code == 0, outcome
        return outcome.json

    def row(self) -> dict[str, Any]:
        """The only run in the record, as `lute history` shows it, without the time to start that."""
        with record_at(self.project.env.get("LUTE_DATABASE") or self.home / "lute.db", self.home) as record:
            record.refresh()
            [row] = record.find()
        return json.loads(json.dumps(public(row), default=str))
