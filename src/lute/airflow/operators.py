"""The tasks of a DAG that runs a workflow: a first one, one for each step, a last one.

`lute` keeps what a step is, waits for, tries again and gave; Airflow decides when each has its turn. Each task is one
`lute` command in a process of its own, so that `lute` may live in another Python than Airflow.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lute.airflow._compat import AirflowException, AirflowFailException, AirflowSkipException, BaseOperator
from lute.airflow.child import Child
from lute.airflow.hook import DEFAULT, LuteHook
from lute.record.rows import id_at
from lute.workflows.engines.airflow import START

if TYPE_CHECKING:
    from lute.record.types import StepEntry, WorkflowRow

LARGEST_RESULT = 48 << 10
"""A result of more bytes as JSON is not handed on through Airflow's database."""
NOT_STARTED, NOTHING_TO_RUN = 2, 99
"""Exit codes of `lute workflow step` besides those that every command has."""
PATIENCE, LOOK = 60.0, 2.0
"""So long a stopped step may take to end, and the time between two looks at that, in s."""


class LuteOperator(BaseOperator):  # type: ignore[misc]
    """What the tasks share: one `lute` command.

    Args:
        config: The YAML file. Commands run in its folder.
        plugins: Plug-ins to load besides those that the YAML file names.
        db: Path or URL of the record, if the YAML file does not say it.
        lute_conn_id: The connection that says how `lute` is started.
    """

    template_fields: Sequence[str] = ("config", "plugins", "db")
    ui_color = "#d5e8d4"

    def __init__(
        self,
        *,
        config: str,
        plugins: Sequence[str] = (),
        db: str | None = None,
        lute_conn_id: str = DEFAULT,
        **keywords: Any,
    ) -> None:
        super().__init__(**keywords)
        self.config, self.plugins, self.db, self.lute_conn_id = config, list(plugins), db, lute_conn_id
        self._child: Child | None = None

    def lute(self, context: Any, *arguments: str) -> tuple[int, Any]:
        """Runs a command to its end. Returns its exit code, and the JSON that it printed; None if it printed none.

        Raises:
            AirflowException: It could not be started, or was killed.
        """
        hook = LuteHook(self.lute_conn_id)
        argv = [*hook.command(), *arguments, "--json", "-c", self.config, *self._common(context["params"])]
        self.log.info("%s", " ".join(argv))
        self._child = Child(argv, hook.environment(), os.path.dirname(self.config) or ".", self._say)
        try:
            code, printed = self._child.run()
        except OSError as error:
            raise AirflowException(f"{argv[0]} cannot be started: {error}") from error
        if code < 0:
            raise AirflowException(f"lute was killed by signal {-code}")
        try:
            return code, json.loads(printed or "null")
        except ValueError as error:
            raise AirflowException(f"{argv[0]} did not print JSON, is it lute? It printed: {printed[:200]}") from error

    def status(self, context: Any, identity: str) -> WorkflowRow:
        """Returns what the record has of a workflow run.

        Raises:
            AirflowException: It cannot be read.
        """
        code, row = self.lute(context, "workflow", "status", identity)
        if code:
            raise AirflowException(_error(row))
        found: WorkflowRow = row
        return found

    def waited_for(self, context: Any, identity: str, so: Callable[[WorkflowRow], bool]) -> WorkflowRow:
        """Returns what the record has of a workflow run, once something is so, or after `PATIENCE`.

        Airflow takes a task that it stops for ended before its command has.
        """
        deadline = time.monotonic() + PATIENCE
        while not so(row := self.status(context, identity)) and time.monotonic() < deadline:
            time.sleep(LOOK)
        return row

    def _common(self, params: Any) -> list[str]:
        given = {"experiment": params.get("experiment"), "run": params.get("run"), "db": self.db}
        options = [f"--{name}={value}" for name, value in given.items() if value is not None]
        return [*options, *(f"--plugin={plugin}" for plugin in self.plugins)]

    def _say(self, line: str) -> None:
        self.log.info("%s", line)

    def on_kill(self) -> None:
        """Stops the command when Airflow ends the task; `execute` goes on until that is done."""
        if self._child is not None:
            self._child.stop()


class LuteStart(LuteOperator):
    """Begins the workflow run in the record; it is the same one if the DAG run is gone on with.

    Args:
        workflow: The workflow's file, or the name that a plug-in gives it.
    """

    template_fields = (*LuteOperator.template_fields, "workflow")

    def __init__(self, *, workflow: str, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.workflow = workflow

    def execute(self, context: Any) -> object:
        """Returns the workflow run's id; if it cannot begin, an `error` is left in its place."""
        try:
            return {"id": self._begun(context)}
        except AirflowException as error:
            context["ti"].xcom_push(key="return_value", value={"error": str(error)})
            raise

    def _begun(self, context: Any) -> str:
        code, shown = self.lute(context, "workflow", "show", self.workflow)
        if code:
            raise AirflowFailException(_error(shown))
        self._check(shown["steps"])
        dag_run = context["dag_run"]
        when = getattr(dag_run, "run_after", None) or dag_run.logical_date
        identity = workflow_run_id(dag_run.dag_id, dag_run.run_id, when.timestamp())
        fresh = ["--fresh"] if context["params"].get("fresh") else []
        code, row = self.lute(context, "workflow", "start", self.workflow, "--id", identity, *fresh)
        if code:
            raise AirflowFailException(_error(row))
        return identity

    def _check(self, steps: list[StepEntry]) -> None:
        """Looks whether the DAG has the steps that the workflow has now.

        Raises:
            AirflowFailException: It has not.
        """
        here = {task.step: task for task in self.dag.tasks if isinstance(task, LuteStep)}
        needs = {step["name"]: set(step["needs"]) for step in steps}
        wrong = sorted(here.keys() ^ needs.keys())
        before = {name: task.get_flat_relative_ids(upstream=True) for name, task in here.items()}
        if wrong := wrong or [name for name in needs if not needs[name] <= before[name]]:
            raise AirflowFailException(
                f"the workflow has other steps now than this DAG, or they need others: {', '.join(wrong)}. Make the DAG"
                " file anew: lute airflow export"
            )


class LuteStep(LuteOperator):
    """Runs one step of the workflow run, with all of its instances and attempts.

    Args:
        on: Where: `local`, which is where Airflow runs this task, or `slurm`, as a job that this task waits for.
        step: The step; the task's id if not given.
    """

    template_fields = (*LuteOperator.template_fields, "on", "step")

    def __init__(self, *, on: str = "local", step: str = "", **keywords: Any) -> None:
        super().__init__(**keywords)
        self.on, self.step = on, step or self.task_id

    def execute(self, context: Any) -> object:
        """Returns what the record has of the step in short: id, status, summary and result."""
        identity = workflow_run_of(context)
        if self.is_teardown:  # it also runs when the DAG run was stopped
            self.waited_for(context, identity, self._may_begin)
        code, row = self.lute(context, "workflow", "step", identity, self.step, "--log", "--on", self.on)
        if code == NOT_STARTED:
            raise AirflowException(_error(row))
        if code == NOTHING_TO_RUN:
            raise AirflowSkipException(f"{row['status']}: {row['reason']}")
        if code:
            raise AirflowFailException(f"step {self.step} {row['status']}: {row['reason']}")
        return self._small(row)

    def _may_begin(self, row: WorkflowRow) -> bool:
        needs = {need for entry in row["steps"] if entry["step"] == self.step for need in entry["needs"]}
        return not any(entry["step"] in needs and entry["status"] == "RUNNING" for entry in row["steps"])

    def _small(self, row: Any) -> object:
        given = {name: row.get(name) for name in ("id", "status", "summary", "result")}
        if len(json.dumps(given)) > LARGEST_RESULT:
            self.log.warning("the result is too large to be handed on by Airflow: lute show %s", given["id"])
            given["result"] = None
        return given


class LuteEnd(LuteOperator):
    """Ends the workflow run: what has not run by now is cancelled. Fails if the workflow run did not complete."""

    def execute(self, context: Any) -> None:
        """Leaves the workflow run as `return_value`, also if it fails."""
        identity = workflow_run_of(context)
        row = self.status(context, identity)
        if row["ended"] is None:  # the DAG run was stopped
            self.lute(context, "cancel", identity, "--reason", "the DAG run was stopped")
            row = self.waited_for(context, identity, lambda row: row["ended"] is not None)
        context["ti"].xcom_push(key="return_value", value=row)
        if row["status"] != "COMPLETED":
            raise AirflowFailException(f"workflow run {identity} {row['status']}: {row['reason']}")


def workflow_run_id(dag_id: str, dag_run_id: str, when: float) -> str:
    """Returns the workflow run's id for a DAG run: always the same, and no other DAG run's.

    Args:
        dag_id: The DAG.
        dag_run_id: The DAG run.
        when: When that was to begin, in s since the epoch.
    """
    digest = hashlib.sha256(f"{dag_id}\n{dag_run_id}".encode()).digest()
    return id_at(when, int.from_bytes(digest[:5], "big"), bits=40)


def workflow_run_of(context: Any) -> str:
    """Returns the id that the first task gave.

    Raises:
        AirflowException: It gave none.
    """
    given = context["ti"].xcom_pull(task_ids=START)
    if not given:
        raise AirflowException(f"the task {START} has begun no workflow run: clear it, so that it runs again")
    return str(given["id"])


def _error(printed: Any) -> str:
    return str(printed["error"]) if isinstance(printed, dict) and "error" in printed else "lute failed: see above"
