"""Each arrow in the drawing of a run's states (docs/explanation/how-a-run-lives.md) is gone by a real run."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from faults.support import Running, marked, state_of
from process.helpers import alive, wait_until

DRAWING = Path(__file__).resolve().parents[2] / "docs" / "explanation" / "how-a-run-lives.md"
TESTED: list[str] = []
"""The arrows that have a test."""
KINDS = ["Shell", "Python"]


def drawn() -> list[str]:
    """Returns the arrows of the drawing, one a reason, without notes in brackets: `running --> cleaning: cancel`."""
    lines = DRAWING.read_text(encoding="utf-8").split("stateDiagram-v2\n")[1].split("```")[0].splitlines()
    pairs = [re.sub(r" \(.*\)$", "", line).strip().split(": ") for line in lines]
    return [f"{arrow}: {reason}" for arrow, reasons in pairs for reason in reasons.split(" or ")]


def goes(*arrows: str) -> Callable[[Any], Any]:
    """Marks a test with the arrows that it goes, one each time it runs."""
    TESTED.extend(arrows)
    return pytest.mark.parametrize("arrow", arrows)


def test_every_arrow_has_a_test_and_every_test_an_arrow() -> None:
    """B1: the drawing is what is tested."""
    assert sorted(TESTED) == sorted(drawn())
    assert len(TESTED) > 20


# ------------------------------------------------------------------------------------- what is seen


@pytest.fixture(scope="module")
def empty_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A record with no run in it, which notes each status that a run has there."""
    project = Project(tmp_path_factory.mktemp("record"))
    project.config("Test: {}")
    project.run_task("Test")
    path = project.folder / "lute.db"
    database = sqlite3.connect(path)
    noted = "BEGIN INSERT INTO seen VALUES (new.status); END"
    database.executescript(
        f"""
        DELETE FROM lute_runs;
        CREATE TABLE seen (status TEXT);
        CREATE TRIGGER seen_first AFTER INSERT ON lute_runs {noted};
        CREATE TRIGGER seen_next AFTER UPDATE ON lute_runs WHEN old.status IS NOT new.status {noted};
        PRAGMA wal_checkpoint(TRUNCATE);
        """
    )
    database.close()
    return path


@pytest.fixture
def running(project: Project, empty_record: Path) -> Iterator[Running]:
    """Starts `lute run -vv` in the background; whatever is left at the end of a test is killed."""
    shutil.copy(empty_record, project.folder / "lute.db")
    with Running(project) as one:
        yield one


def statuses(running: Running) -> list[str]:
    """The statuses that the run has had in the record, in order."""
    with sqlite3.connect(running.home / "lute.db") as database:
        found = database.execute("SELECT status FROM seen ORDER BY rowid").fetchall()
    database.close()
    return [status for (status,) in found]


def states(running: Running) -> list[str]:
    """The states that the run's processes have had, in order."""
    return re.findall(r"^lute: run \w+ is (\w+)$", running.stderr, re.MULTILINE)


def wait_for(running: Running, state: str) -> None:
    """Waits until the run is in a state."""
    wait_until(lambda: states(running)[-1:] == [state], f"is {state}: {states(running)} {running.stderr}")


def begun(running: Running, name: str, clean: str = "note('cleaned')", code: str = "", **fixed: Any) -> None:
    """Starts a program or a Task that waits, after it has made the file `reached`."""
    shell = "touch reached; read x < go; exit 0"
    python = "note('reached'); open(HOME / 'go').read()"
    task = {"Sh": {"code": code or shell}} if name == "Shell" else {"Py": {"code": code or python, "clean": clean}}
    running.config(json.dumps(task), **fixed)
    running.start(name, "-vv")
    running.reach()
    wait_until(lambda: statuses(running)[-1:] == ["RUNNING"], "it is recorded that it runs")


def paused(running: Running, name: str, **keywords: Any) -> None:
    """Starts a run that waits, and pauses it."""
    begun(running, name, **keywords)
    outcome = running.lute("pause", "last")
    assert outcome.code == 0, outcome
    assert states(running) == ["starting", "running", "paused"]


def frozen(running: Running, **fixed: Any) -> int:
    """Starts a program with a launcher that is suspended, so that the run stays in `starting`. Returns its launcher."""
    running.config(**fixed)
    running.start("ProgramHolder", "-vv", phase="start")  # its `before` tasklet waits
    running.reach()
    launcher = running.launcher()
    os.kill(launcher, signal.SIGSTOP)
    running.go()
    wait_for(running, "starting")
    assert statuses(running) == ["PENDING"]
    assert not (running.home / "child").exists()
    return launcher


def interrupt(running: Running, number: signal.Signals = signal.SIGTERM) -> None:
    """Cancels the run."""
    assert running.owner is not None
    running.owner.send_signal(number)


CODES = {"COMPLETED": 0, "FAILED": 1, "CANCELLED": 143, "TIMEDOUT": 124}


def ends(running: Running, arrow: str, *wanted: str) -> dict[str, Any]:
    """Waits for the end of a run that has had these statuses and has gone an arrow. Returns its row."""
    assert running.wait() == CODES[wanted[-1]], running.stderr
    assert statuses(running) == list(wanted)
    start, _, end = arrow.partition(":")[0].partition(" --> ")
    path = ["[*]", *states(running), "[*]"]
    assert (start, end) in pairwise(path), path
    assert path[-2] == "ended"
    assert set(pairwise(path)) <= {tuple(line.partition(":")[0].split(" --> ")) for line in drawn()}
    assert marked(running.mark) == []
    row = running.row()
    assert (row["status"], row["valid"]) == (wanted[-1], wanted[-1] == "COMPLETED")
    assert row["ended"] is not None
    return row


# ------------------------------------------------------------------------------------- starting


@goes("[*] --> starting: PENDING")
def test_a_run_starts_as_pending(running: Running, arrow: str) -> None:
    """B1: a run whose launcher was asked is PENDING until its first process lives."""
    launcher = frozen(running)
    assert running.row()["status"] == "PENDING"
    assert running.row()["pid"] is None
    os.kill(launcher, signal.SIGCONT)
    ends(running, arrow, "PENDING", "RUNNING", "COMPLETED")


@goes("starting --> running: RUNNING")
@pytest.mark.parametrize("name", KINDS)
def test_a_run_whose_first_process_lives_is_running(running: Running, name: str, arrow: str) -> None:
    """B1: the status is RUNNING as soon as the program, or the Task's `run()`, lives."""
    begun(running, name)
    assert (statuses(running), states(running)) == (["PENDING", "RUNNING"], ["starting", "running"])
    assert alive(running.row()["pid"])
    running.go()
    ends(running, arrow, "PENDING", "RUNNING", "COMPLETED")


@goes("starting --> stopping: time over", "starting --> stopping: cancel")
def test_a_run_is_stopped_before_it_runs(running: Running, arrow: str) -> None:
    """B1: the time counts, and a cancel is heard, before there is a process; what starts late is ended at once."""
    by_time = arrow.endswith("time over")
    launcher = frozen(running, task_timeout=0.5 if by_time else 60)
    if not by_time:
        assert running.row()["status"] == "PENDING"
        interrupt(running)
    wait_for(running, "stopping")
    os.kill(launcher, signal.SIGCONT)
    row = ends(running, arrow, "PENDING", "TIMEDOUT" if by_time else "CANCELLED")
    assert ("0.5 s" if by_time else "SIGTERM") in row["reason"]
    assert states(running) == ["starting", "stopping", "ended"]


@goes("starting --> ended: cannot be started")
def test_a_run_that_cannot_be_started_has_failed(running: Running, arrow: str) -> None:
    """B1: a program that is not found ends a run that never ran."""
    running.config('Sh: {executable: "no-such-program"}')
    running.start("Shell", "-vv")
    assert "no-such-program" in ends(running, arrow, "PENDING", "FAILED")["reason"]


# ------------------------------------------------------------------------------------- running


@goes("running --> paused: lute pause")
@pytest.mark.parametrize("name", KINDS)
def test_pause_suspends_the_whole_run(running: Running, name: str, arrow: str) -> None:
    """B1: `lute pause` suspends all its processes; the status is STOPPED, and the time does not count."""
    begun(running, name, task_timeout=2, code=with_daemons(name))
    begin = time.monotonic()
    assert running.lute("pause", "last", "--reason", "no beam").code == 0
    assert statuses(running) == ["PENDING", "RUNNING", "STOPPED"]
    assert "no beam" in running.row()["reason"]
    apart = {running.owner.pid, running.launcher()}  # type: ignore[union-attr]
    pids = [pid for pid in marked(running.mark) if pid not in apart]
    assert len(pids) == 3
    wait_until(lambda: time.monotonic() - begin > 2.5, "more than the timeout has passed")
    assert {state_of(pid) for pid in pids} == {"T"}
    assert states(running) == ["starting", "running", "paused"]
    assert running.lute("resume", "last").code == 0
    running.go()
    ends(running, arrow, "PENDING", "RUNNING", "STOPPED", "RUNNING", "COMPLETED")


def with_daemons(name: str) -> str:
    """Code that starts two processes which leave group, session and parent, and then waits."""
    if name == "Python":
        return "daemons.leave(HOME / 'pids'); note('reached'); open(HOME / 'go').read()"
    return f"{sys.executable} daemons.py pids; touch reached; read x < go; exit 0"


@goes("running --> cleaning: time over", "running --> cleaning: cancel")
def test_a_task_cleans_up_when_it_is_stopped(running: Running, arrow: str) -> None:
    """B1: when the time is over, or on a cancel, a Task's own clean-up runs first."""
    by_time = arrow.endswith("time over")
    begun(running, "Python", task_timeout=1.5 if by_time else 60)
    if not by_time:
        interrupt(running)
    ends(running, arrow, "PENDING", "RUNNING", "TIMEDOUT" if by_time else "CANCELLED")
    assert (running.home / "cleaned").exists()


@goes("running --> stopping: time over", "running --> stopping: cancel")
@pytest.mark.parametrize("name", KINDS)
def test_a_program_is_terminated_when_it_is_stopped(running: Running, name: str, arrow: str) -> None:
    """B1: what has no clean-up, a program or a Task whose `clean_up_grace` is 0, gets SIGTERM at once."""
    by_time = arrow.endswith("time over")
    begun(running, name, task_timeout=1.5 if by_time else 60, clean_up_grace=0)
    if not by_time:
        interrupt(running)
    row = ends(running, arrow, "PENDING", "RUNNING", "TIMEDOUT" if by_time else "CANCELLED")
    assert row["signal"] == "SIGTERM"
    assert not (running.home / "cleaned").exists()


@goes("running --> ended: all its processes are gone")
@pytest.mark.parametrize("name", KINDS)
def test_a_run_ends_with_all_that_it_left_behind(running: Running, name: str, arrow: str) -> None:
    """B1: the first process exits; the run has ended when the daemons that it left, deaf to SIGTERM, are gone too."""
    begun(running, name, code=with_daemons(name))
    daemons = [running.pid("pids/forked"), running.pid("pids/program")]
    running.go()
    wait_until(lambda: not alive(running.row()["pid"]), "the first process has gone")
    assert all(alive(pid) for pid in daemons)
    assert (statuses(running)[-1], states(running)[-1]) == ("RUNNING", "running")
    ends(running, arrow, "PENDING", "RUNNING", "COMPLETED")
    assert not any(alive(pid) for pid in daemons)


# ------------------------------------------------------------------------------------- paused


@goes("paused --> running: lute resume")
@pytest.mark.parametrize("name", KINDS)
def test_resume_lets_a_run_go_on(running: Running, name: str, arrow: str) -> None:
    """B1: `lute resume` continues all processes; the status is RUNNING again, and no reason is left."""
    paused(running, name)
    pid = running.row()["pid"]
    assert state_of(pid) == "T"
    assert running.lute("resume", "last").code == 0
    assert (running.row()["status"], running.row()["reason"]) == ("RUNNING", "")
    assert state_of(pid) != "T"
    running.go()
    ends(running, arrow, "PENDING", "RUNNING", "STOPPED", "RUNNING", "COMPLETED")


@goes("paused --> cleaning: cancel")
def test_a_paused_task_cleans_up_when_it_is_cancelled(running: Running, arrow: str) -> None:
    """B1: a Task that is paused is continued for its clean-up only."""
    paused(running, "Python")
    outcome = running.lute("cancel", "last", "--reason", "enough")
    assert outcome.code == 0, outcome
    assert "enough" in ends(running, arrow, "PENDING", "RUNNING", "STOPPED", "CANCELLED")["reason"]
    assert (running.home / "cleaned").exists()


@goes("paused --> stopping: cancel")
def test_a_paused_program_is_terminated_when_it_is_cancelled(running: Running, arrow: str) -> None:
    """B1: a program that is paused gets SIGTERM, and is continued to hear it."""
    paused(running, "Shell", code="trap 'touch asked; exit 9' TERM; touch reached; while true; do sleep 0.02; done")
    outcome = running.lute("cancel", "last")
    assert outcome.code == 0, outcome
    assert ends(running, arrow, "PENDING", "RUNNING", "STOPPED", "CANCELLED")["exit_code"] == 9
    assert (running.home / "asked").exists()


@goes("paused --> ended: all its processes are gone")
@pytest.mark.parametrize("name", KINDS)
def test_a_paused_run_that_is_killed_has_ended(running: Running, name: str, arrow: str) -> None:
    """B1: somebody kills the first process of a paused run: it FAILED, and what was suspended beside it is gone."""
    paused(running, name, code=with_daemons(name))
    running.kill(running.row()["pid"])
    row = ends(running, arrow, "PENDING", "RUNNING", "STOPPED", "FAILED")
    assert row["signal"] == "SIGKILL"
    assert "SIGKILL" in row["reason"]


# ------------------------------------------------------------------------------------- cleaning, stopping


@goes("cleaning --> stopping: exits")
def test_what_a_task_leaves_is_stopped_when_its_clean_up_is_done(running: Running, arrow: str) -> None:
    """B1: a Task that exits after its clean-up is not waited for; what it left behind gets SIGTERM, then SIGKILL."""
    begun(running, "Python", code=with_daemons("Python"), clean_up_grace=50)
    interrupt(running)
    row = ends(running, arrow, "PENDING", "RUNNING", "CANCELLED")
    assert (running.home / "cleaned").exists()
    assert (row["exit_code"], row["signal"]) == (1, None)
    assert not alive(running.pid("pids/forked"))


@goes("cleaning --> stopping: clean_up_grace is over")
def test_a_clean_up_has_an_end(running: Running, arrow: str) -> None:
    """B1: a clean-up that takes longer than its grace is ended by SIGTERM."""
    begun(running, "Python", clean="note('cleaned'); time.sleep(60)")
    interrupt(running)
    running.reach("cleaned")
    begin = time.monotonic()
    assert ends(running, arrow, "PENDING", "RUNNING", "CANCELLED")["signal"] == "SIGTERM"
    assert time.monotonic() - begin > 0.5


@goes("cleaning --> stopping: second cancel")
def test_a_second_cancel_does_not_wait(running: Running, arrow: str) -> None:
    """B1: a second cancel ends the clean-up, and with SIGKILL: nothing is waited for any more."""
    clean = "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('cleaned'); time.sleep(60)"
    begun(running, "Python", clean=clean, clean_up_grace=50, terminate_grace=50)
    interrupt(running)
    running.reach("cleaned")
    interrupt(running)
    assert ends(running, arrow, "PENDING", "RUNNING", "CANCELLED")["signal"] == "SIGKILL"


@goes("stopping --> ended: all its processes are gone")
def test_a_program_that_is_deaf_is_killed(running: Running, arrow: str) -> None:
    """B1: what ignores SIGTERM gets SIGKILL after `terminate_grace`; then nothing of the run lives."""
    begun(running, "Shell", code=f"trap '' TERM; {with_daemons('Shell')}")
    interrupt(running)
    wait_for(running, "stopping")
    assert statuses(running)[-1] == "RUNNING"
    assert len(marked(running.mark)) == 5
    assert ends(running, arrow, "PENDING", "RUNNING", "CANCELLED")["signal"] == "SIGKILL"


# ------------------------------------------------------------------------------------- the launcher is killed


@goes(*(f"{state} --> ended: launcher killed" for state in ("starting", "running", "paused", "cleaning", "stopping")))
def test_a_run_whose_launcher_is_killed_has_ended(running: Running, arrow: str) -> None:
    """B1: in whatever state a run is, when its launcher is killed nothing of it stays, and the record says so."""
    state = arrow.split()[0]
    wanted = ["PENDING", "RUNNING", "FAILED"]
    if state == "starting":
        frozen(running)
        wanted.remove("RUNNING")
    elif state == "paused":
        paused(running, "Python", code=with_daemons("Python"))
        wanted.insert(2, "STOPPED")
    else:
        begun(running, "Python", "time.sleep(60)", with_daemons("Python"), clean_up_grace=50)
    if state in ("cleaning", "stopping"):
        wanted[-1] = "CANCELLED"
        interrupt(running)
        wait_for(running, "cleaning")
    if state == "stopping":
        interrupt(running)
        os.kill(running.launcher(), signal.SIGSTOP)
        wait_for(running, "stopping")
    running.kill(running.launcher())
    row = ends(running, arrow, *wanted)
    assert states(running)[-2] == state
    assert ("launcher" if wanted[-1] == "FAILED" else "SIGTERM") in row["reason"]


# ------------------------------------------------------------------------------------- ended


@goes(*(f"ended --> [*]: {status}" for status in CODES))
@pytest.mark.parametrize("name", KINDS)
def test_a_run_that_has_ended_has_one_of_four_statuses(running: Running, name: str, arrow: str) -> None:
    """B1: COMPLETED, FAILED, CANCELLED or TIMEDOUT: in the record, as exit code, and nothing changes it any more."""
    status = arrow.rpartition(" ")[2]
    bad = "touch reached; read x < go; exit 3"
    if name == "Python":
        bad = "note('reached'); open(HOME / 'go').read(); raise ValueError('no peaks')"
    begun(running, name, code=bad if status == "FAILED" else "", task_timeout=1.5 if status == "TIMEDOUT" else 60)
    if status == "CANCELLED":
        interrupt(running)
    elif status != "TIMEDOUT":
        running.go()
    row = ends(running, arrow, "PENDING", "RUNNING", status)
    assert running.lute("cancel", row["id"]).code == 1
    assert statuses(running)[-1] == status


# ------------------------------------------------------------------------------------- long pauses


@pytest.mark.parametrize("then", ["resume", "cancel"])
def test_a_pause_may_be_longer_than_the_tasks_own_timer(running: Running, then: str) -> None:
    """A2, B1: the child's backstop goes off while it is paused: its parent still owns the time, and the clean-up."""
    tasks = running.home / "tasks.py"
    tasks.write_text(f"{tasks.read_text()}\nfrom lute.execution import run\nrun.BACKSTOP = 0.1\n")
    paused(running, "Python", task_timeout=5, clean_up_grace=0.5, terminate_grace=0.5)
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 6.5, "the child's own timer has gone off")
    assert running.lute(then, "last").code == 0
    if then == "resume":
        running.go()
        ends(running, "paused --> running", "PENDING", "RUNNING", "STOPPED", "RUNNING", "COMPLETED")
    else:
        ends(running, "paused --> cleaning", "PENDING", "RUNNING", "STOPPED", "CANCELLED")
    assert (running.home / "cleaned").exists() == (then == "cancel")
