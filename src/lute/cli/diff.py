"""`lute diff`: what differs between two runs."""

from __future__ import annotations

import argparse
import difflib
import json
from pathlib import Path
from typing import TYPE_CHECKING

from lute.base.code_files import kept_text
from lute.cli import common
from lute.record.compare import Differences, Entries, compare, differs
from lute.record.rows import RunFiles, printable

if TYPE_CHECKING:
    from lute.record.types import CodeEntry, RunRow

LONGEST = 60
"""Most characters of a value in the table."""
SAME, DIFFERENT = 0, 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("a", metavar="ID", help="a run's id, the start of it, or `last`")
    parser.add_argument("b", metavar="ID", help="another run's")
    parser.add_argument("--all", action="store_true", help="show also what is the same")
    common.add_options(parser, plugins_required=False)
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
            _print_texts(a, b)
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


def _print_texts(a: RunRow, b: RunRow) -> None:
    """Prints what differs in the texts that were kept of files that both runs' results depend on."""
    mine, theirs = ({file["path"]: file for file in row["code"] or []} for row in (a, b))
    for path in mine.keys() & theirs.keys():
        if mine[path]["digest"] != theirs[path]["digest"]:
            before, after = _text(a, mine[path]), _text(b, theirs[path])
            names = f"{path} ({a['id']})", f"{path} ({b['id']})"
            print("\n".join(["", *difflib.unified_diff(before, after, *names, lineterm="")]))


def _text(row: RunRow, file: CodeEntry) -> list[str]:
    try:
        text = kept_text(str(RunFiles(Path(row["log"]).parent).code), file["digest"] or "")
    except (OSError, ValueError) as error:
        return [f"(not kept as it was: {error})"]
    return text.decode("utf-8", "replace").splitlines()


def _shown(entry: Entries, side: str, short: bool) -> str:
    if side not in entry:
        return "-"
    value = entry[side]
    text = value if isinstance(value, str) else json.dumps(printable(value))
    return text if len(text) <= LONGEST or not short else f"{text[: LONGEST - 3]}..."
