"""Messages through `_report_to_executor`, in a real run."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from typing import Any

from lutebench.bench import Bench, Project
from lutebench.lines import MEGABYTES_PER_S, PER_SECOND, Goal, Line, Stats
from lutebench.rows import TOO_LONG, Missing, row

HALF = Goal("at least", 0.5)
ZMQ, UNIX, SHARED = "ZeroMQ PUSH/PULL, ipc", "Unix socket, length prefix", "shared memory, in, notify, out"
Times = dict[str, float]
"""When a sender began and had sent all, and when the receiver had all, in s."""


def _need(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        raise Missing(f"{module} is not installed: pip install 'lute-executor[bench]'")


def _sender(bench: Bench, kind: str, count: int, size: int = 0) -> Project:
    return bench.project("sender", {"Sender": {"kind": kind, "count": count, "size": size}})


def _send(project: Project) -> Times:
    row = project.run_json("Sending")[1]
    return {**row["payload"], **json.loads((project.folder / "arrived").read_text())}


def _checked(times: Times, expected: int) -> Times:
    """Returns the times, if everything has arrived once."""
    if times["objects"] != expected:
        raise RuntimeError(f"{times['objects']:g} of {expected} messages arrived")
    return times


def _rates(amount: float, rounds: list[Any], until: str = "arrived") -> Stats:
    return Stats.of(amount / (times[until] - times["begun"]) for times in rounds)


def _small(bench: Bench, kind: str, what: str) -> Iterator[Line]:
    _need("zmq")
    count = bench.pick(50_000, 5_000)
    project = _sender(bench, kind, count)
    objects = count if kind == "dict" else 0
    zmq, unix, ours = bench.interleaved(
        9,
        lambda: bench.peer("messages", "zmq", kind, count),
        lambda: bench.peer("messages", "unix", kind, count),
        lambda: _checked(_send(project), objects),
    )
    to_all = f"{what}, until the Executor has all"
    yield Line("all", to_all, ZMQ, PER_SECOND, _rates(count, zmq), _rates(count, ours), HALF)
    yield Line("all_unix", to_all, UNIX, PER_SECOND, _rates(count, unix), _rates(count, ours))
    sent = _rates(count, zmq, "sent"), _rates(count, ours, "sent")
    yield Line("sent", f"{what}, inside the Task", ZMQ, PER_SECOND, *sent)


@row("messages.texts")
def texts(bench: Bench) -> Iterator[Line]:
    """Small texts per second; each has arrived when it is a line of the log."""
    yield from _small(bench, "text", "texts (each a line of the log)")


@row("messages.dicts")
def dicts(bench: Bench) -> Iterator[Line]:
    """Small dicts per second; each is a line of the log with type and size, and goes to a hook."""
    yield from _small(bench, "dict", "dicts (each a line of the log, and a hook)")


def _arrays(bench: Bench, name: str, size: int, count: int, rounds: int = 7) -> Iterator[Line]:
    _need("numpy")
    project = _sender(bench, "array", count, size)
    shared, unix, ours = bench.interleaved(
        rounds,
        lambda: bench.peer("arrays", "shm", size, count),
        lambda: bench.peer("arrays", "unix", size, count),
        lambda: _checked(_send(project), count),
        warm=False,
    )
    amount = size * count / 1e6
    what = f"{name}, until the Executor has an array of its own"
    rates = [_rates(amount, times) for times in (shared, unix, ours)]
    yield Line("shared", what, SHARED, MEGABYTES_PER_S, rates[0], rates[2], HALF)
    yield Line("unix", what, "Unix socket, recv_into", MEGABYTES_PER_S, rates[1], rates[2])


@row("messages.arrays_80kB")
def arrays_of_80_kb(bench: Bench) -> Iterator[Line]:
    """Many arrays of 80 kB."""
    yield from _arrays(bench, "arrays of 80 kB", 80_000, bench.pick(4000, 500))


@row("messages.arrays_100MB")
def arrays_of_100_mb(bench: Bench) -> Iterator[Line]:
    """One array of 100 MB."""
    yield from _arrays(bench, "one array of 100 MB", 100_000_000, 1)


@row("messages.arrays_1GB")
def array_of_1_gb(bench: Bench) -> Iterator[Line]:
    """One array of 1 GB."""
    if bench.short:
        raise Missing(TOO_LONG)
    yield from _arrays(bench, "one array of 1 GB", 1_000_000_000, 1, rounds=3)
