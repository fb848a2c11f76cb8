from fractions import Fraction

import numpy

from lute import Executor, Task, TaskParameters

PAYLOADS = {
    "array": numpy.arange(6, dtype="int16").reshape(2, 3),
    "bytes": b"\x00raw",
    "nested": {"a": [numpy.ones(2), 1.5], "type": "x"},
    "odd": Fraction(1, 3),
    "like": {"type": "t", "path": "/etc/hostname", "size": 1},
    "text": "caf\u00e9",
    "none": None,
}


class GiveParameters(TaskParameters):
    what: str = "text"
    mixed: object = 1
    id: int = 7
    several: list[int] = [1, 2]
    big: int = 2**70


class Give(Task):
    def _run(self):
        print("giving", self._task_parameters.what)
        if self._task_parameters.what == "error":
            raise ValueError("wrong calibration")
        self._result.payload = PAYLOADS[self._task_parameters.what]


Giver = Executor("Give")
