"""What travelled as a pickle: its bytes, which are loaded when, where and if somebody says so.

To load a pickle runs what its writer put into it, for any time and with any end. A Task's own process loads its
parameters at once; its Executor loads nothing while it watches a run (`lute.execution.loading` says when).
"""

from __future__ import annotations

import functools
import mmap
import pickle
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Union

from lute.wire.results import ElogSummaryPlots, TaskResult

Memory = Union[bytearray, mmap.mmap]
Buffer = Union[bytes, bytearray, memoryview, mmap.mmap]

ATOMS = frozenset((type(None), bool, int, float, str))
"""The types that hold no other values and are JSON's own."""
HOLDERS: set[type] = {TaskResult, ElogSummaryPlots}
"""The types of ours that hold values; each that can be sent adds itself."""


@dataclass(eq=False)
class Unloadable:
    """A value that this side cannot load: its bytes are kept, with the reason.

    Attributes:
        type_name: The value's type where it was made.
        data: Its pickle; empty if it could not be pickled.
        reason: Why it could not be loaded, or pickled.
        text: Its `repr`, if it could not be pickled; not all of a long one.
    """

    type_name: str
    data: bytes
    reason: str
    text: str = ""

    def __str__(self) -> str:
        return f"<{self.type_name}>"


@dataclass(eq=False)
class Pickled:
    """A value that came as a pickle and was not loaded yet.

    Attributes:
        type_name: The value's type where it was made.
        data: Its pickle.
        outside: The buffers that the pickle does not hold itself.
        reason: Why a value of a plain type was pickled; empty for those of other types.
        table: Its columns, if it is a table.
    """

    type_name: str
    data: Buffer
    outside: list[Buffer] = field(default_factory=list)
    reason: str = ""
    table: Any = None

    def __str__(self) -> str:
        return f"<{self.type_name}>"

    def load(self) -> Any:
        """Returns the value, or an `Unloadable` if that fails: a `sys.exit()` in it must not end us.

        Raises:
            CallTimeout: The time that the caller has set is over.
        """
        try:
            return pickle.loads(self.data, buffers=self.outside)
        except BaseException as error:
            from lute.base.time_limits import CallTimeout  # few fail

            if isinstance(error, CallTimeout):
                raise
            return self.unloadable(f"{type(error).__name__}: {error}")

    def unloadable(self, reason: str) -> Unloadable:
        """Returns what stands for the value where it is not loaded."""
        return Unloadable(self.type_name, self.whole(), reason)

    def whole(self) -> bytes:
        """Returns one pickle of the value that needs nothing beside it; nothing of it is loaded for that."""
        if not self.outside:
            return bytes(self.data)
        return pickle.dumps(_Joined(bytes(self.data), [bytearray(piece) for piece in self.outside]), protocol=5)


class _Joined:
    """Is pickled as a pickle and its buffers, and loaded as what they make."""

    def __init__(self, data: bytes, outside: list[bytearray]) -> None:
        self._data, self._outside = data, outside

    def __reduce__(self) -> Any:
        return functools.partial(pickle.loads, buffers=self._outside), (self._data,)


def replaced(value: Any, replace: Callable[[Pickled], Any]) -> Any:
    """Returns a value that came, with something else in place of each `Pickled` in it.

    Containers with one are made anew; what is of `HOLDERS` is changed where it is.
    """
    kind = type(value)
    if kind is Pickled:
        return replace(value)
    if kind in (list, tuple, set, frozenset):
        return value if _has_atoms_only(value) else kind([replaced(item, replace) for item in value])
    if kind is dict:
        if _has_atoms_only(value) and _has_atoms_only(value.values()):
            return value
        return {replaced(key, replace): replaced(item, replace) for key, item in value.items()}
    if kind in HOLDERS:
        value.__dict__.update({name: replaced(item, replace) for name, item in vars(value).items()})
    return value


def _has_atoms_only(items: Iterable[Any]) -> bool:
    return ATOMS.issuperset(map(type, items))


def pickled_in(value: Any) -> list[Pickled]:
    """Returns each `Pickled` in a value that came, once."""
    found: dict[int, Pickled] = {}
    replaced(value, lambda one: found.setdefault(id(one), one))
    return list(found.values())


def loaded(value: Any) -> Any:
    """Returns a value that came, with each `Pickled` in it loaded here and now."""
    return replaced(value, Pickled.load)
