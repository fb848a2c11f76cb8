"""pydantic's errors -> where they are in the YAML, and what a person reads."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Collection, Mapping
from typing import Annotated, Any

from pydantic import BaseModel

from lute.base.secrets import hide_here
from lute.models.fields import type_name

Location = tuple[str | int, ...]


def yaml_path(error: Any, model: type[BaseModel]) -> Location:
    """Returns where an error is, without pydantic's names for the branches of a union.

    A part of pydantic's own location is told from a name by the types of the model, never by how it is spelt: a field
    may be called `intensity`, `settings` or `list_of`.
    """
    location = tuple(error["loc"]) or ("",)
    members: list[Any] = [model]
    kept: list[str | int] = []
    labelled = False
    for part in location:
        if labelled and isinstance(part, str):  # which branch of a union it is
            labelled = False
            continue
        found = [kind for member in members if (kind := _below(member, part)) is not None]
        if not found and not kept:
            return location  # it is not about a field
        if found or isinstance(part, int):
            kept.append(part)
            branches = [_branches(kind) for kind in found]
            members = [one for several in branches for one in several]
            labelled = any(len(several) > 1 for several in branches)
    return tuple(kept)


def _below(kind: Any, part: str | int) -> Any:
    """Returns the type of what a part of a location leads to in a value of a type; None if it leads nowhere."""
    if kind is Any:
        return Any
    origin, arguments = typing.get_origin(kind) or kind, typing.get_args(kind)
    if not isinstance(origin, type):
        return None
    if issubclass(origin, BaseModel):
        fields = origin.model_fields.items()
        return next((field.annotation for name, field in fields if part in (field.alias or name, name)), None)
    if dataclasses.is_dataclass(origin) or hasattr(origin, "__total__"):  # the latter: a TypedDict
        return typing.get_type_hints(origin, include_extras=True).get(str(part))
    if issubclass(origin, Mapping):
        return None if part == "[key]" else arguments[1] if len(arguments) == 2 else Any
    if issubclass(origin, tuple) and isinstance(part, int) and arguments:
        return arguments[0] if arguments[-1] is Ellipsis else arguments[part] if part < len(arguments) else Any
    if issubclass(origin, Collection) and isinstance(part, int):
        return arguments[0] if arguments else Any
    return None


def _branches(kind: Any) -> list[Any]:
    """Returns the types that a value may be of: several for a union, without None."""
    if typing.get_origin(kind) is Annotated:
        return _branches(typing.get_args(kind)[0])
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        return [one for part in typing.get_args(kind) if part is not types.NoneType for one in _branches(part)]
    return [kind]


def message_for(error: Any, model: type[BaseModel], location: Location) -> str:
    """Returns what is wrong, and for what is missing what it should be."""
    if error["type"] != "missing":
        return str(error["msg"].removeprefix("Value error, "))
    about = model.model_fields.get(str(location[0])) if len(location) == 1 else None
    kind = f", {type_name(about.annotation)}" if about is not None else ""
    meaning = f": {about.description}" if about is not None and about.description else ""
    return f"must be given{kind}{meaning}"


def short(value: Any) -> str:
    """Returns a value as it is shown in a message, without secrets."""
    text = repr(hide_here(value))  # before it is cut: the start of a secret would not be found
    return text if len(text) <= 80 else f"{text[:77]}..."
