"""pydantic's errors -> where they are in the YAML, and what a person reads."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from lute.base.secrets import hide_here
from lute.models.fields import type_name

Location = tuple[str | int, ...]
_BRANCHES = ("int", "str", "float", "bool", "bytes", "none", "list", "dict", "tuple", "set", "constrained")


def real_location(error: Any, model: type[BaseModel]) -> Location:
    """Returns where an error is, without pydantic's names for the branches of a union."""
    names = {field.alias or name for name, field in model.model_fields.items()} | set(model.model_fields)
    first, *rest = error["loc"] or ("",)
    if first not in names:
        return tuple(error["loc"])
    kept = [part for part in rest if isinstance(part, int) or not _is_branch(part)]
    return (first, *kept)


def _is_branch(part: str) -> bool:
    return part.startswith(_BRANCHES) or "[" in part or "-" in part


def in_words(error: Any, model: type[BaseModel], location: Location) -> str:
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
