"""The environment of a Task's process: pure functions over dicts of variables."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from lute.models.base import EnvironmentEntry

UPDATE_PATH = ("prepend", "append", "overwrite")
"""What can be done with a new PATH."""

OUR_OWN = frozenset(
    {
        "LUTE_CHANNEL_FD",
        "LUTE_SOCKET",
        "LUTE_PORT",
        "LUTE_KEY_FILE",
        "LUTE_RUN_ID",
        "LUTE_EXECUTOR_HOST",
        "LUTE_RANK_LOG",
    }
)
"""Variables that belong to one run. A run that is started inside another does not inherit them."""

SHELL_OWN = ("_", "SHLVL", "PWD", "OLDPWD")
"""What a shell sets for itself."""

_INTERPRETER = ("LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", "CONDA_PREFIX")
"""What an interpreter reads when it starts, besides `PYTHON...`."""


class Change(NamedTuple):
    """One step from the environment of `lute` to that of a Task: new values, or what a shell is to source and load.

    Attributes:
        variables: New values by name, or a function that returns them.
        update_path: What is done with a new PATH.
        script: A shell script; its environment replaces the one before.
        modules: Environment modules that are loaded after it, in the same shell.
    """

    variables: Mapping[str, str] | Callable[[], Mapping[str, str]] | None = None
    update_path: str = "prepend"
    script: str | None = None
    modules: tuple[str, ...] = ()


def changes_of(entry: EnvironmentEntry) -> tuple[Change, ...]:
    """Returns the changes that an entry of the header's `environments:` asks for, in order."""
    found = []
    if entry.source or entry.modules:
        found.append(Change(script=entry.source or None, modules=tuple(entry.modules or ())))
    if entry.set:
        found.append(Change(variables=entry.set))
    if entry.path:
        found.append(Change(variables={"PATH": os.pathsep.join(entry.path)}))
    return tuple(found)


def changed(
    base: Mapping[str, str], changes: Iterable[Change], source: Callable[[Change, dict[str, str]], dict[str, str]]
) -> dict[str, str]:
    """Returns the environment after all changes, in order.

    Args:
        base: The environment to start from.
        changes: The steps.
        source: Returns what the script and modules of a change leave of an environment.
    """
    env = dict(base)
    for change in changes:
        if change.script is not None or change.modules:
            env = source(change, env)
        elif change.variables is not None:
            variables = change.variables() if callable(change.variables) else change.variables
            env = updated(env, variables, change.update_path)
    return env


def merged_path(old: str | None, new: str, update_path: str) -> str:
    """Returns PATH with new folders put before or after the old ones, or in their place.

    >>> merged_path("/usr/bin", "/opt/bin", "prepend")
    '/opt/bin:/usr/bin'
    """
    if update_path == "overwrite" or not old:
        return new
    parts = (new, old) if update_path == "prepend" else (old, new)
    return os.pathsep.join(part for part in parts if part)


def updated(env: Mapping[str, str], changes: Mapping[str, str], update_path: str) -> dict[str, str]:
    """Returns an environment with variables replaced, and PATH merged as told."""
    after = {**env, **{name: str(value) for name, value in changes.items()}}
    if "PATH" in changes:
        after["PATH"] = merged_path(env.get("PATH"), str(changes["PATH"]), update_path)
    return after


def difference(before: Mapping[str, str], after: Mapping[str, str]) -> dict[str, str | None]:
    """Returns what changed: new values by name, None for what was removed."""
    changed: dict[str, str | None] = {k: v for k, v in sorted(after.items()) if before.get(k) != v}
    changed.update({name: None for name in sorted(before) if name not in after})
    return changed


def without_ours(env: Mapping[str, str]) -> dict[str, str]:
    """Returns an environment without what belongs to an outer run."""
    return {name: value for name, value in env.items() if name not in OUR_OWN}


def needs_new_interpreter(changed: Mapping[str, str | None]) -> bool:
    """Returns whether a change reaches the Python interpreter or its libraries, so that a fork would miss it."""
    return any(name in _INTERPRETER or name.startswith("PYTHON") for name in changed)


def parse_env_output(data: bytes) -> dict[str, str]:
    """Returns the variables in the output of `env -0`; what is no UTF-8 is kept as `os.environ` keeps it."""
    pairs = (item.partition(b"=") for item in data.split(b"\0") if b"=" in item)
    found = {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}
    return {name: value for name, value in found.items() if name not in SHELL_OWN}
