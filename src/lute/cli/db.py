"""`lute db`: where the record is, its size and schema, and whether all is there."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from lute.cli import common
from lute.cli.history import recover
from lute.errors import RecordError
from lute.record import maintenance
from lute.record.db import Record

PROBLEMS = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    told = "; ".join(f"{name}: {text}" for name, (text, _) in ACTIONS.items())
    parser.add_argument("action", metavar="ACTION", nargs="?", choices=list(ACTIONS), default="where", help=told)
    common.add_options(parser)
    parser.epilog = "exit status: 0 done; of check: 1 if there is a problem; 2 if there is no record"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options, up_to_date=options.action == "size") as record:
        if options.action not in ("where", "recover") and not record.exists():
            raise RecordError(f"there is no record at {record}")
        return ACTIONS[options.action][1](record, options)


def _where(record: Record, options: argparse.Namespace) -> int:
    told = maintenance.where(record)
    if options.json:
        common.print_json(told)
        return 0
    print(f"record  {told['record']} ({told['kind']}{'' if told['schema'] is not None else ', not made yet'})")
    if told["schema"] is not None:
        newer = told["schema"] < told["newest_schema"]
        print(f"schema  {told['schema']}{', to be brought to ' + str(told['newest_schema']) if newer else ''}")
    print(f"aside   {told['aside']} ({told['waiting']} runs wait to be taken in)")
    return 0


def _size(record: Record, options: argparse.Namespace) -> int:
    told = maintenance.size(record)
    if options.json:
        common.print_json(told)
        return 0
    common.print_table(("TASK", "STATUS", "RUNS"), [tuple(entry.values()) for entry in told["runs"]])
    sizes = {
        "database": told["database_bytes"],
        "logs": told["log_bytes"],
        "other files of runs": told["other_bytes"],
    }
    print("\n" + "\n".join(f"{name:<20} {_bytes(size)}" for name, size in sizes.items()))
    return 0


def _migrate(record: Record, options: argparse.Namespace) -> int:
    told = maintenance.migrate(record)
    if options.json:
        common.print_json(told)
    elif told["before"] == told["now"]:
        print(f"{record} has schema {told['now']}, the newest")
    else:
        print(f"{record} was brought from schema {told['before']} to {told['now']}")
        if told["copy"]:
            print(f"as it was before, it is in {told['copy']}")
    return 0


def _check(record: Record, options: argparse.Namespace) -> int:
    found = maintenance.check(record)
    with common.unread_output():
        if options.json:
            common.print_json(found)
        elif found:
            common.print_table(("PROBLEM", "RUN", ""), [tuple(problem.values()) for problem in found])
        else:
            print(f"all is well with {record}")
    return PROBLEMS if found else 0


def _recover(record: Record, options: argparse.Namespace) -> int:
    taken = recover(record)
    if options.json:
        common.print_json(taken)
    return 0


def _bytes(count: int) -> str:
    size, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 1000 or unit == "TB":
            break
        size /= 1000
    return f"{count} B" if unit == "B" else f"{size:.1f} {unit}"


ACTIONS: dict[str, tuple[str, Callable[[Record, argparse.Namespace], int]]] = {
    "where": ("which record it is, and its schema", _where),
    "size": ("how many runs, and how many bytes", _size),
    "migrate": ("bring its schema up to date; a SQLite file is copied first", _migrate),
    "check": ("look for damage, and for files that are missing or belong to no run", _check),
    "recover": ("take in runs that the database could not take", _recover),
}
"""What it does and how, by the action's name."""
