"""Shows the tables that the fault tests have made: the matrix of kills and the soak's totals."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from faults.support import REPORT, Running


@pytest.fixture
def running(project: Project) -> Any:
    """Starts `lute run` in the background; whatever is left at the end of a test is killed."""
    with Running(project) as one:
        yield one


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of 1 MiB. Needs root, as CI's job has."""
    import subprocess

    place = tmp_path / "disk"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m,mode=777", "none", str(place)], check=True)
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On a laptop, who is not root skips what needs root; in CI nothing is skipped."""
    if os.geteuid() != 0 and not os.environ.get("CI"):
        here = Path(__file__).parent
        for item in items:
            if here in item.path.parents:
                item.add_marker(
                    pytest.mark.skip(reason="fault tests mount, make cgroups and change users: run as root")
                )


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Prints what the tests have put into the report."""
    for title, lines in REPORT.items():
        terminalreporter.section(title)
        for line in lines:
            terminalreporter.line(line)
