"""A real Slurm for the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from cluster.slurm import Slurm
from conftest import Project


@pytest.fixture(scope="session")
def cluster() -> Iterator[Slurm]:
    """Four emulated nodes of two CPUs each."""
    slurm = Slurm(nodes=4, cpus=2)
    slurm.start()
    yield slurm
    slurm.close()


@pytest.fixture
def on_slurm(project: Project, cluster: Slurm) -> Iterator[Project]:
    """A project whose commands find the cluster; its jobs are gone afterwards."""
    project.env |= cluster.environment
    yield project
    cluster.empty()
