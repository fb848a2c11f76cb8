"""The queue of what is ready to start."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from lute.workflows.ready_queue import ReadyQueue


@settings(derandomize=True, database=None, deadline=None, max_examples=100)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9))), st.lists(st.sets(st.sampled_from("abc"))))
def test_the_oldest_that_has_room_is_first(items: list[tuple[str, int]], rooms: list[set[str]]) -> None:
    """B3: as one list that is looked through from its start."""
    ready: ReadyQueue[tuple[str, int]] = ReadyQueue(lambda item: item[0])
    for item in items:
        ready.append(item)
    left = list(items)
    for room in rooms:
        expected = next((item for item in left if item[0] in room), None)
        assert ready.take(lambda item: item[0] in room) == expected  # noqa: B023
        if expected is not None:
            left.remove(expected)
        assert bool(ready) == bool(left)
    odd = ready.remove(lambda item: item[1] % 2 == 1)
    assert sorted(odd) == sorted(item for item in left if item[1] % 2 == 1)
    assert sorted(ready) == sorted(item for item in left if item[1] % 2 == 0)
