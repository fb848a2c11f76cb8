"""The header's `environments:`: what is changed in the environment of all Tasks, of one, or of a managed Task."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from lute import plugins, registry
from lute.errors import did_you_mean
from lute.models.base import EnvironmentEntry

DEFAULT = "default"
"""The entry that is for all Tasks."""

Wrong = tuple[tuple[str, ...], str]
"""Where in `environments` something is wrong, and what."""


def known_parts(raw: Any) -> tuple[Any, list[Wrong]]:
    """Returns what is written there without names that mean nothing, and what is wrong with these."""
    if not isinstance(raw, Mapping):
        return raw, []  # its type is judged with all others
    found, wrong = {}, _unknown(raw, _names(raw), (), "is no Task and no managed Task")
    unknown = {path[0] for path, _ in wrong}
    for name, entry in raw.items():
        if name in unknown:
            continue
        found[name] = entry
        if isinstance(entry, Mapping):
            strange = _unknown(entry, EnvironmentEntry.model_fields, (name,), "is no part of an environment")
            found[name] = {key: value for key, value in entry.items() if (name, key) not in dict(strange)}
            wrong += strange
    return found, wrong


def _unknown(given: Iterable[str], known: Collection[str], at: tuple[str, ...], text: str) -> list[Wrong]:
    path = ".".join(("environments", *at))
    names = [name for name in given if name not in known]
    return [((*at, name), f"{path}: {str(name)!r} {text}.{did_you_mean(str(name), known)}") for name in names]


def _names(given: Iterable[str]) -> list[str]:
    """Returns the names that an entry may have; installed plug-ins are looked at where one is unknown."""
    if not set(_known()).issuperset(given):
        plugins.load_entry_points()
    return _known()


def _known() -> list[str]:
    return [DEFAULT, *registry.task_names(), *registry.known_managed()]


def beside(entries: Mapping[str, EnvironmentEntry], folder: str) -> dict[str, EnvironmentEntry]:
    """Returns the entries with absolute paths.

    Args:
        entries: The entries, whose relative paths start from the YAML file's folder.
        folder: That folder, absolute.
    """
    found = {}
    for name, entry in entries.items():
        source, interpreter = (path and os.path.join(folder, path) for path in (entry.source, entry.interpreter))
        path = [os.path.join(folder, one) for one in entry.path]
        found[name] = entry.model_copy(update={"source": source, "path": path, "interpreter": interpreter})
    return found


def entry_for(entries: Mapping[str, EnvironmentEntry], names: Iterable[str]) -> EnvironmentEntry:
    """Returns what is changed for a Task: key by key the last entry that gives it; `set` and `path` are merged.

    Args:
        entries: The entries.
        names: The Task's name, then those of its managed Task; `default` comes before them.
    """
    merged = EnvironmentEntry()
    for one in (entries[name] for name in (DEFAULT, *names) if name in entries):
        merged = EnvironmentEntry(
            source=merged.source if one.source is None else one.source,
            modules=merged.modules if one.modules is None else one.modules,
            set={**merged.set, **one.set},
            path=[*one.path, *merged.path],
            interpreter=merged.interpreter if one.interpreter is None else one.interpreter,
        )
    return merged
