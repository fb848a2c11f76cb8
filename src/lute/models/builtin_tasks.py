"""Tasks that come with `lute`, to try an installation."""

from __future__ import annotations

import array
import os

from lute.tasks.task import Task
from lute.wire.ipc import Message


class Test(Task):
    """Says what it was given."""

    def _run(self) -> None:
        params = self._task_parameters
        self._report_to_executor(Message(contents=f"float_var is {params.float_var}, str_var is {params.str_var!r}"))
        self._report_to_executor(Message(contents=f"compound_var is {params.compound_var}"))
        if params.throw_error:
            raise RuntimeError("Testing Error!")
        self._result.summary = "Test Finished."


class TestSocket(Task):
    """Sends arrays, one message each."""

    def _run(self) -> None:
        params = self._task_parameters
        for number in range(params.num_arrays):
            values = array.array("d", [float(number)]) * params.array_size
            self._report_to_executor(Message(contents=values))
        self._result.summary = f"Sent {params.num_arrays} arrays of {params.array_size} values"


class TestWriteOutput(Task):
    """Writes numbers to a file in the work folder, one a line."""

    def _run(self) -> None:
        params = self._task_parameters
        path = os.path.join(params.lute_config.work_dir, params.outfile_name)
        with open(path, "w", encoding="utf-8") as file:
            file.writelines(f"{number}\n" for number in range(params.num_vals))
        self._result.summary = f"Wrote {params.num_vals} numbers"


class TestReadOutput(Task):
    """Reads numbers from a file in the work folder; the payload is their sum."""

    def _run(self) -> None:
        params = self._task_parameters
        path = os.path.join(params.lute_config.work_dir, params.in_file)
        with open(path, encoding="utf-8") as file:
            numbers = [float(line) for line in file]
        self._result.payload = sum(numbers)
        self._result.summary = f"Read {len(numbers)} numbers"
