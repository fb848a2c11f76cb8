"""`lute view`, driven by Textual's pilot, on a real record with real runs."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import re
import struct
import termios
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Static, TabbedContent

from conftest import Project
from lute.cli import common
from lute.record.store import Record
from lute.tui.app import RecordApp, read_filter
from process.helpers import start, wait_until


@pytest.fixture
def recorded(project: Project) -> Project:
    """A project whose record has a run that completed and one that failed."""
    project.plugin("slow")
    project.config("Say: {}")
    assert project.lute("run", "Sayer", "-c", "config.yaml", "-q").code == 0
    assert project.lute("run", "Sayer", "-c", "config.yaml", "-q", "-s", "Say.executable=false").code == 1
    return project


def drive(project: Project, steps: Callable[[RecordApp, Pilot[None]], Awaitable[None]]) -> None:
    """Opens the record and does the steps."""

    async def work() -> None:
        with Record(project.folder / "lute.db") as record:
            app = RecordApp(record, common.when, common.seconds)
            async with app.run_test(size=(140, 45)) as pilot:
                await pilot.pause()
                await steps(app, pilot)

    asyncio.run(work())


def cells(app: RecordApp) -> list[list[str]]:
    """The table as text."""
    table = app.query_one(DataTable)
    return [[str(cell) for cell in table.get_row_at(number)] for number in range(table.row_count)]


def text_of(app: RecordApp, name: str) -> str:
    """What a tab shows."""
    return str(app.query_one(f"#text-{name}", Static).content)


async def until(pilot: Pilot[None], condition: Callable[[], Any]) -> None:
    """Waits until a condition holds."""
    for _ in range(400):
        if condition():
            return
        await pilot.pause(0.05)
    raise AssertionError("still not so")


def test_the_table_and_one_run(recorded: Project) -> None:
    """B: newest first, status as sign, word and colour; below, the run under the cursor."""

    async def steps(app: RecordApp, pilot: Pilot[None]) -> None:
        rows = cells(app)
        assert [row[5] for row in rows] == ["✗ FAILED", "✓ COMPLETED"]
        assert rows[0][4] == "Sayer"
        assert "exited with status 1" in text_of(app, "run")
        await pilot.press("down")
        await until(pilot, lambda: "COMPLETED" in text_of(app, "run"))
        assert "hello" in text_of(app, "log")
        assert re.search(r'text +"hello"', text_of(app, "parameters"))
        app.query_one(TabbedContent).active = "tab-log"
        await pilot.pause()

    drive(recorded, steps)


def test_a_live_run_grows_and_is_cancelled(recorded: Project) -> None:
    """B: a run that lives is shown as it goes on: progress and log; `c` stops it, with the reason kept."""
    process = start(recorded, "run", "Slower", "-c", "config.yaml", "-q")
    record = Record(recorded.folder / "lute.db")
    wait_until(lambda: (record.find(limit=1)[0]["progress"] or {}).get("done") == 1, "progress")

    async def steps(app: RecordApp, pilot: Pilot[None]) -> None:
        await until(pilot, lambda: "RUNNING" in cells(app)[0][5] and "1/4" in cells(app)[0][7])
        assert "the first line [not markup]" in text_of(app, "log")
        await pilot.press("c")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press(*"tired", "enter")
        await until(pilot, lambda: "CANCELLED" in cells(app)[0][5])
        assert "tired" in text_of(app, "run")

    try:
        drive(recorded, steps)
        assert process.wait(30) == 143
    finally:
        process.kill()
        process.communicate()
        record.close()


def test_filter_and_invalidate(recorded: Project) -> None:
    """B: a filter leaves what fits; a wrong one says so and changes nothing; invalid and valid again."""

    async def steps(app: RecordApp, pilot: Pilot[None]) -> None:
        await pilot.press("slash", *"status=completed", "enter")
        await until(pilot, lambda: len(cells(app)) == 1)
        await pilot.press("slash")
        app.query_one("#filter", Input).value = "Say.nothing>3"
        await pilot.press("enter")
        assert len(cells(app)) == 1
        await pilot.press("escape", "i")
        await until(pilot, lambda: len(app.screen_stack) == 2)
        await pilot.press(*"wrong", "enter")
        await until(pilot, lambda: "invalid" in cells(app)[0][5])
        assert "wrong" in text_of(app, "run")
        await pilot.press("r")
        await until(pilot, lambda: "invalid" not in cells(app)[0][5])

    drive(recorded, steps)


def test_no_record_and_new_runs(project: Project) -> None:
    """B: there is nothing yet; a run that comes appears by itself."""
    project.plugin("slow")
    project.config("Say: {}")

    async def steps(app: RecordApp, pilot: Pilot[None]) -> None:
        assert cells(app) == []
        await asyncio.to_thread(project.lute, "run", "Sayer", "-c", "config.yaml", "-q")
        await until(pilot, lambda: len(cells(app)) == 1)

    drive(project, steps)


def test_without_a_terminal(recorded: Project) -> None:
    """B: it needs a terminal, and says what to type without one."""
    done = recorded.lute("view", "-c", "config.yaml")
    assert done.code == 2
    assert "lute history" in done.err


def test_read_filter() -> None:
    """B: words are looked for in summary and reason, `=` and comparisons are what they say."""
    assert read_filter("") == {}
    assert read_filter("beam lost") == {"text": "beam lost"}
    assert read_filter("task=A,B status=failed,timedout run=3 experiment=x Say.n>=4") == {
        "tasks": ["A", "B"],
        "statuses": ["FAILED", "TIMEDOUT"],
        "run": "3",
        "experiment": "x",
        "where": ["Say.n>=4"],
    }


def test_in_a_real_terminal(recorded: Project) -> None:
    """B: the command itself, in a pseudo-terminal: it draws the runs and ends on `q`."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.set_blocking(ours, False)
    env = {"TERM": "xterm-256color"}
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs, "start_new_session": True}
    process = start(recorded, "view", "-c", "config.yaml", env=env, **streams)
    os.close(theirs)
    drawn = b""

    def more() -> bool:
        nonlocal drawn
        with contextlib.suppress(BlockingIOError, OSError):
            drawn += os.read(ours, 65536)
        return b"COMPLETED" in drawn

    try:
        wait_until(more, "the runs are drawn", 60)
        os.write(ours, b"q")
        wait_until(lambda: more() and process.poll() is not None, "it has ended", 30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
