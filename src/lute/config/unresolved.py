"""What of a Task's parameters is not known yet, when a workflow is looked through before it starts."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, get_args

from pydantic import BaseModel
from pydantic_core.core_schema import ErrorType

_BY_VALIDATORS = {"value_error", "assertion_error"}
_SURE = set(get_args(ErrorType)) - _BY_VALIDATORS
"""What pydantic itself finds wrong with a value. Others ask what may change: whether a file is there, or anything at
all, in a plug-in's validator."""


class Unresolved(NamedTuple):
    """What is known only when a Task's turn comes.

    Attributes:
        names: Parameters whose values are.
        changing: Whether files and earlier results may still change until then.
    """

    names: frozenset[str] = frozenset()
    changing: bool = False

    def __bool__(self) -> bool:
        return bool(self.names or self.changing)

    def may_mend(self, model: type[BaseModel], errors: Iterable[Any]) -> bool:
        """Returns whether what pydantic finds wrong at one place may be right by then."""
        kinds = {error["type"] for error in errors}
        return bool(self) and (not kinds <= _SURE or ("missing" in kinds and _fills_in(model)))


def _fills_in(model: type[BaseModel]) -> bool:
    """Returns whether a validator of a plug-in may give values that are missing."""
    known = model.__pydantic_decorators__
    first = [one.func for one in known.model_validators.values() if one.info.mode != "after"]
    first += [one.func for one in known.root_validators.values() if one.info.mode == "before"]
    return any(not str(getattr(function, "__module__", "")).startswith("lute.") for function in first)
