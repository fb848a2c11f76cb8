"""`lute airflow`: workflows for Airflow."""

from __future__ import annotations

import argparse
import os
import sys
from typing import TYPE_CHECKING

from lute.cli import common
from lute.cli.workflow.options import add_file, open_workflow
from lute.errors import UsageError

if TYPE_CHECKING:
    from lute.graph.dag import Workflow
    from lute.workflows.engines.airflow import Export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own commands."""
    common.add_actions(parser, ACTIONS)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    return int(options.function(options))


def _add_export(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    text = "where the steps run: `local`, on the machine where Airflow runs the task, or `slurm`; local if not given"
    parser.add_argument("--on", choices=("local", "slurm"), default="local", help=text)
    text = "the Airflow connection that says how lute is started; lute_default if not given"
    parser.add_argument("--connection", metavar="ID", default="lute_default", help=text)
    common.add_options(parser, config_required=True)
    parser.epilog = "the file goes into Airflow's folder of DAGs: lute airflow export flow.yaml -c c.yaml > flow.py"


def _export(options: argparse.Namespace) -> int:
    from lute.workflows.engines.airflow import as_dag, dag_id_of

    found, _ = open_workflow(options)
    text = as_dag(found, _export_of(options, found))
    if options.json:
        common.print_json({"dag_id": dag_id_of(found.name), "text": text})
    else:
        print(text, end="")
    if found.limits:
        print("lute: `limits` count within a step alone in Airflow; use one of its pools beside", file=sys.stderr)
    return 0


def _export_of(options: argparse.Namespace, found: Workflow) -> Export:
    from lute.workflows.engines.airflow import Export

    return Export(
        workflow=os.path.abspath(found.path) if found.path else options.workflow,
        config=os.path.abspath(common.config_path(options) or ""),
        plugins=tuple(os.path.abspath(one) if one.endswith(".py") else one for one in options.plugin),
        on=options.on,
        db=_db(options.db),
        connection=options.connection,
        experiment=options.experiment,
        run=options.run,
    )


def _db(given: str | None) -> str | None:
    from lute.base.secrets import passwords_in

    if given is None or "://" not in given:
        return given and os.path.abspath(given)
    if passwords_in(given):
        raise UsageError(
            "--db: a password must not stand in a DAG file: leave it out, and give Airflow's workers PGPASSWORD,"
            " PGPASSFILE or LUTE_DATABASE"
        )
    return given


ACTIONS = {"export": ("write a workflow as a DAG file for Airflow", _add_export, _export)}
"""What it does, how its arguments are added and how it is done, by the action's name."""
