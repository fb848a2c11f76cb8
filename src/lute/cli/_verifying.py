"""`lute rerun --verify`: runs a recorded run again where it can overwrite nothing, and compares what both gave."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from lute.base.files import make_folder
from lute.cli import common
from lute.cli import run as cli_run
from lute.errors import TaskFailed, UsageError
from lute.execution.outputs import differs
from lute.execution.verify import DIFFERS, Verdict, verdicts
from lute.record.rows import RunFiles
from lute.wire.results import DescribedAnalysis

if TYPE_CHECKING:
    from lute.record.store import Record
    from lute.record.types import RunRow

NOT_THE_SAME = 1
FOLDER = "verify"
"""In the new run's folder, where it runs."""


def refuse(row: RunRow, given: bool) -> None:
    """Refuses to verify what cannot be: its inputs are not what they were, or it would overwrite what it is to be.

    Args:
        row: The run.
        given: Whether something was asked for besides, which would make it another run.

    Raises:
        UsageError: It cannot be verified.
    """
    if given:
        raise UsageError("--verify runs what was recorded, as it was: leave out --set and --dry-run")
    if row["status"] != "COMPLETED":
        raise UsageError(f"run {row['id']} is {row['status']}: only what completed can be verified")
    for file in row["inputs"] or []:
        if problem := differs(file):
            raise UsageError(f"the input {file['path']} is not what run {row['id']} read: {problem}")
    own = str(RunFiles(Path(row["log"]).parent).made)
    for entry in row["outputs"] or []:
        named = str((row["parameters"] or {}).get(entry["parameter"], ""))
        if os.path.isabs(named) and not named.startswith(own):
            raise UsageError(
                f"{entry['parameter']} = {named} is an absolute path: to verify run {row['id']} would overwrite it."
                " Write outputs with relative paths, or below {{ run_dir }}"
            )


def own_folder(row: RunRow, folder: Path) -> Path:
    """Makes the folder that a run is repeated in, with links to the inputs that it names by relative paths.

    Args:
        row: The run that is repeated.
        folder: The new run's.
    """
    own = folder / FOLDER
    make_folder(own)
    before = (row["owner"] or {}).get("cwd") or "/"
    program = str((row["parameters"] or {}).get("executable") or "")
    paths = [file["path"] for file in row["inputs"] or []]
    paths += [os.path.join(before, program)] if os.sep in program else []
    for path in paths:
        name = os.path.relpath(path, before)
        link = own / name
        if not name.startswith("..") and not os.path.lexists(link):
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(path)
    for entry in row["outputs"] or []:  # a folder that is read and written is not linked, but there
        (own / os.path.relpath(entry["path"], before)).parent.mkdir(parents=True, exist_ok=True)
    return own


def run(
    options: argparse.Namespace, record: Record, row: RunRow, start: Callable[[cli_run.OnStart], DescribedAnalysis]
) -> int:
    """Repeats a run and prints how it compares. Returns the exit code.

    Args:
        options: The command's.
        record: Where it is recorded.
        row: The run.
        start: Runs it again.
    """
    copier = None if options.quiet else cli_run.LogCopier()
    try:
        identity = str(start(copier.start if copier else None).record["id"])
    except TaskFailed as error:
        identity = str(error.analysis.record["id"])
        print(f"lute: {error}", file=sys.stderr)
    finally:
        if copier is not None:
            copier.finish()
    again = record.get(identity)
    record.close()
    found = [Verdict("status", DIFFERS, f"{row['status']} and {again['status']}: {again['reason']}")]
    if again["status"] == "COMPLETED":
        found = verdicts(row, again, options.rtol)
    same = all(one.verdict != DIFFERS for one in found)
    with common.unread_output():
        if options.json:
            things = [one._asdict() for one in found]
            common.print_json({"id": row["id"], "again": identity, "same": same, "compared": things})
        else:
            common.print_table(("WHAT", "VERDICT", ""), [tuple(one) for one in found])
            told = "gave the same as" if same else "did not give the same as"
            print(f"run {identity} {told} run {row['id']}")
    return 0 if same else NOT_THE_SAME
