import time
from typing import Annotated, Any

from lute import Executor, FromResult, Task, TaskParameters


class CountParameters(TaskParameters):
    n: int = 1
    name: str = "a"
    nested: dict[str, Any] = {"x": [1, 2]}


class Count(Task):
    def _run(self):
        n = self._task_parameters.n
        if n < 0:
            raise ValueError("n is negative")
        self.log_metric("peaks", n * 10, "counts")
        self._result.payload = n * 2
        self._result.summary = f"counted to {n}"


class UseParameters(TaskParameters):
    counted: Annotated[int, FromResult("Count", "result.payload")]


class Use(Task):
    def _run(self):
        self._result.payload = self._task_parameters.counted


class WaitParameters(TaskParameters):
    seconds: float = 60


class Wait(Task):
    def _run(self):
        time.sleep(self._task_parameters.seconds)


Counter = Executor("Count")
