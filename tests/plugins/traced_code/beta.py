"""Beta depends on helper_b."""

from __future__ import annotations

from helper_b import FACTOR

from lute import Executor, Task, TaskParameters


class BetaParameters(TaskParameters):
    """What Beta needs."""


class Beta(Task):
    """Gives what its helper says."""

    def _run(self) -> None:
        self._result.payload = FACTOR


BetaRunner = Executor("Beta")
