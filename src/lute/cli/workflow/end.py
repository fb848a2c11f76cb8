"""What people are told of a workflow run that has ended, or goes on: its steps, its report, the error that matters."""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lute.cli import common
from lute.errors import RecordError
from lute.wire.status import StepState, exit_code_of

if TYPE_CHECKING:
    from lute.record.types import PublicWorkflow, StepEntry, WorkflowRow

CTRL_C = "cancelled by Ctrl-C"
TAIL = 20
"""So many lines at the end of a job's output are shown."""


def exit_code(row: WorkflowRow) -> int:
    """Returns the exit code that stands for how a workflow run ended."""
    if row["status"] == "CANCELLED":
        return 130 if row["reason"] == CTRL_C else exit_code_of(row["status"])
    return 0 if row["status"] == "COMPLETED" else 1


def public(row: WorkflowRow) -> PublicWorkflow:
    """Returns a workflow run as `--json` prints it."""
    from lute.workflows import page

    return page.public(row)


def print_end(options: argparse.Namespace, row: WorkflowRow) -> None:
    """Prints how a workflow run ended: a table of its steps, and the one error that matters."""
    if options.json:
        common.print_json(public(row))
        return
    print_steps(row)
    told = f": {row['reason']}" if row["reason"] else ""
    common.print_text(
        f"\n{row['name']} {row['status']} in {common.seconds(row['wall_s'])} (workflow run {row['id']}){told}"
    )
    print_report(row)
    worst = next((step for step in row["steps"] if StepState[step["status"]].failed), None)
    if worst is not None:
        _tell_worst(options, row, worst)
    elif row["status"] == "FAILED" and (job := (row["owner"] or {}).get("job")):
        _tell_output(Path(row["folder"], f"slurm-{job}.out"))
    if row["status"] != "COMPLETED":
        print(f"To go on: {_resume_command(options, row)}", file=sys.stderr)


def print_steps(row: WorkflowRow) -> None:
    """Prints a table of a workflow run's steps."""
    cells = [
        (
            step["name"],
            step["task"],
            step["status"] + (" (reused)" if step["reused"] else ""),
            common.between(step["started"], step["ended"]),
            step["id"] or "",
            "" if step["status"] == "COMPLETED" and not step["reused"] else step["reason"],
        )
        for step in row["steps"]
    ]
    common.print_table(("STEP", "TASK", "STATUS", "TIME", "RUN", "REASON"), cells)


def print_report(row: WorkflowRow) -> None:
    """Prints where a workflow run's page is, if it has one."""
    from lute.workflows import page

    report = page.path_of(row)
    if report:
        print(f"  report   file://{report}")


def _tell_worst(options: argparse.Namespace, row: WorkflowRow, step: StepEntry) -> None:
    common.tell(f"step {step['name']} {step['status']}: {step['reason']}")
    if not step["id"]:
        if step["job"]:
            _tell_output(Path(row["folder"], f"{step['step']}-{step['job']}.out"))
        return
    try:
        with common.open_record(options, up_to_date=False) as record:
            run = record.get(step["id"])
    except RecordError as error:  # the steps may have run where another record is used
        print(f"Its log is not known here: {error}", file=sys.stderr)
        return
    if run["log_tail"]:
        print("Its log ends:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in run["log_tail"].splitlines()), file=sys.stderr)
    print(f"Log: {run['log']}", file=sys.stderr)


def _tell_output(path: Path) -> None:
    """Tells how the output of a job ends that said nothing in the record."""
    try:
        lines = path.read_text(errors="backslashreplace").splitlines()[-TAIL:]
    except OSError:  # it was never started, or on another machine
        return
    if lines:
        common.tell("\n".join(["Its job's output ends:", *(f"  {line}" for line in lines), f"Output: {path}"]))


def _resume_command(options: argparse.Namespace, row: WorkflowRow) -> str:
    where = ["-c", options.config] if options.config else ["--db", options.db] if options.db else []
    return shlex.join(["lute", "workflow", "run", "--resume", row["id"], *where])
