"""All that is known of a status is in one place, `lute/wire/status.py`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import lute
from lute.wire.status import LIVE, LOOKS, SYMBOLS, StepState, TaskStatus, badness_of, state_of_run

HOME = Path(lute.__file__).parent
FINAL = {"COMPLETED", "FAILED", "CANCELLED", "TIMEDOUT", "SKIPPED", "BLOCKED"}
NO_TABLE = ("exit status", "CREATE INDEX")
"""Lines of help, and of a released migration, which never changes."""
OF_OTHERS = {"batch/slurm.py", "workflows/engines/airflow.py", "cli/workflow/airflow.py"}
"""Where the words of another system become ours."""


def test_the_statuses_are_those_of_the_interface() -> None:
    """A1: names and numbers are fixed."""
    names = ["PENDING", "RUNNING", "COMPLETED", "FAILED", "STOPPED", "CANCELLED", "TIMEDOUT"]
    assert [(status.name, status.value) for status in TaskStatus] == [(name, at) for at, name in enumerate(names)]


@pytest.mark.parametrize("status", [*TaskStatus, *StepState], ids=str)
def test_every_status_is_known_in_full(status: TaskStatus | StepState) -> None:
    """Each has a symbol of its own, a look, an exit code, a place among the others."""
    assert status.final is (status.name in FINAL)
    assert (status.exit_code == 0) is (status.name == "COMPLETED")
    assert status.look in LOOKS.values()
    assert list(SYMBOLS.values()).count(status.symbol) == 1
    assert status.bad is (status.name in FINAL - {"COMPLETED", "SKIPPED"})


def test_a_step_has_the_state_of_its_run() -> None:
    """C3: an ended run is never taken for a live one; a suspended one still runs."""
    assert [state_of_run(status).name for status in TaskStatus if status.final] == [
        status.name for status in TaskStatus if status.final
    ]
    assert {state_of_run(name) for name in LIVE} == {StepState.FAILED}
    assert [state_of_run(name, ended=False).name for name in LIVE] == ["PENDING", "RUNNING", "RUNNING"]


def test_what_is_not_known_counts_most() -> None:
    """A page of a newer record shows what it does not know."""
    assert max(["FAILED", "NEWER", "COMPLETED"], key=badness_of) == "NEWER"


def test_no_table_of_statuses_stands_anywhere_else() -> None:
    """A new status is a change in one place: no other file names three statuses that a table would."""
    tables = {}
    for path in HOME.rglob("*"):
        place = str(path.relative_to(HOME))
        if path.suffix not in (".py", ".js", ".css", ".html") or place in OF_OTHERS or place == "wire/status.py":
            continue
        text = re.sub(r'""".*?"""', "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        named = {line: set(re.findall(r"\b[A-Z]{6,}\b", line)) & set(SYMBOLS) for line in text.splitlines()}
        lines = [line for line, names in named.items() if len(names) > 2 and not any(word in line for word in NO_TABLE)]
        tables |= {place: lines} if lines else {}
    assert tables == {}
