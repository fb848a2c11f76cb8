"""What is known by name: parameter models, Tasks, managed Tasks and schedulers.

Models and Tasks enter when their classes are made, managed Tasks when the module that names them is loaded
(`lute.plugins`). A later definition of a name replaces an earlier one.
"""

from __future__ import annotations

import importlib
import os
from types import ModuleType
from typing import TYPE_CHECKING, Optional

from lute.errors import TaskNotFoundError, did_you_mean

if TYPE_CHECKING:
    from lute.execution.executor import BaseExecutor

models: dict[str, type] = {}
tasks: dict[str, type] = {}
managed: dict[str, BaseExecutor] = {}

BUILT_IN = {
    "Test": "lute.models.builtin_tasks",
    "TestSocket": "lute.models.builtin_tasks",
    "TestWriteOutput": "lute.models.builtin_tasks",
    "TestReadOutput": "lute.models.builtin_tasks",
    "TestBinary": None,
    "TestBinaryErr": None,
}
"""Tasks that come with `lute`, and the module of each that is not a program."""
BUILT_IN_MODELS = "lute.models.builtin"


SCHEDULER = "LUTE_SCHEDULER"
"""The environment variable that names a scheduler of the table, or a module that implements one."""
SCHEDULERS = {"slurm": ("lute.batch.slurm", "SLURM_JOB_ID")}
"""The schedulers by their names: the module of each, and a variable that is set in all of its jobs and nowhere else."""


def model_of(task_name: str) -> type:
    """Returns the parameter model `<task_name>Parameters`.

    Raises:
        TaskNotFoundError: There is no such model.
    """
    name = f"{task_name}Parameters"
    if name not in models and task_name in BUILT_IN:
        importlib.import_module(BUILT_IN_MODELS)
    if name not in models:
        known = [model.removesuffix("Parameters") for model in models] + list(BUILT_IN)
        hint = did_you_mean(task_name, known) or " Was its plug-in given with -p or LUTE_PLUGINS?"
        raise TaskNotFoundError(f"there is no Task {task_name!r}: no model is named {name!r}.{hint}")
    return models[name]


def task_of(task_name: str) -> Optional[type]:
    """Returns the class of a Task that was defined or that comes with `lute`; None for other names."""
    module = BUILT_IN.get(task_name)
    if task_name not in tasks and module:
        importlib.import_module(module)
    return tasks.get(task_name)


def task_names() -> list[str]:
    """Returns the names of the Tasks that are known."""
    return [*BUILT_IN, *(name.removesuffix("Parameters") for name in models if name.endswith("Parameters"))]


def known_managed() -> dict[str, BaseExecutor]:
    """Returns all managed Tasks by name, those that come with `lute` too."""
    known: dict[str, BaseExecutor] = importlib.import_module("lute.managed_tasks").known()
    return known


def adopt(module: ModuleType) -> None:
    """Takes up the managed Tasks that a plug-in names."""
    named = list(vars(module).items())
    managed.update((name, it) for name, it in named if getattr(it, "_is_lute_executor", 0) and not isinstance(it, type))


def scheduler_name() -> str:
    """Returns the name of the batch system that jobs are submitted to: `$LUTE_SCHEDULER`, or Slurm."""
    return os.environ.get(SCHEDULER) or "slurm"


def may_be_in_job() -> bool:
    """Returns whether this process may be in a batch job; if not, nothing of one needs to be loaded."""
    known = SCHEDULERS.get(scheduler_name())
    return known is None or known[1] in os.environ
