"""The part of `lute workflow` that is for steps which run elsewhere: as Slurm jobs or Airflow tasks."""

from __future__ import annotations

import argparse
import contextlib
import re
import sys
import threading
from typing import TYPE_CHECKING

from lute.batch.scheduler import own_job, scheduler
from lute.cli import common
from lute.cli.workflow.end import exit_code, print_end, public
from lute.cli.workflow.options import add_choice, add_file, add_settings, from_one, open_workflow, options_of
from lute.errors import UsageError
from lute.wire.status import StepState

if TYPE_CHECKING:
    from lute.record.db import Record
    from lute.workflows.engines.slurm import SlurmEngine
    from lute.workflows.runner import WorkflowRun
    from lute.workflows.state import Follower

NOTHING_TO_RUN = StepState.SKIPPED.exit_code
"""The exit code of `lute workflow step` where the step was not to run: to Slurm, what needs it must not run either."""
_ONE_AT_A_TIME = threading.Lock()
"""Held by whoever of several instances writes lines."""
IDENTITY = re.compile(r"[A-Za-z0-9][\w.:+-]{0,199}")
"""What `lute workflow start --id` takes: it becomes a folder's name."""


def mark_lost(record: Record) -> None:
    """Makes the workflow runs in the record true."""
    if record.exists():
        from lute.workflows import detached

        detached.mark_lost(record)


def run_on_slurm(options: argparse.Namespace, run: WorkflowRun) -> int:
    """Submits a workflow run to Slurm, and waits for its end unless told not to. Returns the exit code."""
    from lute.workflows.engines.slurm import SlurmEngine

    engine = SlurmEngine(run, scheduler().read_options(options.slurm), options.pack)
    for text in engine.warnings():
        common.tell(f"lute: {text}")
    if options.dry_run:
        return _show_scripts(options, engine)
    if run.viewer:
        run.viewer.started(run.row, run.prepared.nodes)
    try:
        engine.submit()
        if not options.no_wait:
            engine.wait()
    finally:
        if run.viewer:
            run.viewer.ended()
    row = run.row
    if options.no_wait and row["ended"] is None:
        if options.json:
            common.print_json(public(row))
        else:
            print(f"{row['name']} submitted (workflow run {row['id']})")
            print(f"  to see it     lute workflow status {row['id']} --db {run.record}")
            print(f"  to cancel it  lute cancel {row['id']} --db {run.record}")
        return 0
    with common.unread_output():
        print_end(options, row)
    return exit_code(row)


def _show_scripts(options: argparse.Namespace, engine: SlurmEngine) -> int:
    scripts = list(engine.scripts())
    if options.json:
        common.print_json([{"step": name, "script": text} for name, text in scripts])
        return 0
    for name, text in scripts:
        print(f"# ---- {name}\n{text}")
    return 0


# ------------------------------------------------------------------------------------------------ step


def add_step(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `lute workflow step`."""
    parser.add_argument("id", metavar="ID", help="the workflow run's id")
    parser.add_argument("step", metavar="STEP", nargs="?", help="the step")
    parser.add_argument("--all", action="store_true", help="run all steps here, side by side")
    text = "run one instance of the step's `foreach`; $SLURM_ARRAY_TASK_ID if not given"
    parser.add_argument("--index", metavar="NUMBER", type=int, help=text)
    text = "an --index stands for N instances: those from N x --index on"
    parser.add_argument("--slice", metavar="N", type=from_one, default=1, help=text)
    parser.add_argument("--on", choices=("local", "slurm"), default="local", help="run it here, or as a job of its own")
    text = "with --on slurm: options of sbatch, unless the step says otherwise"
    parser.add_argument("--slurm", metavar="OPTIONS", default="", help=text)
    text = "copy the logs of what runs to standard error as they grow"
    parser.add_argument("--log", action="store_true", help=text)
    common.add_options(parser)
    parser.epilog = (
        "exit status: 0 COMPLETED, 1 FAILED, 2 nothing was started, 124 TIMEDOUT, 143 CANCELLED,\n"
        f"             {NOTHING_TO_RUN} it was not to run: SKIPPED or BLOCKED"
    )


def step(options: argparse.Namespace) -> int:
    """Runs one step of a workflow run, or all. Returns the exit code."""
    from lute.cli.workflow.view import Lines
    from lute.workflows import step_job

    if options.on == "slurm" and (options.all or options.index is not None):
        raise UsageError("--on slurm runs one step with all of its instances: leave out --all and --index")
    if options.all == bool(options.step):
        raise UsageError("which step? Give either STEP or --all")
    lines = Lines()
    with common.open_record(options, up_to_date=False) as record:
        with contextlib.redirect_stdout(sys.stderr):  # what a hook prints is no result
            if options.all:
                return exit_code(step_job.run_all(record, options.id, lines))
            if options.on == "slurm":
                state = _step_as_job(options, record)
            else:
                lines.begin()
                follower = _follower if options.log else lambda name: None
                numbers = _numbers(options)
                state = step_job.run_step(record, options.id, options.step, numbers, lines.changed, follower)
        if options.json:
            with common.unread_output():
                common.print_json(step_job.told_of(record, options.id, options.step) | {"status": state.value})
    return state.exit_code


def _step_as_job(options: argparse.Namespace, record: Record) -> StepState:
    from lute.cli.run import LogCopier
    from lute.workflows.engines.slurm import step_as_job

    copier = LogCopier()
    begin = copier.start if options.log else lambda row: None
    try:
        return step_as_job(record, options.id, options.step, scheduler().read_options(options.slurm), begin)
    finally:
        copier.finish()


def _follower(name: str) -> Follower:
    """Returns what copies the log of an instance to standard error, its name before each line if there are several."""
    from lute.cli.run import LogCopier
    from lute.wire.channel import write_fully

    class Labelled(LogCopier):
        rest = b""

        def _write(self, piece: bytes) -> None:
            *whole, self.rest = (self.rest + piece).split(b"\n")
            self._say(whole)

        def finish(self) -> None:
            super().finish()
            self._say([self.rest] if self.rest else [])

        def _say(self, lines: list[bytes]) -> None:
            text = b"".join(b"%s: %s\n" % (name.encode(), line) for line in lines)
            with _ONE_AT_A_TIME:
                write_fully(self._out, text)

    return Labelled() if name.endswith("]") else LogCopier()


def _numbers(options: argparse.Namespace) -> range | None:
    """Returns the numbers of the instances that are to run here; None for all."""
    index, job = options.index, own_job()
    if index is None and job is not None:
        index = job.index
    return range(index * options.slice, (index + 1) * options.slice) if index is not None else None


# ------------------------------------------------------------------------------------------------ start


def add_start(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of `lute workflow start`."""
    add_file(parser)
    parser.add_argument("--id", metavar="ID", help="the workflow run's id; a new one if not given")
    add_choice(parser)
    add_settings(parser)


def start(options: argparse.Namespace) -> int:
    """Records a workflow run whose steps others will run, and prints its id. Returns the exit code."""
    from lute.workflows import detached, runner

    if options.id is not None and not IDENTITY.fullmatch(options.id):
        raise UsageError(f"--id {options.id}: use letters, digits, _ . : + and - only, at most 200")
    definition, config = open_workflow(options)
    overrides, chosen = common.overrides(options), options_of(options)
    run = runner.WorkflowRun(definition, config, overrides, chosen, identity=options.id)
    row = detached.begin_again(run.record, options.id) if options.id else None
    row = row or detached.begin(run, "airflow")
    if options.json:
        common.print_json(public(row))
    else:
        print(row["id"])
    return 0
