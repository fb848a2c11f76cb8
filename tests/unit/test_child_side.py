"""The child's side of `lute` is the standard library alone, in Python 3.9's syntax."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import lute

HOME = Path(lute.__file__).parent
NAMES = ["__init__", "_loading", "errors", "registry", "plugins", "facility"]
NAMES += [
    f"execution/{name}" for name in ("__init__", "_channel", "_framing", "_values", "debug_utils", "ipc", "logging")
]
NAMES += [
    f"tasks/{name}"
    for name in (
        *("__init__", "__main__", "command_line", "dataclasses", "figures", "pictures", "progress", "ready_html"),
        *("task", "templates"),
    )
]


@pytest.mark.parametrize("name", NAMES)
def test_syntax_is_that_of_python_3_9(name: str) -> None:
    """A4: a Task's Python may be 3.9."""
    ast.parse((HOME / f"{name}.py").read_text(), feature_version=(3, 9))


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
