"""What the peers share: two processes, one that sends and one that receives, and their clock."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable

Send = Callable[[Callable[[], None], Callable[[], None]], None]
"""Called with two functions: `begin`, to call when it is connected, and `end`, when all is sent."""
Receive = Callable[[Callable[[], None]], None]
"""Called with a function to call when it is connected too. Returns when it has all."""


def timed(send: Send, receive: Receive) -> None:
    """Runs both sides, and prints when the sender began and had sent all, and when the receiver had all, in s.

    The sender is a process of its own. Its `end` waits until the receiver has all: a socket that closes while
    messages are on their way may lose some.
    """
    go_read, go_write = os.pipe()
    told_read, told_write = os.pipe()
    if os.fork() == 0:
        os.close(go_write)
        _be_sender(send, go_read, told_write)
    os.close(told_write)
    receive(lambda: _tell(go_write))
    arrived = time.monotonic()
    _tell(go_write)
    with open(told_read) as told:
        times = json.loads(told.read() or "{}")
    if os.wait()[1]:
        sys.exit("the sender failed")
    print(json.dumps({**times, "arrived": arrived}))


def _be_sender(send: Send, go: int, told: int) -> None:
    code = 1
    times = {}

    def begin() -> None:
        os.read(go, 1)
        times["begun"] = time.monotonic()

    def end() -> None:
        times["sent"] = time.monotonic()
        os.read(go, 1)

    try:
        send(begin, end)
        os.write(told, json.dumps(times).encode())
        code = 0
    except Exception as error:
        print(f"the sender: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
    finally:
        os._exit(code)


def _tell(descriptor: int) -> None:
    os.write(descriptor, b".")
