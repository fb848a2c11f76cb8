"""Whether what a run recorded of its outputs, payload and pages is still so, and whether another run gave the same."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lute.execution.outputs import differs
from lute.record.rows import kept_files

if TYPE_CHECKING:
    from lute.record.types import OutputEntry, RunRow

LARGEST_TEXT = 1 << 26
"""A larger file is compared byte by byte only."""
_WORDS = re.compile(r"[^\s,;:=()\[\]{}\"']+|[,;:=()\[\]{}\"']")


class Check(NamedTuple):
    """What became of one thing that a run recorded.

    Attributes:
        id: The run's id.
        what: `output`, `payload` or `page`.
        name: The parameter; empty for what has none.
        path: Where it is.
        problem: How it is not as it was; None if it is.
    """

    id: str
    what: str
    name: str
    path: str
    problem: str | None


def checks_of(row: RunRow) -> Iterator[Check]:
    """Looks at each output, each kept value of the payload and each page of a run."""
    for entry in row["outputs"] or []:
        problem = differs(entry)
        if problem and "replaced_by" in entry:
            problem = f"run {entry['replaced_by']} wrote it since"
        yield Check(row["id"], "output", entry["parameter"], entry["path"], problem)
    for kept in kept_files(row["payload"]):
        if kept["path"] is not None:
            yield Check(row["id"], "payload", "", kept["path"], _size_differs(kept["path"], kept["size"]))
    for page in row["plots"] or []:
        yield Check(row["id"], "page", "", page, None if os.path.isfile(page) else "it is gone")


def _size_differs(path: str, size: int | None) -> str | None:
    try:
        now = os.stat(path).st_size
    except OSError:
        return "it is gone"
    return None if now == size else f"it has {now} bytes, not {size}"


# ----------------------------------------------------------------------------------------- two runs

EQUAL, WITHIN, DIFFERS = "equal", "within", "differs"


class Verdict(NamedTuple):
    """How one thing of a run compares with that of the run that repeated it.

    Attributes:
        what: `metric NAME`, `payload` or `output PARAMETER: FILE`.
        verdict: `equal`, `within` (numbers, within the tolerance) or `differs`.
        text: How, for people; empty if they are equal.
    """

    what: str
    verdict: str
    text: str = ""


def verdicts(before: RunRow, again: RunRow, rtol: float) -> list[Verdict]:
    """Returns how a run's metrics, payload and outputs compare with those of the run that repeated it.

    Args:
        before: The run.
        again: The other.
        rtol: Numbers are the same if they differ by no more than this, relative to the larger.
    """
    found = []
    mine, theirs = before["metrics"] or {}, again["metrics"] or {}
    for name in dict.fromkeys([*mine, *theirs]):
        a, b = (metrics[name]["value"] if name in metrics else "(none)" for metrics in (mine, theirs))
        found.append(_of_values(f"metric {name}", a, b, rtol))
    found.append(_of_payloads(before, again, rtol))
    return [*found, *_of_outputs(before, again, rtol)]


def _of_values(what: str, a: Any, b: Any, rtol: float) -> Verdict:
    how = _same(a, b, rtol)
    return Verdict(what, how, "" if how == EQUAL else f"{_short(a)} and {_short(b)}")


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _same(a: Any, b: Any, rtol: float) -> str:
    """Returns whether two values of JSON's types are equal, within a tolerance, or differ."""
    if isinstance(a, bool) or isinstance(b, bool) or not (_is_number(a) and _is_number(b)):
        if isinstance(a, dict) and isinstance(b, dict) and a.keys() == b.keys():
            return _worst(_same(a[key], b[key], rtol) for key in a)
        if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
            return _worst(_same(x, y, rtol) for x, y in zip(a, b, strict=True))
        return EQUAL if a == b else DIFFERS
    if a == b or (math.isnan(a) and math.isnan(b)):
        return EQUAL
    return WITHIN if math.isclose(a, b, rel_tol=rtol, abs_tol=0.0) else DIFFERS


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float))


def _worst(several: Iterator[str]) -> str:
    found = set(several)
    return DIFFERS if DIFFERS in found else WITHIN if WITHIN in found else EQUAL


def _of_payloads(before: RunRow, again: RunRow, rtol: float) -> Verdict:
    a, b = (_without_own_paths(row["payload"], row) for row in (before, again))
    verdict = _of_values("payload", a, b, rtol)
    if verdict.verdict == DIFFERS:
        return verdict
    files = [[kept["path"] for kept in kept_files(row["payload"])] for row in (before, again)]
    how = _worst(_same_file(x or "", y or "", rtol) for x, y in zip(*files, strict=False))
    return verdict if how == EQUAL else Verdict("payload", how, "the values kept in files are not the same")


def _without_own_paths(value: Any, row: RunRow) -> Any:
    """Returns a payload without where it lies: of what a run wrote, by its name in the run's own folder."""
    if isinstance(value, str):
        own = os.path.dirname(row["log"])
        outputs = {entry["path"]: entry["parameter"] for entry in row["outputs"] or []}
        name = outputs.get(os.path.join((row["owner"] or {}).get("cwd") or "", value))
        return f"(output {name})" if name else value.replace(own, "RUN")
    if isinstance(value, list):
        return [_without_own_paths(item, row) for item in value]
    if isinstance(value, dict):
        return {key: _without_own_paths(item, row) for key, item in value.items()}
    return value


def _of_outputs(before: RunRow, again: RunRow, rtol: float) -> Iterator[Verdict]:
    mine, theirs = (_outputs_by_name(row) for row in (before, again))
    for name in dict.fromkeys([*mine, *theirs]):
        what = f"output {name}"
        if name not in mine or name not in theirs:
            yield Verdict(what, DIFFERS, f"only run {(before if name in mine else again)['id']} wrote it")
            continue
        problem = differs(mine[name])
        if problem:
            yield Verdict(
                what, DIFFERS, f"it cannot be compared, since it is not what run {before['id']} wrote: {problem}"
            )
            continue
        how = _same_path(mine[name]["path"], theirs[name]["path"], rtol)
        yield Verdict(what, how, "" if how == EQUAL else f"{mine[name]['path']} and {theirs[name]['path']}")


def _outputs_by_name(row: RunRow) -> dict[str, OutputEntry]:
    found: dict[str, OutputEntry] = {}
    for entry in row["outputs"] or []:
        if entry.get("count") == 0 and "pattern" in entry:
            continue
        name = entry["parameter"]
        found[f"{name}: {os.path.basename(entry['path'])}" if "pattern" in entry else name] = entry
    return found


def _same_path(a: str, b: str, rtol: float) -> str:
    if not os.path.isdir(a):
        return _same_file(a, b, rtol)
    names = [sorted(str(p.relative_to(x)) for p in Path(x).rglob("*") if p.is_file()) for x in (a, b)]
    if names[0] != names[1]:
        return DIFFERS
    return _worst(_same_file(os.path.join(a, name), os.path.join(b, name), rtol) for name in names[0])


def _same_file(a: str, b: str, rtol: float) -> str:
    try:
        texts = [Path(path).read_bytes() for path in (a, b)]
    except OSError:
        return DIFFERS
    if texts[0] == texts[1]:
        return EQUAL
    if max(len(text) for text in texts) > LARGEST_TEXT:
        return DIFFERS
    try:
        words = [_WORDS.findall(text.decode("utf-8")) for text in texts]
    except UnicodeDecodeError:
        return DIFFERS
    if len(words[0]) != len(words[1]):
        return DIFFERS
    return _worst(_same(_number(x), _number(y), rtol) for x, y in zip(*words, strict=True))


def _number(word: str) -> float | str:
    try:
        return float(word)
    except ValueError:
        return word
