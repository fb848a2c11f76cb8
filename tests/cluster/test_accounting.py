"""A Slurm with accounting: what the controller has forgotten, slurmdbd still knows. And the demo on Slurm."""

from __future__ import annotations

import os
import pwd
from pathlib import Path

import pytest

from cluster.mariadb import MariaDB
from cluster.slurm import Slurm
from conftest import Project
from process.helpers import wait_until
from process.test_demo import FOLDER, demo_python

pytestmark = [pytest.mark.slurm, pytest.mark.slow, pytest.mark.timeout(300)]


def test_what_the_controller_has_forgotten(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 7: with accounting, the state of a job that squeue does not know any more is sacct's."""
    from lute.batch import slurm

    database = MariaDB()
    cluster = Slurm(nodes=1, database=database.port, remember=1)
    try:
        database.start()
        cluster.start()
        for name, value in cluster.environment.items():
            monkeypatch.setenv(name, value)
        ends = {}
        for line in ("exit 3", "true", "sleep 100"):
            ends[line] = slurm.submit(slurm.script({"output": "/dev/null", "ntasks": "1"}, ["sh", "-c", line]))
        wait_until(lambda: slurm.jobs([ends["sleep 100"]])[ends["sleep 100"]].state == "RUNNING", "it runs", 30)
        slurm.cancel([ends["sleep 100"]])
        wait_until(lambda: not cluster.says("squeue", "-h", "-t", "all").strip(), "the controller has forgotten", 60)
        states = wait_until(lambda: _all_known(ends), "the accounting knows", 60)
        assert states == {"exit 3": "FAILED", "true": "COMPLETED", "sleep 100": "CANCELLED"}
        assert slurm.jobs([ends["exit 3"]])[ends["exit 3"]].reason.endswith("FAILED, exit code 3:0)")
        assert slurm.jobs(["999999"])["999999"].state == "UNKNOWN"
        me = pwd.getpwuid(os.getuid()).pw_name
        with monkeypatch.context() as somebody:
            somebody.setattr(slurm.os, "getuid", lambda: 12345)  # who looks is not who cancelled
            assert f"CANCELLED, by {me}" in slurm.jobs([ends["sleep 100"]])[ends["sleep 100"]].reason
    finally:
        cluster.close()
        database.close()


def _all_known(ends: dict[str, str]) -> dict[str, str] | None:
    from lute.batch import slurm

    known = {line: slurm.jobs([job])[job].state for line, job in ends.items()}
    return None if "UNKNOWN" in known.values() else known


@pytest.mark.skipif(
    not demo_python() and not os.environ.get("CI"), reason="needs cctbx-base: make demo, or DEMO_PYTHON"
)
def test_the_demo_runs_on_slurm(project: Project, cluster: Slurm) -> None:
    """Issue 7: the demo workflow, as it is, on a Slurm of four nodes: a fan-out, a join, the same numbers."""
    project.env |= cluster.environment
    argv = [demo_python(), str(FOLDER / "demo.py"), "out", "--on", "slurm", "--slurm=--ntasks=1 --mem=1000M"]
    done = project.run(argv, timeout=280)
    assert done.code == 0, done
    assert "Rmerge 0.054, CC1/2 0.998" in done.out
    assert done.out.count("COMPLETED") >= 7
    again = project.run(argv, timeout=100)
    assert again.code == 0, again
    assert again.out.count("reused") >= 7
    assert list(Path(project.folder).rglob("merge-*.out"))
