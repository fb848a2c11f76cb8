"""What a Task is found to be and what it gives: status, result, plots, description."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Optional

from lute.wire.status import TaskStatus

if TYPE_CHECKING:
    from lute.models.base import TaskParameters

__all__ = ["DescribedAnalysis", "ElogSummaryPlots", "RenderedPage", "TaskResult", "TaskStatus"]


@dataclass
class TaskResult:
    """What a Task gives back.

    Attributes:
        task_name: The Task's class name.
        task_status: How it ended, or where it is.
        summary: A short text for people.
        payload: The result itself: text, a dict, an array, `ElogSummaryPlots`, any object, or a tuple or
            list of these.
        impl_schemas: Names of the schemas the output conforms to, several joined with `;`.
        shown: Pages of figures that it showed besides.
    """

    task_name: str
    task_status: TaskStatus
    summary: Any
    payload: Any
    impl_schemas: Optional[str] = None
    shown: list[ElogSummaryPlots] = field(default_factory=list, repr=False)


DEEPEST_PAGE = 10
"""Pages of figures are looked for in a tuple or list, and in those in it, so many levels deep."""


def is_unset(value: Any) -> bool:
    """Returns whether a summary or payload is as it was at the start."""
    return isinstance(value, str) and value in ("", "PENDING")


@dataclass
class ElogSummaryPlots:
    """A page of figures for the eLog and the web page.

    Attributes:
        display_name: Path on disk and in the eLog: `"scans/my_motor_scan"` is the page `my_motor_scan`
            under the tab `scans`.
        figures: A matplotlib `Figure`, a panel `Tabs` or other panel object, a holoviews element, a bokeh or plotly
            figure, an image as an array of shape `(rows, cols)` or `(rows, cols, 3 or 4)`, ready HTML, or an object
            that shows itself in a notebook. Several as a list, or as a dict by name.
    """

    display_name: str
    figures: Any


@dataclass
class RenderedPage:
    """The figures of an `ElogSummaryPlots` as the inside of a self-contained page, made where they were drawn.

    Attributes:
        html: What stands in the page's body.
        scripts: Whether there are scripts in it.
    """

    html: str
    scripts: bool = False


@dataclass
class DescribedAnalysis:
    """All an Executor knows of the run of a Task.

    Attributes:
        task_result: What the Task gave.
        task_parameters: The validated parameters; None before they are read.
        task_env: The environment of the Task's process.
        poll_interval: Longest time between two looks where there is nothing to wait on, in s.
        communicator_desc: A description of each communicator.
        record: What is kept of the run, by the keys of `lute show --json`; empty before it started.
    """

    task_result: TaskResult
    task_parameters: Optional[TaskParameters]
    task_env: dict[str, str]
    poll_interval: float
    communicator_desc: list[str]
    record: dict[str, Any] = field(default_factory=dict)
