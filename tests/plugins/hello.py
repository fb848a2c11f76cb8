import os
from typing import Literal

from lute import Executor, Task, TaskParameters


class HelloParameters(TaskParameters):
    name: str = "world"
    summary: Literal["done", "Greek", "secret", "evil"] = "done"


class Hello(Task):
    def _run(self):
        summaries = {
            "done": "done",
            "Greek": "\u03bb is 3",
            "secret": f"a \0 and {os.environ.get('API_TOKEN')}",
            "evil": "\x1b[2J\x07 \x9b31m\x7f\r one\n\ttwo",
        }
        summary = summaries[self._task_parameters.summary]
        if self._task_parameters.name == "x":
            raise ValueError(summary)
        print("hello", self._task_parameters.name)
        self._result.payload = {"greeted": self._task_parameters.name}
        self._result.summary = summary


Greeter = Executor("Hello")
