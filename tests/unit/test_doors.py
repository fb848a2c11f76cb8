"""The names that people import stay where they were: doors to where they live."""

from __future__ import annotations

import importlib

import pytest

DOORS = {
    "lute.io.models.base": ("lute.models.base", ["AnalysisHeader", "Field", "TaskParameters", "TemplateConfig"]),
    "lute.io.db": ("lute.record.db", ["read_latest_db_entry", "record_analysis_db"]),
    "lute.io.elog": ("lute.publish.elog", ["post_elog_message", "post_elog_run_status", "get_elog_runs_by_tag"]),
    "lute.execution.ipc": ("lute.wire.ipc", ["Message", "Party", "LUTE_SIGNALS", "Communicator"]),
    "lute.execution.debug_utils": ("lute.base.debug", ["LUTE_DEBUG_EXIT"]),
    "lute.tasks.dataclasses": ("lute.wire.results", ["TaskResult", "TaskStatus", "DescribedAnalysis"]),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_door_leads_to_the_thing_itself(door: str) -> None:
    """A: what people import by the names of the interface is what the rest of `lute` uses."""
    home, names = DOORS[door]
    module, target = importlib.import_module(door), importlib.import_module(home)
    assert [name for name in names if getattr(module, name) is not getattr(target, name)] == []
    assert [name for name in module.__all__ if not hasattr(module, name)] == []


def test_parse_config_is_given_the_records_reader() -> None:
    """A5: `lute.io.config.parse_config(task_name, config_path)` needs nothing else."""
    from lute.io.config import parse_config
    from lute.record.db import read_for

    assert parse_config.__kwdefaults__["reader"] is read_for
