"""Every parameter type: what a model accepts survives `rerun`, `export` and `FromResult`, or is refused (SPEC C5)."""

from __future__ import annotations

import dataclasses
import decimal
import enum
import fractions
import ipaddress
import json
import math
import re
from collections import OrderedDict, deque
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import numpy
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AnyUrl, BaseModel, BeforeValidator, ConfigDict, HttpUrl, TypeAdapter

from lute import TaskParameters, registry
from lute.config.config_file import read_config
from lute.errors import ConfigError
from lute.publish import rerun_yaml
from lute.record.row_codec import from_sql, to_sql
from lute.record.rows import Earlier, exact_parameters, plain, plain_parameters, plain_value_of, value_of
from lute.record.values import encode, kept


class Col(enum.Enum):
    RED = "red"
    PAIR = (1, "a")
    NAN = math.nan


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    A = "a"


class Bits(enum.Flag):
    X = 1
    Y = 2


@dataclass
class Point:
    x: float
    y: float | None = None


@dataclass(frozen=True)
class Line:
    start: Point
    color: Col
    ends: tuple[Point, ...] = ()


@dataclass
class Normed:
    """It has attributes that are no fields."""

    x: float

    def __post_init__(self) -> None:
        self.norm = abs(self.x)


class Shape(BaseModel):
    n: int = 1
    at: Point | None = None


class Round(Shape):
    radius: float = 1.0


class Tree(BaseModel):
    model_config = ConfigDict(extra="allow")
    name: str
    shape: Shape = Shape()
    children: list[Tree] = []


class Pair(NamedTuple):
    a: int
    b: str


class Text(str):
    pass


class Number(int):
    pass


def made(function: Any) -> Any:
    """A type whose validator makes another value of what is given."""
    return Annotated[Any, BeforeValidator(function)]


NUMBERS = st.floats() | st.integers(-(2**200), 2**200)
ATOMS = st.none() | st.booleans() | NUMBERS | st.text(max_size=5) | st.sampled_from(["nan", "{{ x }}", "~", "!exact"])
KEYS = st.text(max_size=4) | st.integers() | st.sampled_from(["~", "~float", "1", "<<"])
YAML = st.recursive(ATOMS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3))
"""What a YAML file can give."""
POINTS = st.fixed_dictionaries({"x": st.floats()}, optional={"y": st.none() | st.floats()})
COLORS = st.just("red")
SHAPES = st.fixed_dictionaries({"n": st.integers()}, optional={"at": POINTS})
TREES = st.recursive(
    st.fixed_dictionaries({"name": st.text(max_size=3)}, optional={"more": YAML}),
    lambda inner: st.fixed_dictionaries(
        {"name": st.just("n"), "shape": SHAPES, "children": st.lists(inner, max_size=2)}
    ),
)
TEXTS = st.text(max_size=6)

TYPES: dict[str, tuple[Any, st.SearchStrategy[Any]]] = {
    "int": (int, st.integers(-(10**30), 10**30)),
    "large int": (made(lambda n: 7**n), st.integers(1, 20_000)),
    "float": (float, st.floats()),
    "nan": (float, st.just(math.nan)),
    "minus zero": (float, st.just(-0.0)),
    "bool": (bool, st.booleans()),
    "str": (str, TEXTS),
    "bytes": (bytes, TEXTS),
    "odd bytes": (made(lambda n: bytes([n, 255, 0])), st.integers(0, 255)),
    "bytearray": (made(lambda text: bytearray(text.encode())), TEXTS),
    "Enum": (Col, COLORS),
    "Enum of tuple": (made(lambda _: Col.PAIR), st.just(1)),
    "Enum of nan": (made(lambda _: Col.NAN), st.just(1)),
    "IntEnum": (Level, st.sampled_from([1, 2])),
    "StrEnum": (Word, st.just("a")),
    "Flag": (made(lambda n: Bits(n)), st.integers(0, 3)),
    "set of Enum": (set[Col], st.lists(COLORS)),
    "dict of Enum": (dict[Col, float], st.dictionaries(COLORS, st.floats())),
    "dict of IntEnum": (dict[Level, Any], st.dictionaries(st.sampled_from([1, 2]), YAML)),
    "dict of int": (dict[int, str], st.dictionaries(st.integers(), TEXTS)),
    "dict of tuple": (made(lambda items: {(item, 1.5): item for item in items}), st.lists(TEXTS, max_size=3)),
    "dict of mixed keys": (made(lambda _: {None: 1, True: 2, 1.5: 3, "1.5": 4, b"a": 5}), st.just(1)),
    "dataclass": (Point, POINTS),
    "nested dataclass": (
        Line,
        st.fixed_dictionaries({"start": POINTS, "color": COLORS, "ends": st.lists(POINTS, max_size=2)}),
    ),
    "dataclass with more": (Normed, st.fixed_dictionaries({"x": st.floats()})),
    "dict of dataclass": (dict[str, Point], st.dictionaries(TEXTS, POINTS, max_size=3)),
    "model": (Shape, SHAPES),
    "nested model": (Tree, TREES),
    "subclass of a model": (made(lambda n: Round(n=n, radius=math.inf)), st.integers()),
    "list of model": (list[Shape], st.lists(SHAPES, max_size=3)),
    "tuple": (tuple[int, str], st.tuples(st.integers(), TEXTS).map(list)),
    "tuple of tuples": (tuple[tuple[float, ...], ...], st.lists(st.lists(st.floats(), max_size=2), max_size=2)),
    "named tuple": (Pair, st.tuples(st.integers(), TEXTS).map(list)),
    "set": (set[int], st.lists(st.integers(), max_size=3)),
    "frozenset of str": (frozenset[str], st.lists(TEXTS, max_size=3)),
    "deque": (deque[float], st.lists(st.floats(), max_size=3)),
    "OrderedDict": (OrderedDict[str, int], st.dictionaries(TEXTS, st.integers(), max_size=3)),
    "range": (made(range), st.integers(0, 10)),
    "Optional": (Point | None, st.none() | POINTS),
    "Path": (Path, TEXTS.filter(lambda text: "\0" not in text)),
    "str | Path": (str | Path, TEXTS),
    "str | Path as Path": (made(lambda text: Path(text)), TEXTS.filter(lambda text: "\0" not in text)),
    "list of Path": (list[Path], st.lists(st.sampled_from(["a", "b/c", ""]))),
    "int | str": (int | str, st.integers() | TEXTS),
    "Literal": (Literal["a", 1, True], st.sampled_from(["a", 1])),
    "datetime": (datetime, st.datetimes().map(str) | st.integers(0, 10**9)),
    "datetime with zone": (datetime, st.datetimes(min_value=datetime(1990, 1, 1), timezones=st.timezones()).map(str)),
    "date": (date, st.dates().map(str)),
    "time": (time, st.times().map(str)),
    "timedelta": (timedelta, st.floats(-1e9, 1e9)),
    "Decimal": (decimal.Decimal, st.decimals(allow_nan=False, allow_infinity=False).map(str)),
    "UUID": (UUID, st.uuids().map(str)),
    "complex": (made(lambda pair: complex(*pair)), st.tuples(st.floats(), st.floats()).map(list)),
    "Fraction": (fractions.Fraction, st.fractions().map(str)),
    "IP address": (ipaddress.IPv4Address, st.ip_addresses(v=4).map(str)),
    "URL": (HttpUrl, st.sampled_from(["https://a.org/b?c=d", "http://a"])),
    "any URL": (AnyUrl, st.just("ftp://a/b")),
    "Pattern": (re.Pattern[str], st.sampled_from(["a+", "(?i)b"])),
    "subclass of str": (made(lambda text: Text(text)), TEXTS),
    "subclass of int": (made(lambda number: Number(number)), st.integers()),
    "array": (made(lambda items: numpy.array(items, float)), st.lists(st.floats(), max_size=3)),
    "number of numpy": (made(lambda item: numpy.float32(item)), st.floats(width=32)),
    "Any": (Any, YAML),
    "Any with all of it": (made(lambda item: (item, {Path("p")}, {Col.RED: [Point(1.0)]}, Shape())), YAML),
    "list of Any": (list[Any], st.lists(YAML, max_size=3)),
    "deep nesting": (made(lambda depth: nested(depth)), st.integers(1, 90)),
}
"""A parameter's type, and what a YAML file gives for it."""


def nested(depth: int) -> Any:
    value: Any = Path("x")
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal and of one type at every depth; nan is equal to nan, 0.0 is not to -0.0."""
    if type(one) is not type(other):
        both = isinstance(one, datetime | time) and isinstance(other, datetime | time)
        return both and one == other
    if isinstance(one, int):
        return one == other
    if isinstance(one, dict):
        return list(map(repr, one)) == list(map(repr, other)) and all(
            same(*pair) for pair in zip(one.values(), other.values(), strict=True)
        )
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(same(*pair) for pair in zip(one, other, strict=True))
    if isinstance(one, BaseModel):
        return same(dict(one), dict(other)) and same(one.model_extra, other.model_extra)
    if dataclasses.is_dataclass(one):
        return same(vars(one), vars(other))
    if isinstance(one, datetime | time):
        return one == other
    return repr(one) == repr(other) if not isinstance(one, set | frozenset) else one == other


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A model with one parameter `value` of a type, by the type's name, which `registry` knows."""
    before = dict(registry.models)
    found: dict[str, Any] = {}

    def model(name: str, kind: Any) -> Any:
        if name not in found:
            spelt = "".join(word.title() for word in re.findall("[a-z]+", name.lower())) + "X"
            body = {"__annotations__": {"value": kind}, "__module__": __name__}
            found[name] = type(TaskParameters)(f"{spelt}Parameters", (TaskParameters,), body)
        return found[name]

    yield model
    registry.models.clear()
    registry.models.update(before)


def validated(text: str, place: Path, task: str, earlier: Any = None) -> Any:
    """What `lute` makes of a YAML text."""
    place.write_text(text, encoding="utf-8")
    params, problems = read_config(place).parameters(task, lambda *asked: earlier)
    if problems:
        raise ConfigError(problems)
    return params


def row_of(params: Any, task: str) -> Any:
    """The row of a run with these parameters, as the database gives it back."""
    parameters = {"parameters": plain_parameters(params), "given": kept(params._lute_given)}
    columns = {**parameters, "exact": exact_parameters(params)}
    back = {name: to_sql(name, value) for name, value in columns.items()}
    row = from_sql(list(back), tuple(back.values()), back)
    about = {"id": "0123456789ab", "task": task, "started": "", "log": "", "code": [], "owner": {"plugins": []}}
    return {**about, **row, "payload": None, "outputs": None}


@pytest.mark.parametrize("name", TYPES)
@settings(deadline=None, max_examples=25)
@given(data=st.data())
def test_what_is_accepted_survives(name: str, models: Any, tmp_path_factory: Any, data: st.DataObject) -> None:
    kind, strategy = TYPES[name]
    model = models(name, kind)
    task = model.__name__.removesuffix("Parameters")
    given_value = data.draw(strategy)
    place = tmp_path_factory.getbasetemp() / "values.yaml"
    header = f"work_dir: {place.parent}\nexperiment: e\nrun: 1\n"
    ran = validated(f"{header}---\n{task}:\n  value: !exact '{json_of(given_value)}'\n", place, task)
    row = row_of(ran, task)
    row["log"] = str(place.parent / "lute.runs" / "2026-01-01" / row["id"] / "log")

    again = validated(rerun_yaml.as_yaml(row), place, task)
    assert same(ran.value, again.value)
    assert row_of(again, task)["given"] == row["given"]

    taken = Earlier(value_of(row, "value"), row["id"], plain_value_of(row, "value"))
    assert same(ran.value, taken.value)
    if not hasattr(kind, "__metadata__"):  # no validator of its own makes another value of it
        assert same(TypeAdapter(kind).validate_python(taken.value), ran.value)
    json.dumps([plain(ran.value)], allow_nan=False)


def json_of(value: Any) -> str:
    return json.dumps(encode(value)).replace("'", "''")
