"""The rows of the record as types are its tables."""

from __future__ import annotations

from lute.record.schema import COLUMNS, WORKFLOW_COLUMNS
from lute.record.types import RunRow, WorkflowRow


def test_a_run_has_the_columns_of_its_table() -> None:
    """B2: one schema."""
    assert list(RunRow.__annotations__) == list(COLUMNS)


def test_a_workflow_run_has_the_columns_of_its_table() -> None:
    assert list(WorkflowRow.__annotations__) == list(WORKFLOW_COLUMNS)
