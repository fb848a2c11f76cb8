"""Bytes <-> message, pure.

A frame is a fixed head, the lengths of its buffers, a body and the buffers:

    head     16 bytes  magic `LT`, signal number, kind, number of buffers, flags, length of the body
    lengths  8 bytes for each buffer
    body     text (UTF-8), or a value as JSON (`lute.wire.encoding`)
    buffers  what does not go into JSON: bytes, the data of arrays, pickles

Frames are decoded only from a channel that was inherited or has proved its key (`lute.wire.ipc`).
"""

from __future__ import annotations

import mmap
import struct
from typing import Any, NamedTuple, Optional, Tuple

from lute.errors import ProtocolError
from lute.wire.decoding import from_json
from lute.wire.encoding import Buffer, Memory, to_json, to_json_as_pickle

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
_SIGNAL_OF = (None, *SIGNALS)
_NUMBER_OF = {name: number for number, name in enumerate(_SIGNAL_OF)}

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


Head = Tuple[int, int, int, int, int]
"""Signal number, kind, number of buffers, flags, length of the body."""


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
    number = _NUMBER_OF.get(signal)
    if number is None:
        raise ProtocolError(f"unknown signal {signal!r}: use one of {', '.join(SIGNALS)}")
    if len(body) > MAX_BODY and kind == TEXT:
        raise ProtocolError(f"a text of {len(body)} bytes is over the limit of {MAX_BODY}")
    if len(body) > MAX_BODY:
        buffers = []
        body = to_json_as_pickle(contents, buffers)
    head = HEAD.pack(MAGIC, number, kind, len(buffers), flags, len(body))
    if not buffers:
        return [head + body]
    lengths = struct.pack(f"!{len(buffers)}Q", *[memoryview(piece).nbytes for piece in buffers])
    return [head + lengths + body, *buffers]


# ------------------------------------------------------------------------------------------- decode


class Decoder:
    """Takes bytes in pieces of any size and gives whole frames.

    Large buffers are filled in place: `room()` returns where the next bytes belong, `fill(n)` says that
    n bytes were put there, and `frames()` gives what is complete.

    Args:
        load: Whether pickles in values are loaded at once (`lute.wire.pickled`).
    """

    def __init__(self, load: bool = True) -> None:
        self._load = load
        self._piece: Memory = bytearray(HEAD.size)
        self._filled = 0
        self._head: Optional[Head] = None
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
            if self.between_frames and (count := self._take_heads(view)):
                view = view[count:]
                continue
            room = self.room()
            count = min(len(room), len(view))
            room[:count] = view[:count]
            self.fill(count)
            view = view[count:]

    def _take_heads(self, view: memoryview) -> int:
        """Takes what is whole at the start of `view`: frames without buffers, or what comes before the first buffer.

        Returns:
            Its length in bytes.
        """
        at, end = 0, len(view)
        while end - at >= HEAD.size:
            head = _check_head(HEAD.unpack_from(view, at))
            _, _, buffers, _, size = head
            start = at + HEAD.size + 8 * buffers
            if start + size > end:
                break
            body = view[start : start + size]
            if buffers:
                self._begin_buffers(head, view[at + HEAD.size : start], bytearray(body))
                return start + size
            self._ready.append(_frame(head, body, [], self._load))
            at = start + size
        return at

    def _begin_buffers(self, head: Head, lengths: Buffer, body: Memory) -> None:
        self._head, self._lengths, self._parts = head, _check_lengths(head, lengths), [body]
        self._start(self._lengths[1])
        self.fill(0)

    def frames(self) -> list[Frame]:
        """Returns the frames that are complete by now, once each, in order."""
        ready, self._ready = self._ready, []
        return ready

    def _next_piece(self) -> None:
        if self._head is None:
            self._head = _check_head(HEAD.unpack(self._piece))
            buffers, body = self._head[2], self._head[4]
            self._lengths = None if buffers else [body]
            self._start(8 * buffers if buffers else body)
        elif self._lengths is None:
            self._lengths = _check_lengths(self._head, self._piece)
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
        body, *buffers = self._parts
        head, self._head, self._lengths, self._parts = self._head, None, None, []
        self._start(HEAD.size)
        self._ready.append(_frame(head, body, buffers, self._load))


def _check_head(found: tuple[Any, ...]) -> Head:
    magic, number, kind, buffers, flags, body = found
    if magic != MAGIC or number > len(SIGNALS) or kind > CONTROL:
        raise ProtocolError(f"not a frame of lute: it begins with {HEAD.pack(*found)[:8]!r}")
    if body > MAX_BODY:
        raise ProtocolError(f"a body of {body} bytes is over the limit of {MAX_BODY}")
    return number, kind, buffers, flags, body


def _check_lengths(head: Head, piece: Buffer) -> list[int]:
    """Returns the lengths of the body and of each buffer."""
    sizes = struct.unpack(f"!{head[2]}Q", piece)
    if max(sizes) > MAX_BUFFER:
        raise ProtocolError(f"a buffer of {max(sizes)} bytes is over the limit of {MAX_BUFFER}")
    return [head[4], *sizes]


def _frame(head: Head, body: Buffer, buffers: list[Memory], load: bool) -> Frame:
    number, kind, _, flags, _ = head
    try:
        return Frame(kind, _SIGNAL_OF[number], flags, _contents(kind, body, buffers, load))
    except ProtocolError:
        raise
    except Exception as error:
        raise ProtocolError(f"a frame that cannot be read: {type(error).__name__}: {error}") from error


def _contents(kind: int, body: Buffer, buffers: list[Memory], load: bool) -> Any:
    if kind == NOTHING:
        return None
    if kind == TEXT:
        return str(body, "utf-8", "surrogatepass")
    return from_json(body, buffers, load)
