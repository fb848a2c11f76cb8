"""What a step would have to be the same in to be the same again, and the earlier run that was.

A fingerprint is a text of named parts, `parameters:1f3a... program:77c0...`, so that two of them tell what changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import lute
from lute.execution.code import digest_now
from lute.execution.listing import input_state
from lute.execution.outputs import differs
from lute.execution.plan import Plan
from lute.models.files import inputs_named, outputs_declared
from lute.record.store import Record

if TYPE_CHECKING:
    from lute.record.types import JsonObject, RunRow

HEADER_PARTS = ("experiment", "run")
"""What of the header a result depends on."""
IN_WORDS = {
    "parameters": "its parameters",
    "program": "the program",
    "lute": "the version of lute",
    "environment": "the changes to its environment",
    "template": "its rendered template",
    "inputs": "its input files",
    "needs": "what it needs",
}
"""The parts of a fingerprint, and how people are told of them."""


def fingerprint(plan: Plan, needs: Iterable[str]) -> str:
    """Returns a step's fingerprint.

    Args:
        plan: What would be run.
        needs: The fingerprints of the steps that it needs.
    """
    rendered = plan.rendered_template()
    parts = {
        "parameters": plan.as_written(_parameters(plan)),
        "program": _program(plan),
        "lute": lute.__version__,
        "environment": [_change(change) for change in plan.settings.changes],
        "template": plan.as_written(rendered[0]) if rendered else None,
        "inputs": _inputs(plan, rendered[1] if rendered else None),
        "needs": sorted(needs),
    }
    return " ".join(f"{name}:{_digest(value)}" for name, value in parts.items())


def changed_since(row: RunRow, plan: Plan, fingerprint: str) -> list[str]:
    """Returns what of a plan is not as it was in an earlier run, in words for people."""
    old, new = (dict(part.split(":", 1) for part in text.split()) for text in (row["fingerprint"] or "", fingerprint))
    if old.keys() != new.keys():
        return ["the record, which an older lute wrote"]
    parts = [IN_WORDS[name] for name in new if old[name] != new[name]]
    return [*parts, *(f"the code in {path}" for path in changed_code(row, plan))]


def declared_outputs(plan: Plan) -> list[str]:
    """Returns the files that a Task says it writes, as absolute paths."""
    return [file.path for file in outputs_declared(plan.params, plan.cwd)]


MOST_LOOKED_AT = 20
"""Of so many runs with one fingerprint the code is compared."""


def earlier_run(record: Record, fingerprint: str, plan: Plan) -> RunRow | None:
    """Returns the newest valid run with a fingerprint and the code of now, if what it wrote is as it left it."""
    if not record.exists():
        return None
    for row in record.find(fingerprint=fingerprint, statuses=["COMPLETED"], valid=True, limit=MOST_LOOKED_AT):
        if not changed_code(row, plan):
            return row if _outputs_hold(row, plan) else None
    return None


def changed_code(row: RunRow, plan: Plan) -> list[str]:
    """Returns the files of a run's code whose text is another now."""
    in_new_interpreter = bool(plan.settings.interpreter or plan.params.Config.task_module)
    files = row["code"] or []
    return [file["path"] for file in files if digest_now(file["path"], not in_new_interpreter) != file["digest"]]


def _outputs_hold(row: RunRow, plan: Plan) -> bool:
    """Returns whether what a run wrote is as it left it, and is what a plan would write."""
    known = row["outputs"] or []
    paths = {entry["path"] for entry in known}
    declared = outputs_declared(plan.params, plan.cwd)
    missing = any(file.path not in paths for file in declared if file.mark is not None and not file.is_pattern)
    return not missing and not any(differs(entry) for entry in known)


def _inputs(plan: Plan, rendered: str | None = None) -> list[Any]:
    """Returns what stands at the paths that parameters name, those it writes itself apart.

    Args:
        plan: What would be run.
        rendered: Where its rendered template goes: that is written anew for each run.
    """
    own = {*declared_outputs(plan), *([os.path.join(plan.cwd, rendered)] if rendered else [])}
    around = [plan.cwd, plan.params.lute_config.work_dir]
    paths = sorted({file.path for file in inputs_named(plan.params, plan.cwd)} - own)
    found = [(path, input_state(path, around)) for path in paths]
    return [[path, *([name, one.size, one.mtime] for name, one in state.items())] for path, state in found if state]


def _parameters(plan: Plan) -> JsonObject:
    header = plan.plain_parameters["lute_config"]
    return {**plan.plain_parameters, "lute_config": {name: header.get(name) for name in HEADER_PARTS}, "cwd": plan.cwd}


def _program(plan: Plan) -> Any:
    name = plan.argv[0] if plan.argv is not None else str(getattr(plan.params, "executable", "") or "")
    found = shutil.which(name, path=os.environ.get("PATH")) if name else None
    return [name, _stamp(found) if found else None, plan.settings.interpreter]


def _change(change: Any) -> Any:
    variables = change.variables
    named = getattr(variables, "__qualname__", None) if callable(variables) else dict(variables or {})
    script = change.script and _stamp(change.script)
    return [named, change.update_path, script]


def _stamp(path: str) -> list[Any]:
    try:
        about = os.stat(path)
    except OSError:
        return [path, None]
    return [path, about.st_size, about.st_mtime_ns]


_as_json = json.JSONEncoder(sort_keys=True, default=str).encode


def _digest(value: Any) -> str:
    text = _as_json(value)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:16]
