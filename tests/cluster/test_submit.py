"""`lute submit` on a real Slurm: the run in the record from its submission on, its end in Slurm's own word."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cluster.slurm import Slurm
from conftest import Project
from process.helpers import pids_with, start, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(180)]


@pytest.fixture
def there(on_slurm: Project) -> Project:
    """A project with a shell and a Task that waits."""
    on_slurm.plugin("submitted")
    path = on_slurm.config()
    path.write_text(path.read_text().replace("task_timeout: 60\n", ""))  # the usual one, which was not given
    return on_slurm


def submitted(project: Project, name: str, *arguments: str) -> dict[str, Any]:
    """Submits a Task. Returns the run's JSON."""
    done = project.lute("submit", name, "-c", "config.yaml", "--json", *arguments)
    assert done.code == 0, done
    row: dict[str, Any] = done.json
    return row


def ended(project: Project, row: dict[str, Any], seconds: float = 60) -> dict[str, Any]:
    """Returns a run when it has ended."""

    def look() -> dict[str, Any] | None:
        now: dict[str, Any] = project.lute("show", row["id"], "-c", "config.yaml", "--json").json
        return None if now["status"] in ("PENDING", "RUNNING") else now

    return wait_until(look, f"run {row['id']} has ended", seconds)


def test_from_submission_to_result(there: Project) -> None:
    """Issue 7: the run is in the record at once, and keeps its id; --wait has the exit code and the log of `lute run`."""
    row = submitted(there, "Sh", "-s", "Sh.code=echo out; echo err >&2", "--ntasks=1", "--time", "2")
    assert row["status"] == "PENDING"
    assert row["job"] in row["reason"]
    now = ended(there, row)
    assert (now["status"], now["exit_code"]) == ("COMPLETED", 0)
    assert "out\nerr\n" in Path(now["log"]).read_text()
    assert Path(now["log"]).parent.name == row["id"]
    waited = there.lute("submit", "Sh", "-c", "config.yaml", "--wait", "-s", "Sh.code=echo shown; exit 3")
    assert waited.code == 1, waited
    assert "shown" in waited.err
    assert "exited with status 3" in waited.out


def test_the_job_has_the_options_that_were_asked_for(there: Project, cluster: Slurm) -> None:
    """Issue 7: given options replace the same ones; those of the Task stay apart."""
    there.write(
        "site.py",
        """
        from lute import facility
        FACILITY = facility.Facility(name="here", slurm={"partition": "short", "comment": "for {experiment}"})
        facility.use(FACILITY)
        """,
    )
    code = "Sh.code=scontrol show job $SLURM_JOB_ID"
    row = submitted(there, "Sh", "-p", "site.py", "-s", code, "-n", "2", "--partition=main", "--job-name", "a b")
    log = Path(ended(there, row)["log"]).read_text()
    for text in ("JobName=a b", "Partition=main", "NumTasks=2", "Comment=for exp1"):
        assert text in log


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--partition=nowhere"], "nowhere"),
        (["--array=0-3"], "--array"),
        (["--wrap=true"], "--wrap"),
        (["stray"], "'stray' is no option of sbatch"),
        (["--time=1", "-s", "task_timeout=100"], "may take 100 s"),
        (["-s", "Sh.code=[1"], "Sh.code"),
        (["--time"], "needs a value"),
    ],
)
def test_refused(there: Project, cluster: Slurm, options: list[str], told: str) -> None:
    """Issue 7: what Slurm or lute refuses is told, with exit code 2, and nothing is left of it."""
    done = there.lute("submit", "Sh", "-c", "config.yaml", *options)
    assert done.code == 2, done
    assert told in done.err
    assert not (there.folder / "lute.db").exists() or not there.lute("history", "--json").json
    assert not cluster.says("squeue", "-h").strip()


def test_dry_run_is_the_script(there: Project, cluster: Slurm) -> None:
    """Issue 7: the script is shown by --dry-run, and nothing is submitted; sbatch takes it as it is."""
    done = there.lute("submit", "Sh", "-c", "config.yaml", "--dry-run", "--time=1", "-s", "Sh.code=echo $HOME > 'a b'")
    assert done.code == 0
    assert not cluster.says("squeue", "-h").strip()
    script = there.write("job.sh", done.out)
    (there.folder / "lute.runs").mkdir()
    answer = there.run(["sbatch", "--parsable", "--wait", f"--output={there.folder}/out", str(script)])
    assert answer.code == 0, answer
    assert (there.folder / "a b").read_text().strip() == os.environ["HOME"]


def test_cancel_before_and_after_the_start(there: Project, cluster: Slurm) -> None:
    """Issue 7: `lute cancel` of a run that waits takes its job back; of one that runs, ends all of its processes."""
    waiting = submitted(there, "Sh", "--hold")
    done = there.lute("cancel", waiting["id"], "-c", "config.yaml", "--reason", "no beam")
    assert done.code == 0, done
    row = ended(there, waiting)
    assert (row["status"], "no beam" in row["reason"]) == ("CANCELLED", True)
    assert cluster.state(waiting["job"]) == "CANCELLED"
    running = submitted(there, "Sh", "-s", "Sh.code=trap '' TERM; touch started; while :; do sleep 1; done")
    wait_until(lambda: (there.folder / "started").exists(), "it runs")
    assert there.lute("cancel", running["id"], "-c", "config.yaml").code == 0
    assert ended(there, running)["status"] == "CANCELLED"
    assert pids_with(f"LUTE_RUN_ID={running['id']}") == []


def test_scancel_and_ctrl_c_while_waiting(there: Project, cluster: Slurm) -> None:
    """Issue 7: scancel is a clean cancel; Ctrl-C at `lute submit --wait` cancels the job."""
    row = submitted(there, "Wait")
    wait_until(lambda: (there.folder / "started").exists(), "it runs")
    cluster.says("scancel", row["job"])
    assert ended(there, row)["status"] == "CANCELLED"
    assert (there.folder / "cleaned").exists()
    (there.folder / "started").unlink()
    process = start(there, "submit", "Wait", "-c", "config.yaml", "--wait")
    assert process.stderr is not None
    assert b"Slurm job" in process.stderr.readline()
    wait_until(lambda: (there.folder / "started").exists(), "the other runs")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert b"CANCELLED" in out


def test_the_warning_ahead_of_the_time_limit(there: Project) -> None:
    """Issue 7: a warning signal ahead of the limit becomes a clean TIMEDOUT, with clean-up."""
    done = there.lute("submit", "Wait", "-c", "config.yaml", "--wait", "--time=1", "--signal=B:USR2@58", timeout=120)
    assert done.code == 124, done
    assert "TIMEDOUT" in done.out
    assert "SIGUSR2" in done.out
    assert (there.folder / "cleaned").read_text() == "yes"


def test_a_job_that_met_its_limit_unwarned(there: Project, cluster: Slurm) -> None:
    """Issue 7: TIMEOUT is Slurm's word; its exit code is 0:0, and it is no success."""
    code = "Sh.code=touch started; sleep 300"
    row = submitted(there, "Sh", "-s", code, "--signal=B:USR2@1", "--time=5")
    wait_until(lambda: (there.folder / "started").exists(), "it runs")
    with contextlib.closing(sqlite3.connect(there.folder / "lute.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")  # its owner cannot write that it was warned, and is killed while it waits
        cluster.says("scontrol", "update", f"job={row['job']}", "EndTime=now")
        wait_until(lambda: cluster.state(row["job"]) == "TIMEOUT", "Slurm has ended it", 100)
    now = ended(there, row)
    assert (now["status"], "TIMEOUT" in now["reason"]) == ("TIMEDOUT", True)
    assert pids_with(f"LUTE_RUN_ID={row['id']}") == []


@pytest.mark.parametrize("how", ["requeued", "preempted"])
def test_a_job_that_is_taken_back_waits_again(there: Project, cluster: Slurm, how: str) -> None:
    """The run waits for its job again, is told so, and is opened again as another attempt when the job is started."""
    code = 'Sh.code=echo $SLURM_RESTART_COUNT >> starts; test -n "$SLURM_RESTART_COUNT" || sleep 100'
    process = start(there, "submit", "Sh", "-c", "config.yaml", "-s", code, "--wait", "--json", "-q")
    wait_until((there.folder / "starts").exists, "it runs", 60)
    [job] = cluster.says("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()
    word = cluster.take_back(how, job)
    show = lambda: there.lute("show", "last", "-c", "config.yaml", "--json").json  # noqa: E731
    wait_until(lambda: show()["status"] == "PENDING", "it waits again", 60)
    assert word in show()["reason"]
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, (out, err)
    assert [json.loads(out)[name] for name in ("status", "attempt")] == ["COMPLETED", 2]


def test_a_node_that_fails_and_is_requeued(there: Project, cluster: Slurm) -> None:
    """Issue 7: a job that Slurm starts again is another attempt of the same run."""
    code = 'Sh.code=echo $SLURM_RESTART_COUNT $SLURMD_NODENAME >> starts; test -n "$SLURM_RESTART_COUNT" || sleep 100'
    process = start(there, "submit", "Sh", "-c", "config.yaml", "-s", code, "--requeue", "--wait", "--json", "-q")
    starts = there.folder / "starts"
    wait_until(lambda: starts.exists() and starts.read_text().strip(), "it runs")
    node = starts.read_text().split()[0]
    cluster.says("scontrol", "update", f"node={node}", "state=down", "reason=test")
    try:
        out, err = process.communicate(timeout=100)
    finally:
        cluster.says("scontrol", "update", f"node={node}", "state=resume")
    assert process.returncode == 0, (out, err)
    now = json.loads(out)
    assert (now["status"], now["attempt"]) == ("COMPLETED", 2)
    assert len(starts.read_text().splitlines()) == 2


def test_a_node_that_fails_for_good(there: Project, cluster: Slurm) -> None:
    """Issue 7: NODE_FAIL is recorded with its reason."""
    row = submitted(there, "Sh", "-s", "Sh.code=echo $SLURMD_NODENAME > node; sleep 100", "--no-requeue")
    wait_until(lambda: (there.folder / "node").exists() and (there.folder / "node").read_text().strip(), "it runs")
    node = (there.folder / "node").read_text().strip()
    cluster.says("scontrol", "update", f"node={node}", "state=down", "reason=test")
    try:
        wait_until(lambda: cluster.state(row["job"]) == "NODE_FAIL", "Slurm has ended it", 60)
    finally:
        cluster.says("scontrol", "update", f"node={node}", "state=resume")
    now = ended(there, row)
    assert now["status"] in ("FAILED", "CANCELLED")
    assert "NODE_FAIL" in now["reason"] or "SIGTERM" in now["reason"]
