"""Workflows in a real Airflow: exported, run by its scheduler over REST and by `airflow dags test`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.airflow_server import AirflowServer, demo_environment
from conftest import Project
from lute.workflows.engines.airflow_rest import Airflow, DagRun
from process.flows import Flow
from process.helpers import pids_with, wait_until
from process.test_demo import FOLDER, STEPS, demo_python

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(240)]
MIXED = """
    first: { task: Giver, parameters: { value: { n: 3 } } }
    fails:
      task: Shell
      needs: [first]
      parameters: { code: "echo about to fail >&2; test -e mended || exit 3" }
    skipped: { task: Shell, needs: [first], when: "steps.first.result.n > 5" }
    wide: { task: Shell, needs: [first], foreach: [1, 2], parameters: { code: "echo item {{ item }}; env | sort" } }
    after: { task: Shell, needs: [fails] }
    told: { task: Shell, needs: [fails], when: any_failed }
    last: { task: Shell, needs: [after, told, wide], when: all_done }
"""
TICKS = """
    ticks:
      task: Shell
      parameters:
        code: "trap '' TERM; i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.1; done"
    after: { task: Shell, needs: [ticks] }
    tidy: { task: Shell, needs: [ticks], when: always, parameters: { code: "echo tidy > tidy.txt" } }
"""


DEMO = (str(FOLDER / "workflow.yaml"), "-c", str(FOLDER / "thpp.yaml"))
needs_demo = pytest.mark.skipif(
    not demo_python() and not os.environ.get("CI"), reason="needs cctbx-base: make demo, or DEMO_PYTHON"
)


@pytest.fixture
def flow(project: Project, airflow: AirflowServer) -> Iterator[Flow]:
    """A project whose commands find the Airflow."""
    project.env |= airflow.environment
    flow = Flow(project)
    yield flow
    flow.close()


def known(airflow: AirflowServer, dag_id: str) -> None:
    """Waits until Airflow has read the file of a DAG."""
    api = Airflow(airflow.environment)

    def there() -> bool:
        return bool(api.ask("GET", f"/dags?dag_id_pattern={dag_id}")["dags"])

    wait_until(there, f"Airflow knows the DAG {dag_id}", 60)


def exported(flow: Flow, airflow: AirflowServer, steps: str, name: str) -> str:
    """Writes a workflow, and its DAG file into Airflow's folder. Returns the workflow's file."""
    flow.steps(steps, f"{name}.yaml")
    assert airflow.export(flow.project, f"{name}.yaml", "-c", "config.yaml") == name
    known(airflow, name)
    return f"{name}.yaml"


def run_of(airflow: AirflowServer, dag_id: str, told: str) -> DagRun:
    """Returns the DAG run that `lute workflow run` says it began."""
    return DagRun(Airflow(airflow.environment), dag_id, told.partition("DAG run ")[2].split(": ")[0])


def tasks_of(dag_run: DagRun) -> dict[str, Any]:
    """Returns the state of each task."""
    return {task["task_id"]: task["state"] for task in dag_run.tasks()}


def log_of(dag_run: DagRun, task: str, attempt: int = 1) -> str:
    """Returns the log of a task as Airflow shows it, exceptions too."""
    path = f"{dag_run._path}/taskInstances/{task}/logs/{attempt}?full_content=true"
    return json.dumps(dag_run._airflow.ask("GET", path)["content"])


def test_a_step_that_fails_and_one_that_is_skipped_and_how_it_goes_on(flow: Flow, airflow: AirflowServer) -> None:
    """B3: by REST and scheduler: states, reasons, results and logs are Airflow's too; clearing goes on."""
    file = exported(flow, airflow, MIXED, "mixed")
    done = flow.lute("run", file, "--on", "airflow", "-e", "exp2", "--json", timeout=120)
    assert done.code == 1, done
    states = {step["name"]: step["status"] for step in done.json["steps"]}
    assert states == {
        "first": "COMPLETED",
        "fails": "FAILED",
        "skipped": "SKIPPED",
        "wide[0]": "COMPLETED",
        "wide[1]": "COMPLETED",
        "after": "BLOCKED",
        "told": "COMPLETED",
        "last": "COMPLETED",
    }, done
    assert (done.json["status"], done.json["reason"]) == ("FAILED", "fails did not complete")
    assert done.json["experiment"] == "exp2"
    assert "fails FAILED" in done.err
    dag_run = run_of(airflow, "mixed", done.err)
    assert tasks_of(dag_run) == {
        "lute.start": "success",
        "first": "success",
        "fails": "failed",
        "skipped": "skipped",
        "wide": "success",
        "after": "upstream_failed",
        "told": "success",
        "last": "success",
        "lute.end": "failed",
    }
    told = log_of(dag_run, "fails")
    assert "about to fail" in told
    assert "step fails FAILED: exited with status 3" in told
    first = dag_run.given("first")
    assert (first["status"], first["result"]) == ("COMPLETED", {"n": 3})
    assert first["id"] == next(one["id"] for one in done.json["steps"] if one["name"] == "first")
    wide = log_of(dag_run, "wide")
    assert "item 1" in wide
    assert "item 2" in wide
    assert "AIRFLOW_" not in wide.replace("LUTE_AIRFLOW_", "")

    (flow.folder / "mended").touch()
    clear = {"dag_run_id": dag_run.identity, "task_ids": ["fails"], "include_downstream": True, "dry_run": False}
    Airflow(airflow.environment).ask("POST", "/dags/mixed/clearTaskInstances", clear | {"only_failed": False})
    wait_until(lambda: dag_run.state() == "success", "the DAG run goes on to a good end", 60)
    assert dag_run.given("lute.end")["id"] == done.json["id"]
    again = flow.lute("status", done.json["id"], "--json").json
    assert (again["status"], again["reason"]) == ("COMPLETED", "")
    states = {step["name"]: step["status"] for step in again["steps"]}
    assert (states["fails"], states["after"], states["told"]) == ("COMPLETED", "COMPLETED", "SKIPPED"), again
    assert len([one for one in flow.history() if one["step"] == "first"]) == 1


def test_its_log_is_there_while_it_runs_and_stopping_it_leaves_no_process(flow: Flow, airflow: AirflowServer) -> None:
    """B1: Ctrl-C stops the DAG run; the program ends, though it ignores SIGTERM; `always` runs; the record says so."""
    file = exported(flow, airflow, TICKS, "ticks")
    client = flow.start(file, "--on", "airflow", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert client.stderr is not None
    told = client.stderr.readline().decode()
    dag_run = run_of(airflow, "ticks", told)

    def ticking() -> bool:
        return tasks_of(dag_run)["ticks"] == "running" and "tick 3" in log_of(dag_run, "ticks")

    wait_until(ticking, "its log is in Airflow while it runs", 60)
    program = f"PWD={flow.folder}"
    assert pids_with(program)
    client.send_signal(signal.SIGINT)
    wait_until(
        lambda: not any("tick" in Path(f"/proc/{pid}/cmdline").read_text() for pid in pids_with(program)), "end", 30
    )
    out, _ = client.communicate(timeout=90)
    assert client.returncode == 130, out
    row = json.loads(out)
    assert {step["name"]: step["status"] for step in row["steps"]} == {
        "ticks": "CANCELLED",
        "after": "BLOCKED",
        "tidy": "COMPLETED",
    }, row
    assert (flow.folder / "tidy.txt").exists()
    assert dag_run.state() == "failed"


def test_a_dag_that_is_not_there_is_paused_or_old_is_told(flow: Flow, airflow: AirflowServer) -> None:
    """B: exit 2 if nothing was started, and what to type; a DAG of other steps fails in its first task."""
    flow.steps("one: Shell", "absent.yaml")
    absent = flow.lute("run", "absent.yaml", "--on", "airflow")
    assert absent.code == 2, absent
    assert "lute airflow export" in absent.err
    wrong = flow.lute("run", "absent.yaml", "--on", "airflow", env={"LUTE_AIRFLOW_PASSWORD": "wrong"})
    assert wrong.code == 2, wrong
    assert "401" in wrong.err
    file = exported(flow, airflow, "one: Shell", "changes")
    flow.steps("one: Shell\ntwo: { task: Shell, needs: [one] }", file)
    changed = flow.lute("run", file, "--on", "airflow", timeout=60)
    assert changed.code == 2, changed
    assert "two" in changed.err
    assert "lute airflow export" in changed.err
    begun = flow.lute("run", file, "--on", "airflow", "--no-wait", "--json")
    assert begun.code == 0, begun
    api = Airflow(airflow.environment)
    assert api.ask("GET", f"/dags/changes/dagRuns/{begun.json['dag_run_id']}")["state"] in (
        "queued",
        "running",
        "failed",
    )
    api.ask("PATCH", "/dags/changes", {"is_paused": True})
    paused = flow.lute("run", file, "--on", "airflow")
    assert paused.code == 2, paused
    assert "airflow dags unpause changes" in paused.err


@pytest.fixture
def without_scheduler() -> Iterator[AirflowServer]:
    """An Airflow with a database alone: a scheduler would take a run of `dags test` for its own."""
    server = AirflowServer()
    assert server.airflow("db", "migrate").code == 0
    yield server
    server.close()


@pytest.mark.slow
@needs_demo
def test_the_demo_runs_under_the_scheduler(project: Project, airflow: AirflowServer) -> None:
    """Issue 7: the exported demo DAG, once through the REST API with the scheduler."""
    project.env |= airflow.environment | demo_environment(airflow.folder / "demo")
    assert airflow.export(project, *DEMO, "--connection", "lute_demo") == "thpp"
    known(airflow, "thpp")
    done = project.lute("workflow", "run", *DEMO, "--on", "airflow", "--json", "-q", timeout=200)
    assert done.code == 0, done
    assert {step["name"]: step["status"] for step in done.json["steps"]} == dict.fromkeys(STEPS, "COMPLETED"), done


@pytest.mark.slow
@needs_demo
def test_the_demo_runs_by_dags_test(project: Project, without_scheduler: AirflowServer) -> None:
    """B3: the example with real programs, in Airflow; `lute` and they live in another Python than it."""
    airflow = without_scheduler
    airflow.connect("lute_demo", [demo_python(), "-m", "lute"], demo_environment(project.folder))
    assert airflow.export(project, *DEMO, "--connection", "lute_demo") == "thpp"
    done = airflow.airflow("dags", "test", "thpp", timeout=150)
    assert done.code == 0, done
    row = project.lute("workflow", "status", "last", "--db", "lute.db", "--json").json
    assert {step["name"]: step["status"] for step in row["steps"]} == dict.fromkeys(STEPS, "COMPLETED"), row
