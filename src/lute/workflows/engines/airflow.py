"""A workflow as a DAG file for Airflow: a pure function. Nothing here needs Airflow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lute.errors import WorkflowError
from lute.graph.dag import Rule, Step, Workflow

START, END = "lute.start", "lute.end"
"""The first and the last task. A step's name has no dot, so that none can be called so."""
TRIGGER_RULES = {
    Rule.ALL_SUCCEEDED: "all_success",
    Rule.ANY_SUCCEEDED: "one_success",
    Rule.ALL_DONE: "all_done",
    Rule.ANY_FAILED: "one_failed",
}
"""Airflow's names. `always` is a teardown: that runs also in a DAG run which was marked failed."""
LONGEST = 250
"""A name in Airflow has at most so many characters."""

_HEAD = '''\
"""Made by `lute airflow export`. When the workflow has other steps, make it anew instead of editing it."""

try:
    from airflow.sdk import DAG, Param
except ImportError:  # Airflow 2
    from airflow import DAG
    from airflow.models.param import Param

from lute.airflow import LuteEnd, LuteStart, LuteStep

with DAG(
    dag_id={dag_id},
    schedule=None,
    tags=["lute"],
    params={{
        "experiment": Param({experiment}, type=["null", "string"], description="Instead of the YAML file's"),
        "run": Param({run}, type=["null", "integer", "string"], description="Instead of the YAML file's"),
        "fresh": Param(False, type="boolean", description="Run every step, also if nothing has changed"),
    }},
    default_args={{
        "config": {config},
        "plugins": {plugins},
        "on": {on},
        "db": {db},
        "lute_conn_id": {connection},
        "retries": 0,  # of Airflow; how often a step is tried again is said in the workflow
    }},
):
    start = LuteStart(task_id={start}, workflow={workflow}).as_setup()
    steps = {{
'''


@dataclass(frozen=True)
class Export:
    """What a DAG file has besides the workflow's steps.

    Attributes:
        workflow: Absolute path of the workflow's file, or the name that a plug-in gives it.
        config: Absolute path of the YAML file.
        plugins: Plug-ins to load besides those that the YAML file names, their paths absolute.
        on: Where the steps run: `local`, which is where Airflow runs the task, or `slurm`.
        db: Path or URL of the record, without a password; None: as in the YAML file.
        connection: The Airflow connection that says how `lute` is started.
        experiment: The experiment if a DAG run says none; None: as in the YAML file.
        run: The acquisition run if a DAG run says none; None: as in the YAML file.
    """

    workflow: str
    config: str
    plugins: tuple[str, ...] = ()
    on: str = "local"
    db: str | None = None
    connection: str = "lute_default"
    experiment: str | None = None
    run: str | None = None


def dag_id_of(name: str) -> str:
    """Returns the DAG's id for a workflow's name: Airflow takes letters, digits, `_`, `-` and `.`."""
    return re.sub(r"[^\w.-]", "_", name)[:LONGEST]


def as_dag(workflow: Workflow, export: Export) -> str:
    """Returns the DAG file of a workflow.

    Raises:
        WorkflowError: A step's name is too long for Airflow.
    """
    for name in workflow.steps:
        if len(name) > LONGEST:
            raise WorkflowError(f"step {name!r}: Airflow takes names of at most {LONGEST} characters")
    head = _HEAD.format(
        dag_id=repr(dag_id_of(workflow.name)),
        experiment=repr(export.experiment),
        run=repr(export.run),
        config=repr(export.config),
        plugins=repr(list(export.plugins)),
        on=repr(export.on),
        db=repr(export.db),
        connection=repr(export.connection),
        start=repr(START),
        workflow=repr(export.workflow),
    )
    steps = [f"        {name!r}: {_operator(step)},\n" for name, step in workflow.steps.items()]
    edges = [f"    {_before(step)} >> steps[{name!r}]\n" for name, step in workflow.steps.items()]
    end = (
        f"    end = LuteEnd(task_id={END!r}).as_teardown(setups=start, on_failure_fail_dagrun=True)\n"
        f"    {_listed(_last(workflow))} >> end\n"
    )
    return "".join([head, *steps, "    }\n", *edges, end])


def _operator(step: Step) -> str:
    about = f"task_id={step.name!r}, doc_md={_about(step)!r}"
    if step.rule is Rule.ALWAYS:
        return f"LuteStep({about}).as_teardown(on_failure_fail_dagrun=True)"
    rule = TRIGGER_RULES[step.rule] if step.needs else TRIGGER_RULES[Rule.ALL_SUCCEEDED]
    return f"LuteStep({about}, trigger_rule={rule!r})"


def _about(step: Step) -> str:
    parts = [
        f"Runs {step.task}",
        f"for each of `{step.foreach}`" if step.foreach is not None else "",
        f"if `{step.when}`" if step.when else "",
    ]
    return ", ".join(part for part in parts if part)


def _before(step: Step) -> str:
    return _listed(step.needs) if step.needs else "start"


def _listed(names: Sequence[str]) -> str:
    found = [f"steps[{name!r}]" for name in names]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]"


def _last(workflow: Workflow) -> list[str]:
    """Returns the steps that no other needs."""
    needed = {need for step in workflow.steps.values() for need in step.needs}
    return [name for name in workflow.steps if name not in needed]
