"""A Task that sends many messages, and an Executor that says when it had them all.

numpy is imported here, on top, as people do: both sides have it before the first array is sent.
"""

import json
import time
from pathlib import Path
from typing import Any, Literal

import numpy

from lute import Executor, Message, Task, TaskParameters


class SenderParameters(TaskParameters):
    """Send the same contents many times."""

    kind: Literal["text", "dict", "array"]
    count: int
    size: int = 0


class Sender(Task):
    """Sends, and keeps when it began and when it had sent all, in s of the machine's monotonic clock."""

    def _run(self) -> None:
        contents = contents_of(self._task_parameters.kind, self._task_parameters.size)
        message = Message(contents=contents)
        begun = time.monotonic()
        for _ in range(self._task_parameters.count):
            self._report_to_executor(message)
        self._result.payload = {"begun": begun, "sent": time.monotonic()}


def contents_of(kind: str, size: int) -> Any:
    """Returns what is sent; an array has `size` bytes."""
    if kind == "array":
        return numpy.ones(size, numpy.uint8)
    return "frame 1234: 17 peaks" if kind == "text" else {"frame": 1234, "peaks": 17, "intensity": 0.25}


objects = 0


def count(executor: Any, msg: Message, proc: Any) -> None:
    """Counts the messages that are no text."""
    global objects
    objects += 1


def note(executor: Any, msg: Message, proc: Any) -> None:
    """Notes that the result has come: all that was sent before is here."""
    Path("arrived").write_text(json.dumps({"arrived": time.monotonic(), "objects": objects}))


Sending = Executor("Sender")
Sending.add_hook("TASK_LOG", count)
Sending.add_hook("TASK_RESULT", note)
