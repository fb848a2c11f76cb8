"""The header of a recorded run, with absolute paths: what another `lute` in another folder would need."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.base.secrets import HIDDEN
from lute.errors import UsageError
from lute.record.moved import work_dir_of

if TYPE_CHECKING:
    from lute.record.types import RunRow


def header_of(row: RunRow) -> dict[str, Any]:
    """Returns a run's header, with absolute paths.

    Raises:
        UsageError: The run has no parameters.
    """
    header = dict((row["parameters"] or {}).get("lute_config") or {})
    if not header:
        raise UsageError(f"run {row['id']} was recorded without parameters: it cannot be run again")
    header["work_dir"] = work_dir_of(row["log"] or "") or header.get("work_dir")
    if not header.get("database"):
        header.pop("database", None)
    elif "://" not in header["database"]:
        header["database"] = os.path.join(_folder(row), header["database"])
    header["plugins"] = plugins_of(row)
    return header


def without_hidden(row: RunRow) -> tuple[RunRow, list[str]]:
    """Returns a run whose header sets no variable that was a secret, and the names of those that it set."""
    parameters = row["parameters"] or {}
    header = dict(parameters.get("lute_config") or {})
    given = header.get("environments") or {}
    hidden = {name for entry in given.values() for name, value in entry["set"].items() if HIDDEN in value}
    if not hidden:
        return row, []
    header["environments"] = {
        name: {**entry, "set": {key: value for key, value in entry["set"].items() if key not in hidden}}
        for name, entry in given.items()
    }
    return {**row, "parameters": {**parameters, "lute_config": header}}, sorted(hidden)


def plugins_of(row: RunRow) -> list[str]:
    """Returns the plug-ins that a run had: files as absolute paths, and modules by their names.

    An older `lute` recorded the files of all plug-ins as the code of a run, and not which were loaded.
    """
    loaded = (row["owner"] or {}).get("plugins")
    if loaded is not None:
        return list(loaded)
    named = ((row["parameters"] or {}).get("lute_config") or {}).get("plugins") or []
    named = [named] if isinstance(named, str) else list(named)
    files = [file["path"] for file in row["code"] or []]
    config = (row["owner"] or {}).get("config")
    found = []
    for name in named:
        if not name.endswith(".py"):
            found.append(name)
            continue
        beside = os.path.normpath(os.path.join(os.path.dirname(config or ""), name))
        real = next((path for path in files if _ends_with(path, name)), None)
        found.append(real or (beside if os.path.isabs(beside) else name))
    modules = [name for name in found if not name.endswith(".py")]
    given = [path for path in files if path not in found and not any(_is_of(path, name) for name in modules)]
    return found + given  # those of `-p` and $LUTE_PLUGINS are in no header


def _folder(row: RunRow) -> str:
    return (row["owner"] or {}).get("cwd") or os.getcwd()


def _ends_with(path: str, name: str) -> bool:
    wanted = [part for part in Path(name).parts if part not in (".", "..")]
    return list(Path(path).parts[-len(wanted) :]) == wanted


def _is_of(path: str, module: str) -> bool:
    place = module.replace(".", os.sep)
    return path.endswith((f"{os.sep}{place}.py", f"{os.sep}{place}{os.sep}__init__.py"))
