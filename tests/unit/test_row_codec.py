"""What a run gave <-> JSON: all that Python's floats can be, and no text or dict taken for one of them."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from lute.record.row_codec import given_as_json, given_from_json
from lute.record.rows import printable

KEYS = st.text(max_size=5) | st.sampled_from(["~", "~float", "~dict", "nan"])
ATOMS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just("nan")
VALUES = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4))


@settings(deadline=None)
@given(VALUES)
@example({"~float": "nan"})
@example({"~dict": {"~float": float("inf")}})
@example([float("nan"), "nan", {"a": {"~": float("-inf")}}])
def test_what_is_written_is_read(value: Any) -> None:
    """C5: each value comes back with its type; what is written is JSON that every database reads."""
    text = given_as_json(value)
    json.loads(text, parse_constant=lambda name: 1 / 0)
    assert repr(given_from_json(text)) == repr(value)
    json.dumps(printable(value), allow_nan=False)
