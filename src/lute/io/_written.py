"""Numbers in a YAML file that are meant as text: `1.10` for a text parameter is `1.10`, not `1.1`."""

from __future__ import annotations

import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lute.io._substitution import source_of, steps

Location = tuple[str | int, ...]


def as_written(value: Any, annotation: Any, raw: Any, at: Location, texts: Mapping[Location, str]) -> Any:
    """Returns a value with the numbers in it that a parameter takes only as text as they were written.

    Args:
        value: The value, after substitutions.
        annotation: The parameter's type.
        raw: The value before substitutions.
        at: Where it is in the file.
        texts: How each number of the file was written, by its place.
    """
    inner = typing.get_args(annotation)
    if isinstance(value, list) and isinstance(raw, list) and typing.get_origin(annotation) in (list, set, tuple):
        pairs = enumerate(zip(value, raw, strict=True))
        return [as_written(item, inner[0], source, (*at, number), texts) for number, (item, source) in pairs]
    if isinstance(value, dict) and isinstance(raw, dict) and typing.get_origin(annotation) is dict:
        return {key: as_written(item, inner[1], raw.get(key), (*at, key), texts) for key, item in value.items()}
    if type(value) not in (int, float, bool) or not _takes_text_instead(value, annotation):
        return value
    if isinstance(value, bool):  # `--set X.executable=false` means the text; `false` in a file does not
        return texts.get(at, value)
    source = source_of(raw) if isinstance(raw, str) else None
    if source is not None:
        at = tuple(int(part) if part.isdigit() else part for part in steps(source))
    return texts.get(at, str(value))


def _takes_text_instead(value: Any, annotation: Any) -> bool:
    """Returns whether a parameter takes text but not this number."""
    kinds = typing.get_args(annotation) or (annotation,)
    if typing.get_origin(annotation) is typing.Literal:
        return value not in kinds and all(isinstance(kind, str) for kind in kinds)
    numbers = (float, int, bool, Any) if isinstance(value, int) else (float, Any)
    return any(kind in (str, Path) for kind in kinds) and not any(kind in numbers for kind in kinds)
