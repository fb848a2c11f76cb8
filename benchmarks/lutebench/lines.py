"""What a measurement says: numbers with their spread, a goal, a line of the table. Pure data."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

Measured = TypeVar("Measured")
SECONDS, MEBIBYTES, MEGABYTES_PER_S, PER_SECOND, COUNT = "s", "MiB", "MB/s", "/s", ""


@dataclass(frozen=True)
class Stats:
    """The values of one thing that was measured several times."""

    values: tuple[float, ...]

    @classmethod
    def of(cls, values: Iterable[float]) -> Stats:
        """Returns the statistics of some values, at least one."""
        return cls(tuple(float(value) for value in values))

    @property
    def quartiles(self) -> tuple[float, float, float]:
        """First quartile, median and third quartile."""
        if len(self.values) == 1:
            return (self.values[0],) * 3
        first, middle, third = statistics.quantiles(self.values, n=4, method="inclusive")
        return first, middle, third

    @property
    def median(self) -> float:
        """The middle value."""
        return self.quartiles[1]

    def as_json(self) -> dict[str, Any]:
        """Returns median, quartiles, number and the values themselves."""
        first, middle, third = self.quartiles
        return {"median": middle, "q1": first, "q3": third, "n": len(self.values), "values": list(self.values)}


@dataclass(frozen=True)
class Goal:
    """What the numbers should be. Always against the floor of the same run.

    Attributes:
        kind: `at most` or `at least` a multiple of the floor, or `floor plus` some seconds.
        limit: The multiple, or the seconds.
        remark: What the limit stands for.
    """

    kind: str
    limit: float
    remark: str = ""

    def __str__(self) -> str:
        text = {"at most": "<= {:g} x", "at least": ">= {:g} x", "floor plus": "<= floor + {:g} s"}[self.kind]
        return text.format(self.limit) + (f" ({self.remark})" if self.remark else "")

    def is_reached(self, floor: Stats, ours: Stats, ratio: Stats) -> bool:
        """Returns whether the medians reach it."""
        if self.kind == "floor plus":
            return ours.median <= floor.median + self.limit
        return ratio.median <= self.limit if self.kind == "at most" else ratio.median >= self.limit


@dataclass(frozen=True)
class Series:
    """How a cost grows: the cost at several sizes.

    Attributes:
        size: What grows, with its unit.
        points: Size and the costs measured there, in the line's unit.
    """

    size: str
    points: tuple[tuple[float, Stats], ...]

    @property
    def slope(self) -> float:
        """The slope of log(cost) over log(size): 0 does not grow, 1 grows in proportion."""
        xs = [math.log(size) for size, _ in self.points]
        ys = [math.log(costs.median) for _, costs in self.points]
        return statistics.linear_regression(xs, ys).slope

    def as_json(self) -> dict[str, Any]:
        """Returns the points, and the slope of the logarithms."""
        points = [{"size": size, **costs.as_json()} for size, costs in self.points]
        return {"size": self.size, "log_log_slope": self.slope, "points": points}


@dataclass
class Line:
    """One line of the table.

    Attributes:
        key: Its name within its row; `ROW.KEY` is unique.
        what: What was measured, and what that includes.
        floor_name: What it is held against.
        unit: Of floor and ours.
        floor: What that needs; None if it was not measured.
        ours: What `lute` needs; None if it was not measured.
        goal: What the ratio should be; None if the line only informs.
        reason: Why something was not measured.
        series: How the cost grows, where that was measured.
        details: Anything else that is worth keeping.
    """

    key: str
    what: str
    floor_name: str
    unit: str
    floor: Stats | None = None
    ours: Stats | None = None
    goal: Goal | None = None
    reason: str = ""
    series: Series | None = None
    details: dict[str, Any] = field(default_factory=dict)

    @property
    def ratio(self) -> Stats | None:
        """Ours over floor, pair by pair."""
        if self.floor is None or self.ours is None:
            return None
        return Stats.of(a / b for a, b in zip(self.ours.values, self.floor.values, strict=True))

    @property
    def reached(self) -> bool | None:
        """Whether the goal is reached; None if there is none, or nothing to tell it from."""
        if self.goal is None or self.floor is None or self.ours is None or self.ratio is None:
            return None
        return self.goal.is_reached(self.floor, self.ours, self.ratio)

    def as_json(self) -> dict[str, Any]:
        """Returns the line as the results file has it, except for the row's name."""
        numbers = {"floor": self.floor, "ours": self.ours, "ratio": self.ratio, "growth": self.series}
        return {
            "what": self.what,
            "unit": self.unit,
            "floor_name": self.floor_name,
            **{name: stats.as_json() if stats else None for name, stats in numbers.items()},
            "goal": str(self.goal) if self.goal else None,
            "goal_kind": self.goal.kind if self.goal else None,
            "goal_limit": self.goal.limit if self.goal else None,
            "reached": self.reached,
            "reason": self.reason,
            "details": self.details,
        }


def both(
    floor: Iterable[Measured], ours: Iterable[Measured], value: Callable[[Measured], float]
) -> tuple[Stats, Stats]:
    """Returns the statistics of a value of what was measured, of floor and ours."""
    return Stats.of(map(value, floor)), Stats.of(map(value, ours))
