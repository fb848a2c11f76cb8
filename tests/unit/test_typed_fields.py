"""The typed spelling of parameters: one value is one argument, a bool is a switch, a list is several."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from conftest import Project
from lute import (
    AnalysisHeader,
    ConfigError,
    Field,
    Flag,
    FromResult,
    IsResult,
    KeyValue,
    Output,
    Positional,
    Stderr,
    Stdin,
    Stdout,
    TaskParameters,
    ThirdPartyParameters,
    ThirdPartyTask,
)
from lute.errors import ModelError
from lute.io.config import parse_config
from lute.models.base import fields_marked, result_field
from lute.models.files import inputs_named, outputs_declared
from lute.record.rows import plain

ODD_TEXTS = [
    *(
        "plain",
        "two words",
        "  ",
        " a  b ",
        "a\tb",
        "a\nb",
        "\t",
        "\n",
        "it's",
        'say "hi"',
        "--rm -rf",
        "-",
        "$HOME",
    ),
    *("Ångström", "結晶 構造", "a=b", "a,b", "*.cbf", "; true", "back\\slash"),
]
ODD_NUMBERS = [0, 0.0, -0.0, -1, 10**20, 1e-6, 1e22, float("inf")]


@pytest.fixture(autouse=True)
def _no_timer() -> Iterator[None]:
    """The interval timer that a Task starts ends with its test."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def model(annotation: Any, name: str = "value", **config: Any) -> type[ThirdPartyParameters]:
    """Makes a program's model with one more parameter."""
    body: dict[str, Any] = {"__module__": __name__, "executable": "program"}
    body["__annotations__"] = {"executable": str, name: annotation}
    body["Config"] = type("Config", (), config)
    return type(ThirdPartyParameters)("OneFieldParameters", (ThirdPartyParameters,), body)


def arguments(annotation: Any, value: Any, folder: Path, name: str = "value", **config: Any) -> list[str]:
    """Returns the arguments that one parameter makes."""
    params = model(annotation, name, **config)(lute_config=AnalysisHeader(work_dir=str(folder)), **{name: value})
    task = ThirdPartyTask(params=params)
    task._pre_run()
    assert task._args_list[0] == "program"
    return task._args_list[1:]


# ------------------------------------------------------------------------------------- one value


@pytest.mark.parametrize("value", [*ODD_TEXTS, *ODD_NUMBERS, Path("/a b/c"), Path()])
def test_one_value_is_one_argument(value: Any, tmp_path: Path) -> None:
    """A3: in each typed spelling, one value is one argument, as Python's `str` writes it, never split."""
    text = str(value)
    assert arguments(Annotated[Any, Flag("-n")], value, tmp_path) == ["-n", text]
    assert arguments(Annotated[Any, Flag("--name")], value, tmp_path) == ["--name", text]
    assert arguments(Annotated[Any, Flag("--name", sep="=")], value, tmp_path) == [f"--name={text}"]
    assert arguments(Annotated[Any, Flag("-j", sep="")], value, tmp_path) == [f"-j{text}"]
    assert arguments(Annotated[Any, Positional()], value, tmp_path) == [text]
    assert arguments(Annotated[Any, KeyValue("unit_cell")], value, tmp_path) == [f"unit_cell={text}"]


@pytest.mark.parametrize("value", [None, ""])
@pytest.mark.parametrize(
    "spelling",
    [
        Flag("-n"),
        Flag("--n", sep="="),
        Flag("-n", sep=""),
        Flag("--n", negated="--no-n"),
        Flag("--n", repeat=True),
        Flag("--n", join=","),
        Positional(),
        Positional(join=","),
        KeyValue("n"),
        KeyValue("n", join=","),
    ],
    ids=repr,
)
def test_what_is_not_given_is_left_out(spelling: Any, value: Any, tmp_path: Path) -> None:
    """A3: None and "" are left out, whatever the spelling; None is no false."""
    assert arguments(Annotated[Any, spelling], value, tmp_path) == []


def test_a_flag_is_written_as_it_is_given(tmp_path: Path) -> None:
    """A5: `Flag` takes the flag with its dashes, of whatever kind the program wants."""
    for flag in ("-n", "--name", "-name", "+x", "/O", "name:", "--größe"):
        assert arguments(Annotated[int, Flag(flag)], 3, tmp_path) == [flag, "3"]


@pytest.mark.parametrize("sep", ["=", ":", "", " ", "=="])
def test_sep_joins_flag_and_value(sep: str, tmp_path: Path) -> None:
    """A5: with `sep`, flag and value are one argument."""
    assert arguments(Annotated[str, Flag("--n", sep=sep)], "a b", tmp_path) == [f"--n{sep}a b"]


def test_config_settings_do_not_surprise_the_typed_spelling(tmp_path: Path) -> None:
    """A3: the typed spelling says itself how a flag is joined; `..._use_eq` is for the older one."""
    settings = {"short_flags_use_eq": True, "long_flags_use_eq": True}
    assert arguments(Annotated[int, Flag("-n")], 3, tmp_path, **settings) == ["-n", "3"]
    assert arguments(Annotated[int, Flag("--n")], 3, tmp_path, **settings) == ["--n", "3"]
    assert arguments(Annotated[bool, Flag("--n")], True, tmp_path, **settings) == ["--n"]


def test_key_value_takes_the_parameters_own_name(tmp_path: Path) -> None:
    """A5: `KeyValue()` without a key writes the parameter's name."""
    assert arguments(Annotated[float, KeyValue()], 1.5, tmp_path, name="d_min") == ["d_min=1.5"]
    assert arguments(Annotated[float, KeyValue("resolution.d_min")], 1.5, tmp_path) == ["resolution.d_min=1.5"]
    assert arguments(Annotated[float, KeyValue("d_min", sep=" = ")], 1.5, tmp_path) == ["d_min = 1.5"]


# ------------------------------------------------------------------------------------- bools


@pytest.mark.parametrize("sep", [None, "=", ""])
def test_a_bool_is_a_switch(sep: str | None, tmp_path: Path) -> None:
    """A3: a bool under a Flag is the flag alone when true and nothing when false, with short flags as well."""
    assert arguments(Annotated[bool, Flag("-v", sep=sep)], True, tmp_path) == ["-v"]
    assert arguments(Annotated[bool, Flag("-v", sep=sep)], False, tmp_path) == []
    assert arguments(Annotated[bool, Flag("--verbose", sep=sep)], True, tmp_path) == ["--verbose"]
    assert arguments(Annotated[bool, Flag("--verbose", sep=sep)], False, tmp_path) == []


def test_negated_is_written_when_false(tmp_path: Path) -> None:
    """A5: `negated` is the switch for false; true is the flag; None is neither."""
    annotation = Annotated[bool | None, Flag("--cache", negated="--no-cache")]
    assert arguments(annotation, True, tmp_path) == ["--cache"]
    assert arguments(annotation, False, tmp_path) == ["--no-cache"]
    assert arguments(annotation, None, tmp_path) == []


def test_negated_leaves_other_values_alone(tmp_path: Path) -> None:
    """A3: 0 is a value, not a false."""
    assert arguments(Annotated[int, Flag("--level", negated="--no-level")], 0, tmp_path) == ["--level", "0"]


def test_bool_is_judged_on_the_value(tmp_path: Path) -> None:
    """A3: what the value is decides, not what the annotation says."""
    assert arguments(Annotated[bool | int, Flag("-n")], True, tmp_path) == ["-n"]
    assert arguments(Annotated[bool | int, Flag("-n")], 1, tmp_path) == ["-n", "1"]


@pytest.mark.parametrize("value", [True, False])
def test_a_bool_after_a_key_is_its_value(value: bool, tmp_path: Path) -> None:
    """A3: False is a value: after a key or in a list, a bool is written."""
    assert arguments(Annotated[bool, KeyValue("merge")], value, tmp_path) == [f"merge={value}"]
    assert arguments(Annotated[list[bool], Flag("--periodic")], [value], tmp_path) == ["--periodic", str(value)]
    assert arguments(Annotated[Any, Positional()], value, tmp_path) == [str(value)]


# ------------------------------------------------------------------------------------- what cannot be written


class Inner(BaseModel):
    """A nested model."""

    a: int = 1


@dataclass
class Plain:
    """A dataclass."""

    a: int = 1


class Named(TypedDict):
    """A dict with known names."""

    a: int


@pytest.mark.parametrize("kind", [bool, bool | None, bool | str, Annotated[bool | None, "note"], Literal["auto", True]])
@pytest.mark.parametrize("spelling", [Positional(), Positional(join=",")])
def test_a_bool_has_no_place_without_a_flag(kind: Any, spelling: Any) -> None:
    """A3: a bool is a switch; under Positional there is none to write, which is an error of the class."""
    with pytest.raises(ModelError, match=r"OneFieldParameters\.value: a bool is a switch[\s\S]*Flag"):
        model(Annotated[kind, spelling])


@pytest.mark.parametrize(
    "kind",
    [
        *(dict, dict[str, int], dict[str, int] | None, Mapping[str, str], Named, Inner, Inner | str, Plain, bytes),
        *(
            list[dict[str, int]],
            list[Inner | None],
            tuple[Plain, ...],
            list[list[int]],
            list[tuple[int, int]],
            list[list],
        ),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    "spelling", [Flag("-n"), Flag("-n", repeat=True), Positional(), KeyValue("n", join=",")], ids=repr
)
def test_what_has_no_one_way_to_be_written_is_an_error(kind: Any, spelling: Any) -> None:
    """A3: no surprises: what is no value, switch or list is an error when the class is made, which names the type."""
    with pytest.raises(ModelError, match=r"OneFieldParameters\.value: there is no one way to write \w"):
        model(Annotated[kind, spelling])


@pytest.mark.parametrize(
    "kind",
    [
        *(
            int | str | None,
            list[int | float],
            set[str],
            tuple[int, ...],
            tuple[int, str],
            Sequence[str],
            Literal["a", 1],
        ),
        *(Path, datetime, Decimal, Enum("Letters", ["a", "b"]), list[Literal["a"]], list[str] | str),
    ],
    ids=str,
)
def test_what_can_be_written_is_no_error(kind: Any) -> None:
    """A3: values, lists of values, choices."""
    assert model(Annotated[kind, Positional()]).model_fields["value"].is_required()


def test_what_is_not_written_may_be_of_any_type() -> None:
    """A3: the older spelling writes a nested model as its dict; a parameter with no spelling may be anything."""
    assert model(Annotated[dict[str, Inner], IsResult()])
    assert model(bytes)


@pytest.mark.parametrize(("value", "wanted"), [({"b", "a c", "Z"}, ["Z", "a c", "b"]), ({10, 9}, ["9", "10"])])
def test_a_set_is_in_order(value: Any, wanted: list[str], tmp_path: Path) -> None:
    """A3: no surprises: a set is written in sorted order, the same in every process."""
    assert arguments(Annotated[set[Any], Positional()], value, tmp_path) == wanted
    assert arguments(Annotated[frozenset[Any], Flag("-n", join=",")], frozenset(value), tmp_path) == [
        "-n",
        ",".join(wanted),
    ]
    assert plain(value) == sorted(value)
    assert arguments(Annotated[set[Any], Positional()], {1, "1 a"}, tmp_path) == ["1", "1 a"]


# ------------------------------------------------------------------------------------- lists


@pytest.mark.parametrize(
    ("spelling", "wanted"),
    [
        (Flag("-f"), ["-f", "1", "2.5", "a b"]),
        (Flag("-f", repeat=True), ["-f", "1", "-f", "2.5", "-f", "a b"]),
        (Flag("-f", sep="=", repeat=True), ["-f=1", "-f=2.5", "-f=a b"]),
        (Flag("-f", sep="", repeat=True), ["-f1", "-f2.5", "-fa b"]),
        (Flag("-f", join=","), ["-f", "1,2.5,a b"]),
        (Flag("-f", sep="=", join=","), ["-f=1,2.5,a b"]),
        (Flag("-f", join=" "), ["-f", "1 2.5 a b"]),
        (Flag("-f", join=""), ["-f", "12.5a b"]),
        (Positional(), ["1", "2.5", "a b"]),
        (Positional(join=","), ["1,2.5,a b"]),
        (KeyValue("f"), ["f=1", "f=2.5", "f=a b"]),
        (KeyValue("f", join=","), ["f=1,2.5,a b"]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_is_several(spelling: Any, wanted: list[str], kind: type, tmp_path: Path) -> None:
    """A3: a list is several arguments; `join` makes one value of it, `repeat` writes the flag for each."""
    assert arguments(Annotated[Any, spelling], kind([1, 2.5, "a b"]), tmp_path) == wanted


@pytest.mark.parametrize(
    "spelling",
    [Flag("-f"), Flag("-f", repeat=True), Flag("-f", sep="=", repeat=True), Positional(), KeyValue("f")],
    ids=repr,
)
def test_an_empty_list_is_no_argument(spelling: Any, tmp_path: Path) -> None:
    """A3: a list of nothing is no arguments, and no flag without a value."""
    assert arguments(Annotated[list[str], spelling], [], tmp_path) == []


def test_items_that_look_like_nothing_are_values(tmp_path: Path) -> None:
    """A3: 0, 0.0 and False in a list are values."""
    assert arguments(Annotated[list[Any], Positional()], [0, 0.0, False], tmp_path) == ["0", "0.0", "False"]
    assert arguments(Annotated[list[Any], Flag("-x", join=",")], [0, 0.0, 1], tmp_path) == ["-x", "0,0.0,1"]


def test_one_item_is_like_many(tmp_path: Path) -> None:
    """A3: a list of one is one argument, and stays whole."""
    assert arguments(Annotated[list[Path], Positional()], [Path("a b")], tmp_path) == ["a b"]
    assert arguments(Annotated[list[Path], Flag("-f", repeat=True)], [Path("a b")], tmp_path) == ["-f", "a b"]


# ------------------------------------------------------------------------------------- the model


class MixedParameters(ThirdPartyParameters):
    """All spellings in one model."""

    executable: str = "program"
    threads: Annotated[int, Flag("-j")] = 4
    mode: Annotated[Literal["fast", "slow"], Flag("--mode", sep="=")] = "fast"
    old: str = Field("a b", flag_type="--", rename_param="older")
    cell: Annotated[list[float], KeyValue("unit_cell", join=",")] = Field([79.0, 79.5, 38.0])
    verbose: Annotated[bool, Flag("-v")] = False
    files: Annotated[list[Path], Positional()]


def test_spellings_mix_in_the_order_of_the_model(tmp_path: Path) -> None:
    """A3: arguments are in the order of the model; older and typed spelling may stand side by side."""
    params = MixedParameters(lute_config=AnalysisHeader(work_dir=str(tmp_path)), files=["x y", "z"])
    task = ThirdPartyTask(params=params)
    task._pre_run()
    middle = ["--older", "a", "b", "unit_cell=79.0,79.5,38.0"]
    assert task._args_list == ["program", "-j", "4", "--mode=fast", *middle, "x y", "z"]


def test_a_typed_model_gives_no_warning(tmp_path: Path) -> None:
    """A3: the PendingDeprecationWarning is for parameters without a spelling only."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        arguments(Annotated[int, Flag("-n")], 1, tmp_path)
        arguments(Annotated[int, Positional()], 1, tmp_path)
        arguments(Annotated[int, KeyValue()], 1, tmp_path)
    assert caught == []


def test_typed_values_are_still_validated(tmp_path: Path) -> None:
    """A5: the metadata says how a value is written; its type is checked all the same."""
    with pytest.raises(ValueError, match="threads"):
        MixedParameters(lute_config=AnalysisHeader(work_dir=str(tmp_path)), files=[], threads="many")


# ---------------------------------------------------------------- IsResult, Output, FromResult


class MarkedParameters(ThirdPartyParameters):
    """A program with outputs."""

    executable: str = "program"
    log: Annotated[Path, Flag("--log"), Output(may_be_empty=True)] = Path("log")
    out: Annotated[Path, Flag("-o"), IsResult(), Output()] = Path("out")


def test_marks_are_found_on_the_model() -> None:
    """A5: `IsResult` and `Output` stand beside the spelling and do not change it."""
    assert result_field(MarkedParameters) == "out"
    assert fields_marked(MarkedParameters, Output) == {"log": Output(may_be_empty=True), "out": Output()}


def test_marks_do_not_change_the_command_line(tmp_path: Path) -> None:
    """A5: a marked parameter is written as its Flag says."""
    task = ThirdPartyTask(params=MarkedParameters(lute_config=AnalysisHeader(work_dir=str(tmp_path))))
    task._pre_run()
    assert task._args_list == ["program", "--log", "log", "-o", "out"]


@pytest.mark.parametrize(
    ("script", "status", "named"),
    [
        ('echo x > "$1"; : > "$2"', "COMPLETED", ""),
        (': > "$1"; : > "$2"', "FAILED", "result file.txt"),
        (': > "$2"', "FAILED", "result file.txt"),
        ('echo x > "$1"', "FAILED", "log.txt"),
        ('mkdir "$1"; : > "$2"', "FAILED", "result file.txt"),
        ('mkdir "$1"; : > "$1/a"; : > "$2"', "COMPLETED", ""),
    ],
    ids=["all there", "empty", "missing", "may be empty but is missing", "empty folder", "folder"],
)
def test_outputs_are_checked_after_the_program(project: Project, script: str, status: str, named: str) -> None:
    """A5: a declared output that is missing or empty makes the Task FAILED and is named; the result is kept."""
    project.plugin("writer")
    project.config()
    found = project.run_task("Writer", "--set", f"Writer.script={script}", "--set", "Writer.out=result file.txt")
    assert found["status"] == status, found
    assert named in found["reason"]
    assert found["exit_code"] == 0
    if status == "COMPLETED":
        assert found["payload"] == "result file.txt"


class LaterParameters(TaskParameters):
    """Takes what `Earlier` gave."""

    source: Annotated[str, FromResult("Earlier", "out")] = "default"
    needed: Annotated[int, FromResult("Earlier")]


def later(folder: Path, given: str, found: dict[tuple[str, str], Any]) -> LaterParameters:
    """Reads `LaterParameters` with earlier results from a dict."""
    path = folder / "later.yaml"
    path.write_text(f"experiment: exp1\nrun: 7\nwork_dir: {folder}\n---\nLater: {given}\n", encoding="utf-8")

    def reader(header: AnalysisHeader, task: str, param: str) -> Any:
        assert (header.experiment, str(header.run)) == ("exp1", "7")
        return found.get((task, param))

    params = parse_config("Later", path, reader=reader)
    assert isinstance(params, LaterParameters)
    return params


@pytest.mark.parametrize("value", ["x", "", "a b", "結晶"])
def test_from_result_is_the_default(value: str, tmp_path: Path) -> None:
    """A5: a FromResult parameter that is not given is another Task's parameter, or its result."""
    params = later(tmp_path, "{}", {("Earlier", "out"): value, ("Earlier", "result"): 0})
    assert (params.source, params.needed) == (value, 0)


def test_from_result_gives_way_to_what_is_given(tmp_path: Path) -> None:
    """A5: FromResult is a default only."""
    params = later(tmp_path, "{source: mine, needed: 3}", {("Earlier", "out"): "x", ("Earlier", "result"): 1})
    assert (params.source, params.needed) == ("mine", 3)


def test_from_result_falls_back_on_the_fields_default(tmp_path: Path) -> None:
    """A5: with nothing recorded, the default that the model writes is taken."""
    assert later(tmp_path, "{needed: 3}", {}).source == "default"


def test_from_result_with_nothing_recorded_and_no_default_says_whom_to_run(tmp_path: Path) -> None:
    """A5: with nothing recorded and no default, the error names parameter and Task, once."""
    with pytest.raises(ConfigError) as caught:
        later(tmp_path, "{}", {})
    assert len(caught.value.problems) == 1
    assert "needed" in str(caught.value)
    assert "Earlier" in str(caught.value)


def test_from_result_is_validated(tmp_path: Path) -> None:
    """A5: an earlier value of the wrong type is an error that names the parameter."""
    with pytest.raises(ConfigError, match="needed"):
        later(tmp_path, "{}", {("Earlier", "result"): "not a number"})


def test_from_result_is_not_asked_for_what_the_environment_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: `LUTE_<name>` is a given value, before FromResult."""
    monkeypatch.setenv("LUTE_source", "from the environment")
    params = later(tmp_path, "{needed: 1}", {("Earlier", "out"): "x"})
    assert params.source == "from the environment"


# ------------------------------------------------------------------- files in place of standard streams


STREAMS = (Stdin(), Stdout(), Stdout(append=True), Stderr(), Stderr(append=True))


@pytest.mark.parametrize("mark", STREAMS, ids=repr)
@pytest.mark.parametrize("kind", [str, Path, Path | None, Any], ids=str)
def test_a_stream_is_no_argument(mark: Any, kind: Any, tmp_path: Path) -> None:
    """C4: the file of a standard stream is not on the command line."""
    assert arguments(Annotated[kind, mark], "a file", tmp_path) == []


@pytest.mark.parametrize("mark", STREAMS, ids=repr)
@pytest.mark.parametrize(
    "spelling", [Flag("-i"), Positional(), KeyValue(), Field(flag_type="--"), Field(rename_param="n")], ids=repr
)
def test_a_stream_that_says_how_it_is_written_is_an_error(mark: Any, spelling: Any) -> None:
    """C4: what is no argument is not written as one."""
    for metadata in ((mark, spelling), (spelling, mark)):
        with pytest.raises(ModelError, match=r"OneFieldParameters\.value: .* is no argument: leave out"):
            model(Annotated[Any, *metadata])


@pytest.mark.parametrize("mark", STREAMS, ids=repr)
@pytest.mark.parametrize("kind", [bool, list[Path], dict[str, str], list[str] | str], ids=str)
def test_a_stream_takes_the_path_of_one_file(mark: Any, kind: Any) -> None:
    """C4: no list, no switch."""
    with pytest.raises(ModelError, match="takes the path of one file, not"):
        model(Annotated[kind, mark])


@pytest.mark.parametrize("marks", [(Stdin(), Stdin()), (Stdout(), Stdout(append=True)), (Stderr(), Stderr())])
def test_a_stream_has_one_file(marks: tuple[Any, Any]) -> None:
    """C4: two fields of a model, also one that it inherits, are not the same stream."""
    one = model(Annotated[Path, marks[0]], "one")
    with pytest.raises(ModelError, match=r"one and two are both Std(in|out|err)\(\)"):
        type(one)("TwiceParameters", (one,), {"__annotations__": {"two": Annotated[Path, marks[1]]}})


@pytest.mark.parametrize("mark", STREAMS, ids=repr)
def test_streams_are_for_programs(mark: Any) -> None:
    """C4: a Task in Python has no file in place of a stream."""
    with pytest.raises(ModelError, match=r"NoProgramParameters\.file: Std(in|out|err)\(\) is for programs"):
        type(TaskParameters)(
            "NoProgramParameters", (TaskParameters,), {"__annotations__": {"file": Annotated[Path, mark]}}
        )


def test_files_of_streams_are_inputs_and_outputs(tmp_path: Path) -> None:
    """C4: a file for `Stdin()` is an input; one for `Stdout()` is none, and an output where it is `Output()` too."""

    class FlowingParameters(ThirdPartyParameters):
        executable: str = "program"
        source: Annotated[Path, Stdin(), IsResult()] = Path("in.txt")
        out: Annotated[Path, Stdout(), Output()] = Path("out.txt")
        err: Annotated[Path, Stderr()] = Path("err.txt")

    params = FlowingParameters(lute_config=AnalysisHeader(work_dir=str(tmp_path)))
    assert [file.path for file in inputs_named(params, "/there")] == ["/there/in.txt"]
    assert "/there/out.txt" in [file.path for file in outputs_declared(params, "/there")]
    assert "/there/err.txt" not in [file.path for file in outputs_declared(params, "/there")]
