"""JSON and buffers -> values, pure: the other way of `lute.wire.encoding`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, List

from lute.errors import ProtocolError
from lute.wire.encoding import MARK, Namespace, RawArray
from lute.wire.pickled import ATOMS, Buffer, Memory, Pickled, Unloadable
from lute.wire.results import ElogSummaryPlots, RenderedPage, TaskResult, TaskStatus
from lute.wire.tables import Table

if TYPE_CHECKING:
    from lute.wire.encoding import Tagged

_decode = json.JSONDecoder().raw_decode


class _Incoming(List[Memory]):
    """The buffers of a value that came, and whether its pickles are loaded at once."""

    load = True

    def at(self, place: Any) -> Any:
        """Returns a piece by what `_Outgoing.add` returned for it."""
        if isinstance(place, int):
            return self[place]
        start, length = place
        return memoryview(self[-1])[start : start + length]


def from_json(body: Buffer, buffers: Iterable[Memory], load: bool = True) -> Any:
    """Returns the value that `to_json` described.

    Args:
        body: The JSON.
        buffers: The pieces beside it.
        load: Whether pickles are loaded at once; a `Pickled` stands for each if not.

    Raises:
        ProtocolError: It is of a kind that there is not.
    """
    text = str(body, "utf-8")
    value, end = _decode(text)
    if end != len(text):
        raise ProtocolError(f"a value of {end} characters in a body of {len(text)}")
    if MARK not in text:
        return value
    incoming = _Incoming(buffers)
    incoming.load = load
    return _rebuild(value, incoming)


def _rebuild(value: Any, buffers: _Incoming) -> Any:
    if isinstance(value, list):
        return value if ATOMS.issuperset(map(type, value)) else [_rebuild(item, buffers) for item in value]
    if not isinstance(value, dict):
        return value
    if "~" not in value:
        return {key: _rebuild(item, buffers) for key, item in value.items()}
    rebuild = _REBUILDERS.get(value["~"])
    if rebuild is None:
        raise ProtocolError(f"a value of the unknown kind {value['~']!r}")
    tagged: Any = value
    return rebuild(tagged, buffers)


def _rebuild_key(value: Any, buffers: _Incoming) -> Any:
    key = _rebuild(value, buffers)
    return float("nan") if type(key) is float and key != key else key  # JSON's is always the same object, and one key


def _rebuild_array(value: Tagged, buffers: _Incoming) -> Any:
    data, shape = buffers.at(value["v"]), tuple(value["shape"])
    try:
        import numpy
    except ImportError:
        return RawArray(value["dtype"], shape, data)
    return numpy.frombuffer(data, dtype=value["dtype"]).reshape(shape)


def _rebuild_scalar(value: Tagged, buffers: _Incoming) -> Any:
    found = complex(*value["v"]) if isinstance(value["v"], list) else value["v"]
    try:
        import numpy
    except ImportError:
        return found
    return numpy.dtype(value["dtype"]).type(found)


def _rebuild_pickle(value: Tagged, buffers: _Incoming) -> Any:
    outside = [buffers.at(place) for place in value["outside"]]
    table = _rebuild(value["table"], buffers) if "table" in value and not buffers.load else None
    came = Pickled(value["type"], buffers.at(value["v"]), outside, value.get("reason", ""), table)
    return came.load() if buffers.load else came


def _rebuild_table(value: Tagged, buffers: _Incoming) -> Table:
    made = Table({})
    made.columns = {_rebuild(name, buffers): _rebuild(values, buffers) for name, values in value["v"]}
    made.type_name = value["type"]
    return made


Rebuilder = Callable[["Tagged", _Incoming], Any]


def _rebuild_items(make: Callable[[list[Any]], Any]) -> Rebuilder:
    return lambda value, buffers: make([_rebuild(item, buffers) for item in value["v"]])


_REBUILDERS: dict[str, Rebuilder] = {
    "str": lambda value, buffers: str(buffers.at(value["v"]), "utf-8", "surrogatepass"),
    "bytes": lambda value, buffers: bytes(buffers.at(value["v"])),
    "complex": lambda value, buffers: complex(*value["v"]),
    "path": lambda value, buffers: Path(value["v"]),
    "tuple": _rebuild_items(tuple),
    "set": _rebuild_items(set),
    "frozenset": _rebuild_items(frozenset),
    "dict": lambda value, buffers: {_rebuild_key(k, buffers): _rebuild(v, buffers) for k, v in value["v"]},
    "status": lambda value, buffers: TaskStatus[value["v"]],
    "result": _rebuild_items(lambda fields: TaskResult(*fields)),
    "plots": _rebuild_items(lambda fields: ElogSummaryPlots(*fields)),
    "page": lambda value, buffers: RenderedPage(
        str(buffers.at(value["v"]), "utf-8", "surrogatepass"), bool(value["scripts"])
    ),
    "namespace": lambda value, buffers: Namespace(
        value["type"], {key: _rebuild(item, buffers) for key, item in value["v"]}
    ),
    "table": _rebuild_table,
    "array": _rebuild_array,
    "scalar": _rebuild_scalar,
    "pickle": _rebuild_pickle,
    "lost": lambda value, buffers: Unloadable(value["type"], b"", value["reason"], value["text"]),
}
