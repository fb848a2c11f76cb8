"""`lute workflow accept`: a change of code that needs no step to run again."""

from __future__ import annotations

import os

from lute.errors import UsageError, did_you_mean
from lute.graph.dag import Step
from lute.record.accepted import accept as record_accepted
from lute.workflows import reuse
from lute.workflows.prepared import PreparedWorkflow


def accept(prepared: PreparedWorkflow, step: Step, file: str) -> int:
    """Records that the change of a file since a step last completed is harmless to it. Returns for how many runs.

    Args:
        prepared: The workflow.
        step: The step.
        file: The file, or the end of its path.

    Raises:
        UsageError: The step's last runs do not depend on the file, or it has not changed.
        WorkflowError: The step never completed.
    """
    rows = prepared.last_runs.of(step.name)
    count, known = 0, set()
    for name, row in rows.items():
        known |= {entry["path"] for entry in row["code"] or []}
        for change in reuse.code_changes(row, loaded=False):
            if change.path == os.path.abspath(file) or change.path.endswith(f"/{file}"):
                record_accepted(prepared.record, name, change)
                count += 1
    if not count:
        _refuse(step, file, known)
    return count


def _refuse(step: Step, file: str, known: set[str]) -> None:
    if any(path == os.path.abspath(file) or path.endswith(f"/{file}") for path in known):
        raise UsageError(f"{file} has not changed since step {step.name} last completed")
    names = [os.path.basename(path) for path in known]
    raise UsageError(
        f"step {step.name} does not depend on the code in {file}.{did_you_mean(os.path.basename(file), names)}"
        f" See: lute workflow why {step.name}"
    )
