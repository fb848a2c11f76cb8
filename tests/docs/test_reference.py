"""Closed lists in the reference are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import lute
from lute.execution.ipc import LUTE_SIGNALS
from lute.io._schema import PUBLIC, RESULT_COLUMNS
from lute.io.models.base import CONTROL_VARIABLES, AnalysisHeader, TaskParameters
from lute.tasks.dataclasses import TaskStatus

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def names_in_tables(page: str, heading: str) -> list[str]:
    """Returns the names in the first column of the table below a heading."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


def test_control_variables_are_the_closed_list() -> None:
    """A5: the control variables are a closed list, in one constant and in the reference."""
    assert set(names_in_tables("environment-variables.md", "## Control variables")) == CONTROL_VARIABLES


def test_header_fields_are_those_of_the_model() -> None:
    assert names_in_tables("yaml.md", "## The header") == list(AnalysisHeader.model_fields)


def test_settings_of_a_model_are_those_there_are() -> None:
    settings = [name for name in vars(TaskParameters.Config.__mro__[1]) if not name.startswith("__")]
    assert set(names_in_tables("models.md", "## Settings")) == set(settings)


def test_keys_of_a_run_are_those_that_json_prints() -> None:
    assert names_in_tables("record.md", "## Keys of a run") == PUBLIC


def test_last_columns_of_a_view_are_named() -> None:
    assert names_in_tables("record.md", "## Views") == list(RESULT_COLUMNS)


def test_signals_and_statuses_are_all_named() -> None:
    assert set(names_in_tables("python.md", "## Signals and hooks")) == LUTE_SIGNALS
    assert names_in_tables("python.md", "## Status") == [status.name for status in TaskStatus]


def test_public_names_are_all_in_the_reference() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in REFERENCE.rglob("*.md"))
    assert [name for name in lute.__all__ if not re.search(rf"\b{name}\b", text)] == []
