"""Two runs -> what differs between them: pure functions."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from lute.record import headers, schema
from lute.record.rows import kept_file

if TYPE_CHECKING:
    from lute.record.types import CodeEntry, FileEntry, RunRow

Entries = dict[str, Any]
Differences = dict[str, dict[str, Entries]]
"""By section and name, the values as `a` and `b`; one that a run has not is left out."""

RUN_FOLDER = "RUN"
"""Stands for the run's own folder, which is never the same."""


def sections(row: RunRow) -> dict[str, Entries]:
    """Returns what of a run can be compared with another's, by section and name."""
    parameters = dict(row["parameters"] or {})
    header = headers.header_of(row) if parameters.pop("lute_config", None) else {}
    return {
        "run": {name: row[name] for name in ("task", "managed_task", "status")},
        "header": schema.flat_values(header),
        "parameters": schema.flat_values(parameters),
        "environment": dict(row["environment"] or {}),
        "versions": dict(row["versions"] or {}),
        "command": {"command": _command(row)},
        "code": {file["path"]: _file(file, "commit") for file in row["code"] or []},
        "inputs": _inputs(row),
        "metrics": {name: item["value"] for name, item in (row["metrics"] or {}).items()},
        "result": {
            "summary": row["summary"],
            **schema.flat_values({"payload": _without_places(row["payload"], os.path.dirname(row["log"] or ""))}),
        },
    }


def compare(a: RunRow, b: RunRow, everything: bool = False) -> Differences:
    """Returns what differs between two runs; with `everything` also what is the same."""
    found: Differences = {}
    other = sections(b)
    for section, mine in sections(a).items():
        theirs = other[section]
        for name in dict.fromkeys([*mine, *theirs]):
            entry = {side: values[name] for side, values in (("a", mine), ("b", theirs)) if name in values}
            if everything or differs(entry):
                found.setdefault(section, {})[name] = entry
    return found


def differs(entry: Entries) -> bool:
    """Returns whether the two values of an entry are not the same; 1 and true are not, 1 and 1.0 are."""
    return len(entry) < 2 or _typed(entry["a"]) != _typed(entry["b"])


def _typed(value: Any) -> Any:
    if isinstance(value, list):
        return [_typed(item) for item in value]
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, float) and value != value:
        return float, "nan"  # it is the same, though it does not equal itself
    return isinstance(value, bool), value


def _command(row: RunRow) -> str:
    folder = os.path.dirname(row["log"] or "")
    command = shlex.join(str(part) for part in row["command"] or [])
    return command.replace(folder, RUN_FOLDER) if folder else command


def _inputs(row: RunRow) -> Entries:
    found: Entries = {}
    for file in row["inputs"] or []:
        name, number = file["parameter"], 2
        while name in found:
            name, number = f"{file['parameter']} ({number})", number + 1
        found[name] = f"{file['path']}, {file['size']} bytes, {_file(file, 'mtime')}"
    return found


def _file(file: FileEntry | CodeEntry, otherwise: str) -> str:
    """Returns what tells the contents of a file from others: its digest, or what else is known."""
    digest = file.get("digest")
    if digest:
        return f"sha256 {digest[:16]}"
    return f"{otherwise} {file.get(otherwise)}{' and changes' if file.get('dirty') else ''}"


def _without_places(payload: Any, folder: str) -> Any:
    """Returns a payload without the paths of values in files of their own, which are never the same.

    Args:
        payload: The payload.
        folder: The run's own folder.
    """
    if isinstance(payload, str):
        return payload.replace(f"{folder}/", f"{RUN_FOLDER}/") if folder else payload
    if isinstance(payload, list):
        return [_without_places(item, folder) for item in payload]
    if isinstance(payload, dict):
        kept = kept_file(payload) is not None
        return {key: _without_places(item, folder) for key, item in payload.items() if not (kept and key == "path")}
    return payload
