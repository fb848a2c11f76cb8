"""For Airflow: a task for each step of a workflow.

`lute airflow export` writes DAG files that use it. This is the only part of `lute` that imports Airflow, and only when
one of the names below is used: Airflow itself asks for `get_provider_info` alone.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

_HOME_OF = {
    "LuteEnd": "lute.airflow.operators",
    "LuteHook": "lute.airflow.hook",
    "LuteStart": "lute.airflow.operators",
    "LuteStep": "lute.airflow.operators",
}

__all__ = [*sorted(_HOME_OF), "get_provider_info"]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'lute.airflow' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOME_OF[name]), name)


def get_provider_info() -> object:
    """Returns what Airflow shows of this package, and that it has connections of the type `lute`."""
    return {
        "package-name": "lute-executor",
        "name": "lute",
        "description": "Run the steps of `lute` workflows.",
        "connection-types": [{"connection-type": "lute", "hook-class-name": "lute.airflow.hook.LuteHook"}],
    }


if TYPE_CHECKING:
    from lute.airflow.hook import LuteHook as LuteHook
    from lute.airflow.operators import LuteEnd as LuteEnd
    from lute.airflow.operators import LuteStart as LuteStart
    from lute.airflow.operators import LuteStep as LuteStep
