"""Tasks that give numbers: always the same, or a little different each time; and one that draws."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from factor import FACTOR
from pydantic import field_validator

from lute import ElogSummaryPlots, Executor, Output, Task, TaskParameters


class MeasureParameters(TaskParameters):
    """Nothing."""


class Measure(Task):
    """Gives what its helper says."""

    def _run(self) -> None:
        self.log_metric("m", float(FACTOR))
        self._result.payload = {"factor": FACTOR}


class ShakyParameters(TaskParameters):
    """Where Shaky writes to."""

    out: Annotated[Path, Output()] = Path("shaky.txt")


class Shaky(Task):
    """Gives another number each time, within 1 % of the first."""

    def _run(self) -> None:
        value = 1.0 + (time.time_ns() % 1000) * 1e-5
        self.log_metric("value", value)
        self._task_parameters.out.write_text(f"value = {value}\n")
        self._result.payload = {"value": value}


class DrawnParameters(TaskParameters):
    """Nothing."""


class Drawn(Task):
    """Gives bytes and a page."""

    def _run(self) -> None:
        self._result.payload = [b"some bytes", ElogSummaryPlots("tab/page", "<p>drawn</p>")]


class ScaledParameters(TaskParameters):
    """A value whose validator changes it."""

    e: float = 1.0

    @field_validator("e")
    @classmethod
    def _scaled(cls, value: Any) -> Any:
        return value * 1000


class Scaled(Task):
    """Gives its parameter."""

    def _run(self) -> None:
        self._result.payload = self._task_parameters.e


Measurer = Executor("Measure")
ShakyRunner = Executor("Shaky")
Drawer = Executor("Drawn")
Scaler = Executor("Scaled")
