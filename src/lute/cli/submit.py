"""`lute submit`: runs one managed Task as a Slurm job."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from lute import facility
from lute.base.files import make_folder
from lute.base.signals import stop_on_signals
from lute.batch.jobs import Options
from lute.batch.scheduler import LOOK, STOP_SIGNALS, scheduler
from lute.cli import common
from lute.cli import run as cli_run
from lute.errors import SchedulerError, UsageError
from lute.execution import waiting_run
from lute.execution.plan import Plan
from lute.execution.recorder import RunContext
from lute.execution.run import SUBMITTED
from lute.record.db import Record, record_of
from lute.record.rows import RunFiles, new_run_id, public
from lute.record.schema import is_live

if TYPE_CHECKING:
    from lute.record.types import RunRow

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.usage = "lute submit NAME -c FILE [options] [options of sbatch]"
    parser.add_argument("name", metavar="NAME", help="a managed Task, or a Task, which then runs under `Executor`")
    common.add_set(parser)
    common.add_ranks(parser)
    parser.add_argument("--dry-run", action="store_true", help="print the job's script; submit nothing")
    parser.add_argument("--wait", action="store_true", help="wait for the end, and show the log meanwhile")
    common.add_options(parser, config_required=True)
    parser.set_defaults(takes_others=True)
    parser.epilog = (
        "All other options are those of sbatch: --partition=main --ntasks=4 --time=10. Where a letter means something\n"
        "to lute (-c -e -r -p -s -v -q), write sbatch's long name. They replace the same ones of the facility.\n\n"
        "exit status: 0 submitted, 2 it was not; with --wait: as of lute run"
    )


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    path = common.config_path(options)
    common.open_config(options)
    executor, managed_task = cli_run.find(options.name)
    identity = new_run_id()
    plan = executor.plan(path, common.overrides(options), identity=identity)
    files = waiting_run.files_of(plan, identity)
    asked = job_options(plan, files, options.others)
    text = scheduler().script(asked, _command(options, str(path)), {SUBMITTED: identity})
    if options.dry_run:
        return _show(options, text)
    make_folder(files.folder)
    try:
        job = scheduler().submit(text, _environment(options))
    except BaseException:
        files.folder.rmdir()
        raise
    with record_of(plan.params.lute_config) as record:
        try:
            row = waiting_run.waiting_row(executor, plan, RunContext(managed_task, identity=identity), job)
            record.add(row)
        except BaseException:  # Ctrl-C, or a record that cannot be written: nobody would know of the job
            scheduler().cancel([job])
            raise
        if options.wait:
            return _wait(options, record, row, job)
    if options.json:
        common.print_json(public(row) | {"job": job})
    else:
        print(f"{options.name} submitted as {scheduler().NAME} job {job} (run {identity})")
        print(f"  log      {files.log}")
    return 0


def job_options(plan: Plan, files: RunFiles, words: list[str]) -> Options:
    """Returns the options of a run's job: the facility's, those given instead, and what it needs to end by itself.

    Raises:
        UsageError: A word is no option, or the Task may take longer than the job.
    """
    header = plan.params.lute_config
    grace = header.clean_up_grace + header.terminate_grace
    batch = scheduler()
    usual = {"job-name": plan.task, "output": str(files.batch), "open-mode": "append", **batch.warning(grace)}
    if plan.settings.ranks is not None and plan.settings.ranks.told:
        usual["ntasks"] = str(plan.settings.ranks.number)
    site = facility.current().job_options(header.experiment, header.run)
    asked = batch.merged(usual, site, batch.read_options(words))
    limit, wanted = batch.seconds_of(asked.get("time")), waiting_run.time_limit(header, plan.task)
    if limit is not None and wanted is not None and wanted > limit:
        raise UsageError(
            f"{plan.task} may take {wanted:g} s (task_timeout), but its job only {limit:g} s (--time={asked['time']}):"
            " give the job more time, or the Task less"
        )
    return asked


def _command(options: argparse.Namespace, path: str) -> list[str]:
    """Returns `lute run` as the job runs it: with the same options, paths made absolute."""
    command = [sys.executable, "-m", "lute", "run", options.name, "-q", "--config", os.path.abspath(path)]
    for name, value in (("--experiment", options.experiment), ("--run", options.run)):
        command += [name, value] if value is not None else []
    for plugin in options.plugin:
        command += ["--plugin", os.path.abspath(plugin) if plugin.endswith(".py") else plugin]
    command += ["--ranks", str(options.ranks)] if options.ranks is not None else []
    for setting in options.set or []:
        command += ["--set", setting]
    if options.db and "://" not in options.db:
        command += ["--db", os.path.abspath(options.db)]
    return command


def _environment(options: argparse.Namespace) -> dict[str, str]:
    """Returns the environment that the job starts from; a database's URL may hold a password, so it is in no script."""
    return {**os.environ, **({"LUTE_DATABASE": options.db} if options.db and "://" in options.db else {})}


def _show(options: argparse.Namespace, text: str) -> int:
    if options.json:
        common.print_json({"script": text})
    else:
        print(text, end="")
    return 0


# ---------------------------------------------------------------------------------------------- waiting


def _wait(options: argparse.Namespace, record: Record, row: RunRow, job: str) -> int:
    """Waits for the end of a run, and copies its log meanwhile. Returns the exit code that `lute run` has for it."""
    if not options.quiet:
        print(f"lute: {scheduler().NAME} job {job} (run {row['id']})", file=sys.stderr)
    copier = None if options.quiet else cli_run.LogCopier(cli_run.screen_for(options, options.name))
    stops: list[str] = []
    with stop_on_signals(STOP_SIGNALS, stops.append):
        row = _until_ended(record, row, job, copier, stops)
    if copier is not None:
        copier.finish()
    with common.unread_output():
        _tell(options, row)
    return cli_run.CTRL_C if "Ctrl-C" in stops and row["status"] == "CANCELLED" else cli_run.exit_code(row)


def _until_ended(record: Record, row: RunRow, job: str, copier: cli_run.LogCopier | None, stops: list[str]) -> RunRow:
    """Waits for the end of a run and of its job: one whose node failed may be started again. Returns its row.

    Args:
        record: Where it is recorded.
        row: The run.
        job: Its job, which is cancelled when `stops` has grown.
        copier: Copies its log.
        stops: Who asked for an end.
    """
    asked = 0
    while is_live(row) or not _has_ended(job):
        if len(stops) > asked:
            asked = len(stops)
            scheduler().cancel([job])
        time.sleep(LOOK)
        record.refresh()
        row = record.get(row["id"])
        if copier is not None and not copier.started and row["status"] != "PENDING" and os.path.isfile(row["log"]):
            copier.start(row)
    return row


def _has_ended(job: str) -> bool:
    try:
        return scheduler().jobs([job])[job].ended
    except SchedulerError as error:  # it is being restarted, say
        logger.info("whether job %s has ended is not known: %s", job, error)
        return False


def _tell(options: argparse.Namespace, row: RunRow) -> None:
    if options.json:
        common.print_json(public(row))
    else:
        cli_run.print_result(row)
    if row["status"] == "COMPLETED":
        return
    text = f"{options.name} (run {row['id']}) {row['status']}: {row['reason']}"
    cli_run.tell_failure(text, row, shown=not options.quiet)
    said = RunFiles(Path(row["log"]).parent).batch
    if not os.path.isfile(row["log"]) and said.is_file():  # nothing was started: the job itself says why
        print(said.read_text(errors="backslashreplace"), end="", file=sys.stderr)
