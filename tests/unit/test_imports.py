"""What commands import: time and memory that each start of `lute` takes."""

from __future__ import annotations

import subprocess
import sys

import pytest

OF_THE_RECORD = ("history", "show", "log", "cancel", "pause", "resume", "invalidate", "restore", "db")
"""Commands that read no YAML file unless they are given one."""
LARGE = {"pydantic", "yaml", "jinja2", "sqlalchemy", "starlette", "textual", "numpy"}


def modules_after(code: str) -> set[str]:
    """Returns what a new interpreter has imported after some code."""
    code = f"import sys\n{code}\nprint(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("command", OF_THE_RECORD)
def test_a_command_of_the_record_needs_no_yaml(command: str) -> None:
    """B: what only reads the record starts without what only a YAML file needs."""
    found = modules_after(f"import lute.cli.{command}, lute.record.queries, lute.record.workflow_store")
    assert f"lute.cli.{command}" in found
    assert not found & {*LARGE, "lute.publish.report"}


def test_run_imports_what_a_run_needs() -> None:
    """B: a run has a YAML file to read, and neither figures, templates nor a screen."""
    found = modules_after("import lute.cli.run")
    assert found & LARGE == {"pydantic", "yaml"}
    assert not found & {"html", "lute.tasks.figures", "lute.cli._screen", "lute.batch.slurm", "lute.graph.dag"}
    assert not found & {"lute.record.migrate", "lute.record.types"}


def test_help_imports_no_command() -> None:
    """B: `lute --help` tells the commands without loading them."""
    found = modules_after("import lute.cli\ntry: lute.cli.main(['--help'])\nexcept SystemExit: pass")
    assert not {name for name in found if name.startswith("lute.cli.")}


@pytest.mark.parametrize("before", ["enable", "disable"])
def test_the_collector_never_looks_at_what_is_loaded(before: str) -> None:
    """B: what is loaded stays, and collecting goes on as it was."""
    code = f"import gc; gc.{before}(); was = gc.isenabled()\nfrom lute.base.modules import for_good\n"
    code += "with for_good(): import lute.cli.run\nassert gc.isenabled() is was\nassert gc.get_freeze_count() > 50_000"
    assert "lute.cli.run" in modules_after(code)
