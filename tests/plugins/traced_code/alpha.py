"""Alpha depends on helper_a, on a package, and on what it imports while it runs; on nothing of beta.py."""

from __future__ import annotations

import importlib

from helper_a import FACTOR
from pack import inner

from lute import Executor, Task, TaskParameters


class AlphaParameters(TaskParameters):
    """What Alpha needs."""

    lazy: str = ""


class Alpha(Task):
    """Multiplies, by what its helpers say."""

    def _run(self) -> None:
        value = FACTOR * inner.VALUE
        if self._task_parameters.lazy:
            value *= importlib.import_module(self._task_parameters.lazy).FACTOR
        self._result.payload = value


class AloneParameters(TaskParameters):
    """What a Task in a module of its own needs."""

    class Config(TaskParameters.Config):
        """The parent never imports the module."""

        task_module: str = "alone"


AlphaRunner = Executor("Alpha")
AloneRunner = Executor("Alone")
