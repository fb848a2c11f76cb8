"""What the web page makes of runs: pure functions."""

from __future__ import annotations

from typing import Any

import pytest

from lute.web.files import whole
from lute.web.plot import Point, as_svg, ticks
from lute.web.render import as_value, readable
from lute.web.views import compared, grid, key_numbers, states_of


def run(**more: Any) -> dict[str, Any]:
    names = (
        "managed_task",
        "experiment",
        "run",
        "reason",
        "summary",
        "metrics",
        "plots",
        "progress",
        "started",
        "ended",
    )
    return {**dict.fromkeys(names), "task": "T", "status": "COMPLETED", "id": "1", **more}


def test_a_grid_has_the_newest_run_of_each_task() -> None:
    """B4: a grid of runs (acquisitions) by Tasks."""
    rows = [run(id="4", run="8", task="B"), run(id="3", run="8"), run(id="2", run="7"), run(id="1", run="7")]
    tasks, lines = grid(rows)
    assert tasks == ["T", "B"]
    assert [line.run for line in lines] == ["8", "7"]
    assert (lines[1].cells["T"].row["id"], lines[1].cells["T"].others) == ("2", 1)
    assert grid([]) == ([], [])


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (run(metrics={"m": {"value": 0.0, "unit": "%"}}, summary="s"), ["m 0 %"]),
        (run(summary="a: 1;b: 2;c: 3;d: 4"), ["a: 1", "b: 2", "c: 3"]),
        (run(summary="/x/scans/one/report.html", plots=["/x/scans/one/report.html"]), ["figure one"]),
        (run(status="FAILED", reason="why", summary="s"), ["why"]),
        (run(status="RUNNING", progress={"done": 0, "total": 4, "text": ""}), ["0/4 (0 %)"]),
        (run(status="PENDING"), []),
        (run(), [""]),
    ],
)
def test_key_numbers(row: dict[str, Any], expected: list[str]) -> None:
    """B4: status colours and key numbers."""
    assert key_numbers(row) == expected


def test_compared_runs_are_told_as_lute_diff_does() -> None:
    """B4: parameters, environment, versions, metrics, command side by side, differences marked, however long they are."""
    more = {"wall_s": 1.0, "host": "h", "code": None, "inputs": None, "payload": None, "log": "", "environment": {}}
    one = run(
        **more,
        command=["a b", "c"],
        versions={"lute": "1"},
        parameters={"n": 1, "long": "x" * 30_000, "lute_config": {}},
    )
    other = one | {"parameters": {"n": 2, "long": "x" * 30_000 + "y", "lute_config": {}}}
    found = compared(one, other, everything=False)
    assert list(found) == ["About", "Parameters"]
    assert [(line.name, line.differs) for line in found["Parameters"]] == [("n", True), ("long", True)]
    assert len(found["Parameters"][1].a or "") < 21_000
    everything = compared(one, other, everything=True)
    assert [line.a for line in everything["Command"]] == ["'a b' c"]
    assert not any(line.differs for line in everything["Versions"])


def test_the_worst_instance_is_a_steps_state() -> None:
    """B4: steps and their states."""
    steps = [{"step": "a", "status": status} for status in ("COMPLETED", "FAILED", "RUNNING")]
    assert states_of([*steps, {"step": "b", "status": "SKIPPED"}]) == {"a": "FAILED", "b": "SKIPPED"}


@pytest.mark.parametrize("values", [[0.0], [5.0, 5.0], [-1e300, 1e300], [1e-12, 2e-12], [0, 1, 2] * 400])
def test_any_values_can_be_drawn(values: list[float]) -> None:
    """B4: metric trends over runs as plots."""
    text = as_svg([Point(value, "<7>", "a & b", "/runs/x") for value in values], "m<", "Å")
    assert text.count("<circle") == len(values)
    assert "nan" not in text
    assert "inf" not in text
    assert "<7>" not in text
    assert 'style="' not in text, "the policy allows no style in the page"


def test_ticks_are_round_and_inside() -> None:
    """B4: plots."""
    assert ticks(1.77, 2.05) == pytest.approx([1.8, 1.85, 1.9, 1.95, 2.0, 2.05])
    assert ticks(3, 3)


def test_a_log_is_readable() -> None:
    """B4: log text without a terminal's colours; what was written over stands on lines of its own."""
    assert readable("\x1b[1;31mred\x1b[0m\r\n 1%\r 2%\n\x1b]0;title\x07x") == "red\n 1%\n 2%\nx"


def test_a_character_that_is_not_there_yet_is_held() -> None:
    """B1: bytes that are no UTF-8 harm nothing."""
    data = "é€".encode()
    assert [whole(data[:end]) for end in range(6)] == [("", 0), ("", 1), ("é", 0), ("é", 1), ("é", 2), ("é€", 0)]
    assert whole(b"\xff\xfe") == ("\\xff\\xfe", 0)


def test_values_are_told_as_they_are() -> None:
    """B4: 0 and False are values, text is no JSON."""
    assert [as_value(value) for value in (0, False, None, "é", ["é"])] == ["0", "false", "null", "é", '["é"]']
