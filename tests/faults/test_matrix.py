"""kill -9 of each party of a run, at each of its phases: the record tells the truth, and no process is left."""

from __future__ import annotations

import os
import re
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from conftest import Project
from faults.support import FINAL, GRACE, REPORT, Running, marked
from process.helpers import alive, wait_until

LIMIT = GRACE + 2 + float(os.environ.get("LUTE_FAULTS_SLACK", "0"))
"""Time after a kill until no process is left and the record is true, in s; the variable is for a bad machine."""
AT_ONCE = 3
PHASES = ("before", "start", "run", "result", "record")
PARTIES = ("owner", "launcher", "child", "grandchild")
KINDS = {
    "forked Task": ("Holder", "fork"),
    "new interpreter": ("Holder", "exec"),
    "program": ("ProgramHolder", "fork"),
    "own program": ("OwnProgramHolder", "fork"),
}
GONE, LAUNCHER, KILLED = r"owned this run is gone", r"launcher", r"SIGKILL"


@dataclass(frozen=True)
class Cell:
    """One kill.

    Attributes:
        kind: What is run, and how.
        phase: Where the run is.
        party: Who is killed.
        status: What the record must say.
        reason: What its reason must name.
    """

    kind: str
    phase: str
    party: str
    status: str = "FAILED"
    reason: str = ""

    def __str__(self) -> str:
        return f"{self.kind}-{self.phase}-{self.party}".replace(" ", "_")


def _cells() -> Iterator[Cell]:
    for phase in PHASES:
        yield Cell("forked Task", phase, "owner", reason=GONE)
        if phase != "record":
            yield Cell("forked Task", phase, "launcher", reason=LAUNCHER)
            yield Cell("forked Task", phase, "child", reason=KILLED)
            yield Cell("forked Task", phase, "grandchild", "COMPLETED")
    yield Cell("shared launcher", "record", "launcher", "COMPLETED")
    for phase in ("before", "start", "record"):
        yield Cell("program", phase, "owner", reason=GONE)
        if phase != "record":
            yield Cell("program", phase, "launcher", reason=LAUNCHER)
    for kind in ("program", "own program", "new interpreter"):
        yield Cell(kind, "run", "owner", reason=GONE)
        yield Cell(kind, "run", "launcher", reason=LAUNCHER)
        yield Cell(kind, "run", "child", reason=KILLED)
        yield Cell(kind, "run", "grandchild", "COMPLETED")
    yield Cell("new interpreter", "start", "owner", reason=GONE)
    yield Cell("new interpreter", "start", "launcher", reason=LAUNCHER)
    yield Cell("new interpreter", "result", "owner", reason=GONE)
    yield Cell("new interpreter", "result", "launcher", reason=LAUNCHER)


CELLS = list(_cells())
NOT_MEANINGFUL = {
    "launcher, at record, under `lute run`": "it was closed before the results are kept: asserted in that phase",
    "child and grandchild, at record": "the run is recorded when none of its processes lives: asserted in that phase",
    "child and grandchild of a program, before start": "the script that is sourced is the same as for a Task",
    "child and grandchild of a program, at start": "its `before` tasklets run before there is a process",
    "any party of a program, at result": "a program sends no result; its end is its result",
    "own program and new interpreter, elsewhere": "the same processes and code as a forked Task's",
    "owner and launcher at once": "SPEC B1: covered only inside a cgroup",
}
SHARED = """
    import sys
    from lute import plugins
    from lute.launcher.handle import Launcher

    launcher = Launcher.start()
    plugins.load("tasks.py")
    from lute import managed_tasks
    managed_tasks.find("Holder").execute_task("config.yaml", launcher=launcher)
    launcher.close()
"""
_results: dict[Cell, str] = {}


def _do(cell: Cell) -> str:
    """Does one kill and checks what comes of it. Returns how long it took until all was gone and recorded."""
    with tempfile.TemporaryDirectory(prefix="lute-matrix-") as folder:
        project = Project(Path(folder))
        with Running(project) as running:
            return _kill(cell, running)


def _kill(cell: Cell, running: Running) -> str:
    running.config()
    if cell.kind == "shared launcher":
        script = running.project.write("shared.py", SHARED)
        owner = running.start("", phase=cell.phase, argv=[sys.executable, str(script)])
    else:
        name, how = KINDS[cell.kind]
        owner = running.start(name, "-q", phase=cell.phase, LUTE_LAUNCHER=how)
    running.reach(seconds=60)
    assert running.row()["status"] in ("PENDING", "RUNNING")
    if cell.phase == "record" and cell.kind != "shared launcher":
        assert marked(running.mark) == [owner], f"processes at record: {running.describe()}"
    if cell.party == "owner":
        running.kill(owner)
        wait_until(lambda: not alive(owner), "the kernel has killed it")
        row = running.row()  # who reads next is told the truth at once
        assert row["status"] == "FAILED", row
        assert re.search(cell.reason, row["reason"]), row["reason"]
    elif cell.party == "launcher":
        running.kill(running.launcher())
        if cell.phase == "record":
            running.go()
    elif cell.party == "child":
        running.kill(running.pid("child"))
    else:
        running.kill(running.pid("pids/forked"), running.pid("pids/program"))
        wait_until(lambda: len(marked(running.mark)) == (2 if _no_child(cell) else 3), "the rest goes on", 10)
        assert running.row()["status"] in ("PENDING", "RUNNING")
        running.go()
        running.killed_at = time.monotonic()
    took = running.wait_gone(running.killed_at + LIMIT - time.monotonic())
    row = running.row()
    told = time.monotonic() - running.killed_at
    assert row["status"] in FINAL, row
    assert told < LIMIT, f"all was gone after {took:.2f} s, and the record true after {told:.2f} s"
    assert running.history() == [row]
    assert row["status"] == cell.status, f"{row['status']}: {row['reason']}"
    assert re.search(cell.reason, row["reason"]), f"the reason does not say {cell.reason!r}: {row['reason']!r}"
    assert row["valid"] is (cell.status == "COMPLETED")
    assert "Traceback" not in running.stderr, running.stderr
    left = {path.name for path in running.home.glob("lute.runs/*/*/*")} - {"log", "log.times"}
    assert not left or cell.party == "owner", f"files that are left: {left}"
    return f"{row['status']} {told:.2f} s"


def _no_child(cell: Cell) -> bool:
    return cell.kind == "program" and cell.phase in ("before", "start")


@pytest.fixture(scope="module")
def kills(request: pytest.FixtureRequest) -> Iterator[dict[Cell, Future[str]]]:
    """All kills that are asked for, several at a time: they mostly wait."""
    items = [item for item in request.session.items if item.fspath == request.node.fspath]
    wanted = [item.callspec.params["cell"] for item in items if hasattr(item, "callspec")]
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {cell: pool.submit(_do, cell) for cell in wanted}
        pool.shutdown(cancel_futures=True)
    REPORT["kill -9 of each party, at each phase"] = _table(wanted)


def _table(wanted: list[Cell]) -> list[str]:
    lines = [f"{'':<28}" + "".join(f"{party:<24}" for party in PARTIES)]
    for kind in [*KINDS, "shared launcher"]:
        for phase in PHASES:
            row = {cell.party: cell for cell in wanted if (cell.kind, cell.phase) == (kind, phase)}
            if row:
                cells = [f"{_results.get(row[p], 'FAILS') if p in row else '.':<24}" for p in PARTIES]
                lines.append(f"{kind + ', ' + phase:<28}" + "".join(cells))
    return [*lines, "", "Not meaningful:", *(f"  {what}: {why}" for what, why in NOT_MEANINGFUL.items())]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("cell", CELLS, ids=str)
def test_kill(cell: Cell, kills: dict[Cell, Future[str]]) -> None:
    """B1: whoever is killed, 2 s after the grace no process of the run is left and the record says what happened."""
    _results[cell] = kills[cell].result(280)
