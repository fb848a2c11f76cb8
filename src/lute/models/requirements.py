"""What metrics must be for a run to be good: `require` in a model's `Config`.

require = {"spots": ">= 10", "rmerge": "< 0.2"}
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lute.errors import ModelError

if TYPE_CHECKING:
    from lute.record.types import Metric

_COMPARE = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_TEXT = re.compile(r"\s*([<>]=?|[=!]=)\s*(\S+)\s*")

LARGEST_WHOLE = 1e15
"""From here on a float is written as one, with an exponent."""

Requirements = Mapping[str, tuple[str, str]]
"""Sign and number, as it was written, that each metric is compared with."""


def requirements_of(where: str, settings: Any) -> Requirements:
    """Returns what a model's `Config` requires.

    Args:
        where: What the settings belong to, for messages.
        settings: The `Config`.

    Raises:
        ModelError: What is required cannot be understood.
    """
    given = getattr(settings, "require", None) or {}
    place = f"{where}.Config.require"
    if not isinstance(given, dict):
        raise ModelError(f'{place}: write a dict, such as {{"spots": ">= 10"}}, not {given!r}')
    return {str(name): _parsed(f"{place}[{name!r}]", text) for name, text in given.items()}


def _parsed(place: str, text: Any) -> tuple[str, str]:
    found = _TEXT.fullmatch(text) if isinstance(text, str) else None
    try:
        limit = float(found[2]) if found else float("nan")
    except ValueError:
        limit = float("nan")
    if found is None or limit != limit:
        signs = ", ".join(_COMPARE)
        raise ModelError(f"{place} is {text!r}: write one of {signs} and a number, such as '>= 10'")
    return found[1], found[2]


def unmet(required: Requirements, metrics: Mapping[str, Metric]) -> list[str]:
    """Returns what is wrong with metrics, in the order of the requirements. No comparison with nan is true.

    >>> unmet({"spots": (">=", "10"), "rate": (">", "0")}, {"spots": {"value": 3, "unit": ""}})
    ['spots is 3, required >= 10', 'rate was not told, required > 0']
    """
    checked = ((name, sign, limit, metrics.get(name)) for name, (sign, limit) in required.items())
    return [
        f"{name} {_as_text(metric)}, required {sign} {limit}"
        for name, sign, limit, metric in checked
        if metric is None or not _holds(metric["value"], sign, limit)
    ]


def _holds(value: float | None, sign: str, limit: str) -> bool:
    return value is not None and value == value and bool(_COMPARE[sign](value, float(limit)))


def _as_text(metric: Metric | None) -> str:
    """Returns a metric as what it is, with all its digits."""
    if metric is None:
        return "was not told"
    value = metric["value"]
    if value is None:
        return "is no finite number"
    whole = abs(value) < LARGEST_WHOLE and value == int(value)
    return f"is {int(value) if whole else repr(value)}"
