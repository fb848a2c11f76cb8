"""What is asked of the record -> SQL with bound values. Names of columns come from a closed list."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, TypedDict

from lute.errors import UsageError, did_you_mean
from lute.record.database import JSON_KINDS, Database
from lute.record.schema import COLUMNS, JSON

if TYPE_CHECKING:
    from lute.record.types import Scalar

OPERATORS = ("=", "!=", "<=", ">=", "<", ">")
_CONDITION = r"(?s)\s*(?P<name>[^=!<>]+?)\s*(?P<operator>!=|<=|>=|==?|<|>)(?!\s*[=!<>])\s*(?P<value>.*?)\s*"
_NO_LIMIT = 2**62
_MOST_BRANCHES = 100
"""A database takes only so many parts in one statement; beyond that a page is sorted."""
_LARGEST_INTEGER = 2**63 - 1

Clause = tuple[str, list[Any]]
"""SQL with `?`, and the values for them."""


class Condition(NamedTuple):
    """A comparison of a parameter: `Task.name` or `name`, nested as `a.b[0]`, one of `OPERATORS`, and a value."""

    name: str
    operator: str
    value: Any


class Wanted(TypedDict, total=False):
    """Which runs are asked for; what is not given, or None, does not matter.

    Attributes:
        tasks: Names of Tasks or managed Tasks; any of them.
        task: Name of the Task.
        managed_task: Name of the managed Task.
        statuses: Any of these.
        experiment: The experiment.
        run: The acquisition run.
        workflow: The workflow.
        fingerprint: The fingerprint.
        valid: Whether the result may be used by others.
        since: Started at this time or later: a datetime, ISO 8601 (without a zone in this machine's), or `2h` ago.
        until: Started before this time.
        text: In summary or reason, in any case.
        where: Parameters and their values, or comparisons as `"Task.name >= 3"` or `Condition`.
    """

    tasks: Sequence[str] | None
    task: str | None
    managed_task: str | None
    statuses: Sequence[str] | None
    experiment: str | None
    run: str | int | None
    workflow: str | None
    fingerprint: str | None
    valid: bool | None
    since: str | datetime | None
    until: str | datetime | None
    text: str | None
    where: Mapping[str, Scalar] | Iterable[str | Condition] | None


class Page(NamedTuple):
    """Which of the runs, in which order, and what of them.

    Attributes:
        columns: What is read of each; all if empty.
        sort: The column to sort by.
        descending: Whether the largest comes first.
        limit: At most so many; None for all.
        offset: So many are left out first; slow if it is large, unlike `before`.
        before: Only runs that started before this one: its `started` and `id`, the last of the page before.
    """

    columns: Sequence[str] = ()
    sort: str = "started"
    descending: bool = True
    limit: int | None = None
    offset: int = 0
    before: tuple[str, str] | None = None


def read_condition(text: str) -> Condition:
    """Returns the comparison in a text; its value is read as in a YAML file, so that quotes make text of a number.

    Raises:
        UsageError: It is none.

    >>> read_condition("FindPeak.threshold >= 1e-3")
    Condition(name='FindPeak.threshold', operator='>=', value=0.001)
    """
    found = re.fullmatch(_CONDITION, text)
    if found is None:
        raise UsageError(
            f"{text!r} is no comparison: write Task.name=value, or with {' '.join(OPERATORS[1:])};"
            " a text that begins with one of these needs quotes"
        )
    from lute.base.formatting import read_scalar  # most questions have no condition

    value = found["value"]
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    operator = "=" if found["operator"] == "==" else found["operator"]
    return Condition(found["name"], operator, value[1:-1] if quoted else read_scalar(value))


def conditions(where: Mapping[str, Scalar] | Iterable[str | Condition] | None) -> list[Condition]:
    """Returns comparisons, however they were given.

    Raises:
        UsageError: One of them cannot be made.
    """
    if isinstance(where, Mapping):
        found = [Condition(name, "=", value) for name, value in where.items()]
    else:
        found = [read_condition(item) if isinstance(item, str) else Condition(*item) for item in where or ()]
    return [_checked(condition) for condition in found]


def _checked(condition: Condition) -> Condition:
    name, operator, value = condition
    if operator not in OPERATORS:
        raise UsageError(f"{name}: there is no comparison {operator!r}: use one of {' '.join(OPERATORS)}")
    if type(value) not in JSON_KINDS:
        raise UsageError(f"{name}: {value!r} cannot be compared with: give a number, a text, true, false or null")
    if value is None and operator not in ("=", "!="):
        raise UsageError(f"{name}: nothing is smaller or larger than null")
    if isinstance(value, int) and abs(value) > _LARGEST_INTEGER:
        value = float(value)
    return Condition(name, operator, value)


def check(page: Page) -> None:
    """Checks what is asked for.

    Raises:
        UsageError: There is no such column, and it names the nearest; or `before` cannot go with the order.
    """
    if page.before is not None and (page.sort != "started" or not page.descending):
        raise UsageError("`before` goes on from a page that is sorted by `started`, newest first, and no other")
    sortable = [name for name, kind in COLUMNS.items() if kind != JSON]
    for names, known, why in ((page.columns, list(COLUMNS), ""), ([page.sort], sortable, " to sort by")):
        for name in names:
            if name not in known:
                raise UsageError(f"a run has no column {name!r}{why}.{did_you_mean(name, known)}")


_AGO = re.compile(r"(\d{1,6})\s*([smhdw])(?: ago)?")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _ago(text: str) -> datetime | None:
    found = _AGO.fullmatch(text.strip())
    return datetime.now(UTC) - timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else None


def utc_text(moment: str | datetime) -> str:
    """Returns a time as the record has it.

    Args:
        moment: ISO 8601, without a zone in this machine's; or how long ago: `30m`, `2h`, `3d`, `1w`.

    Raises:
        UsageError: It is neither.
    """
    moment = (_ago(moment) or moment) if isinstance(moment, str) else moment
    try:
        when = (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise UsageError(
            f"{moment!r} is no time: write it as 2026-11-23, 2026-11-23T14:30, or 2h for two hours ago"
        ) from error
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def branches(
    wanted: Wanted, before: tuple[str, str] | None, database: Database, locate: Callable[[Condition], Clause]
) -> list[Clause]:
    """Returns what a run must fulfil, one of several alternatives: each can go along one index.

    Args:
        wanted: What is asked for.
        before: As in `Page`.
        database: The database.
        locate: Returns the clause of a comparison.
    """
    several = [_either(wanted)] if wanted.get("tasks") else []
    if statuses := wanted.get("statuses"):
        several.append([("status = ?", [status]) for status in dict.fromkeys(statuses)])
    common = [*_equalities(wanted), *_times(wanted, before)]
    if text := wanted.get("text"):
        pattern = "%" + re.sub("([!%_])", r"!\1", text) + "%"
        like = database.like
        common.append((f"(summary {like} ? ESCAPE '!' OR reason {like} ? ESCAPE '!')", [pattern, pattern]))
    common += [locate(condition) for condition in conditions(wanted.get("where"))]
    if math.prod(len(choices) for choices in several) > _MOST_BRANCHES:
        common, several = [*common, *(_any_of(choices) for choices in several)], []
    return [_all_of([*common, *choice]) for choice in itertools.product(*several)]


def _either(wanted: Wanted) -> list[Clause]:
    names = dict.fromkeys(wanted.get("tasks") or ())
    return [(f"{column} = ?", [name]) for name in names for column in ("task", "managed_task")]


def _equalities(wanted: Wanted) -> list[Clause]:
    texts = {
        name: wanted.get(name) for name in ("task", "managed_task", "experiment", "run", "workflow", "fingerprint")
    }
    found: list[Clause] = [(f"{name} = ?", [str(value)]) for name, value in texts.items() if value is not None]
    valid = wanted.get("valid")
    return found if valid is None else [*found, ("valid = ?", [int(valid)])]


def _times(wanted: Wanted, before: tuple[str, str] | None) -> list[Clause]:
    found: list[Clause] = [("(started, id) < (?, ?)", list(before))] if before else []
    for name, operator in (("since", ">="), ("until", "<")):
        moment: Any = wanted.get(name)
        if moment is not None:
            found.append((f"started {operator} ?", [utc_text(moment)]))
    return found


def _any_of(clauses: Sequence[Clause]) -> Clause:
    return f"({' OR '.join(sql for sql, _ in clauses)})", [value for _, values in clauses for value in values]


def _all_of(clauses: Sequence[Clause]) -> Clause:
    return " AND ".join(sql for sql, _ in clauses) or "1 = 1", [value for _, values in clauses for value in values]


def select(page: Page, there: Sequence[str], found: Sequence[Clause]) -> tuple[list[str], Clause]:
    """Returns the columns of the rows, and the query for one page of them.

    Args:
        page: Which page; its columns were checked.
        there: The columns that this database has; others are read as null.
        found: The alternatives.
    """
    names = list(dict.fromkeys([*(page.columns or COLUMNS), page.sort, "id"]))
    columns = ", ".join(name if name in there else f"NULL AS {name}" for name in names)
    order = _order(page)
    limit = _NO_LIMIT if page.limit is None else max(page.limit, 0)
    end = f"{order} LIMIT ? OFFSET ?", [limit, page.offset]
    if len(found) == 1:
        [(clause, values)] = found
        return names, (f"SELECT {columns} FROM lute_runs WHERE {clause}{end[0]}", [*values, *end[1]])
    parts, values = [], []
    for number, (clause, bound) in enumerate(found):
        query = f"SELECT {columns} FROM lute_runs WHERE {clause}{order} LIMIT ?"
        parts.append(f"SELECT * FROM ({query}) AS part{number}")
        values += [*bound, limit + page.offset]
    return names, (f"{' UNION '.join(parts)}{end[0]}", [*values, *end[1]])


def _order(page: Page) -> str:
    way = "DESC" if page.descending else "ASC"
    nulls = "" if page.sort in ("started", "id") else " NULLS LAST"
    then = "" if page.sort == "id" else f", id {way}"
    return f" ORDER BY {page.sort} {way}{nulls}{then}"


def count(found: Sequence[Clause], at_most: int | None) -> Clause:
    """Returns the query that counts runs, and stops at `at_most`."""
    limit = _NO_LIMIT if at_most is None else at_most
    parts = [
        f"SELECT * FROM (SELECT id FROM lute_runs WHERE {clause} LIMIT ?) AS part{number}"
        for number, (clause, _) in enumerate(found)
    ]
    values = [value for _, bound in found for value in [*bound, limit]]
    return f"SELECT count(*) FROM ({' UNION '.join(parts)} LIMIT ?) AS found", [*values, limit]
