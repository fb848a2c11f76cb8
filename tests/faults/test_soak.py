"""Many short runs with random kills and cancels: none hangs, none is lost, nothing is left behind."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from conftest import LUTE, Project
from faults.support import REPORT, SLACK, children_of, marked, take_plugin
from lute.execution import requests
from lute.record.db import Record
from process.helpers import wait_until

RUNS = int(os.environ.get("LUTE_SOAK", "200"))
AT_ONCE = 8
SEED = int(os.environ.get("LUTE_SOAK_SEED", "1"))
LONGEST = 25.0
"""Deadline of a single run on a busy machine, in s."""
KINDS = {
    "Task": ("Python", "Py.code=time.sleep(0.5)", "COMPLETED"),
    "failing Task": ("Python", "Py.code=raise ValueError('no')", "FAILED"),
    "program": ("Shell", "Sh.code=echo hello; sleep 0.5", "COMPLETED"),
    "failing program": ("Shell", "Sh.code=sleep 0.4; exit 3", "FAILED"),
    "own program": ("OwnShell", "OwnSh.code=sleep 0.5", "COMPLETED"),
    "timeout": ("Sleeper", "Sleep.code=sleep 30", "TIMEDOUT"),
    "daemons": ("Shell", "Sh.code={python} daemons.py pids-{number}; sleep 0.5", "COMPLETED"),
}
WEIGHTS = (6, 3, 6, 3, 3, 1, 1)
DEEDS = ("none", "kill owner", "kill launcher", "kill child", "Ctrl-C", "SIGTERM", "cancel")
MEANT = {
    "kill owner": ("FAILED", "owned this run is gone"),
    "kill launcher": ("FAILED", "launcher"),
    "kill child": ("FAILED", "SIGKILL"),
    "Ctrl-C": ("CANCELLED", "Ctrl-C"),
    "SIGTERM": ("CANCELLED", "SIGTERM"),
    "cancel": ("CANCELLED", "soak"),
}


@dataclass
class Soaked:
    """One run of the soak."""

    number: int
    kind: str
    deed: str
    env: dict[str, str] = field(default_factory=dict)
    done: bool = False
    """Whether the deed met the run alive."""
    code: int | None = None
    hung: bool = False
    orphans: int = 0
    err: str = ""


def soak_one(project: Project, run: Soaked, moment: float) -> None:
    """Does one run, and what is to be done to it."""
    mark = f"FAULTS_MARK=soak-{os.getpid()}-{run.number}-"
    tmp = project.folder / "tmp" / str(run.number)
    tmp.mkdir(parents=True)
    name, setting, _ = KINDS[run.kind]
    setting = setting.format(python=sys.executable, number=run.number)
    argv = [*LUTE, "run", name, "-c", "config.yaml", "--json", "-q", "-e", f"soak{run.number}", "-s", setting]
    env = {**project.env, "FAULTS_MARK": mark.partition("=")[2], "TMPDIR": str(tmp), **run.env}
    with open(project.folder / f"err-{run.number}", "wb") as err:
        owner = subprocess.Popen(
            argv, cwd=project.folder, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=err
        )
    if run.deed != "kill owner" or run.number % 3:  # others are killed while they still import
        wait_until(lambda: owner.poll() is not None or children_of(owner.pid), "a launcher", LONGEST)
    at = time.monotonic() + moment
    wait_until(lambda: time.monotonic() > at or owner.poll() is not None, "the moment")
    if owner.poll() is None and run.deed != "none":
        run.done = do(project, run, owner)
    try:
        run.code = owner.wait(LONGEST)
    except subprocess.TimeoutExpired:
        run.hung = True
    with contextlib.suppress(AssertionError):
        wait_until(lambda: not marked(mark), "all gone", 3 + 2 + SLACK)
    left = marked(mark)
    run.orphans = len(left) - run.hung
    for pid in left:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    owner.wait(20)
    run.err = (project.folder / f"err-{run.number}").read_text(errors="replace")


def do(project: Project, run: Soaked, owner: subprocess.Popen[bytes]) -> bool:
    """Does what is to be done to a run. Returns whether that was possible."""
    if run.deed == "kill owner":
        owner.kill()
    elif run.deed in ("Ctrl-C", "SIGTERM"):
        if not catches(owner.pid):
            return False
        owner.send_signal(signal.SIGINT if run.deed == "Ctrl-C" else signal.SIGTERM)
    elif run.deed == "cancel":
        return cancel(project, run)
    else:
        below = children_of(owner.pid)
        if run.deed == "kill child":
            below = children_of(below[0]) if below else []
        if not below:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(below[0], signal.SIGKILL)
    return True


def catches(pid: int) -> bool:
    """Whether a process already handles SIGTERM: before that, a signal means what it means to any program."""
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:\t")[2].split()[0], 16)
    return bool(caught >> (signal.SIGTERM - 1) & 1)


def cancel(project: Project, run: Soaked) -> bool:
    """Leaves a request, as `lute cancel` does."""
    with contextlib.suppress(Exception), Record(project.folder / "lute.db") as record:
        for row in record.find(experiment=f"soak{run.number}"):
            if row["status"] in ("PENDING", "RUNNING"):
                folder = Path(row["log"]).parent
                requests.post(folder / "request", requests.Request("cancel", "me@here", "soak"))
                return True
    return False


def judge(run: Soaked, row: dict[str, str] | None) -> str:
    """Says what is wrong with a row; an empty text if nothing is."""
    own = KINDS[run.kind][2]
    if row is None:
        return "" if run.done and run.deed == "kill owner" else "no row"
    status, reason = row["status"], row["reason"]
    if status == own and not reason.startswith("the lute process"):
        return ""
    if run.done and status == MEANT[run.deed][0] and MEANT[run.deed][1] in reason:
        return ""
    if run.done and run.deed == "kill child" and "status 137" in reason:
        return ""
    return f"{status}: {reason}"


@pytest.mark.timeout(60 + 2 * RUNS)
def test_soak(project: Project) -> None:
    """B1, B2: short runs, 8 at a time, with random kills and cancels: 0 hung, lost, orphans, leaks."""
    take_plugin(project)
    project.config("{}", "terminate_grace: 0.5\nclean_up_grace: 0.5\ntask_timeouts: {Sleep: 0.3}")
    chance = random.Random(SEED)
    runs, moments = [], []
    for number in range(RUNS):
        kind = chance.choices(list(KINDS), WEIGHTS)[0]
        deed = chance.choice(DEEDS)
        env = {"LUTE_LAUNCHER": chance.choice(["fork", "fork", "exec"])}
        if chance.random() < 0.15:
            env["LUTE_USE_TCP"] = "1"
        runs.append(Soaked(number, kind, deed, env))
        moments.append(chance.uniform(0.0, 0.9))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(pool.map(lambda pair: soak_one(project, *pair), zip(runs, moments, strict=True)))
    outcome = project.lute("history", "--json")
    assert outcome.code == 0, outcome
    rows = {row["experiment"]: row for row in outcome.json}
    assert len(rows) == len(outcome.json)
    wrong = {}
    for run in runs:
        text = judge(run, rows.get(f"soak{run.number}"))
        if text:
            wrong[run.number] = f"{run.kind}, {run.deed} ({'done' if run.done else 'not done'}), {run.env}: {text}"
    killed = {run.number for run in runs if run.done and run.deed == "kill owner"}
    known = {row["id"]: int(row["experiment"].removeprefix("soak")) for row in outcome.json}
    files = [
        str(path)
        for path in [*project.folder.glob("lute.runs/*/*/*"), *project.folder.glob("lute.db.d/*")]
        if path.name not in ("log", "log.times") and known.get(path.parent.name, -1) not in killed
    ]
    leaks = {
        n: names for n in range(RUNS) if n not in killed and (names := os.listdir(project.folder / "tmp" / str(n)))
    }
    tracebacks = {run.number: run.err[-1500:] for run in runs if "src/lute/cli" in run.err}
    totals = {
        "runs": RUNS,
        "deeds that met the run alive": dict(Counter(run.deed for run in runs if run.done)),
        "endings": dict(Counter(row["status"] for row in outcome.json)),
        "never recorded (killed before)": sum(f"soak{n}" not in rows for n in killed),
        "hung": [f"{run.number} {run.kind} {run.deed} {run.env}" for run in runs if run.hung],
        "orphans": [f"{run.number} {run.kind} {run.deed} {run.env}: {run.orphans}" for run in runs if run.orphans],
        "lost or wrong records": wrong,
        "files left": files,
        "temporary files left": leaks,
        "tracebacks of lute itself": tracebacks,
    }
    REPORT[f"soak, seed {SEED}"] = [f"{name}: {value}" for name, value in totals.items()]
    bad = {name: totals[name] for name in list(totals)[4:] if totals[name]}
    assert not bad, json.dumps(bad, indent=1)


LEAKS = """
    import json, os, sys, threading
    from lute import TaskFailed, plugins
    plugins.load("tasks.py")
    from lute import managed_tasks

    executor = managed_tasks.find(sys.argv[1])

    def look():
        children = open(f"/proc/self/task/{os.getpid()}/children").read().split()
        return [len(os.listdir("/proc/self/fd")), threading.active_count(), len(children), len(os.listdir(os.environ["TMPDIR"]))]

    def run(count):
        for _ in range(count):
            try:
                executor.execute_task("config.yaml")
            except TaskFailed:
                pass
        return look()

    print(json.dumps([run(5), run(50)]))
"""


@pytest.mark.parametrize(
    ("name", "code", "env"),
    [
        ("Shell", "true", {}),
        ("Shell", "exit 3", {"LUTE_LAUNCHER": "exec"}),
        ("Python", "self._result.payload = 1", {}),
        ("Python", "raise ValueError", {"LUTE_USE_TCP": "1"}),
    ],
)
def test_one_process_leaks_nothing(project: Project, name: str, code: str, env: dict[str, str]) -> None:
    """B1: 50 runs in one process leave no descriptor, thread, process or temporary file."""
    take_plugin(project)
    project.config(json.dumps({{"Shell": "Sh", "Python": "Py"}[name]: {"code": code}}))
    (project.folder / "tmp").mkdir()
    script = project.write("leaks.py", LEAKS)
    outcome = project.run(
        [sys.executable, str(script), name], env={**env, "TMPDIR": str(project.folder / "tmp")}, timeout=110
    )
    assert outcome.code == 0, outcome
    before, after = json.loads(outcome.out.splitlines()[-1])
    assert after == before
    assert after[1:] == [1, 0, 0]
