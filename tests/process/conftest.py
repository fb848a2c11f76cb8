"""What the process tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from conftest import Project
from process.flows import Flow


@pytest.fixture
def flow(project: Project) -> Iterator[Flow]:
    """A project with a plug-in and a YAML file for workflows."""
    made = Flow(project)
    yield made
    made.close()
