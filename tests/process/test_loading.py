"""A result is loaded when nothing of the run lives any more: for a bounded time, and whatever it does to who loads it."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import LUTE, Project

REDUCED = """
class Reduced:
    def __init__(self, function, *args): self.parts = function, args
    def __reduce__(self): return self.parts
import time, signal
"""
FOR_EVER = "Reduced(time.sleep, 10**6)"


@pytest.fixture
def gives(project: Project) -> Project:
    """A project with a Task that gives what it is told to."""
    project.plugin("gives")
    return project


def config(project: Project, payload: str, header: str = "", before: str = REDUCED) -> None:
    project.config(f"Give: {json.dumps({'payload': payload, 'summary': repr('done'), 'before': before})}", header)


def run(project: Project) -> tuple[dict[str, Any], float]:
    """Runs the Task. Returns its JSON and how long it took, in s."""
    began = time.monotonic()
    return project.run_task("Give"), time.monotonic() - began


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (FOR_EVER, "could not be loaded in 10 s"),
        ("Reduced(os._exit, 0)", "exited with status 0"),
        ("Reduced(os.kill, 0, signal.SIGKILL)", "ended by SIGKILL"),
        ("Reduced(exec, 'raise KeyboardInterrupt')", "KeyboardInterrupt"),
        ("Reduced(pow, 7, 10**10)", "could not be loaded in 10 s"),
        ("Reduced(exec, 'import nowhere_at_all')", "No module named 'nowhere_at_all'"),
        ("Reduced(bytearray, 1 << 46)", "MemoryError"),
    ],
    ids=["sleeps", "exits", "kills", "interrupts", "computes", "imports", "fills the memory"],
)
def test_a_payload_that_harms_who_loads_it_is_kept_as_bytes(gives: Project, payload: str, reason: str) -> None:
    """C3: the status is the Task's, its time is not used up by loading, and the reason is told; the rest is kept."""
    config(gives, f"{{'bad': {payload}, 'good': [1, datetime.date(2026, 1, 2)]}}", "task_timeouts: {Give: 3}")
    found, took = run(gives)
    assert (found["returncode"], found["status"], found["summary"]) == (0, "COMPLETED", "done")
    assert took < 30
    bad = found["payload"]["bad"]
    assert reason in bad["reason"]
    assert b"Reduced" not in Path(bad["path"]).read_bytes()
    assert found["payload"]["good"][0] == 1
    assert reason in Path(found["log"]).read_text()
    if "could not be loaded in" not in reason:
        assert str(pickle.loads(Path(found["payload"]["good"][1]["path"]).read_bytes())) == "2026-01-02"


def test_a_module_that_takes_long_to_import_does_not_use_up_the_time(gives: Project) -> None:
    """C3: a done Task is COMPLETED, however long its result takes to load."""
    gives.write("slow_module.py", "import os, time\nif os.environ['WHO'] == 'lute': time.sleep(25)\nclass Own: x = 5\n")
    before = f"os.environ['WHO'] = 'task'\nsys.path.insert(0, {str(gives.folder)!r})\nimport slow_module"
    config(gives, "slow_module.Own()", "task_timeouts: {Give: 5}", before)
    began = time.monotonic()
    found = gives.run_task("Give", env={"PYTHONPATH": str(gives.folder), "WHO": "lute"})
    assert (found["status"], found["payload"]["type"]) == ("COMPLETED", "slow_module.Own")
    assert "could not be loaded in 10 s" in found["payload"]["reason"]
    assert b"slow_module" in Path(found["payload"]["path"]).read_bytes()
    assert time.monotonic() - began < 22


@pytest.mark.parametrize("by", ["SIGINT", "SIGTERM", "cancel"])
def test_what_cancels_a_run_ends_the_loading(gives: Project, by: str) -> None:
    """C3: Ctrl-C and a cancel end it at once; the status stays the Task's."""
    config(gives, FOR_EVER)
    argv = [*LUTE, "run", "Give", "-c", "config.yaml", "--json", "-q"]
    with subprocess.Popen(argv, cwd=gives.folder, env=gives.env, stdout=subprocess.PIPE) as lute:
        children = loaders_of(lute.pid)
        began = time.monotonic()
        if by == "cancel":
            identity = gives.lute("history", "--db", ".", "--json").json[0]["id"]
            assert gives.lute("cancel", identity, "-c", "config.yaml").code in (0, 1)
        else:
            lute.send_signal(getattr(signal, by))
        out, _ = lute.communicate(timeout=8)
    assert time.monotonic() - began < 8
    found = json.loads(out)
    assert (lute.returncode, found["status"]) == (0, "COMPLETED")
    assert "since the run was cancelled" in found["payload"]["reason"]
    assert not any(os.path.exists(f"/proc/{pid}") for pid in children)


def loaders_of(pid: int) -> list[int]:
    """Waits until the process that loads the result is there: a child of `lute` that is the first to go without memory."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        children = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        loaders = [one for one in children if _is_loader(one)]
        if loaders:
            return loaders
    raise AssertionError("nothing was loaded")


def _is_loader(pid: int) -> bool:
    try:
        return int(Path(f"/proc/{pid}/oom_score_adj").read_text()) == 1000
    except OSError:
        return False


IN_API = """
import json, sys
from lute import Executor, plugins
plugins.load("tasks.py")
seen = []
one = Executor("Give")
def hook(executor, msg, proc):
    seen.append([type(msg.contents.payload).__name__, str(msg.contents.payload), proc.poll()])
one.add_hook("TASK_RESULT", hook)
one.add_tasklet(lambda: "more", when="after", set_result=True)
payload = one.execute_task("config.yaml").task_result.payload
print(json.dumps([seen, [type(item).__name__ for item in payload]]))
"""


@pytest.mark.parametrize(
    ("payload", "kind", "ended"),
    [
        ("{'a': 1}", "dict", None),
        ("datetime.date(2026, 1, 2)", "date", 0),
        ("Reduced(os._exit, 0)", "Unloadable", 0),
    ],
)
def test_hooks_and_callers_get_the_object(gives: Project, payload: str, kind: str, ended: int | None) -> None:
    """A4, C3: plain values come to the hook while the process lives; what is pickled when it has ended, and loaded."""
    config(gives, payload)
    done = gives.run([sys.executable, "-c", IN_API])
    seen, kinds = json.loads(done.out.splitlines()[-1])
    assert [[name, code] for name, _, code in seen] == [[kind, ended]], done
    assert kinds == [kind, "str"]


def test_a_hook_gets_a_pickled_message_loaded(project: Project) -> None:
    """A4: other messages with objects come to their hooks at once."""
    project.write(
        "tasks.py",
        """
        import datetime
        from lute import Executor, Message, Task, TaskParameters

        class SayParameters(TaskParameters):
            pass

        class Say(Task):
            def _run(self):
                self._report_to_executor(Message(datetime.date(2026, 1, 2)))

        def told(executor, msg, proc):
            print("hook:", repr(msg.contents), proc.poll())

        Sayer = Executor("Say")
        Sayer.add_hook("TASK_LOG", told)
        """,
    )
    project.config()
    done = project.lute("run", "Sayer", "-c", "config.yaml")
    assert "hook: datetime.date(2026, 1, 2) None" in done.err, done


def test_results_are_loaded_beside_each_other_in_a_workflow(gives: Project) -> None:
    """C3: the steps of a workflow run in threads of one process; there too, none holds up or takes another with it."""
    config(gives, "''")
    parts = {
        "date": "[datetime.date(2026, 1, 2), collections.OrderedDict(a=1)]",
        "exits": "Reduced(os._exit, 0)",
        "sleeps": FOR_EVER,
    }
    steps = {name: {"task": "Give", "parameters": {"payload": payload}} for name, payload in parts.items()}
    gives.write("flow.yaml", json.dumps({"steps": steps}))
    done = gives.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q", "-j", "3")
    assert (done.code, {step["status"] for step in done.json["steps"]}) == (0, {"COMPLETED"}), done
    found = {run["step"]: run["payload"] for run in gives.lute("history", "-c", "config.yaml", "--json").json}
    date, mapping = found["date"]
    assert (date["type"], "reason" in date, mapping) == ("datetime.date", False, {"a": 1})
    assert "exited with status 0" in found["exits"]["reason"]
    assert "could not be loaded in 10 s" in found["sleeps"]["reason"]
