"""What surrounds batch jobs and is not Slurm's own, with a double as the scheduler."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import local_batch
from conftest import Project
from process.flows import shell
from process.helpers import pids_with, start, wait_until

LIVE = ("PENDING", "RUNNING")


@pytest.fixture
def there(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """A project whose jobs are processes of this machine."""
    home = str(project.folder / "batch")
    monkeypatch.setenv("LOCAL_BATCH", home)
    project.env |= {
        "LUTE_SCHEDULER": "local_batch",
        "LOCAL_BATCH": home,
        "PYTHONPATH": str(Path(local_batch.__file__).parent),
    }
    project.plugin("traces")
    project.config(header="terminate_grace: 1\nclean_up_grace: 1")
    yield project
    local_batch.close()


def write(project: Project, **steps: str) -> None:
    """Writes `flow.yaml`."""
    text = "".join(f"  {name}: {step}\n" for name, step in steps.items())
    (project.folder / "flow.yaml").write_text(f"name: flow\nsteps:\n{text}")


def run(project: Project, *arguments: str, code: int = 0) -> dict[str, Any]:
    """Runs the workflow as jobs."""
    done = project.lute(
        "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json", "-q", *arguments
    )
    assert done.code == code, done
    row: dict[str, Any] = done.json
    return row


def states(row: dict[str, Any]) -> dict[str, str]:
    """The states of steps by their names."""
    return {step["name"]: step["status"] for step in row["steps"]}


def status(project: Project) -> dict[str, Any]:
    """What `lute workflow status` says of the last workflow run."""
    row: dict[str, Any] = project.lute("workflow", "status", "last", "-c", "config.yaml", "--json").json
    return row


def submitted(project: Project, *arguments: str) -> dict[str, Any]:
    """Submits a Task. Returns the run's JSON."""
    done = project.lute("submit", "Shell", "-c", "config.yaml", "--json", *arguments)
    assert done.code == 0, done
    row: dict[str, Any] = done.json
    return row


def show(project: Project, row: dict[str, Any]) -> dict[str, Any]:
    """What `lute show` says of a run."""
    now: dict[str, Any] = project.lute("show", row["id"], "-c", "config.yaml", "--json").json
    return now


def ended(project: Project, row: dict[str, Any]) -> dict[str, Any]:
    """A run when it has ended."""
    return wait_until(lambda: (now := show(project, row))["status"] not in LIVE and now, f"run {row['id']} has ended")


def test_a_chain_a_failure_in_the_middle_and_an_array(there: Project) -> None:
    """Issue 7: what needs a step that failed is blocked; rules are dependencies; `foreach` is an array."""
    write(
        there,
        a=shell("echo a >> trace"),
        bad=shell("echo bad >> trace; exit 3", needs=["a"]),
        each=shell("echo {{ item }} >> trace", needs=["a"], foreach=["x", "y", "z"]),
        blocked=shell("echo blocked >> trace", needs=["bad"]),
        failed=shell("echo failed >> trace", needs=["bad"], when="any_failed"),
        some=shell("echo some >> trace", needs=["bad", "each"], when="any_succeeded"),
        done=shell("echo done >> trace", needs=["blocked", "failed", "some"], when="all_done"),
    )
    row = run(there, code=1)
    assert states(row) == {
        "a": "COMPLETED",
        "bad": "FAILED",
        **{f"each[{number}]": "COMPLETED" for number in range(3)},
        "blocked": "BLOCKED",
        "failed": "COMPLETED",
        "some": "COMPLETED",
        "done": "COMPLETED",
    }
    assert (row["status"], row["reason"]) == ("FAILED", "bad did not complete")
    traces = (there.folder / "trace").read_text().split()
    assert sorted(traces) == sorted(["a", "bad", "x", "y", "z", "failed", "some", "done"])
    arrays = [step["job"] for step in row["steps"] if step["step"] == "each"]
    assert [job.partition("_")[2] for job in arrays] == ["0", "1", "2"]
    [job] = [step["job"] for step in row["steps"] if step["name"] == "blocked"]
    wait_until(lambda: local_batch.jobs([job])[job].state == "withdrawn", "its job is taken back")
    owner = show(there, {"id": next(step["id"] for step in row["steps"] if step["name"] == "each[2]")})
    assert owner["status"] == "COMPLETED"
    assert Path(row["report"]).is_file()


def test_all_steps_in_one_job(there: Project) -> None:
    """Issue 7: --pack runs all steps in one job."""
    write(there, a=shell("echo $LOCAL_BATCH_JOB >> jobs"), b=shell("echo $LOCAL_BATCH_JOB >> jobs", needs=["a"]))
    assert states(run(there, "--pack")) == {"a": "COMPLETED", "b": "COMPLETED"}
    assert (there.folder / "jobs").read_text().split() == ["1", "1"]


@pytest.mark.parametrize("how", ["Ctrl-C", "lute cancel"])
def test_cancel_a_workflow_run(there: Project, how: str) -> None:
    """Issue 7: cancel takes back what waits and ends what runs, but for steps that always run."""
    write(
        there,
        a=shell("touch started; sleep 100"),
        b=shell("true", needs=["a"]),
        last=shell("true", needs=["b"], when="always"),
    )
    process = start(there, "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json", "-q")
    wait_until(lambda: (there.folder / "started").exists(), "a runs")
    wait_until(lambda: all(step["job"] for step in status(there)["steps"]), "all is submitted")
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        done = there.lute("cancel", status(there)["id"], "-c", "config.yaml", "--reason", "no beam")
        assert done.code == 0, done
    out, err = process.communicate(timeout=60)
    row = status(there)
    assert process.returncode == (130 if how == "Ctrl-C" else 143), (out, err)
    assert states(row) == {"a": "CANCELLED", "b": "CANCELLED", "last": "COMPLETED"}
    assert ("no beam" in row["reason"]) == (how != "Ctrl-C")
    wait_until(lambda: not pids_with(f"LOCAL_BATCH={there.env['LOCAL_BATCH']}"), "no process is left")


def test_a_step_whose_job_dies_without_a_word(there: Project) -> None:
    """Issue 7: a step whose job was killed ends in the scheduler's own word, and what needs it is blocked."""
    write(there, a=shell("touch started; sleep 100"), b=shell("true", needs=["a"]))
    row = run(there, "--no-wait")
    wait_until(lambda: (there.folder / "started").exists(), "a runs")
    job = next(step["job"] for step in status(there)["steps"] if step["name"] == "a")
    os.kill(int((there.folder / "batch" / job / "pid").read_text()), signal.SIGKILL)
    last = wait_until(lambda: (now := status(there))["ended"] and now, "the workflow run has ended")
    assert last["id"] == row["id"]
    assert states(last) == {"a": "FAILED", "b": "BLOCKED"}
    reason = next(step["reason"] for step in last["steps"] if step["name"] == "a")
    assert f"job {job} of the local batch: it was killed by signal 9" in reason or "is gone" in reason


def test_a_refused_job_ends_the_workflow_run(there: Project) -> None:
    """Issue 7: when a job is refused, those before it are cancelled and the workflow run says why."""
    write(there, a=shell("sleep 100"), refuse=shell("true", needs=["a"]))
    done = there.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm")
    assert done.code == 2, done
    assert "the local batch refused the job" in done.err
    assert status(there)["status"] == "FAILED"
    wait_until(lambda: local_batch.jobs(["1"])["1"].state == "withdrawn", "the job before it is taken back")


def test_one_step_as_a_job(there: Project) -> None:
    """Issue 8: one step of a workflow run in a job of its own, which the caller waits for."""
    write(there, a=shell("echo shown; exit 3"))
    done = there.lute("workflow", "start", "flow.yaml", "-c", "config.yaml")
    assert done.code == 0, done
    step = there.lute("workflow", "step", done.out.strip(), "a", "-c", "config.yaml", "--on", "slurm", "--log")
    assert step.code == 1, step
    assert "shown" in step.err


def test_submit_and_go_on(there: Project) -> None:
    """Issue 7: `lute submit` returns at once with the run in the record, which keeps its id and names its job."""
    row = submitted(there, "-s", "Sh.code=until [ -e go ]; do sleep 0.02; done; echo out", "--ntasks=1")
    assert (row["status"], row["reason"]) == ("PENDING", f"waits for local job {row['job']}")
    wait_until(lambda: show(there, row)["status"] == "RUNNING", "it runs")
    (there.folder / "go").touch()
    now = ended(there, row)
    assert (now["status"], now["id"], now["attempt"]) == ("COMPLETED", row["id"], 1)
    assert "out\n" in Path(now["log"]).read_text()


def test_submit_and_wait(there: Project) -> None:
    """Issue 7: with --wait it has the exit code and the log of `lute run`."""
    done = there.lute("submit", "Shell", "-c", "config.yaml", "--wait", "-s", "Sh.code=echo shown; exit 3")
    assert done.code == 1, done
    assert "shown" in done.err
    assert "exited with status 3" in done.out
    assert done.err.startswith("lute: local job 1 (run ")


def test_the_script_is_in_the_words_of_the_scheduler(there: Project) -> None:
    """Issue 7: --dry-run prints the script and submits nothing; options are those of the scheduler."""
    done = there.lute("submit", "Shell", "-c", "config.yaml", "--dry-run", "--time=90")
    assert done.code == 0, done
    assert {"#LOCAL job-name=Sh", "#LOCAL warn=2", "#LOCAL time=90"} <= set(done.out.splitlines())
    assert not (there.folder / "batch").exists()
    for options, told in (("--partition=main", "is not an option of the local batch"), ("--time=30", "may take 60 s")):
        refused = there.lute("submit", "Shell", "-c", "config.yaml", options)
        assert refused.code == 2, refused
        assert told in refused.err


def test_cancel_a_run_that_waits_and_one_that_runs(there: Project) -> None:
    """Issue 7: `lute cancel` takes back the job of a run that waits, and ends the processes of one that runs."""
    running = submitted(there, "-s", "Sh.code=touch started; sleep 100")
    waiting = submitted(there, f"--dependency=afterok:{running['job']}")
    wait_until(lambda: (there.folder / "started").exists(), "the first runs")
    done = there.lute("cancel", waiting["id"], "-c", "config.yaml", "--reason", "no beam")
    assert done.code == 0, done
    assert show(there, waiting)["status"] == "CANCELLED"
    assert "no beam" in show(there, waiting)["reason"]
    job = waiting["job"]
    wait_until(lambda: local_batch.jobs([job])[job].state == "withdrawn", "its job is taken back")
    local_batch.cancel([running["job"]])
    assert ended(there, running)["status"] == "CANCELLED"
    wait_until(lambda: not pids_with(f"LOCAL_BATCH={there.env['LOCAL_BATCH']}"), "no process is left")


def test_a_run_whose_job_dies_without_a_word(there: Project) -> None:
    """Issue 7: a run whose job was killed ends with what the scheduler says of the job."""
    row = submitted(there, "-s", "Sh.code=touch started; sleep 100")
    wait_until(lambda: (there.folder / "started").exists(), "it runs")
    os.kill(int((there.folder / "batch" / row["job"] / "pid").read_text()), signal.SIGKILL)
    job = row["job"]
    wait_until(lambda: local_batch.jobs([job])[job].ended, "the job has ended")
    now = ended(there, row)
    assert (now["status"], now["reason"]) == ("FAILED", f"job {job} of the local batch: it was killed by signal 9")


@pytest.mark.parametrize(("name", "told"), [("slrum", "Did you mean 'slurm'?"), ("none.such", "does not exist")])
def test_a_scheduler_that_does_not_exist(there: Project, name: str, told: str) -> None:
    """A misspelt scheduler is a usage error that names the nearest one."""
    done = there.lute("submit", "Shell", "-c", "config.yaml", env={"LUTE_SCHEDULER": name})
    assert done.code == 2, done
    assert told in done.err


ON_NETWORK = """
import sys
from lute.base import files
files.NETWORK_FILE_SYSTEMS = ("",)  # every file system is one
from lute.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_record_on_a_network_file_system_is_warned_of(there: Project) -> None:
    """What all jobs write at once is told before they are submitted, also by a dry run; not where one job does all."""
    write(there, a=shell("true"))
    script = there.write("on_network.py", ON_NETWORK)
    line = [
        sys.executable,
        str(script),
        "workflow",
        "run",
        "flow.yaml",
        "-c",
        "config.yaml",
        "--on",
        "slurm",
        "--dry-run",
    ]
    told = "lute.db is a file on a network file system"
    assert told in there.run(line).err
    assert told not in there.run([*line, "--pack"]).err
