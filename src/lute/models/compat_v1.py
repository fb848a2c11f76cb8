"""What models written for pydantic 1 may say: older decorators and names of `Field`. Nothing new needs this."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any, TypeVar

import pydantic

__all__ = ["keywords_of_today", "root_validator", "validator"]

Decorated = TypeVar("Decorated", bound=Callable[..., Any])
_RENAMED = {"regex": "pattern", "min_items": "min_length", "max_items": "max_length"}
_DROPPED = {"env", "const", "unique_items", "allow_mutation"}


def keywords_of_today(keywords: dict[str, Any]) -> dict[str, Any]:
    """Returns what was given to `Field`, by the names that pydantic 2 has; what it has no more is left out."""
    return {_RENAMED.get(key, key): value for key, value in keywords.items() if key not in _DROPPED}


def _without_noise(make: Callable[..., Any]) -> Callable[..., Any]:
    """Calls one of pydantic's older functions without its deprecation warning, here and nowhere else."""

    @functools.wraps(make)
    def quiet(*args: Any, **keywords: Any) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", pydantic.PydanticDeprecatedSince20)
            return make(*args, **keywords)

    return quiet


@_without_noise
def validator(*fields: str, **keywords: Any) -> Callable[[Decorated], Decorated]:
    """pydantic's older `@validator(..., pre=, always=, each_item=)`, with no deprecation warning."""
    keywords.pop("check_fields", None)
    return _without_noise(pydantic.validator(*fields, check_fields=False, **keywords))


@_without_noise
def root_validator(*function: Any, pre: bool = False, **keywords: Any) -> Any:
    """pydantic's older `@root_validator`, bare or with `pre=`, with no deprecation warning."""
    keywords.pop("skip_on_failure", None)
    v1: Any = pydantic.root_validator
    make = _without_noise(v1(pre=pre, skip_on_failure=not pre, **keywords))
    return make(*function) if function else make
