"""Arrays from one process to another: python -m lutebench.peers.arrays shm|unix BYTES COUNT.

`shm` is `multiprocessing.shared_memory`: copied in, told by one byte, copied out into an array of the receiver's
own, with a few slots so that both sides work at once. `unix` is a Unix socket, received in place (`recv_into`).
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from multiprocessing.shared_memory import SharedMemory

import numpy

from lutebench.peers._between import timed

MOST_SLOTS = 4
PIECE = 1 << 20


def through_shared_memory(size: int, count: int) -> None:
    """Sends through shared memory."""
    slots = min(MOST_SLOTS, count)
    memory = SharedMemory(create=True, size=slots * size)
    views = [numpy.ndarray(size, numpy.uint8, memory.buf, slot * size) for slot in range(slots)]
    ours, theirs = socket.socketpair()

    def send(begin: Callable[[], None], end: Callable[[], None]) -> None:
        array = numpy.ones(size, numpy.uint8)
        begin()
        for number in range(count):
            if number >= slots:
                theirs.recv(1)  # the slot is free
            views[number % slots][:] = array
            theirs.send(b"f")
        end()

    def receive(connected: Callable[[], None]) -> None:
        connected()
        for number in range(count):
            ours.recv(1)
            own = views[number % slots].copy()
            ours.send(b"e")
            assert own[-1] == 1

    try:
        timed(send, receive)
    finally:
        views.clear()
        memory.close()
        memory.unlink()


def through_unix(size: int, count: int) -> None:
    """Sends through a Unix socket."""
    ours, theirs = socket.socketpair()

    def send(begin: Callable[[], None], end: Callable[[], None]) -> None:
        array = numpy.ones(size, numpy.uint8)
        begin()
        for _ in range(count):
            theirs.sendall(array.data)
        end()

    def receive(connected: Callable[[], None]) -> None:
        connected()
        for _ in range(count):
            own = numpy.empty(size, numpy.uint8)
            view = own.data
            at = 0
            while at < size:
                at += ours.recv_into(view[at:], min(PIECE, size - at))
            assert own[-1] == 1

    timed(send, receive)


if __name__ == "__main__":
    {"shm": through_shared_memory, "unix": through_unix}[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]))
