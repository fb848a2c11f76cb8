"""Writes of a run's row to SQLite: python -m lutebench.peers.writers bare|record DATABASE WRITERS COUNT ROW_FILE.

`bare` commits a row of the same size to a table with a key and a text, with the same settings; `record` is
`Record.save`. Prints the seconds from when all writers are ready until the last has written its COUNT rows.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lute.record.store import BUSY_TIMEOUT, Record

if TYPE_CHECKING:
    from lute.record.types import RunRow

Save = Callable[[dict[str, Any]], None]


def bare(path: str) -> Save:
    """Returns what commits a row with plain `sqlite3`."""
    database = sqlite3.connect(path, timeout=BUSY_TIMEOUT, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, content TEXT)")

    def save(row: dict[str, Any]) -> None:
        database.execute("BEGIN IMMEDIATE")
        database.execute("INSERT INTO rows VALUES (?, ?)", (row["id"], json.dumps(row)))
        database.execute("COMMIT")

    return save


def recorded(path: str) -> Save:
    """Returns what saves a row in a record."""
    record = Record(path)

    def save(row: dict[str, Any]) -> None:
        if not record.save(cast("RunRow", row)):
            sys.exit("the record did not take a row")

    return save


class Gate:
    """Lets all writers begin at once."""

    def __init__(self) -> None:
        self._ready, self._go = os.pipe(), os.pipe()

    def wait(self) -> None:
        """Says that a writer is ready, and waits until all may begin."""
        os.write(self._ready[1], b"r")
        os.read(self._go[0], 1)

    def open(self, writers: int) -> None:
        """Waits until all writers are ready, and lets them begin."""
        for _ in range(writers):
            os.read(self._ready[0], 1)
        os.write(self._go[1], b"g" * writers)


def write(save: Save, row: dict[str, Any], number: int, count: int, gate: Gate) -> None:
    """Is one writer; its first row is not measured."""
    save({**row, "id": f"{number}-ready"})
    gate.wait()
    for place in range(count):
        save({**row, "id": f"{number}-{place}"})


def main(kind: str, path: str, writers: int, count: int, row: dict[str, Any]) -> None:
    """Starts the writers, and prints their time."""
    make, gate = {"bare": bare, "record": recorded}[kind], Gate()
    make(path)({**row, "id": "first"})
    for number in range(writers):
        if os.fork() == 0:
            code = 1
            try:
                write(make(path), row, number, count, gate)
                code = 0
            finally:
                os._exit(code)
    gate.open(writers)
    begun = time.monotonic()
    statuses = [os.wait()[1] for _ in range(writers)]
    if any(statuses):
        sys.exit("a writer failed")
    print(json.dumps(time.monotonic() - begun))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), json.loads(Path(sys.argv[5]).read_text()))
