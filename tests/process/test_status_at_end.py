"""C3: PENDING and STOPPED are no status of an end; a run that has ended is never taken for a live one."""

from __future__ import annotations

import sqlite3

import pytest

from conftest import Project


@pytest.fixture
def leaver(project: Project) -> Project:
    """A project whose Task leaves the status that it is told."""
    project.plugin("leaver")
    project.config("Leaver: {}")
    return project


@pytest.mark.parametrize("status", ["PENDING", "STOPPED"])
def test_a_task_that_leaves_a_status_of_the_living_has_failed(leaver: Project, status: str) -> None:
    """C3: it is FAILED, the reason says why, and `history` leaves it as it is."""
    run = leaver.run_task("Leaver", "-s", f"Leaver.status={status}")
    assert (run["status"], run["returncode"]) == ("FAILED", 1)
    assert f"ended with {status} as its status" in run["reason"]
    row = leaver.lute("history", "-c", "config.yaml", "--json").json[0]
    assert (row["status"], row["reason"]) == ("FAILED", run["reason"])


@pytest.mark.parametrize("status", ["RUNNING", "COMPLETED"])
def test_running_at_the_end_is_completed(leaver: Project, status: str) -> None:
    """A2: a status still RUNNING becomes COMPLETED."""
    assert leaver.run_task("Leaver", "-s", f"Leaver.status={status}")["status"] == "COMPLETED"


@pytest.mark.parametrize("status", ["PENDING", "STOPPED"])
def test_a_step_that_leaves_a_status_of_the_living_has_failed(leaver: Project, status: str) -> None:
    """C3: a workflow calls such a step FAILED, and what needs it BLOCKED."""
    parameters = f"parameters: {{status: {status}}}"
    leaver.write("w.yaml", f"steps:\n  a: {{task: Leaver, {parameters}}}\n  b: {{task: Leaver, needs: [a]}}\n")
    outcome = leaver.lute("workflow", "run", "w.yaml", "-c", "config.yaml", "--json")
    assert (outcome.code, [step["status"] for step in outcome.json["steps"]]) == (1, ["FAILED", "BLOCKED"]), outcome


def test_an_ended_run_of_an_older_lute_is_not_rewritten(leaver: Project) -> None:
    """R14: an older `lute` kept STOPPED for a run that had ended; its owner is gone, and that is no news."""
    run = leaver.run_task("Leaver")
    with sqlite3.connect(leaver.folder / "lute.db") as record:
        record.execute("UPDATE lute_runs SET status = 'STOPPED', reason = 'as it was'")
    record.close()
    row = leaver.lute("show", run["id"], "-c", "config.yaml", "--json").json
    assert (row["status"], row["reason"]) == ("STOPPED", "as it was")
    assert "there is nothing to cancel" in leaver.lute("cancel", run["id"], "-c", "config.yaml").err
