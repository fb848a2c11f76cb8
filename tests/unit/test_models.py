"""Parameter models: header, environment, both spellings, `class Config`, `@lute.task`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import pydantic
import pytest

import lute
from conftest import Project
from lute import (
    AnalysisHeader,
    Field,
    Flag,
    Positional,
    Task,
    TaskParameters,
    TaskStatus,
    TemplateConfig,
    TemplateParameters,
    ThirdPartyParameters,
    ThirdPartyTask,
    plugins,
    root_validator,
    validator,
)
from lute.base import modules
from lute.base.variables import CONTROL_VARIABLES
from lute.models.base import result_field


@pytest.fixture(autouse=True)
def _no_timer() -> Iterator[None]:
    """The interval timer that a Task starts ends with its test."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def header(tmp_path: Path) -> AnalysisHeader:
    """A header that works in the test's own folder."""
    return AnalysisHeader(work_dir=str(tmp_path))


# ------------------------------------------------------------------------------------- the header


def test_header_has_defaults_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: a header needs nothing: 600 s, and on a laptop the current folder."""
    monkeypatch.chdir(tmp_path)
    header = AnalysisHeader()
    assert header.task_timeout == 600
    assert Path(header.work_dir).resolve() == tmp_path.resolve()
    assert all(hasattr(header, name) for name in ("title", "experiment", "run", "date", "lute_version"))


def test_header_keeps_what_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: what the YAML says comes before the environment."""
    monkeypatch.setenv("EXPERIMENT", "other")
    monkeypatch.setenv("RUN_NUM", "99_0")
    header = AnalysisHeader(
        title="t",
        experiment="exp1",
        run=7,
        date="2024/01/01",
        lute_version=0.2,
        task_timeout=5,
        work_dir=str(tmp_path),
    )
    assert (header.title, header.experiment, header.run, header.date) == ("t", "exp1", 7, "2024/01/01")
    assert (header.lute_version, header.task_timeout, header.work_dir) == (0.2, 5, str(tmp_path))


@pytest.mark.parametrize("given", [{}, {"experiment": ""}, {"experiment": None}])
def test_experiment_falls_back_to_the_environment(
    given: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: `experiment` falls back to `$EXPERIMENT`."""
    monkeypatch.setenv("EXPERIMENT", "mfxl1001")
    assert AnalysisHeader(work_dir=str(tmp_path), **given).experiment == "mfxl1001"


@pytest.mark.parametrize(("number", "run"), [("12_0", "12"), ("12", "12"), ("3_1_2", "3"), ("0_0", "0")])
@pytest.mark.parametrize("given", [{}, {"run": ""}, {"run": None}])
def test_run_falls_back_to_the_environment(
    given: dict[str, Any], number: str, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: `run` falls back to the part of `$RUN_NUM` before `_`."""
    monkeypatch.setenv("RUN_NUM", number)
    assert str(AnalysisHeader(work_dir=str(tmp_path), **given).run) == run


def test_run_zero_is_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: run 0 is given, not missing."""
    monkeypatch.setenv("RUN_NUM", "12_0")
    assert AnalysisHeader(work_dir=str(tmp_path), run=0).run == 0


def test_work_dir_must_exist(tmp_path: Path) -> None:
    """A5: a `work_dir` that does not exist is an error that names it."""
    missing = tmp_path / "not there"
    with pytest.raises(ValueError, match="not there"):
        AnalysisHeader(work_dir=str(missing))


def test_work_dir_must_be_a_folder(tmp_path: Path) -> None:
    """A5: a `work_dir` that is a file is an error that names it."""
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(ValueError, match="file"):
        AnalysisHeader(work_dir=str(file))


@contextmanager
def _as_an_ordinary_user() -> Iterator[None]:
    """Root can write anywhere: be someone else for a while."""
    if os.getuid() != 0:
        yield
        return
    os.setresuid(65534, 65534, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


def test_work_dir_must_be_writable() -> None:
    """A5: a `work_dir` that cannot be written is an error that names it."""
    folder = tempfile.mkdtemp(prefix="lute-read-only-")
    try:
        os.chmod(folder, 0o555)
        with _as_an_ordinary_user(), pytest.raises(ValueError, match="lute-read-only-"):
            AnalysisHeader(work_dir=folder)
    finally:
        os.rmdir(folder)


@pytest.mark.parametrize("timeout", [0, -1, "soon"])
def test_timeout_must_be_a_time(timeout: Any, tmp_path: Path) -> None:
    """A5: `task_timeout` is a number of seconds above 0."""
    with pytest.raises(ValueError, match="task_timeout"):
        AnalysisHeader(work_dir=str(tmp_path), task_timeout=timeout)


def test_fraction_of_a_second_is_kept(tmp_path: Path) -> None:
    """A5: `task_timeout` may be a fraction."""
    assert AnalysisHeader(work_dir=str(tmp_path), task_timeout=0.5).task_timeout == 0.5


# ------------------------------------------------------------------------------------- environment


class FromEnvironmentParameters(TaskParameters):
    """Values that may come from the environment."""

    threshold: float = 1.0
    name: str = "default"
    peaks: list[int] = Field([1], description="Peaks.")
    fast: bool = False


def test_values_come_from_the_environment(header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: a value not given comes from `LUTE_<name>`, and is validated."""
    monkeypatch.setenv("LUTE_threshold", "3.5")
    monkeypatch.setenv("LUTE_name", " a b ")
    monkeypatch.setenv("LUTE_peaks", "[4, 5]")
    monkeypatch.setenv("LUTE_fast", "true")
    params = FromEnvironmentParameters(lute_config=header)
    assert (params.threshold, params.name, params.peaks, params.fast) == (3.5, " a b ", [4, 5], True)


def test_given_values_win_over_the_environment(header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: the environment is for values that are not given; 0 and "" are given."""
    monkeypatch.setenv("LUTE_threshold", "3.5")
    monkeypatch.setenv("LUTE_name", "environment")
    params = FromEnvironmentParameters(lute_config=header, threshold=0, name="")
    assert (params.threshold, params.name) == (0, "")


def test_a_wrong_value_in_the_environment_is_an_error(header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: values from the environment are validated as any other."""
    monkeypatch.setenv("LUTE_threshold", "high")
    with pytest.raises(ValueError, match="threshold"):
        FromEnvironmentParameters(lute_config=header)


def test_numbers_for_text_parameters_stay_text(header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: what the environment gives to a text parameter is that text."""
    for text in ("0012", "1.10", "[1]", "true", ""):
        monkeypatch.setenv("LUTE_name", text)
        assert FromEnvironmentParameters(lute_config=header).name == text


CONTROL = [
    *("LUTE_PATH", "LUTE_SOCKET", "LUTE_PORT", "LUTE_EXECUTOR_HOST", "LUTE_USE_TCP", "LUTE_CONFIGPATH"),
    *(
        "LUTE_PLUGINS",
        "LUTE_DATABASE",
        "LUTE_WORK_DIR",
        "LUTE_DEBUG_EXIT_AT_YAML",
        "LUTE_DEBUG_BEFORE_TPP_EXEC",
    ),
]
"""Every control variable that the SPEC names."""


@pytest.mark.parametrize("variable", sorted({*CONTROL, *CONTROL_VARIABLES}))
@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_control_variables_are_never_values(
    variable: str, case: Any, header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: `lute`'s own control variables never become a parameter, however the parameter is spelt."""
    name = case(variable.removeprefix("LUTE_"))
    body = {"__module__": __name__, "__annotations__": {name: str}, name: "default"}
    model: Any = type(TaskParameters)("ControlledParameters", (TaskParameters,), body)
    monkeypatch.setenv(variable, "/somewhere")
    assert getattr(model(lute_config=header), name) == "default"
    assert variable in CONTROL_VARIABLES


def test_the_environment_gives_no_unknown_names(header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: a variable for no parameter is left alone, also by a model that takes unknown names."""
    monkeypatch.setenv("LUTE_nothing", "1")

    class OpenParameters(ThirdPartyParameters):
        executable: str = "program"

    assert OpenParameters(lute_config=header).model_extra == {}
    FromEnvironmentParameters(lute_config=header)


# ------------------------------------------------------------------------------------- unknown names


class ProgramParameters(ThirdPartyParameters):
    """A program."""

    executable: str = "program"
    count: Annotated[int, Flag("-n")] = 1


@pytest.mark.parametrize("value", [1, 0, "", None, "a b", [1, 2], {"a": {"b": None}}, 1.5])
def test_unknown_names_are_template_parameters(value: Any, header: AnalysisHeader) -> None:
    """A5: a program's model built in Python keeps an unknown name as `TemplateParameters`."""
    params: Any = ProgramParameters(lute_config=header, unknown=value)
    assert isinstance(params.unknown, TemplateParameters)
    assert params.unknown.params == value
    assert type(params.unknown.params) is type(value)
    task = ThirdPartyTask(params=params)
    task._pre_run()
    assert task._args_list == ["program", "-n", "1"]


def test_template_parameters_are_not_wrapped_twice(header: AnalysisHeader) -> None:
    """A5: a `TemplateParameters` that is given under an unknown name stays as it is."""
    params: Any = ProgramParameters(lute_config=header, unknown=TemplateParameters("x"))
    assert params.unknown == TemplateParameters("x")


def test_unknown_names_of_a_python_task_are_an_error(header: AnalysisHeader) -> None:
    """A5: only a program's model keeps unknown names."""
    with pytest.raises(ValueError, match="treshold"):
        FromEnvironmentParameters(lute_config=header, treshold=1)


def test_template_config_has_two_names() -> None:
    """A5: `TemplateConfig(template_name, output_path)`."""
    config = TemplateConfig(template_name="a.cfg", output_path="/tmp/a.cfg")
    assert (config.template_name, config.output_path) == ("a.cfg", "/tmp/a.cfg")
    with pytest.raises(ValueError, match="output_path"):
        TemplateConfig(template_name="a.cfg")


# ------------------------------------------------------------------------------------- older spelling


def arguments(params: ThirdPartyParameters) -> list[str]:
    task = ThirdPartyTask(params=params)
    task._pre_run()
    return task._args_list


def test_config_without_inheritance(header: AnalysisHeader) -> None:
    """A5: a bare `class Config` sets what it names and leaves the rest as it is for any model."""

    class BareParameters(ThirdPartyParameters):
        class Config:
            long_flags_use_eq = True

        executable: str = Field("program", description="The program.")
        count: int = Field(1, flag_type="--", rename_param="n")
        quick: int = Field(2, flag_type="-", rename_param="q")

    params = BareParameters(lute_config=header)
    assert arguments(params) == ["program", "--n=1", "-q", "2"]
    assert (params.Config.long_flags_use_eq, params.Config.short_flags_use_eq) == (True, False)
    assert params.Config.run_directory is None
    assert params.Config.impl_schemas is None


def test_config_with_inheritance(header: AnalysisHeader) -> None:
    """A5: `class Config(ThirdPartyParameters.Config)` works the same."""

    class DerivedParameters(ThirdPartyParameters):
        class Config(ThirdPartyParameters.Config):
            short_flags_use_eq: bool = True
            impl_schemas = "a;b"
            run_directory = "/tmp"

        executable: str = Field("program", description="The program.")
        quick: int = Field(2, flag_type="-", rename_param="q")

    params = DerivedParameters(lute_config=header)
    assert params.Config.impl_schemas == "a;b"
    assert params.Config.run_directory == "/tmp"
    assert DerivedParameters.Config.short_flags_use_eq is True


@pytest.mark.parametrize("inherits", [True, False])
def test_config_of_a_parent_model_holds(inherits: bool, header: AnalysisHeader) -> None:
    """A5: a model's `Config` goes to the models made from it, which may change a part."""

    class ParentParameters(ThirdPartyParameters):
        class Config(ThirdPartyParameters.Config):
            long_flags_use_eq = True
            impl_schemas = "parent"

        executable: str = "program"
        count: int = Field(1, flag_type="--")

    class ChildParameters(ParentParameters):
        if inherits:

            class Config(ParentParameters.Config):
                impl_schemas = "child"

        else:

            class Config:
                impl_schemas = "child"

    child = ChildParameters(lute_config=header)
    assert arguments(child) == ["program", "--count=1"]
    assert child.Config.impl_schemas == "child"
    assert ParentParameters(lute_config=header).Config.impl_schemas == "parent"
    assert ThirdPartyParameters.Config.impl_schemas is None


def test_config_may_hold_what_pydantic_knows(header: AnalysisHeader) -> None:
    """A5: pydantic's own settings in `class Config` go on working, without noise."""

    class StrictParameters(TaskParameters):
        class Config(TaskParameters.Config):
            extra = "allow"
            arbitrary_types_allowed = True
            set_result = True

        count: int = 1

    params: Any = StrictParameters(lute_config=header, other="kept")
    assert params.other == "kept"
    assert params.Config.set_result is True


def test_is_result_in_the_older_spelling() -> None:
    """A5: `Field(..., is_result=True)` marks the result."""

    class MarkedParameters(ThirdPartyParameters):
        executable: str = "program"
        log: str = Field("log", flag_type="--")
        out: str = Field("out", flag_type="--", is_result=True)

    assert result_field(MarkedParameters) == "out"
    assert result_field(ProgramParameters) is None


class ValidatedParameters(ThirdPartyParameters):
    """Validators as people have them."""

    executable: str = Field("program", description="The program.")
    in_dir: str = Field("/data", flag_type="--")
    run: str = Field("", flag_type="--")
    out: str = Field("", flag_type="--", rename_param="o", description="Output.")

    @validator("run", always=True)
    def _run_of_header(cls, run: str, values: dict[str, Any]) -> str:
        return run or str(values["lute_config"].run)

    @validator("out", always=True)
    def _out_beside(cls, out: str, values: dict[str, Any]) -> str:
        return out or f"{values['in_dir']}/{values['run']}.out"


def test_validator_always_sees_values(tmp_path: Path) -> None:
    """A5: the older `@validator(..., always=True)` runs on defaults and sees the earlier `values`."""
    params = ValidatedParameters(lute_config=AnalysisHeader(work_dir=str(tmp_path), run=7))
    assert params.out == "/data/7.out"
    assert arguments(params) == ["program", "--in_dir", "/data", "--run", "7", "--o", "/data/7.out"]


def test_validator_leaves_what_is_given(header: AnalysisHeader) -> None:
    """A5: the older `@validator` sees what is given."""
    assert ValidatedParameters(lute_config=header, out="mine").out == "mine"


def test_validator_without_always_leaves_defaults() -> None:
    """A5: without `always`, an older validator runs on given values only; `pre` runs before the types."""

    class PreParameters(TaskParameters):
        count: int = 1
        items: list[int] = Field([], description="Items.")

        @validator("count")
        def _double(cls, count: int) -> int:
            return count * 2

        @validator("items", pre=True)
        def _split(cls, items: Any) -> Any:
            return items.split(",") if isinstance(items, str) else items

    header = AnalysisHeader()
    assert PreParameters(lute_config=header).count == 1
    params = PreParameters(lute_config=header, count=2, items="1,2")
    assert (params.count, params.items) == (4, [1, 2])


def test_validators_errors_name_the_parameter(header: AnalysisHeader) -> None:
    """A5: a validator's ValueError is an error of its parameter."""

    class RefusingParameters(TaskParameters):
        count: int = 1

        @validator("count", always=True)
        def _refuse(cls, count: int) -> int:
            if count < 5:
                raise ValueError("at least five are needed")
            return count

    with pytest.raises(ValueError, match=r"count[\s\S]*at least five are needed"):
        RefusingParameters(lute_config=header)


def test_root_validators_bare_and_pre(header: AnalysisHeader) -> None:
    """A5: the older `@root_validator`, bare or called, before or after the types."""

    class RootParameters(TaskParameters):
        low: int = 0
        high: int = 1
        both: str = ""

        @root_validator(pre=True)
        def _older_name(cls, values: dict[str, Any]) -> dict[str, Any]:
            values = dict(values)
            values.setdefault("high", values.pop("maximum", 9))
            return values

        @root_validator
        def _both(cls, values: dict[str, Any]) -> dict[str, Any]:
            return {**values, "both": f"{values['low']}-{values['high']}"}

        @root_validator()
        def _order(cls, values: dict[str, Any]) -> dict[str, Any]:
            if values["low"] > values["high"]:
                raise ValueError("low is above high")
            return values

    params = RootParameters(lute_config=header, low=1, maximum="3")
    assert (params.high, params.both) == (3, "1-3")
    assert RootParameters(lute_config=header).high == 9
    with pytest.raises(ValueError, match="low is above high"):
        RootParameters(lute_config=header, low=2, maximum=1)


OLDER = """
    from typing import Any
    from {source} import Field, validator, root_validator
    from lute.models.base import AnalysisHeader, TaskParameters, ThirdPartyParameters, TemplateConfig

    class {name}Parameters(ThirdPartyParameters):
        class Config(ThirdPartyParameters.Config):
            set_result: bool = True
            long_flags_use_eq: bool = True

        executable: str = Field("program", description="The program.")
        in_dir: str = Field("/data", description="Input.", flag_type="--")
        out: str = Field("", description="Output.", flag_type="--", rename_param="o", is_result=True)
        lute_template_cfg: TemplateConfig = Field(TemplateConfig(template_name="a", output_path="b"), description="T.")

        @validator("out", always=True)
        def _out(cls, out, values):
            return out or values["in_dir"] + "/out"

        @root_validator(pre=True)
        def _pre(cls, values):
            return values

        @root_validator(skip_on_failure=True)
        def _post(cls, values):
            cls.Config.result_from_params = values["out"]
            return values
"""


def test_names_from_lute_give_no_warning(tmp_path: Path) -> None:
    """A5: models that import `Field`, `validator`, `root_validator` from `lute` are silent under `-W error`."""
    file = tmp_path / "older.py"
    run = f"""
import warnings
filters = list(warnings.filters)
from lute.models.base import AnalysisHeader as Header
assert warnings.filters == filters, "a global filter was installed"
params = OlderParameters(lute_config=Header(work_dir={str(tmp_path)!r}))
assert params.out == "/data/out" and params.Config.result_from_params == "/data/out", params
assert warnings.filters == filters
print("done")
"""
    file.write_text(textwrap.dedent(OLDER.format(source="lute", name="Older")) + run, encoding="utf-8")
    done = subprocess.run([sys.executable, "-W", "error", str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


@pytest.mark.parametrize("source", ["lute", "pydantic", "lute.io.models.base"])
def test_plugins_loaded_by_lute_give_no_warning(
    source: str, tmp_path: Path, header: AnalysisHeader, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: a plug-in that `lute` loads gives no deprecation noise, also if it imports from pydantic."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(modules, "_loaded", {})
    name = f"Older{source.replace('.', '')}"
    file = tmp_path / f"{name.lower()}.py"
    file.write_text(textwrap.dedent(OLDER.format(source=source, name=name)), encoding="utf-8")
    filters = list(warnings.filters)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        module = plugins.load(str(file))
        params = getattr(module, f"{name}Parameters")(lute_config=header, in_dir="/in")
        assert arguments(params)[:2] == ["program", "--in_dir=/in"]
    assert caught == []
    assert warnings.filters == filters
    assert (params.out, result_field(type(params))) == ("/in/out", "out")


def test_a_plugin_that_imports_from_pydantic_runs_silently(project: Project) -> None:
    """A5: the real command is silent about an older plug-in, under `-W error` too."""
    project.write("tasks.py", OLDER.format(source="pydantic", name="Silent").replace("lute_template_cfg", "cfg"))
    project.config("Silent: {in_dir: /in}")
    outcome = project.run([sys.executable, "-W", "error", "-m", "lute", "check", "-c", "config.yaml"])
    assert outcome.code == 0, outcome
    assert outcome.err == "", outcome


# ------------------------------------------------------------------------------------- own settings


class SettingParameters(ThirdPartyParameters):
    """A validator says what the result is."""

    executable: str = "program"
    out: str = "out"

    @validator("out", always=True)
    def _result(cls, out: str) -> str:
        cls.Config.result_from_params = f"{out}.h5"
        return out


class SettingChildParameters(SettingParameters):
    """Inherits the validator."""


def test_settings_made_in_a_validator_are_the_instances(header: AnalysisHeader) -> None:
    """A5: what a validator sets on `cls.Config` belongs to the instance that is being made."""
    one, two = (SettingParameters(lute_config=header, out=out) for out in ("one", "two"))
    child = SettingChildParameters(lute_config=header, out="child")
    three = SettingParameters(lute_config=header, out="three")
    found = [params.Config.result_from_params for params in (one, two, child, three)]
    assert found == ["one.h5", "two.h5", "child.h5", "three.h5"]
    assert SettingParameters.Config.result_from_params is None
    assert SettingChildParameters.Config.result_from_params is None
    assert ThirdPartyParameters.Config.result_from_params is None


def test_settings_are_put_back_after_an_error(header: AnalysisHeader) -> None:
    """A5: an instance that could not be made leaves nothing behind."""
    with pytest.raises(ValueError, match="executable"):
        SettingParameters(lute_config=header, out="kept", executable=["no", "text"])
    assert SettingParameters.Config.result_from_params is None


def test_a_validator_may_set_the_folder_from_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: `run_directory` set in a validator is where that Task runs."""
    monkeypatch.chdir("/")

    class FolderParameters(ThirdPartyParameters):
        executable: str = "program"
        folder: str = ""

        @root_validator
        def _go(cls, values: dict[str, Any]) -> dict[str, Any]:
            cls.Config.run_directory = values["folder"]
            return values

    ThirdPartyTask(params=FolderParameters(lute_config=AnalysisHeader(work_dir=str(tmp_path)), folder=str(tmp_path)))
    assert Path.cwd() == tmp_path.resolve()


# ------------------------------------------------------------------------------------- wrong models


@pytest.mark.parametrize("flag_type", ["---", "+", "=", " ", "-n", 1, True])
def test_a_wrong_flag_type_is_an_error_of_the_class(flag_type: Any) -> None:
    """A3: any other `flag_type` is an error when the class is made, and names model and parameter."""
    with pytest.raises(ValueError, match=r"Wrong.*count"):

        class WrongParameters(ThirdPartyParameters):
            executable: str = "program"
            count: int = Field(1, flag_type=flag_type)


def test_a_wrong_flag_type_given_to_pydantics_field_is_an_error_too() -> None:
    """A3: the same for `json_schema_extra`, which is what pydantic makes of `flag_type=`."""
    with pytest.raises(ValueError, match="count"):

        class WrongParameters(ThirdPartyParameters):
            executable: str = "program"
            count: int = pydantic.Field(1, json_schema_extra={"flag_type": "/"})


# ------------------------------------------------------------------------------------- @lute.task


@lute.task
def count_peaks(threshold: float, images: list[int] = [1, 2], *, label: str | None = None) -> dict[str, Any]:  # noqa: B006
    """Counts peaks above a threshold.

    Longer text.

    Args:
        threshold: Lowest height, in photons,
            of a peak.
        images: Numbers of the images.
        label: What to call it.

    Returns:
        The count.
    """
    return {"threshold": threshold, "images": images, "label": label}


def test_a_function_stays_a_function() -> None:
    """A5: `@lute.task` leaves the function callable as it was."""
    assert count_peaks(2.0) == {"threshold": 2.0, "images": [1, 2], "label": None}


def test_model_from_signature_and_docstring(header: AnalysisHeader) -> None:
    """A5: types and defaults come from the signature, descriptions from the docstring."""
    model = count_peaks.Parameters
    assert model.__name__ == "CountPeaksParameters"
    assert issubclass(model, TaskParameters)
    fields = model.model_fields
    assert [name for name in fields if name != "lute_config"] == ["threshold", "images", "label"]
    assert fields["threshold"].is_required()
    assert fields["threshold"].description == "Lowest height, in photons, of a peak."
    assert fields["images"].description == "Numbers of the images."
    assert "Counts peaks above a threshold." in model.__doc__
    params = model(lute_config=header, threshold="2.5")
    assert (params.threshold, params.images, params.label) == (2.5, [1, 2], None)
    with pytest.raises(ValueError, match="threshold"):
        model(lute_config=header)


def test_task_of_a_function_runs_without_an_executor(header: AnalysisHeader) -> None:
    """A2: `MyTask(params=...).run()` works in a notebook; what the function returns is the payload."""
    assert count_peaks.Task.__name__ == "CountPeaks"
    assert issubclass(count_peaks.Task, Task)
    task = count_peaks.Task(params=count_peaks.Parameters(lute_config=header, threshold=0, images=[]))
    assert (task.result.task_status, task.result.summary, task.result.payload) == (
        TaskStatus.PENDING,
        "PENDING",
        "",
    )
    task.run()
    assert task.result.task_status is TaskStatus.COMPLETED
    assert task.result.payload == {"threshold": 0.0, "images": [], "label": None}


def test_defaults_are_not_shared_between_runs(header: AnalysisHeader) -> None:
    """A5: a list that is a default belongs to each instance."""
    one, two = (count_peaks.Parameters(lute_config=header, threshold=1) for _ in range(2))
    one.images.append(99)
    assert two.images == [1, 2]


def test_an_error_in_the_function_is_the_tasks(header: AnalysisHeader) -> None:
    """A2: an exception in any step: FAILED, its last line the summary."""

    @lute.task(name="Fails")
    def whatever(text: str = "x") -> None:
        """Fails."""
        raise RuntimeError(f"no {text}")

    assert whatever.Task.__name__ == "Fails"
    task = whatever.Task(params=whatever.Parameters(lute_config=header))
    with pytest.raises(RuntimeError, match="no x"):
        task.run()
    assert (task.result.task_status, task.result.summary) == (TaskStatus.FAILED, "RuntimeError: no x")


def test_metadata_and_fields_in_a_signature() -> None:
    """A5: `Annotated` with `Field` or our metadata works in a signature, and limits are kept."""

    @lute.task
    def scan_lines(path: Annotated[Path, Positional()], level: Annotated[int, Field(ge=1)] = 3) -> None:
        """Scans.

        Args:
            path: A file.
            level: How deep.
        """

    fields = scan_lines.Parameters.model_fields
    assert fields["path"].description == "A file."
    assert fields["level"].default == 3
    assert fields["level"].description == "How deep."
    with pytest.raises(ValueError, match="level"):
        scan_lines.Parameters(lute_config=AnalysisHeader(), path="a", level=0)


@pytest.mark.parametrize("kind", ["untyped", "args", "keywords"])
def test_a_function_that_cannot_be_a_task_says_why(kind: str) -> None:
    """A5: a parameter without a type is an error that names it, when the function is defined."""

    def untyped(threshold):  # type: ignore[no-untyped-def]
        pass

    def args(*threshold: int) -> None:
        pass

    def keywords(**threshold: int) -> None:
        pass

    with pytest.raises(ValueError, match="threshold"):
        lute.task({"untyped": untyped, "args": args, "keywords": keywords}[kind])


def test_a_function_runs_from_the_command_line(project: Project) -> None:
    """A5: a plug-in with one decorated function is a Task for the real command."""
    project.write(
        "tasks.py",
        '''
        import lute

        @lute.task
        def add_up(numbers: list[float], scale: float = 1.0) -> float:
            """Adds numbers.

            Args:
                numbers: What to add.
            """
            return scale * sum(numbers)
        ''',
    )
    project.config("AddUp: {numbers: [1, 2.5], scale: 2}")
    found = project.run_task("AddUp")
    assert (found["status"], found["payload"], found["returncode"]) == ("COMPLETED", 7.0, 0)
