"""A page of a large record is as fast as one of a small one."""

from __future__ import annotations

import itertools
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Project
from web.helpers import Served, record, row, serving

NAMES = "id, task, managed_task, experiment, run, status, reason, summary, valid, started, ended, wall_s, log, parameters, metrics"
PATHS = ["/", "/?view=list", "/?view=list&task=Counter", "/?status=FAILED&view=list", "/api/runs", "/trends?task=Count"]


def fill(place: Path, count: int) -> None:
    """Records so many runs."""
    record(place, row("00000000000z"))
    metrics, parameters = json.dumps({"m": {"value": 1.5, "unit": ""}}), json.dumps({"frames": 3, "lute_config": {}})

    def rows() -> Iterator[tuple[object, ...]]:
        for number in range(count):
            started = (
                f"2026-10-{1 + number * 28 // count:02d}T{number % 24:02d}:{number % 60:02d}:00.{number % 10**6:06d}Z"
            )
            status = "FAILED" if number % 10 == 0 else "COMPLETED"
            task = ("Count", "Counter") if number % 3 else ("Draw", "Drawer")
            yield (
                f"{number:012d}",
                *task,
                "exp1",
                str(number // 100),
                status,
                "r",
                "s",
                1,
                started,
                started,
                1.0,
                "",
                parameters,
                metrics,
            )

    connection = sqlite3.connect(place)
    with connection:
        marks = ", ".join("?" * (NAMES.count(",") + 1))
        connection.executemany(f"INSERT INTO lute_runs ({NAMES}) VALUES ({marks})", rows())
    connection.close()


def ratio(large: Served, small: Served, path: str, small_path: str) -> float:
    """Returns how much longer a page of the large record takes: the shortest of many times, taken in turn."""
    times: dict[Served, list[float]] = {large: [], small: []}
    for _ in range(40):
        for served, asked in ((large, path), (small, small_path)):
            began = time.perf_counter()
            assert served.get(asked).status_code == 200
            times[served].append(time.perf_counter() - began)
    return min(times[large]) / min(times[small])


@pytest.mark.slow
def test_the_first_page_of_100000_runs_is_as_fast_as_of_1000(tmp_path: Path) -> None:
    """B4: fast however many runs there are: nothing is counted, no page is reached by skipping others."""
    projects = []
    for count in (1000, 100_000):
        (tmp_path / str(count)).mkdir()
        projects.append(Project(tmp_path / str(count)))
        fill(projects[-1].folder / "lute.db", count)
    with serving(projects[0]) as small, serving(projects[1]) as large:
        deep = [served.json("/api/runs", limit=400)["next"] for served in (small, large)]
        ratios = {path: ratio(large, small, path, path) for path in PATHS}
        ratios["deep"] = ratio(large, small, deep[1], deep[0])
    assert {path: found for path, found in ratios.items() if found > 2} == {}


def test_pages_of_a_large_record_go_on_without_a_gap(tmp_path: Path) -> None:
    """B4: paging by the last run of the page before, also over many pages."""
    fill(tmp_path / "lute.db", 5000)
    with serving(Project(tmp_path)) as served:
        address, seen = "/api/runs?limit=1000", []
        for _ in itertools.count():
            answer = served.get(address).json()
            seen += [run["id"] for run in answer["runs"]]
            if not (address := answer["next"]):
                break
    assert len(seen) == len(set(seen)) == 5001
