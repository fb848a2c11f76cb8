"""Numbers in a YAML file that are meant as text: `1.10` for a text parameter is `1.10`, not `1.1`."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from lute.config.substitution import Written
from lute.models.fields import members
from lute.record.values import Exact

Location = tuple[str | int, ...]


def with_texts(value: Any, texts: Mapping[Location, str], at: Location = ()) -> Any:
    """Returns a value with each number in it `Written`.

    Args:
        value: A value of the file.
        texts: How the numbers of the file were written, by their place.
        at: Where the value is in the file.
    """
    if isinstance(value, list):
        return [with_texts(item, texts, (*at, number)) for number, item in enumerate(value)]
    if isinstance(value, dict):
        return {key: with_texts(item, texts, (*at, key)) for key, item in value.items()}
    return Written(value, texts[at]) if type(value) in (int, float, bool) and at in texts else value


class WithTexts(Mapping[Any, Any]):
    """A document in which each number is `Written`: entry by entry, when it is asked for.

    Args:
        value: The document's content.
        texts: How its numbers were written, by their place.
    """

    def __init__(self, value: Mapping[Any, Any], texts: Mapping[Location, str]) -> None:
        self._value, self._texts = value, texts
        self._made: dict[Any, Any] = {}

    def __getitem__(self, name: Any) -> Any:
        if name not in self._made:
            self._made[name] = with_texts(self._value[name], self._texts, (name,))
        return self._made[name]

    def __contains__(self, name: Any) -> bool:
        return name in self._value

    def __iter__(self) -> Iterator[Any]:
        return iter(self._value)

    def __len__(self) -> int:
        return len(self._value)


def as_written(value: Any, annotation: Any = None) -> Any:
    """Returns a value without `Written`: as it was written where a parameter takes only text, else as it is.

    Args:
        value: The value, after substitutions.
        annotation: The parameter's type.

    Raises:
        SubstitutionError: A value that is written exactly is not what was kept.
    """
    if isinstance(value, Exact):
        return value.decoded()
    kinds = members(annotation)
    if isinstance(value, list):
        return [as_written(item, kind) for item, kind in zip(value, _kinds_of_items(kinds, len(value)), strict=True)]
    if isinstance(value, dict):
        return {key: as_written(item, _kind_of_entry(kinds, key)) for key, item in value.items()}
    number, text = (value.value, value.text) if isinstance(value, Written) else (value, str(value))
    if isinstance(value, Written) or type(value) in (int, float):
        return text if _takes_text_instead(number, kinds) else number
    return value


def _kinds_of_items(kinds: list[Any], count: int) -> list[Any]:
    for kind in kinds:
        inner = typing.get_args(kind)
        if typing.get_origin(kind) is tuple and len(inner) == count and inner[-1] is not ...:
            return list(inner)
        if inner and not _is_mapping(kind) and typing.get_origin(kind) is not typing.Literal:
            return [inner[0]] * count
    return [None] * count


def _kind_of_entry(kinds: list[Any], name: Any) -> Any:
    for kind in kinds:
        if _is_mapping(kind) and len(typing.get_args(kind)) == 2:
            return typing.get_args(kind)[1]
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            fields = kind.model_fields
            found = fields.get(name) or next((field for field in fields.values() if field.alias == name), None)
            return found.annotation if found is not None else None
    return None


def _is_mapping(kind: Any) -> bool:
    origin = typing.get_origin(kind)
    return isinstance(origin, type) and issubclass(origin, Mapping)


def _takes_text_instead(value: Any, kinds: list[Any]) -> bool:
    """Returns whether a parameter takes text but not this number."""
    literals = [kind for kind in kinds if typing.get_origin(kind) is typing.Literal]
    choices = [choice for kind in literals for choice in typing.get_args(kind)]
    numbers = (float, int, bool, Any) if isinstance(value, int) else (float, Any)
    if value in choices or any(kind in numbers for kind in kinds):
        return False
    return any(kind in (str, Path) for kind in kinds) or any(isinstance(choice, str) for choice in choices)
