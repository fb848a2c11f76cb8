"""The managed Tasks by name: ready-to-run Executors, those of plug-ins too.

from lute.managed_tasks import Tester
Tester.execute_task("config.yaml")
"""

from __future__ import annotations

from lute import plugins, registry
from lute.errors import PluginError
from lute.execution.executor import BaseExecutor, Executor

Tester = Executor("Test")
"""Runs a Task in Python that speaks through text."""
BinaryTester = Executor("TestBinary")
"""Runs a program."""
BinaryErrTester = Executor("TestBinaryErr")
"""Runs a program that fails."""
SocketTester = Executor("TestSocket")
"""Runs a Task that sends arrays."""
WriteTester = Executor("TestWriteOutput")
"""Runs a Task that writes a file."""
ReadTester = Executor("TestReadOutput")
"""Runs a Task that reads what `WriteTester` wrote."""

BUILT_IN = {name: value for name, value in globals().items() if isinstance(value, BaseExecutor)}


def find(name: str) -> BaseExecutor | None:
    """Returns the managed Task of a name, or None. Plug-ins go first; installed ones are looked at last."""
    if name not in registry.managed and name not in BUILT_IN:
        plugins.load_all([])
    if name not in registry.managed and name not in BUILT_IN:
        plugins.load_entry_points()
    found: BaseExecutor | None = registry.managed.get(name) or BUILT_IN.get(name)
    return found


def name_of(executor: BaseExecutor) -> str:
    """Returns the name of a managed Task; nothing for an Executor that has none."""
    return next((name for name, one in known().items() if one is executor), "")


def known() -> dict[str, BaseExecutor]:
    """Returns all managed Tasks by name."""
    return {**BUILT_IN, **registry.managed}


def __getattr__(name: str) -> BaseExecutor:
    try:
        found = None if name.startswith("_") else find(name)
    except PluginError as error:
        raise AttributeError(f"no managed Task {name!r}: {error}") from error
    if found is None:
        raise AttributeError(f"there is no managed Task {name!r}")
    return found


def __dir__() -> list[str]:
    return sorted(known())
