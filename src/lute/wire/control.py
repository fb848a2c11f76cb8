"""What a Task and its Executor tell each other beside the messages that people send: typed, and JSON on the channel.

    Task -> Executor   Exec, Unprepared, Raised, RankFailed, Progress, Metric
    Executor -> Task   Go, Stop

On the channel each is a list: its name, then its fields.
"""

from __future__ import annotations

from typing import Any, Callable, Iterator, List, Mapping, Sequence, Tuple, Union


class Fields:
    """A few values, by the names and in the order of `_fields`; it cannot be told from an equal one.

    To define a named tuple instead takes ten times as long, at every start of `lute`.
    """

    _fields: Tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, name) for name in self._fields)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self._fields)})"


class Exec(Fields):
    """The Task's process becomes a program, so that it has no clean-up of its own any more.

    `ours` are the parts of the log, as first byte and the one behind the last, that tell of the program: none of them
    was printed by it.
    """

    _fields = ("argv", "ours")

    def __init__(self, argv: List[str], ours: Sequence[Sequence[int]] = ()) -> None:
        self.argv, self.ours = argv, ours


class Unprepared(Fields):
    """The child could make no Task; `reason` is the error's last line."""

    _fields = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


class Raised(Fields):
    """An exception ends the Task; `place` is where it came from in the project's own files, such as `peaks.py:19`."""

    _fields = ("place",)

    def __init__(self, place: str) -> None:
        self.place = place


class RankFailed(Fields):
    """An MPI rank that is not the one that speaks has failed."""

    _fields = ("rank", "reason")

    def __init__(self, rank: int, reason: str) -> None:
        self.rank, self.reason = rank, reason


class Progress(Fields):
    """How far the Task is; `total` is None if it is not known."""

    _fields = ("done", "total", "text")

    def __init__(self, done: float, total: Union[float, None] = None, text: str = "") -> None:
        self.done, self.total, self.text = done, total, text


class Metric(Fields):
    """A number to be kept; None stands for nan."""

    _fields = ("name", "value", "unit")

    def __init__(self, name: str, value: Union[float, None], unit: str = "") -> None:
        self.name, self.value, self.unit = name, value, unit


class Go(Fields):
    """What runs before the Task has run: it may begin."""

    _fields = ()


class Stop(Fields):
    """The SIGALRM that comes next asks for the Task's clean-up."""

    _fields = ()


Control = Union[Exec, Unprepared, Raised, RankFailed, Progress, Metric, Go, Stop]
_KINDS: Mapping[str, Callable[..., Control]] = {
    kind.__name__: kind for kind in (Exec, Unprepared, Raised, RankFailed, Progress, Metric, Go, Stop)
}


def to_json(message: Fields) -> list[Any]:
    """Returns a message as it is sent.

    >>> to_json(Progress(3, 10))
    ['Progress', 3, 10, '']
    """
    return [type(message).__name__, *message]


def from_json(contents: Any) -> Control:
    """Returns the message that was sent.

    Raises:
        ValueError: It is none: the other side is of another version, or not `lute`.

    >>> from_json(["Progress", 3, 10, ""])
    Progress(done=3, total=10, text='')
    """
    try:
        name, *fields = contents
        made: Control = _KINDS[name](*fields)
    except (TypeError, ValueError, KeyError):
        raise ValueError(f"not a control message: {repr(contents)[:200]}") from None
    return made
