"""Processes that deny where they come from, or fork on faster than anybody looks, end with their run all the same."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import LUTE
from faults.support import GRACE, SLACK, Running, state_of
from process.helpers import python, wait_until

COMET = """
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
while not os.fork():
    os.setsid()
    open("seen", "w").write(str(os.getpid()))
    time.sleep(0.005)
"""
"""Is replaced by its child every 5 ms, and the child by its own."""


def named(word: str) -> list[int]:
    """The processes that have a word in their command line."""
    found = []
    for entry in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if entry.isdigit() and word.encode() in Path(f"/proc/{entry}/cmdline").read_bytes():
                found.append(int(entry))
    return [pid for pid in found if pid != os.getpid()]


@pytest.fixture
def word() -> Iterator[str]:
    """A word of which all processes are killed at the end, however they try to get away."""
    one = f"9{uuid.uuid4().int % 10**9}"
    yield one
    deadline = time.monotonic() + 20
    while (left := named(one)) and time.monotonic() < deadline:
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def shell(running: Running, code: str, **fixed: Any) -> None:
    """Writes the YAML for a program that runs shell code."""
    running.config(json.dumps({"Sh": {"code": code}}), **fixed)


def orphan(word: str) -> str:
    """Shell code that leaves a process with an empty environment, in a session of its own."""
    return f"(env -i setsid sleep {word} &)"


@pytest.mark.parametrize("bare", ["", "env -i "])
@pytest.mark.parametrize("how", ["end", "timeout", "cancel", "launcher"])
def test_what_forks_on_and_on(running: Running, how: str, bare: str) -> None:
    """B1: no process of a run outlives it: not one that is gone whenever somebody looks at it."""
    (running.home / "comet.py").write_text(COMET)
    shell(
        running,
        f"({bare}{sys.executable} -S comet.py &); while [ ! -e seen ]; do sleep 0.01; done"
        + ("" if how == "end" else "; sleep 600"),
        task_timeout=2 if how == "timeout" else 600,
    )
    running.start("Shell", "-q")
    running.reach("seen")
    if how == "cancel":
        running.lute("cancel", "last", "-c", "config.yaml")
    elif how == "launcher":
        running.kill(running.launcher())
    running.wait(30)
    last = (running.home / "seen").read_text()
    with contextlib.suppress(TimeoutError, AssertionError):
        wait_until(lambda: (running.home / "seen").read_text() != last, "it lives", 0.5)
    assert (running.home / "seen").read_text() == last


def test_a_killed_launcher_leaves_no_bare_process(running: Running, word: str) -> None:
    """B1: also when its launcher is killed, nothing of a run outlives it that has cleaned its environment."""
    shell(
        running, f"{orphan(word)}; while ! pgrep -f '^sleep {word}' >up; do sleep 0.01; done; touch reached; sleep 600"
    )
    running.start("Shell", "-q")
    running.reach()
    running.kill(running.launcher())
    assert running.wait(GRACE + SLACK + 10) == 1
    assert named(f"sleep\0{word}") == []


def test_a_bare_process_beside_other_runs(running: Running, word: str) -> None:
    """B1: a run has ended when nothing of it lives, also while other runs go on."""
    shell(running, "true")
    steps = {
        "first": {"task": "Shell", "parameters": {"code": f"{orphan(word)}; sleep 0.1"}},
        "second": {"task": "Shell", "parameters": {"code": "cat go"}},
        "third": {"task": "Shell", "needs": "first", "parameters": {"code": f"pgrep -f '^sleep {word}' >found; true"}},
    }
    (running.home / "w.yaml").write_text(json.dumps({"steps": steps}))
    argv = [*LUTE, "workflow", "run", "w.yaml", "-c", "config.yaml", "--json", "-q", "-j", "2"]
    running.start("", argv=argv)
    wait_until(lambda: (running.home / "found").exists(), "the third step has looked", 30)
    running.go()
    assert running.wait(30) == 0, running.stderr
    assert (running.home / "found").read_text() == ""


def test_pause_reaches_a_bare_process(running: Running, word: str) -> None:
    """B1: `lute pause` suspends what prints to the run's log, whatever it says of itself; `resume` lets it go on."""
    shell(running, f"{orphan(word)}; touch reached; sleep 600")
    running.start("Shell", "-q")
    running.reach()
    (pid,) = wait_until(lambda: named(f"sleep\0{word}"), "it lives")
    assert running.lute("pause", "last", "-c", "config.yaml").code == 0
    wait_until(lambda: state_of(pid) == "T", "it stands still")
    assert running.lute("resume", "last", "-c", "config.yaml").code == 0
    wait_until(lambda: state_of(pid) == "S", "it goes on")
    assert running.lute("cancel", "last", "-c", "config.yaml").code == 0
    assert running.wait(30) == 143


def test_a_launcher_that_was_stopped(running: Running) -> None:
    """B1: a Task that stops the process which started it does not keep its run from being stopped."""
    shell(running, "kill -STOP $PPID; touch reached; sleep 600")
    running.start("Shell", "-q")
    running.reach()
    assert running.lute("cancel", "last", "-c", "config.yaml").code == 0
    assert running.wait(GRACE + SLACK + 10) == 143


@pytest.mark.parametrize("what", ["lute.runs/*/*/log", "lute.runs"])
def test_a_task_that_deletes_its_log(running: Running, what: str) -> None:
    """B1: the outcome stands, and the result is kept."""
    code = f"import glob, os, shutil\nfor path in glob.glob({what!r}):\n"
    code += "    (shutil.rmtree if os.path.isdir(path) else os.remove)(path)\nself._result.payload = 7"
    running.config(json.dumps({"Py": {"code": code}}))
    running.start("Python", "-q")
    assert running.wait(30) == 0, running.stderr
    assert (running.row()["status"], "Traceback" in running.stderr) == ("COMPLETED", False)


def test_a_launcher_inherits_no_database(running: Running) -> None:
    """DESIGN: the launcher is forked before the record is open, also where a workflow has been recorded before."""
    shell(running, "touch reached; cat go")
    (running.home / "w.yaml").write_text(json.dumps({"steps": {"one": {"task": "Shell"}}}))
    running.start("", argv=[*LUTE, "workflow", "run", "w.yaml", "-c", "config.yaml", "-q"])
    running.reach()
    folder = f"/proc/{running.launcher()}/fd"
    opened = [os.readlink(f"{folder}/{number}") for number in os.listdir(folder)]
    running.go()
    assert running.wait(30) == 0
    assert [path for path in opened if "lute.db" in path] == []


TWO = """
import os, signal, threading, time
import tasks
from lute import Executor, TaskFailed
from lute.launcher.handle import Launcher

def run(file):
    try:
        ended[file] = Executor("Sh").execute_task(file).task_result.task_status.name
    except TaskFailed as error:
        ended[file] = error.analysis.record["reason"]

ended = {}
threads = [threading.Thread(target=run, args=(file,)) for file in ("first.yaml", "second.yaml")]
for thread, file in zip(threads, ("first", "second")):
    thread.start()
    while not os.path.exists(file):
        time.sleep(0.01)
    launchers = launchers if file == "second" else set(Launcher._pids)
os.kill(*launchers, signal.SIGKILL)
threads[0].join()
open("go", "w").close()
threads[1].join()
print(sorted(ended.values()))
"""


def test_a_killed_launcher_takes_no_other_with_it(running: Running) -> None:
    """B1: of two runs of one process, each with its launcher, one goes on when the other's launcher is killed."""
    for name, code in (("first", "touch first; sleep 600"), ("second", "touch second; cat go")):
        shell(running, code)
        (running.home / "config.yaml").rename(running.home / f"{name}.yaml")
    outcome = python(running.project, TWO)
    assert outcome.code == 0, outcome
    assert outcome.out.splitlines()[-1] == "['COMPLETED', 'the launcher process was killed, and the run with it']"
