from typing import Annotated, Any

from lute import Executor, FromResult, Task, TaskParameters

VALUES = {
    "v": float("nan"),
    "text": "nan",
    "rows": [float("inf"), -float("inf"), "inf"],
    "~float": "nan",
    "own": {"~float": "inf"},
}


class GiveParameters(TaskParameters):
    alone: bool = False


class Give(Task):
    def _run(self):
        self.log_metric("m", float("nan"))
        self.log_metric("top", float("inf"))
        self._result.payload = float("nan") if self._task_parameters.alone else VALUES


class UseParameters(TaskParameters):
    taken: Annotated[Any, FromResult("Give")] = None
    value: Any = None
    number: float = 0.0


class Use(Task):
    def _run(self):
        params = self._task_parameters
        self._result.payload = [repr(params.taken), repr(params.value), repr(params.number)]


Giver, User = Executor("Give"), Executor("Use")
