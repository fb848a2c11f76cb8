"""`lute.Table`: columns of one length."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

import lute
from lute.wire.tables import Table, as_table


def test_columns_have_one_length() -> None:
    """C5: unequal lengths raise `ValueError`, which says them."""
    with pytest.raises(ValueError, match=r"one length, and these are of \{'a': 2, 'b': 3\}"):
        lute.Table({"a": [1, 2], "b": [1, 2, 3]})
    assert len(lute.Table({})) == 0
    assert len(lute.Table({"a": []})) == 0


@pytest.mark.parametrize("column", ["text", b"bytes", {"a": 1}])
def test_a_text_is_no_column(column: Any) -> None:
    """C5: what has a length and is no list is a mistake."""
    with pytest.raises(ValueError, match="expected a list"):
        lute.Table({"a": column})


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (range(3), [0, 1, 2]),
        ((n for n in range(2)), [0, 1]),
        ([np.int64(1), np.float32(0.5), None], [1, 0.5, None]),
        ([[1, 2], {"a": 1}], ["[1, 2]", "{'a': 1}"]),
        (np.array([[1, 2], [3, 4]]), ["[1 2]", "[3 4]"]),
        (pd.Series(["a", None]), ["a", None]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
    ],
)
def test_what_a_column_may_be(values: Any, wanted: list[Any]) -> None:
    """C5: anything that can be gone through; cells of other types are texts."""
    assert list(lute.Table({"a": values}).columns["a"]) == wanted


def test_names_are_texts_and_differ() -> None:
    """C5: no column is lost for its name."""
    assert list(lute.Table({1: [0], "1": [1], None: [2]}).columns) == ["1", "1 (2)", "None"]
    frame = pd.DataFrame([[1, 2]], columns=["a", "a"])
    found = as_table(frame)
    assert found is not None
    assert list(found.columns) == ["a", "a (2)"]


@pytest.mark.parametrize("value", [None, 5, {"a": [1]}, np.zeros((2, 2)), np.zeros(2, [("a", "f8", 2)]), object()])
def test_what_is_no_table(value: Any) -> None:
    """C5: a dict is a table only as a `Table`; an array whose fields are arrays is kept as it is."""
    assert as_table(value) is None


def test_an_index_that_says_something_is_a_column() -> None:
    """C5: of pandas, with all its levels."""
    index = pd.MultiIndex.from_tuples([("x", 1), ("y", 2)], names=["k", None])
    found = as_table(pd.DataFrame({("a", "b"): [1.0, 2.0]}, index=index))
    assert isinstance(found, Table)
    assert [name.split("/")[0] for name in found.columns] == ["k", "level_1", "a"]
