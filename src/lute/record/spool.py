"""Rows that the database did not take: each is a file in a folder beside it, until someone takes it in."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.files import make_folder, shared_mode, written_aside
from lute.errors import RecordError

if TYPE_CHECKING:
    from lute.record.types import RunRow

logger = logging.getLogger(__name__)


class Spool:
    """The folder of one record. Constructing makes nothing.

    Args:
        folder: The folder.
        mark: What tells this record's rows from others' in the same folder; None if they are all its own.
    """

    def __init__(self, folder: Path, mark: str | None) -> None:
        self.folder, self._mark = folder, mark

    def file(self, identity: Any) -> Path:
        """Returns the file of a run."""
        return self.folder / f"{identity}.json"

    def put(self, row: RunRow) -> None:
        """Writes a row, in place of an older state of the same run.

        Raises:
            OSError: It cannot be written.
        """
        make_folder(self.folder)
        text = json.dumps({**row, "record": self._mark}, default=str)
        with written_aside(self.file(row["id"]), shared_mode(self.folder.parent, 0o600)) as file:
            file.write(text.encode())

    def rows(self) -> Iterator[tuple[Path, RunRow]]:
        """Gives this record's rows, each with its file. A file that holds none is renamed, and told.

        What is no regular file was not put here by `lute`, and is passed over: a named pipe would be read for ever.
        """
        files = sorted(self.folder.glob("*.json")) if self.folder.is_dir() else []
        for file in (file for file in files if file.is_file()):
            try:
                row = json.loads(file.read_text())
                missing = {"id", "task"} - row.keys()
                if missing:
                    raise RecordError(f"without {' and '.join(sorted(missing))}")
            except (ValueError, AttributeError, RecordError) as error:
                logger.warning("%s holds no run (%s); it is set aside as %s.bad", file, error, file.name)
                file.replace(file.with_name(file.name + ".bad"))
                continue
            except OSError as error:  # the others are taken in nevertheless
                logger.warning("%s cannot be read: %s", file, error.strerror)
                continue
            if row.get("record") == self._mark:
                yield file, row
