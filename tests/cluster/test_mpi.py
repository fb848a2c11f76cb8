"""MPI ranks on two nodes of a Slurm job, where rank 0 may be on another host than its Executor."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from process.helpers import pids_with

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(180)]

ON_ONE_HOST = {  # Open MPI takes nodes of another name for other hosts, and their shared memory for its own
    "OMPI_MCA_btl": "tcp,self",
    "OMPI_MCA_btl_tcp_if_include": "lo",
    "OMPI_MCA_pml": "ob1",
}


@pytest.fixture
def lab(on_slurm: Project) -> Project:
    """A project on the cluster."""
    on_slurm.plugin("nodes")
    on_slurm.config(header="clean_up_grace: 1\nterminate_grace: 1")
    return on_slurm


def submit(lab: Project, name: str, *arguments: str, python: str = sys.executable) -> dict[str, Any]:
    """Runs a Task as a job on two nodes. Returns what is known of the run, with the exit code and the log's lines."""
    argv = [
        python,
        "-m",
        "lute",
        "submit",
        name,
        "-c",
        "config.yaml",
        "--json",
        "-q",
        "--wait",
        "--nodes=2",
        *arguments,
    ]
    outcome = lab.run(argv, timeout=150)
    assert outcome.out, outcome
    found: dict[str, Any] = outcome.json
    assert "error" not in found, found
    return {**found, "returncode": outcome.code, "lines": Path(found["log"]).read_text().splitlines()}


@pytest.mark.parametrize("how", ["MPICH", "Open MPI", "srun", "--ranks", "ranks="])
def test_ranks_on_two_nodes(lab: Project, how: str, request: pytest.FixtureRequest) -> None:
    """A2, A4, B5: ranks on two nodes run one Task, and what they say comes through the keyed TCP channel."""
    python = sys.executable
    if how == "Open MPI":
        lab.env |= ON_ONE_HOST
        python = request.getfixturevalue("openmpi")
    name = {"srun": "BySrun", "ranks=": "Four"}.get(how, "Ranks")
    arguments = {"--ranks": ["--ranks", "4"], "ranks=": []}.get(how, ["--ntasks=4"])
    found = submit(lab, name, *arguments, python=python)
    assert (found["returncode"], found["status"]) == (0, "COMPLETED"), found
    nodes = [node for node, *_ in found["payload"]]
    assert (len(nodes), len(set(nodes))) == (4, 2)
    assert all(channel == ["LUTE_PORT"] for _, *channel in found["payload"])
    assert found["summary"] == "told by 1000, 1003"
    said = [line for line in found["lines"] if "rank " in line]
    assert sorted(said) == [f"[{rank}] rank {rank} of 4 on {node}" for rank, node in enumerate(nodes)]


def test_a_rank_that_fails_on_the_other_node(lab: Project) -> None:
    """A2: a rank that fails on another node ends all, and the reason says which and why."""
    found = submit(lab, "Ranks", "--ntasks=4", "-s", "Nodes.fail=3")
    assert (found["returncode"], found["status"]) == (1, "FAILED"), found
    assert found["reason"].startswith("rank 3: ValueError: broken on n")


def test_a_timeout_ends_the_ranks_on_all_nodes(lab: Project) -> None:
    """A2, B1: a timeout ends the ranks on every node."""
    lab.env["MARK"] = mark = f"MPI_{lab.folder.name}"
    found = submit(lab, "Ranks", "--ntasks=4", "-s", "Nodes.wait=true", "-s", "task_timeout=8")
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT"), found
    assert len([line for line in found["lines"] if " of 4 on n" in line]) == 4
    assert pids_with(mark) == []


def test_srun_that_is_not_told_of_the_mpi(lab: Project) -> None:
    """A4: where srun starts ranks that do not know of each other, that is told, with what to do; nothing hangs."""
    found = submit(lab, "UntoldSrun", "--ntasks=4")
    assert found["status"] == "FAILED", found
    assert "4 ranks were started, but each sees 1" in found["reason"]
    assert "--mpi=pmi2 for MPICH" in found["reason"]
