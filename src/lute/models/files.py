"""The files that a Task's parameters name: what it reads, what it says that it writes. Nothing here looks at a disk."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from lute.base.formatting import in_order
from lute.models.base import TaskParameters, TemplateConfig, TemplateParameters, fields_marked, result_field
from lute.models.fields import Output, Stderr, Stdin, Stdout

LONGEST_PATH = 4096
"""A longer text is not a path, in characters."""


class NamedFile(NamedTuple):
    """A file that a parameter names; it need not exist.

    Attributes:
        parameter: The parameter's name.
        text: The path as it was given.
        path: The path, absolute where the Task's folder is.
        mark: How the parameter is marked as an output; None for an input, and for a result that is not marked so.
    """

    parameter: str
    text: str
    path: str
    mark: Output | None = None

    @property
    def is_pattern(self) -> bool:
        """Whether it stands for all files that fit it."""
        return self.mark is not None and self.mark.glob


def inputs_named(params: TaskParameters, cwd: str) -> list[NamedFile]:
    """Returns what parameters name that may be files, those that say what the Task writes left out.

    Args:
        params: The parameters.
        cwd: The folder that relative paths start from.
    """
    never = {"executable", "lute_config", *_output_fields(params)}
    never |= {name for mark in (Stdout, Stderr) for name in fields_marked(type(params), mark)}
    never -= fields_marked(type(params), Stdin).keys()
    values = ((name, value) for name, value, _ in params.command_line_fields() if name not in never)
    return [NamedFile(name, text, os.path.join(cwd, text)) for name, value in values for text in _paths_in(value)]


def outputs_declared(params: TaskParameters, cwd: str) -> list[NamedFile]:
    """Returns the files and folders that a Task says it writes.

    Args:
        params: The parameters.
        cwd: The folder that relative paths start from.
    """
    return [
        NamedFile(name, text, os.path.join(cwd, text), mark)
        for name, mark in _output_fields(params).items()
        for text in _paths_in(getattr(params, name))
    ]


def files_alone(params: TaskParameters, cwd: str) -> list[NamedFile]:
    """Returns the files that a Task writes and that no other may write beside it.

    These are its outputs and the files of its streams. Left out are patterns, results that are not marked as outputs,
    and files that streams are added to.

    Args:
        params: The parameters.
        cwd: The folder that relative paths start from.
    """
    return [
        NamedFile(name, text, os.path.join(cwd, text), mark)
        for name, mark in _fields_alone(type(params)).items()
        for text in _paths_in(getattr(params, name))
    ]


@functools.cache
def _fields_alone(model: type[TaskParameters]) -> dict[str, Output | None]:
    streams = {**fields_marked(model, Stdout), **fields_marked(model, Stderr)}
    outputs = fields_marked(model, Output)
    added_to = {name for name, mark in streams.items() if mark.append}
    patterns = {name for name, mark in outputs.items() if mark.glob}
    return {name: outputs.get(name) for name in {**outputs, **streams} if name not in added_to | patterns}


def _output_fields(params: TaskParameters) -> dict[str, Output | None]:
    """Returns the fields that say what a Task writes: those marked so, and its result where that is a path."""
    found: dict[str, Output | None] = dict(fields_marked(type(params), Output))
    result = result_field(type(params))
    if result is not None and _may_be_path(getattr(params, result)):
        found.setdefault(result, None)
    return found


def _may_be_path(value: Any) -> bool:
    several = isinstance(value, (list, tuple)) and all(isinstance(item, Path) for item in value)
    return isinstance(value, (str, Path)) or several


def _paths_in(value: Any) -> Iterator[str]:
    """Gives the texts in a value that may be paths."""
    if isinstance(value, (str, Path)):
        text = str(value)
        if 0 < len(text) < LONGEST_PATH and "\0" not in text:
            yield text
    elif isinstance(value, TemplateParameters):
        yield from _paths_in(value.params)
    elif isinstance(value, BaseModel):
        if not isinstance(value, TemplateConfig):  # what it names is looked for and written by `lute`
            yield from _paths_in(dict(value))
    elif isinstance(value, (dict, list, tuple, set, frozenset)):
        for item in value.values() if isinstance(value, dict) else in_order(value):
            yield from _paths_in(item)
