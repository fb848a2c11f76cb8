"""What a step would have to be the same in to be the same again, and the earlier run that was.

A fingerprint is a text of named parts, `parameters:1f3a... program:77c0...`, so that two of them tell what changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import lute
from lute.config.run_names import RUN_DIR, RunNames
from lute.execution.code import digest_now
from lute.execution.listing import input_state
from lute.execution.outputs import differs
from lute.execution.plan import Plan
from lute.models.files import inputs_named, outputs_declared
from lute.record.accepted import Change, is_accepted
from lute.record.moved import work_dir_of
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


def changed_since(row: RunRow, record: Record, wanted: Wanted) -> list[str]:
    """Returns what is not as it was in an earlier run, in words for people."""
    old, new = _parts(row["fingerprint"] or ""), _parts(wanted.fingerprint)
    if old.keys() != new.keys():
        return ["the record, which an older lute wrote"]
    triggers = wanted.triggers or tuple(TRIGGERS)
    counts = [part for name in triggers for part in TRIGGERS[name]]
    parts = [IN_WORDS[name] for name in new if name in counts and old[name] != new[name]]
    code = changed_code(row, wanted.plan, record, wanted.step) if "code" in triggers else []
    return [*parts, *(f"the code in {path}" for path in code)]


def declared_outputs(plan: Plan) -> list[str]:
    """Returns the files that a Task says it writes, as absolute paths."""
    return [file.path for file in outputs_declared(plan.params, plan.cwd)]


MOST_LOOKED_AT = 200
"""So many earlier runs are looked at for one that can be taken."""
TRIGGERS = {
    "parameters": ("parameters",),
    "inputs": ("inputs", "template"),
    "code": ("lute",),
    "program": ("program",),
    "environment": ("environment",),
    "needs": ("needs",),
}
"""What may make a step run again, by the names of `--rerun-triggers`, and the parts of a fingerprint behind each."""


class Wanted(NamedTuple):
    """What an earlier run must be like to be taken instead of running a step.

    Attributes:
        plan: What the step would run.
        fingerprint: The fingerprint of that.
        step: The step's name, or its instance's.
        triggers: Which changes count, of `TRIGGERS`; all if empty.
    """

    plan: Plan
    fingerprint: str
    step: str
    triggers: Sequence[str] = ()


def earlier_run(record: Record, wanted: Wanted) -> RunRow | None:
    """Returns the newest valid run that a step may take, if what it wrote is as it left it."""
    if not record.exists():
        return None
    for row in _candidates(record, wanted):
        if "code" in (wanted.triggers or TRIGGERS) and changed_code(row, wanted.plan, record, wanted.step):
            continue
        return row if _outputs_hold(row, wanted.plan) else None
    return None


def _candidates(record: Record, wanted: Wanted) -> Iterator[RunRow]:
    completed = ["COMPLETED"]
    if not wanted.triggers:
        yield from record.find(fingerprint=wanted.fingerprint, statuses=completed, valid=True, limit=MOST_LOOKED_AT)
        return
    header = wanted.plan.params.lute_config
    rows = record.find(
        task=wanted.plan.task,
        experiment=header.experiment,
        run=str(header.run),
        statuses=completed,
        valid=True,
        limit=MOST_LOOKED_AT,
    )
    counts = [part for name in wanted.triggers for part in TRIGGERS[name]]
    now = _parts(wanted.fingerprint)
    for row in rows:
        before = _parts(row["fingerprint"] or "")
        if row["step"] == wanted.step and all(before.get(part) == now[part] for part in counts):
            yield row


def _parts(fingerprint: str) -> dict[str, str]:
    return dict(part.split(":", 1) for part in fingerprint.split())


def changed_code(row: RunRow, plan: Plan, record: Record, step: str) -> list[str]:
    """Returns the files of a run's code whose text is another now, and nobody said that this is harmless."""
    in_new_interpreter = bool(plan.settings.interpreter or plan.params.Config.task_module)
    changes = code_changes(row, loaded=not in_new_interpreter)
    return [change.path for change in changes if not is_accepted(record, step, change)]


def code_changes(row: RunRow, loaded: bool) -> list[Change]:
    """Returns how the files of a run's code are not as they were; `loaded` is as for `digest_now`."""
    found = []
    for file in row["code"] or []:
        before, now = file["digest"] or "", digest_now(file["path"], loaded) or ""
        if before != now:
            found.append(Change(file["path"], before, now))
    return found


def _outputs_hold(row: RunRow, plan: Plan) -> bool:
    """Returns whether what a run wrote is as it left it, and is what a plan would write."""
    known = row["outputs"] or []
    names = RunNames(row["id"], work_dir_of(row["log"]) or "", RUN_DIR)
    paths = {names.as_written(entry["path"]) for entry in known}
    declared = [file for file in outputs_declared(plan.params, plan.cwd) if file.mark is not None]
    missing = any(plan.as_written(file.path) not in paths for file in declared if not file.is_pattern)
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
    beside = {name: header.get(name) for name in HEADER_PARTS} | {"cwd": plan.cwd, "exact": plan.exact}
    return {**plan.plain_parameters, "lute_config": beside}


def _program(plan: Plan) -> Any:
    name = plan.argv[0] if plan.argv is not None else str(getattr(plan.params, "executable", "") or "")
    found = shutil.which(name, path=os.environ.get("PATH")) if name else None
    return [name, _stamp(found) if found else None, plan.settings.interpreter]


def _change(change: Any) -> Any:
    variables = change.variables
    named = getattr(variables, "__qualname__", None) if callable(variables) else dict(variables or {})
    script = change.script and _stamp(change.script)
    return [named, change.update_path, script, *change.modules]


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
