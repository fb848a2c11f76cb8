"""Workflows on a real Slurm: one job a step, arrays, all in one job; ends of every kind."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from cluster.slurm import Slurm
from conftest import Project
from lute.record.store import Record
from process.helpers import pids_with, start, wait_until

pytestmark = [pytest.mark.slurm, pytest.mark.timeout(240)]
STEP = "  {name}: {{task: Sh, needs: [{needs}], parameters: {{code: {code!r}}}{more}}}\n"


@pytest.fixture
def flows(on_slurm: Project) -> Project:
    """A project with programs that leave traces."""
    on_slurm.plugin("traces")
    path = on_slurm.config()
    path.write_text(path.read_text().replace("task_timeout: 60\n", ""))
    return on_slurm


def write(project: Project, *steps: tuple[str, str, str, str]) -> None:
    """Writes `flow.yaml`: of each step its name, what it needs, its line for the shell, and what else is to be said."""
    text = "".join(
        STEP.format(name=name, needs=needs, code=f"echo {name} >> trace; {code}", more=f", {more}" if more else "")
        for name, needs, code, more in steps
    )
    (project.folder / "flow.yaml").write_text(f"name: flow\nsteps:\n{text}")


def run(project: Project, *arguments: str, code: int | None = 0, timeout: float = 120) -> dict[str, Any]:
    """Runs the workflow on Slurm and waits. Returns its JSON."""
    done = project.lute(
        "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json", *arguments, timeout=timeout
    )
    assert code is None or done.code == code, done
    row: dict[str, Any] = done.json
    return row


def states(row: dict[str, Any]) -> dict[str, str]:
    """Returns the states of steps by their names."""
    return {step["name"]: step["status"] for step in row["steps"]}


def status(project: Project, identity: str = "last") -> dict[str, Any]:
    """Returns what `lute workflow status` says."""
    row: dict[str, Any] = project.lute("workflow", "status", identity, "-c", "config.yaml", "--json").json
    return row


def until_ended(project: Project, identity: str = "last", seconds: float = 90) -> dict[str, Any]:
    """Returns a workflow run when it has ended."""

    def look() -> dict[str, Any] | None:
        row = status(project, identity)
        return row if row["ended"] else None

    return wait_until(look, "the workflow run has ended", seconds)


def trace(project: Project) -> list[str]:
    """Returns the names of the steps that ran, sorted."""
    path = project.folder / "trace"
    return sorted(path.read_text().split()) if path.exists() else []


def test_rules_a_failure_in_the_middle_and_an_array(flows: Project, cluster: Slurm) -> None:
    """Issue 7: trigger rules are dependencies; a failure stops what needs it and nothing else; foreach is an array."""
    write(
        flows,
        ("a", "", "true", ""),
        ("bad", "a", "exit 3", ""),
        ("each", "a", "echo item {{ item }} >> items", "foreach: [1, 2, 3]"),
        ("blocked", "bad", "true", ""),
        ("after_blocked", "blocked", "true", ""),
        ("any", "bad, each", "true", "when: any_succeeded"),
        ("failed", "bad", "true", "when: any_failed"),
        ("no", "a", "true", "when: 'steps.a.exit_code == 7'"),
        ("after_no", "no", "true", ""),
        ("done", "blocked, any, failed, no", "true", "when: all_done"),
    )
    row = run(flows, code=1)
    assert states(row) == {
        "a": "COMPLETED",
        "bad": "FAILED",
        **{f"each[{number}]": "COMPLETED" for number in range(3)},
        "blocked": "BLOCKED",
        "after_blocked": "BLOCKED",
        "any": "COMPLETED",
        "failed": "COMPLETED",
        "no": "SKIPPED",
        "after_no": "SKIPPED",
        "done": "COMPLETED",
    }
    assert (row["status"], row["reason"]) == ("FAILED", "bad did not complete")
    assert trace(flows) == sorted(["a", "bad", *["each"] * 3, "any", "failed", "done"])
    assert sorted((flows.folder / "items").read_text().split()) == ["1", "2", "3", *["item"] * 3]
    arrays = {step["job"] for step in row["steps"] if step["step"] == "each"}
    assert {job.partition("_")[2] for job in arrays} == {"0", "1", "2"}
    assert len({job.partition("_")[0] for job in arrays}) == 1
    wait_until(lambda: not cluster.says("squeue", "-h").strip(), "nothing waits for ever")
    [job] = [step["job"] for step in row["steps"] if step["name"] == "blocked"]
    assert cluster.state(job) == "CANCELLED"
    assert Path(row["report"]).is_file()


def test_results_go_on_and_nothing_runs_again(flows: Project) -> None:
    """Issue 7: results of this workflow run are parameters of later steps; what has not changed has no job."""
    flows.write("input.txt", "in\n")
    flows.write("write.sh", '#!/bin/sh\necho write >> trace; { cat "$2"; echo "$1"; } > "$3"\n').chmod(0o755)
    (flows.folder / "flow.yaml").write_text(
        "name: flow\nsteps:\n"
        "  one: {task: Write, parameters: {text: one, out_file: one.txt}}\n"
        "  two: {task: Write, needs: [one], parameters: {text: two, in_file: '{{ steps.one.result }}', out_file: two.txt}}\n"
    )
    first = run(flows)
    assert (flows.folder / "two.txt").read_text() == "in\none\ntwo\n"
    again = run(flows)
    assert [(step["status"], step["reused"], step["job"]) for step in again["steps"]] == [("COMPLETED", True, None)] * 2
    assert [step["id"] for step in again["steps"]] == [step["id"] for step in first["steps"]]
    assert trace(flows) == ["write"] * 2


def test_the_driver_is_not_needed(flows: Project) -> None:
    """Issue 7: --no-wait returns at once; a driver that is killed is not missed; status tells from anywhere."""
    write(flows, ("a", "", "while [ ! -e go ]; do sleep 0.05; done", ""), ("b", "a", "true", ""))
    row = run(flows, "--no-wait")
    assert row["status"] == "RUNNING"
    wait_until(lambda: states(status(flows))["a"] == "RUNNING", "a runs")
    (flows.folder / "go").touch()
    assert states(until_ended(flows, row["id"])) == {"a": "COMPLETED", "b": "COMPLETED"}
    (flows.folder / "go").unlink()
    process = start(flows, "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm")
    wait_until(lambda: trace(flows).count("a") == 2, "a runs again")
    wait_until(lambda: all(step["job"] for step in status(flows)["steps"]), "all is submitted")
    process.kill()
    process.communicate()
    (flows.folder / "go").touch()
    last = until_ended(flows)
    assert last["id"] != row["id"]
    assert states(last) == {"a": "COMPLETED", "b": "COMPLETED"}


@pytest.mark.parametrize("how", ["Ctrl-C", "lute cancel"])
def test_cancel(flows: Project, cluster: Slurm, how: str) -> None:
    """Issue 7: cancel takes back what waits and ends what runs, but for steps that always run."""
    write(
        flows,
        ("a", "", "touch started; sleep 100", ""),
        ("b", "a", "true", ""),
        ("last", "b", "true", "when: always"),
    )
    process = start(flows, "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json", "-q")
    wait_until(lambda: (flows.folder / "started").exists(), "a runs")
    wait_until(lambda: all(step["job"] for step in status(flows)["steps"]), "all is submitted")
    if how == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        identity = status(flows)["id"]
        done = flows.lute("cancel", identity, "-c", "config.yaml", "--reason", "no beam")
        assert done.code == 0, done
    out, err = process.communicate(timeout=90)
    row = status(flows)
    assert process.returncode == (130 if how == "Ctrl-C" else 143), (out, err)
    assert states(row) == {"a": "CANCELLED", "b": "CANCELLED", "last": "COMPLETED"}
    assert ("no beam" in row["reason"]) == (how != "Ctrl-C")
    wait_until(lambda: not cluster.says("squeue", "-h").strip(), "no job is left")


def test_a_job_that_dies_without_a_word(flows: Project, cluster: Slurm) -> None:
    """Issue 7: a step whose job was killed ends in Slurm's own word, and what needs it is blocked."""
    write(flows, ("a", "", "touch started; sleep 100", ""), ("b", "a", "true", ""))
    row = run(flows, "--no-wait")
    wait_until(lambda: (flows.folder / "started").exists(), "it runs")
    job = next(step["job"] for step in status(flows)["steps"] if step["name"] == "a")
    os.kill(min(pids_with(f"step\0{row['id']}\0a")), signal.SIGKILL)  # the other is its launcher
    last = until_ended(flows, row["id"])
    assert states(last) == {"a": "FAILED", "b": "BLOCKED"}
    reason = next(step["reason"] for step in last["steps"] if step["name"] == "a")
    assert f"Slurm job {job}" in reason or "is gone" in reason
    wait_until(lambda: not pids_with(f"LUTE_RUN_ID={last['steps'][0]['id']}"), "its processes are gone")


def test_resume_runs_the_rest(flows: Project) -> None:
    """Issue 7: --resume on Slurm submits what did not complete, and nothing else."""
    write(flows, ("a", "", "true", ""), ("b", "a", "test -e fixed", ""), ("c", "b", "true", ""))
    row = run(flows, code=1)
    assert states(row) == {"a": "COMPLETED", "b": "FAILED", "c": "BLOCKED"}
    (flows.folder / "fixed").touch()
    done = flows.lute("workflow", "run", "--resume", row["id"], "-c", "config.yaml", "--on", "slurm", "--json")
    assert done.code == 0, done
    assert set(states(done.json).values()) == {"COMPLETED"}
    assert trace(flows) == ["a", "b", "b", "c"]


def test_one_step_as_a_job(flows: Project, cluster: Slurm) -> None:
    """Issue 7: `lute workflow step --on slurm`, which Airflow's operator runs: the log while it runs, the state, cancel."""
    write(flows, ("a", "", "echo shown", ""), ("b", "a", "touch started; sleep 100", "slurm: '--comment=own'"))
    identity = flows.lute("workflow", "start", "flow.yaml", "-c", "config.yaml").out.strip()
    place = ("-c", "config.yaml", "--on", "slurm", "--slurm=--time=2", "--log", "--json")
    done = flows.lute("workflow", "step", identity, "a", *place)
    assert (done.code, done.json["status"]) == (0, "COMPLETED"), done
    assert "shown" in done.err
    process = start(flows, "workflow", "step", identity, "b", *place)
    wait_until(lambda: (flows.folder / "started").exists(), "b runs")
    job = next(step["job"] for step in status(flows)["steps"] if step["name"] == "b")
    assert "Comment=own" in cluster.says("scontrol", "show", "job", job)
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, (out, err)
    assert states(status(flows)) == {"a": "COMPLETED", "b": "CANCELLED"}
    assert cluster.state(job) == "CANCELLED"


def test_retries_and_each_attempt(flows: Project) -> None:
    """Issue 7: retries are those of the workflow file, in the step's job, each attempt recorded."""
    write(flows, ("a", "", "test $(grep -c a trace) = 3", "retries: {times: 3, delay: 0.1}"))
    [step] = run(flows)["steps"]
    assert (step["status"], step["attempt"]) == ("COMPLETED", 3)
    rows = flows.lute("history", "-c", "config.yaml", "--json").json
    assert sorted((row["attempt"], row["status"]) for row in rows) == [(1, "FAILED"), (2, "FAILED"), (3, "COMPLETED")]


def test_pack_is_one_job(flows: Project) -> None:
    """Issue 7: --pack runs many steps in one allocation; 60 steps take no longer than 60 jobs by hand would."""
    write(
        flows,
        *((f"s{number}", "", "true", "") for number in range(60)),
        ("bad", "s1", "exit 3", ""),
        ("no", "bad", "true", ""),
    )
    row = run(flows, "--pack", "--slurm=--cpus-per-task=2 --time=5", code=1)
    assert row["status"] == "FAILED"
    found = states(row)
    assert (found.pop("bad"), found.pop("no")) == ("FAILED", "BLOCKED")
    assert set(found.values()) == {"COMPLETED"}
    jobs = {job for job in _jobs(flows) if job}
    assert len(jobs) == 1


def _jobs(project: Project) -> list[str]:
    import sqlite3

    database = sqlite3.connect(project.folder / "lute.db")
    try:
        return [job for (job,) in database.execute("SELECT json_extract(owner, '$.job') FROM lute_runs")]
    finally:
        database.close()


@pytest.mark.parametrize(
    ("more", "arguments", "told"),
    [
        ("slurm: '--time=1', timeout: 100", [], "may take 100 s"),
        ("slurm: '--wrap=true'", [], "--wrap"),
        ("", ["--slurm=--partition=nowhere"], "nowhere"),
        ("", ["--slurm=stray"], "'stray' is no option"),
    ],
)
def test_refused(flows: Project, cluster: Slurm, more: str, arguments: list[str], told: str) -> None:
    """Issue 7: what cannot be submitted is told, with Slurm's reason; nothing is started, exit code 2."""
    write(flows, ("a", "", "true", more))
    done = flows.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", *arguments)
    assert done.code == 2, done
    assert told in done.err
    assert trace(flows) == []
    assert not cluster.says("squeue", "-h").strip()


def test_dry_run_shows_the_scripts(flows: Project, cluster: Slurm) -> None:
    """Issue 7: options of the step replace the defaults, resources too; the rest stays; nothing is submitted."""
    write(
        flows,
        ("a", "", "true", ""),
        ("b", "a", "true", "slurm: '-n 4 --time=3', resources: {cores: 2, memory: 300M}"),
    )
    done = flows.lute(
        "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--dry-run", "--json",
        "--slurm=--ntasks=1 --time=10 --comment='a b'",
    )  # fmt: skip
    assert done.code == 0, done
    scripts = {entry["step"]: entry["script"].splitlines() for entry in done.json}
    assert "#SBATCH --time=10" in scripts["a"]
    for line in ("ntasks=4", "time=3", "cpus-per-task=2", "mem=300M", "comment='a b'", "dependency='afterok:JOB(a)'"):
        assert f"#SBATCH --{line}" in scripts["b"]
    assert "#SBATCH --kill-on-invalid-dep=yes" in scripts["b"]
    assert not cluster.says("squeue", "-h").strip()
    assert not (flows.folder / "lute.runs").exists()


def test_out_of_memory(flows: Project) -> None:
    """Issue 7: a job over its memory ends in OUT_OF_MEMORY, and the record says so."""
    if os.geteuid() != 0 or not Path("/sys/fs/cgroup/memory").is_dir():
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up("Slurm limits memory by cgroup v1 and as root only; here there is neither")
    small = Slurm(nodes=1, cgroup=True)
    try:
        small.start()
        flows.env |= small.environment
        hog = "python3 -c 'x = bytearray(600 << 20); import time; time.sleep(5)'"
        write(flows, ("a", "", hog, "slurm: '--mem=250M'"), ("b", "a", "true", ""))
        row = run(flows, code=1)
    finally:
        small.close()
    assert states(row) == {"a": "FAILED", "b": "BLOCKED"}
    [reason] = [step["reason"] for step in row["steps"] if step["name"] == "a"]
    assert "out of memory" in reason


def test_sixty_steps_beside_sixty_jobs_by_hand(flows: Project, cluster: Slurm) -> None:
    """DESIGN: 60 one-line steps take at most 1.2 times as long as 60 `sbatch` by hand: packed, and by far."""
    begin = time.monotonic()
    jobs = [cluster.says("sbatch", "--parsable", "-o", "/dev/null", "--wrap", "true").strip() for _ in range(60)]
    wait_until(lambda: not cluster.says("squeue", "-h").strip(), "all jobs have ended", 60)
    by_hand = time.monotonic() - begin
    assert all(jobs)
    write(flows, *((f"s{number}", "", "true", "") for number in range(60)))
    begin = time.monotonic()
    row = run(flows, "--pack", "--slurm=--cpus-per-task=2")
    packed = time.monotonic() - begin
    assert set(states(row).values()) == {"COMPLETED"}
    print(f"60 sbatch by hand {by_hand:.1f} s, 60 packed steps {packed:.1f} s")
    assert packed < 1.2 * by_hand


# -------------------------------------------------------------------------- what Slurm starts again


ONCE = "test -e {0} || { touch {0}; sleep 100; }"
"""A line for the shell that waits for its end the first time, and ends at once the second."""


@pytest.mark.parametrize(
    ("kind", "how"),
    [("step", "preempted"), ("step", "node down"), ("array", "requeued"), ("pack", "preempted")],
)
def test_a_job_that_slurm_starts_again(flows: Project, cluster: Slurm, kind: str, how: str) -> None:
    """The step has an attempt for each start of its job, what needs it waits, and nothing is cancelled."""
    more = "foreach: [1, 2]" if kind == "array" else ""
    write(flows, ("a", "", ONCE.replace("{0}", "began{{ item }}" if more else "began"), more), ("b", "a", "true", ""))
    options = ["--pack"] if kind == "pack" else []
    process = start(
        flows, "workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json", "-q", *options
    )
    marks = ("began1", "began2") if more else ("began",)
    wait_until(lambda: all((flows.folder / name).exists() for name in marks), "it runs", 60)
    [job, *_] = cluster.says("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()
    word = cluster.take_back(how, job)
    wait_until(lambda: states(status(flows))[entry_of(job, kind)] == "PENDING", "it waits again", 60)
    if more:
        (other,) = set(cluster.says("squeue", "-h", "-r", "-t", "RUNNING", "-o", "%i").split()) - {job}
        cluster.says("scontrol", "requeue", other)
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, (out, err)
    row = json.loads(out)
    assert set(states(row).values()) == {"COMPLETED"}
    assert [step["attempt"] for step in row["steps"]] == ([2, 2, 1] if more else [2, 1])
    with Record(flows.folder / "lute.db") as record:
        runs = [found for found in record.find(workflow=row["id"]) if found["step"] == entry_of(job, kind)]
    assert [(run["attempt"], run["status"]) for run in runs] == [(2, "COMPLETED"), (1, "CANCELLED")]
    assert word in runs[1]["reason"]


def entry_of(job: str, kind: str) -> str:
    """The name of the first step's entry that a job runs."""
    return f"a[{job.partition('_')[2]}]" if kind == "array" else "a"


def test_a_job_that_is_taken_back_and_then_cancelled(flows: Project, cluster: Slurm) -> None:
    """While it waits to be started again it can be cancelled, and does not begin again."""
    write(flows, ("a", "", ONCE.replace("{0}", "began"), ""), ("b", "a", "true", ""))
    row = run(flows, "--no-wait")
    wait_until((flows.folder / "began").exists, "it runs", 60)
    [job] = cluster.says("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()
    cluster.take_back("requeued", job)
    wait_until(lambda: states(status(flows))["a"] == "PENDING", "it waits again")
    assert flows.lute("cancel", row["id"], "-c", "config.yaml").code == 0
    assert states(until_ended(flows)) == {"a": "CANCELLED", "b": "CANCELLED"}
    assert trace(flows) == ["a"]
    wait_until(lambda: not cluster.says("squeue", "-h").strip(), "no job is left")


# ------------------------------------------------------------- one run, whatever starts it


HOWS = {
    "local": ["workflow", "run", "../flow.yaml"],
    "slurm": ["workflow", "run", "../flow.yaml", "--on", "slurm"],
    "pack": ["workflow", "run", "../flow.yaml", "--on", "slurm", "--pack"],
    "run": ["run", "Shell"],
    "submit": ["submit", "Shell", "--wait"],
    "watch": ["watch", "../flow.yaml", "--folder", "raw", "--once", "--every", "0.05", "--settle", "0.1"],
}


@pytest.mark.parametrize("how", HOWS)
def test_options_give_the_same_run_on_every_engine(flows: Project, how: str) -> None:
    """`-p`, `$LUTE_PLUGINS`, `-e`, `-r`, `--set`, `--db`, relative paths and another folder than the YAML file's."""
    (flows.folder / "tasks.py").unlink()
    flows.config("file: ''\nSh: {code: 'false'}")
    here = Project(flows.folder / "here")
    here.env = flows.env | {"LUTE_PLUGINS": "more/second.py"}
    here.plugin("traces", "own.py")
    here.write("more/second.py", "import lute\n\n\n@lute.task\ndef second() -> None:\n    pass\n")
    here.write("input.txt", "read here")
    code = "cat input.txt > made.txt; echo $EXPERIMENT $RUN >> made.txt"
    given = ["-p", "own.py", "-e", "other", "-r", "12", "-s", f"Sh.code={code}", "--db", "sub/own.db", "--json", "-q"]
    flows.write("flow.yaml", "steps:\n  one: {task: Shell}\n")
    for number in range(2):
        here.write(f"raw/{number}", "a file to be watched for")
        done = here.lute(*HOWS[how], "-c", "../config.yaml", *given, timeout=120)
        assert done.code == 0, done
    with Record(here.folder / "sub/own.db") as record:
        runs = record.find()
    assert len(runs) == (1 if how == "watch" else 2)  # what was there before is not new to a watch
    about = {(run["experiment"], run["run"], run["status"], run["parameters"]["code"]) for run in runs}
    assert about == {("other", "12", "COMPLETED", code)}
    assert (here.folder / "made.txt").read_text().startswith("read here")
    assert not (flows.folder / "lute.db").exists()
    if how == "local":
        again = flows.lute("workflow", "rerun", "last", "--db", "here/sub/own.db", "--fresh", "--json", "-q")
        assert again.code == 0, again
    if how == "run":
        again = flows.lute("rerun", runs[0]["id"], "--db", "here/sub/own.db", "--json", "-q")
        assert again.code == 0, again


def test_a_job_that_fails_before_its_step(flows: Project) -> None:
    """What the job printed is shown, and its exit code is that of `lute`."""
    write(flows, ("a", "", "true", ""))
    flows.env["BREAK"] = ""
    text = "import os\nif 'SLURM_JOB_ID' in os.environ:\n    raise ValueError('not on this node')\n"
    flows.write("breaks.py", text)
    done = flows.lute(
        "workflow", "run", "flow.yaml", "-c", "config.yaml", "-p", "breaks.py", "--on", "slurm", timeout=90
    )
    assert done.code == 1, done
    assert "exit code 2:0" in done.out
    assert "not on this node" in done.err


def test_who_waits_for_a_job_is_lost(flows: Project, cluster: Slurm) -> None:
    """Another one that is to run the step takes up the job that lives, and runs nothing twice."""
    write(flows, ("a", "", "while [ ! -e go ]; do sleep 0.05; done", ""))
    identity = flows.lute("workflow", "start", "flow.yaml", "-c", "config.yaml").out.strip()
    step = ("workflow", "step", identity, "a", "-c", "config.yaml", "--on", "slurm", "--json", "--log")
    process = start(flows, *step)
    wait_until(lambda: trace(flows) == ["a"], "it runs", 60)
    process.kill()
    process.communicate()
    process = start(flows, *step)
    wait_until(lambda: flows.lute("workflow", "status", identity, "-c", "config.yaml").code == 0, "it looks")
    (flows.folder / "go").touch()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, json.loads(out)["status"]) == (0, "COMPLETED"), (out, err)
    assert flows.lute(*step).code == 0
    assert trace(flows) == ["a"]


def test_who_waits_outlives_a_restart_of_the_controller(flows: Project, cluster: Slurm) -> None:
    """That Slurm does not answer is told, once, and the client waits on; so does `lute submit --wait`."""
    code = "while [ ! -e go ]; do sleep 0.05; done"
    write(flows, ("a", "", code, ""), ("b", "a", "true", ""))
    told = flows.folder / "told"
    with told.open("wb") as stderr:
        line = ("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json")
        client = start(flows, *line, stderr=stderr)
    waiting = [
        client,
        start(flows, "submit", "Sh", "-c", "config.yaml", "-s", f"Sh.code={code}", "--wait", "--json", "-q"),
    ]
    wait_until(lambda: len(cluster.says("squeue", "-h", "-t", "RUNNING", "-o", "%i").split()) == 2, "both run", 60)
    cluster.stop_controller()
    try:
        wait_until(lambda: "is asked again" in told.read_text(), "it is told", 60)
    finally:
        cluster.start_controller()
    (flows.folder / "go").touch()
    for process in waiting:
        out, err = process.communicate(timeout=90)
        assert process.returncode == 0, (out, err)
    assert told.read_text().count("is asked again") == 1


def test_resume_takes_the_yaml_file_that_is_given(flows: Project) -> None:
    """`--resume ID -c OTHER`, from another folder too."""
    (flows.folder / "flow.yaml").write_text("steps: {a: {task: Giver}, b: {task: Shell, needs: a}}")
    mended = flows.config("Sh: {code: 'true'}").rename(flows.folder / "mended.yaml")
    flows.config("Sh: {code: 'false'}")
    first = run(flows, code=1)
    elsewhere = Project(flows.folder / "elsewhere")
    elsewhere.env = flows.env
    elsewhere.folder.mkdir()
    where = ("-c", f"../{mended.name}", "--on", "slurm", "--json")
    done = elsewhere.lute("workflow", "run", "--resume", first["id"], *where)
    assert done.code == 0, done
    assert states(done.json) == {"a": "COMPLETED", "b": "COMPLETED"}


# ------------------------------------------------------------------------------ limits


def test_a_limit_on_the_number_of_jobs(project: Project) -> None:
    """What is refused for a limit waits until others have ended, and says so in Slurm's words."""
    cluster = Slurm(nodes=1, cpus=2, remember=2, most_jobs=4, array_size=3)
    try:
        cluster.start()
        project.env |= cluster.environment
        project.plugin("traces")
        project.config()
        each = ("each", "", "true", "foreach: [1, 2, 3, 4, 5]")
        write(project, *((f"s{number}", "s0" if number == 4 else "", "true", "") for number in range(5)), each)
        done = project.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--json", timeout=150)
        assert done.code == 0, done
        assert set(states(done.json).values()) == {"COMPLETED"}
        assert trace(project) == [*["each"] * 5, *(f"s{number}" for number in range(5))]
        jobs = [step["job"].partition("_")[2] for step in done.json["steps"] if step["step"] == "each"]
        assert jobs == ["0", "0", "0", "1", "1"]
        assert "sbatch" in done.err
        assert "wait to be submitted until others have ended" in done.err
    finally:
        cluster.close()


def test_a_slice_of_instances_is_one_job(flows: Project) -> None:
    """`slurm: {slice: 3}`: each job of the array runs three instances, and the dry run says so."""
    more = "foreach: [1, 2, 3, 4, 5, 6, 7], slurm: {slice: 3, time: 2}"
    write(flows, ("a", "", "true", more), ("b", "a", "true", ""))
    shown = flows.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--dry-run").out
    assert "--array=0-2" in shown
    assert "--slice=3" in shown
    row = run(flows)
    assert set(states(row).values()) == {"COMPLETED"}
    jobs = [step["job"].partition("_")[2] for step in row["steps"] if step["step"] == "a"]
    assert jobs == ["0", "0", "0", "1", "1", "1", "2"]
    assert trace(flows) == [*["a"] * 7, "b"]
    write(flows, ("a", "", "true", "foreach: [1, 2], slurm: {slice: 0}"))
    assert "slice is 0" in flows.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm").err


@pytest.mark.parametrize("more", ["", "foreach: [1, 2, 3, 4, 5, 6]"])
def test_jobs_is_a_throttle(flows: Project, cluster: Slurm, more: str) -> None:
    """`-j 2` lets at most two jobs run at once, also when nobody waits for them."""
    code = "echo + >> seen; sleep 0.6; echo - >> seen"
    steps = [("a", "", code, more)] if more else [(f"s{number}", "", code, "") for number in range(6)]
    write(flows, *steps)
    run(flows, "-j", "2", "--no-wait")
    assert set(states(until_ended(flows)).values()) == {"COMPLETED"}
    at_once = [0]
    for sign in (flows.folder / "seen").read_text().split():
        at_once.append(at_once[-1] + (1 if sign == "+" else -1))
    assert (max(at_once), at_once[-1]) == (2, 0)


def test_nodes_that_a_packed_workflow_does_not_use_are_told(flows: Project) -> None:
    """`--pack --nodes=4`: steps start on the first node."""
    write(flows, ("a", "", "true", ""))
    line = ("workflow", "run", "flow.yaml", "-c", "config.yaml", "--on", "slurm", "--pack", "--dry-run")
    assert "the first of the job's 4 nodes" in flows.lute(*line, "--slurm=--nodes=4").err
    assert "nodes" not in flows.lute(*line, "--slurm=--nodes=1").err


def test_a_workflow_that_is_killed_in_a_living_job(flows: Project, cluster: Slurm) -> None:
    """Somebody's `lute workflow run` in an allocation that goes on is lost, and can be resumed at once."""
    job = cluster.says("sbatch", "--parsable", "--output=/dev/null", "--wrap=sleep 100").strip()
    wait_until(lambda: cluster.state(job) == "RUNNING", "the allocation is there", 60)
    inside = {"SLURM_JOB_ID": job, "SLURM_CLUSTER_NAME": "lute"}
    write(flows, ("a", "", ONCE.replace("{0}", "began"), ""))
    process = start(flows, "workflow", "run", "flow.yaml", "-c", "config.yaml", "-q", env=inside)
    wait_until((flows.folder / "began").exists, "it runs")
    process.kill()
    process.communicate()
    row = status(flows)
    assert (row["status"], "is gone" in row["reason"]) == ("FAILED", True), row
    done = flows.lute("workflow", "run", "--resume", row["id"], "-c", "config.yaml", "-q", env=inside)
    assert done.code == 0, done
