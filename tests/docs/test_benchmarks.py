"""The benchmarks run: what they measure, print and write. How fast anything is, no test asks."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"


def bench(*arguments: object, script: str = "run.py") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(BENCHMARKS / script), *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, timeout=110)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, subprocess.CompletedProcess[str]]:
    file = tmp_path_factory.mktemp("bench") / "results.json"
    return file, bench("--short", "--out", file, "start.program", "growth.run_by_yaml", "workflow.slurm")


def test_every_line_has_floor_ours_ratio_and_goal(results: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    file, done = results
    assert done.returncode == 0, done.stderr
    lines = json.loads(file.read_text())["lines"]
    for name in ("start.program.wall", "start.program.cpu", "start.program.peak"):
        line = lines[name]
        for numbers in (line["floor"], line["ours"], line["ratio"]):
            assert numbers["q1"] <= numbers["median"] <= numbers["q3"]
            assert numbers["median"] > 0
            assert numbers["n"] == len(numbers["values"]) > 1
        pairs = zip(line["ours"]["values"], line["floor"]["values"], strict=True)
        assert line["ratio"]["values"] == pytest.approx([ours / floor for ours, floor in pairs])
        assert line["goal"].startswith("<= 1.")
        assert line["reached"] is (line["ratio"]["median"] <= line["goal_limit"])
        assert bool(line["reason"]) is not line["reached"]
        assert line["what"] in done.stdout


def test_what_is_not_there_says_so(results: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    line = json.loads(results[0].read_text())["lines"]["workflow.slurm.all"]
    assert line["ours"] is line["reached"] is None
    assert line["reason"]
    assert line["goal"] == "<= 1.2 x"


def test_growth_has_a_slope_and_a_drawing(
    results: tuple[Path, subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    growth = json.loads(results[0].read_text())["lines"]["growth.run_by_yaml.wall"]["growth"]
    assert [point["size"] for point in growth["points"]] == [10, 1000]
    assert -1 < growth["log_log_slope"] < 2
    done = bench(results[0], "--out", tmp_path, script="plots.py")
    assert done.returncode == 0, done.stderr
    assert {file.name for file in tmp_path.iterdir()} == {"growth.run_by_yaml.wall.svg", "ratios.svg"}


def test_the_host_is_not_named(results: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    host: dict[str, Any] = json.loads(results[0].read_text())["host"]
    assert {"date", "lute", "python", "kernel", "cores"} <= host.keys()
    assert socket.gethostname() not in map(str, host.values())
    assert str(Path.home()) not in results[0].read_text()


def test_an_unknown_row_is_told_with_the_nearest() -> None:
    done = bench("start.progam")
    assert done.returncode == 2
    assert "'start.program'" in done.stderr
    assert done.stdout == ""


def test_every_row_is_listed_and_every_reason_is_of_a_row() -> None:
    listed = [line.split()[0] for line in bench("--list").stdout.splitlines()]
    written = [
        name
        for file in (BENCHMARKS / "lutebench" / "groups").glob("*.py")
        for name in re.findall(r'^@row\("(.+)"\)$', file.read_text(), re.MULTILINE)
    ]
    assert sorted(listed) == sorted(written)
    reasons = tomllib.loads((BENCHMARKS / "reasons.toml").read_text())
    assert {name.rpartition(".")[0] for name in reasons} <= set(listed)
