"""Values <-> JSON and buffers, pure.

A value of plain types and arrays travels as such and is rebuilt from known types only. What is left is pickled,
piece by piece, so that one piece that cannot be loaded does not take its neighbours with it. Pickles are loaded
only from a channel that was inherited or has proved its key (`lute.wire.ipc`).
"""

from __future__ import annotations

import functools
import json
import mmap
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import c_make_encoder  # type: ignore[attr-defined]
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Dict, Union

from lute.errors import ProtocolError
from lute.wire.results import ElogSummaryPlots, RenderedPage, TaskResult, TaskStatus

if TYPE_CHECKING:
    from typing import TypedDict

    class Tagged(TypedDict, total=False):
        """A value that JSON has no word for, as it is sent: what it is of, by the key `~`, and its parts."""

        v: Any
        n: int
        shape: list[int]
        dtype: str
        type: str
        text: str
        reason: str
        scripts: bool


Memory = Union[bytearray, mmap.mmap]
Buffer = Union[bytes, bytearray, memoryview, mmap.mmap]


@dataclass(eq=False)
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


@dataclass(eq=False)
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


Attributes = Dict[str, Any]
"""What is known of a parameter beside its value: how it is written, and whatever else its author gave it."""


class Namespace:
    """Parameters for a Python that has no pydantic: the same names, read as attributes."""

    def __init__(self, type_name: str, values: dict[str, Any]) -> None:
        self.__dict__.update(values)
        self.__dict__["_type_name"] = type_name

    def command_line_fields(self) -> list[tuple[str, Any, Attributes]]:
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
        return f"{qualified_name(value)}, shape {tuple(value.shape)}, {_text_of(value.dtype)}"
    try:
        size = f", {len(value)} {'bytes' if isinstance(value, (bytes, bytearray)) else 'items'}"
    except TypeError:
        size = ""
    return f"{qualified_name(value).replace('builtins.', '')}{size}"


def qualified_name(value: Any) -> str:
    """Returns `module.Class` of a value's type."""
    kind = type(value)
    return f"{kind.__module__}.{kind.__qualname__}"


_known_text_of = functools.lru_cache(maxsize=256)(str)


def _text_of(dtype: Any) -> str:
    """Returns `str(dtype)`, which takes numpy longer than all the rest of a line."""
    try:
        return _known_text_of(dtype)
    except TypeError:  # it has no hash
        return str(dtype)


# ------------------------------------------------------------------------------------- to JSON


_ATOMS = frozenset((type(None), bool, int, float, str))
_TEXTS = frozenset((str,))
_MARK = '"~"'
"""What the JSON of every value that is not plain contains."""
_SURROGATE = "\\ud"
"""What the JSON of a text contains that may not be valid Unicode."""


_decode = json.JSONDecoder().raw_decode
_encode_in_c = c_make_encoder and c_make_encoder(  # not every Python has it
    None, None, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)


def _encode(value: Any) -> str:
    """Returns JSON in ASCII. `json.dumps` makes an encoder anew each time, as long a work as a small value."""
    return "".join(_encode_in_c(value, 0)) if _encode_in_c else json.dumps(value)


def to_json(contents: Any, buffers: list[Buffer]) -> bytes:
    """Returns a value as JSON; what does not go into JSON is added to `buffers`."""
    try:
        if _is_plain(contents) and _SURROGATE not in (text := _encode(contents)):
            return text.encode()
        return _encode(_describe(contents, buffers)).encode()
    except (RecursionError, ValueError, TypeError):  # too deep, too long or self-containing for JSON: pickle knows all
        buffers.clear()
        return _encode(_pickled(contents, buffers)).encode()


def to_json_as_pickle(contents: Any, buffers: list[Buffer]) -> bytes:
    """Returns a value as JSON that has it as one pickle, for values of more pieces than a frame can have."""
    return _encode(_pickled(contents, buffers)).encode()


def _is_plain(value: Any) -> bool:
    """Returns whether JSON gives the value back as it is; items are looked at all at once, for speed."""
    kind = type(value)
    if kind is dict:
        items = value.values()
        if not _TEXTS.issuperset(map(type, value)) or "~" in value:
            return False
    elif kind is list:
        items = value
    else:
        return kind in _ATOMS
    return _ATOMS.issuperset(map(type, items)) or all(map(_is_plain, items))


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
    dtype = array.dtype
    if dtype.kind not in "biufcSU":
        return _pickled(array, buffers)
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    index = _buffer(array.reshape(-1).view("u1").data if array.nbytes else b"", buffers)
    return {"~": "array", "dtype": dtype.str, "shape": array.shape, "v": index}


def _pickled(value: Any, buffers: list[Buffer]) -> Any:
    outside: list[pickle.PickleBuffer] = []
    try:
        data = pickle.dumps(value, protocol=5, buffer_callback=outside.append)
        inside = [piece.raw() for piece in outside]
    except BufferError:
        data, inside = pickle.dumps(value, protocol=5), []
    except (Exception, SystemExit, KeyboardInterrupt) as error:  # pickling runs code of others, too
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
    return {"~": "page", "v": _buffer(value.html.encode("utf-8", "surrogatepass"), buffers), "scripts": value.scripts}


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


# ----------------------------------------------------------------------------------- from JSON


def from_json(body: Buffer, buffers: list[Memory]) -> Any:
    """Returns the value that `to_json` described.

    Raises:
        ProtocolError: It is of a kind that there is not.
    """
    text = str(body, "utf-8")
    value, end = _decode(text)
    if end != len(text):
        raise ProtocolError(f"a value of {end} characters in a body of {len(text)}")
    return _rebuild(value, buffers) if _MARK in text else value


def _rebuild(value: Any, buffers: list[Memory]) -> Any:
    if isinstance(value, list):
        return [_rebuild(item, buffers) for item in value]
    if not isinstance(value, dict):
        return value
    if "~" not in value:
        return {key: _rebuild(item, buffers) for key, item in value.items()}
    rebuild = _REBUILDERS.get(value["~"])
    if rebuild is None:
        raise ProtocolError(f"a value of the unknown kind {value['~']!r}")
    tagged: Any = value
    return rebuild(tagged, buffers)


def _rebuild_array(value: Tagged, buffers: list[Memory]) -> Any:
    data, shape = buffers[value["v"]], tuple(value["shape"])
    try:
        import numpy
    except ImportError:
        return RawArray(value["dtype"], shape, data)
    return numpy.frombuffer(data, dtype=value["dtype"]).reshape(shape)


def _rebuild_pickle(value: Tagged, buffers: list[Memory]) -> Any:
    first = value["v"]
    data, outside = buffers[first], buffers[first + 1 : first + 1 + value["n"]]
    try:
        return pickle.loads(data, buffers=outside)
    except BaseException as error:  # loading runs code of others: neither a sys.exit() in it nor more may end us
        kept = pickle.dumps((bytes(data), [bytes(piece) for piece in outside])) if outside else bytes(data)
        return Unloadable(value["type"], kept, f"{type(error).__name__}: {error}")


def _rebuild_items(make: Callable[[list[Any]], Any]) -> Callable[[Tagged, list[Memory]], Any]:
    return lambda value, buffers: make([_rebuild(item, buffers) for item in value["v"]])


_REBUILDERS: dict[str, Callable[[Tagged, list[Memory]], Any]] = {
    "str": lambda value, buffers: str(buffers[value["v"]], "utf-8", "surrogatepass"),
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
    "page": lambda value, buffers: RenderedPage(
        str(buffers[value["v"]], "utf-8", "surrogatepass"), bool(value["scripts"])
    ),
    "namespace": lambda value, buffers: Namespace(
        value["type"], {key: _rebuild(item, buffers) for key, item in value["v"]}
    ),
    "array": _rebuild_array,
    "pickle": _rebuild_pickle,
    "lost": lambda value, buffers: Unloadable(value["type"], value["text"].encode(), value["reason"]),
}
