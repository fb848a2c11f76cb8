"""The items of a step's `foreach`: lists, files, acquisition runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lute.errors import WorkflowError
from lute.workflows.results import Results, Scope, items_of, runs_of


def scope(**documents: Any) -> Scope:
    return Scope(Results({"a": {"result": [1, 2], "status": "COMPLETED"}}.__getitem__, lambda: ["a"]), [documents])


@pytest.mark.parametrize(
    ("foreach", "items"),
    [
        ([0, "", False, None, "a b", "é\n'\""], [0, "", False, None, "a b", "é\n'\""]),
        ([], []),
        ("{{ steps.a.result }}", [1, 2]),
        ("{{ cuts }}", [1.5, 2]),
        (["{{ cuts.0 }}", 3], [1.5, 3]),
        ({"runs": "1-3,8"}, [1, 2, 3, 8]),
        ({"runs": 4}, [4]),
        ({"runs": [4, "6-7"]}, [4, 6, 7]),
        ({"runs": "{{ night }}"}, [2, 3]),
        ({"files": "none/*"}, []),
    ],
)
def test_items(foreach: Any, items: list[Any]) -> None:
    """B3: `foreach` over values, runs and files; 0, "" and false are values."""
    assert items_of(foreach, scope(cuts=[1.5, 2], night="2-3")) == items


def test_files_in_order(tmp_path: Path) -> None:
    """B3: files come sorted, so that an instance's number means the same file the next time."""
    for name in ("b.h5", "a b.h5", "c.txt"):
        (tmp_path / name).touch()
    assert items_of({"files": f"{tmp_path}/*.h5"}, scope()) == [str(tmp_path / "a b.h5"), str(tmp_path / "b.h5")]


@pytest.mark.parametrize("foreach", ["{{ cuts.0 }}", "{{ nothing }}", {"runs": ["x"]}, {"runs": "-1"}, {"runs": "²"}])
def test_what_is_no_list_of_items(foreach: Any) -> None:
    """B3: what cannot be repeated over is an error."""
    with pytest.raises(WorkflowError):
        items_of(foreach, scope(cuts=[1.5]))


def test_runs_are_bounded() -> None:
    """B3: a slip in a range does not eat the machine's memory."""
    with pytest.raises(WorkflowError, match="more than"):
        runs_of(["1-999999999999999999"])
