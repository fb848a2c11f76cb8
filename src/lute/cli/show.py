"""`lute show`: all that is kept of one run."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.code_files import kept_text
from lute.cli import common
from lute.errors import UsageError, did_you_mean
from lute.execution.code import digest_on_disk
from lute.record.rows import RunFiles, printable, public
from lute.tasks.progress import as_text, metric_as_text

if TYPE_CHECKING:
    from lute.record.types import JsonObject, RunRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`")
    parser.add_argument(
        "--code",
        metavar="FILE",
        nargs="?",
        const="",
        help="print the code that ran: one file by its name or module, or the only one",
    )
    common.add_options(parser, plugins_required=False)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        row = record.get(options.id)
    if options.code is not None:
        return _print_code(row, options.code)
    if options.json:
        common.print_json(public(row))
        return 0
    for name, value in _with_reason(public(row)).items():
        if value not in (None, "", [], {}):
            _print_entry(name, value)
    if row["status"] != "COMPLETED" and row["log_tail"]:
        print("the log ends")
        print("\n".join(f"  {line}" for line in row["log_tail"].splitlines()))
    return 0


def _print_code(row: RunRow, wanted: str) -> int:
    """Prints a text that was kept of a run's code. Returns the exit code.

    Raises:
        UsageError: There is no such file, or several, or its text was not kept.
    """
    files = row["code"] or []
    named = [file for file in files if wanted in (file["path"], file.get("module"), os.path.basename(file["path"]))]
    named = named or [file for file in files if wanted and file["path"].endswith(f"/{wanted}")]
    found = named if wanted else files
    if len(found) != 1:
        names = [os.path.basename(file["path"]) for file in files]
        hint = did_you_mean(wanted, names) if wanted else ""
        raise UsageError(f"--code {wanted or 'FILE'}: give one of {', '.join(file['path'] for file in files)}.{hint}")
    try:
        text = kept_text(str(RunFiles(Path(row["log"]).parent).code), found[0]["digest"] or "")
    except (OSError, ValueError) as error:
        raise UsageError(f"the text of {found[0]['path']} was not kept as it was: {error}") from error
    with common.unread_output():
        sys.stdout.buffer.write(text)
    return 0


def _with_reason(row: RunRow) -> JsonObject:
    """Returns a run with the reason why its result may not be used, or may again, beside whether it may."""
    told = {name: value for name, value in row.items() if name != "invalid_reason"}
    reason = row.get("invalid_reason")
    if reason:
        told["valid"] = f"{row['valid']}{': ' if not row['valid'] else ': restored, '}{reason}"
    return told


def _print_entry(name: str, value: Any) -> None:
    if name == "command":
        common.print_text(f"{name:<14}{shlex.join(value)}")
    elif name in ("started", "ended"):
        common.print_text(f"{name:<14}{common.when(value)}")
    elif name == "progress":
        common.print_text(f"{name:<14}{as_text(value)}")
    elif name == "metrics":
        _print_values("metrics", {key: metric_as_text(item) for key, item in value.items()})
    elif isinstance(value, dict) and "lute_config" in value:
        _print_entry("header", value["lute_config"])
        _print_entry(name, {key: item for key, item in value.items() if key != "lute_config"})
    elif isinstance(value, dict):
        _print_values(name, value)
    elif isinstance(value, list):
        items = [_file_as_text(item) if isinstance(item, dict) and "digest" in item else item for item in value]
        common.print_text("\n".join(f"{name if number == 0 else '':<14}{item}" for number, item in enumerate(items)))
    else:
        common.print_text(f"{name:<14}{value}")


def _file_as_text(file: JsonObject) -> str:
    notes = [f"{file['size']} bytes"] if file.get("size") is not None else []
    if file.get("count") is not None and "pattern" not in file:
        notes.append(f"{file['count']} files, {file['bytes']} bytes")
    if file.get("replaced_by"):
        notes.append(f"replaced by run {file['replaced_by']}")
    if "module" in file and digest_on_disk(file["path"]) != file["digest"]:
        notes.append("changed since" if os.path.exists(file["path"]) else "gone since")
    if file.get("commit"):
        notes.append(f"commit {file['commit'][:12]}")
    if file.get("dirty"):
        notes.append("not as committed")
    parameter = f"{file['parameter']}: " if "parameter" in file else ""
    about = f" ({', '.join(notes)})" if notes else ""
    return f"{parameter}{file['path']}{about}"


def _print_values(name: str, values: dict[str, str]) -> None:
    print(name)
    for key, value in values.items():
        common.print_text(f"  {key:<20} {value if isinstance(value, str) else json.dumps(printable(value))}")
