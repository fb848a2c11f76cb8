"""A YAML file -> typed parameters: scalars, substitutions, all problems at once, overrides, earlier results."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel

from conftest import Project
from lute import (
    AnalysisHeader,
    ConfigError,
    Field,
    Flag,
    FromResult,
    Positional,
    TaskParameters,
    TemplateConfig,
    TemplateParameters,
    ThirdPartyParameters,
)
from lute.config.config_file import Overrides, read_config
from lute.config.yaml_reader import read_documents
from lute.errors import Problem, TaskNotFoundError, UsageError
from lute.io.config import parse_config
from lute.record.db import read_latest_db_entry, record_analysis_db
from lute.wire.results import DescribedAnalysis, TaskResult, TaskStatus


class ReadingParameters(TaskParameters):
    """Takes anything, and texts and numbers."""

    value: Any = None
    other: Any = None
    third: Any = None
    text: str = ""
    path: Path | None = None
    number: float = 0.0
    count: int = 0
    maybe: str | None = None
    texts: list[str] = Field([], description="Texts.")


class NeedyParameters(TaskParameters):
    """Must be given something."""

    threshold: float = 1.0
    radius: int
    width: float
    name: str = ""


def write(folder: Path, tasks: str, header: str = "", start: str = "", name: str = "config.yaml") -> Path:
    """Writes a YAML file: `start`, a header of five lines and `header`, then `tasks`."""
    fixed = f"title: demo\nexperiment: exp1\nrun: 7\ntask_timeout: 60\nwork_dir: {json.dumps(str(folder))}\n"
    path = folder / name
    path.write_text(f"{start}{fixed}{header}---\n{tasks}\n", encoding="utf-8")
    return path


FIRST = 7
"""Line of the file that `write` puts the first line of `tasks` on, where `header` is empty."""


def read(folder: Path, tasks: str, header: str = "", task: str = "Reading", **settings: str) -> Any:
    """Returns the parameters of a Task."""
    return parse_config(task, write(folder, tasks, header), overrides=Overrides(settings=tuple(settings.items())))


def problems(folder: Path, tasks: str, header: str = "", task: str = "Reading") -> list[Problem]:
    """Returns the problems of a file that has some."""
    with pytest.raises(ConfigError) as caught:
        parse_config(task, write(folder, tasks, header))
    assert all(problem.file == str(folder / "config.yaml") for problem in caught.value.problems)
    assert all(str(problem) in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


def only_problem(folder: Path, tasks: str, header: str = "", task: str = "Reading") -> Problem:
    """Returns the one problem of a file that has one."""
    found = problems(folder, tasks, header, task)
    assert len(found) == 1, found
    return found[0]


# ------------------------------------------------------------------------------------- documents


def test_two_documents_make_parameters(tmp_path: Path) -> None:
    """A5: the header is the first document, the Task's parameters are under its name in the second."""
    params = read(tmp_path, "Reading:\n  text: hello\n  count: 3\n")
    assert isinstance(params, ReadingParameters)
    assert (params.text, params.count, params.number) == ("hello", 3, 0.0)
    header = params.lute_config
    assert (header.title, header.experiment, header.run, header.task_timeout) == ("demo", "exp1", 7, 60)


@pytest.mark.parametrize(
    "start", ["%YAML 1.3\n---\n", "%YAML 1.2\n---\n", "# a comment\n---\n", "---\n", "\ufeff", "\n\n"]
)
def test_files_start_in_many_ways(start: str, tmp_path: Path) -> None:
    """A5: `%YAML 1.3` is accepted without a warning, as are other starts."""
    assert parse_config("Reading", write(tmp_path, "Reading: {text: a}", start=start)).text == "a"  # type: ignore[attr-defined]


def test_directive_before_each_document(tmp_path: Path) -> None:
    """A5: the form people have, `...` between the documents and a directive before each."""
    path = tmp_path / "config.yaml"
    body = f"%YAML 1.3\n---\nwork_dir: {tmp_path}\n...\n%YAML 1.3\n---\nReading:\n  text: a\n  value: no\n...\n"
    path.write_text(body, encoding="utf-8")
    params: Any = parse_config("Reading", path)
    assert (params.text, params.value) == ("a", "no")


@pytest.mark.parametrize("tasks", ["", "Reading:", "Reading: {}", "Reading: null", "Other: {a: 1}", "{}"])
def test_a_task_that_needs_nothing_may_be_left_out(tasks: str, tmp_path: Path) -> None:
    """A5: a Task whose parameters all have defaults need not be in the file."""
    assert read(tmp_path, tasks).count == 0


@pytest.mark.parametrize("text", ["a: 1\n", "", "a: 1\n---\nb: 1\n---\nc: 1\n"])
def test_another_number_of_documents_is_an_error(text: str, tmp_path: Path) -> None:
    """A5: the file has two documents; the error says so."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="two"):
        parse_config("Reading", path)


@pytest.mark.parametrize("tasks", ["Reading: 3", "Reading: [a]", "Reading: text"])
def test_a_tasks_parameters_are_a_mapping(tasks: str, tmp_path: Path) -> None:
    """A5: parameters that are no mapping are an error with its line."""
    assert only_problem(tmp_path, tasks).line == FIRST


@pytest.mark.parametrize("text", ["a: 1\n---\n- b\n", "- a\n---\nb: 1\n", "a: 1\n---\njust text\n"])
def test_documents_are_mappings(text: str, tmp_path: Path) -> None:
    """A5: a document that is no mapping is an error of the file."""
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="mapping"):
        parse_config("Reading", path)


def test_a_file_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    """B: the error names the file; a misspelt one gets the nearest name."""
    write(tmp_path, "{}")
    with pytest.raises(ConfigError, match=r"confg\.yaml[\s\S]*'config\.yaml'"):
        parse_config("Reading", tmp_path / "confg.yaml")


def test_a_task_that_is_not_there_gets_the_nearest_name(tmp_path: Path) -> None:
    """A5: the model of Task `X` is `XParameters`; a misspelt Task gets the nearest name."""
    with pytest.raises(TaskNotFoundError, match="'Reading'"):
        parse_config("Raeding", write(tmp_path, "{}"))


def test_non_ascii_is_kept(tmp_path: Path) -> None:
    """A5: the file is UTF-8."""
    assert read(tmp_path, "Reading: {text: Ångström 結晶, path: /data/größe}").text == "Ångström 結晶"


def test_bytes_that_are_no_text_are_an_error(tmp_path: Path) -> None:
    """A5: a file that is no UTF-8 is an error of the file."""
    path = tmp_path / "config.yaml"
    path.write_bytes(b"title: \xff\n---\n{}\n")
    with pytest.raises(ConfigError, match="UTF-8"):
        parse_config("Reading", path)


def test_extra_entries_are_allowed(tmp_path: Path) -> None:
    """A5: people keep their own variables at the top of both documents, of any kind."""
    tasks = "folder: /data\nlist: [1]\nnothing:\nnot_a_task: {a: 1}\nReading: {text: '{{ folder }}/{{ mine }}'}"
    params = read(tmp_path, tasks, header="mine: kept\nown: {deep: [1]}\n")
    assert params.text == "/data/kept"
    assert params.lute_config.mine == "kept"


# ------------------------------------------------------------------------------------- scalars

SCALARS: list[tuple[str, Any]] = [
    *((text, text) for text in ("12:30", "190:20:30", "1:2", "12:30:45.5")),
    *((text, text) for text in ("no", "No", "NO", "yes", "Yes", "on", "off", "ON", "Off", "y", "n", "Y", "N")),
    *((text, text) for text in ("1_000", "1_0.5", "0x_1f", "0b101", "0b1_0", "1,000")),
    *((text, text) for text in ("0012", "007", "-07", "+08", "00", "00.5", "0012.5")),
    *((text, text) for text in ("2024-01-01", "2024-01-01T00:00:00Z", "2001-12-14 21:59:43.10 -5")),
    *((text, text) for text in ("0X1F", "+0x1f", "-0o17", "0o8", "0xg", "1e", "e3", "1e+", "1.2.3", "+", "1a", "0x")),
    *((text, text) for text in ("tRUE", "nULL", "none", "None", "inf", "nan", "NaN", "+.nan", ".iNF", "=", "infinity")),
    *(
        (text, text)
        for text in ("a b", "a#b", "--flag", "-x", "1 2", "Å", "/data/x.h5", "$HOME", "10%", ".", "..", "._")
    ),
    *(
        (
            ("0", 0),
            ("-0", 0),
            ("+0", 0),
            ("+1", 1),
            ("-12", -12),
            ("12345678901234567890", 12345678901234567890),
        )
    ),
    *((("0x1f", 31), ("0xDEAD", 57005), ("0o17", 15), ("0x0", 0))),
    *(
        (
            ("1e-3", 0.001),
            ("1e3", 1000.0),
            ("1E5", 1e5),
            ("-1e+2", -100.0),
            ("1.", 1.0),
            (".5", 0.5),
            ("+.5", 0.5),
        )
    ),
    *(
        (
            ("1.10", 1.1),
            ("-.5e1", -5.0),
            ("0.0", 0.0),
            ("-0.0", -0.0),
            ("1.5e-06", 1.5e-6),
            ("0.", 0.0),
            ("0e0", 0.0),
        )
    ),
    *(
        (
            (".inf", math.inf),
            ("-.inf", -math.inf),
            ("+.inf", math.inf),
            (".Inf", math.inf),
            (".INF", math.inf),
        )
    ),
    *((("~", None), ("null", None), ("Null", None), ("NULL", None), ("", None))),
    *((("true", True), ("True", True), ("TRUE", True), ("false", False), ("False", False), ("FALSE", False))),
]


@pytest.mark.parametrize(("text", "wanted"), SCALARS)
def test_plain_scalars_follow_yaml_1_2(text: str, wanted: Any, tmp_path: Path) -> None:
    """A5: plain scalars follow the core schema, except that a number with a leading zero is text."""
    params = read(tmp_path, f"Reading:\n  value: {text}\n  other:\n    - {text}\n    - x\n")
    for found in (params.value, params.other[0]):
        assert (type(found), repr(found)) == (type(wanted), repr(wanted))


@pytest.mark.parametrize("text", [".nan", ".NaN", ".NAN"])
def test_not_a_number(text: str, tmp_path: Path) -> None:
    """A5: `.nan` is a float."""
    assert math.isnan(read(tmp_path, f"Reading: {{value: {text}}}").value)


@pytest.mark.parametrize("text", [text for text, _ in SCALARS])
def test_quoted_scalars_stay_text(text: str, tmp_path: Path) -> None:
    """A5: a quoted scalar is text and stays text, in either quotes, in blocks and in lists."""
    tasks = (
        f"Reading:\n  value: \"{text}\"\n  other: '{text}'\n  third: [\"{text}\", {{a: '{text}'}}]\n  text: '{text}'"
    )
    params = read(tmp_path, tasks)
    assert (params.value, params.other, params.third, params.text) == (text, text, [text, {"a": text}], text)


def test_blocks_are_text(tmp_path: Path) -> None:
    """A5: literal and folded blocks are text, also where they look like a number."""
    params = read(tmp_path, "Reading:\n  value: |-\n    12\n  other: >-\n    true\n  third: |\n    a\n     b\n")
    assert (params.value, params.other, params.third) == ("12", "true", "a\n b\n")


@pytest.mark.parametrize(
    "text",
    [
        "1.10",
        "5",
        "-0",
        "+1",
        "1e-3",
        "0x1f",
        "0o17",
        "0012",
        "1_000",
        "12:30",
        "no",
        "2024-01-01",
        "1.0",
        "007",
    ],
)
def test_a_text_parameter_is_what_was_written(text: str, tmp_path: Path) -> None:
    """A5: a number given for a text parameter is the text that was written; a string stays a string."""
    params = read(tmp_path, f"Reading:\n  text: {text}\n  maybe: {text}\n")
    assert (params.text, params.maybe) == (text, text)


class InnerText(BaseModel):
    """A nested model."""

    tag: str = ""


class TextsParameters(TaskParameters):
    """Takes text in many places."""

    tag: str = ""
    tags: list[str] | None = None
    pair: tuple[int, str] = (0, "")
    named: dict[str, str | None] = {}
    inner: InnerText = InnerText()
    choice: Literal["1.10", "2.0"] | None = None
    value: Any = None


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("tag: 1.10", "1.10"),
        ("tags: [1.10, 0x1f]", ["1.10", "0x1f"]),
        ("pair: [1, 1.10]", (1, "1.10")),
        ("named: {a: 1.10, b: null}", {"a": "1.10", "b": None}),
        ("inner: {tag: 1.10}", InnerText(tag="1.10")),
        ("choice: 1.10", "1.10"),
        ("tag: '{{ version }}'", "1.10"),
        ("tag: '{{ chain }}'", "1.10"),
        ("tag: '{{ alias.version }}'", "1.10"),
        ("tags: '{{ list }}'", ["1.10", "2.0"]),
        ("tag: '{{ list[0] }}'", "1.10"),
        ("tag: '{{ nowhere | default(1.10) }}'", "1.10"),
        ("tag: '{{ of_the_header }}'", "1.10"),
        ("<<: *base", "1.10"),
        ("<<: [*base, {tag: 2.00}]", "1.10"),
        ("<<: {tag: 2.00}\n  tag: 1.10", "1.10"),
        ("<<: {tag: 2.00}\n  <<: *base", "1.10"),
        ("inner:\n    <<: *base", InnerText(tag="1.10")),
        ("value: '{{ version }}'", 1.1),
        ("value: {a: [1.10]}", {"a": [1.1]}),
    ],
)
def test_a_number_for_a_text_is_as_written_wherever_it_comes_from(value: str, wanted: Any, tmp_path: Path) -> None:
    """A5: lists, nested models, substitutions through others, anchors and `<<` keep the text of a number."""
    own = "base: &base {tag: 1.10}\nlist: [1.10, 2.0]\nversion: 1.10\nchain: '{{ other }}'\nother: '{{ version }}'\n"
    tasks = f"{own}alias: '{{{{ deep }}}}'\ndeep: {{version: 1.10}}\nTexts:\n  {value}\n"
    params = read(tmp_path, tasks, "of_the_header: 1.10\n", "Texts")
    name = "tag" if "<<" in value and "inner" not in value else value.partition(":")[0]
    found = getattr(params, name)
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("v{{ version }}", "v1.10"),
        ("{{ version }}-{{ hex }}", "1.10-0x1f"),
        ("v{{ alias }}", "v1.10"),
        ("{{ run }}/{{ exponent }}", "7/1e-3"),
        ("v{{ list }}", "v[1.10, +2]"),
        ("{{ flag }}x{{ nothing }}", "TruexNone"),
        ("v{{ version:.3f }}", "v1.100"),
        ("v{{ nowhere | default(2.50) }}", "v2.50"),
        ("v{{ merged.version }}", "v1.10"),
    ],
)
def test_a_number_within_text_is_as_written(text: str, wanted: str, tmp_path: Path) -> None:
    """A5: a substitution within other text writes a number as the file does."""
    own = "version: 1.10\nhex: 0x1f\nexponent: 1e-3\nlist: [1.10, +2]\nflag: true\nnothing:\nalias: '{{ version }}'\n"
    own += "base: &base {version: 1.10}\nmerged: {<<: *base}\n"
    assert read(tmp_path, f"{own}Reading: {{value: {json.dumps(text)}}}").value == wanted


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("Texts.tag", "1.10", ("1.10", ["3.30", "x"], "")),
        ("Texts.tags.0", "1.10", ("", ["1.10", "x"], "")),
        ("Texts.tags[1]", "1.10", ("", ["3.30", "1.10"], "")),
        ("Texts.tags", "[4, 1.10]", ("", ["4", "1.10"], "")),
        ("Texts.inner.tag", "1.10", ("", ["3.30", "x"], "1.10")),
        ("Texts.inner", "{tag: 1.10}", ("", ["3.30", "x"], "1.10")),
    ],
)
def test_a_number_that_is_set_is_as_written(name: str, text: str, wanted: Any, tmp_path: Path) -> None:
    """B: `--set` keeps a number's text too, and nothing of what stood there before."""
    params = read(tmp_path, "Texts: {tags: [3.30, x], inner: {}}", task="Texts", **{name: text})
    assert (params.tag, params.tags, params.inner.tag) == wanted


def test_a_header_that_is_set_is_as_written(tmp_path: Path) -> None:
    """B: what `--set` puts into the header is written within text as it was given."""
    assert read(tmp_path, "Reading: {text: 'r{{ run }}'}", **{"run": "1e1"}).text == "r1e1"


def test_numbers_are_not_taken_for_other_types(tmp_path: Path) -> None:
    """A5: a number that is text by the core schema is not a number; text for a number is judged by the model."""
    assert read(tmp_path, "Reading: {number: 1e-3, count: 0x10}").number == 0.001
    assert only_problem(tmp_path, "Reading: {number: 12:30}").line == FIRST
    assert only_problem(tmp_path, "Reading: {count: 1.5}").line == FIRST
    assert only_problem(tmp_path, "Reading: {count: some}").line == FIRST


def test_check_notes_where_pyyaml_reads_otherwise(project: Project) -> None:
    """A5: `lute check` notes each scalar that PyYAML would read differently, with its line; quoted ones are no news."""
    noted = ["12:30", "no", "1_000", "0012", "1e-3", "2024-01-01", "on", "0o17"]
    quiet = ['"12:30"', "'no'", "12", "1.5", "text", "true", "null", "0x1f"]
    project.config("mine:\n" + "\n".join(f"  - {text}" for text in noted + quiet))
    outcome = project.lute("check", "-c", "config.yaml")
    assert outcome.code == 0, outcome
    first = (project.folder / "config.yaml").read_text().splitlines().index("mine:") + 2
    told = {int(line.split(":")[1]): line for line in outcome.out.splitlines() if "PyYAML" in line}
    assert sorted(told) == list(range(first, first + len(noted))), outcome
    assert all(text in told[first + number] for number, text in enumerate(noted))


# ------------------------------------------------------------------------------------- duplicates


@pytest.mark.parametrize(
    ("tasks", "header", "name", "line"),
    [
        ("Reading:\n  text: a\n  count: 1\n  text: b", "", "text", FIRST + 3),
        ("Reading: {text: a}\nOther: {}\nReading: {text: b}", "", "Reading", FIRST + 2),
        ("Reading: {value: {a: 1, b: {c: 1, c: 2}}}", "", "c", FIRST),
        ("Reading:\n  value:\n    - a: 1\n      a: 2", "", "a", FIRST + 3),
        ("{}", "run: 8\n", "run", 6),
        ("Reading:\n  text: a\n  'text': b", "", "text", FIRST + 2),
    ],
)
def test_duplicate_keys_are_errors(tasks: str, header: str, name: str, line: int, tmp_path: Path) -> None:
    """A5: a key that is there twice is an error with its line, at any depth of either document."""
    problem = only_problem(tmp_path, tasks, header)
    assert problem.line == line
    assert problem.column is not None
    assert name in problem.message


def test_merge_keys_are_no_duplicates(tmp_path: Path) -> None:
    """A5: anchors and `<<` are YAML that people have; what stands beside `<<` wins."""
    tasks = "base: &base {text: base, count: 3}\nReading:\n  <<: *base\n  text: mine"
    params = read(tmp_path, tasks)
    assert (params.text, params.count) == ("mine", 3)


def test_aliases_of_aliases_are_refused(tmp_path: Path) -> None:
    """A5: aliases that stand for 10**11 values are an error with its line, and not more than memory holds."""
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 11)]
    problem = only_problem(tmp_path, "\n".join(lines))
    assert problem.line is not None
    assert "aliases repeat more than 1,000,000 values" in problem.message


def test_characters_that_json_writes_as_two_escapes(tmp_path: Path) -> None:
    """A5: what `json.dumps` writes is read as it was, also beyond U+FFFF; without double quotes it is text."""
    value = ["x\U0001f389\U0001f389", "\\\U0001f600", "é", "\\ud83c\\udf89"]
    other = r"\ud83c\udf89"
    tasks = (
        f"Reading: {{text: {other}, other: {json.dumps(value)}}} # {other}\nmore: '{other}'\nlast: {json.dumps(value)}"
    )
    file = read_config(write(tmp_path, tasks))
    assert file.tasks.value["Reading"] == {"text": other, "other": value}
    assert (file.tasks.value["more"], file.tasks.value["last"]) == (other, value)


@pytest.mark.parametrize("text", [r'"\ud83c"', r'"\udf89\ud83c"', r'"\ud83cx\udf89"'])
def test_half_a_character_is_refused(tmp_path: Path, text: str) -> None:
    """A5: half of such a pair is no character."""
    assert "escape" in only_problem(tmp_path, f"Reading: {{text: {text}}}").message


# ------------------------------------------------------------------------------------- substitution


def test_second_document_comes_before_the_header(tmp_path: Path) -> None:
    """A5: a name is looked up in the second document, then in the header."""
    params = read(tmp_path, "title: mine\nReading: {text: '{{ title }}', other: '{{ experiment }}'}")
    assert (params.text, params.other, params.lute_config.title) == ("mine", "exp1", "demo")


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("{{ Other.a }}", 1),
        ("{{ Other.b.c }}", "deep"),
        ("{{Other.b.c}}", "deep"),
        ("{{   Other.b.c   }}", "deep"),
        ("{{ Other.b }}", {"c": "deep", "d": [1, 2]}),
        ("{{ Other.b.d }}", [1, 2]),
        ("x{{ Other.a }}y{{ Other.b.c }}z", "x1ydeepz"),
        ("{{ Other.a }}{{ Other.a }}", "11"),
        ("{{ Other.none }}", None),
        ("{{ Other.no }}", False),
        ("{{ Other.zero }}", 0),
        ("{{ Other.float }}", 1.0),
        ("{{ Other.empty }}", ""),
        ("{{ run }}", 7),
        ("run {{ run }}", "run 7"),
        ("{{ own.x }}", [True]),
    ],
)
def test_dotted_paths_and_types(expression: str, wanted: Any, tmp_path: Path) -> None:
    """A5: dotted paths; a value that is one substitution keeps its type, any other is text."""
    other = "Other: {a: 1, b: {c: deep, d: [1, 2]}, none: null, no: false, zero: 0, float: 1.0, empty: ''}"
    found = read(tmp_path, f"Reading: {{value: {json.dumps(expression)}}}\n{other}", header="own: {x: [true]}\n").value
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("{{ run:04d }}", "0007"),
        ("r{{ run:04d }}", "r0007"),
        ("{{run:04d}}", "0007"),
        ("{{ run:>5 }}", "    7"),
        ("{{ pi:.2f }}", "3.14"),
        ("{{ pi:.1e }}", "3.1e+00"),
        ("{{ name:>6 }}", "   abc"),
        ("{{ deep.pi:08.3f }}", "0003.142"),
        ("{{ $NUMBER:04d }}", "0012"),
    ],
)
def test_formats(expression: str, wanted: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: `{{ name:format }}` is Python's format, and text."""
    monkeypatch.setenv("NUMBER", "12")
    own = "pi: 3.14159\nname: abc\ndeep: {pi: 3.14159}\n"
    assert read(tmp_path, f"{own}Reading: {{value: {json.dumps(expression)}}}").value == wanted


def test_a_format_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    """A5: a format for another type is an error with its line, naming the substitution."""
    problem = only_problem(tmp_path, "Reading:\n  value: '{{ title:04d }}'")
    assert problem.line == FIRST + 1
    assert "title" in problem.message


@pytest.mark.parametrize(
    ("tasks", "line", "column", "where"),
    [
        ("Reading:\n  text: 'a {{ run'", FIRST + 1, 3, "Reading.text"),
        ("Reading:\n  text: '{{ run }} {{'", FIRST + 1, 3, "Reading.text"),
        ("Reading:\n  text: '{{ run } }'", FIRST + 1, 3, "Reading.text"),
        ("Reading:\n  value:\n    - x\n    - b: ['{{']", FIRST + 3, 11, "Reading.value.1.b.0"),
        ("Reading:\n  value:\n    a: 1\n    '{{ b': 1", FIRST + 1, 3, "Reading.value"),
    ],
)
def test_a_substitution_that_is_not_closed_is_an_error(
    tasks: str, line: int, column: int, where: str, tmp_path: Path
) -> None:
    """A5: a `{{` with no `}}` is an error with its place, also deep in a value."""
    problem = only_problem(tmp_path, tasks)
    assert (problem.line, problem.column) == (line, column), problem
    assert problem.message.startswith(f"{where}: ")
    assert "{{" in problem.message


def test_braces_that_are_no_substitution(tmp_path: Path) -> None:
    """A5: `}}` alone and single braces are text; `{{` itself is written as a substitution of its own."""
    params = read(tmp_path, """Reading: {text: '{"a": {"b": 1}}', value: 'x {{ "{{" }} y', other: "{{ '{{' }}"}""")
    assert (params.text, params.value, params.other) == ('{"a": {"b": 1}}', "x {{ y", "{{")


@pytest.mark.parametrize("keys", ["'{{ run }}': 1, 7: 2", "'{{ list }}': 1", "'{{ map }}': 1"])
def test_keys_that_cannot_be(keys: str, tmp_path: Path) -> None:
    """A5: a key that is there already, or that is no key, is an error with its place."""
    problem = only_problem(tmp_path, f"list: [1]\nmap: {{a: 1}}\nReading:\n  value: {{{keys}}}")
    assert problem.line == FIRST + 3
    assert "key" in problem.message


def test_nesting_has_an_end(tmp_path: Path) -> None:
    """A5: what is nested too deeply is an error with its place."""
    assert read(tmp_path, f"Reading: {{value: {'[' * 90}{']' * 90}}}").value is not None
    for depth in (101, 330, 490):
        found = problems(tmp_path, f"Reading: {{value: {'[' * depth}{']' * depth}}}")
        assert "nested" in found[0].message
        assert found[0].line == FIRST


def test_environment_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: `{{ $VAR }}` is looked up in the environment; text of odd kinds arrives as it is."""
    for value in (
        "plain",
        "a b",
        "it's",
        'say "hi"',
        "line\nbreak",
        "結晶",
        "",
        "a: b",
        "[1",
        "0012",
        "1.10",
        "no",
    ):
        monkeypatch.setenv("MY_VAR", value)
        params = read(tmp_path, "Reading: {text: '{{ $MY_VAR }}', other: '/x/{{ $MY_VAR }}/y'}")
        assert (params.text, params.other) == (value, f"/x/{value}/y")


@pytest.mark.parametrize("value", ["12", "0", "-1"])
def test_an_environment_variable_can_be_a_number(value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: a number in a variable does for a number and for a text."""
    monkeypatch.setenv("MY_VAR", value)
    params = read(tmp_path, "Reading: {text: '{{ $MY_VAR }}', count: '{{ $MY_VAR }}', number: '{{ $MY_VAR }}'}")
    assert (params.text, params.count, params.number) == (value, int(value), float(value))


def test_a_name_and_a_variable_are_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: a plain name is never looked up in the environment, nor a variable in the file."""
    monkeypatch.setenv("title", "environment")
    assert read(tmp_path, "Reading: {value: '{{ title }}', other: '{{ $title }}'}").value == "demo"
    monkeypatch.delenv("title")
    assert "title" in only_problem(tmp_path, "Reading: {value: '{{ $title }}'}").message


@pytest.mark.parametrize(
    ("tasks", "wanted"),
    [
        ("Reading: {value: ['{{ run }}', 'a{{ run }}', 3]}", [7, "a7", 3]),
        ("Reading: {value: [['{{ run }}'], {a: ['{{ run:02d }}']}]}", [[7], {"a": ["07"]}]),
        ("Reading: {value: {a: {b: '{{ run }}'}}}", {"a": {"b": 7}}),
        ("Reading:\n  value:\n    - '{{ list }}'\n    - x\nlist: ['{{ run }}', y]", [[7, "y"], "x"]),
    ],
)
def test_inside_lists_and_mappings(tasks: str, wanted: Any, tmp_path: Path) -> None:
    """A5: substitutions are made inside lists and mappings too, at any depth."""
    assert read(tmp_path, tasks).value == wanted


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
def test_any_order(order: tuple[int, ...], tmp_path: Path) -> None:
    """A5: a substitution may use another one, wherever in the file that stands."""
    lines = [
        "Reading: {text: '{{ c }}/x'}",
        "c: '{{ b.d }}/c'",
        "b: {d: '{{ a }}/b'}",
        "a: '{{ experiment }}'",
    ]
    assert read(tmp_path, "\n".join(lines[number] for number in order)).text == "exp1/b/c/x"


def test_the_header_may_use_substitutions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: the header's own values are substituted, from either document and the environment."""
    monkeypatch.setenv("WHO", "me")
    params = read(
        tmp_path,
        "kind: scan\nReading: {text: '{{ label }}'}",
        header="label: '{{ kind }} {{ run:03d }} {{ $WHO }}'\n",
    )
    assert params.text == "scan 007 me"
    assert params.lute_config.label == "scan 007 me"


def test_a_task_may_use_its_own_parameters(tmp_path: Path) -> None:
    """A5: `{{ Task.a }}` may be the same Task's."""
    assert read(tmp_path, "Reading: {text: '{{ Reading.other }}/x', other: /data}").text == "/data/x"


@pytest.mark.parametrize("place", ["0", "1"])
def test_items_of_lists_can_be_looked_up(place: str, tmp_path: Path) -> None:
    """A5: a dotted path may lead into a list."""
    assert read(tmp_path, f"list: [a, b]\nReading: {{value: '{{{{ list.{place} }}}}'}}").value == "ab"[int(place)]


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        ("a: '{{ b }}'\nb: '{{ c }}'\nc: '{{ a }}'\nReading: {value: '{{ a }}'}", ["a", "b", "c"]),
        ("a: '{{ a }}'\nReading: {value: '{{ a }}'}", ["a"]),
        ("Reading: {value: '{{ Reading.value }}'}", ["Reading.value"]),
        (
            "Reading: {value: 'x{{ Reading.other }}', other: ['{{ Reading.value }}']}",
            ["Reading.value", "Reading.other"],
        ),
        ("a: {b: ['{{ a }}']}\nReading: {value: '{{ a.b }}'}", ["a"]),
    ],
)
def test_a_cycle_is_an_error_that_shows_it(tasks: str, names: list[str], tmp_path: Path) -> None:
    """A5: a cycle is an error that shows who is in it."""
    found = problems(tmp_path, tasks)
    assert all(name in found[0].message for name in names), found
    assert "->" in found[0].message or "→" in found[0].message, found
    assert found[0].line is not None


def test_a_cycle_that_is_not_used_hurts_nobody(tmp_path: Path) -> None:
    """A5: a Task is judged by what it uses; another's cycle is not its own."""
    assert read(tmp_path, "a: '{{ b }}'\nb: '{{ a }}'\nReading: {text: fine}").text == "fine"


@pytest.mark.parametrize(
    ("expression", "named"),
    [
        ("{{ nothing_like_it }}", "nothing_like_it"),
        ("{{ folders }}", "'folder'"),
        ("x{{ Other.foldr }}", "Other.foldr"),
        ("{{ Other.folder.deeper }}", "Other.folder.deeper"),
        ("{{ $NO_SUCH_VARIABLE }}", "NO_SUCH_VARIABLE"),
        ("{{ $NO_SUCH_VARIABLE:04d }}", "NO_SUCH_VARIABLE"),
        ("{{ list.5 }}", "list.5"),
    ],
)
def test_what_is_missing_is_an_error(expression: str, named: str, tmp_path: Path) -> None:
    """A5: what is missing is an error with its line, column and name, and the nearest name for a misspelt one."""
    tasks = f"folder: /data\nlist: [1]\nOther: {{folder: /x}}\nReading:\n  count: 1\n  value: {json.dumps(expression)}"
    problem = only_problem(tmp_path, tasks)
    assert problem.line == FIRST + 5
    assert problem.column in (3, 10)
    assert named in problem.message


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ('{{ $NOPE | default("x") }}', "x"),
        ("{{ $NOPE | default('x y') }}", "x y"),
        ('{{ $NOPE|default("x") }}', "x"),
        ('{{ nope | default("") }}', ""),
        ("{{ nope | default(3) }}", 3),
        ("{{ nope | default(0) }}", 0),
        ("{{ nope | default(1e-3) }}", 0.001),
        ('a/{{ $NOPE | default("x") }}/b', "a/x/b"),
        ("a{{ nope.deep | default(3) }}b", "a3b"),
        ('{{ run | default("x") }}', 7),
        ('{{ $THERE | default("x") }}', "there"),
        ('{{ $NOPE | default("a}b") }}', "a}b"),
        ('{{ $NOPE | default("a:b|c") }}', "a:b|c"),
        ('{{ $NOPE | default("Ångström") }}', "Ångström"),
    ],
)
def test_defaults(expression: str, wanted: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: `| default(...)` gives a value for what is missing, and only then."""
    monkeypatch.setenv("THERE", "there")
    found = read(tmp_path, f"Reading:\n  value: {json.dumps(expression)}").value
    assert (type(found), found) == (type(wanted), wanted)


@pytest.mark.parametrize("text", ["{}", "{a}", "{ {a} }", "a } b", "{a: {b}}", "}}", "100%", "${HOME}", "$HOME"])
def test_other_braces_are_text(text: str, tmp_path: Path) -> None:
    """A5: only `{{ ... }}` is a substitution."""
    assert read(tmp_path, f"Reading:\n  value: {json.dumps(text)}").value == text


def test_a_quoted_number_stays_text_through_a_substitution(tmp_path: Path) -> None:
    """A5: a quoted scalar is text and stays text, also where it is substituted."""
    params = read(tmp_path, "number: '0012'\nother: \"1e3\"\nReading: {value: '{{ number }}', other: '{{ other }}'}")
    assert (params.value, params.other) == ("0012", "1e3")


# ------------------------------------------------------------------------------------- all problems


def test_every_problem_is_told_at_once(tmp_path: Path) -> None:
    """A5: all problems of header and Task at once, each with file, line and column, in the order of the file."""
    tasks = "\n".join(
        [
            "Needy:",
            "  treshold: 1.5",
            "  radius: wide",
            "  name: '{{ nowhere }}'",
            "  completely_unknown: 1",
        ]
    )
    path = write(tmp_path, tasks, header="clean_up_grace: -1\n")
    with pytest.raises(ConfigError) as caught:
        parse_config("Needy", path)
    found = caught.value.problems
    assert [problem.line for problem in found] == [6, 8, 9, 10, 11, 12], found
    by_line = {problem.line: problem for problem in found}
    assert "clean_up_grace" in by_line[6].message
    assert "width" in by_line[8].message
    assert "'threshold'" in by_line[9].message
    assert "radius" in by_line[10].message
    assert "nowhere" in by_line[11].message
    assert "completely_unknown" in by_line[12].message
    assert all(problem.column for problem in found)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("tasks", "line", "columns"),
    [
        ("Reading: {count: x}", FIRST, (11, 18)),
        ("Reading:\n  text: a\n\n  # a comment\n  count: x", FIRST + 4, (3, 10)),
        ("Reading:\n    count:\n      - 1", FIRST + 1, (5, 7)),
        ("Reading:\n  texts: [a, [b]]", FIRST + 1, (14,)),
        ("Reading: {Å: 1, cuont: 2}", FIRST, (11, 17)),
    ],
)
def test_places_are_exact(tasks: str, line: int, columns: tuple[int, ...], tmp_path: Path) -> None:
    """A5: line and column count from 1, in characters, to the name or to the value."""
    for problem in problems(tmp_path, tasks):
        assert line <= problem.line <= line + 1
        assert problem.column in columns, problem


def test_a_misspelt_parameter_gets_the_nearest_name(tmp_path: Path) -> None:
    """A5: an unknown parameter is an error with the nearest name."""
    problem = only_problem(tmp_path, "Reading:\n  nubmer: 1")
    assert (problem.line, problem.column) == (FIRST + 1, 3)
    assert "'nubmer'" in problem.message
    assert "'number'" in problem.message


@pytest.mark.parametrize("name", ["1", "true", "null", "1.5", "'a b'", "''"])
def test_odd_names_are_unknown_names(name: str, tmp_path: Path) -> None:
    """A5: a key of any kind that is no parameter is an error with its line, not a crash."""
    assert only_problem(tmp_path, f"Reading:\n  {name}: 1").line == FIRST + 1


def test_lute_config_cannot_be_given_as_a_parameter(tmp_path: Path) -> None:
    """A5: the header is the first document; a Task cannot bring another."""
    problem = only_problem(tmp_path, "Reading:\n  lute_config: {work_dir: /}")
    assert problem.line == FIRST + 1


def test_a_validators_crash_is_a_problem_of_the_file(tmp_path: Path) -> None:
    """A5: whatever a model's validator raises is told with the Task's place."""
    from pydantic import field_validator

    class CrashingParameters(TaskParameters):
        count: int = 1

        @field_validator("count")
        @classmethod
        def _crash(cls, count: int) -> int:
            raise KeyError("oops")

    problem = only_problem(tmp_path, "Crashing:\n  count: 3", task="Crashing")
    assert problem.line in (FIRST, FIRST + 1)
    assert "oops" in problem.message


def test_syntax_errors_have_their_place(tmp_path: Path) -> None:
    """A5: what is no YAML is an error with file, line and column."""
    for text in (
        "Reading: {a: 1",
        "Reading:\n  a: [1\n  b: 2",
        "a: b: c",
        "\tReading: 1",
        "Reading: 'open",
        "a: *nobody",
    ):
        problem = only_problem(tmp_path, text)
        assert problem.line is not None
        assert problem.line >= FIRST
        assert problem.column is not None


def test_check_tells_all_problems_of_all_tasks(project: Project) -> None:
    """B: `lute check` tells all problems of all it names, each with file, line, column and the nearest name."""
    project.write(
        "tasks.py",
        """
        from lute import TaskParameters, Executor

        class OneParameters(TaskParameters):
            threshold: float = 1.0

        class TwoParameters(TaskParameters):
            radius: int

        Ones = Executor("One")
        """,
    )
    project.config("One:\n  treshold: 1\nTwo:\n  radius: wide\n  x: '{{ nope }}'")
    lines = (project.folder / "config.yaml").read_text().splitlines()
    outcome = project.lute("check", "-c", "config.yaml")
    assert outcome.code != 0
    for text, told in (("treshold", "'threshold'"), ("radius: wide", "radius"), ("x: '{{", "nope")):
        number = next(number for number, line in enumerate(lines, 1) if text in line)
        assert any(f"config.yaml:{number}:" in line and told in line for line in outcome.out.splitlines()), outcome
    found = project.lute("check", "-c", "config.yaml", "--json").json
    assert {problem["line"] for problem in found["problems"]} >= {len(lines) - 3, len(lines) - 1, len(lines)}
    narrowed = project.lute("check", "-c", "config.yaml", "Ones")
    assert "treshold" in narrowed.out
    assert "radius" not in narrowed.out


def test_check_names_the_nearest_task(project: Project) -> None:
    """B: a section that looks like a misspelt Task gets the nearest name, with its line."""
    project.write(
        "tasks.py",
        """
        from lute import TaskParameters

        class SortLinesParameters(TaskParameters):
            count: int = 1
        """,
    )
    project.config("SortLine: {count: 2}\nmy_own_things: {x: 1}")
    number = len((project.folder / "config.yaml").read_text().splitlines()) - 1
    outcome = project.lute("check", "-c", "config.yaml")
    assert any(f"config.yaml:{number}:" in line and "'SortLines'" in line for line in outcome.out.splitlines()), outcome


def test_check_of_a_good_file_is_content(project: Project) -> None:
    """B: `lute check` exits 0 where all is well."""
    project.config("Test: {str_var: a}")
    assert project.lute("check", "-c", "config.yaml").code == 0


# ------------------------------------------------------------------------------------- --set


@pytest.mark.parametrize(
    ("name", "text", "attribute", "wanted"),
    [
        ("Reading.count", "5", "count", 5),
        ("Reading.value", "1e-3", "value", 0.001),
        ("Reading.value", "0012", "value", "0012"),
        ("Reading.value", "no", "value", "no"),
        ("Reading.value", "a b: c # d", "value", "a b: c # d"),
        ("Reading.value", "", "value", None),
        ("Reading.value", "[1, a b]", "value", [1, "a b"]),
        ("Reading.value", "{a: 1}", "value", {"a": 1}),
        ("Reading.value", '"12"', "value", "12"),
        ("Reading.value", "a=b", "value", "a=b"),
        ("Reading.value", "{{ run }}", "value", 7),
        ("Reading.value", "x{{ run:03d }}", "value", "x007"),
        ("Reading.text", "1.10", "text", "1.10"),
        ("Reading.text", "12:30", "text", "12:30"),
        ("Reading.text", "-x", "text", "-x"),
        ("Reading.other.deep.er", "1", "other", {"kept": 2, "deep": {"er": 1}}),
        ("Reading.other.kept", "3", "other", {"kept": 3}),
        ("Reading.third.1", "x", "third", ["a", "x"]),
    ],
)
def test_set_overrides(name: str, text: str, attribute: str, wanted: Any, tmp_path: Path) -> None:
    """B: `--set Task.param=value` replaces what the file says, read as YAML would read it."""
    params = read(
        tmp_path,
        "Reading: {count: 1, value: file, text: file, other: {kept: 2}, third: [a, b]}",
        **{name: text},
    )
    found = getattr(params, attribute)
    assert (type(found), found) == (type(wanted), wanted)


def test_set_gives_what_the_file_does_not_have(tmp_path: Path) -> None:
    """B: `--set` adds a Task's section and a required parameter."""
    params = read(tmp_path, "{}", task="Needy", **{"Needy.width": "2", "Needy.radius": "3"})
    assert (params.width, params.radius) == (2.0, 3)


def test_set_is_seen_by_substitutions(tmp_path: Path) -> None:
    """B: what `--set` says is what `{{ ... }}` finds."""
    assert read(tmp_path, "Other: {a: 1}\nReading: {value: '{{ Other.a }}'}", **{"Other.a": "2"}).value == 2


def test_set_in_the_header(tmp_path: Path) -> None:
    """B: `--set` reaches the header's names; `-e` and `-r` replace experiment and run."""
    path = write(tmp_path, "Reading: {value: '{{ run }}', text: '{{ experiment }}'}")
    params: Any = parse_config(
        "Reading", path, overrides=Overrides(experiment="other", run="12", settings=(("task_timeout", "5"),))
    )
    assert (params.lute_config.task_timeout, params.lute_config.experiment, params.lute_config.run) == (
        5,
        "other",
        12,
    )
    assert (params.value, params.text) == (12, "other")


def test_set_of_an_unknown_parameter_is_an_error(tmp_path: Path) -> None:
    """B: a misspelt name in `--set` gets the nearest name."""
    with pytest.raises(UsageError, match="'count'"):
        read(tmp_path, "Reading: {}", **{"Reading.cuont": "5"})


def test_set_for_an_unknown_task_is_an_error(tmp_path: Path) -> None:
    """B: a setting for a Task that neither the file nor any model knows is an unknown name, not silence."""
    with pytest.raises(UsageError, match="Raeding"):
        read(tmp_path, "Reading: {}", **{"Raeding.count": "5"})


@pytest.mark.parametrize(
    "name", ["nothing", "Reading.count.deep", "Reading.third.5", "Reading.third.²", "Reading.third.²[0]", ""]
)
def test_set_of_nothing_is_an_error(name: str, tmp_path: Path) -> None:
    """B: a setting that leads nowhere is an error that shows it."""
    with pytest.raises(UsageError) as caught:
        read(tmp_path, "Reading: {count: 1, third: [a]}", **{name: "5"})
    assert name in str(caught.value)


def test_set_from_the_command_line(project: Project) -> None:
    """B: `--set` on the real command keeps spaces, quotes and `=`."""
    project.config("Test: {str_var: file}")
    outcome = project.lute(
        "run",
        "Test",
        "-c",
        "config.yaml",
        "--json",
        "--dry-run",
        "-s",
        "Test.str_var=a 'b' = c",
        "--set",
        "Test.float_var=1e-3",
    )
    assert outcome.code == 0, outcome
    assert outcome.json["parameters"]["str_var"] == "a 'b' = c"
    assert outcome.json["parameters"]["float_var"] == 0.001


@pytest.mark.parametrize("setting", ["Test.str_var", "=x", "Test.str_vra=1", "Tset.str_var=1", "Test.str_var=[\udcff]"])
def test_a_bad_set_starts_nothing(setting: str, project: Project) -> None:
    """B: bad usage exits with 2."""
    project.config("Test: {}")
    outcome = project.lute("run", "Test", "-c", "config.yaml", "--set", setting)
    assert outcome.code == 2, outcome
    assert outcome.out == ""


# ------------------------------------------------------------------------------------- template variables


class FilledParameters(ThirdPartyParameters):
    """A program with a template."""

    executable: str = "program"
    count: Annotated[int, Flag("-n")] = 1
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="main.cfg", output_path="out.cfg")


class PlainProgramParameters(ThirdPartyParameters):
    """A program without one."""

    executable: str = "program"
    in_file: Annotated[str, Positional()] = "x"


@pytest.fixture
def templated(tmp_path: Path) -> Path:
    """A folder with a template that includes another."""
    templates = tmp_path / "templates"
    templates.mkdir()
    lines = ["{{ direct }}", "{% for item in items %}{{ item }}{% endfor %}", "{% include 'part.cfg' %}"]
    (templates / "main.cfg").write_text("\n".join(lines), encoding="utf-8")
    (templates / "part.cfg").write_text(
        "{% if flag %}{{ inner.deep }}{% endif %}{% include 'leaf.cfg' %}", encoding="utf-8"
    )
    (templates / "leaf.cfg").write_text("{{ leaf | default('none') }}", encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("name", ["direct", "items", "flag", "inner", "leaf"])
def test_names_that_the_template_uses_are_allowed(name: str, templated: Path) -> None:
    """A5: an unknown name is a template variable if the model's template uses it, includes counted."""
    params = read(templated, f"Filled: {{{name}: [a, 1.5, {{b: null}}]}}", task="Filled")
    assert getattr(params, name) == TemplateParameters(["a", 1.5, {"b": None}])


@pytest.mark.parametrize(
    ("name", "nearest"), [("dirct", "'direct'"), ("cuont", "'count'"), ("lef", "'leaf'"), ("item", "'items'")]
)
def test_names_that_the_template_does_not_use_are_errors(name: str, nearest: str, templated: Path) -> None:
    """A5: any other unknown name is an error with the nearest parameter or variable; a loop's own name is none."""
    problem = only_problem(templated, f"Filled:\n  {name}: 1", task="Filled")
    assert (problem.line, problem.column) == (FIRST + 1, 3)
    assert repr(name) in problem.message
    assert nearest in problem.message


def test_without_a_template_unknown_names_are_errors(tmp_path: Path) -> None:
    """A5: a program without a template takes no unknown name from a YAML."""
    problem = only_problem(tmp_path, "PlainProgram:\n  infile: x", task="PlainProgram")
    assert "'in_file'" in problem.message


def test_the_template_may_be_chosen_in_the_file(templated: Path) -> None:
    """A5: the template that counts is the one that the YAML names."""
    (templated / "templates" / "other.cfg").write_text("{{ elsewhere }}", encoding="utf-8")
    chosen = "lute_template_cfg: {template_name: other.cfg, output_path: o}"
    params = read(templated, f"Filled: {{elsewhere: 1, {chosen}}}", task="Filled")
    assert params.elsewhere == TemplateParameters(1)
    assert "'direct'" in only_problem(templated, f"Filled: {{direct: 1, {chosen}}}", task="Filled").message


def test_a_template_that_is_missing_is_named(tmp_path: Path) -> None:
    """A5: with no template to judge by, the error names the template."""
    found = problems(tmp_path, "Filled: {direct: 1}", task="Filled")
    assert any("main.cfg" in problem.message for problem in found)


def test_unknown_names_and_wrong_types_are_told_together(templated: Path) -> None:
    """A5: a program's unknown names are judged also where another parameter is wrong."""
    found = problems(templated, "Filled:\n  dirct: 1\n  count: many\n  direct: 1", task="Filled")
    assert [problem.line for problem in found] == [FIRST + 1, FIRST + 2]


# ------------------------------------------------------------------------------------- debug exit


def test_debug_exit_stands_between_substitution_and_validation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A4: `LUTE_DEBUG_EXIT_AT_YAML` prints file, line and the substituted values, and exits 0 before validation."""
    monkeypatch.setenv("LUTE_DEBUG_EXIT_AT_YAML", "1")
    with pytest.raises(SystemExit) as caught:
        read(tmp_path, "Reading: {count: 'not {{ experiment }} a number', no_parameter: 1}")
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert "not exp1 a number" in printed
    assert "config_file.py" in printed
    assert "line" in printed


def test_debug_exit_is_off_when_not_set(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A4: without the variable nothing is printed."""
    read(tmp_path, "Reading: {}")
    assert capsys.readouterr().out == ""


# ------------------------------------------------------------------------------------- earlier results


class EarlierParameters(TaskParameters):
    """What ran before."""

    out: str = ""
    nested: dict[str, Any] = Field({}, description="Nested.")


class AfterParameters(TaskParameters):
    """Takes what ran before."""

    source: Annotated[str, FromResult("Earlier", "out")] = "nothing yet"
    payload: Annotated[Any, FromResult("Earlier")] = "nothing yet"


def record(
    folder: Path,
    out: str,
    *,
    experiment: str = "exp1",
    run: int | str = 7,
    status: str = "COMPLETED",
    payload: Any = "",
) -> None:
    """Records one run of `Earlier`, made by hand."""
    header = AnalysisHeader(work_dir=str(folder), experiment=experiment, run=run)
    params = EarlierParameters(lute_config=header, out=out, nested={"a": {"b": [out, 2]}, "zero": 0})
    result = TaskResult("Earlier", TaskStatus[status], f"made {out}", payload, "schema;other")
    assert record_analysis_db(DescribedAnalysis(result, params, {"PATH": "/bin"}, 0.05, ["by hand"])) is not False


def test_latest_valid_value_of_this_experiment_and_run(tmp_path: Path) -> None:
    """A5: FromResult is the latest valid value in this experiment and run, from the real record."""
    record(tmp_path, "first", payload={"n": 1})
    record(tmp_path, "second", payload={"n": 2})
    record(tmp_path, "failed", status="FAILED", payload={"n": 3})
    record(tmp_path, "other run", run=8)
    record(tmp_path, "other experiment", experiment="exp2")
    params = read(tmp_path, "After: {}", task="After")
    assert (params.source, params.payload) == ("second", {"n": 2})


@pytest.mark.parametrize("status", ["FAILED", "TIMEDOUT", "CANCELLED", "RUNNING", "PENDING", "STOPPED"])
def test_what_did_not_complete_is_not_taken(status: str, tmp_path: Path) -> None:
    """A5: only a completed run is valid; without one, the model's default stands."""
    record(tmp_path, "bad", status=status)
    assert read(tmp_path, "After: {}", task="After").source == "nothing yet"


def test_without_a_record_the_default_stands(tmp_path: Path) -> None:
    """A5: no record is no result, and reading makes none."""
    assert read(tmp_path, "After: {}", task="After").source == "nothing yet"
    assert not (tmp_path / "lute.db").exists()


def test_a_given_value_wins_over_the_record(tmp_path: Path) -> None:
    """A5: FromResult is a default; an empty text is given too."""
    record(tmp_path, "recorded")
    assert read(tmp_path, "After: {source: ''}", task="After").source == ""


@pytest.mark.parametrize(
    ("param", "wanted"),
    [
        ("out", "x"),
        ("nested.a.b[0]", "x"),
        ("nested.a.b[1]", 2),
        ("nested.zero", 0),
        ("result.payload", {"n": [1, 2]}),
        ("result.summary", "made x"),
        ("result.task_status", "COMPLETED"),
        ("result.impl_schemas", "schema;other"),
        ("lute_config.experiment", "exp1"),
        ("no_such", None),
        ("nested.a.b[9]", None),
    ],
)
def test_read_latest_db_entry_reads_names_of_the_view(param: str, wanted: Any, tmp_path: Path) -> None:
    """A5: `read_latest_db_entry` reads parameters, nested as `a.b[0]`, and results."""
    record(tmp_path, "x", payload={"n": [1, 2]})
    assert read_latest_db_entry(str(tmp_path), "Earlier", param, for_run=7) == wanted


def test_read_latest_db_entry_can_read_failures(tmp_path: Path) -> None:
    """A5: `valid_only=False` takes the latest run however it ended."""
    record(tmp_path, "good")
    record(tmp_path, "bad", status="FAILED")
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", for_run=7) == "good"
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", valid_only=False, for_run=7) == "bad"


def test_read_latest_db_entry_is_for_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: `for_run` is a number or text; by default it is `$RUN` at the time of the call."""
    record(tmp_path, "seven", run=7)
    record(tmp_path, "eight", run="8")
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", for_run=7) == "seven"
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", for_run="8") == "eight"
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", True, 8) == "eight"
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", for_run=9) is None
    for run, wanted in (("7", "seven"), ("8", "eight"), ("9", None)):
        monkeypatch.setenv("RUN", run)
        assert read_latest_db_entry(str(tmp_path), "Earlier", "out") == wanted


def test_read_latest_db_entry_without_a_record(tmp_path: Path) -> None:
    """A5: no record and no such Task are None."""
    assert read_latest_db_entry(str(tmp_path), "Earlier", "out", for_run=7) is None
    record(tmp_path, "x")
    assert read_latest_db_entry(str(tmp_path), "Nobody", "out", for_run=7) is None


def test_read_documents_knows_places(tmp_path: Path) -> None:
    """A5: what is read knows its lines and columns, from 1."""
    first, second = read_documents("a: 1\n---\nb:\n  - {c: x}\n", "f.yaml")
    assert (first.value, second.value) == ({"a": 1}, {"b": [{"c": "x"}]})
    assert second.places["b", 0, "c"] == (4, 6)
