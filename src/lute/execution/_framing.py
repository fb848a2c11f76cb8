"""Bytes <-> message, pure.

A frame is a fixed head, the lengths of its buffers, a body and the buffers:

    head     16 bytes  magic `LT`, signal number, kind, number of buffers, flags, length of the body
    lengths  8 bytes for each buffer
    body     text (UTF-8), or JSON that describes a value of plain types
    buffers  what does not go into JSON: bytes, the data of arrays, pickles

A value of plain types and arrays travels as such and is rebuilt from known types only. What is left is
pickled, piece by piece, so that one piece that cannot be loaded does not take its neighbours with it.
Frames are decoded only from a channel that was inherited or has proved its key (`lute.execution.ipc`).
"""

from __future__ import annotations

import json
import pickle
import struct
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Callable, Optional, Union

from lute.errors import ProtocolError
from lute.tasks.dataclasses import ElogSummaryPlots, RenderedPage, TaskResult, TaskStatus

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

NOTHING, TEXT, VALUE, CONTROL = range(4)
"""Kinds of body. A CONTROL frame is between the two ends and is never a `Message`."""
LOGGED = 1
"""Flag: the sender has written this text to the log itself, in its place."""

Buffer = Union[bytes, bytearray, memoryview]


@dataclass
class Frame:
    """One decoded frame."""

    kind: int
    signal: Optional[str]
    flags: int
    contents: Any


@dataclass
class Unloadable:
    """A value that this side cannot load: its bytes are kept, with the reason.

    Attributes:
        type_name: The value's type where it was made.
        data: Its pickle.
        reason: Why it could not be loaded.
    """

    type_name: str
    data: bytes
    reason: str


@dataclass
class RawArray:
    """An array that came where numpy is not installed.

    Attributes:
        dtype: numpy's array-protocol type string.
        shape: Its shape.
        data: Its elements in C order.
    """

    dtype: str
    shape: tuple[int, ...]
    data: Buffer


class Namespace:
    """Parameters for a Python that has no pydantic: the same names, read as attributes."""

    def __init__(self, type_name: str, values: dict[str, Any]) -> None:
        self.__dict__.update(values)
        self.__dict__["_type_name"] = type_name

    def command_line_fields(self) -> list[tuple[str, Any, dict[str, Any]]]:
        """Returns name, value and attributes of each parameter in the order of the model."""
        return [(name, getattr(self, name), attributes) for name, attributes in self.__dict__["_spellings"]]

    def __repr__(self) -> str:
        values = ", ".join(f"{key}={value!r}" for key, value in self.__dict__.items() if key[0] != "_")
        return f"{self.__dict__['_type_name']}({values})"


def short_description(value: Any) -> str:
    """Returns type and size of a value, for a line of the log.

    >>> short_description([1, 2])
    'list, 2 items'
    """
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        return f"{qualified_name(value)}, shape {tuple(value.shape)}, {value.dtype}"
    try:
        size = f", {len(value)} {'bytes' if isinstance(value, (bytes, bytearray)) else 'items'}"
    except TypeError:
        size = ""
    return f"{qualified_name(value).replace('builtins.', '')}{size}"


def qualified_name(value: Any) -> str:
    """Returns `module.Class` of a value's type."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


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
        body = _body_of(contents, buffers)
    if signal is not None and signal not in _NUMBER_OF:
        raise ProtocolError(f"unknown signal {signal!r}: use one of {', '.join(SIGNALS)}")
    if len(body) > MAX_BODY and kind == TEXT:
        raise ProtocolError(f"a text of {len(body)} bytes is over the limit of {MAX_BODY}")
    if len(buffers) > 0xFFFF or len(body) > MAX_BODY:
        buffers = []
        body = json.dumps(_pickled(contents, buffers)).encode()
    head = HEAD.pack(MAGIC, _NUMBER_OF.get(signal or "", 0), kind, len(buffers), flags, len(body))
    lengths = struct.pack(f"!{len(buffers)}Q", *(memoryview(piece).nbytes for piece in buffers))
    return [head + lengths + body, *buffers]


def _body_of(contents: Any, buffers: list[Buffer]) -> bytes:
    try:
        return json.dumps(_describe(contents, buffers)).encode()
    except RecursionError:  # too deep for JSON, or a value that contains itself: pickle knows both
        buffers.clear()
        return json.dumps(_pickled(contents, buffers)).encode()


def _describe(value: Any, buffers: list[Buffer]) -> Any:
    """Returns `value` in JSON's own types: itself, or `{"~": kind, ...}` for what JSON has not."""
    kind = type(value)
    if value is None or kind in (bool, int, str, float):
        if kind is str and not _encodable(value):
            return {"~": "str", "v": _buffer(value.encode("utf-8", "surrogatepass"), buffers)}
        return value
    if kind is list:
        return [_describe(item, buffers) for item in value]
    if kind is dict:
        if all(type(key) is str for key in value) and "~" not in value:
            return {key: _describe(item, buffers) for key, item in value.items()}
        return {"~": "dict", "v": [[_describe(k, buffers), _describe(v, buffers)] for k, v in value.items()]}
    describe = _DESCRIBERS.get(kind)
    if describe is not None:
        return describe(value, buffers)
    if isinstance(value, PurePath):
        return {"~": "path", "v": str(value)}
    if kind.__module__ == "numpy" and kind.__name__ == "ndarray" and not value.dtype.hasobject:
        return _describe_array(value, buffers)
    return _pickled(value, buffers)


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _buffer(data: Buffer, buffers: list[Buffer]) -> int:
    buffers.append(data)
    return len(buffers) - 1


def _describe_array(array: Any, buffers: list[Buffer]) -> Any:
    if array.dtype.kind not in "biufcSU":
        return _pickled(array, buffers)
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    index = _buffer(memoryview(array.reshape(-1).view("u1")) if array.nbytes else b"", buffers)
    return {"~": "array", "dtype": array.dtype.str, "shape": list(array.shape), "v": index}


def _pickled(value: Any, buffers: list[Buffer]) -> Any:
    outside: list[pickle.PickleBuffer] = []
    try:
        data = pickle.dumps(value, protocol=5, buffer_callback=outside.append)
        inside = [piece.raw() for piece in outside]
    except BufferError:
        data, inside = pickle.dumps(value, protocol=5), []
    except Exception as error:
        reason = f"{type(error).__name__}: {error}"
        return {"~": "lost", "type": qualified_name(value), "text": _safe_repr(value), "reason": reason}
    first = _buffer(data, buffers)
    buffers.extend(inside)
    return {"~": "pickle", "type": qualified_name(value), "v": first, "n": len(inside)}


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)[:1000]
    except Exception as error:
        return f"<no repr: {type(error).__name__}>"


def _describe_items(tag: str) -> Callable[[Any, list[Buffer]], Any]:
    return lambda value, buffers: {"~": tag, "v": [_describe(item, buffers) for item in value]}


def _describe_bytes(value: Buffer, buffers: list[Buffer]) -> Any:
    return {"~": "bytes", "v": _buffer(bytes(value), buffers)}


def _describe_result(value: TaskResult, buffers: list[Buffer]) -> Any:
    fields = [value.task_name, value.task_status, value.summary, value.payload, value.impl_schemas]
    return {"~": "result", "v": [_describe(field, buffers) for field in fields]}


def _describe_plots(value: ElogSummaryPlots, buffers: list[Buffer]) -> Any:
    return {"~": "plots", "v": [_describe(value.display_name, buffers), _describe(value.figures, buffers)]}


def _describe_page(value: RenderedPage, buffers: list[Buffer]) -> Any:
    return {"~": "page", "v": _buffer(value.html.encode("utf-8", "surrogatepass"), buffers)}


def _describe_namespace(value: Namespace, buffers: list[Buffer]) -> Any:
    values = dict(value.__dict__)
    name = values.pop("_type_name")
    return {"~": "namespace", "type": name, "v": [[key, _describe(v, buffers)] for key, v in values.items()]}


_DESCRIBERS: dict[type, Callable[[Any, list[Buffer]], Any]] = {
    tuple: _describe_items("tuple"),
    set: _describe_items("set"),
    frozenset: _describe_items("frozenset"),
    bytes: _describe_bytes,
    complex: lambda value, buffers: {"~": "complex", "v": [value.real, value.imag]},
    TaskStatus: lambda value, buffers: {"~": "status", "v": value.name},
    TaskResult: _describe_result,
    ElogSummaryPlots: _describe_plots,
    RenderedPage: _describe_page,
    Namespace: _describe_namespace,
}


# ------------------------------------------------------------------------------------------- decode


class Decoder:
    """Takes bytes in pieces of any size and gives whole frames.

    Large buffers are filled in place: `room()` returns where the next bytes belong, `fill(n)` says that
    n bytes were put there, and `frames()` gives what is complete.
    """

    def __init__(self) -> None:
        self._piece = bytearray(HEAD.size)
        self._filled = 0
        self._head: Optional[tuple[int, int, int, int, int]] = None
        self._lengths: Optional[list[int]] = None
        self._parts: list[bytearray] = []
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
        try:
            self._piece = bytearray(size)
        except (MemoryError, OverflowError) as error:
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


def _check_head(piece: bytearray) -> tuple[int, int, int, int, int]:
    magic, number, kind, buffers, flags, body = HEAD.unpack(piece)
    if magic != MAGIC or number > len(SIGNALS) or kind > CONTROL:
        raise ProtocolError(f"not a frame of lute: it begins with {bytes(piece[:8])!r}")
    if body > MAX_BODY:
        raise ProtocolError(f"a body of {body} bytes is over the limit of {MAX_BODY}")
    return number, kind, buffers, flags, body


def _contents(kind: int, body: bytearray, buffers: list[bytearray]) -> Any:
    if kind == NOTHING:
        return None
    if kind == TEXT:
        return body.decode("utf-8", "surrogatepass")
    return _rebuild(json.loads(body), buffers)


def _rebuild(value: Any, buffers: list[bytearray]) -> Any:
    if isinstance(value, list):
        return [_rebuild(item, buffers) for item in value]
    if not isinstance(value, dict):
        return value
    if "~" not in value:
        return {key: _rebuild(item, buffers) for key, item in value.items()}
    rebuild = _REBUILDERS.get(value["~"])
    if rebuild is None:
        raise ProtocolError(f"a value of the unknown kind {value['~']!r}")
    return rebuild(value, buffers)


def _rebuild_array(value: dict[str, Any], buffers: list[bytearray]) -> Any:
    data, shape = buffers[value["v"]], tuple(value["shape"])
    try:
        import numpy
    except ImportError:
        return RawArray(value["dtype"], shape, data)
    return numpy.frombuffer(data, dtype=value["dtype"]).reshape(shape)


def _rebuild_pickle(value: dict[str, Any], buffers: list[bytearray]) -> Any:
    first = value["v"]
    data, outside = buffers[first], buffers[first + 1 : first + 1 + value["n"]]
    try:
        return pickle.loads(data, buffers=outside)
    except Exception as error:
        kept = pickle.dumps((bytes(data), [bytes(piece) for piece in outside])) if outside else bytes(data)
        return Unloadable(value["type"], kept, f"{type(error).__name__}: {error}")


def _rebuild_items(make: Callable[[list[Any]], Any]) -> Callable[[dict[str, Any], list[bytearray]], Any]:
    return lambda value, buffers: make([_rebuild(item, buffers) for item in value["v"]])


_REBUILDERS: dict[str, Callable[[dict[str, Any], list[bytearray]], Any]] = {
    "str": lambda value, buffers: buffers[value["v"]].decode("utf-8", "surrogatepass"),
    "bytes": lambda value, buffers: bytes(buffers[value["v"]]),
    "complex": lambda value, buffers: complex(*value["v"]),
    "path": lambda value, buffers: Path(value["v"]),
    "tuple": _rebuild_items(tuple),
    "set": _rebuild_items(set),
    "frozenset": _rebuild_items(frozenset),
    "dict": lambda value, buffers: {_rebuild(k, buffers): _rebuild(v, buffers) for k, v in value["v"]},
    "status": lambda value, buffers: TaskStatus[value["v"]],
    "result": _rebuild_items(lambda fields: TaskResult(*fields)),
    "plots": _rebuild_items(lambda fields: ElogSummaryPlots(*fields)),
    "page": lambda value, buffers: RenderedPage(buffers[value["v"]].decode("utf-8", "surrogatepass")),
    "namespace": lambda value, buffers: Namespace(
        value["type"], {key: _rebuild(item, buffers) for key, item in value["v"]}
    ),
    "array": _rebuild_array,
    "pickle": _rebuild_pickle,
    "lost": lambda value, buffers: Unloadable(value["type"], value["text"].encode(), value["reason"]),
}

