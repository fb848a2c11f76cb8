"""Plug-ins: files or modules that hold models, Tasks, managed Tasks and facilities.

Loading itself is in `lute.base.modules`, which a Task's own process has, too; here is where plug-ins come from.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

from lute import facility, registry
from lute.base import modules as loading
from lute.base.modules import folders as folders
from lute.base.modules import loaded as loaded
from lute.base.modules import modules as modules
from lute.errors import PluginError, UsageError

logger = logging.getLogger(__name__)
_entry_points_done = False


def load(spec: str) -> ModuleType:
    """Loads one plug-in, once, and takes up what it names.

    Args:
        spec: A file that ends in `.py`, or the name of a module.

    Raises:
        PluginError: It does not exist or cannot be imported.
    """
    return loading.load(spec, registry.adopt, facility.adopt)


def load_all(specs: list[str], tell: Callable[[UsageError], None] | None = None) -> None:
    """Loads plug-ins in order, and before them those that `$LUTE_PLUGINS` names, separated by `:`.

    Args:
        specs: Files and modules.
        tell: Called with the error of one that cannot be loaded, instead of raising it.
    """
    for spec in [*os.environ.get("LUTE_PLUGINS", "").split(os.pathsep), *specs]:
        if spec.strip():
            with told_instead(tell):
                load(spec.strip())


@contextlib.contextmanager
def told_instead(tell: Callable[[UsageError], None] | None) -> Iterator[None]:
    """Has an error that keeps a plug-in from being loaded told instead of raised, if there is somebody to tell."""
    try:
        yield
    except UsageError as error:
        if tell is None:
            raise
        tell(error)


def load_entry_points() -> None:
    """Loads what installed packages offer in the entry-point group `lute.plugins`."""
    global _entry_points_done
    if _entry_points_done:
        return
    _entry_points_done = True
    from importlib.metadata import entry_points

    found: Any = entry_points()
    chosen = found.select(group="lute.plugins") if hasattr(found, "select") else found.get("lute.plugins", ())
    for point in chosen:
        try:
            load(point.value.split(":")[0])
        except PluginError as error:
            logger.warning("an installed plug-in is left out: %s", error)
