"""Values of parameters <-> JSON, exactly.

JSON's own types are themselves. Any other value is an object with one key that begins with `~`, such as
`{"~tuple": [1, 2]}`; a dict with such a key, or with keys that are no texts, is `{"~dict": [[key, value], ...]}`, so
that no dict of a user's is taken for one. Nothing is imported or unpickled to read a value: a class is taken from its
module if that is loaded, and else stands the plain value, of an Enum its value, of a dataclass or model a dict.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
import re
import sys
from collections import deque
from collections.abc import Callable
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, TypeGuard

from lute.base.formatting import in_order
from lute.errors import NotKeptError, SubstitutionError

if TYPE_CHECKING:
    from pydantic import BaseModel

LARGEST_INTEGER = 1 << 14_000
"""Who reads JSON takes whole numbers of at most 4300 digits."""
LARGEST_ARRAY = 1000
"""An array of more values is not written out as JSON."""
EXACT_TAG = "!exact"
"""Marks a text in a YAML file that is the JSON of a value."""
LOST = "~lost"
"""Stands for a value that could not be kept, with the name of its type."""
_MADE_OF_TEXT = frozenset({"decimal", "fractions", "ipaddress", "pathlib", "pydantic.networks", "uuid"})
"""The modules whose classes are made of what `str` gives of them."""
_ITEMS = {kind.__name__: kind for kind in (tuple, set, frozenset, deque)}
_TIMES = {kind.__name__: kind for kind in (datetime.datetime, datetime.date, datetime.time)}
_BASES: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    int: int.__int__,
    float: float.__float__,
    bytes: bytes,
    list: list,
    tuple: tuple,
    set: set,
    frozenset: frozenset,
    dict: dict,
}
"""The types whose subclasses are kept, and what gives the value of one without its class."""
_FILLED_BY: dict[Any, str] = {list: "extend", set: "update", dict: "update"}


def is_plain(value: Any) -> bool:
    """Returns whether JSON, as a database keeps it, gives a value back as it is."""
    kind: Any = type(value)
    if kind is str:
        return bool(value.isascii()) or not any("\ud800" <= character <= "\udfff" for character in value)
    if kind is bool or value is None:
        return True
    if kind is int:
        return bool(-LARGEST_INTEGER < value < LARGEST_INTEGER)
    if kind is float:
        return bool(value - value == 0)
    if kind is list:
        return all(map(is_plain, value))
    return bool(kind is dict and _has_plain_keys(value) and all(map(is_plain, value.values())))


def _has_plain_keys(value: dict[Any, Any]) -> bool:
    return all(type(key) is str and key[:1] != "~" and is_plain(key) for key in value)


def kept(values: dict[str, Any], *, exact_alone: bool = False) -> dict[str, Any]:
    """Returns parameters as JSON, each exactly; in place of one that cannot be kept stands its type.

    Args:
        values: The parameters, by name.
        exact_alone: Whether those are left out that are plain.
    """
    found = {}
    for name, value in values.items():
        try:
            if not is_plain(value):
                found[str(name)] = encode(value)
            elif not exact_alone:
                found[str(name)] = value
        except (NotKeptError, RecursionError) as error:
            found[str(name)] = {LOST: str(error) if isinstance(error, NotKeptError) else _told(type(value))}
    return found


def encode(value: Any) -> Any:
    """Returns a value as JSON.

    Raises:
        NotKeptError: It is, or holds, what cannot be kept; the message is the name of its type.
    """
    try:
        return _encoded(value)
    except NotKeptError:
        raise
    except Exception as error:  # it holds itself, is nested too deeply, or its own code fails
        raise NotKeptError(_told(type(value))) from error


def decode(value: Any) -> Any:
    """Returns the value that `encode` made JSON of.

    Raises:
        NotKeptError: It could not be kept, or this is not what `encode` wrote.
    """
    try:
        return _decoded(value)
    except NotKeptError:
        raise
    except Exception as error:  # a secret was hidden in it, say
        raise NotKeptError(f"{next(iter(value), '')}" if isinstance(value, dict) else "list") from error


@dataclasses.dataclass(frozen=True)
class Exact:
    """A value of a YAML file that is written as `encode` has it, since its class is loaded only later."""

    kept: Any

    def decoded(self) -> Any:
        """Returns the value.

        Raises:
            SubstitutionError: It is none that `encode` wrote.
        """
        try:
            return decode(self.kept)
        except NotKeptError as error:
            raise SubstitutionError(f"not a value that was kept: {error}") from error

    def __str__(self) -> str:
        return json.dumps(self.kept)


# ------------------------------------------------------------------------------------- to JSON


def _encoded(value: Any) -> Any:
    kind = type(value)
    if kind in (str, bool) or value is None:
        return value
    if kind is int:
        return value if is_plain(value) else {"~int": hex(value)}
    if kind is float:
        return value if is_plain(value) else {"~float": str(value)}
    if kind is list:
        return list(map(_encoded, value))
    if kind is dict:
        if _has_plain_keys(value):
            return {key: _encoded(item) for key, item in value.items()}
        return {"~dict": [[_encoded(key), _encoded(item)] for key, item in value.items()]}
    name = kind.__name__
    if _ITEMS.get(name) is kind:
        return {f"~{name}": list(map(_encoded, in_order(value)))}
    if _TIMES.get(name) is kind:
        return {f"~{name}": value.isoformat()}
    for of, parts in _PARTS.items():
        if kind is of:
            return {f"~{name.lower()}": [_encoded(part) for part in parts(value)]}
    if kind in (bytes, bytearray):
        return {f"~{name}": value.decode("utf-8", "surrogateescape")}
    return _of_class(value, kind)


_PARTS: dict[type, Callable[[Any], tuple[Any, ...]]] = {
    complex: lambda value: (value.real, value.imag),
    range: lambda value: (value.start, value.stop, value.step),
    datetime.timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    re.Pattern: lambda value: (value.pattern, value.flags),
}


def _of_class(value: Any, kind: Any) -> dict[str, Any]:
    name = _name_of(kind)
    if isinstance(value, enum.Enum):
        return {"~enum": [name, _encoded(value.value)]}
    if _is_model(kind):
        fields = {field: _encoded(value.__dict__[field]) for field in kind.model_fields}
        more = map(_encoded, (value.model_extra, value.__pydantic_private__))
        return {"~model": [name, fields, sorted(value.model_fields_set), *more]}
    if dataclasses.is_dataclass(value):
        fields = {one.name: _encoded(getattr(value, one.name)) for one in dataclasses.fields(value)}
        return {"~dataclass": [name, fields, _set_beside(value, fields)]}
    module = name.partition(":")[0]
    if module in _MADE_OF_TEXT and repr(kind(str(value))) == repr(value):
        return {"~text": [name, str(value)]}
    if module == "numpy" and _is_array_of_plain(value):
        return {"~numpy": [value.dtype.str, list(value.shape), _encoded(value.tolist())]}
    base = next((base for base in _BASES if isinstance(value, base)), None)
    if base is None or getattr(value, "__dict__", None) or module == "numpy":
        raise NotKeptError(_told(kind))
    return {"~sub": [name, _encoded(_BASES[base](value))]}


def _set_beside(value: Any, fields: dict[str, Any]) -> dict[str, Any]:
    """Returns the attributes that are no fields, as `__post_init__` sets; not what is computed when it is asked for."""
    beside = {name: item for name, item in getattr(value, "__dict__", {}).items() if name not in fields}
    computed = [name for name in beside if isinstance(getattr(type(value), name, None), functools.cached_property)]
    return {name: _encoded(item) for name, item in beside.items() if name not in computed}


def _is_array_of_plain(value: Any) -> bool:
    kind = getattr(getattr(value, "dtype", None), "kind", "O")
    return kind in "biufcSU" and value.size <= LARGEST_ARRAY and type(value.tolist()) is not type(value)


def _is_model(kind: Any) -> TypeGuard[type[BaseModel]]:
    """Returns whether a class is a pydantic model; not imported here, since what reads the record needs none."""
    pydantic = sys.modules.get("pydantic")
    return pydantic is not None and isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)


def _name_of(kind: type) -> str:
    module = "pathlib" if issubclass(kind, PurePath) and kind.__module__.startswith("pathlib.") else kind.__module__
    return f"{module}:{kind.__qualname__}"


def _told(kind: type) -> str:
    """Returns the name of a type as people are told it."""
    return _name_of(kind).replace(":", ".")


# ----------------------------------------------------------------------------------- from JSON


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return list(map(_decoded, value))
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if tag[:1] != "~":
        return {key: _decoded(item) for key, item in value.items()}
    if tag == LOST:
        raise NotKeptError(value[tag])
    return _DECODERS[tag](value[tag])


def _enum(of: list[Any]) -> Any:
    found, value = _class(of[0], enum.Enum), _decoded(of[1])
    if found is None:
        return value
    try:
        return found(value)
    except (ValueError, TypeError):  # nan is never equal to itself
        return next((member for member in found if _encoded(member.value) == of[1]), value)


def _model(of: list[Any]) -> Any:
    name, given, *more = of
    found, fields = _class(name, object), _decoded(given)
    given_names, extra, private = map(_decoded, more)
    if not _is_model(found) or found.model_fields.keys() != fields.keys():
        return {**fields, **(extra or {})}
    made = found.__new__(found)
    state = {"__dict__": fields, "__pydantic_fields_set__": set(given_names)}
    state |= {"__pydantic_extra__": extra, "__pydantic_private__": private or None}
    made.__setstate__(state)
    return made


def _dataclass(of: list[Any]) -> Any:
    found, fields, beside = _class(of[0], object), _decoded(of[1]), _decoded(of[2])
    if not dataclasses.is_dataclass(found) or {one.name for one in dataclasses.fields(found)} != fields.keys():
        return fields
    made: Any = object.__new__(found)  # type: ignore[arg-type]
    for name, value in {**fields, **beside}.items():
        object.__setattr__(made, name, value)  # it may be frozen
    return made


def _sub(of: list[Any]) -> Any:
    value = _decoded(of[1])
    base = type(value)
    found = _class(of[0], base)
    if found is None or issubclass(found, enum.Enum):
        return value
    made = base.__new__(found, value)
    if base in _FILLED_BY:
        getattr(made, _FILLED_BY[base])(value)
    return made


def _of_text(of: list[str]) -> Any:
    found = _class(of[0], object) if of[0].partition(":")[0] in _MADE_OF_TEXT else None
    return of[1] if found is None else found(of[1])


def _numpy(of: list[Any]) -> Any:
    numpy, value = sys.modules.get("numpy"), _decoded(of[2])
    return value if numpy is None else numpy.array(value, of[0]).reshape(of[1])[()]


def _class(name: str, base: type) -> Any:
    """Returns a class by its name, if its module is loaded."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and issubclass(found, base) else None


def _of_items(kind: Callable[[Any], Any], of: list[Any]) -> Any:
    return kind(_decoded(of))


def _of_parts(kind: Callable[..., Any], of: list[Any]) -> Any:
    return (re.compile if kind is re.Pattern else kind)(*_decoded(of))


_DECODERS: dict[str, Callable[[Any], Any]] = {
    "~int": lambda of: int(of, 16),
    "~float": float,
    "~dict": lambda of: {_decoded(key): _decoded(item) for key, item in of},
    "~bytes": lambda of: of.encode("utf-8", "surrogateescape"),
    "~bytearray": lambda of: bytearray(of.encode("utf-8", "surrogateescape")),
    "~enum": _enum,
    "~model": _model,
    "~dataclass": _dataclass,
    "~text": _of_text,
    "~numpy": _numpy,
    "~sub": _sub,
    **{f"~{name}": functools.partial(_of_items, kind) for name, kind in _ITEMS.items()},
    **{f"~{name}": kind.fromisoformat for name, kind in _TIMES.items()},
    **{f"~{kind.__name__.lower()}": functools.partial(_of_parts, kind) for kind in _PARTS},
}


# ------------------------------------------------------------------------------ parts of a value


def plain_key(key: Any) -> str:
    """Returns the key of a dict as JSON has it: of an Enum its value, of bytes their text."""
    if isinstance(key, enum.Enum):
        return plain_key(key.value)
    if isinstance(key, bytes):
        return key.decode("utf-8", "backslashreplace")
    return str(key)


def fields_of(value: Any) -> dict[str, Any] | None:
    """Returns the fields of a dataclass by name; None for what is none."""
    if not dataclasses.is_dataclass(value) or isinstance(value, type):
        return None
    return {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}


def part_of(value: Any, part: str) -> Any:
    """Returns a part of a value, by the name that it has in what `plain` makes of it.

    Raises:
        LookupError: There is no such part.
    """
    value = dict(value) if _is_model(type(value)) else fields_of(value) or value
    if isinstance(value, dict):
        return {plain_key(key): item for key, item in value.items()}[part]
    if type(value) in (list, *_ITEMS.values()) and part.isdecimal():
        return in_order(value)[int(part)]
    raise LookupError(part)
