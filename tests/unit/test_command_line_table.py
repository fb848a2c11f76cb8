"""SPEC A3's command lines as a table, and what `ThirdPartyTask` makes of the same parameters."""

from __future__ import annotations

import random
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pydantic
import pytest

from lute.models.base import (
    AnalysisHeader,
    Field,
    TemplateConfig,
    TemplateParameters,
    ThirdPartyParameters,
)
from lute.tasks.task import ThirdPartyTask
from lute.wire.ipc import Message

NOT_GIVEN = "no flag_type"
FLAG_TYPES = ("-", "--", "", NOT_GIVEN)
GENERATED = 600


@pytest.fixture(autouse=True)
def _no_timer() -> Iterator[None]:
    """The interval timer that a Task starts ends with its test."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


# ------------------------------------------------------------------------------------- the table


class Parameter(NamedTuple):
    """One parameter of a generated model."""

    name: str
    value: Any
    flag_type: str
    rename: str | None


class Inner(pydantic.BaseModel):
    """A nested model."""

    depth: int = 2
    label: str = "a b"


def expected(parameter: Parameter, short_eq: bool, long_eq: bool) -> list[str]:
    """Returns the arguments that SPEC A3 asks for."""
    name, value, flag_type, rename = parameter
    if value is None or (isinstance(value, str) and value == ""):
        return []
    written = str(value.model_dump()) if isinstance(value, pydantic.BaseModel) else str(value)
    alone = value.split() if isinstance(value, str) and " " in value else [written]
    shown = rename or name
    style = style_of(name, value, flag_type, short_eq, long_eq)
    return {
        "nothing": [],
        "positional": alone,
        "-switch": [f"-{shown}"],
        "--switch": [f"--{shown}"],
        "-one": [f"-{shown}={written}"],
        "--one": [f"--{shown}={written}"],
        "-two": [f"-{shown}", *alone],
        "--two": [f"--{shown}", *alone],
    }[style]


def style_of(name: str, value: Any, flag_type: str, short_eq: bool, long_eq: bool) -> str:
    """Returns which row of the table a parameter is in."""
    is_bool, short, long = isinstance(value, bool), ["-two", "-one"][short_eq], ["--two", "--one"][long_eq]
    if flag_type == NOT_GIVEN:
        if len(name) == 1:
            return short
        if "p_arg" in name:
            return "positional"
        if is_bool and value is False:
            return "nothing"
        return "--switch" if is_bool and not long_eq else long
    if flag_type == "":
        return "positional"
    if flag_type == "-":
        return short
    if is_bool:
        return "--switch" if value else "nothing"
    return long


VALUES: list[Any] = [
    *(0, 1, -3, 10**20),
    *(0.0, -0.0, 1e-6, 0.1 + 0.2, 1e22, float("inf"), float("nan"), 2.0),
    *("", " ", "   ", "plain", "two words", " a  b ", "tab\there", "line\nbreak", "a\tb c\nd", "\t", "\n"),
    *("it's", 'say "hi" now', "--rm -rf /", "-x", "-", "Ångström µ", "結晶 構造", "$HOME", "{{ x }}", "a=b"),
    *(True, False),
    *([], [1, 2], ["a b", ""], [0.5, None], (1, 2), {"a": 1}),
    *(Path("/data/file"), Path("/data/a b.cbf"), Path()),
    None,
    Inner(),
    Inner(depth=0, label=""),
]
NAMES = {
    "one letter": [*list("abnjxXZ"), "é", "µ"],
    "long": ["threads", "out_file", "number_of_frames", "nn", "n1", "arg_p", "parg", "größe", "P_ARG"],
    "p_arg": ["p_arg", "p_arg1", "my_p_arg_2", "xp_argx"],
}
RENAMES = (None, "z", "renamed", "two-part.name", "p_arg", "Größe")


# ------------------------------------------------------------------------------------- the code


def model_for(
    parameters: list[Parameter], short_eq: bool, long_eq: bool, base: type = ThirdPartyParameters
) -> type[ThirdPartyParameters]:
    """Makes a model in the older spelling."""
    config = type("Config", (), {"short_flags_use_eq": short_eq, "long_flags_use_eq": long_eq})
    body: dict[str, Any] = {"__module__": __name__, "Config": config}
    annotations: dict[str, Any] = {"executable": str}
    body["executable"] = Field("program", description="The program.")
    for name, value, flag_type, rename in parameters:
        attributes = {} if flag_type == NOT_GIVEN else {"flag_type": flag_type}
        attributes |= {} if rename is None else {"rename_param": rename}
        body[name] = Field(value, description="A parameter.", **attributes)
        annotations[name] = Any
    return type(base)("GeneratedParameters", (base,), {**body, "__annotations__": annotations})


def made_task(model: type[ThirdPartyParameters], folder: Path, **values: Any) -> ThirdPartyTask:
    """Returns the Task after `_pre_run`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        task = ThirdPartyTask(params=model(lute_config=AnalysisHeader(work_dir=str(folder)), **values))
        task._pre_run()
    return task


def differences(parameters: list[Parameter], short_eq: bool, long_eq: bool, folder: Path) -> list[str]:
    """Returns a line for a command line that is not the table's."""
    wanted = ["program"]
    for parameter in parameters:
        wanted += expected(parameter, short_eq, long_eq)
    found = made_task(model_for(parameters, short_eq, long_eq), folder)._args_list
    if found == wanted:
        return []
    return [f"{parameters} short_eq={short_eq} long_eq={long_eq}\n    wanted {wanted}\n    found  {found}"]


def generated(seed: int) -> Iterator[tuple[list[Parameter], bool, bool]]:
    """Gives command lines of one to six parameters, the same for the same seed."""
    chance = random.Random(seed)
    for _ in range(GENERATED):
        names = {chance.choice(NAMES[kind]) for kind in chance.choices(list(NAMES), k=chance.randint(1, 6))}
        yield (
            [
                Parameter(name, chance.choice(VALUES), chance.choice(FLAG_TYPES), chance.choice(RENAMES))
                for name in chance.sample(sorted(names), len(names))
            ],
            chance.random() < 0.5,
            chance.random() < 0.5,
        )


def test_generated_command_lines_are_the_tables(tmp_path: Path) -> None:
    """A3: 600 generated command lines are what the rules give."""
    lines = list(generated(seed=2))
    assert len(lines) >= 600
    assert [text for line in lines for text in differences(*line, tmp_path)] == []


def test_generated_lines_cover_the_rules() -> None:
    """A3: the generated lines hold every flag_type, kind of name, kind of value, rename and both settings."""
    lines = list(generated(seed=2))
    used = [parameter for parameters, _, _ in lines for parameter in parameters]
    assert {parameter.flag_type for parameter in used} == set(FLAG_TYPES)
    assert {parameter.rename for parameter in used} == set(RENAMES)
    assert {repr(parameter.value) for parameter in used} == {repr(value) for value in VALUES}
    assert {parameter.name for parameter in used} == {name for names in NAMES.values() for name in names}
    assert {(short, long) for _, short, long in lines} == {(a, b) for a in (True, False) for b in (True, False)}


@pytest.mark.parametrize("long_eq", [False, True], ids=["", "long_eq"])
@pytest.mark.parametrize("short_eq", [False, True], ids=["", "short_eq"])
@pytest.mark.parametrize("kind", list(NAMES))
@pytest.mark.parametrize("rename", [None, "renamed"])
@pytest.mark.parametrize("flag_type", FLAG_TYPES)
def test_every_value_in_every_row(
    flag_type: str, rename: str | None, kind: str, short_eq: bool, long_eq: bool, tmp_path: Path
) -> None:
    """A3: each odd value in each row of the table, one model a row."""
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)] + [chr(code) for code in range(ord("A"), 91)]
    names = {
        "one letter": letters,
        "long": [f"name_{number}" for number in range(len(VALUES))],
        "p_arg": [f"p_arg{number}" for number in range(len(VALUES))],
    }[kind]
    parameters = [Parameter(name, value, flag_type, rename) for name, value in zip(names, VALUES, strict=False)]
    assert len(parameters) == len(VALUES)
    assert differences(parameters, short_eq, long_eq, tmp_path) == []


LINES: list[tuple[str, Parameter, bool, bool, list[str]]] = [
    ("a dash takes two", Parameter("n", 4, "-", None), False, False, ["-n", "4"]),
    ("a dash with eq takes one", Parameter("n", 4, "-", None), True, False, ["-n=4"]),
    ("a dash ignores the long setting", Parameter("n", 4, "-", None), False, True, ["-n", "4"]),
    ("a long name after one dash", Parameter("out", "f", "-", None), False, False, ["-out", "f"]),
    ("one letter after two dashes", Parameter("n", 4, "--", None), True, True, ["--n=4"]),
    ("a bool under one dash has its value", Parameter("n", False, "-", None), False, False, ["-n", "False"]),
    ("a true switch", Parameter("fast", True, "--", "F"), False, True, ["--F"]),
    ("a false switch", Parameter("fast", False, "--", None), False, True, []),
    (
        "a number under two dashes is no switch",
        Parameter("fast", 1, "--", None),
        False,
        False,
        ["--fast", "1"],
    ),
    ("zero is a value", Parameter("skip", 0, "--", None), False, False, ["--skip", "0"]),
    ("0.0 is a value", Parameter("skip", 0.0, "", None), False, False, ["0.0"]),
    ("False is a value", Parameter("p_arg1", False, NOT_GIVEN, None), False, False, ["False"]),
    ("a small float", Parameter("tol", 1e-6, "--", None), False, False, ["--tol", "1e-06"]),
    ("a list", Parameter("tol", [1, 2], "--", None), False, False, ["--tol", "[1, 2]"]),
    ("one letter, bool", Parameter("x", True, NOT_GIVEN, None), False, False, ["-x", "True"]),
    ("one letter, renamed", Parameter("x", 1, NOT_GIVEN, "extra"), True, False, ["-extra=1"]),
    ("long, renamed to one letter", Parameter("extra", 1, NOT_GIVEN, "x"), False, False, ["--x", "1"]),
    ("p_arg, renamed", Parameter("p_arg1", 1, NOT_GIVEN, "x"), True, True, ["1"]),
    ("renamed to p_arg", Parameter("extra", 1, NOT_GIVEN, "p_arg"), False, False, ["--p_arg", "1"]),
    ("a bare true", Parameter("extra", True, NOT_GIVEN, None), False, False, ["--extra"]),
    ("a bare true with eq", Parameter("extra", True, NOT_GIVEN, None), False, True, ["--extra=True"]),
    ("a bare false with eq", Parameter("extra", False, NOT_GIVEN, None), False, True, []),
    ("spaces split", Parameter("extra", "a  b\tc", "--", None), False, False, ["--extra", "a", "b", "c"]),
    ("spaces in one argument stay", Parameter("extra", "a  b", "--", None), False, True, ["--extra=a  b"]),
    ("spaces alone", Parameter("extra", "  ", "", None), False, False, []),
    ("a tab alone", Parameter("extra", "a\tb", "", None), False, False, ["a\tb"]),
    ("a path is no string", Parameter("extra", Path("a b"), "", None), False, False, ["a b"]),
]


@pytest.mark.parametrize(
    ("parameter", "short_eq", "long_eq", "wanted"),
    [pytest.param(*line, id=what) for what, *line in LINES],
)
def test_lines_written_by_hand(
    parameter: Parameter, short_eq: bool, long_eq: bool, wanted: list[str], tmp_path: Path
) -> None:
    """A3: sentences of the rules, each with the line it means; the table agrees."""
    assert expected(parameter, short_eq, long_eq) == wanted
    assert made_task(model_for([parameter], short_eq, long_eq), tmp_path)._args_list == ["program", *wanted]


# ------------------------------------------------------------------------------------ around the line


class ShapeParameters(ThirdPartyParameters):
    """A program with everything that is no argument."""

    first: int = Field(1, flag_type="--")
    executable: str = Field("program", flag_type="--", rename_param="exe")
    lute_template_cfg: TemplateConfig | None = Field(None, flag_type="--")
    other_cfg: TemplateConfig = Field(TemplateConfig(template_name="t", output_path="o"), flag_type="--")
    variable: TemplateParameters = Field(TemplateParameters("v"), flag_type="--")
    last: int = Field(2, flag_type="--")


class Listening(ThirdPartyTask):
    """Keeps what it would report."""

    def _report_to_executor(self, msg: Message) -> None:
        self.__dict__.setdefault("heard", []).append(msg)


def shape(folder: Path, kind: type[ThirdPartyTask] = ThirdPartyTask, **values: Any) -> ThirdPartyTask:
    return kind(params=ShapeParameters(lute_config=AnalysisHeader(work_dir=str(folder)), **values))


def test_before_the_arguments_are_made(tmp_path: Path) -> None:
    """A3: `_cmd` is the executable, `_args_list` starts with it, the context is an empty dict."""
    task = shape(tmp_path)
    assert (task._cmd, task._args_list, task._template_context) == ("program", ["program"], {})


def test_what_is_no_argument(tmp_path: Path) -> None:
    """A3: executable, header, TemplateConfig and TemplateParameters are left out; the model's order is kept."""
    task = shape(tmp_path)
    task._pre_run()
    assert task._args_list == ["program", "--first", "1", "--last", "2"]
    assert task._template_context == {"variable": "v"}


@pytest.mark.parametrize("value", [None, "", 0, False, 0.0, [], {"a": [1]}, "a b"])
def test_template_values_go_to_the_context(value: Any, tmp_path: Path) -> None:
    """A3: a TemplateParameters goes to the context under its name, also with None or "" in it."""
    task = shape(tmp_path, variable=TemplateParameters(value), extra_name=value)
    task._pre_run()
    assert task._template_context == {"variable": value, "extra_name": value}
    assert type(task._template_context["extra_name"]) is type(value)


def test_add_to_jinja_context_has_the_fixed_names(tmp_path: Path) -> None:
    """A3: `_add_to_jinja_context(param_name, value)` adds one variable."""
    task = shape(tmp_path)
    task._add_to_jinja_context(param_name="one", value=[1])
    task._add_to_jinja_context("two", None)
    assert task._template_context == {"one": [1], "two": None}


def test_each_variable_is_reported_as_text(tmp_path: Path) -> None:
    """A3: without -O, each variable is reported as `TemplateParameters: {name: value}` when it is added."""
    task = shape(tmp_path, Listening, extra_name=[1, "a b"])
    task._pre_run()
    texts = [(msg.contents, msg.signal) for msg in task.heard]
    assert texts == [
        ("TemplateParameters: {'variable': 'v'}", None),
        ("TemplateParameters: {'extra_name': [1, 'a b']}", None),
    ]


def test_formatted_command_ends_each_argument_with_a_space(tmp_path: Path) -> None:
    """A3: `_formatted_command()` is every argument followed by one space."""
    task = shape(tmp_path)
    task._args_list += ["-a", "b c", ""]
    assert task._formatted_command() == "program -a b c  "


def test_a_subclass_may_add_arguments_around_the_made_ones(tmp_path: Path) -> None:
    """A3: a subclass's `_pre_run` may call `super()._pre_run()`."""

    class Wrapped(ThirdPartyTask):
        def _pre_run(self) -> None:
            super()._pre_run()
            self._args_list.append("--after")

    task = shape(tmp_path, Wrapped)
    task._pre_run()
    assert task._args_list == ["program", "--first", "1", "--last", "2", "--after"]


def test_arguments_of_parent_models_come_first(tmp_path: Path) -> None:
    """A3: arguments are in the order of the model, and an inherited model keeps its own settings of `=`."""
    base = model_for([Parameter("zeta", 1, "--", None)], False, True)
    child = type(base)(
        "ChildParameters",
        (base,),
        {"__module__": __name__, "__annotations__": {"alpha": int}, "alpha": Field(2, flag_type="--")},
    )
    assert made_task(child, tmp_path)._args_list == ["program", "--zeta=1", "--alpha=2"]


@pytest.mark.parametrize(
    "parameter",
    [
        Parameter("x", 1, NOT_GIVEN, "renamed"),
        Parameter("p_arg1", 1, NOT_GIVEN, None),
        Parameter("count", 1, NOT_GIVEN, None),
        Parameter("quick", False, NOT_GIVEN, None),
    ],
)
def test_a_parameter_without_flag_type_is_named_in_a_warning(parameter: Parameter, tmp_path: Path) -> None:
    """A3: without flag_type, a PendingDeprecationWarning names the parameter."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = model_for([Parameter("other", 1, "--", None), parameter], False, False)
        ThirdPartyTask(params=model(lute_config=AnalysisHeader(work_dir=str(tmp_path))))._pre_run()
    assert {warning.category for warning in caught} == {PendingDeprecationWarning}
    assert all(parameter.name in str(warning.message) for warning in caught)


def test_a_parameter_with_flag_type_gives_no_warning(tmp_path: Path) -> None:
    """A3: only parameters without flag_type are warned of."""
    parameters = [Parameter(f"name_{kind}", 1, flag_type, None) for kind, flag_type in enumerate(("-", "--", ""))]
    model = model_for(parameters, False, False)
    task = ThirdPartyTask(params=model(lute_config=AnalysisHeader(work_dir=str(tmp_path))))
    task._pre_run()
    assert task._args_list == ["program", "-name_0", "1", "--name_1", "1", "1"]
