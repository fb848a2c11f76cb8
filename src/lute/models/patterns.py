r"""How a program's own output tells of its progress, metrics and failure: the patterns in a model's `Config`.

    progress_pattern = r"frame (?P<done>\d+) of (?P<total>\d+)"
    metric_patterns = {"rmerge": r"R-merge:\s*([\d.]+)", "d_min": (r"resolution ([\d.]+)", "Å")}
    failure_patterns = {"nothing indexed": r"^0 spots indexed", "bad input": r"^Sorry: (?P<reason>.*)"}

A pattern is a regular expression that is looked for in each line by itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from lute.errors import ModelError, did_you_mean

PROGRESS_GROUPS = ("done", "total", "percent", "text")
"""Names that groups of a `progress_pattern` may have; `done` or `percent` must be there."""


class Patterns(NamedTuple):
    """What to look for in the lines of a run's log.

    Attributes:
        progress: Has the groups `done` or `percent`, and perhaps `total` and `text`.
        metrics: Pattern and unit of each metric; the value is the group `value`, or the first.
        failures: Pattern of each failure, by its name; the group `reason`, if there is one, says more.
    """

    progress: re.Pattern[str] | None = None
    metrics: Mapping[str, tuple[re.Pattern[str], str]] = MappingProxyType({})
    failures: Mapping[str, re.Pattern[str]] = MappingProxyType({})

    def __bool__(self) -> bool:
        return self.progress is not None or bool(self.metrics or self.failures)


def patterns_of(where: str, settings: Any) -> Patterns:
    """Returns the patterns in a model's `Config`.

    Args:
        where: What the settings belong to, for messages.
        settings: The `Config`.

    Raises:
        ModelError: A pattern is no regular expression, or has not the groups that it needs.
    """
    found = getattr(settings, "progress_pattern", None)
    progress = _progress(f"{where}.Config.progress_pattern", found) if found is not None else None
    metrics = _named(where, settings, "metric_patterns", "{name: pattern} or {name: (pattern, unit)}")
    failures = _named(where, settings, "failure_patterns", "{name: pattern}")
    return Patterns(
        progress,
        {name: _metric(place, item) for name, place, item in metrics},
        {name: _compiled(place, item) for name, place, item in failures},
    )


def _named(where: str, settings: Any, setting: str, form: str) -> list[tuple[str, str, Any]]:
    """Returns the name of each pattern of a setting, its place for messages, and what was written for it."""
    given = getattr(settings, setting, None) or {}
    place = f"{where}.Config.{setting}"
    if not isinstance(given, dict):
        raise ModelError(f"{place}: write a dict, {form}, not {given!r}")
    return [(str(name), f"{place}[{name!r}]", item) for name, item in given.items()]


def _compiled(place: str, pattern: Any) -> re.Pattern[str]:
    try:
        return re.compile(pattern) if isinstance(pattern, str) else re.compile(pattern.pattern, pattern.flags)
    except (re.error, AttributeError, TypeError) as error:
        raise ModelError(f"{place} is no regular expression: {error}. It is {pattern!r}") from error


def _progress(place: str, pattern: Any) -> re.Pattern[str]:
    compiled = _compiled(place, pattern)
    for name in compiled.groupindex:
        if name not in PROGRESS_GROUPS:
            known = ", ".join(PROGRESS_GROUPS)
            raise ModelError(f"{place}: there is no group {name!r}, only {known}.{did_you_mean(name, PROGRESS_GROUPS)}")
    if not {"done", "percent"} & set(compiled.groupindex):
        raise ModelError(rf"{place} needs a group `done` or `percent`, as in r'(?P<done>\d+)/(?P<total>\d+)'")
    return compiled


def _metric(place: str, item: Any) -> tuple[re.Pattern[str], str]:
    pattern, unit = item if isinstance(item, (tuple, list)) and len(item) == 2 else (item, "")
    compiled = _compiled(place, pattern)
    if not compiled.groups:
        raise ModelError(rf"{place} needs a group for the value, as in r'R-merge: ([\d.]+)'")
    return compiled, str(unit)
