"""Another plug-in of the same YAML file; none of the workflow's Tasks depends on it."""

from other_helper import NOTHING

from lute import Task, TaskParameters


class OtherParameters(TaskParameters):
    """Nothing."""


class Other(Task):
    """Gives nothing."""

    def _run(self) -> None:
        self._result.payload = NOTHING
