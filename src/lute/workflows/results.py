"""What steps gave, as conditions and parameters of later steps name it: `steps.NAME.result`, `item`."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lute.base.formatting import read_scalar
from lute.base.paths import NOTHING, split_path, value_at
from lute.config.run_names import NamesAsWritten
from lute.config.substitution import Substituter, literally, names_in
from lute.config.yaml_reader import in_one_line
from lute.errors import SubstitutionError, WorkflowError
from lute.graph.dag import Step
from lute.record.values import Exact
from lute.workflows import conditions

PARTS = ("result", "status", "summary", "exit_code", "metrics", "parameters", "id")
"""What can be asked of a step that has run."""
_WHOLE_PARAMETER = re.compile(r"\s*\{\{\s*(steps[.\[][^\s|:{}]+\.parameters[.\[][^\s|:{}]+)\s*\}\}\s*")
"""A text that is one parameter of a step and nothing else."""
NO_ITEM: Any = object()
"""Stands for the item of a step that has no `foreach`; null is an item."""
_FOR_THE_RUN = {name: f"__lute_{name}_of_the_run__" for name in NamesAsWritten()}
"""What stands for `{{ run_id }}` and `{{ run_dir }}` until the step's run is planned, as no other text does."""
MOST_RUNS = 100_000
"""So many runs are a mistake in a `foreach`."""


def steps_used(step: Step) -> dict[str, set[str]]:
    """Returns the steps whose results a step names, for each of its `when`, `parameters` and `foreach`."""
    names = conditions.names_in(step.when) if step.when else set()
    return {
        "when": _steps_among(names),
        "parameters": _steps_among(_names(step.parameters)),
        "foreach": _steps_among(_names(step.foreach)),
    }


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield from names_in(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _names(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _names(item)


def _steps_among(names: Any) -> set[str]:
    parts = [split_path(name) for name in names]
    return {part[1] for part in parts if len(part) > 1 and part[0] == "steps"}


class Results(Mapping[str, Any]):
    """The results of steps by name, each read when it is asked for.

    Args:
        read: Returns what a step gave: a mapping with `PARTS`, or a list of them for a step with `foreach`.
        names: The steps that have run.
    """

    def __init__(self, read: Callable[[str], Any], names: Callable[[], list[str]]) -> None:
        self._read, self._names = read, names

    def __getitem__(self, name: str) -> Any:
        found = self._read(name)
        if isinstance(found, list):
            return {part: [one.get(part) for one in found] for part in PARTS} | {"runs": found}
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(self._names())

    def __len__(self) -> int:
        return len(self._names())


class NotKnownYet(Exception):
    """Something was asked for that is known only when a step's turn comes."""


class Unknown(Mapping[str, Any]):
    """Stands for results, or an item, before there are any: whatever is done with it raises `NotKnownYet`."""

    def _none(self, *_: Any) -> Any:
        raise NotKnownYet

    __getitem__ = __iter__ = __len__ = __str__ = __format__ = _none


class Scope:
    """What names mean for one step: results of earlier steps, the item of `foreach`, and the YAML file's own.

    Args:
        results: What earlier steps gave.
        documents: Second document and header of the YAML file.
        item: The item of `foreach`, if there is one.
    """

    def __init__(self, results: Mapping[str, Any], documents: list[Mapping[str, Any]], item: Any = NO_ITEM) -> None:
        self._results = results
        ours = {"steps": results} if item is NO_ITEM else {"steps": results, "item": item}
        self._substituter = Substituter(documents, os.environ, read_scalar, ours, _FOR_THE_RUN)

    def value(self, raw: Any) -> Any:
        """Returns a value with its substitutions made.

        Raises:
            WorkflowError: One of them cannot be.
        """
        try:
            return self._substituter.value(raw)
        except SubstitutionError as error:
            raise WorkflowError(str(error)) from error

    def _exact_value(self, raw: Any) -> Any:
        """Returns a value as `value` does; what is a parameter of a step, as a whole, as it was in that step."""
        found = _WHOLE_PARAMETER.fullmatch(raw) if isinstance(raw, str) else None
        parts = split_path(found[1]) if found else []
        if len(parts) == 4 and parts[2] == "parameters":
            kept = value_at(self._results, [parts[1], "exact", parts[3]])
            if kept is not NOTHING:
                return Exact(kept)
        return self.value(raw)

    def holds(self, condition: str) -> bool:
        """Returns whether a condition is true.

        Raises:
            WorkflowError: It cannot be judged.
        """
        return conditions.holds(condition, lambda name: self.value(f"{{{{ {name} }}}}"))

    def settings(self, step: Step) -> tuple[tuple[str, str], ...]:
        """Returns a step's parameters as what `--set` takes.

        Args:
            step: The step; `task` must be the Task's own name here.
        """
        return tuple((name, self.setting(step, name)) for name in step.parameters)

    def setting(self, step: Step, name: str) -> str:
        """Returns one of a step's parameters as YAML, its substitutions made; what they gave stays as it is in that."""
        found = step.texts.get(name) or in_one_line(literally(self._exact_value(step.parameters[name])))
        for run_name, mark in _FOR_THE_RUN.items():
            found = found.replace(mark, f"{{{{ {run_name} }}}}")
        return found


def items_of(foreach: Any, scope: Scope) -> list[Any]:
    """Returns the items of a `foreach`.

    Raises:
        WorkflowError: It is no list.
    """
    if isinstance(foreach, Mapping):
        if "files" in foreach:
            pattern = str(scope.value(foreach["files"]))
            return sorted(glob.glob(os.path.expanduser(pattern), recursive=True))
        return runs_of(scope.value(foreach["runs"]))
    found = scope.value(foreach)
    if not isinstance(found, list):
        raise WorkflowError(f"foreach: {foreach!r} is {type(found).__name__}, expected a list")
    return found


def runs_of(value: Any) -> list[int]:
    """Returns run numbers: a list, one number, or a text such as `1-5,8`.

    >>> runs_of("1-3,8")
    [1, 2, 3, 8]
    """
    found: list[int] = []
    for part in value if isinstance(value, list) else str(value).split(","):
        first, dash, last = str(part).strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or int(last or first) < int(first):
            raise WorkflowError(f"runs: {value!r}: write numbers and ranges, such as 1-5,8")
        found += range(int(first), min(int(last or first), int(first) + MOST_RUNS) + 1)
        if len(found) > MOST_RUNS:
            raise WorkflowError(f"runs: {value!r} are more than {MOST_RUNS}")
    return found
