"""What the process tests share: waiting on conditions, processes in the background, other Pythons."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from conftest import LUTE, Project

Found = TypeVar("Found")


def wait_until(condition: Callable[[], Found], what: str, seconds: float = 20) -> Found:
    """Returns the first true value of `condition`; fails when there is none in time."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"after {seconds} s still not so: {what}"
        time.sleep(0.005)
    return found


def alive(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def pids_with(text: str) -> list[int]:
    """The processes whose environment or command line holds a text."""
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and alive(int(folder.name)):
            try:
                known = (folder / "environ").read_bytes() + (folder / "cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in known:
                found.append(int(folder.name))
    return found


def start(project: Project, *arguments: str, **keywords: Any) -> subprocess.Popen[bytes]:
    """Starts `lute` in the folder and does not wait. The caller ends it."""
    env = {**project.env, **keywords.pop("env", {})}
    fixed: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen([*LUTE, *arguments], cwd=project.folder, env=env, **(fixed | keywords))


def unread(
    project: Project, *arguments: str, stream: str = "stdout", **keywords: Any
) -> tuple[int, bytes | None, bytes | None]:
    """Runs `lute` with a stream whose reader has gone. Returns exit code, and what the streams that are read held."""
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as gone, start(project, *arguments, **{stream: gone}, **keywords) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def python(project: Project, code: str, *arguments: str, **keywords: Any) -> Any:
    """Runs a script in the folder with the tests' Python."""
    script = project.write("script.py", code)
    return project.run([sys.executable, str(script), *arguments], **keywords)


PEAK = """
    import json, os, subprocess, sys
    out = open("peak.out", "wb")
    process = subprocess.Popen(sys.argv[1:], stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = 0
    print(json.dumps({"code": os.waitstatus_to_exitcode(status), "rss_kib": usage.ru_maxrss}))
"""


def peak(project: Project, *arguments: str, **keywords: Any) -> dict[str, int]:
    """Runs `lute` from a small process. Returns its exit code and its peak memory; its output is in `peak.out`.

    The kernel counts the memory of whoever starts a program into that program's peak, and the tests' own is large.
    """
    script = project.write("peak.py", PEAK)
    done = project.run([sys.executable, "-S", str(script), *LUTE, *arguments], **keywords)
    found: dict[str, int] = json.loads(done.out.splitlines()[-1])
    return found


def make_bare_python(folder: Path) -> str:
    """Makes a Python that has nothing installed. Returns its executable."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    return str(folder / "bin" / "python")


def other_pythons() -> list[str]:
    """The executables of older Pythons on this machine that do run, 3.9 first."""
    names = [shutil.which(name) or "" for name in ("python3.9", "pypy3")]
    pyenv = Path.home() / ".pyenv" / "versions"
    places = [*filter(None, names), *(str(path) for path in pyenv.glob("3.9.*/bin/python"))]
    runs = [place for place in places if subprocess.run([place, "-c", ""], capture_output=True).returncode == 0]
    return list({os.path.realpath(place): place for place in runs}.values())
