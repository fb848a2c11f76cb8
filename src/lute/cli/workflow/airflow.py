"""`lute workflow run --on airflow`: begins a run of the exported DAG, waits for it, and shows its steps as they end."""

from __future__ import annotations

import argparse
import contextlib
import signal
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from lute.cli import common
from lute.cli.workflow.end import exit_code, print_end
from lute.errors import UsageError
from lute.graph.dag import Workflow
from lute.workflows.engines.airflow import END, START, dag_id_of
from lute.workflows.engines.airflow_rest import AirflowEngine, DagRun, DagRunConf, TaskInstance

if TYPE_CHECKING:
    from lute.record.types import BegunRun

STATES = {"success": "COMPLETED", "failed": "FAILED", "skipped": "SKIPPED", "upstream_failed": "BLOCKED"}
"""Airflow's words for the ends of a task, and ours."""
NOT_THERE = ("set", "resume", "start", "only", "jobs", "fail_fast", "dry_run", "reuse_all", "db", "pack", "slurm")
"""Options that a DAG run cannot be given."""


def run(options: argparse.Namespace, workflow: Workflow) -> int:
    """Runs a workflow in Airflow. Returns the exit code.

    Args:
        options: The command's options.
        workflow: The workflow.

    Raises:
        UsageError: It cannot be run there as asked.
        AirflowError: Airflow did not answer; nothing was started.
    """
    _check(options)
    waiting = _Waiting(workflow, options)
    engine = AirflowEngine(dag_id_of(workflow.name), _conf(options), waiting.changed, waiting.no_answer)
    engine.submit()
    dag_run = engine.dag_run
    if not options.quiet:
        common.tell(f"DAG run {dag_run.identity}: {dag_run.page}")
    if options.no_wait:
        _print_begun(options, dag_run)
        return 0
    return waiting.to_the_end(engine)


def _conf(options: argparse.Namespace) -> DagRunConf:
    conf: DagRunConf = {}
    if options.experiment is not None:
        conf["experiment"] = options.experiment
    if options.run is not None:
        conf["run"] = options.run
    if options.fresh:
        conf["fresh"] = True
    return conf


def _check(options: argparse.Namespace) -> None:
    names = {"start": "from", "fail_fast": "fail-fast", "dry_run": "dry-run", "reuse_all": "reuse-all"}
    given = [f"--{names.get(name, name)}" for name in NOT_THERE if getattr(options, name, None)]
    if given:
        raise UsageError(
            f"not with --on airflow: {', '.join(given)}. A run of the DAG can have -e, -r and --fresh; the rest"
            " is in the YAML file and in what `lute airflow export` was given"
        )


def _print_begun(options: argparse.Namespace, dag_run: DagRun) -> None:
    if options.json:
        common.print_json({"dag_id": dag_run.dag_id, "dag_run_id": dag_run.identity, "page": dag_run.page})
    else:
        print(dag_run.identity)


class _Waiting:
    """Tells how a DAG run goes on, and at its end what came of it.

    Args:
        workflow: The workflow.
        options: The command's options.
    """

    def __init__(self, workflow: Workflow, options: argparse.Namespace) -> None:
        self._steps, self._options = workflow.steps, options
        self._begun = time.monotonic()
        self._seen: dict[str, str] = {}
        self._stopped_by = 0

    def to_the_end(self, engine: AirflowEngine) -> int:
        """Waits to the end. Returns the exit code."""
        self._begun = time.monotonic()
        with self._signals(engine):
            engine.wait()
        return self._verdict(engine.dag_run)

    def no_answer(self, error: str) -> None:
        """Airflow did not answer; it is asked again."""
        self._say(f"still waiting: {error}")

    def changed(self, task: TaskInstance) -> None:
        """Shows a step's task if its state is another than before."""
        name, state = task["task_id"], task["state"] or ""
        if name not in self._steps or self._seen.get(name) == state:
            return
        self._seen[name] = state
        if state == "running":
            self._say(f"{name} starts")
        elif state in STATES:
            self._say(f"{name} {STATES[state]} {common.seconds(task['duration']) if task['duration'] else ''}".rstrip())

    def _say(self, text: str) -> None:
        if not self._options.quiet:
            common.tell(f"[{time.monotonic() - self._begun:8.2f} s] {text}")

    def _verdict(self, dag_run: DagRun) -> int:
        row = dag_run.given(END)
        if row is not None:
            with common.unread_output():
                print_end(self._options, row)
        elif not self._stopped_by:
            begun: BegunRun | None = dag_run.given(START)
            self._tell_why_not(begun or {}, dag_run.page)
        if self._stopped_by:
            return 128 + self._stopped_by
        return 1 if row is None else exit_code(row)

    def _tell_why_not(self, begun: BegunRun, page: str) -> None:
        """Says why the last task did not tell how the workflow run ended.

        Raises:
            UsageError: Nothing was started.
        """
        if "id" not in begun:
            told = begun.get("error", f"see the log of {START} at {page}")
            raise UsageError(f"the workflow run did not begin: {told}")
        common.tell(f"lute: it is not known how workflow run {begun['id']} ended: see {page}")

    # ------------------------------------------------------------------------------------ cancelling

    @contextlib.contextmanager
    def _signals(self, engine: AirflowEngine) -> Iterator[None]:
        """Ctrl-C and SIGTERM stop the DAG run; a second one leaves it to Airflow."""
        numbers = (signal.SIGINT, signal.SIGTERM)

        def on_signal(number: int, _: Any) -> None:
            if self._stopped_by:
                raise KeyboardInterrupt
            self._stopped_by = number
            engine.cancel(signal.Signals(number).name)

        before = {number: signal.signal(number, on_signal) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
