"""Issue 6: what people see while a workflow runs: a table on a terminal, plain lines elsewhere and without Rich."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from pathlib import Path

from conftest import LUTE, Project

FEW = "steps: {one: Shell, two: {task: Shell, needs: [one], parameters: {line: 'sleep 0.2; exit 3'}}, three: {task: Shell, needs: [two]}}"
MANY = "steps: {many: {task: Shell, foreach: {runs: 1-200}, parameters: {line: 'test {{ item }} != 100 || exit 3'}}}"
HIDE, SHOW = "\x1b[?25l", "\x1b[?25h"


def on_terminal(project: Project, *arguments: str, rows: int = 50, env: dict[str, str] | None = None) -> str:
    """Runs the workflow with standard error on a terminal of 120 columns. Returns what the terminal got."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 120, 0, 0))
    command = [*LUTE, "workflow", "run", "work.yaml", "-c", "config.yaml", *arguments]
    whole = {**project.env, "TERM": "xterm-256color", **(env or {})}
    process = subprocess.Popen(command, cwd=project.folder, env=whole, stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 1 << 16):
            text += piece
    except OSError:  # the terminal's other side is closed
        pass
    finally:
        os.close(ours)
        process.wait(60)
    return text.decode("utf-8", "replace")


def prepare(project: Project, workflow: str) -> None:
    """Writes a project with a workflow."""
    project.plugin("shell")
    project.config("Shell: {line: sleep 0.2}")
    project.write("work.yaml", workflow)


def plain(text: str) -> str:
    """Returns what a terminal got without what moves the cursor and colours."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_few_steps_are_a_table_that_changes(project: Project) -> None:
    """B3: every step with its state; at the end the table goes, the cursor is back and the failure is told."""
    prepare(project, FEW)
    text = on_terminal(project)
    for found in ("work  0/3 steps", "work  1/3 steps"):
        assert found in plain(text), plain(text)
    assert re.search(r"one +RUNNING", plain(text))
    assert re.search(r"one +COMPLETED +0\.\d\d s", plain(text))
    assert text.count(SHOW) == text.count(HIDE) == 1
    last = plain(text[text.rindex(SHOW) :])
    assert "STATUS" not in last
    assert "step two FAILED: exited with status 3" in last


def test_of_many_steps_those_are_shown_that_run_or_failed(project: Project) -> None:
    """B3: 200 steps do not fill the terminal: what runs and what failed is listed, the rest counted."""
    prepare(project, MANY)
    text = on_terminal(project, rows=24)
    counts = [int(done) for done in re.findall(r"(\d+)/200 steps", plain(text))]
    assert len(counts) > 3
    assert counts == sorted(counts)
    assert re.search(r"many\[99\] +FAILED", plain(text))
    assert not re.search(r"many\[\d+\] +(COMPLETED|PENDING)", plain(text))
    for frame in text.split("/200 steps")[1:-1]:
        assert frame.count("\n") < 24
    assert text.count(SHOW) == text.count(HIDE) == 1


def test_a_table_of_what_could_not_be_started_leaves_the_terminal_as_it_was(project: Project) -> None:
    """B3: the cursor is back also where no step could be run."""
    prepare(project, "steps: {one: {task: Shell, when: 'nothing > 3'}}")
    text = on_terminal(project)
    assert text.count(SHOW) == text.count(HIDE)
    assert "nothing" in plain(text)


def test_without_rich_there_are_lines(project: Project, tmp_path: Path) -> None:
    """B3: a terminal without Rich gets what a file gets: a line when a step starts and when it ends."""
    prepare(project, FEW)
    project.write("bare/rich/__init__.py", "raise ImportError('not installed')")
    known = project.env.get("PYTHONPATH", "")
    text = on_terminal(project, env={"PYTHONPATH": f"{tmp_path / 'bare'}{os.pathsep}{known}"})
    assert "\x1b" not in text
    assert "one starts" in text
    assert "two FAILED" in text
    outcome = project.lute("workflow", "run", "work.yaml", "-c", "config.yaml")
    assert "one starts" in outcome.err
    assert "\x1b" not in outcome.err


def test_quiet_shows_nothing_while_it_runs(project: Project) -> None:
    """B: `-q` says less."""
    prepare(project, FEW)
    text = on_terminal(project, "-q")
    assert HIDE not in text
    assert "RUNNING" not in text
