"""The child's side of `lute` is the standard library alone, in Python 3.9's syntax."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lute

HOME = Path(lute.__file__).parent
FOLDERS = ("tasks", "wire", "base")
"""The child's side; import-linter and ruff have the same folders in pyproject.toml."""
NAMES = ["__init__", "errors", "registry", "facility"]
NAMES += [
    str(path.relative_to(HOME).with_suffix("")) for folder in FOLDERS for path in sorted((HOME / folder).glob("*.py"))
]


@pytest.mark.parametrize("name", NAMES)
def test_syntax_is_that_of_python_3_9(name: str) -> None:
    """A4: a Task's Python may be 3.9."""
    ast.parse((HOME / f"{name}.py").read_text(), feature_version=(3, 9))


def test_the_folders_are_those_of_the_contracts() -> None:
    """Import-linter and ruff are told of the same folders."""
    text = (HOME.parents[1] / "pyproject.toml").read_text()
    assert f"src/lute/{{{','.join(FOLDERS)}}}/*.py" in text
    assert "source_modules = [" + ", ".join(f'"lute.{folder}"' for folder in FOLDERS) in text


def test_a_python_with_nothing_installed_can_load_it() -> None:
    """A4: neither pydantic nor anything else has to be there."""
    code = (
        f"import sys; sys.path = [p for p in sys.path if 'site-packages' not in p] + [{str(HOME.parent)!r}]\n"
        "import lute.tasks.__main__, lute.tasks.templates, lute.plugins, lute.wire.ipc\n"
        "from lute.tasks import Task, Message, ElogSummaryPlots, import_task\n"
        "foreign = {m.split('.')[0] for m in sys.modules} - set(sys.stdlib_module_names) - {'lute', '__main__'}\n"
        "assert not foreign, foreign\n"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-W", "error", "-c", code], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
