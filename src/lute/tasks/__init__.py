"""The child's side of a run: the life of one Task.

It needs Python 3.9 and its standard library alone, so that a Task can run under a Python that has nothing
installed. Such a Task imports its names from here; they are loaded when they are first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from lute.errors import TaskNotFoundError

if TYPE_CHECKING:
    from lute.tasks.progress import log_metric as log_metric
    from lute.tasks.progress import report_progress as report_progress
    from lute.tasks.progress import show as show
    from lute.tasks.task import Task as Task
    from lute.tasks.task import ThirdPartyTask as ThirdPartyTask
    from lute.wire.ipc import Message as Message
    from lute.wire.results import DescribedAnalysis as DescribedAnalysis
    from lute.wire.results import ElogSummaryPlots as ElogSummaryPlots
    from lute.wire.results import TaskResult as TaskResult
    from lute.wire.results import TaskStatus as TaskStatus
    from lute.wire.tables import Table as Table

_HOME_OF = {
    "DescribedAnalysis": "lute.wire.results",
    "ElogSummaryPlots": "lute.wire.results",
    "Message": "lute.wire.ipc",
    "Table": "lute.wire.tables",
    "Task": "lute.tasks.task",
    "TaskResult": "lute.wire.results",
    "TaskStatus": "lute.wire.results",
    "ThirdPartyTask": "lute.tasks.task",
    "log_metric": "lute.tasks.progress",
    "report_progress": "lute.tasks.progress",
    "show": "lute.tasks.progress",
}

__all__ = [*sorted(_HOME_OF), "TaskNotFoundError", "import_task"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lute.tasks' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def import_task(name: str) -> Any:
    """Returns the class of a Task by its name.

    A program has no class of its own: for a name that has a program's model but no class it is `ThirdPartyTask`.

    Raises:
        TaskNotFoundError: No Task of that name is known.
    """
    from lute import registry
    from lute.tasks.task import ThirdPartyTask

    found = registry.task_of(name)
    if found is not None:
        return found
    model: Any = registry.model_of(name)
    if "executable" in model.model_fields:
        return ThirdPartyTask
    raise TaskNotFoundError(
        f"there is no Task {name!r}: {model.__name__} has no `executable`, and no class is named {name!r}. "
        f"Add `class {name}(Task)` with a `_run` below the model."
    )
