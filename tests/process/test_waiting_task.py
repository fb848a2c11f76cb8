"""The process that the launcher keeps ready for the next Python Task of a workflow."""

from __future__ import annotations

from textwrap import dedent
from typing import Any

import pytest

from conftest import Project
from process.helpers import python

SCRIPT = """
    import json, os, signal, sys
    sys.path.insert(0, {tests!r})
    from lute import managed_tasks, plugins
    from lute.launcher.handle import Launcher
    from process.helpers import alive, wait_until

    os.environ["LUTE_LAUNCHER"] = "fork"
    plugins.load("tasks.py")  # before the fork of the launcher, as every command does
    launcher = Launcher.start()

    def run(name):
        return managed_tasks.find(name).execute_task("config.yaml", launcher=launcher)

    def payload():
        result = run("Places").task_result
        assert result.task_status.name == "COMPLETED", result
        return result.payload

    def children():
        with open(f"/proc/{{launcher.pid}}/task/{{launcher.pid}}/children") as file:
            return [int(pid) for pid in file.read().split()]

    def waiting():
        return wait_until(children, "a process waits")[0]

    found = {{}}
"""


def scripted(project: Project, code: str) -> Any:
    """Runs a few lines with a launcher of their own. Returns what they put into `found`."""
    import os

    project.plugin("places")
    project.config()
    tests = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    whole = dedent(SCRIPT).format(tests=tests) + dedent(code) + "\nlauncher.close()\nprint(json.dumps(found))\n"
    outcome = python(project, whole)
    assert outcome.code == 0, outcome
    return outcome.json


def test_the_next_task_runs_in_the_process_that_waits(project: Project) -> None:
    """B1: nothing waits after a single Task; after two one does, and gets the next one's environment and files alone."""
    found = scripted(
        project,
        """
        found["first"], found["none"] = payload(), children()
        second = payload()
        found["waiting"] = waiting()
        found["third"] = payload()
        found["second"] = second
        """,
    )
    assert found["none"] == []
    third, second = found["third"], found["second"]
    assert third["pid"] == third["session"] == found["waiting"] != second["pid"]
    assert third["environ"]["LUTE_RUN_ID"] != second["environ"]["LUTE_RUN_ID"]
    assert third["environ"].keys() == second["environ"].keys()
    assert len(third["files"]) == len(second["files"]) == len(found["first"]["files"])
    for state in ("tasks", "blocked", "alarm", "handlers"):
        assert third[state] == second[state]
    assert "_Nothing" not in third["tasks"]


def test_what_waits_is_no_orphan_and_hides_none(project: Project) -> None:
    """B1: what a program leaves, with an environment that does not say whose it is, is ended; what waits is not."""
    found = scripted(
        project,
        """
        payload(), payload()
        before = waiting()
        found["status"] = run("Leaver").task_result.task_status.name
        left = int(open("left").read())
        found["left"], found["same"] = alive(left), alive(before)
        found["next"] = payload()["pid"] == before
        """,
    )
    assert found == {"status": "COMPLETED", "left": False, "same": True, "next": True}


def test_a_task_runs_though_what_waited_was_killed(project: Project) -> None:
    """B1: the next Task runs in a new process where somebody has killed the one that waited."""
    found = scripted(
        project,
        """
        payload(), payload()
        before = waiting()
        os.kill(before, signal.SIGKILL)
        wait_until(lambda: not alive(before), "it is dead")
        found["other"] = payload()["pid"] != before
        """,
    )
    assert found == {"other": True}


@pytest.mark.parametrize("how", ["launcher.close()", "os.kill(launcher.pid, signal.SIGKILL)"])
def test_what_waits_ends_with_its_launcher(project: Project, how: str) -> None:
    """B1: nothing is left when the launcher goes, also when it is killed."""
    found = scripted(
        project,
        f"""
        payload(), payload()
        before = waiting()
        {how}
        wait_until(lambda: not alive(before), "what waited is gone")
        launcher.close = lambda: None
        """,
    )
    assert found == {}
