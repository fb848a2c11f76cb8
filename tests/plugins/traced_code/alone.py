"""A Task in a module of its own, with a helper of its own."""

from helper_alone import FACTOR

from lute.tasks import Task


class Alone(Task):
    """Gives what its helper says."""

    def _run(self):
        self._result.payload = FACTOR
