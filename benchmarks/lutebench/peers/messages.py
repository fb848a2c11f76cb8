"""Small messages from one process to another: python -m lutebench.peers.messages zmq|unix text|dict COUNT.

Texts as UTF-8, dicts as pickles. `zmq` is PUSH and PULL over ipc with pyzmq's own `send_string` and `send_pyobj`;
`unix` is a Unix socket with a length before each message.
"""

from __future__ import annotations

import pickle
import socket
import struct
import sys
import tempfile
from collections.abc import Callable
from typing import Any

from lutebench.peers._between import timed

CONTENTS: dict[str, Any] = {
    "text": "frame 1234: 17 peaks",
    "dict": {"frame": 1234, "peaks": 17, "intensity": 0.25},
}
ENCODE: dict[str, Callable[[Any], bytes]] = {"text": lambda text: text.encode(), "dict": pickle.dumps}
DECODE: dict[str, Callable[[bytes], Any]] = {"text": lambda data: data.decode(), "dict": pickle.loads}
LENGTH = struct.Struct("!I")


def through_zmq(kind: str, count: int) -> None:
    """Sends with ZeroMQ."""
    import zmq

    contents = CONTENTS[kind]

    def send(begin: Callable[[], None], end: Callable[[], None]) -> None:
        context = zmq.Context()
        push = context.socket(zmq.PUSH)
        push.connect(address)
        push.send(b"connected")
        write = push.send_string if kind == "text" else push.send_pyobj
        begin()
        for _ in range(count):
            write(contents)
        end()
        push.close()
        context.term()

    def receive(connected: Callable[[], None]) -> None:
        context = zmq.Context()
        pull = context.socket(zmq.PULL)
        pull.bind(address)
        pull.recv()
        read = pull.recv_string if kind == "text" else pull.recv_pyobj
        connected()
        for _ in range(count):
            assert read() == contents

    with tempfile.TemporaryDirectory() as folder:
        address = f"ipc://{folder}/socket"
        timed(send, receive)


def through_unix(kind: str, count: int) -> None:
    """Sends through a Unix socket."""
    encode, decode, contents = ENCODE[kind], DECODE[kind], CONTENTS[kind]
    ours, theirs = socket.socketpair()

    def send(begin: Callable[[], None], end: Callable[[], None]) -> None:
        begin()
        for _ in range(count):
            data = encode(contents)
            theirs.sendall(LENGTH.pack(len(data)) + data)
        end()

    def receive(connected: Callable[[], None]) -> None:
        connected()
        waiting, left = b"", count
        while left:
            waiting += ours.recv(1 << 16)
            at = 0
            while len(waiting) >= at + 4 and len(waiting) >= (end := at + 4 + LENGTH.unpack_from(waiting, at)[0]):
                assert decode(waiting[at + 4 : end]) == contents
                at, left = end, left - 1
            waiting = waiting[at:]

    timed(send, receive)


if __name__ == "__main__":
    {"zmq": through_zmq, "unix": through_unix}[sys.argv[1]](sys.argv[2], int(sys.argv[3]))
