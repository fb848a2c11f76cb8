"""Every way in which a run ends is told apart, and none takes longer than it may."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import LUTE
from faults.support import GRACE, SLACK, Running, marked, state_of
from process.helpers import alive, wait_until

PROGRAMS = ["Shell", "OwnShell"]


def run_it(running: Running, name: str, parameters: dict[str, Any], header: str = "", **fixed: Any) -> dict[str, Any]:
    """Runs a managed Task to its end. Returns its JSON object, checked against the record."""
    running.config(task(name, parameters), header, **fixed)
    running.start(name, "-q")
    code = running.wait(60)
    result = running.result
    assert running.row() == result
    assert "Traceback" not in running.stderr or name != "Shell", running.stderr
    assert marked(running.mark) == []
    return {**result, "returncode": code}


def task(name: str, parameters: dict[str, Any]) -> str:
    """A Task's parameters as YAML."""
    return json.dumps({{"Shell": "Sh", "OwnShell": "OwnSh", "Python": "Py"}[name]: parameters})


# ----------------------------------------------------------------------------------- exit status


@pytest.mark.parametrize("name", PROGRAMS)
@pytest.mark.parametrize(
    ("code", "status", "reason"),
    [
        (0, "COMPLETED", "exited with status 0"),
        (3, "FAILED", "exited with status 3: no peaks were found"),
        (4, "COMPLETED", "exited with status 4: few peaks were found"),
        (139, "FAILED", "SIGSEGV"),
    ],
)
def test_exit_status(running: Running, name: str, code: int, status: str, reason: str) -> None:
    """B1: an exit status is recorded, with the model's meaning of it."""
    found = run_it(running, name, {"code": f"exit {code}"})
    assert (found["status"], found["exit_code"], found["signal"]) == (status, code, None)
    assert reason in found["reason"]
    assert found["returncode"] == (0 if status == "COMPLETED" else 1)


def test_exit_status_of_a_task_before_its_result(running: Running) -> None:
    """B1: a Task whose process exits before it gave a result is told from one that failed."""
    found = run_it(running, "Python", {"code": "os._exit(7)"})
    assert (found["status"], found["exit_code"]) == ("FAILED", 7)
    assert "status 7 before it gave a result" in found["reason"]


def test_exit_status_after_the_result(running: Running) -> None:
    """B1: a Task whose process fails after it gave its result has FAILED, and the reason says when."""
    found = run_it(running, "Python", {"code": "atexit.register(os._exit, 9)"})
    assert (found["status"], found["exit_code"]) == ("FAILED", 9)
    assert "after it had given its result" in found["reason"]


# --------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("name", [*PROGRAMS, "Python"])
@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGKILL, signal.SIGTERM])
def test_signal_by_name(running: Running, name: str, number: signal.Signals) -> None:
    """B1: a signal that ends the first process is recorded by its name."""
    to_self = f"signal.signal({number:d}, 0) if {number:d} != 9 else 0; os.kill(os.getpid(), {number:d}); time.sleep(9)"
    found = run_it(running, name, {"code": to_self if name == "Python" else f"kill -{number:d} $$; sleep 9"})
    assert (found["status"], found["signal"], found["exit_code"]) == ("FAILED", number.name, None)
    assert number.name in found["reason"]
    assert "memory" not in found["reason"]


def test_signal_without_a_name(running: Running) -> None:
    """B1: also a real-time signal is recorded."""
    found = run_it(running, "Shell", {"code": "kill -40 $$; sleep 9"})
    assert found["signal"] == "SIG40"


@pytest.mark.parametrize("core", [True, False])
@pytest.mark.parametrize("name", ["Shell", "Python"])
def test_segmentation_fault_with_and_without_core(running: Running, name: str, core: bool) -> None:
    """B1: a crash is told by its signal, and whether it left a core file."""
    code = "import ctypes; ctypes.string_at(0)" if name == "Python" else "kill -SEGV $$; sleep 9"
    running.config(task(name, {"code": code}))
    limited = f'ulimit -c {"unlimited" if core else 0}; exec "$0" "$@"'
    running.start(name, argv=["bash", "-c", limited, *LUTE, "run", name, "-c", "config.yaml", "--json", "-q"])
    assert running.wait(60) == 1
    found = running.result
    assert (found["status"], found["signal"]) == ("FAILED", "SIGSEGV")
    piped = Path("/proc/sys/kernel/core_pattern").read_text().startswith("|")  # then the limit does not count
    assert ("core dumped" in found["reason"]) is core or piped


# ----------------------------------------------------------------------------------- out of memory


@pytest.fixture
def cgroup() -> Iterator[Path]:
    """A memory cgroup of 200 MiB, of version 1 or 2. Needs root, as CI's job has."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "memory":
            folder, limit = Path(f"/sys/fs/cgroup/memory{path}"), "memory.limit_in_bytes"
            break
    else:
        folder, limit = Path("/sys/fs/cgroup"), "memory.max"
        (folder / "cgroup.subtree_control").write_text("+memory")
    made = folder / f"lute-test-{uuid.uuid4().hex[:8]}"
    made.mkdir()
    (made / limit).write_text(str(200 << 20))
    swap = made / "memory.swap.max"
    if swap.exists():
        swap.write_text("0")
    yield made
    wait_until(lambda: not (made / "cgroup.procs").read_text(), "the cgroup is empty")
    made.rmdir()


EATS = "found = []\nwhile True: found.append(bytearray(b'x' * (16 << 20)))"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("Shell", "exec tail /dev/zero"),
        ("OwnShell", "exec tail /dev/zero"),
        ("Python", EATS),
        ("Shell", "tail /dev/zero; exit $?"),
    ],
    ids=["program", "own program", "Task", "child of a program"],
)
def test_out_of_memory(running: Running, cgroup: Path, name: str, code: str) -> None:
    """B1: the kernel's memory killer in a real cgroup is told from any other SIGKILL."""
    running.config(task(name, {"code": code}))
    enter = f'echo $$ > {cgroup}/cgroup.procs; exec "$0" "$@"'
    running.start(name, argv=["sh", "-c", enter, *LUTE, "run", name, "-c", "config.yaml", "--json", "-q"])
    assert running.wait(60) == 1
    found = running.result
    assert found["status"] == "FAILED"
    assert "out of memory" in found["reason"], found["reason"]


# ---------------------------------------------------------------------------- what cannot be started


def direct_or_own(running: Running, own: bool, path: str) -> dict[str, Any]:
    """Runs a program by its path."""
    return run_it(running, "OwnShell" if own else "Shell", {"executable": path, "code": "x"})


@pytest.mark.parametrize("own", [False, True], ids=["program", "own program"])
class TestCannotStart:
    """A program that cannot be started, directly or by its Task's own process."""

    def test_not_found(self, running: Running, own: bool) -> None:
        """B1: a program that is not found is named, with the PATH searched."""
        found = direct_or_own(running, own, "no-such-program-here")
        assert (found["status"], found["returncode"]) == ("FAILED", 1)
        assert "no-such-program-here" in found["reason"]
        assert os.environ["PATH"] in found["reason"]

    def test_path_that_does_not_exist(self, running: Running, own: bool) -> None:
        """B1: a path to nothing is named."""
        found = direct_or_own(running, own, "/no/such/program")
        assert found["status"] == "FAILED"
        assert "/no/such/program" in found["reason"]

    def test_not_executable(self, running: Running, own: bool) -> None:
        """B1: a file that may not be executed is told from one that is not there."""
        path = running.project.write("plain.sh", "#!/bin/sh\n")
        found = direct_or_own(running, own, str(path))
        assert found["status"] == "FAILED"
        assert re.search("executable|ermission", found["reason"]), found["reason"]
        assert "plain.sh" in found["reason"]

    def test_folder(self, running: Running, own: bool) -> None:
        """B1: a folder is no program."""
        found = direct_or_own(running, own, str(running.home))
        assert found["status"] == "FAILED"
        assert str(running.home) in found["reason"]
        assert re.search("folder|directory|executable|ermission", found["reason"]), found["reason"]

    def test_bad_interpreter(self, running: Running, own: bool) -> None:
        """B1: a script whose interpreter is missing: the reason names the interpreter."""
        path = running.project.write("script", "#!/no/such/interpreter -x\n")
        path.chmod(0o755)
        found = direct_or_own(running, own, str(path))
        assert found["status"] == "FAILED"
        assert "/no/such/interpreter" in found["reason"]

    def test_no_format(self, running: Running, own: bool) -> None:
        """B1: a file that is executable but no program."""
        path = running.home / "junk"
        path.write_bytes(b"\x7fELF nonsense")
        path.chmod(0o755)
        found = direct_or_own(running, own, str(path))
        assert found["status"] == "FAILED"
        assert "junk" in found["reason"]

    def test_missing_library(self, running: Running, own: bool) -> None:
        """B1: a program whose shared library is missing: the reason names the library."""
        running.project.write("used.c", "int used(void) { return 0; }\n")
        running.project.write("main.c", "int used(void); int main(void) { return used(); }\n")
        run = {"cwd": running.home, "check": True}
        subprocess.run(["gcc", "-shared", "-fPIC", "-o", "libluteused.so", "used.c"], **run)  # type: ignore[call-overload]
        subprocess.run(["gcc", "-o", "linked", "main.c", "-L.", "-lluteused"], **run)  # type: ignore[call-overload]
        (running.home / "libluteused.so").unlink()
        found = direct_or_own(running, own, str(running.home / "linked"))
        assert (found["status"], found["exit_code"]) == ("FAILED", 127)
        assert "libluteused.so" in found["reason"]


def test_folder_of_a_run_that_was_removed(running: Running) -> None:
    """B1: a work_dir that does not exist is a usage error: nothing is started, exit 2."""
    running.config(work_dir="/no/such/place")
    running.start("Shell", "-q")
    assert running.wait() == 2
    assert "/no/such/place" in running.stderr


# -------------------------------------------------------------------------------------- disk full


@pytest.mark.parametrize("name", ["Shell", "Python"])
def test_disk_full_for_the_program(running: Running, small_disk: Path, name: str) -> None:
    """B1: a program that cannot write for want of room: the reason says so."""
    code = f"open('{small_disk}/out', 'wb').write(bytes(4 << 20))" if name == "Python" else None
    found = run_it(running, name, {"code": code or f"head -c 4000000 /dev/zero > {small_disk}/out"})
    assert found["status"] == "FAILED"
    assert re.search("disk is full|No space left", found["reason"]), found["reason"]


@pytest.mark.parametrize("name", ["Shell", "Python"])
def test_disk_full_in_the_work_folder(running: Running, small_disk: Path, name: str) -> None:
    """B1: the log fills the disk of the work folder: the run ends, with its reason, and lute says what it could not keep."""
    code = "print('x' * 4000000)" if name == "Python" else "head -c 4000000 /dev/zero"
    running.config(task(name, {"code": code}), work_dir=str(small_disk))
    running.start(name, "-q")
    assert running.wait(60) == 1
    assert "Traceback" not in running.stderr, running.stderr
    found = running.result
    assert found["status"] == "FAILED"
    assert re.search("disk is full|No space left|could not be", found["reason"] + running.stderr), running.stderr


# --------------------------------------------------------------------------------------- timeouts

STUBBORN = "python3 daemons.py pids; trap '' TERM; setsid sleep 77 & sleep 78 & touch reached; while true; do read x < go; done"


def timed(running: Running, name: str, parameters: dict[str, Any], header: str = "", **keywords: str) -> float:
    """Runs a Task that ends by its timeout. Returns how long `lute` took, in s."""
    running.config(task(name, parameters), header, task_timeout=1)
    begin = time.monotonic()
    running.start(name, "-q", **keywords)
    assert running.wait(60) == 124, (running.stderr, (running.home / "stdout").read_text())
    took = time.monotonic() - begin
    assert marked(running.mark) == []
    assert running.row()["status"] == "TIMEDOUT"
    assert "1 s" in running.row()["reason"]
    return took


STARTUP = 1.5
"""Time to import everything twice, in s."""


@pytest.mark.parametrize("name", [*PROGRAMS, "Python"])
def test_timeout(running: Running, name: str) -> None:
    """B1: when the time is over the run ends at once if it obeys, with status TIMEDOUT and exit code 124."""
    code = "time.sleep(60)" if name == "Python" else "exec sleep 60"
    assert timed(running, name, {"code": code}) < 1 + STARTUP + SLACK


def test_timeout_of_those_that_do_not_listen(running: Running) -> None:
    """B1: also what ignores SIGTERM, or left group and session, is gone within the grace and 0.5 s."""
    took = timed(running, "Shell", {"code": STUBBORN.replace("python3", sys.executable)})
    assert (running.home / "pids" / "forked").exists()
    assert 1 + GRACE <= took < 1 + GRACE + 0.5 + STARTUP + SLACK


def test_timeout_of_a_task_that_does_not_listen(running: Running) -> None:
    """B1: a Task that blocks every signal and hangs in its clean-up ends within both graces."""
    code = "signal.pthread_sigmask(0, range(1, 64)); daemons.leave(HOME / 'pids')\nwhile True: time.sleep(1)"
    took = timed(running, "Python", {"code": code, "clean": "time.sleep(60)"})
    assert took < 1 + 2 * GRACE + 0.5 + STARTUP + SLACK


def test_timeout_calls_clean_up(running: Running) -> None:
    """A2: `clean_up_timeout()` is called before the process ends, and has its own grace."""
    timed(running, "Python", {"code": "time.sleep(60)", "clean": "Path('cleaned').touch(); time.sleep(60)"})
    assert (running.home / "cleaned").exists()


def test_timeout_of_one_task(running: Running) -> None:
    """B1: a Task's own timeout goes before the header's."""
    running.config(task("Shell", {"code": "sleep 60"}), "task_timeouts: {Sh: 0.5}")
    running.start("Shell", "-q")
    assert running.wait() == 124
    assert "0.5 s" in running.row()["reason"]


@pytest.mark.parametrize("how", ["fork", "exec"])
def test_timeout_in_the_constructor(running: Running, how: str) -> None:
    """B1: the time counts before the start signal: a Task that hangs while it is made."""
    running.config("Stuck: {}", task_timeout=1)
    running.start("Stuck", "-q", LUTE_LAUNCHER=how)
    assert running.wait() == 124
    assert running.row()["status"] == "TIMEDOUT"


def test_timeout_while_the_child_imports(running: Running) -> None:
    """B1: the time counts before there is a Task: a plug-in whose import hangs in the child."""
    path = running.home / "tasks.py"
    path.write_text(path.read_text() + "\nif 'LUTE_RUN_ID' in os.environ:\n    time.sleep(60)\n")
    timed(running, "Python", {}, LUTE_LAUNCHER="exec")


def test_timeout_while_a_script_is_sourced(running: Running) -> None:
    """B1: the time counts before the start: a `shell_source` script that hangs ends as TIMEDOUT."""
    running.config("Held: {}", task_timeout=1)
    running.start("Holder", "-q", phase="before")
    code = running.wait(20)
    row = running.row()
    assert marked(running.mark) == []
    assert (row["status"], code) == ("TIMEDOUT", 124), row["reason"]


# ---------------------------------------------------------------------------------------- cancel


def begun(running: Running, name: str, **header: Any) -> dict[str, Any]:
    """Starts a run that waits. Returns its row."""
    code = "note('reached')\nwhile True: time.sleep(0.1)" if name == "Python" else "touch reached; sleep 66 & sleep 67"
    clean = "note('cleaned'); time.sleep(float(os.environ.get('FAULTS_CLEAN', 0)))"
    parameters = {"code": code, "clean": clean} if name == "Python" else {"code": code}
    running.config(task(name, parameters), **header)
    running.start(name, "-q", **({"FAULTS_CLEAN": "60"} if header.get("clean_up_grace") else {}))
    running.reach()
    wait_until(lambda: running.row()["status"] == "RUNNING", "it is recorded that it runs")
    return running.row()


@pytest.mark.parametrize("name", [*PROGRAMS, "Python"])
def test_cancel_from_outside(running: Running, name: str) -> None:
    """B1: `lute cancel ID --reason` ends a run; the record says by whom and why; exit 143."""
    row = begun(running, name)
    assert row["status"] == "RUNNING"
    outcome = running.lute("cancel", row["id"][:10], "--reason", "no beam: *'\"\n<b>é")
    assert outcome.code == 0, outcome
    assert running.wait() == 143
    after = running.row()
    assert after["status"] == "CANCELLED"
    assert getpass.getuser() + "@" in after["reason"]
    assert "no beam: *'\"\n<b>é" in after["reason"]
    assert (running.home / "cleaned").exists() == (name == "Python")
    assert marked(running.mark) == []
    again = running.lute("cancel", row["id"])
    assert again.code == 1
    assert "CANCELLED" in again.err


STOPS = {
    signal.SIGINT: (130, "Ctrl-C"),
    signal.SIGTERM: (143, "SIGTERM"),
    signal.SIGHUP: (143, "SIGHUP"),
    signal.SIGUSR1: (124, "SIGUSR1"),
    signal.SIGUSR2: (124, "SIGUSR2"),
    signal.SIGXCPU: (143, "SIGXCPU"),
}


@pytest.mark.parametrize(
    ("name", "number"), [*(("Python", number) for number in STOPS), *(("Shell", number) for number in list(STOPS)[:2])]
)
def test_signals_that_cancel(running: Running, name: str, number: signal.Signals) -> None:
    """B1: Ctrl-C, SIGTERM and SIGHUP cancel the run, a batch system's warning is the end of its time; the reason says."""
    begun(running, name)
    assert running.owner is not None
    running.owner.send_signal(number)
    code, word = STOPS[number]
    assert running.wait() == code
    row = running.row()
    assert row["status"] == ("TIMEDOUT" if word.startswith("SIGUSR") else "CANCELLED")
    assert word in row["reason"]
    assert (running.home / "cleaned").exists() == (name == "Python")
    assert marked(running.mark) == []


def test_ctrl_c_twice_is_now(running: Running) -> None:
    """B1: a second Ctrl-C does not wait for the Task's clean-up nor for those that ignore SIGTERM."""
    begun(running, "Python", clean_up_grace=50, terminate_grace=50)
    assert running.owner is not None
    running.owner.send_signal(signal.SIGINT)
    running.reach("cleaned")
    assert running.owner.poll() is None
    begin = time.monotonic()
    running.owner.send_signal(signal.SIGINT)
    assert running.wait(40) == 130
    assert time.monotonic() - begin < 1 + SLACK
    assert marked(running.mark) == []


def test_ctrl_c_twice_while_terminating(running: Running) -> None:
    """B1: a second Ctrl-C ends at once what ignores SIGTERM."""
    running.project.write(
        "deaf.py",
        """
        import signal, pathlib
        signal.signal(signal.SIGTERM, lambda *_: pathlib.Path("asked").touch())
        pathlib.Path("reached").touch()
        while True:
            signal.pause()
        """,
    )
    running.config(task("Shell", {"code": f"{sys.executable} deaf.py; true"}), terminate_grace=50)
    running.start("Shell", "-q")
    running.reach()
    assert running.owner is not None
    running.owner.send_signal(signal.SIGINT)
    running.reach("asked")
    assert running.owner.poll() is None
    begin = time.monotonic()
    running.owner.send_signal(signal.SIGINT)
    assert running.wait(40) == 130
    assert time.monotonic() - begin < 1 + SLACK
    assert marked(running.mark) == []


@pytest.mark.parametrize("how", ["cancel", "ctrl-c"])
@pytest.mark.parametrize("phase", ["before", "start"])
@pytest.mark.parametrize("name", ["Holder", "ProgramHolder"])
def test_cancel_before_the_start(running: Running, name: str, phase: str, how: str) -> None:
    """B1: a run can be cancelled at any phase, also while a script is sourced or a tasklet runs."""
    running.config()
    running.start(name, "-q", phase=phase)
    running.reach()
    assert running.owner is not None
    begin = time.monotonic()
    if how == "cancel":
        outcome = running.lute("cancel", running.row()["id"], "--wait", "6")
        assert outcome.code == 0, outcome
    else:
        running.owner.send_signal(signal.SIGINT)
    assert running.wait(8) == (143 if how == "cancel" else 130)
    assert time.monotonic() - begin < 2 * GRACE + 2 + SLACK
    row = running.row()
    assert row["status"] == "CANCELLED", row["reason"]
    assert marked(running.mark) == []


@pytest.mark.parametrize("how", ["cancel", "ctrl-c"])
def test_cancel_at_record(running: Running, how: str) -> None:
    """B1: a run that has completed stays so when its `after` tasklet is cancelled; the tasklet is given up."""
    running.config()
    running.start("Holder", "-q", phase="record")
    running.reach()
    assert running.owner is not None
    if how == "cancel":
        running.lute("cancel", running.row()["id"], "--wait", "6")
    else:
        running.owner.send_signal(signal.SIGINT)
    assert running.wait(8) in (0, 130, 143)
    row = running.row()
    assert row["status"] in ("COMPLETED", "CANCELLED")
    assert "cancel" in row["reason"] + running.stderr + Path(row["log"]).read_text()


# --------------------------------------------------------------------------------- pause and resume

PAUSABLE = "{python} daemons.py pids; touch reached; read x < go; exit 0"


def paused(running: Running, **header: Any) -> tuple[str, list[int]]:
    """Starts a program with processes everywhere, and pauses it. Returns its id, and its processes."""
    running.config(task("Shell", {"code": PAUSABLE.format(python=sys.executable)}), **header)
    running.start("Shell", "-q")
    running.reach()
    row = running.row()
    assert running.owner is not None
    apart = {running.owner.pid, running.launcher()}
    outcome = running.lute("pause", row["id"])
    assert outcome.code == 0, outcome
    pids = [pid for pid in marked(running.mark) if pid not in apart]
    assert len(pids) == 3
    return row["id"], pids


def test_pause_stops_every_process_and_the_clock(running: Running) -> None:
    """B1: a pause suspends all processes of a run; the time does not count; `lute resume` lets it go on."""
    identity, pids = paused(running, task_timeout=4)
    begin = time.monotonic()
    assert {state_of(pid) for pid in pids} == {"T"}
    row = running.row()
    assert row["status"] == "STOPPED"
    assert getpass.getuser() in row["reason"]
    assert running.lute("pause", identity).code == 1
    wait_until(lambda: time.monotonic() - begin > 4.5, "more than the timeout has passed")
    assert running.row()["status"] == "STOPPED"
    assert {state_of(pid) for pid in pids} == {"T"}
    assert running.lute("resume", identity).code == 0
    row = running.row()
    assert (row["status"], row["reason"]) == ("RUNNING", "")
    assert not any(state_of(pid) == "T" for pid in pids)
    running.go()
    assert running.wait() == 0
    assert running.row()["status"] == "COMPLETED"
    assert marked(running.mark) == []


def test_the_timeout_goes_on_after_a_resume(running: Running) -> None:
    """B1: what was left of the time before the pause is left after it."""
    identity, _ = paused(running, task_timeout=4)
    assert running.lute("resume", identity).code == 0
    assert running.wait(4 + GRACE + 2 + SLACK) == 124
    assert marked(running.mark) == []


def test_cancel_while_paused(running: Running) -> None:
    """B1: a paused run can be cancelled, and ends within the grace."""
    identity, pids = paused(running)
    begin = time.monotonic()
    assert running.lute("cancel", identity, "--reason", "enough").code == 0
    assert running.wait() == 143
    assert time.monotonic() - begin < GRACE + 1 + SLACK
    assert "enough" in running.row()["reason"]
    assert not any(alive(pid) for pid in pids)


@pytest.mark.parametrize("party", ["owner", "launcher"])
def test_kill_while_paused(running: Running, party: str) -> None:
    """B1: processes that are suspended do not outlive owner or launcher either."""
    _, pids = paused(running)
    running.kill(running.owner.pid if party == "owner" else running.launcher())  # type: ignore[union-attr]
    running.wait_gone(3 + 2 + SLACK)
    assert not any(alive(pid) for pid in pids)
    assert running.row()["status"] == "FAILED"


def test_pause_of_a_task(running: Running) -> None:
    """B1: a Python Task is paused and resumed too, and so are the processes that it forked."""
    code = "daemons.leave(HOME / 'pids'); note('child'); note('reached'); open(HOME / 'go').read()"
    running.config(task("Python", {"code": code}))
    running.start("Python", "-q")
    running.reach()
    identity = running.row()["id"]
    assert running.lute("pause", identity).code == 0
    names = ["child", "pids/forked", "pids/program"]
    assert {name: state_of(running.pid(name)) for name in names} == dict.fromkeys(names, "T")
    assert running.lute("resume", identity).code == 0
    assert {name: state_of(running.pid(name)) for name in names} == dict.fromkeys(names, "S")
    running.go()
    assert running.wait() == 0


def test_tools_are_there() -> None:
    """What these tests use: they do not pass because it is missing."""
    assert all(shutil.which(name) for name in ("bash", "gcc", "setsid", "mount", "tail"))
    assert os.geteuid() == 0
