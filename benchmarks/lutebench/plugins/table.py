"""A Python Task with as many values as wanted."""

from lute import Executor, Task, TaskParameters


class TableParameters(TaskParameters):
    """Take a table of values."""

    values: dict[str, int | str]


class Table(Task):
    """Does nothing with them."""

    def _run(self) -> None:
        pass


Tabler = Executor("Table")
