"""The door to `lute.wire.results`. Values kept by an older `lute` name it, too."""

from lute.wire.results import DescribedAnalysis as DescribedAnalysis
from lute.wire.results import ElogSummaryPlots as ElogSummaryPlots
from lute.wire.results import RenderedPage as RenderedPage
from lute.wire.results import TaskResult as TaskResult
from lute.wire.results import TaskStatus as TaskStatus

__all__ = ["DescribedAnalysis", "ElogSummaryPlots", "TaskResult", "TaskStatus"]
