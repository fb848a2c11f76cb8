"""Issue 6: `lute watch` starts a workflow for each new file: debounced, in order, once each, across restarts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute.testing import FakeElog
from process.helpers import alive, start, unread, wait_until

SETTINGS = ["-c", "config.yaml", "-q", "--every", "0.05", "--settle", "0.2"]


@pytest.fixture
def folder(project: Project) -> Path:
    """The folder that is watched, in a project whose workflow notes each file's path in the file `done`."""
    project.plugin("watched")
    project.config('file: ""\nShell:\n  in_file: "{{ file }}"\n  number: "{{ run }}"\n')
    project.write("one.yaml", "steps: {one: Shell}")
    (project.folder / "raw").mkdir()
    return project.folder / "raw"


def done(project: Project) -> list[str]:
    """Returns the names of the files for which the workflow ran, in order."""
    place = project.folder / "done"
    return [Path(line).name for line in place.read_text().splitlines()] if place.exists() else []


def completed(project: Project) -> int:
    """Returns for how many files the watch remembers that the workflow completed."""
    text = "".join(place.read_text() for place in project.folder.glob("lute.watch/*.json"))
    return text.count('"COMPLETED"')


def once(project: Project, *arguments: str, **keywords: Any) -> Any:
    """Runs `lute watch --once`."""
    return project.lute("watch", "one.yaml", "--folder", "raw", "--once", *SETTINGS, *arguments, **keywords)


@contextmanager
def watching(project: Project, *arguments: str, workflow: str = "one.yaml") -> Iterator[subprocess.Popen[bytes]]:
    """Starts `lute watch` on the folder; it remembers what is there before this goes on."""
    process = start(project, "watch", workflow, "--folder", "raw", *SETTINGS, *arguments)
    try:
        wait_until(lambda: list(project.folder.glob("lute.watch/*.json")) or process.poll() is not None, "it watches")
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[bytes], number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
    """Sends a signal and waits for the end. Returns exit code, standard output and standard error."""
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def test_each_new_file_once_in_order(project: Project, folder: Path) -> None:
    """B3: files that were there are skipped; the new ones are taken one after another, oldest first."""
    (folder / "there").write_text("before")
    with watching(project) as process:
        for place, name in enumerate(("b", "a", "c")):
            (folder / name).write_text(name)
            os.utime(folder / name, (place, place))
        wait_until(lambda: len(done(project)) == 3, "three files are done")
        (folder / "later").write_text("later")
        wait_until(lambda: len(done(project)) == 4, "the fourth is done")
        (folder / "a").write_text("changed: it was seen already")
        (folder / "last").write_text("last")
        wait_until(lambda: completed(project) == 5, "the last is done")
        code, out, _ = stop(process)
    assert done(project) == ["b", "a", "c", "later", "last"]
    assert code == 130
    assert [line.split()[1] for line in out.splitlines()] == ["COMPLETED"] * 5


def test_what_was_seen_is_remembered(project: Project, folder: Path) -> None:
    """B3: a watcher that is started again takes what came meanwhile, and nothing twice."""
    (folder / "a").write_text("a")
    assert once(project).code == 0
    assert done(project) == []
    (folder / "b").write_text("b")
    assert once(project).code == 0
    (folder / "c").write_text("c")
    assert once(project).code == 0
    assert once(project).code == 0
    assert done(project) == ["b", "c"]


def test_existing_files_can_be_taken(project: Project, folder: Path) -> None:
    """B3: `--existing` takes what is there at the first look."""
    (folder / "a").write_text("a")
    (folder / "sub").mkdir()
    outcome = once(project, "--existing")
    assert (outcome.code, done(project)) == (0, ["a"]), outcome
    assert once(project, "--existing").out == ""


def test_it_goes_on_though_nobody_reads(project: Project, folder: Path) -> None:
    """B1: what cannot be shown of the progress stops no workflow."""
    (folder / "a").write_text("a")
    (folder / "b").write_text("b")
    options = [argument for argument in SETTINGS if argument != "-q"]
    watching = ["watch", "one.yaml", "--folder", "raw", "--once", "--existing", "--json"]
    code, out, _ = unread(project, *watching, *options, stream="stderr")
    assert (code, done(project)) == (0, ["a", "b"])
    assert [json.loads(line)["status"] for line in (out or b"").splitlines()] == ["COMPLETED", "COMPLETED"]


def test_a_file_that_grows_is_left_until_it_rests(project: Project, folder: Path) -> None:
    """B3: debounced: a file is taken when neither its size nor its time has changed for `--settle` seconds."""
    with watching(project, "--settle", "0.6") as process:
        until = time.monotonic() + 1.5
        with open(folder / "growing", "w", buffering=1) as file:
            while time.monotonic() < until:
                file.write("more\n")
                time.sleep(0.02)
                assert done(project) == []
        wait_until(lambda: done(project) == ["growing"], "it is taken when it rests")
        assert process.poll() is None


def test_run_number_and_glob(project: Project, folder: Path) -> None:
    """B3: `--run-pattern` finds the header's `run` in the path; `--files` is a glob with folders."""
    (folder / "deep").mkdir()
    (folder / "deep" / "run0012.h5").write_text("x")
    (folder / "deep" / "run0012.txt").write_text("x")
    arguments = ["--files", "raw/**/*.h5", "--run-pattern", r"run(\d+)", "--once", "--existing", *SETTINGS, "--json"]
    outcome = project.lute("watch", "one.yaml", *arguments)
    (told,) = [json.loads(line) for line in outcome.out.splitlines()]
    assert (told["new"], told["run"], told["status"]) == (str(folder / "deep" / "run0012.h5"), "12", "COMPLETED")
    row = project.lute("show", told["steps"][0]["id"], "-c", "config.yaml", "--json").json
    assert row["parameters"]["number"] == 12


@pytest.mark.parametrize("name", ["with a space", "quote'\"", "new\nline", "ünï{{ run }}", "-c", "a: [b"])
def test_odd_names_are_names(project: Project, folder: Path, name: str) -> None:
    """STYLE: whatever a file is called, its path reaches the Task as it is."""
    (folder / name).write_text("x")
    outcome = once(project, "--existing")
    assert outcome.code == 0, outcome
    assert (project.folder / "done").read_text() == f"{folder / name}\n"


def test_a_failure_is_told_and_the_next_goes_on(project: Project, folder: Path) -> None:
    """B3: a workflow that failed is not tried again; the next file has its turn; exit 1."""
    for place, name in enumerate(("a", "b")):
        (folder / name).write_text("x")
        os.utime(folder / name, (place, place))
    line = 'echo "$0" >> done; test $(basename "$0") = b'
    outcome = once(project, "--existing", "-s", f"Shell.line={line}")
    assert (outcome.code, done(project)) == (1, ["a", "b"]), outcome
    assert "FAILED" in outcome.out.splitlines()[0]
    assert once(project).out == ""


def test_a_killed_watcher_goes_on_where_it_was(project: Project, folder: Path) -> None:
    """B3: killed with SIGKILL in the middle of a file, it resumes that workflow run: what completed is not run twice."""
    steps = """
    steps:
      first: { task: Shell, parameters: { line: 'echo "$0" >> firsts' } }
      second: { task: Shell, needs: [first], parameters: { line: 'touch here; test -e gate || sleep 60; echo "$0" >> done' } }
    """
    project.write("two.yaml", steps)
    for round_ in range(2):
        name = f"file{round_}"
        with watching(project, workflow="two.yaml") as process:
            (folder / name).write_text("x")
            wait_until((project.folder / "here").exists, "the second step runs")
            (folder / f"waits{round_}").write_text("x")
            process.kill()
            process.wait()
        (project.folder / "gate").touch()
        with watching(project, workflow="two.yaml"):
            wait_until(lambda wanted=2 * round_ + 2: completed(project) == wanted, "both files are done")
        (project.folder / "gate").unlink()
        (project.folder / "here").unlink()
        assert done(project)[-2:] == [name, f"waits{round_}"]
    firsts = [Path(line).name for line in (project.folder / "firsts").read_text().splitlines()]
    assert firsts == done(project) == ["file0", "waits0", "file1", "waits1"]
    rows = project.lute("workflow", "list", "-c", "config.yaml", "--json").json
    assert [row["status"] for row in rows] == ["COMPLETED"] * 4


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("busy", [True, False])
def test_a_signal_cancels_what_runs_and_ends_it(
    project: Project, folder: Path, number: signal.Signals, code: int, busy: bool
) -> None:
    """B3: Ctrl-C cancels the current workflow and ends the watch; no process is left."""
    with watching(project, "-s", "Shell.line=echo $$ > pid; sleep 60") as process:
        if busy:
            (folder / "a").write_text("x")
            (folder / "b").write_text("x")
            wait_until(lambda: (project.folder / "pid").exists() and (project.folder / "pid").read_text(), "it runs")
        ended, out, err = stop(process, number)
    assert ended == code, err
    assert "Traceback" not in err
    assert [line.split()[1] for line in out.splitlines()] == (["CANCELLED"] if busy else [])
    if busy:
        assert not alive(int((project.folder / "pid").read_text()))


def test_only_one_watches(project: Project, folder: Path) -> None:
    """B3: a second watcher of the same is refused, so that no file is taken twice."""
    with watching(project):
        outcome = once(project)
    assert outcome.code == 2
    assert "another `lute watch`" in outcome.err
    assert once(project).code == 0


def test_a_broken_file_in_between_takes_no_turn(project: Project, folder: Path) -> None:
    """B3: while the YAML file cannot be read, the new file waits, and is taken when that is mended."""
    config = project.folder / "config.yaml"
    whole = config.read_text()
    with watching(project) as process:
        config.write_text(whole + "\n]")
        (folder / "a").write_text("x")
        assert process.stderr is not None
        assert b"not started yet" in process.stderr.readline()
        config.write_text(whole)
        wait_until(lambda: done(project) == ["a"], "it is taken")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--folder", "nowhere"], "no such folder"),
        ([], "one of the arguments --files --folder --elog is required"),
        (["--folder", "raw", "--tag", "x"], "--tag goes with --elog"),
        (["--folder", "raw", "--settle", "-1"], "no number of seconds"),
        (["--folder", "raw", "--run-pattern", "run"], "one group"),
        (["--folder", "raw", "--run-pattern", "("], "no regular expression"),
    ],
)
def test_what_cannot_be_watched(project: Project, folder: Path, arguments: list[str], expected: str) -> None:
    """B: exit 2 and what to type."""
    outcome = project.lute("watch", "one.yaml", "-c", "config.yaml", *arguments)
    assert outcome.code == 2
    assert expected in outcome.err


def test_a_yaml_file_without_a_place_for_the_file(project: Project, folder: Path) -> None:
    """B: the second document must have an entry `file`; the message says what to write."""
    project.config("Shell: {in_file: x}")
    outcome = project.lute("watch", "one.yaml", "-c", "config.yaml", "--folder", "raw")
    assert outcome.code == 2
    assert 'file: ""' in outcome.err


# ------------------------------------------------------------------------------------------------ eLog


@pytest.fixture
def elog() -> Iterator[FakeElog]:
    """A fake eLog in which the experiment `exp1` has the runs 1 and 2."""
    with FakeElog() as server:
        server.run_tables.update({("exp1", 1): {}, ("exp1", 2): {}})
        yield server


def numbers(out: str) -> list[str]:
    """Returns the acquisition runs of which the watch told."""
    return [json.loads(line)["run"] for line in out.splitlines()]


def test_each_new_run_of_the_elog(project: Project, folder: Path, elog: FakeElog) -> None:
    """B3: `--elog` starts the workflow for each run that was not there, by its number, which is the header's `run`."""
    arguments = ["watch", "one.yaml", "--elog", "--once", "--json", *SETTINGS, "-s", "file=x"]
    env = {"LUTE_ELOG_URL": elog.url}
    assert project.lute(*arguments, env=env).out == ""
    elog.run_tables.update({("exp1", 10): {}, ("exp1", 9): {}, ("other", 4): {}})
    outcome = project.lute(*arguments, env=env)
    assert (outcome.code, numbers(outcome.out)) == (0, ["9", "10"]), outcome
    elog.tags[("exp1", "DARK")] = [9, 10]
    tagged = project.lute(*arguments, "--tag", "DARK", "--existing", env=env)
    assert numbers(tagged.out) == ["9", "10"], tagged


def test_an_elog_that_does_not_answer(project: Project, folder: Path, elog: FakeElog) -> None:
    """B: at the very first look it is an error, since nobody knows what is new; later it is told, and tried again."""
    arguments = ["watch", "one.yaml", "--elog", *SETTINGS, "-s", "file=x"]
    env = {"LUTE_ELOG_URL": elog.url}
    outcome = project.lute(*arguments, "--once", env={"LUTE_ELOG_URL": "http://127.0.0.1:1"})
    assert outcome.code == 2, outcome
    assert "eLog" in outcome.err
    assert not list(project.folder.glob("lute.watch/*.json"))
    process = start(project, *arguments, env=env)
    try:
        wait_until(lambda: list(project.folder.glob("lute.watch/*.json")), "it watches")
        elog.answer(500, times=20)
        assert process.stderr is not None
        assert b"500" in process.stderr.readline()
        elog.run_tables[("exp1", 3)] = {}
        wait_until(lambda: completed(project) == 1, "run 3 is done")
    finally:
        process.kill()
        process.communicate()
