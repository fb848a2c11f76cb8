"""Groups of parameters of which at most one, or exactly one, may be given: `Config.at_most_one`, `Config.exactly_one`.

Given is what somebody said, in the YAML, with `--set`, in the environment or by an earlier result, and that is not
None, False, an empty text or an empty list. What is left at its default is not given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

from lute.errors import ModelError, did_you_mean

if TYPE_CHECKING:
    from lute.models.base import TaskParameters

AT_MOST_ONE, EXACTLY_ONE = "at_most_one", "exactly_one"
KINDS = (AT_MOST_ONE, EXACTLY_ONE)
ERROR = "group"
"""The type of pydantic's error."""


class Broken(NamedTuple):
    """A group of which too many are given, or none.

    Attributes:
        at: The last of the group that is given, or None.
        text: What is wrong.
        names: The group.
    """

    at: str | None
    text: str
    names: tuple[str, ...]


def groups_of(settings: Any, kind: str) -> list[tuple[str, ...]]:
    """Returns a model's groups of a kind."""
    return [tuple(group) for group in getattr(settings, kind, None) or ()]


def check(model: str, settings: Any, names: Collection[str]) -> None:
    """Checks a model's groups.

    Args:
        model: Its name.
        settings: Its `Config`.
        names: Its parameters.

    Raises:
        ModelError: A group is no group, or names what is no parameter.
    """
    for kind in KINDS:
        value: Any = getattr(settings, kind, None) or ()
        for group in [value] if isinstance(value, str) else value:
            if isinstance(group, str) or len(set(group)) < max(2, len(group)):
                raise ModelError(f'{model}.Config.{kind} is a list of groups, such as [("a", "b")], not {value!r}')
            for name in group:
                if name not in names:
                    raise ModelError(
                        f"{model}.Config.{kind} names {name!r}, which is no parameter.{did_you_mean(str(name), names)}"
                    )


def is_given(value: Any) -> bool:
    """Returns whether a value that somebody said counts as given; 0 does.

    >>> [is_given(value) for value in (0, "a", [0], None, False, "", [])]
    [True, True, True, False, False, False, False]
    """
    empty = isinstance(value, (str, list, tuple, set, frozenset, dict)) and not value
    return not (value is None or value is False or empty)


def broken(model: type[TaskParameters], said: Mapping[str, Any]) -> Iterator[Broken]:
    """Gives the groups of which too many are given, or none.

    Args:
        model: The model.
        said: What somebody said, by the parameters' names in the YAML.
    """
    for kind in KINDS:
        for group in groups_of(model.Config, kind):
            names = tuple(yaml_name(model, name) for name in group)
            given = [name for name in names if is_given(said.get(name))]
            if len(given) > 1 or (not given and kind == EXACTLY_ONE):
                at = given[-1] if given else None
                text = f"{kind.replace('_', ' ')} of {', '.join(names)} can be given, and "
                text += f"{', '.join(given)} are" if given else "none is"
                yield Broken(at, text, names)


def judge(model: TaskParameters) -> None:
    """Judges a model that was made.

    Raises:
        ValidationError: Of a group too many are given, or none.
    """
    kind = type(model)
    names = [name for name in kind.model_fields if name in model.model_fields_set]
    found = list(broken(kind, {yaml_name(kind, name): getattr(model, name) for name in names}))
    if found:
        errors = [
            InitErrorDetails(
                type=PydanticCustomError(ERROR, "{text}", {"text": one.text, "names": one.names}),
                loc=(one.at,) if one.at else (),
                input={},
            )
            for one in found
        ]
        raise ValidationError.from_exception_data(kind.__name__, errors)


def others_given(model: type[TaskParameters], said: Mapping[str, Any]) -> set[str]:
    """Returns the parameters that are in a group of which another is given: no earlier result is taken for them."""
    groups = [group for kind in KINDS for group in groups_of(model.Config, kind)]
    given = {name for group in groups for name in group if is_given(said.get(yaml_name(model, name)))}
    return {name for group in groups for name in group if given & set(group) - {name}}


def yaml_name(model: type[TaskParameters], name: str) -> str:
    """Returns a parameter's name in the YAML: its alias, if it has one."""
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    field = model.model_fields[name]
    alias = None if by_name else field.validation_alias or field.alias
    return alias if isinstance(alias, str) else name
