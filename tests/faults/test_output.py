"""The log: nothing is lost, nothing is stuck, and memory stays flat."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import LUTE
from faults.support import Running, marked
from process.helpers import peak as peak_of
from process.helpers import start as start_lute
from process.helpers import wait_until

ODD = b"plain\nno \x00 NUL \x80\xff\xfe\xc3( broken UTF-8 \xed\xa0\x80\r\x1b[31m\x07\x08\n\xe2\x82\xac no newline at the end"


def config(running: Running, name: str, code: str, **header: Any) -> None:
    """Writes the YAML for a Task's code."""
    running.config(json.dumps({{"Shell": "Sh", "OwnShell": "OwnSh", "Python": "Py"}[name]: {"code": code}}), **header)


def log_of(running: Running) -> bytes:
    """The log of the only run."""
    return Path(running.row()["log"]).read_bytes()


def announced(running: Running) -> bytes:
    """The line that the log begins with: the program's command line (SPEC A3)."""
    with open(next(running.home.glob("lute.runs/*/*/log")), "rb") as file:
        return file.readline() if file.read(8) == b"bash -c " and not file.seek(0) else b""


WAYS = {
    "Shell": "exec cat odd",
    "Python": "os.write(1, open('odd', 'rb').read())",
}


@pytest.mark.parametrize("name", WAYS)
def test_any_bytes(running: Running, name: str) -> None:
    """B1: the log has every byte as it was printed; so has standard error of `lute run`, and `lute log`."""
    every = bytes(range(256)) + ODD
    (running.home / "odd").write_bytes(every)
    config(running, name, WAYS[name])
    running.start(name)
    assert running.wait() == 0
    assert every in log_of(running)
    assert every in (running.home / "stderr").read_bytes()
    shown = subprocess.run([*LUTE, "log", "last"], cwd=running.home, env=running.project.env, capture_output=True)
    assert shown.stdout == log_of(running)
    assert running.lute("log", "last", "--json").json["id"] == running.row()["id"]


def test_any_bytes_of_a_failure(running: Running) -> None:
    """B1: odd bytes in the last lines of a failed run go to the record, and are shown with the failure."""
    (running.home / "odd").write_bytes(ODD)
    config(running, "Shell", "cat odd; exit 1")
    running.start("Shell", "-q")
    assert running.wait() == 1
    assert "broken UTF-8" in running.stderr
    shown = running.lute("show", "last")
    assert shown.code == 0
    assert "broken UTF-8" in shown.out
    assert "€ no newline" in shown.out


def test_last_lines_are_kept_and_shown(running: Running) -> None:
    """B1: the last lines are in the record, and shown with a failure also where the log was not copied."""
    config(running, "Shell", "seq 1 5000; exit 1")
    running.start("Shell", "-q")
    assert running.wait() == 1
    assert "4999" in running.stderr
    assert "5000" in running.stderr
    assert "100\n" not in running.stderr
    Path(running.row()["log"]).unlink()  # they do not come from the log
    assert "  5000" in running.lute("show", "last").out


def test_a_line_of_100_mb(running: Running) -> None:
    """B1: a line of 100 MB with no end is kept whole, and the failure is still told."""
    config(running, "Shell", "head -c 100000000 /dev/zero | tr '\\0' x; exit 3")
    running.start("Shell")
    assert running.wait(60) == 1
    assert Path(running.row()["log"]).stat().st_size == 100_000_000 + len(announced(running))
    assert (running.home / "stderr").stat().st_size > 100_000_000
    assert "no peaks" in running.row()["reason"]
    times = subprocess.run(
        [*LUTE, "log", "last", "--times"], cwd=running.home, env=running.project.env, capture_output=True
    )
    assert len(times.stdout) > 100_000_000
    assert times.stderr == b""


def test_a_tasklet_that_prints(running: Running) -> None:
    """B1: the log is copied to standard error, and never to itself, also while tasklets print into it."""
    running.config('{"Sh": {"code": "echo said by the program"}}')
    running.start("Talker")
    assert running.wait() == 0
    said = ["said by a tasklet", "said by the program", "said by a tasklet"]
    assert [line for line in log_of(running).decode().splitlines() if "bash -c" not in line] == said
    assert [line for line in running.stderr.splitlines() if "bash -c" not in line] == said


def peak(running: Running, code: str, *arguments: str) -> dict[str, int]:
    """Runs a program under `lute`. Returns its exit code and the peak memory of `lute`, as the kernel counts it."""
    config(running, "Shell", code)
    return peak_of(running.project, "run", "Shell", "-c", "config.yaml", *arguments, env=running.env, timeout=110)


@pytest.mark.parametrize("arguments", [(), ("-q",)], ids=["copied", "quiet"])
@pytest.mark.parametrize("megabytes", [200, pytest.param(1024, marks=pytest.mark.slow)])
def test_memory_stays_flat(running: Running, megabytes: int, arguments: tuple[str, ...]) -> None:
    """B1: however much is printed, `lute` needs no more memory, and every byte is in the log."""
    little = peak(running, "true", *arguments)
    much = peak(running, f"head -c {megabytes << 20} /dev/zero", *arguments)
    assert (little["code"], much["code"]) == (0, 0)
    assert much["rss_kib"] - little["rss_kib"] < 8 * 1024
    sizes = [path.stat().st_size for path in running.home.glob("lute.runs/*/*/log")]
    assert max(sizes) == (megabytes << 20) + len(f"bash -c head -c {megabytes << 20} /dev/zero \n")


def test_memory_stays_flat_for_a_task(running: Running) -> None:
    """B1: nor for a Python Task that prints and reports lines by the hundred thousand."""
    config(running, "Python", "for i in range(200000): print('line', i)")
    running.start("Python", "-q")
    assert running.wait(60) == 0
    lines = log_of(running).decode().splitlines()
    assert lines == [f"line {i}" for i in range(200000)]


def test_a_grandchild_keeps_the_log_open(running: Running) -> None:
    """B1: a process left behind that holds the log does not keep the run from its end; what it wrote is there."""
    config(
        running,
        "Shell",
        "(trap '' TERM; echo from behind; touch reached; while true; do sleep 1; done) & read x < go; true",
    )
    begin = time.monotonic()
    running.start("Shell", "-q")
    running.reach()
    running.go()
    assert running.wait() == 0
    assert time.monotonic() - begin < 12
    assert b"from behind\n" in log_of(running)
    assert marked(running.mark) == []


def test_follow_to_the_end(running: Running) -> None:
    """B1: `lute log -f` shows what comes while it comes, and ends with the run, having shown all."""
    config(running, "Shell", "echo first; touch reached; read x < go; seq 1 200000; printf 'no newline'")
    running.start("Shell", "-q")
    running.reach()
    follower = start_lute(running.project, "log", running.row()["id"], "-f")
    assert follower.stdout is not None
    head = announced(running)
    assert [follower.stdout.readline(), follower.stdout.readline()] == [head, b"first\n"]
    running.go()
    rest, err = follower.communicate(timeout=60)
    assert running.wait() == 0
    assert follower.returncode == 0, err
    assert head + b"first\n" + rest == log_of(running)
    assert rest.endswith(b"no newline")


def test_follow_ends_when_the_owner_is_killed(running: Running) -> None:
    """B1: `lute log -f` of a run whose owner is killed ends too."""
    config(running, "Shell", "echo first; touch reached; read x < go")
    owner = running.start("Shell", "-q")
    running.reach()
    follower = start_lute(running.project, "log", running.row()["id"], "-f")
    assert follower.stdout is not None
    head = announced(running)
    assert [follower.stdout.readline(), follower.stdout.readline()] == [head, b"first\n"]
    running.kill(owner)
    follower.communicate(timeout=20)
    assert follower.returncode == 0


def test_times(running: Running) -> None:
    """B1: `lute log --times` shows when each line was seen, in order, and apart where they were apart."""
    config(running, "Shell", "echo first; touch reached; read x < go; echo second; printf third")
    running.start("Shell", "-q")
    running.reach()
    begin = time.monotonic()
    wait_until(lambda: time.monotonic() - begin > 0.5, "half a second")
    running.go()
    assert running.wait() == 0
    lines = running.lute("log", "last", "--times").out.splitlines()[1:]
    assert [line.split("  ", 1)[1] for line in lines] == ["first", "second", "third"]
    stamps = [re.fullmatch(r"(\d\d):(\d\d):(\d\d\.\d{3})", line.split("  ", 1)[0]) for line in lines]
    assert all(stamps)
    seconds = [int(m[1]) * 3600 + int(m[2]) * 60 + float(m[3]) for m in stamps if m]
    assert 0.3 < (seconds[1] - seconds[0]) % 86400 < 30
    assert seconds[1] <= seconds[2]


def test_a_slow_reader_does_not_stall_the_task(running: Running) -> None:
    """B1: no stall of a Task that prints faster than anyone reads: the program ends though nobody reads stderr."""
    config(
        running,
        "Shell",
        "head -c 20000000 /dev/zero | tr '\\0' x; touch printed; read x < go; echo last",
        task_timeout=30,
    )
    read, write = os.pipe()
    env = {**running.project.env, **running.env}
    argv = [*LUTE, "run", "Shell", "-c", "config.yaml"]
    running.owner = subprocess.Popen(
        argv, cwd=running.home, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write
    )
    os.close(write)
    running.reach("printed")
    running.go()
    wait_until(lambda: not [p for p in running.processes() if b"bash" in p], "the program has ended by itself")
    with open(read, "rb") as file:
        shown = file.read()
    assert running.wait(30) == 0
    assert running.row()["status"] == "COMPLETED"
    assert shown.count(b"x") >= 20_000_000
    assert b"last" in shown


def test_timeout_and_cancel_though_nobody_reads(running: Running) -> None:
    """B1: nothing hangs: a run is ended by its timeout also while nobody reads `lute run`'s standard error."""
    config(running, "Shell", "yes | head -c 20000000; touch reached; exec sleep 66", task_timeout=2)
    read, write = os.pipe()
    env = {**running.project.env, **running.env}
    argv = [*LUTE, "run", "Shell", "-c", "config.yaml"]
    running.owner = subprocess.Popen(
        argv, cwd=running.home, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write
    )
    os.close(write)
    try:
        running.reach()
        wait_until(lambda: not [p for p in running.processes() if b"sleep" in p], "the program was ended", 10)
    finally:
        for pid in marked(running.mark):
            os.kill(pid, 9)
        os.close(read)


def test_stderr_is_closed_meanwhile(running: Running) -> None:
    """B1: a terminal that goes away does not take the run with it."""
    config(running, "Shell", "seq 1 100000; touch reached; read x < go; echo last")
    read, write = os.pipe()
    env = {**running.project.env, **running.env}
    argv = [*LUTE, "run", "Shell", "-c", "config.yaml"]
    running.owner = subprocess.Popen(
        argv, cwd=running.home, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write
    )
    os.close(write)
    os.read(read, 100)
    os.close(read)
    running.reach()
    running.go()
    running.wait(30)
    assert running.row()["status"] == "COMPLETED", running.row()["reason"]
    assert log_of(running).endswith(b"last\n")


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_is_closed_from_the_start(running: Running, closed: str) -> None:
    """B1: the run is what it would be otherwise, and what is printed goes into no file of the run."""
    config(running, "Python", "print('to the log'); open('made', 'w').write('whole')")
    command = shlex.join([*LUTE, "run", "Py", "-c", "config.yaml", "--json"])
    assert subprocess.run(f"{command} {closed}", shell=True, cwd=running.home, env=running.project.env).returncode == 0
    assert running.row()["status"] == "COMPLETED"
    assert log_of(running) == b"to the log\n"
    assert (running.home / "made").read_text() == "whole"


@pytest.mark.parametrize("buffered", ["", "1"])
def test_standard_output_is_full(running: Running, buffered: str) -> None:
    """B1: what was run is recorded; that it could not be told is told once, and is no success."""
    config(running, "Shell", "echo fine")
    env = {**running.project.env, "PYTHONUNBUFFERED": buffered}
    with open("/dev/full", "wb") as full:
        command = [*LUTE, "run", "Shell", "-c", "config.yaml", "-q", "--json"]
        ended = subprocess.run(command, cwd=running.home, env=env, stdout=full, stderr=subprocess.PIPE, text=True)
        listed = subprocess.run(
            [*LUTE, "history", "--json"], cwd=running.home, env=env, stdout=full, stderr=-1, text=True
        )
    assert running.row()["status"] == "COMPLETED"
    assert ended.returncode == 120
    assert ended.stderr == "lute: standard output cannot be written: No space left on device\n"
    assert listed.returncode in (2, 120)
    assert "Traceback" not in listed.stderr
    assert "No space left on device" in listed.stderr
