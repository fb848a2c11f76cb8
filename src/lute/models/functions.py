"""`@lute.task`: a plain function becomes a model and a Task."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import typing
from collections.abc import Callable
from typing import Any, TypeVar, overload

from pydantic import create_model
from pydantic.fields import FieldInfo

from lute.errors import ModelError
from lute.models.base import TaskParameters
from lute.models.fields import Field
from lute.tasks.task import Task

Function = TypeVar("Function", bound=Callable[..., Any])


@overload
def task(function: Function) -> Function: ...
@overload
def task(*, name: str | None = None) -> Callable[[Function], Function]: ...


def task(function: Any = None, *, name: str | None = None) -> Any:
    """Makes a Task of a function: its parameters are the model's, what it returns is the payload.

    The function `count_peaks` becomes the Task `CountPeaks` with the model `CountPeaksParameters`; both are its
    attributes `Task` and `Parameters`, and names of its module. Called by itself it is the function that it was.
    The first line of its docstring describes the Task, its `Args:` describe the parameters.

    Args:
        function: The function. Every parameter has an annotation.
        name: Another name for the Task.

    Raises:
        ModelError: A parameter has no annotation, or is `*args` or `**kwargs`.
    """
    if function is None:
        return functools.partial(task, name=name)
    task_name = name or "".join(part[:1].upper() + part[1:] for part in function.__name__.split("_"))
    body = {"__module__": function.__module__, "__doc__": function.__doc__, "_run": _run_of(function)}
    function.Parameters = _model_of(function, task_name)
    function.Task = type(task_name, (Task,), body)
    for made in (function.Parameters, function.Task):
        made.__qualname__ = made.__name__
        setattr(sys.modules[function.__module__], made.__name__, made)
    return function


def _run_of(function: Callable[..., Any]) -> Callable[[Task], None]:
    names = list(inspect.signature(function).parameters)

    def _run(self: Task) -> None:
        params = self._task_parameters
        found = function(**{name: getattr(params, name) for name in names})
        if found is not None:
            self._result.payload = found
        self._result.summary = ""

    return _run


def _model_of(function: Callable[..., Any], task_name: str) -> type[TaskParameters]:
    hints = typing.get_type_hints(function, include_extras=True)
    described = _descriptions(function.__doc__ or "")
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name not in hints:
            raise ModelError(
                f"{function.__name__}: the parameter {name!r} needs a type, as in `{name}: float`; *args and **kwargs"
                " cannot be parameters of a Task"
            )
        default = ... if parameter.default is parameter.empty else parameter.default
        if not isinstance(default, FieldInfo):
            default = Field(default, description=described.get(name))
        fields[name] = (hints[name], default)
    return create_model(
        f"{task_name}Parameters",
        __base__=TaskParameters,
        __module__=function.__module__,
        __doc__=(function.__doc__ or "").strip().split("\n")[0] or None,
        **fields,
    )


def _descriptions(docstring: str) -> dict[str, str]:
    """Returns the `Args:` of a Google-style docstring."""
    found: dict[str, str] = {}
    inside, last = False, ""
    for line in inspect.cleandoc(docstring).splitlines():
        if re.match(r"(Args|Arguments|Parameters):\s*$", line):
            inside = True
        elif inside and line and not line[0].isspace():
            break
        elif inside and (start := re.match(r"\s{2,8}(\w+)(?:\s*\([^)]*\))?:\s*(.*)", line)):
            last = start[1]
            found[last] = start[2]
        elif inside and last and line.strip():
            found[last] += " " + line.strip()
    return found
