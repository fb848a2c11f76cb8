"""Closed lists in the reference are those of the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import judge_table
import lute
from lute import Executor, Rule, registry
from lute.base.variables import CONTROL_VARIABLES
from lute.models.base import AnalysisHeader, TaskParameters
from lute.record.schema import PUBLIC, RESULT_COLUMNS
from lute.wire.ipc import LUTE_SIGNALS
from lute.wire.results import TaskStatus
from lute.wire.status import StepState
from lute.workflows import definition, reuse
from lute.workflows.results import PARTS

REFERENCE = Path(__file__).resolve().parents[2] / "docs" / "reference"


def names_in_tables(page: str, heading: str) -> list[str]:
    """Returns the names in the first column of the table below a heading."""
    text = (REFERENCE / page).read_text(encoding="utf-8")
    section = re.split(r"^#+ ", text.split(f"\n{heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^\| `([^`]+)`", section, re.MULTILINE)


def test_control_variables_are_the_closed_list() -> None:
    """A5: the control variables are a closed list, in one constant and in the reference."""
    assert set(names_in_tables("environment-variables.md", "## Control variables")) == CONTROL_VARIABLES


def test_the_cases_of_outcomes_are_those_that_are_tested() -> None:
    """C3: the table of tests is the documentation's; `python docs/reference_tables.py --write` puts it there."""
    page = (REFERENCE / "outcome.md").read_text(encoding="utf-8")
    assert page.endswith(f"\n\n{judge_table.in_markdown()}\n")


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


def test_keys_rules_states_and_results_of_workflows_are_all_named() -> None:
    """B3: the keys of a workflow's file, its trigger rules, the states of a step, and what can be asked of one."""
    flat = names_in_tables("workflows.md", "## The flat form")
    assert flat == [*definition.FILE_KEYS, *definition.STEP_KEYS]
    tree = names_in_tables("workflows.md", "## The tree")
    assert set(tree) | {"timeout", "retries"} == set(definition.TREE_KEYS)
    assert names_in_tables("workflows.md", "## Trigger rules") == [rule.value for rule in Rule]
    assert names_in_tables("workflows.md", "## States of a step") == [state.value for state in StepState]
    assert set(names_in_tables("workflows.md", "## Results")) == set(PARTS)
    assert set(names_in_tables("workflows.md", "## Reuse")) == set(reuse.IN_WORDS)


@pytest.mark.parametrize(("heading", "needs"), [("The flat form", ["select"]), ("The tree", ["PointSelector"])])
def test_workflows_in_the_reference_are_right(heading: str, needs: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """B3: both forms, as they are shown."""
    monkeypatch.setitem(registry.managed, "PointSelector", Executor("SelectPoints"))
    monkeypatch.setitem(registry.managed, "PeakFinder", Executor("FindPeak"))
    section = (REFERENCE / "workflows.md").read_text(encoding="utf-8").split(f"\n## {heading}\n", 1)[1]
    text = section.split("```yaml\n", 1)[1].split("```", 1)[0]
    _, last = definition.parse(text, "workflow.yaml").steps.values()
    assert list(last.needs) == needs
