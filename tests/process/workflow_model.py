"""Random workflows, and a simple model of them: how each step ends, and after how many attempts."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from lute import Rule

FEW = 100
"""Up to so many steps hypothesis draws each choice itself, and makes a failing example smaller by each."""


@dataclass(frozen=True)
class Fate:
    """What a step is and what becomes of each attempt: its exit codes, of which the last one stays."""

    needs: tuple[int, ...] = ()
    rule: Rule = Rule.ALL_SUCCEEDED
    when: bool | None = None
    items: int | None = None
    retries: int = 0
    retried: tuple[str | int, ...] = ()
    codes: tuple[int, ...] = (0,)
    cores: int = 1


class Fates(list[Fate]):
    """A random workflow; many steps are shown by how they are made.

    Args:
        dice: Where chance comes from.
        count: How many steps; each needs only some of the twelve before it.
        real: Whether real programs are to do this, killed at any moment: a step that fails has one way to fail, and
            one that comes right in the end does so however often it is begun anew.
        seed: The seed, if there is one.
    """

    def __init__(self, dice: random.Random, count: int, real: bool, seed: int | None = None) -> None:
        super().__init__(_random_fate(dice, number, real) for number in range(count))
        self._shown = super().__repr__() if seed is None else f"large({count}, {seed}, real={real})"

    def __repr__(self) -> str:
        return self._shown


def large(count: int, seed: int, real: bool = False) -> Fates:
    """Returns a random workflow of so many steps."""
    return Fates(random.Random(seed), count, real, seed)


def _random_fate(dice: random.Random, number: int, real: bool) -> Fate:
    near = range(max(0, number - 12), number)
    retries = dice.randint(0, 2)
    codes = tuple(dice.choice([0, 0, 0, 1, 75, 124]) for _ in range(dice.randint(1, 3)))
    retried = dice.choice([(), (), ("TIMEDOUT",), (75,), ("FAILED", 3)])
    if real:
        retried = ()
        codes = dice.choice([(0,), (0,), (0,), (dice.choice([1, 75]),), (1,) * retries + (0,)])
    return Fate(
        tuple(sorted(dice.sample(near, min(len(near), dice.randint(0, 4))))),
        dice.choice(list(Rule)),
        dice.choice([*[None] * 4, True, False]),
        dice.choice([*[None] * 4, 0, 1, 3]),
        retries,
        retried,
        codes,
        dice.randint(1, 3),
    )


@st.composite
def fates(draw: Any, most: int = 12, real: bool = False) -> Fates:
    """A random workflow of at most so many steps; of more than `FEW` only the seed is drawn, and nearly that many."""
    if most > FEW:
        return large(draw(st.integers(most * 9 // 10, most)), draw(st.integers(0, 2**32)), real)
    return Fates(draw(st.randoms()), draw(st.integers(1, most)), real)


def code_of(fate: Fate, item: int, attempt: int) -> int:
    """The exit code of an attempt: every item but the first goes well at once."""
    return fate.codes[min(attempt, len(fate.codes)) - 1] if item == 0 else 0


def status_of(code: int) -> str:
    return {0: "COMPLETED", 124: "TIMEDOUT"}.get(code, "FAILED")


def tried(fate: Fate, item: int) -> tuple[str, int]:
    """How an instance ends, and after how many attempts."""
    for attempt in range(1, fate.retries + 2):
        code = code_of(fate, item, attempt)
        worth = (status_of(code) in fate.retried or code in fate.retried) if fate.retried else True
        if code == 0 or not worth:
            break
    return status_of(code), attempt


def ran(fate: Fate) -> tuple[str, list[int]]:
    """How a step ends whose turn has come, and the attempts of each of its instances."""
    if fate.when is False or fate.items == 0:
        return "SKIPPED", []
    ends = [tried(fate, item) for item in range(fate.items or 1)]
    states = {state for state, _ in ends}
    state = "FAILED" if "FAILED" in states else "TIMEDOUT" if "TIMEDOUT" in states else "COMPLETED"
    return state, [attempts for _, attempts in ends]


def model(steps: list[Fate]) -> tuple[list[str], list[list[int]]]:
    """The state of each step and its attempts, by the rules as a person would write them down."""
    states: list[str] = []
    attempts: list[list[int]] = []
    for fate in steps:
        before = [states[need] for need in fate.needs]
        failed = [state for state in before if state in ("FAILED", "TIMEDOUT", "BLOCKED")]
        turn = {
            Rule.ALL_SUCCEEDED: all(state == "COMPLETED" for state in before),
            Rule.ANY_SUCCEEDED: not before or "COMPLETED" in before,
            Rule.ANY_FAILED: bool(failed),
            Rule.ALL_DONE: True,
            Rule.ALWAYS: True,
        }[fate.rule]
        if turn:
            state, tries = ran(fate)
        else:
            state, tries = "BLOCKED" if failed and fate.rule is not Rule.ANY_FAILED else "SKIPPED", []
        states.append(state)
        attempts.append(tries)
    return states, attempts


def instances(steps: list[Fate]) -> dict[str, tuple[str, int]]:
    """How each instance ends, and after how many attempts, by its name: `s3`, or `s3[0]` of a step with `foreach`."""
    found = {}
    for number, (state, attempts) in enumerate(zip(*model(steps), strict=True)):
        if not attempts:
            found[f"s{number}"] = (state, 0)
        for item in range(len(attempts)):
            name = f"s{number}" if steps[number].items is None else f"s{number}[{item}]"
            found[name] = tried(steps[number], item)
    return found


def attempted(steps: list[Fate]) -> dict[str, int]:
    """The attempts of each instance that runs at all, by its name."""
    return {name: count for name, (_, count) in instances(steps).items() if count}


def number_of(instance: str) -> tuple[int, int]:
    """The step and the item of an instance's name."""
    step, _, item = instance.removesuffix("]").partition("[")
    return int(step[1:]), int(item or 0)


def may_start(fate: Fate, ended: Mapping[int, str]) -> bool:
    """Whether a step's rule is true, by the states of the steps that have ended."""
    done = [ended[need] for need in fate.needs if need in ended]
    if fate.rule is Rule.ANY_SUCCEEDED:
        return not fate.needs or "COMPLETED" in done
    if fate.rule is Rule.ANY_FAILED:
        return any(state in ("FAILED", "TIMEDOUT", "BLOCKED", "CANCELLED") for state in done)
    return len(done) == len(fate.needs)


def check_order(steps: list[Fate], states: list[str], events: list[tuple[str, str]]) -> None:
    """Each step starts only when its rule is true.

    Args:
        steps: The workflow.
        states: How its steps end.
        events: ("start" or "end", instance) in the order in which that was.
    """
    left: dict[int, set[str]] = {}
    for what, name in events:
        if what == "end":
            left.setdefault(number_of(name)[0], set()).add(name)
    ended = {number: state for number, state in enumerate(states) if number not in left}
    last = {name: place for place, (what, name) in enumerate(events) if what == "end"}
    for place, (what, name) in enumerate(events):
        number = number_of(name)[0]
        if what == "start":
            assert may_start(steps[number], ended), f"{name} started too early"
        elif last[name] == place:
            left[number].discard(name)
            if not left[number]:
                ended[number] = states[number]
