"""Bytes <-> message, pure.

A frame is a fixed head, the lengths of its buffers, a body and the buffers:

    head     16 bytes  magic `LT`, signal number, kind, number of buffers, flags, length of the body
    lengths  8 bytes for each buffer
    body     text (UTF-8), or a value as JSON (`lute.execution._values`)
    buffers  what does not go into JSON: bytes, the data of arrays, pickles

Frames are decoded only from a channel that was inherited or has proved its key (`lute.execution.ipc`).
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, NamedTuple, Optional

from lute.errors import ProtocolError
from lute.execution._values import Buffer, Memory, from_json, to_json, to_json_as_pickle

SIGNALS = (
    "NO_PICKLE_MODE",
    "TASK_STARTED",
    "TASK_FAILED",
    "TASK_STOPPED",
    "TASK_DONE",
    "TASK_CANCELLED",
    "TASK_RESULT",
    "TASK_LOG",
)
_NUMBER_OF = {name: number for number, name in enumerate(SIGNALS, start=1)}

HEAD = struct.Struct("!2sBBHHQ")
MAGIC = b"LT"
MAX_BODY = 1 << 28
"""Longest body, in bytes. Large values travel as buffers."""
MAX_BUFFER = 1 << 40
"""Longest buffer, in bytes."""

LARGE = 1 << 20
"""From this size on, in bytes, a piece has memory of its own from the system."""

NOTHING, TEXT, VALUE, CONTROL = range(4)
"""Kinds of body. A CONTROL frame is between the two ends and is never a `Message`."""
LOGGED = 1
"""Flag: the sender has written this text to the log itself, in its place."""


class Frame(NamedTuple):
    """One decoded frame."""

    kind: int
    signal: Optional[str]
    flags: int
    contents: Any


# ------------------------------------------------------------------------------------------- encode


def encode(kind: int, signal: Optional[str], contents: Any, flags: int = 0) -> list[Buffer]:
    """Returns a frame as the pieces to be sent one after the other.

    Raises:
        ProtocolError: The signal is unknown, or the value can be neither described nor pickled.
    """
    buffers: list[Buffer] = []
    if kind == NOTHING:
        body = b""
    elif kind == TEXT:
        body = contents.encode("utf-8", "surrogatepass")
    else:
        body = to_json(contents, buffers)
    if signal is not None and signal not in _NUMBER_OF:
        raise ProtocolError(f"unknown signal {signal!r}: use one of {', '.join(SIGNALS)}")
    if len(body) > MAX_BODY and kind == TEXT:
        raise ProtocolError(f"a text of {len(body)} bytes is over the limit of {MAX_BODY}")
    if len(buffers) > 0xFFFF or len(body) > MAX_BODY:
        buffers = []
        body = to_json_as_pickle(contents, buffers)
    head = HEAD.pack(MAGIC, _NUMBER_OF.get(signal or "", 0), kind, len(buffers), flags, len(body))
    lengths = struct.pack(f"!{len(buffers)}Q", *(memoryview(piece).nbytes for piece in buffers))
    return [head + lengths + body, *buffers]


# ------------------------------------------------------------------------------------------- decode


class Decoder:
    """Takes bytes in pieces of any size and gives whole frames.

    Large buffers are filled in place: `room()` returns where the next bytes belong, `fill(n)` says that
    n bytes were put there, and `frames()` gives what is complete.
    """

    def __init__(self) -> None:
        self._piece: Memory = bytearray(HEAD.size)
        self._filled = 0
        self._head: Optional[tuple[int, int, int, int, int]] = None
        self._lengths: Optional[list[int]] = None
        self._parts: list[Memory] = []
        self._ready: list[Frame] = []

    @property
    def between_frames(self) -> bool:
        """True when no part of a frame is waiting for the rest."""
        return self._head is None and self._filled == 0

    def room(self) -> memoryview:
        """Returns the memory that the next bytes belong to; it is never empty."""
        return memoryview(self._piece)[self._filled :]

    def fill(self, count: int) -> None:
        """Says that `count` bytes were written to the start of `room()`.

        Raises:
            ProtocolError: What came is no frame. The channel is of no more use.
        """
        self._filled += count
        while self._filled == len(self._piece):
            self._next_piece()

    def feed(self, data: Buffer) -> None:
        """Takes bytes that were read elsewhere."""
        view = memoryview(data).cast("B")
        while len(view):
            room = self.room()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.fill(count)
            view = view[count:]

    def frames(self) -> list[Frame]:
        """Returns the frames that are complete by now, once each, in order."""
        ready, self._ready = self._ready, []
        return ready

    def _next_piece(self) -> None:
        if self._head is None:
            self._head = _check_head(self._piece)
            buffers, body = self._head[2], self._head[4]
            self._lengths = None if buffers else [body]
            self._start(8 * buffers if buffers else body)
        elif self._lengths is None:
            sizes = struct.unpack(f"!{self._head[2]}Q", self._piece)
            if max(sizes) > MAX_BUFFER:
                raise ProtocolError(f"a buffer of {max(sizes)} bytes is over the limit of {MAX_BUFFER}")
            self._lengths = [self._head[4], *sizes]
            self._start(self._lengths[0])
        else:
            self._parts.append(self._piece)
            if len(self._parts) < len(self._lengths):
                self._start(self._lengths[len(self._parts)])
            else:
                self._finish()

    def _start(self, size: int) -> None:
        try:  # pages of a map are there when they are written to, not when a length is claimed
            self._piece = mmap.mmap(-1, size, mmap.MAP_PRIVATE) if size >= LARGE else bytearray(size)
        except (MemoryError, OverflowError, OSError) as error:
            raise ProtocolError(f"a piece of {size} bytes does not fit into memory") from error
        self._filled = 0

    def _finish(self) -> None:
        assert self._head is not None
        number, kind, _, flags, _ = self._head
        body, *buffers = self._parts
        self._head, self._lengths, self._parts = None, None, []
        self._start(HEAD.size)
        signal = SIGNALS[number - 1] if number else None
        try:
            contents = _contents(kind, body, buffers)
        except ProtocolError:
            raise
        except Exception as error:
            raise ProtocolError(f"a frame that cannot be read: {type(error).__name__}: {error}") from error
        self._ready.append(Frame(kind, signal, flags, contents))


def _check_head(piece: Memory) -> tuple[int, int, int, int, int]:
    magic, number, kind, buffers, flags, body = HEAD.unpack(piece)
    if magic != MAGIC or number > len(SIGNALS) or kind > CONTROL:
        raise ProtocolError(f"not a frame of lute: it begins with {bytes(piece[:8])!r}")
    if body > MAX_BODY:
        raise ProtocolError(f"a body of {body} bytes is over the limit of {MAX_BODY}")
    return number, kind, buffers, flags, body


def _contents(kind: int, body: Memory, buffers: list[Memory]) -> Any:
    if kind == NOTHING:
        return None
    if kind == TEXT:
        return str(body, "utf-8", "surrogatepass")
    return from_json(body, buffers)
