"""What must hold for any input: substitution, YAML, arguments, frames."""

from __future__ import annotations

import json
import math
import os
import string
import warnings
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from pydantic.fields import FieldInfo

from lute import ConfigError, Flag, KeyValue, Positional, TaskParameters
from lute.base.formatting import read_scalar
from lute.base.paths import join_path, split_path
from lute.config.config_file import Overrides, read_config
from lute.config.raw_numbers import as_written, with_texts
from lute.config.substitution import Substituter, literally, names_in
from lute.config.yaml_reader import read_documents
from lute.errors import Problem, ProtocolError, SubstitutionError
from lute.graph.dag import Step
from lute.io.config import parse_config
from lute.models.fields import spelling_of
from lute.tasks.program import arguments
from lute.wire.encoding import Unloadable
from lute.wire.framing import (
    CONTROL,
    HEAD,
    MAGIC,
    MAX_BODY,
    MAX_BUFFER,
    NOTHING,
    SIGNALS,
    TEXT,
    VALUE,
    Decoder,
    Frame,
    encode,
)
from lute.workflows.results import Results, Scope

FUZZ = int(os.environ.get("LUTE_FUZZ", "0"))
"""With `LUTE_FUZZ=N` each target gets N random examples instead of the same few each time."""
pytestmark = pytest.mark.timeout(0 if FUZZ else 120)


def tries(examples: int) -> settings:
    """How many examples a target gets."""
    return settings(
        max_examples=FUZZ or examples,
        derandomize=not FUZZ,
        print_blob=bool(FUZZ),
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


quick = tries(120)

NAMES = st.text(string.ascii_lowercase, min_size=1, max_size=3)
TEXTS = st.text(max_size=12)
FLOATS = st.floats(allow_nan=False)
SCALARS = st.none() | st.booleans() | st.integers() | FLOATS | TEXTS
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


def same(one: Any, two: Any) -> bool:
    """Equality that tells True from 1 and -0.0 from 0.0, and takes NaN for itself."""
    if isinstance(one, np.ndarray) or isinstance(two, np.ndarray):
        return (
            type(one) is type(two)
            and (one.shape, one.dtype) == (two.shape, two.dtype)
            and one.tobytes() == two.tobytes()
        )
    if type(one) is not type(two):
        return False
    if isinstance(one, float):
        return repr(one) == repr(two)
    if isinstance(one, (list, tuple)):
        return len(one) == len(two) and all(map(same, one, two))
    if isinstance(one, dict):
        return same(list(one), list(two)) and same(list(one.values()), list(two.values()))
    return bool(one == two)


# ------------------------------------------------------------------------------------- substitution


def without_braces(value: Any) -> bool:
    return "{{" not in repr(value)


@quick
@given(PLAIN.filter(without_braces), NAMES)
def test_one_substitution_keeps_any_value(value: Any, name: str) -> None:
    """A5: a value that is one substitution is the value that it names, of the same type."""
    substituter = Substituter([{name: value}, {}], {})
    assert same(substituter.value(f"{{{{ {name} }}}}"), value)
    assert same(substituter.value(value), value)


@quick
@given(st.lists(NAMES, min_size=1, max_size=6, unique=True), PLAIN.filter(without_braces), st.randoms())
def test_chains_give_their_end_in_any_order(names: list[str], end: Any, chance: Any) -> None:
    """A5: a substitution may use another one, in any order and in either document."""
    values = {name: f"{{{{ {after} }}}}" for name, after in pairwise(names)} | {names[-1]: end}
    shuffled = list(values)
    chance.shuffle(shuffled)
    cut = chance.randint(0, len(shuffled))
    documents = [{name: values[name] for name in part} for part in (shuffled[:cut], shuffled[cut:])]
    assert same(Substituter(documents, {}).value([f"{{{{ {names[0]} }}}}"]), [end])


def leaves(value: Any, at: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """Every value within a value, with the keys that lead to it."""
    found = [(at, value)]
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        found += leaves(item, (*at, str(key)))
    return found


@quick
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_a_path_is_read_as_it_was_written(parts: list[str]) -> None:
    """A5: keys of any text are written as a path and come back from it."""
    assert split_path(join_path(parts)) == parts
    assert [split_path(name) for name in names_in(f"a {{{{ {join_path(parts)} }}}} b")] == [parts]


@quick
@given(st.dictionaries(TEXTS, PLAIN, min_size=1, max_size=3))
def test_every_part_of_what_is_given_is_reached_and_taken_as_it_is(values: dict[str, Any]) -> None:
    """A5: whatever the keys, each part is found by its path; what is in it is not substituted."""
    substituter = Substituter([], {}, given=values)
    for path, value in leaves(values)[1:]:
        assert same(substituter.value(f"{{{{ {join_path(path)} }}}}"), value)


@quick
@given(PLAIN)
def test_any_value_can_be_written_so_that_it_comes_out_as_it_is(value: Any) -> None:
    """A5: with its braces escaped, a value is what substitution makes of it."""
    assert same(Substituter([], {}).value(literally(value)), value)


class AnyParameters(TaskParameters):
    """Takes anything."""

    value: Any = None


@quick
@given(PLAIN)
@example([float("nan"), float("inf"), -float("inf"), -0.0])
@example({"\x85\u2028\ufeff": "\x7f\ufffe😀"})
def test_a_result_arrives_as_it_is(value: Any) -> None:
    """B3: what a step gave becomes a later step's parameter as it is: any text, number, list or mapping."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "config.yaml"
        path.write_text(f"experiment: e\nrun: 1\nwork_dir: {folder}\n---\n{{}}\n")
        scope = Scope(Results({"a": {"result": value}}.__getitem__, lambda: ["a"]), [])
        [(name, text)] = scope.settings(Step("Any", parameters={"value": "{{ steps.a.result }}"}))
        config = read_config(path, Overrides(settings=((f"Any.{name}", text),)))
        parameters, problems = config.parameters("Any", lambda *asked: None)
        assert not problems
        assert same(parameters.value, value)


EXPRESSIONS = st.one_of(
    TEXTS,
    NAMES.map(lambda name: f"{{{{ {name} }}}}"),
    NAMES.map(lambda name: f"x{{{{ ${name}:04d }}}}"),
    st.text(alphabet="{}$|:. ab\"'()[]0123default\n", max_size=20),
    TEXTS.map(lambda text: f"{{{{{text}}}}}"),
    st.tuples(NAMES, TEXTS).map(lambda pair: f'{{{{ {pair[0]} | default("{pair[1]}") }}}}'),
)
TREES = st.recursive(
    EXPRESSIONS | st.integers(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


@tries(200)
@given(st.dictionaries(NAMES, TREES, max_size=4), TREES, st.dictionaries(NAMES, TEXTS, max_size=2))
@example({}, "{{²}}", {})
@example({"a": [1]}, "{{ a[²] }}", {})
@example({"a": [1]}, "{{ a." + "9" * 5000 + " }}", {})
def test_substitution_gives_a_value_or_its_own_error(
    document: dict[str, Any], raw: Any, environ: dict[str, str]
) -> None:
    """A5: cycles, missing names and nonsense between braces are errors that can be told, never a crash."""
    substituter = Substituter([document, {}], environ, read_scalar)
    with suppress(SubstitutionError):
        assert type(substituter.value([raw])) is list


@quick
@given(st.lists(NAMES, min_size=1, max_size=5, unique=True))
def test_every_cycle_is_shown(names: list[str]) -> None:
    """A5: a cycle of any length is an error that shows everyone in it."""
    document = {name: [f"{{{{ {after} }}}}"] for name, after in zip(names, [*names[1:], names[0]], strict=True)}
    with pytest.raises(SubstitutionError) as caught:
        Substituter([document, {}], {}).value(f"{{{{ {names[0]} }}}}")
    assert all(name in str(caught.value) for name in names)


@quick
@given(st.text("{} a", max_size=16).filter(lambda text: "{{" in text), TEXTS)
@example("a {{ b", "x")
@example("{{ a }} {{", "x")
@example("{{{ a }}", "x")
def test_braces_are_never_kept_in_silence(text: str, value: str) -> None:
    """A5: `{{` is a substitution or an error; it does not come through as text unless a value holds it."""
    with suppress(SubstitutionError):
        assert "{{" not in Substituter([{"a": value.replace("{", "")}, {}], {}).value(text)


NUMBERS = st.one_of(
    st.from_regex(r"[-+]?(0|[1-9][0-9]{0,5})(\.[0-9]{0,4})?([eE][-+]?[0-9]{1,2})?", fullmatch=True),
    st.from_regex(r"0x[0-9a-fA-F]{1,6}|0o[0-7]{1,6}|[-+]?\.[0-9]{1,4}|[-+]?\.(inf|Inf|INF)", fullmatch=True),
)
WAYS = ["{{ own }}", "{{ chain }}", "{{ list[1] }}", "{{ merged.a }}", "{{ alias.a }}", "{{ over.a }}"]


@quick
@given(NUMBERS, NUMBERS)
@example("1.10", "1e1")
@example("-0", "0")
def test_a_number_is_written_as_the_file_does(text: str, other: str) -> None:
    """A5: within text a number is what was written, by whatever way it comes; alone it keeps its type."""
    yaml = f"""
own: {text}
chain: '{{{{ next }}}}'
next: '{{{{ own }}}}'
list: [{other}, {text}]
base: &base {{a: {text}, b: {other}}}
merged: {{<<: *base, b: 1}}
alias: '{{{{ merged }}}}'
over: {{<<: [*base, {{a: {other}}}]}}
"""
    (document,) = read_documents(yaml, "f.yaml")
    substituter = Substituter([with_texts(document.value, document.texts)], {})
    for way in WAYS:
        assert substituter.value(f"v{way}/") == f"v{text}/"
        found = substituter.value(way)
        assert same(as_written(found), read_scalar(text))
        assert as_written([found], list[str]) == [text]


# ------------------------------------------------------------------------------------- YAML

YAML_LIKE = st.lists(
    st.sampled_from(
        [
            *(
                "a",
                "b",
                ": ",
                ":",
                "- ",
                "\n",
                "\n  ",
                "---\n",
                "...\n",
                "%YAML 1.3\n",
                "{",
                "}",
                "[",
                "]",
                ", ",
            ),
            *(
                "'",
                '"',
                "&x ",
                "*x",
                "<<: ",
                "!!str ",
                "!!int ",
                "!foo ",
                "| ",
                ">-\n",
                "# ",
                "? ",
                "\t",
                "12",
            ),
            *("1e-3", "0o9", "~", "!!python/name:os.system ", "!!binary ", "!!set ", "!!timestamp "),
            *("%TAG ! x\n", "\x85", "\u2028", "\ufeff", "é"),
        ]
    ),
    max_size=14,
).map("".join)


@tries(250)
@given(st.one_of(st.text(max_size=40), YAML_LIKE))
@example("\x00")
@example("a: " + "[" * 3000)
@example("a: " + "- " * 3000)
@example("a: " + "9" * 5000)
@example("a: \ud800")
@example("&a [*a]")
@example("? {a: 1}\n: 2")
@example("<<: 1")
@example("<<: [1, {a: 1}]")
@example("!!float abc")
@example("!!int abc")
@example("!!bool abc")
def test_any_text_is_documents_or_a_config_error(text: str) -> None:
    """A5: a text is read or is an error with file, line and column: `read_documents` raises nothing else."""
    try:
        problems = []
        assert isinstance(read_documents(text, "f.yaml"), list)
    except ConfigError as error:
        problems = error.problems or ["an error without a problem"]
    assert [problem for problem in problems if problem.file != "f.yaml" or not problem.message] == []


class FuzzedParameters(TaskParameters):
    """Takes anything, and texts and numbers."""

    a: Any = None
    b: str | list[str] | None = None
    x: dict[str, str] | float = 0.0


PARTS = st.sampled_from(["a: ", "b: ", "x: ", "'{{ a }}'", "v{{ b }}", "{{", "\n  ", "{", "}", "1.10"]) | YAML_LIKE


@tries(200)
@given(header=YAML_LIKE, task=st.lists(PARTS, max_size=6).map("".join))
@example(header="", task="<<: *x")
@example(header="", task="{<<: {b: 1.10}}")
@example(header="", task="{a: {'{{ b }}': 1}, b: [1]}")
@example(header="", task="{b: 1, 1: 2, '': 3, true: 4}")
def test_any_file_is_parameters_or_problems(header: str, task: str, tmp_path: Path) -> None:
    """A5: whatever a file holds, what is told are parameters, or problems with their file."""
    path = tmp_path / "config.yaml"
    path.write_text(f"work_dir: {tmp_path}\n{header}\n---\nFuzzed: {task}\n", encoding="utf-8", errors="replace")
    problems = [Problem(str(path), None, None, "none")]
    try:
        assert parse_config("Fuzzed", path)
    except ConfigError as error:
        problems = error.problems
    assert problems
    assert [problem for problem in problems if problem.file != str(path) or not problem.message] == []


KEYS = st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | FLOATS.filter(math.isfinite) | KEYS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=8,
)


@quick
@given(JSON)
def test_json_is_read_as_it_is(value: Any) -> None:
    """A5: JSON is YAML 1.2: any value that is written as JSON is read back, quoted text as text."""
    (document,) = read_documents(json.dumps(value) + "\n", "f.yaml")
    assert same(document.value, value)


@quick
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8))
def test_a_quoted_scalar_is_text(text: str) -> None:
    """A5: whatever stands between quotes is text."""
    (document,) = read_documents(f"'{text.replace(chr(39), chr(39) * 2)}'", "f.yaml")
    assert same(document.value, text)


@quick
@given(st.integers(min_value=0), st.sampled_from(["", "-", "+"]), st.sampled_from(["", ".5", "e3", "_0", ":30"]))
def test_a_leading_zero_makes_text(number: int, sign: str, end: str) -> None:
    """A5: a number with a leading zero is text."""
    text = f"{sign}0{number}{end}"
    assert read_scalar(text) == text
    assert read_documents(f"a: {text}", "f.yaml")[0].value == {"a": text}


# ------------------------------------------------------------------------------------- arguments

GIVEN = st.one_of(
    SCALARS,
    st.floats(),
    st.binary(max_size=4),
    st.builds(Path, st.text(string.ascii_letters + " ", max_size=5)),
    st.frozensets(st.integers() | TEXTS | st.none() | st.tuples(st.integers()), max_size=3),
    PLAIN,
)
OLDER = st.fixed_dictionaries(
    {},
    optional={
        "flag_type": st.sampled_from(["-", "--", ""]),
        "rename_param": TEXTS.filter(bool),
        "is_result": st.booleans(),
    },
)
TYPED = st.one_of(
    st.builds(
        Flag,
        TEXTS,
        sep=st.none() | TEXTS,
        negated=st.none() | TEXTS,
        join=st.none() | TEXTS,
        repeat=st.booleans(),
    ),
    st.builds(Positional, join=st.none() | TEXTS),
    st.builds(KeyValue, st.none() | TEXTS, sep=TEXTS, join=st.none() | TEXTS),
).map(lambda metadata: spelling_of(FieldInfo.from_annotation(Annotated[Any, metadata])))


def built(fields: list[tuple[str, Any, dict[str, Any]]], short_eq: bool = False, long_eq: bool = False) -> list[str]:
    """Returns the arguments, without the note that older models get."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return arguments(fields, short_eq=short_eq, long_eq=long_eq)


@tries(200)
@given(st.lists(st.tuples(NAMES, GIVEN, OLDER | TYPED), max_size=4), st.booleans(), st.booleans())
def test_arguments_are_always_texts(
    fields: list[tuple[str, Any, dict[str, Any]]], short_eq: bool, long_eq: bool
) -> None:
    """A3: the builder never raises; an argv is a list of texts, and that of each parameter in order."""
    found = built(fields, short_eq, long_eq)
    assert all(type(argument) is str for argument in found)
    assert found == [argument for field in fields for argument in built([field], short_eq, long_eq)]


VALUES_ALONE = st.one_of(st.integers(), st.floats(), st.text(min_size=1), st.builds(Path, st.just("a b")))


@quick
@given(VALUES_ALONE, st.sampled_from(["=", ":", ""]))
def test_one_typed_value_is_one_argument(value: Any, sep: str) -> None:
    """A3: in the typed spelling a value is one argument, whatever is in it."""
    text = str(value)
    for metadata, wanted in (
        (Positional(), [text]),
        (Flag("--x"), ["--x", text]),
        (Flag("--x", sep=sep), [f"--x{sep}{text}"]),
        (Flag("--x", negated="--no-x", join=",", repeat=True), ["--x", text]),
        (KeyValue(), [f"name={text}"]),
        (KeyValue("key", sep=sep), [f"key{sep}{text}"]),
    ):
        spelling = spelling_of(FieldInfo.from_annotation(Annotated[Any, metadata]))
        assert built([("name", value, spelling)], short_eq=True, long_eq=True) == wanted


@quick
@given(st.text(string.whitespace + "ab", max_size=8))
def test_older_texts_are_split_at_spaces_only_where_there_is_one(text: str) -> None:
    """A3: a string with a space becomes several arguments; a tab or newline alone does not split."""
    wanted = text.split() if " " in text else [text] if text else []
    assert built([("p_arg1", text, {"flag_type": ""})]) == wanted


# ------------------------------------------------------------------------------------- frames

WIRE_TEXTS = st.text(st.characters(), max_size=12)
KEYS_OF_DICTS = st.one_of(
    WIRE_TEXTS,
    st.integers(),
    st.none(),
    st.booleans(),
    FLOATS,
    st.binary(max_size=3),
    st.tuples(st.integers(), WIRE_TEXTS),
)
ARRAYS = np_st.arrays(
    dtype=st.one_of(
        np_st.integer_dtypes(endianness="?"),
        np_st.floating_dtypes(endianness="?", sizes=(16, 32, 64)),
        np_st.complex_number_dtypes(endianness="?", sizes=(64, 128)),
        np_st.boolean_dtypes(),
        np_st.unicode_string_dtypes(max_len=3),
        np_st.byte_string_dtypes(max_len=3),
        np_st.datetime64_dtypes(max_period="D", min_period="s", endianness="="),
        np_st.array_dtypes(np_st.integer_dtypes() | np_st.floating_dtypes(), max_size=3),
    ),
    shape=np_st.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
)
WIRE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), WIRE_TEXTS, st.binary(max_size=9), ARRAYS),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(KEYS_OF_DICTS, inner, max_size=3)
    ),
    max_leaves=8,
)


def in_pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    """Cuts bytes at some places, perhaps into empty pieces."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    return [data[start:end] for start, end in zip([0, *places], [*places, len(data)], strict=True)]


def sent(*frames: list[Any], cuts: list[int] = []) -> list[Any]:  # noqa: B006
    """Returns what arrives of some frames that are sent in pieces."""
    data = b"".join(bytes(piece) for frame in frames for piece in frame)
    decoder, found = Decoder(), []
    for piece in in_pieces(data, cuts):
        decoder.feed(piece)
        found += decoder.frames()
    assert decoder.between_frames
    return found


CUTS = st.lists(st.integers(0, 10_000), max_size=6)


@tries(200)
@given(WIRE, CUTS, st.sampled_from([None, *SIGNALS]))
def test_values_arrive_as_they_were(value: Any, cuts: list[int], signal: str | None) -> None:
    """A2: a value of plain types and arrays arrives whole, of the same types, however it was cut."""
    (frame,) = sent(encode(VALUE, signal, value), cuts=cuts)
    assert (frame.kind, frame.signal) == (VALUE, signal)
    assert same(frame.contents, value), (frame.contents, value)


@quick
@given(st.lists(WIRE_TEXTS | st.none(), max_size=5), CUTS)
@example(["\ud800", "a\udcffb", None, "", "\x00 結晶"], [17, 18, 20])
def test_texts_arrive_once_in_order(texts: list[str | None], cuts: list[int]) -> None:
    """A2: messages arrive once, whole, in the order sent, lone surrogates and all."""
    frames = [
        encode(NOTHING if text is None else TEXT, "TASK_LOG", text, flags=number) for number, text in enumerate(texts)
    ]
    found = sent(*frames, cuts=cuts)
    assert [frame.contents for frame in found] == texts
    assert [frame.flags for frame in found] == list(range(len(texts)))


@pytest.mark.parametrize(
    "value",
    [
        *(
            "\ud800",
            "a\udcffb",
            {"\ud800": "\udfff"},
            "\x00",
            "",
            b"",
            b"\x00\xff",
            float("nan"),
            -0.0,
            float("-inf"),
            10**400,
        ),
        *(
            [],
            (),
            {},
            [()],
            ([],),
            {"": {}},
            {1: "int", "1": "text"},
            {True: 1},
            {None: None},
            {(1, (2, "a")): [1]},
        ),
        *(
            np.array(1.5),
            np.zeros((0, 3)),
            np.arange(12.0).reshape(3, 4).T,
            np.arange(10)[::-2],
            np.arange(3, dtype=">i4"),
        ),
        *(
            np.array(["a", "bcd"]),
            np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8")]),
            np.asfortranarray(np.eye(3)),
        ),
        *(
            np.array([np.nan, np.inf]),
            np.array(["2024-01-01"], dtype="datetime64[D]"),
            [np.eye(2), {"a": np.eye(2)}],
        ),
    ],
    ids=lambda value: repr(value)[:30].replace("\n", " ").encode("ascii", "backslashreplace").decode(),
)
def test_odd_values_arrive(value: Any) -> None:
    """A2: odd values arrive as they were, byte by byte too."""
    pieces = encode(VALUE, "TASK_RESULT", value)
    length = sum(memoryview(piece).nbytes for piece in pieces)
    (frame,) = sent(pieces, cuts=list(range(length)))
    assert same(frame.contents, value), frame.contents


@pytest.mark.parametrize(
    "value", [{1, 2}, frozenset("ab"), 1 + 2j, Path("/a b"), range(3), np.array([{}, None]), Ellipsis]
)
def test_other_values_arrive_too(value: Any) -> None:
    """A2: what is not plain arrives as well, beside plain values."""
    (frame,) = sent(encode(VALUE, None, {"other": value, "plain": [1]}))
    assert frame.contents["plain"] == [1]
    assert type(frame.contents["other"]) is type(value)
    assert np.array_equal(frame.contents["other"], value)


@pytest.mark.parametrize("depth", [100, 900, 5000])
def test_deep_values_arrive_or_are_told(depth: int) -> None:
    """A2: a value nested very deep arrives whole, or it is told why it could not; its neighbours arrive."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    (frame,) = sent(encode(VALUE, None, {"deep": value, "beside": "kept"}))
    if isinstance(frame.contents, Unloadable):
        assert depth > 500
        assert "recursion" in frame.contents.reason
        return
    found, levels = frame.contents["deep"], 0
    while isinstance(found, list) and found:
        found, levels = found[0], levels + 1
    assert levels == depth or (depth > 500 and "recursion" in found.reason), found


def test_a_list_that_holds_itself_arrives() -> None:
    """A2: what cannot be written as JSON arrives by other means."""
    value: list[Any] = [1]
    value.append(value)
    (frame,) = sent(encode(VALUE, None, value))
    assert frame.contents[0] == 1
    assert frame.contents[1][1][0] == 1


SMALL_HEADS = st.builds(
    lambda number, kind, buffers, flags, body, sizes, rest: (
        HEAD.pack(MAGIC, number, kind, buffers, flags, body)
        + b"".join(size.to_bytes(8, "big") for size in sizes[:buffers])
        + rest
    ),
    st.integers(0, 12),
    st.integers(0, 6),
    st.integers(0, 4),
    st.integers(0, 0xFFFF),
    st.integers(0, 40) | st.integers(MAX_BODY + 1, 2**64 - 1),
    st.lists(st.integers(0, 40) | st.integers(MAX_BUFFER + 1, 2**64 - 1), min_size=4, max_size=4),
    st.binary(max_size=200),
)


@tries(250)
@given(st.one_of(st.binary(max_size=60), SMALL_HEADS, st.lists(SMALL_HEADS, max_size=3).map(b"".join)), CUTS)
@example(HEAD.pack(MAGIC, 0, VALUE, 0, 0, 50_000) + b"[" * 50_000, [])
@example(HEAD.pack(MAGIC, 0, TEXT, 0, 0, 2) + b"\xff\xfe", [1])
@example(HEAD.pack(MAGIC, 0, VALUE, 0, 0, 0), [])
@example(HEAD.pack(MAGIC, 0, CONTROL, 0, 0, 3) + b"NaN", [])
def test_any_bytes_are_frames_or_a_protocol_error(data: bytes, cuts: list[int]) -> None:
    """A4: bytes that are no message are a ProtocolError, never anything else."""
    decoder = Decoder()
    with suppress(ProtocolError):
        for piece in in_pieces(data, cuts):
            decoder.feed(piece)
            assert all(isinstance(frame, Frame) for frame in decoder.frames())


REPLACED = st.one_of(
    PLAIN.map(lambda found: lambda text: json.dumps(found).encode("ascii")),
    st.tuples(st.integers(0, 300), st.integers(32, 126)).map(
        lambda change: (
            lambda text: text[: change[0] % len(text)] + bytes([change[1]]) + text[change[0] % len(text) + 1 :]
        )
    ),
)


@tries(200)
@given(WIRE, REPLACED)
def test_damaged_values_are_frames_or_a_protocol_error(value: Any, replaced: Any) -> None:
    """A4: a frame whose description was changed on the way is a ProtocolError, or some value; never anything else."""
    body, *buffers = (bytes(piece) for piece in encode(VALUE, None, value))
    start = HEAD.size + 8 * len(buffers)
    text = replaced(body[start:])
    head = HEAD.pack(MAGIC, 0, VALUE, len(buffers), 0, len(text))
    decoder = Decoder()
    with suppress(ProtocolError):
        decoder.feed(head + body[HEAD.size : start] + text + b"".join(buffers))
        assert len(decoder.frames()) == 1
