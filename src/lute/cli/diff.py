"""`lute diff`: what differs between two runs."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from lute.cli import common
from lute.record.compare import Differences, Entries, compare, differs

if TYPE_CHECKING:
    pass

LONGEST = 60
"""Most characters of a value in the table."""
SAME, DIFFERENT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("a", metavar="ID", help="a run's id, the start of it, or `last`")
    parser.add_argument("b", metavar="ID", help="another run's")
    parser.add_argument("--all", action="store_true", help="show also what is the same")
    common.add_options(parser)
    parser.epilog = "exit status: 0 nothing differs, 1 something does, 2 there is no such run"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        a, b = record.get(options.a), record.get(options.b)
    found = compare(a, b, everything=options.all)
    same = not any(differs(entry) for entries in found.values() for entry in entries.values())
    with common.unread_output():
        if options.json:
            common.print_json({"a": a["id"], "b": b["id"], "same": same, "differences": found})
        elif found:
            _print(a["id"], b["id"], found, mark=options.all)
        else:
            print(f"nothing differs between {a['id']} and {b['id']}")
    return SAME if same else DIFFERENT


def _print(a: str, b: str, found: Differences, mark: bool) -> None:
    rows = []
    for section, entries in found.items():
        for number, (name, entry) in enumerate(entries.items()):
            sign = "*" if mark and differs(entry) else ""
            title = f"{section}:" if number == 0 else ""
            rows.append((title, f"{name}{sign}", *(_shown(entry, side, mark) for side in ("a", "b"))))
    common.print_table(("", "", a, b), rows)
    if mark:
        print("* differs")


def _shown(entry: Entries, side: str, short: bool) -> str:
    if side not in entry:
        return "-"
    value = entry[side]
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= LONGEST or not short else f"{text[: LONGEST - 3]}..."
