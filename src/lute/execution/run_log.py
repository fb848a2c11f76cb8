"""The log of one run: a file that its processes append to themselves, watched as it grows."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator
from typing import Any

from lute.base.files import make_folder, shared_mode
from lute.record.rows import RunFiles
from lute.wire.channel import OUR_MARK, log_line, write_fully

logger = logging.getLogger(__name__)

TAIL_LINES, TAIL_BYTES = 20, 8192
"""How much of a log's end goes into the record."""
END_BYTES = 1 << 16
"""Of how much of a log's end its last line is looked for."""
LOOK = 0.05
"""Time between two looks of who follows a log, in s."""
_LOG_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND
_TIMES_FLAGS = os.O_WRONLY | os.O_CREAT | os.O_APPEND


class RunLog:
    """The log of one run.

    Args:
        files: The run's files.

    Attributes:
        descriptor: The open file, for the run's processes; -1 while it is closed.
    """

    def __init__(self, files: RunFiles) -> None:
        self._files = files
        self.descriptor = self._times = -1
        self._seen = 0

    @contextlib.contextmanager
    def open(self) -> Iterator[None]:
        """Makes the run's folder and keeps the log open.

        Files written: the log, and beside it when it had which size.
        """
        make_folder(self._files.folder)
        mode = shared_mode(self._files.folder, 0o600)
        self.descriptor = os.open(self._files.log, _LOG_FLAGS, 0o600)
        self._times = os.open(self._files.times, _TIMES_FLAGS, 0o600)
        for descriptor in (self.descriptor, self._times):
            os.fchmod(descriptor, mode)
        try:
            yield
        finally:
            self.look()
            os.close(self._times)
            os.close(self.descriptor)
            self.descriptor = self._times = -1

    def write(self, contents: Any) -> None:
        """Writes a line: a text, or what else a message had. A disk that is full loses the line, not the run."""
        if self.descriptor >= 0:
            self._try_to_write(self.descriptor, log_line(contents))

    def write_ours(self, text: str) -> None:
        """Writes lines that say of themselves that they are `lute`'s, even behind a line that nothing has ended."""
        if self.descriptor >= 0:
            end = os.fstat(self.descriptor).st_size
            start = "" if end == 0 or os.pread(self.descriptor, 1, end - 1) in (b"\n", b"\r") else "\n"
            self.write(start + "".join(f"{OUR_MARK}{line}\n" for line in text.splitlines()))

    def look(self) -> int:
        """Notes when the log has grown. Returns its size."""
        if self.descriptor < 0:
            return self._seen
        size = os.fstat(self.descriptor).st_size
        if size != self._seen:
            self._seen = size
            self._try_to_write(self._times, f"{time.time():.3f} {size}\n".encode())
        return size

    def _try_to_write(self, descriptor: int, data: bytes) -> None:
        try:
            write_fully(descriptor, data)
        except OSError as error:
            logger.warning("%s cannot be written: %s", self._files.log, error)

    def end(self, start: int) -> bytes:
        """Returns what stands in it from byte `start` on, or the last part of that."""
        size = os.fstat(self.descriptor).st_size
        start = max(start, size - END_BYTES)
        return os.pread(self.descriptor, max(0, size - start), start)

    def tail(self) -> str:
        """Returns the last lines; nothing if the file is gone. While it is open, it may be."""
        try:
            descriptor = os.dup(self.descriptor) if self.descriptor >= 0 else os.open(self._files.log, os.O_RDONLY)
        except FileNotFoundError:
            return ""
        try:
            start = max(0, os.fstat(descriptor).st_size - TAIL_BYTES)
            text = os.pread(descriptor, TAIL_BYTES, start).decode("utf-8", "backslashreplace")
        finally:
            os.close(descriptor)
        return "\n".join(text.splitlines()[-TAIL_LINES:])
