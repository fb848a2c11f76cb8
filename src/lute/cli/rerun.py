"""`lute rerun`: runs a recorded run's Task again, with the parameters that it had."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import lute
from lute import plugins
from lute.base.files import make_folder, write_whole
from lute.cli import common
from lute.cli import run as cli_run
from lute.config.config_file import Overrides
from lute.errors import PluginError, UsageError
from lute.execution.code import digest_now
from lute.execution.executor import BaseExecutor
from lute.execution.plan import Plan
from lute.execution.provenance import version_of
from lute.execution.recorder import RunContext
from lute.publish import rerun_yaml
from lute.record import headers
from lute.record.db import FILE_NAME
from lute.record.rows import RERUN_OF, RunFiles, new_run_id, utc
from lute.wire.results import DescribedAnalysis

if TYPE_CHECKING:
    from lute.record.types import FileEntry, RunRow

CONFIG = "config.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`")
    common.add_set(parser)
    common.add_ranks(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be run; start nothing")
    common.add_options(parser)
    parser.epilog = "exit status: as of lute run"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        row = record.get(options.id)
        place = str(record) if "://" not in str(record) else _url(options)
    changes = _changes(options, row, place)
    load_plugins(row)
    with _in_its_folder(row):
        executor, managed_task = cli_run.find(row["managed_task"] or row["task"])
        if options.dry_run:
            with tempfile.TemporaryDirectory() as folder:
                return cli_run.dry_run(_plan(executor, row, Path(folder), changes), options)
        return _run(options, executor, managed_task, row, changes)


def _run(
    options: argparse.Namespace, executor: BaseExecutor, managed_task: str, row: RunRow, changes: Overrides
) -> int:
    identity = new_run_id()
    work_dir = dict(changes.settings).get("work_dir") or headers.header_of(row)["work_dir"]
    folder = RunFiles.of(work_dir, identity).folder
    try:
        plan = _plan(executor, row, folder, changes, identity)
    except BaseException:  # nothing was started, and so nothing is left
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _tell_changes(row, plan)
    sources = {name: run for name, run in (row["sources"] or {}).items() if not _is_set(name, row, changes)}
    place = RunContext(managed_task, identity=identity, sources={**sources, RERUN_OF: row["id"]})

    cli_run.tell_replaced(plan)

    def start(on_start: cli_run.OnStart) -> DescribedAnalysis:
        return executor.execute_plan(plan, place, on_start=on_start)

    return cli_run.watched(options, executor, managed_task or row["task"], start)


def _plan(executor: BaseExecutor, row: RunRow, folder: Path, changes: Overrides, identity: str = "") -> Plan:
    """Writes the run's YAML file into a folder, and returns what it says is to be run."""
    make_folder(folder)
    config = folder / CONFIG
    write_whole(config, rerun_yaml.as_yaml(row).encode())
    templates = Path((row["owner"] or {}).get("config") or CONFIG).parent / "templates"
    if templates.is_dir() and templates.is_absolute():
        (folder / "templates").symlink_to(templates)
    return executor.plan(config, changes, identity=identity)


def _changes(options: argparse.Namespace, row: RunRow, place: str | None) -> Overrides:
    """Returns what the command line changes, and where the record is, whose password is not recorded.

    Raises:
        UsageError: A parameter was a secret, and no other value is given.
    """
    given = common.overrides(options)
    changed = {name for name, _ in given.settings}
    for name in rerun_yaml.hidden(row):
        if f"{row['task']}.{name}" not in changed and name != "lute_config":
            raise UsageError(
                f"{name} of run {row['id']} holds a secret, which is not recorded: give --set {row['task']}.{name}=..."
            )
    settings = [(name, text) for name, text in given.settings if name != "database"]
    usual = os.path.join(headers.header_of(row)["work_dir"], FILE_NAME)
    return given._replace(settings=(*settings, *([("database", place)] if place and place != usual else [])))


def _url(options: argparse.Namespace) -> str | None:
    """Returns the URL of the record that the options mean, with its password."""
    file = common.open_config(options)
    return options.db or (file.analysis_header()[0].database if file else "") or os.environ.get("LUTE_DATABASE")


def load_plugins(row: RunRow) -> None:
    """Loads the plug-ins that a run had.

    Raises:
        PluginError: One is gone, or cannot be loaded; it says which run had it.
    """
    for spec in headers.plugins_of(row):
        try:
            plugins.load(spec)
        except PluginError as error:
            raise PluginError(f"run {row['id']} had a plug-in that cannot be loaded now: {error}") from error


@contextlib.contextmanager
def _in_its_folder(row: RunRow) -> Iterator[None]:
    """Stands where the run was started: its relative paths are from there."""
    folder = (row["owner"] or {}).get("cwd") or os.getcwd()
    if not os.path.isdir(folder):
        print(f"lute: the folder {folder}, where run {row['id']} was started, is gone", file=sys.stderr)
        folder = os.getcwd()
    with contextlib.chdir(folder):
        yield


def _is_set(name: str, row: RunRow, changes: Overrides) -> bool:
    return any(given == f"{row['task']}.{name}" for given, _ in changes.settings)


def _tell_changes(row: RunRow, plan: Plan) -> None:
    """Says on standard error what is not as it was for the recorded run."""
    for text in changed_since(row, plan):
        print(f"lute: since run {row['id']}: {text}", file=sys.stderr)


def changed_since(row: RunRow, plan: Plan) -> list[str]:
    """Returns what is not as it was for a recorded run: code, input files, versions."""
    known = [file for file in row["code"] or [] if file["digest"]]
    code = [file["path"] for file in known if digest_now(file["path"], loaded=True) != file["digest"]]
    inputs = [file["path"] for file in row["inputs"] or [] if not _is_as_it_was(file)]
    found = [f"the code in {path} has changed" for path in code]
    return [*found, *(f"the input {path} has changed" for path in inputs), *_changed_versions(row, plan)]


def _changed_versions(row: RunRow, plan: Plan) -> list[str]:
    now = {"lute": lute.__version__, "python": ".".join(str(part) for part in sys.version_info[:3])}
    command = plan.params.Config.version_command
    program = version_of(command, os.environ, plan.cwd) if command else None
    if program:
        now["program"] = program
    before = row["versions"] or {}
    changed = [name for name in now if before.get(name) not in (None, now[name])]
    return [f"{name} was {before[name]}, and is {now[name]}" for name in changed]


def _is_as_it_was(file: FileEntry) -> bool:
    try:
        about = os.stat(file["path"])
    except OSError:
        return False
    return (about.st_size, utc(about.st_mtime)) == (file["size"], file["mtime"])
