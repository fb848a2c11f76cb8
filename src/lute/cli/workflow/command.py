"""`lute workflow`: Tasks that need each other, run in order and side by side."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any

from lute.cli import common
from lute.cli.workflow import remote
from lute.cli.workflow.end import exit_code, print_end, print_report, print_steps, public
from lute.cli.workflow.options import add_choice, add_file, add_jobs, add_settings, from_one, open_workflow, options_of
from lute.errors import UsageError

if TYPE_CHECKING:
    from lute.record.types import WorkflowRow
    from lute.workflows.prepared import PreparedWorkflow
    from lute.workflows.runner import WorkflowRun

ENGINES = ("local", "slurm", "airflow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own commands."""
    common.add_actions(parser, ACTIONS)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    return int(options.function(options))


# ------------------------------------------------------------------------------------------------ run


def _add_run(parser: argparse.ArgumentParser) -> None:
    add_file(parser, nargs="?")
    add_jobs(parser)
    parser.add_argument("--on", choices=ENGINES, default="local", help="where the steps run; local if not given")
    text = "with --on slurm or airflow: return when all is submitted"
    parser.add_argument("--no-wait", action="store_true", help=text)
    parser.add_argument("--pack", action="store_true", help="with --on slurm: run all steps in one job")
    text = "with --on slurm: options of sbatch for every step that does not say otherwise, such as '--time=10'"
    parser.add_argument("--slurm", metavar="OPTIONS", default="", help=text)
    parser.add_argument("--resume", metavar="ID", help="go on with a workflow run: what completed is not run again")
    parser.add_argument("--fail-fast", action="store_true", help="stop everything at the first failure")
    parser.add_argument("--dry-run", action="store_true", help="tell of each step whether it would run, and why")
    add_choice(parser)
    add_settings(parser)
    parser.epilog = (
        "exit status: 0 every step that should run completed, 1 one did not, 2 nothing was started,\n"
        "             130 cancelled by Ctrl-C, 143 cancelled otherwise"
    )


def _run(options: argparse.Namespace) -> int:
    from lute.cli.workflow.view import viewer_for
    from lute.record import workflow_store
    from lute.workflows import runner

    folder: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if options.on == "local" and (options.no_wait or options.pack or options.slurm):
        raise UsageError("--no-wait, --pack and --slurm are for --on slurm")
    if options.on == "airflow":
        from lute.cli.workflow import airflow

        return airflow.run(options, open_workflow(options)[0])
    if options.resume:
        if options.workflow:
            raise UsageError("give either a workflow or --resume ID, which knows its workflow")
        options.config_required = False
        with common.open_record(options) as record:
            remote.mark_lost(record)
            settings = common.overrides(options).settings
            folder = runner.in_its_folder(workflow_store.get(record, options.resume))
            config = os.path.abspath(options.config) if options.config else ""
            with folder:
                viewer = viewer_for(options)
                chosen = options_of(options)
                workflow_run = runner.resumed(record, options.resume, chosen, viewer, settings, config)
    else:
        workflow, config = open_workflow(options)
        if options.dry_run and options.on == "local":
            return _dry_run(options, _prepared(options, workflow, config))
        workflow_run = runner.WorkflowRun(
            workflow, config, common.overrides(options), options_of(options), viewer_for(options)
        )
    if options.on == "slurm":
        return remote.run_on_slurm(options, workflow_run)
    return _executed(options, workflow_run, folder)


def _executed(
    options: argparse.Namespace, workflow_run: WorkflowRun, folder: contextlib.AbstractContextManager[None]
) -> int:
    with folder, contextlib.redirect_stdout(sys.stderr):  # what a hook prints is no result
        row = workflow_run.execute()
    with common.unread_output():
        print_end(options, row)
    return exit_code(row)


def _prepared(options: argparse.Namespace, workflow: Any, config: Any) -> PreparedWorkflow:
    from lute.record.db import record_of
    from lute.workflows.prepared import PreparedWorkflow

    record = record_of(config.analysis_header()[0])
    return PreparedWorkflow(workflow, config, common.overrides(options), options_of(options), record)


# ------------------------------------------------------------------------------- show, dry run, why


def _add_show(parser: argparse.ArgumentParser) -> None:
    add_file(parser)
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--mermaid", action="store_true", help="print it in Mermaid's language")
    form.add_argument("--svg", metavar="FILE", help="write a drawing")
    common.add_options(parser)


def _show(options: argparse.Namespace) -> int:
    from pathlib import Path

    from lute.workflows import draw

    workflow, _ = open_workflow(options)
    if options.svg:
        Path(options.svg).write_text(draw.as_svg(workflow))
        print(options.svg)
    elif options.json:
        common.print_json({"name": workflow.name, "steps": [_described(step) for step in workflow.steps.values()]})
    else:
        print(draw.as_mermaid(workflow) if options.mermaid else draw.as_text(workflow))
    return 0


def _described(step: Any) -> object:
    from dataclasses import asdict

    return asdict(step) | {"rule": step.rule.value}


def _dry_run(options: argparse.Namespace, prepared: PreparedWorkflow) -> int:
    from dataclasses import asdict

    from lute.workflows.preview import forecast

    prepared.check_parameters()
    found = forecast(prepared)
    if options.json:
        common.print_json([asdict(one) for one in found])
        return 0
    words = {True: "runs", False: "does not run", None: "not known yet"}
    common.print_table(("STEP", "", "WHY"), [(one.step, words[one.runs], one.why) for one in found])
    return 0


def _add_why(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP", help="the step")
    add_file(parser)
    add_choice(parser)
    add_settings(parser)


def _why(options: argparse.Namespace) -> int:
    from lute.workflows.preview import forecast

    workflow, config = open_workflow(options)
    step = workflow.find(options.step)
    one = next(one for one in forecast(_prepared(options, workflow, config)) if one.step == step.name)
    words = {True: "would run", False: "would not run", None: "it is not known yet whether it would run"}
    if options.json:
        common.print_json({"step": one.step, "runs": one.runs, "why": one.why})
    else:
        print(f"{one.step} {words[one.runs]}: {one.why}")
    return 0


def _add_accept(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("step", metavar="STEP", help="the step")
    parser.add_argument("file", metavar="FILE", help="the file of its code that was changed")
    add_file(parser)
    add_settings(parser)


def _accept(options: argparse.Namespace) -> int:
    from lute.workflows import accepting

    workflow, config = open_workflow(options)
    step = workflow.find(options.step)
    count = accepting.accept(_prepared(options, workflow, config), step, options.file)
    print(
        f"the change of {options.file} is accepted as harmless to {count} run{'s' * (count != 1)} of step {step.name}"
    )
    return 0


def _add_rerun(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the workflow run's id, the start of it, or `last`")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--failed", action="store_true", help="run only what did not complete, in that workflow run")
    choice.add_argument("--fresh", action="store_true", help="run every step, also if nothing has changed")
    add_settings(parser)
    parser.set_defaults(config_required=False)


def _rerun(options: argparse.Namespace) -> int:
    from lute.cli.workflow.view import viewer_for
    from lute.record import workflow_store
    from lute.workflows import runner
    from lute.workflows.state import Options

    settings = common.overrides(options).settings
    viewer = viewer_for(options)
    with common.open_record(options) as record:
        folder = runner.in_its_folder(workflow_store.get(record, options.id))
        config = os.path.abspath(options.config) if options.config else ""
        with folder:
            if options.failed:
                workflow_run = runner.resumed(record, options.id, Options(), viewer, settings, config)
            else:
                workflow_run = runner.again(record, options.id, options.fresh, viewer, settings)
    return _executed(options, workflow_run, folder)


# ------------------------------------------------------------------------------------- list and status


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", metavar="N", type=from_one, help="at most N workflow runs")
    common.add_options(parser)


def _list(options: argparse.Namespace) -> int:
    from lute.record import workflow_store

    with common.open_record(options) as record:
        remote.mark_lost(record)
        rows = workflow_store.find(record, options.limit)
    if options.json:
        common.print_json([public(row) for row in rows])
        return 0
    cells = [
        (
            row["id"],
            common.when(row["started"]),
            row["name"],
            row["status"],
            common.seconds(row["wall_s"]),
            _counts(row),
        )
        for row in rows
    ]
    if cells:
        common.print_table(("ID", "STARTED", "WORKFLOW", "STATUS", "TIME", "STEPS"), cells)
    else:
        print("no workflow run is recorded", file=sys.stderr)
    return 0


def _counts(row: WorkflowRow) -> str:
    statuses = [step["status"] for step in row["steps"]]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", default="last", help="the workflow run; the last if not given")
    common.add_options(parser)


def _status(options: argparse.Namespace) -> int:
    from lute.record import workflow_store

    with common.open_record(options) as record:
        remote.mark_lost(record)
        row = workflow_store.get(record, options.id)
    if options.json:
        common.print_json(public(row))
        return 0
    print_steps(row)
    common.print_text(
        f"\n{row['name']} {row['status']} (workflow run {row['id']}){': ' + row['reason'] if row['reason'] else ''}"
    )
    print_report(row)
    return 0


ACTIONS = {
    "run": ("run a workflow", _add_run, _run),
    "rerun": ("run a workflow again as it was run before", _add_rerun, _rerun),
    "show": ("show the steps of a workflow and what each needs", _add_show, _show),
    "why": ("tell whether a step would run, and what changed", _add_why, _why),
    "accept": ("say that a change of a step's code is harmless", _add_accept, _accept),
    "list": ("list workflow runs, newest first", _add_list, _list),
    "status": ("show a workflow run and its steps", _add_status, _status),
    "start": ("record a workflow run whose steps others run", remote.add_start, remote.start),
    "step": ("run one step of a workflow run", remote.add_step, remote.step),
}
"""What it does, how its arguments are added and how it is done, by the action's name."""
