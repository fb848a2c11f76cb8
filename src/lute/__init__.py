"""Run analysis programs from one YAML file, each in a process of its own, and keep what they did.

The names below are loaded when they are first used: `import lute` costs nothing, and the child's
side of `lute` needs no more than Python's standard library.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {
    "lute.errors": ("LuteError", "ConfigError", "TaskFailed", "TaskTimedOut", "UsageError"),
    "lute.execution.executor": ("BaseExecutor", "Executor", "MPIExecutor"),
    "lute.wire.ipc": ("Message",),
    "lute.facility": ("Facility",),
    "lute.graph.dag": ("Resources", "Retries", "Rule", "Step", "Workflow"),
    "lute.models.base": (
        "AnalysisHeader",
        "TaskParameters",
        "TemplateConfig",
        "TemplateParameters",
        "ThirdPartyParameters",
    ),
    "lute.models.fields": (
        "Field",
        "Flag",
        "FromResult",
        "IsResult",
        "KeyValue",
        "MPILauncher",
        "MPIRanks",
        "Output",
        "Positional",
        "Stderr",
        "Stdin",
        "Stdout",
    ),
    "lute.models.compat_v1": ("root_validator", "validator"),
    "lute.wire.results": ("DescribedAnalysis", "ElogSummaryPlots", "TaskResult", "TaskStatus"),
    "lute.wire.tables": ("Table",),
    "lute.models.functions": ("task",),
    "lute.tasks.progress": ("log_metric", "report_progress", "show"),
    "lute.tasks.task": ("Task", "ThirdPartyTask"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [*sorted(_HOME_OF), "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lute' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


if TYPE_CHECKING:
    from lute.errors import ConfigError as ConfigError
    from lute.errors import LuteError as LuteError
    from lute.errors import TaskFailed as TaskFailed
    from lute.errors import TaskTimedOut as TaskTimedOut
    from lute.errors import UsageError as UsageError
    from lute.execution.executor import BaseExecutor as BaseExecutor
    from lute.execution.executor import Executor as Executor
    from lute.execution.executor import MPIExecutor as MPIExecutor
    from lute.facility import Facility as Facility
    from lute.graph.dag import Resources as Resources
    from lute.graph.dag import Retries as Retries
    from lute.graph.dag import Rule as Rule
    from lute.graph.dag import Step as Step
    from lute.graph.dag import Workflow as Workflow
    from lute.models.base import AnalysisHeader as AnalysisHeader
    from lute.models.base import TaskParameters as TaskParameters
    from lute.models.base import TemplateConfig as TemplateConfig
    from lute.models.base import TemplateParameters as TemplateParameters
    from lute.models.base import ThirdPartyParameters as ThirdPartyParameters
    from lute.models.compat_v1 import root_validator as root_validator
    from lute.models.compat_v1 import validator as validator
    from lute.models.fields import Field as Field
    from lute.models.fields import Flag as Flag
    from lute.models.fields import FromResult as FromResult
    from lute.models.fields import IsResult as IsResult
    from lute.models.fields import KeyValue as KeyValue
    from lute.models.fields import MPILauncher as MPILauncher
    from lute.models.fields import MPIRanks as MPIRanks
    from lute.models.fields import Output as Output
    from lute.models.fields import Positional as Positional
    from lute.models.fields import Stderr as Stderr
    from lute.models.fields import Stdin as Stdin
    from lute.models.fields import Stdout as Stdout
    from lute.models.functions import task as task
    from lute.tasks.progress import log_metric as log_metric
    from lute.tasks.progress import report_progress as report_progress
    from lute.tasks.progress import show as show
    from lute.tasks.task import Task as Task
    from lute.tasks.task import ThirdPartyTask as ThirdPartyTask
    from lute.wire.ipc import Message as Message
    from lute.wire.results import DescribedAnalysis as DescribedAnalysis
    from lute.wire.results import ElogSummaryPlots as ElogSummaryPlots
    from lute.wire.results import TaskResult as TaskResult
    from lute.wire.results import TaskStatus as TaskStatus
    from lute.wire.tables import Table as Table
