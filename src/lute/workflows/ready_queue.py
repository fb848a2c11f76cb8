"""What is ready to start: the oldest first of those for which there is room, however many wait."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterator
from itertools import count
from typing import Generic, TypeVar

Item = TypeVar("Item")


class ReadyQueue(Generic[Item]):
    """A queue in lines, one for each kind, so that a line that must wait is asked once and not passed item by item.

    Args:
        kind: Returns what an item's room depends on; items of one kind are let in alike.
    """

    def __init__(self, kind: Callable[[Item], Hashable]) -> None:
        self._kind, self._number = kind, count()
        self._lines: dict[Hashable, deque[tuple[int, Item]]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[Item]:
        return (item for line in self._lines.values() for _, item in line)

    def append(self, item: Item) -> None:
        """Puts an item behind all others."""
        self._lines.setdefault(self._kind(item), deque()).append((next(self._number), item))

    def take(self, has_room: Callable[[Item], bool]) -> Item | None:
        """Returns the oldest item that has room, which is then gone; None if none has."""
        open_lines = (kind for kind, line in self._lines.items() if has_room(line[0][1]))
        kind = min(open_lines, key=lambda kind: self._lines[kind][0][0], default=None)
        if kind is None:
            return None
        line = self._lines[kind]
        item = line.popleft()[1]
        if not line:
            del self._lines[kind]
        return item

    def remove(self, unwanted: Callable[[Item], bool]) -> list[Item]:
        """Takes out items. Returns them."""
        found = [item for item in self if unwanted(item)]
        for kind, line in list(self._lines.items()):
            kept = deque(entry for entry in line if not unwanted(entry[1]))
            if kept:
                self._lines[kind] = kept
            else:
                del self._lines[kind]
        return found
