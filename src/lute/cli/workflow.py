"""`lute workflow`: Tasks that need each other, run in order and side by side."""

from __future__ import annotations

import argparse
import contextlib
import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lute.cli import _workflow_remote, common
from lute.errors import RecordError, UsageError

if TYPE_CHECKING:
    from lute.workflows.local import Local
    from lute.workflows.nodes import Options
    from lute.workflows.runner import WorkflowRun

CTRL_C = "cancelled by Ctrl-C"
ENGINES = ("local", "slurm", "airflow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's own commands."""
    common.add_actions(parser, ACTIONS)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    return int(options.function(options))


# ------------------------------------------------------------------------------------------------ run


def add_file(parser: argparse.ArgumentParser, **keywords: Any) -> None:
    """Adds the workflow's file or name."""
    text = "a workflow's YAML file, or the name that a plug-in gives one"
    parser.add_argument("workflow", metavar="FILE_OR_NAME", help=text, **keywords)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Adds `-j`."""
    text = "at most N cores in use at once; all if not given"
    parser.add_argument("-j", "--jobs", metavar="N", type=_from_one, help=text)


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


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Adds what chooses the steps that run anew."""
    parser.add_argument("--fresh", action="store_true", help="run every step, also if nothing has changed")
    parser.add_argument("--reuse-all", action="store_true", help="reuse also Tasks that declare no outputs")
    text = "run STEP and what needs it; take what comes before as it last was; may be repeated"
    parser.add_argument("--from", metavar="STEP", dest="start", action="append", default=[], help=text)
    text = "run STEP alone; take what comes before as it last was; may be repeated"
    parser.add_argument("--only", metavar="STEP", action="append", default=[], help=text)


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds `--set` and the common options."""
    common.add_set(parser)
    common.add_options(parser, config_required=True)


def _from_one(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def options_of(options: argparse.Namespace) -> Options:
    """Returns how a workflow is run, by the command's options; what the command has not is as usual."""
    from lute.workflows.nodes import Options

    return Options(
        jobs=getattr(options, "jobs", None),
        fail_fast=getattr(options, "fail_fast", False),
        fresh=getattr(options, "fresh", False),
        reuse_all=getattr(options, "reuse_all", False),
        start=tuple(getattr(options, "start", ())),
        only=tuple(getattr(options, "only", ())),
    )


def _run(options: argparse.Namespace) -> int:
    from lute.cli._workflow_view import viewer_for
    from lute.workflows import runner

    if options.on == "local" and (options.no_wait or options.pack or options.slurm):
        raise UsageError("--no-wait, --pack and --slurm are for --on slurm")
    if options.on == "airflow":
        from lute.cli import _workflow_airflow

        return _workflow_airflow.run(options, load(options)[0])
    if options.resume:
        if options.workflow:
            raise UsageError("give either a workflow or --resume ID, which knows its workflow")
        options.config_required = False
        with common.open_record(options) as record:
            _workflow_remote.mark_lost(record)
            workflow_run = runner.resumed(record, options.resume, options_of(options), viewer_for(options))
    else:
        workflow, config = load(options)
        if options.dry_run and options.on == "local":
            return _dry_run(options, _local(options, workflow, config))
        workflow_run = runner.WorkflowRun(
            workflow, config, common.overrides(options), options_of(options), viewer_for(options)
        )
    if options.on == "slurm":
        return _workflow_remote.run_on_slurm(options, workflow_run, print_end)
    return _executed(options, workflow_run)


def _executed(options: argparse.Namespace, workflow_run: WorkflowRun) -> int:
    with contextlib.redirect_stdout(sys.stderr):  # what a hook prints is no result
        row = workflow_run.execute()
    with common.unread_output():
        print_end(options, row)
    return exit_code(row)


def load(options: argparse.Namespace) -> tuple[Any, Any]:
    """Returns the workflow and the YAML file, checked as far as can be done before anything runs."""
    from lute.workflows import definition

    config = common.open_config(options)
    if not options.workflow:
        raise UsageError("which workflow? Give its YAML file or name. To write one that works: lute init")
    workflow = definition.load(options.workflow)
    for name in [*getattr(options, "start", []), *getattr(options, "only", [])]:
        workflow.find(name)
    return workflow, config


def _local(options: argparse.Namespace, workflow: Any, config: Any) -> Local:
    from lute.io.db import record_of
    from lute.workflows.local import Local

    record = record_of(config.analysis_header()[0])
    return Local(workflow, "", config, common.overrides(options), options_of(options), record)


def exit_code(row: Mapping[str, Any]) -> int:
    """Returns the exit code that stands for how a workflow run ended."""
    if row["status"] == "CANCELLED":
        return 130 if row["reason"] == CTRL_C else 143
    return 0 if row["status"] == "COMPLETED" else 1


def print_end(options: argparse.Namespace, row: Mapping[str, Any]) -> None:
    """Prints how a workflow run ended: a table of its steps, and the one error that matters."""
    if options.json:
        common.print_json(public(row))
        return
    _print_steps(row)
    told = f": {row['reason']}" if row["reason"] else ""
    print(f"\n{row['name']} {row['status']} in {common.seconds(row['wall_s'])} (workflow run {row['id']}){told}")
    _print_report(row)
    worst = next((step for step in row["steps"] if step["status"] in ("FAILED", "TIMEDOUT")), None)
    if worst is not None:
        _tell_worst(options, worst)
    if row["status"] != "COMPLETED":
        print(f"To go on: {_resume_command(options, row)}", file=sys.stderr)


def _print_report(row: Mapping[str, Any]) -> None:
    from lute.workflows import page

    report = page.path_of(row)
    if report:
        print(f"  report   file://{report}")


def _resume_command(options: argparse.Namespace, row: Mapping[str, Any]) -> str:
    where = ["-c", options.config] if options.config else ["--db", options.db] if options.db else []
    return shlex.join(["lute", "workflow", "run", "--resume", row["id"], *where])


def public(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a workflow run as `--json` prints it."""
    from lute.workflows import page

    return page.public(row)


def _print_steps(row: Mapping[str, Any]) -> None:
    cells = [
        (
            step["name"],
            step["task"],
            step["status"] + (" (reused)" if step["reused"] else ""),
            common.between(step["started"], step["ended"]),
            step["id"] or "",
            "" if step["status"] == "COMPLETED" and not step["reused"] else step["reason"],
        )
        for step in row["steps"]
    ]
    common.print_table(("STEP", "TASK", "STATUS", "TIME", "RUN", "REASON"), cells)


def _tell_worst(options: argparse.Namespace, step: Mapping[str, Any]) -> None:
    print(f"step {step['name']} {step['status']}: {step['reason']}", file=sys.stderr)
    if not step["id"]:
        return
    try:
        with common.open_record(options, up_to_date=False) as record:
            run = record.get(step["id"])
    except RecordError as error:  # the steps may have run where another record is used
        print(f"Its log is not known here: {error}", file=sys.stderr)
        return
    if run["log_tail"]:
        print("Its log ends:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in run["log_tail"].splitlines()), file=sys.stderr)
    print(f"Log: {run['log']}", file=sys.stderr)


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

    workflow, _ = load(options)
    if options.svg:
        Path(options.svg).write_text(draw.as_svg(workflow))
        print(options.svg)
    elif options.json:
        common.print_json({"name": workflow.name, "steps": [_described(step) for step in workflow.steps.values()]})
    else:
        print(draw.as_mermaid(workflow) if options.mermaid else draw.as_text(workflow))
    return 0


def _described(step: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(step) | {"rule": step.rule.value}


def _dry_run(options: argparse.Namespace, local: Local) -> int:
    from dataclasses import asdict

    from lute.workflows.preview import forecast

    local.check_parameters()
    found = forecast(local)
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

    workflow, config = load(options)
    step = workflow.find(options.step)
    one = next(one for one in forecast(_local(options, workflow, config)) if one.step == step.name)
    words = {True: "would run", False: "would not run", None: "it is not known yet whether it would run"}
    if options.json:
        common.print_json({"step": one.step, "runs": one.runs, "why": one.why})
    else:
        print(f"{one.step} {words[one.runs]}: {one.why}")
    return 0


def _add_rerun(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", help="the workflow run's id, the start of it, or `last`")
    choice = parser.add_mutually_exclusive_group()
    choice.add_argument("--failed", action="store_true", help="run only what did not complete, in that workflow run")
    choice.add_argument("--fresh", action="store_true", help="run every step, also if nothing has changed")
    add_settings(parser)
    parser.set_defaults(config_required=False)


def _rerun(options: argparse.Namespace) -> int:
    from lute.cli._workflow_view import viewer_for
    from lute.workflows import runner
    from lute.workflows.nodes import Options

    settings = common.overrides(options).settings
    viewer = viewer_for(options)
    with common.open_record(options) as record:
        if options.failed:
            workflow_run = runner.resumed(record, options.id, Options(), viewer, settings)
        else:
            workflow_run = runner.again(record, options.id, options.fresh, viewer, settings)
    return _executed(options, workflow_run)


# ------------------------------------------------------------------------------------- list and status


def _add_list(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-n", "--limit", metavar="N", type=_from_one, help="at most N workflow runs")
    common.add_options(parser)


def _list(options: argparse.Namespace) -> int:
    from lute.io import workflow_record

    with common.open_record(options) as record:
        _workflow_remote.mark_lost(record)
        rows = workflow_record.find(record, options.limit)
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


def _counts(row: Mapping[str, Any]) -> str:
    statuses = [step["status"] for step in row["steps"]]
    return ", ".join(f"{statuses.count(status)} {status}" for status in dict.fromkeys(statuses))


def _add_status(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", metavar="ID", nargs="?", default="last", help="the workflow run; the last if not given")
    common.add_options(parser)


def _status(options: argparse.Namespace) -> int:
    from lute.io import workflow_record

    with common.open_record(options) as record:
        _workflow_remote.mark_lost(record)
        row = workflow_record.get(record, options.id)
    if options.json:
        common.print_json(public(row))
        return 0
    _print_steps(row)
    print(f"\n{row['name']} {row['status']} (workflow run {row['id']}){': ' + row['reason'] if row['reason'] else ''}")
    _print_report(row)
    return 0


ACTIONS = {
    "run": ("run a workflow", _add_run, _run),
    "rerun": ("run a workflow again as it was run before", _add_rerun, _rerun),
    "show": ("show the steps of a workflow and what each needs", _add_show, _show),
    "why": ("tell whether a step would run, and what changed", _add_why, _why),
    "list": ("list workflow runs, newest first", _add_list, _list),
    "status": ("show a workflow run and its steps", _add_status, _status),
    "start": ("record a workflow run whose steps others run", _workflow_remote.add_start, _workflow_remote.start),
    "step": ("run one step of a workflow run", _workflow_remote.add_step, _workflow_remote.step),
}
"""What it does, how its arguments are added and how it is done, by the action's name."""
