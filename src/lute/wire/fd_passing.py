"""Values that go from process to process of one host together with open descriptors."""

from __future__ import annotations

import array
import json
import socket
import struct
from typing import Any

_LENGTH = struct.Struct("!Q")
_MOST_DESCRIPTORS = 8


def send(sock: socket.socket, value: Any, descriptors: list[int] | None = None) -> None:
    """Sends a value of JSON's types, and descriptors that the other end gets copies of.

    Raises:
        OSError: The other end is closed.
    """
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    data = _LENGTH.pack(len(data)) + data
    if descriptors:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        data = data[sock.sendmsg([data], rights, socket.MSG_NOSIGNAL) :]
    if data:  # else it has all arrived, and the other end may be closed already
        sock.sendall(data, socket.MSG_NOSIGNAL)


def receive(sock: socket.socket) -> tuple[Any, list[int]]:
    """Returns one value and the descriptors that came with it.

    Raises:
        EOFError: The other end is closed.
    """
    size = _LENGTH.size
    data, descriptors = b"", array.array("i")
    while len(data) < size:
        room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * descriptors.itemsize)
        try:
            piece, ancillary, _, _ = sock.recvmsg(size - len(data), room)
        except ConnectionError:
            piece, ancillary = b"", []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if not piece:
            raise EOFError
        data += piece
        if size == _LENGTH.size and len(data) == size:
            size += _LENGTH.unpack(data)[0]
    return json.loads(data[_LENGTH.size :]), list(descriptors)
