"""Values <-> JSON and buffers, pure.

A value of plain types, arrays and tables travels as such and is rebuilt from known types only. What is left is
pickled, piece by piece, so that one piece that cannot be kept or loaded does not take its neighbours with it. Pickles
are loaded only from a channel that was inherited or has proved its key (`lute.wire.ipc`), and at once only by who asks
for that.
"""

from __future__ import annotations

import functools
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import c_make_encoder  # type: ignore[attr-defined]
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Dict

from lute.wire.pickled import ATOMS, HOLDERS, Buffer, Memory, Pickled, Unloadable
from lute.wire.results import ElogSummaryPlots, RenderedPage, TaskResult, TaskStatus
from lute.wire.tables import Table, as_table

__all__ = [
    "Attributes",
    "Buffer",
    "Memory",
    "Namespace",
    "Pickled",
    "RawArray",
    "Table",
    "Unloadable",
    "qualified_name",
    "short_description",
    "to_json",
    "to_json_as_pickle",
]

if TYPE_CHECKING:
    from typing import TypedDict

    class Tagged(TypedDict, total=False):
        """A value that JSON has no word for, as it is sent: what it is of, by the key `~`, and its parts."""

        v: Any
        outside: list[Any]
        table: Any
        shape: list[int]
        dtype: str
        type: str
        text: str
        reason: str
        scripts: bool


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


HOLDERS.add(Namespace)


def short_description(value: Any) -> str:
    """Returns type and size of a value, for a line of the log.

    >>> short_description([1, 2])
    'list, 2 items'
    """
    if isinstance(value, Pickled):
        return f"{value.type_name}, pickled"
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


DEEPEST = 100
"""A value that is nested in more levels of containers is pickled: who reads JSON goes no deeper."""
LONGEST_INTEGER = 14_000
"""Most bits of a whole number; who reads JSON takes at most 4300 digits."""
MOST_BUFFERS = 1000
"""Further pieces share the last buffer."""
_GUARDED = 2
"""So deep in containers an item that fails is replaced alone: a result, its payload, an item of that."""
_TEXTS = frozenset((str,))
MARK = '"~"'
"""What the JSON of every value that is not plain contains."""
_SURROGATE = "\\ud"
"""What the JSON of a text contains that may not be valid Unicode."""


_encode_in_c = c_make_encoder and c_make_encoder(  # not every Python has it
    None, None, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, True
)


def _encode(value: Any) -> str:
    """Returns JSON in ASCII. `json.dumps` makes an encoder anew each time, as long a work as a small value."""
    return "".join(_encode_in_c(value, 0)) if _encode_in_c else json.dumps(value)


def to_json(contents: Any, buffers: list[Buffer]) -> bytes:
    """Returns a value as JSON; what does not go into JSON is added to `buffers`."""
    for exact in (False, True):
        outgoing = _Outgoing(buffers, exact)
        described = outgoing.describe(contents)
        try:
            text = _encode(described)
        except ValueError:  # a number of too many digits
            text = _SURROGATE
        if exact or _SURROGATE not in text:
            break
        buffers.clear()
    outgoing.end()
    return text.encode()


def to_json_as_pickle(contents: Any, buffers: list[Buffer]) -> bytes:
    """Returns a value as JSON that has all that may be large in it as a pickle; what a result says stays readable."""
    outgoing, reason = _Outgoing(buffers, exact=True), "it is too long for a message in JSON"
    if isinstance(contents, TaskResult):
        name, status, schemas = map(
            outgoing.describe, (contents.task_name, contents.task_status, contents.impl_schemas)
        )
        large = [outgoing.pickled(one, reason) for one in (contents.summary, contents.payload)]
        text = _encode({"~": "result", "v": [name, status, *large, schemas]})
    else:
        text = _encode(outgoing.pickled(contents, reason))
    outgoing.end()
    return text.encode()


def _is_plain(value: Any) -> bool:
    """Returns whether JSON gives a list or dict back as it is; it is looked at level by level, for speed."""
    level = [value]
    for _ in range(DEEPEST):
        inner: dict[int, Any] = {}
        for one in level:
            if type(one) is dict:
                if not _TEXTS.issuperset(map(type, one)) or "~" in one:
                    return False
                one = one.values()
            elif type(one) is not list:
                return False
            if not ATOMS.issuperset(map(type, one)):
                inner.update((id(item), item) for item in one if type(item) not in ATOMS)
        if not inner:
            return True
        level = list(inner.values())
    return False


class _TooDeep(Exception):
    def __str__(self) -> str:
        return f"it is nested in more than {DEEPEST} levels"


class _Outgoing:
    """One value on its way out.

    Args:
        buffers: Where the pieces go that are no JSON.
        exact: Whether each text and number is looked at, for there are some that JSON has not.
    """

    def __init__(self, buffers: list[Buffer], exact: bool) -> None:
        self._buffers, self._exact = buffers, exact
        self._shared = bytearray()
        self._open: set[int] = set()

    def add(self, data: Buffer) -> Any:
        """Adds a piece. Returns where it is: the number of its buffer, or start and length in the last one."""
        if len(self._buffers) < MOST_BUFFERS:
            self._buffers.append(data)
            return len(self._buffers) - 1
        self._shared += bytes(-len(self._shared) % 16)  # numbers are read faster from such places
        start = len(self._shared)
        self._shared += data
        return [start, len(self._shared) - start]

    def end(self) -> None:
        """Adds the buffer that small pieces share, if there is one."""
        if self._shared:
            self._buffers.append(self._shared)

    def describe(self, value: Any) -> Any:
        """Returns a value in JSON's own types; near the top an item that fails is replaced alone."""
        if len(self._open) > _GUARDED:
            return self._described(value)
        before, count = set(self._open), len(self._buffers)
        try:
            return self._described(value)
        except Exception as error:  # nested too deep, or its own code fails
            self._open = before
            del self._buffers[count:]
            told = str(error) if isinstance(error, _TooDeep) else f"{type(error).__name__}: {error}"
            return self.pickled(value, told)

    def _described(self, value: Any) -> Any:
        """Returns `value` itself, or `{"~": kind, ...}` for what JSON has not."""
        kind = type(value)
        if kind in ATOMS:
            if self._exact and kind is str and not _encodable(value):
                return {"~": "str", "v": self.add(value.encode("utf-8", "surrogatepass"))}
            if self._exact and kind is int and value.bit_length() > LONGEST_INTEGER:
                return self.pickled(value, "it has more digits than JSON can have")
            return value
        if kind in (list, dict) and not self._exact and _is_plain(value):
            return value
        describe = _CONTAINERS.get(kind)
        if describe is None and isinstance(value, TaskResult):
            describe = _describe_result
        if describe is not None:
            return self._inside(value, describe)
        describe = _DESCRIBERS.get(kind)
        if describe is not None:
            return describe(value, self)
        if isinstance(value, PurePath):
            return {"~": "path", "v": str(value)}
        if kind.__module__ == "numpy":
            return _describe_numpy(value, self)
        return self.pickled(value)

    def _inside(self, value: Any, describe: Describer) -> Any:
        if id(value) in self._open:
            return self.pickled(value, "it holds itself")
        if len(self._open) > DEEPEST:
            raise _TooDeep
        self._open.add(id(value))
        described = describe(value, self)
        self._open.remove(id(value))
        return described

    def pickled(self, value: Any, reason: str = "") -> Any:
        """Returns a value as its pickle, with the reason if it is of a type that has others."""
        found = as_table(value)
        table = None if found is None else _describe_table(found, self)
        outside: list[pickle.PickleBuffer] = []
        try:
            try:
                data = pickle.dumps(value, protocol=5, buffer_callback=outside.append)
                inside = [piece.raw() for piece in outside]
            except BufferError:
                data, inside = pickle.dumps(value, protocol=5), []
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # pickling runs code of others, too
            told = f"{type(error).__name__}: {error}"
            told = f"{reason}, and cannot be pickled: {told}" if reason else told
            return table or {"~": "lost", "type": qualified_name(value), "text": _safe_repr(value), "reason": told}
        about = {"~": "pickle", "type": qualified_name(value), "v": self.add(data)}
        about["outside"] = [self.add(piece) for piece in inside]
        return {**about, **({"reason": reason} if reason else {}), **({"table": table} if table else {})}


Describer = Callable[[Any, _Outgoing], Any]


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _describe_numpy(value: Any, to: _Outgoing) -> Any:
    dtype = getattr(value, "dtype", None)
    if dtype is None or not hasattr(dtype, "kind"):
        return to.pickled(value)
    if type(value).__name__ == "ndarray":
        return _describe_array(value, to) if dtype.kind in "biufcSUMm" else to.pickled(value)
    if dtype.kind in "biufc" and not value.shape:
        item = value.item()
        if type(item) in ATOMS:
            return {"~": "scalar", "dtype": dtype.str, "v": item}
        if type(item) is complex:
            return {"~": "scalar", "dtype": dtype.str, "v": [item.real, item.imag]}
        return to.pickled(value, "it has more digits than JSON's numbers")
    return to.pickled(value)


def _describe_array(array: Any, to: _Outgoing) -> Any:
    if not array.flags.c_contiguous:
        array = array.copy(order="C")
    place = to.add(array.reshape(-1).view("u1").data if array.nbytes else b"")
    return {"~": "array", "dtype": array.dtype.str, "shape": array.shape, "v": place}


def _safe_repr(value: Any) -> str:
    try:
        return repr(value)[:1000]
    except Exception as error:
        return f"<no repr: {type(error).__name__}>"


def _describe_items(tag: str) -> Describer:
    return lambda value, to: {"~": tag, "v": [to.describe(item) for item in value]}


def _describe_dict(value: dict[Any, Any], to: _Outgoing) -> Any:
    if _TEXTS.issuperset(map(type, value)) and "~" not in value and not (to._exact and not all(map(_encodable, value))):
        return {key: to.describe(item) for key, item in value.items()}
    return {"~": "dict", "v": [[to.describe(key), to.describe(item)] for key, item in value.items()]}


def _describe_result(value: TaskResult, to: _Outgoing) -> Any:
    fields = [value.task_name, value.task_status, value.summary, value.payload, value.impl_schemas, value.shown]
    return {"~": "result", "v": [to.describe(field) for field in fields]}


def _describe_plots(value: ElogSummaryPlots, to: _Outgoing) -> Any:
    return {"~": "plots", "v": [to.describe(value.display_name), to.describe(value.figures)]}


def _describe_page(value: RenderedPage, to: _Outgoing) -> Any:
    return {"~": "page", "v": to.add(value.html.encode("utf-8", "surrogatepass")), "scripts": value.scripts}


def _describe_namespace(value: Namespace, to: _Outgoing) -> Any:
    values = dict(value.__dict__)
    name = values.pop("_type_name")
    return {"~": "namespace", "type": name, "v": [[key, to.describe(v)] for key, v in values.items()]}


def _describe_table(value: Table, to: _Outgoing) -> Any:
    columns = [[to.describe(name), to.describe(values)] for name, values in value.columns.items()]
    return {"~": "table", "type": value.type_name, "v": columns}


_CONTAINERS: dict[type, Describer] = {
    list: lambda value, to: [to.describe(item) for item in value],
    dict: _describe_dict,
    tuple: _describe_items("tuple"),
    set: _describe_items("set"),
    frozenset: _describe_items("frozenset"),
    TaskResult: _describe_result,
    ElogSummaryPlots: _describe_plots,
    Namespace: _describe_namespace,
    Table: _describe_table,
}
_DESCRIBERS: dict[type, Describer] = {
    bytes: lambda value, to: {"~": "bytes", "v": to.add(bytes(value))},
    complex: lambda value, to: {"~": "complex", "v": [value.real, value.imag]},
    TaskStatus: lambda value, to: {"~": "status", "v": value.name},
    RenderedPage: _describe_page,
}
