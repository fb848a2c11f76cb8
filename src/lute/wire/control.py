"""What a Task and its Executor tell each other beside the messages that people send: typed, and JSON on the channel.

    Task -> Executor   Exec, Unprepared, RankFailed, Progress, Metric
    Executor -> Task   Go, Stop

On the channel each is a list: its name, then its fields.
"""

from __future__ import annotations

from typing import Any, Callable, Mapping, NamedTuple, Union


class Exec(NamedTuple):
    """The Task's process becomes a program, so that it has no clean-up of its own any more."""

    argv: list[str]


class Unprepared(NamedTuple):
    """The child could make no Task; `reason` is the error's last line."""

    reason: str


class RankFailed(NamedTuple):
    """An MPI rank that is not the one that speaks has failed."""

    rank: int
    reason: str


class Progress(NamedTuple):
    """How far the Task is; `total` is None if it is not known."""

    done: Union[int, float]
    total: Union[int, float, None] = None
    text: str = ""


class Metric(NamedTuple):
    """A number to be kept; `value` is None if it is not finite."""

    name: str
    value: Union[int, float, None]
    unit: str = ""


class Go(NamedTuple):
    """What runs before the Task has run: it may begin."""


class Stop(NamedTuple):
    """The SIGALRM that comes next asks for the Task's clean-up."""


Control = Union[Exec, Unprepared, RankFailed, Progress, Metric, Go, Stop]
_KINDS: Mapping[str, Callable[..., Control]] = {
    kind.__name__: kind for kind in (Exec, Unprepared, RankFailed, Progress, Metric, Go, Stop)
}


def to_json(message: tuple[Any, ...]) -> list[Any]:
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
