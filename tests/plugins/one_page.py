from typing import Literal

import numpy as np

import lute
from lute import ElogSummaryPlots, Task, TaskParameters


class OneParameters(TaskParameters):
    text: str = "first"
    backend: Literal["", "matplotlib", "plotly"] = ""
    some_fail: bool = False
    twice: bool = False
    metrics: bool = False
    lines: list[int] = []


@lute.task
def show_two(n: int = 2) -> int:
    """Show as many pages."""
    for number in range(n):
        lute.show(f"<p>page {number}</p>", f"scans/page {number}")
    return n


class ShowParameters(TaskParameters):
    fail: bool = False


class Show(Task):
    def _run(self):
        from matplotlib.figure import Figure

        figure = Figure()
        axes = figure.subplots(squeeze=True)
        for title in ("before", "after"):
            axes.set_title(title)
            self.show(figure, f"shown/{title}")
        self.show(object(), "shown/bad")
        self.show("<p>odd</p>", "../out")
        self.show("<p>none</p>", None)
        self._result.payload = {"n": 1}
        if self._task_parameters.fail:
            raise ValueError("after figures")


class One(Task):
    def _figure(self):
        if self._task_parameters.backend:
            import holoviews as hv

            hv.extension(self._task_parameters.backend)
            return hv.Curve([1, 2])
        if self._task_parameters.some_fail:
            return {"good": "<p>fine</p>", "bad": object(), "stack": np.zeros((5, 6, 7))}
        return f"<p>{self._task_parameters.text}</p>"

    def _run(self):
        page = ElogSummaryPlots("scans/one", self._figure())
        self._result.payload = page
        if self._task_parameters.metrics:
            self.log_metric("hit <rate>", 12.5, "%")
        if self._task_parameters.twice:
            self._result.payload = [page, ElogSummaryPlots("scans/one", "<p>other</p>")]
        self._result.summary = page
