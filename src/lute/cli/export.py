"""`lute export`: a run as a YAML file that would run it again, or as an RO-Crate."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lute.cli import common
from lute.cli.rerun import load_plugins
from lute.errors import PluginError, RecordError, UsageError
from lute.publish import rerun_yaml
from lute.record import workflow_store
from lute.record.db import Record

if TYPE_CHECKING:
    from lute.record.types import RunRow, WorkflowRow

NO_LICENSE = "No license was given: ask whoever made this before you use it."
MEGABYTE = 1_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`; or a workflow run's")
    parser.add_argument("--format", choices=("yaml", "crate"), default="yaml", help="yaml if not given")
    parser.add_argument("-o", "--output", metavar="PATH", help="file or folder to write; ends in .zip for a zip")
    parser.add_argument("--license", metavar="TEXT", default=NO_LICENSE, help="of a crate: a URL or words")
    parser.add_argument("--author", metavar="NAME", default="", help="of a crate: who ran it")
    parser.add_argument(
        "--largest",
        metavar="MB",
        type=float,
        default=100.0,
        help="of a crate: larger data files are described, not copied; 100 if not given",
    )
    common.add_options(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    left_out: list[str] = []
    with common.open_record(options) as record:
        run, workflow = _run_or_workflow(record, options.id)
        if options.format == "yaml" and workflow is not None:
            raise UsageError(
                f"{workflow['id']} is a workflow run: give --format crate. To run it again: lute workflow rerun"
            )
        if options.format == "yaml" and run is not None:
            place = _yaml(run, options)
        else:
            place, left_out = _crate(record, run, workflow, options)
    for text in left_out:
        print(f"lute: not in the crate: {text}", file=sys.stderr)
    if options.json:
        common.print_json({"path": str(place) if place else None})
    elif place is not None:
        print(place)
    return 0


def _yaml(row: RunRow, options: argparse.Namespace) -> Path | None:
    """Writes a run's YAML file, or prints it. Returns where it is."""
    _load(row)
    if rerun_yaml.hidden(row):
        names = ", ".join(rerun_yaml.hidden(row))
        print(f"lute: secrets are not recorded: write them in place of *** in {names}", file=sys.stderr)
    text = rerun_yaml.as_yaml(row)
    if options.output is None:
        if options.json:
            raise UsageError("--json tells where the file is: give -o FILE")
        sys.stdout.write(text)
        return None
    place = Path(options.output).absolute()
    place = place / f"{row['id']}.yaml" if place.is_dir() else place
    _refuse(place, place.exists())
    place.write_text(text, encoding="utf-8")
    return place


def _crate(
    record: Record, run: RunRow | None, workflow: WorkflowRow | None, options: argparse.Namespace
) -> tuple[Path, list[str]]:
    """Writes the crate of a run or workflow run. Returns where it is, and what is not in it, and why."""
    from lute.publish import crate

    about = crate.About(options.license, options.author, int(options.largest * MEGABYTE))
    identity = workflow["id"] if workflow is not None else options.id
    if run is not None:
        identity = run["id"]
    place = Path(options.output or f"{identity}.crate").absolute()
    _refuse(place, place.exists() and not (place.is_dir() and not any(place.iterdir())))
    if workflow is not None:
        made, left_out = crate.of_workflow(record, workflow, about)
    elif run is not None:
        _load(run)
        made, left_out = crate.of_run(run, about)
    crate.write(made, place)
    return place, left_out


def _run_or_workflow(record: Record, identity: str) -> tuple[RunRow, None] | tuple[None, WorkflowRow]:
    try:
        return record.get(identity), None
    except RecordError as error:
        try:
            return None, workflow_store.get(record, identity)
        except RecordError:
            raise error from None


def _load(row: RunRow) -> None:
    """Loads a run's plug-ins: the model knows aliases. Without it the file is nearly always the same."""
    try:
        load_plugins(row)
    except PluginError as error:
        print(f"lute: {error}", file=sys.stderr)


def _refuse(place: Path, there: bool) -> None:
    if there:
        raise UsageError(f"{place} is there already: remove it, or name another with -o")
