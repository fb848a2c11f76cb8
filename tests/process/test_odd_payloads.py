"""Payloads that are no JSON in part: that part alone is kept as bytes or told, the rest as it is."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Project
from lute import records
from lute.records import Run

DEEP = "deep = []\nfor _ in range(3000): deep = [deep]"
ODD = "import numpy as np\n" + DEEP + "\nown = {'a': 1}\nown['self'] = own"
UNPICKLED = "class Bad:\n  def __reduce__(self): raise RuntimeError('not me')"


@pytest.fixture
def gives(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a Task that gives what it is told to; the test is in its folder."""
    project.plugin("gives")
    monkeypatch.chdir(project.folder)
    return project


def give(project: Project, payload: str, before: str = "") -> dict[str, Any]:
    """Runs the Task. Returns the JSON of a run that completed."""
    project.config(f"Give: {json.dumps({'payload': payload, 'before': before})}")
    found = project.run_task("Give")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED"), found
    assert "lute itself failed" not in json.dumps(found)
    return found


def last() -> Run:
    with records.open() as kept:
        return kept.get("last")


@pytest.mark.parametrize(
    ("item", "before", "kind", "reason", "is_kept"),
    [
        ("np.longdouble(1.5)", ODD, "numpy.longdouble", "more digits than JSON's numbers", True),
        ("10**5000", "", "builtins.int", "more digits than JSON can have", True),
        ("own", ODD, None, "it holds itself", True),
        ("deep", ODD, "builtins.list", "nested in more than 100 levels", False),
        ("Bad()", UNPICKLED, "__main__.Bad", "RuntimeError: not me", False),
        ("(n for n in 'ab')", "", "builtins.generator", "cannot pickle", False),
        ("lambda: 5", "", "builtins.function", "pickle", False),
        ("threading.Lock()", "", "_thread.lock", "cannot pickle", False),
    ],
    ids=["longdouble", "long integer", "holds itself", "deep", "not pickled", "generator", "lambda", "lock"],
)
def test_an_item_that_cannot_be_json_costs_itself_alone(
    gives: Project, item: str, before: str, kind: str | None, reason: str, is_kept: bool
) -> None:
    """C3: the run is COMPLETED; of the payload that item alone is kept as bytes, or told, with the reason."""
    found = give(gives, f"{{'m': {item}, 'rest': [1, 'two', {{'three': 3.5}}]}}", before)
    assert found["payload"]["rest"] == [1, "two", {"three": 3.5}]
    entry = found["payload"]["m"]
    if kind is None:
        assert entry["a"] == 1
        entry = entry["self"]
    else:
        assert entry["type"] == kind
    assert entry.keys() >= {"type", "path", "size", "reason"}
    assert reason in entry["reason"]
    assert reason in Path(found["log"]).read_text()
    assert (entry["path"] is not None) == is_kept
    if is_kept:
        pickle.loads(Path(entry["path"]).read_bytes())
    back = last().payload(unpickle=True)
    assert back["rest"] == found["payload"]["rest"]
    assert is_kept or back["m"]["reason"] == entry["reason"]


def test_what_was_kept_as_bytes_is_read_back(gives: Project) -> None:
    """C3: the value is not lost: it is in the bytes."""
    give(gives, "[10**5000, np.longdouble(1.5), own]", ODD)
    number, exact, own = last().payload(unpickle=True)
    assert (number, exact, type(exact)) == (10**5000, 1.5, np.longdouble)
    assert own["self"]["self"] is own["self"]["self"]["self"]


@pytest.mark.parametrize("payload", ["10**5000", "np.longdouble(1.5)", "deep", "own", "lambda: 5"])
def test_such_a_value_may_be_all_of_the_payload_or_come_from_a_tasklet(gives: Project, payload: str) -> None:
    """C3: the same for the payload itself, and for what is made in `lute`'s own process."""
    with (gives.folder / "tasks.py").open("a") as file:
        file.write(f"\n{ODD.replace('import numpy as np', 'import numpy as np; from lute import Executor')}\n")
        file.write(f"Giver = Executor('Give')\nGiver.add_tasklet(lambda: {payload}, when='after', set_result=True)\n")
    gives.config("Give: {payload: \"{'a': 1}\"}")
    found = gives.run_task("Giver")
    assert (found["status"], found["payload"][0]) == ("COMPLETED", {"a": 1})
    entries = json.dumps(found["payload"][1])
    assert '"reason"' in entries
    alone = give(gives, payload, ODD)
    assert '"reason"' in json.dumps(alone["payload"])


def test_keys_that_are_the_same_text_in_json_are_told_apart(gives: Project) -> None:
    """C3: nothing is lost in silence: of several keys with one text each is kept, and that is told."""
    items = "1: 'int', '1': 'text', None: 'none', 'None': 't', True: 'true'"
    found = give(gives, f"[{{'1': 'text', {items.replace('1: ', '2: ', 1)}, 2.0: 'x', '2': 'two'}}, {{{items}}}]")
    first, second = found["payload"]
    assert second == {"1 (int)": "true", "1": "text", "None (NoneType)": "none", "None": "t"}
    assert sorted(first.values()) == sorted(["text", "x", "none", "t", "true", "two"])
    assert first["2"] == "two"
    assert "1 as '1 (int)'" in Path(found["log"]).read_text()


def test_keys_of_other_types_are_texts(gives: Project) -> None:
    """A4: a dict is JSON: its keys are texts; each nan is a key of its own."""
    keys = "{('a', 1): 1, float('nan'): 2, float('nan'): 3, 0.5: 4, False: 5, b'x': 6, datetime.date(2026, 1, 2): 7}"
    found = give(gives, keys)["payload"]
    names = ["('a', 1)", "nan", "nan (float)", "0.5", "False", "b'x'", "2026-01-02"]
    assert found == dict(zip(names, range(1, 8), strict=True))


def test_many_small_arrays_are_a_bounded_number_of_files(gives: Project) -> None:
    """C3: 70,000 arrays are some files, and all come back as they were."""
    found = give(gives, "[np.full(3, n, 'i4') for n in range(70_000)]", "import numpy as np")
    assert len(list(Path(found["log"]).parent.iterdir())) < 110
    assert found["payload"][-1]["shape"] == [3]
    back = last().payload()
    assert len(back) == 70_000
    assert all(array.dtype == np.int32 and array.shape == (3,) and (array == n).all() for n, array in enumerate(back))


@pytest.fixture
def mixture(gives: Project) -> Any:
    """A payload of many values of several kinds, read back."""
    items = "[[np.arange(n), b'x' * n, datetime.date(2026, 1, 1 + n % 28), np.float32(n)] for n in range(100)]"
    give(gives, items, "import numpy as np")
    return last().payload(unpickle=True)


def test_many_values_of_other_kinds_share_an_archive_too(mixture: list[Any]) -> None:
    """C3: arrays, bytes and pickles alike."""
    for number, (array, data, date, scalar) in enumerate(mixture):
        assert array.tolist() == list(range(number))
        assert (data, date.day, scalar) == (b"x" * number, 1 + number % 28, number)


def test_what_an_interpreter_meddled_with_is_told(gives: Project) -> None:
    """C3: an object with a `shape` and a `dtype` that break is kept all the same."""
    gives.write("odd_shape.py", "class Odd:\n  dtype = 5\n  @property\n  def shape(self): raise ValueError('no shape')")
    before = f"sys.path.insert(0, {str(gives.folder)!r})\nimport odd_shape"
    gives.config(f"Give: {json.dumps({'payload': '[1, odd_shape.Odd()]', 'before': before})}")
    found = gives.run_task("Give", env={"PYTHONPATH": str(gives.folder)})
    assert (found["status"], found["payload"][0]) == ("COMPLETED", 1)
    assert found["payload"][1]["type"] == "odd_shape.Odd"
