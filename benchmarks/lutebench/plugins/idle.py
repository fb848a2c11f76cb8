"""A Python Task that does nothing."""

from lute import Executor, Task, TaskParameters


class IdleParameters(TaskParameters):
    """Do nothing."""

    number: int = 1


class Idle(Task):
    """Does nothing."""

    def _run(self) -> None:
        pass


Idler = Executor("Idle")
NewIdler = Executor("Idle")
NewIdler.update_environment({"PYTHONHASHSEED": "1"})  # which takes a new interpreter
