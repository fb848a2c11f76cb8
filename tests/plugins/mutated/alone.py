"""A Task in a module of its own."""

from alone_helper import SUFFIX

from lute.tasks import Task


class Alone(Task):
    """Copies a file."""

    def _run(self):
        params = self._task_parameters
        params.out.write_text(params.in_file.read_text() + SUFFIX)
