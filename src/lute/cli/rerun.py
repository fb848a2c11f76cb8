"""`lute rerun`: runs a recorded run's Task again, with the parameters that it had."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import lute
from lute import plugins
from lute.base.code_files import FOLDER, restore
from lute.base.files import make_folder, write_whole
from lute.cli import _verifying as verifying
from lute.cli import common
from lute.cli import run as cli_run
from lute.config.config_file import Overrides
from lute.config.run_names import RUN_DIR, RunNames
from lute.errors import PluginError, UsageError
from lute.execution.code import digest_now
from lute.execution.executor import BaseExecutor
from lute.execution.installed import installed_version
from lute.execution.outputs import differs
from lute.execution.plan import Plan
from lute.execution.provenance import version_of
from lute.execution.recorder import RunContext
from lute.publish import rerun_yaml
from lute.record import headers
from lute.record.db import FILE_NAME
from lute.record.rows import RERUN_OF, RunFiles, new_run_id
from lute.wire.results import DescribedAnalysis

if TYPE_CHECKING:
    from lute.record.store import Record
    from lute.record.types import RunRow

CONFIG = "config.yaml"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`")
    common.add_set(parser)
    common.add_ranks(parser)
    parser.add_argument("--dry-run", action="store_true", help="show what would be run; start nothing")
    parser.add_argument(
        "--code",
        choices=("current", "recorded"),
        default="current",
        help="run the code of today, or the texts that were kept of what ran",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="run it in a folder of its own with the recorded code, and compare metrics, payload and outputs",
    )
    parser.add_argument(
        "--rtol", type=float, default=1e-6, metavar="X", help="how much numbers may differ with --verify (1e-6)"
    )
    common.add_options(parser)
    parser.epilog = "exit status: as of lute run; with --verify 0 all is the same, 1 something differs"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        row = record.get(options.id)
        place = str(record) if "://" not in str(record) else _url(options)
    if options.verify:
        verifying.refuse(row, given=bool(options.set or options.dry_run))
    identity = new_run_id()
    row = _without_hidden(row)
    changes = _changes(options, row, place)
    work_dir = dict(changes.settings).get("work_dir") or headers.header_of(row)["work_dir"]
    folder = RunFiles.of(work_dir, identity).folder
    with contextlib.ExitStack() as stack:
        if options.dry_run:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        else:
            stack.callback(_remove_if_unused, folder)
        specs = load_plugins(row, folder if options.verify or options.code == "recorded" else None)
        stack.enter_context(_in_its_folder(row, verifying.own_folder(row, folder) if options.verify else None))
        executor, managed_task = cli_run.find(row["managed_task"] or row["task"])
        plan = _plan(executor, row, specs, folder, changes, identity)
        if options.dry_run:
            return cli_run.dry_run(plan, options)
        return _run(options, executor, RunContext(managed_task, identity=identity), record, row, changes, plan)


def _remove_if_unused(folder: Path) -> None:
    """Removes the folder of a run that was not started."""
    if not RunFiles(folder).log.exists():
        shutil.rmtree(folder, ignore_errors=True)


def _without_hidden(row: RunRow) -> RunRow:
    """Returns a run whose secret variables are this environment's: those that the header set are not recorded.

    Raises:
        UsageError: One is not set here.
    """
    found, hidden = headers.without_hidden(row)
    missing = [name for name in hidden if name not in os.environ]
    if missing:
        raise UsageError(
            f"the environments of run {row['id']} set {', '.join(missing)}, a secret, which is not recorded: set it"
            " in your environment"
        )
    return found


def _run(
    options: argparse.Namespace,
    executor: BaseExecutor,
    place: RunContext,
    record: Record,
    row: RunRow,
    changes: Overrides,
    plan: Plan,
) -> int:
    _tell_changes(row, plan, recorded=options.verify or options.code == "recorded")
    sources = {name: run for name, run in (row["sources"] or {}).items() if not _is_set(name, row, changes)}
    place = place._replace(sources={**sources, RERUN_OF: row["id"]})
    cli_run.tell_replaced(plan)

    def start(on_start: cli_run.OnStart) -> DescribedAnalysis:
        return executor.execute_plan(plan, place, on_start=on_start)

    if options.verify:
        return verifying.run(options, record, row, start)
    return cli_run.watched(options, executor, place.managed_task or row["task"], start)


def _plan(
    executor: BaseExecutor, row: RunRow, specs: Sequence[str], folder: Path, changes: Overrides, identity: str
) -> Plan:
    """Writes the run's YAML file into a folder, and returns what it says is to be run."""
    make_folder(folder)
    config = folder / CONFIG
    write_whole(config, rerun_yaml.as_yaml(row, specs).encode())
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


def load_plugins(row: RunRow, folder: Path | None = None) -> list[str]:
    """Loads the plug-ins that a run had. Returns what was loaded.

    Args:
        row: The run.
        folder: Where the texts are written to that were kept of its code, which are loaded then; what was of no use
            to the run is not. None for the files of today.

    Raises:
        PluginError: One is gone, or cannot be loaded; it says which run had it.
        UsageError: The texts were not kept, or are not what was kept.
    """
    specs = headers.plugins_of(row)
    if folder is not None:
        written = _recorded_code(row, folder / FOLDER)
        sys.path.insert(0, str(folder / FOLDER))
        specs = [written.get(spec, spec) for spec in specs if spec in written or spec[-3:] != ".py"]
    for spec in specs:
        try:
            plugins.load(spec)
        except PluginError as error:
            raise PluginError(f"run {row['id']} had a plug-in that cannot be loaded now: {error}") from error
    return specs


def _recorded_code(row: RunRow, folder: Path) -> dict[str, str]:
    files = [(file.get("module", ""), file["path"], file["digest"] or "") for file in row["code"] or []]
    if not all(module for module, _, _ in files):
        raise UsageError(f"run {row['id']} is of an older lute, which did not keep its code")
    texts = RunFiles(Path(row["log"]).parent).code
    make_folder(folder)
    try:
        return restore(files, str(texts), str(folder))
    except (FileNotFoundError, ValueError) as error:
        raise UsageError(f"the code of run {row['id']} was not kept as it was: {error}") from error


@contextlib.contextmanager
def _in_its_folder(row: RunRow, own: Path | None) -> Iterator[None]:
    """Stands where the run was started, since its relative paths are from there; or in a folder of its own."""
    folder = str(own or (row["owner"] or {}).get("cwd") or os.getcwd())
    if not os.path.isdir(folder):
        print(f"lute: the folder {folder}, where run {row['id']} was started, is gone", file=sys.stderr)
        folder = os.getcwd()
    with contextlib.chdir(folder):
        yield


def _is_set(name: str, row: RunRow, changes: Overrides) -> bool:
    return any(given == f"{row['task']}.{name}" for given, _ in changes.settings)


def _tell_changes(row: RunRow, plan: Plan, recorded: bool) -> None:
    """Says on standard error what is not as it was for the recorded run."""
    for text in changed_since(row, plan, recorded):
        print(f"lute: since run {row['id']}: {text}", file=sys.stderr)


def changed_since(row: RunRow, plan: Plan, recorded: bool = False) -> list[str]:
    """Returns what is not as it was for a recorded run: code, parameters, input files, versions.

    Args:
        row: The run.
        plan: What is to be run.
        recorded: Whether that has the recorded code.
    """
    known = [file for file in row["code"] or [] if file["digest"] and not recorded]
    code = [file["path"] for file in known if digest_now(file["path"], loaded=True) != file["digest"]]
    inputs = [file["path"] for file in row["inputs"] or [] if differs(file)]
    return [
        *(f"the code in {path} has changed" for path in code),
        *_changed_parameters(row, plan),
        *(f"the input {path} has changed" for path in inputs),
        *_changed_versions(row, plan),
    ]


def _changed_parameters(row: RunRow, plan: Plan) -> list[str]:
    """Returns which parameters validation makes others of what was given than it made then."""
    given, now = row["given"], plan.given
    if given is None or now is None:  # nothing is known of how they came to be
        return []
    names = RunNames(row["id"], headers.header_of(row)["work_dir"], RUN_DIR)
    pairs = {
        name: (names.as_written(value), plan.as_written(plan.plain_parameters.get(name)))
        for name, value in (row["parameters"] or {}).items()
        if name != "lute_config" and given.get(name) == now.get(name)
    }
    return [f"{name} was {was!r}, and is made {made!r} now" for name, (was, made) in pairs.items() if was != made]


def _changed_versions(row: RunRow, plan: Plan) -> list[str]:
    now = {"lute": lute.__version__, "python": ".".join(str(part) for part in sys.version_info[:3])}
    command = plan.params.Config.version_command
    program = version_of(command, os.environ, plan.cwd) if command else None
    if program:
        now["program"] = program
    before = row["versions"] or {}
    for name in before.keys() - {"lute", "python", "program"} if not plan.settings.interpreter else ():
        now[name] = installed_version(name)
    changed = [name for name in now if before.get(name) not in (None, now[name])]
    return [f"{name} was {before[name]}, and is {now[name]}" for name in sorted(changed)]
