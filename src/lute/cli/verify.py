"""`lute verify`: is what was recorded still there, and still so?"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING

from lute.cli import common
from lute.execution.verify import Check, checks_of

if TYPE_CHECKING:
    from lute.record.store import Record
    from lute.record.types import RunRow

NOT_AS_RECORDED = 1
_COLUMNS = ("id", "payload", "plots", "outputs", "log", "started")
AT_ONCE = 500


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("ids", metavar="ID", nargs="*", help="runs, or `last`; all valid ones if not given")
    common.add_options(parser, plugins_required=False)
    parser.epilog = (
        "Looks at each recorded output, each value of a payload that is kept in a file, and each page of figures.\n"
        "exit status: 0 all is as recorded, 1 something is not, 2 there is no such run"
    )


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    with common.open_record(options) as record:
        found = [check for row in _rows(record, options.ids) for check in checks_of(row)]
    bad = [check for check in found if check.problem]
    with common.unread_output():
        if options.json:
            common.print_json([check._asdict() | {"ok": check.problem is None} for check in found])
        else:
            _print(found, bad)
    return NOT_AS_RECORDED if bad else 0


def _rows(record: Record, ids: list[str]) -> Iterator[RunRow]:
    if ids:
        yield from (record.get(identity) for identity in ids)
        return
    before = None
    while rows := record.find(columns=_COLUMNS, valid=True, limit=AT_ONCE, before=before):
        yield from rows
        before = (rows[-1]["started"], rows[-1]["id"])


def _print(found: list[Check], bad: list[Check]) -> None:
    if bad:
        rows = [(check.id, check.what, check.name, check.path, str(check.problem)) for check in bad]
        common.print_table(("RUN", "WHAT", "PARAMETER", "PATH", "IS NOT AS RECORDED"), rows)
    runs = len({check.id for check in found})
    print(f"{len(found) - len(bad)} of {len(found)} outputs, kept values and pages of {runs} runs are as recorded")
