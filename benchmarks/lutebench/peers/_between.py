"""What the peers share: two processes, one that sends and one that receives, and their clock."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable


def timed(send: Callable[[Callable[[], None]], None], receive: Callable[[Callable[[], None]], None]) -> None:
    """Runs both sides, and prints when the sender began and had sent all, and when the receiver had all, in s.

    Args:
        send: The sender, in a process of its own. It calls what it is given when it is connected, to wait until
            the receiver is too.
        receive: The receiver. It calls what it is given when it is connected.
    """
    ready_read, ready_write = os.pipe()
    told_read, told_write = os.pipe()
    if os.fork() == 0:
        _in_child(send, ready_read, told_write)
    os.close(told_write)
    receive(lambda: _write(ready_write, b"r"))
    arrived = time.monotonic()
    with open(told_read) as told:
        print(json.dumps({**json.loads(told.read()), "arrived": arrived}))
    if os.wait()[1]:
        sys.exit("the sender failed")


def _in_child(send: Callable[[Callable[[], None]], None], ready: int, told: int) -> None:
    code = 1
    try:
        begun = 0.0

        def wait() -> None:
            nonlocal begun
            os.read(ready, 1)
            begun = time.monotonic()

        send(wait)
        _write(told, json.dumps({"begun": begun, "sent": time.monotonic()}).encode())
        code = 0
    finally:
        os._exit(code)


def _write(descriptor: int, data: bytes) -> None:
    os.write(descriptor, data)
