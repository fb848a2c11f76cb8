"""Tasks that share work among processes which import this file by its name."""

from __future__ import annotations

import multiprocessing

from lute import Executor, Task, TaskParameters


class Spot:
    """What Spawning gives."""

    def __init__(self, number: int) -> None:
        self.number = number


def double(number: int) -> Spot:
    """What is done in a process of its own."""
    return Spot(2 * number)


class SpawningParameters(TaskParameters):
    """What Spawning needs."""

    how: str = "spawn"


class Spawning(Task):
    """Doubles numbers in processes of its own."""

    def _run(self) -> None:
        with multiprocessing.get_context(self._task_parameters.how).Pool(2) as pool:
            spots = pool.map(double, [1, 2, 3])
        self._result.summary = str([spot.number for spot in spots])
        self._result.payload = spots[0]


Spawner = Executor("Spawning")
