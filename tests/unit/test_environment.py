"""The environment of a Task's process: functions over dicts of variables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from lute.execution.environment import (
    OUR_OWN,
    SHELL_OWN,
    Change,
    changed,
    difference,
    merged_path,
    needs_new_interpreter,
    parse_env_output,
    updated,
    without_ours,
)

HERE = {"PATH": "/usr/bin:/bin", "HOME": "/home/é", "EMPTY": ""}


@pytest.mark.parametrize(
    ("old", "new", "update_path", "merged"),
    [
        ("/usr/bin", "/opt/bin", "prepend", "/opt/bin:/usr/bin"),
        ("/usr/bin", "/opt/bin", "append", "/usr/bin:/opt/bin"),
        ("/usr/bin", "/opt/bin", "overwrite", "/opt/bin"),
        ("/usr/bin:/bin", "/a b:/ö", "prepend", "/a b:/ö:/usr/bin:/bin"),
        *((old, "/opt/bin", how, "/opt/bin") for old in (None, "") for how in ("prepend", "append", "overwrite")),
        # an empty folder in PATH would be the current one
        ("/usr/bin", "", "prepend", "/usr/bin"),
        ("/usr/bin", "", "append", "/usr/bin"),
        ("/usr/bin", "", "overwrite", ""),
    ],
)
def test_a_new_path(old: str | None, new: str, update_path: str, merged: str) -> None:
    """A4: new folders come before or after the old ones, or in their place; no empty one comes in."""
    assert merged_path(old, new, update_path) == merged


def test_variables_are_replaced_and_path_merged() -> None:
    """A4: any value becomes text; PATH alone is merged; what went in is left as it was."""
    before = dict(HERE)
    after = updated(before, {"PATH": "/opt/bin", "HOME": 0, "NEW": False, "EMPTY": "x\ny"}, "append")
    assert after == {"PATH": "/usr/bin:/bin:/opt/bin", "HOME": "0", "NEW": "False", "EMPTY": "x\ny"}
    assert before == HERE
    assert updated(HERE, {}, "overwrite") == HERE, "without a new PATH the old one stays"
    assert updated({}, {"PATH": "/opt/bin"}, "prepend") == {"PATH": "/opt/bin"}


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ({}, {}, {}),
        (HERE, HERE, {}),
        ({"A": "1"}, {"A": "2"}, {"A": "2"}),
        ({"A": "1"}, {"A": ""}, {"A": ""}),
        ({"A": ""}, {}, {"A": None}),
        ({}, {"A": ""}, {"A": ""}),
        ({"B": "1", "A": "1", "C": "1"}, {"C": "1", "D": "é"}, {"D": "é", "A": None, "B": None}),
    ],
)
def test_what_changed(before: dict[str, str], after: dict[str, str], told: dict[str, str | None]) -> None:
    """A4: new values by name, None for what was removed; an empty value is a value."""
    assert difference(before, after) == told


def test_the_difference_is_in_the_order_of_names() -> None:
    """A4: what the record keeps of an environment does not depend on the order that variables were set in."""
    assert list(difference({"z": "1", "y": "1"}, {"b": "1", "a": "1"})) == ["a", "b", "y", "z"]


def test_an_inner_run_gets_nothing_of_an_outer_one() -> None:
    """A4: a run that is started inside another does not inherit its channel, its id or its log."""
    outer = dict.fromkeys(OUR_OWN, "1")
    assert without_ours({**outer, **HERE, "LUTE_PATH": "/site"}) == {**HERE, "LUTE_PATH": "/site"}
    assert {"LUTE_CHANNEL_FD", "LUTE_RUN_ID", "LUTE_RANK_LOG"} <= OUR_OWN


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("PYTHONPATH", True),
        ("PYTHONHASHSEED", True),
        ("LD_LIBRARY_PATH", True),
        ("LD_PRELOAD", True),
        ("VIRTUAL_ENV", True),
        ("CONDA_PREFIX", True),
        ("PATH", False),
        ("MY_PYTHON", False),
        ("LD_LIBRARY_PATH_OLD", False),
    ],
)
@pytest.mark.parametrize("value", ["x", "", None])
def test_what_a_fork_would_miss(name: str, needed: bool, value: str | None) -> None:
    """A4: what Python or the loader reads when it starts needs a new interpreter, be it set, emptied or removed."""
    assert needs_new_interpreter({"A": "1", name: value}) is needed
    assert not needs_new_interpreter({})


class Sourced:
    """A `source` that notes what it was called with, and leaves what it was told to."""

    def __init__(self, leaves: Mapping[str, str]) -> None:
        self.leaves, self.calls = dict(leaves), list[tuple[str, dict[str, str]]]()

    def __call__(self, change: Change, env: dict[str, str]) -> dict[str, str]:
        """Returns the environment that the script leaves."""
        self.calls.append((str(change.script), dict(env)))
        return dict(self.leaves)


def test_changes_are_made_in_order() -> None:
    """A4: each change starts from what the one before left; a script's environment replaces it."""
    source = Sourced({"FROM": "script", "PATH": "/script"})
    changes = [
        Change({"A": 1, "PATH": "/one"}),
        Change(script="set up.sh"),
        Change(lambda: {"B": 2, "PATH": "/two"}, "append"),
        Change({"FROM": "later"}),
    ]
    after = changed({"PATH": "/usr/bin"}, changes, source)
    assert source.calls == [("set up.sh", {"A": "1", "PATH": "/one:/usr/bin"})]
    assert after == {"FROM": "later", "PATH": "/script:/two", "B": "2"}


@pytest.mark.parametrize("changes", [[], [Change()], [Change({})]])
def test_no_change_is_a_copy(changes: list[Change]) -> None:
    """A4: the environment of `lute` itself is never changed."""
    base = dict(HERE)
    after = changed(base, changes, Sourced({}))
    assert after == HERE
    after["A"] = "1"
    assert base == HERE


def test_variables_are_asked_for_when_they_are_needed() -> None:
    """A4: a function that gives variables is called when its turn comes, and each time."""
    counts: list[int] = []

    def variables() -> dict[str, Any]:
        counts.append(len(counts))
        return {"N": counts[-1]}

    change = Change(variables)
    assert counts == []
    assert [changed({}, [change], Sourced({}))["N"] for _ in range(2)] == ["0", "1"]


def test_the_output_of_env() -> None:
    """A4: values may hold `=`, newlines and bytes that are no UTF-8; what the shell sets for itself is left out."""
    own = b"".join(name.encode() + b"=x\0" for name in SHELL_OWN)
    data = b"A=1\0B=a=b\nc\0EMPTY=\0RAW=\xff\0no variable\0" + own
    assert parse_env_output(data) == {"A": "1", "B": "a=b\nc", "EMPTY": "", "RAW": "\udcff"}
    assert parse_env_output(b"") == {}
