"""`lute show`: all that is kept of one run."""

from __future__ import annotations

import argparse
import json
import shlex
from typing import TYPE_CHECKING, Any

from lute.cli import common
from lute.record.rows import public
from lute.tasks.progress import as_text, metric_as_text

if TYPE_CHECKING:
    from lute.record.types import JsonObject, RunRow


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("id", metavar="ID", help="the run's id, the start of it, or `last`")
    common.add_options(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        row = record.get(options.id)
    row["plots"] = _pages(row)
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


def _pages(row: RunRow) -> list[str]:
    """Returns where the pages of a run's figures are, which may be among earlier ones by now."""
    if not row["plots"]:
        return []
    from lute.publish.report import version_of  # with all that pages are made of

    return [version_of(path, row["id"]) for path in row["plots"]]


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
        common.print_text(f"  {key:<20} {value if isinstance(value, str) else json.dumps(value)}")
