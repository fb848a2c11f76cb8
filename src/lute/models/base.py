"""The models that every Task's parameters are built on.

A model of the Task `X` is named `XParameters`. Its nested `class Config` may hold what pydantic knows and:

    run_directory        where the Task runs
    set_result           whether the result's payload comes from the parameters
    result_from_params   the payload, if it is not the value of the field marked as the result
    result_summary       the summary that is known from the parameters
    impl_schemas         schemas that the output conforms to
    short_flags_use_eq   `-x=value` instead of `-x value`
    long_flags_use_eq    `--name=value` instead of `--name value`
    task_module          module of a Task that runs under another Python
    success_codes        exit codes that mean success besides 0, `{code: meaning}`
    exit_codes           what other exit codes mean, `{code: meaning}`
    version_command      what tells the program's version, `["prog", "--version"]`
    progress_pattern     how a line of output tells of progress (`lute.models.patterns`)
    metric_patterns      how lines of output tell of metrics, `{name: pattern}` or `{name: (pattern, unit)}`
    at_most_one          groups of parameters of which one at most may be given, `[("a", "b")]` (`lute.models.groups`)
    exactly_one          groups of parameters of which one must be given, and no other
    failure_patterns     lines of output that make the run FAILED, `{name: pattern}` (`lute.models.patterns`)
    require              what metrics must be, or the run is FAILED, `{"spots": ">= 10"}` (`lute.models.requirements`)

A `Config` inherits from its model's parents without being told to. A validator may set
`cls.Config.result_from_params`: what it sets belongs to the instance that is being made.
"""

from __future__ import annotations

import functools
import json
import os
import threading
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import BaseModel, PositiveFloat, PrivateAttr, field_validator, model_validator

from lute import facility, registry
from lute.models.fields import (
    Field,
    IsResult,
    attributes_of,
    check_spelling,
    check_streams,
    metadata_of,
    spelling_of,
)
from lute.wire.encoding import Attributes

__all__ = [
    "AnalysisHeader",
    "Field",
    "TaskParameters",
    "TemplateConfig",
    "TemplateParameters",
    "ThirdPartyParameters",
]

_PYDANTIC_NAMES = {
    "anystr_strip_whitespace": "str_strip_whitespace",
    "anystr_lower": "str_to_lower",
    "anystr_upper": "str_to_upper",
    "min_anystr_length": "str_min_length",
    "max_anystr_length": "str_max_length",
    "allow_population_by_field_name": "populate_by_name",
    "orm_mode": "from_attributes",
    "validate_all": "validate_default",
}
"""pydantic's names of version 1 and what they are now."""
_validating = threading.RLock()
_PYDANTIC_ONLY = {
    "json_encoders",
    "alias_generator",
    "schema_extra",
    "json_loads",
    "json_dumps",
    "getter_dict",
    "fields",
}
"""Settings of older models that only pydantic could use, and that cannot all travel to another process."""
_PYDANTIC_SETTINGS = {
    *("allow_inf_nan", "arbitrary_types_allowed", "coerce_numbers_to_str", "extra", "frozen"),
    *("populate_by_name", "str_max_length", "str_min_length", "str_strip_whitespace", "str_to_lower"),
    *("str_to_upper", "strict", "title", "use_enum_values", "validate_assignment", "validate_default"),
}


_PATTERNS = ("progress_pattern", "metric_patterns", "failure_patterns")


class _ConfigAttribute:
    """`Model.Config` is the model's class of settings, `instance.Config` that instance's own copy."""

    def __init__(self, settings: type) -> None:
        self.settings = settings

    def __get__(self, instance: Any, owner: type) -> Any:
        if instance is None:
            return self.settings
        return instance._lute_config_copy or self.settings


if TYPE_CHECKING:
    from pydantic._internal._model_construction import ModelMetaclass as _PydanticType
else:
    _PydanticType = type(BaseModel)


class _ModelType(_PydanticType):
    """Takes `class Config` out of a model's body, joins it with the parents' and tells pydantic its part."""

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any], **keywords: Any) -> Any:
        own = body.pop("Config", None)
        parents: list[Any] = [vars(base)["Config"].settings for base in bases if isinstance(base, _ModelType)]
        lineage = tuple(dict.fromkeys([own, *parents] if own else parents))
        lineage = tuple(
            part for part in lineage if not any(part is not other and issubclass(other, part) for other in lineage)
        )
        settings = type("Config", lineage, {})
        if any(getattr(settings, pattern, None) for pattern in _PATTERNS):
            from lute.models.patterns import patterns_of  # most models have none

            patterns_of(name, settings)
        if getattr(settings, "require", None):
            from lute.models.requirements import requirements_of

            requirements_of(name, settings)
        known = {_PYDANTIC_NAMES.get(key, key): value for key, value in vars(own).items()} if own else {}
        settings_of_pydantic = {key: value for key, value in known.items() if key in _PYDANTIC_SETTINGS}
        if settings_of_pydantic:
            body["model_config"] = {**settings_of_pydantic, **body.get("model_config", {})}
        model = super().__new__(mcs, name, bases, body, **keywords)
        type.__setattr__(model, "Config", _ConfigAttribute(settings))
        if _has_groups(settings):
            from lute.models import groups  # most models have none

            groups.check(name, settings, [*getattr(model, "model_fields", ())])
        return model


def _has_groups(settings: Any) -> bool:
    return bool(getattr(settings, "at_most_one", None) or getattr(settings, "exactly_one", None))


def _all_settings(settings: type) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for part in reversed(settings.__mro__):
        own = {
            key: value for key, value in vars(part).items() if not key.startswith("__") and key not in _PYDANTIC_ONLY
        }
        found.update(own)
    return found


def _restore(settings: type, before: dict[str, Any]) -> None:
    for key in set(vars(settings)) - set(before):
        delattr(settings, key)
    for key, value in before.items():
        if not key.startswith("__") and vars(settings).get(key) is not value:
            setattr(settings, key, value)


def with_header_defaults(given: dict[str, Any]) -> dict[str, Any]:
    """Returns a header with what the environment and the facility say for experiment, run and work folder."""
    data = dict(given)
    if data.get("experiment") in (None, ""):
        data["experiment"] = os.environ.get("EXPERIMENT", "")
    if data.get("run") in (None, ""):
        number = os.environ.get("RUN_NUM", "").split("_")[0]
        data["run"] = int(number) if number.isdecimal() and len(number) < 19 else number
    if data.get("work_dir") in (None, ""):
        site = facility.current()
        place = os.environ.get("LUTE_WORK_DIR") or site.path(site.work_dir, str(data["experiment"]), data["run"])
        data["work_dir"] = os.path.abspath(place)
    return data


class EnvironmentEntry(BaseModel, extra="forbid"):
    """What is changed in the environment of a Task, as data; nothing of it reaches a shell as text."""

    source: str | None = Field(None, description="Shell script whose environment the Task runs in; empty for none.")
    modules: list[Annotated[str, Field(min_length=1)]] | None = Field(
        None, description="Environment modules that are loaded after the script, in the same shell."
    )
    set: dict[str, str] = Field({}, description="New values of variables.")
    path: list[str] = Field([], description="Folders to put before PATH.")
    interpreter: str | None = Field(None, description="Another Python for a Task in Python; empty for none.")

    @field_validator("set", "path", mode="after")
    @classmethod
    def _possible(cls, value: Any) -> Any:
        for name in value:
            if isinstance(value, dict) and (not name or "=" in name or "\0" in name):
                raise ValueError(f"{name!r} cannot be the name of a variable")
            if isinstance(value, list) and (not name or os.pathsep in name):
                raise ValueError(f"{name!r} cannot be a folder of PATH")
        return value


LONGEST = 1e8
"""The longest time that can be asked for, in s: three years."""


class AnalysisHeader(BaseModel, extra="allow"):
    """The first document of the YAML: what all Tasks of an analysis share."""

    title: str = Field("LUTE Task Configuration", description="What this configuration is for.")
    experiment: str = Field("", description="Name of the experiment; `$EXPERIMENT` if not given.")
    run: int | str = Field("", description="Number of the acquisition run; from `$RUN_NUM` if not given.")
    date: str = Field("1970/01/01", description="Start of the analysis.")
    lute_version: float | str = Field(0.1, description="Version of lute that this was written for.")
    task_timeout: int | float = Field(600, description="Longest time for a Task, in s.", gt=0, le=LONGEST)
    work_dir: str = Field(
        "",
        description="Folder for the record, logs and figures. It must exist and be writable. If not given: what"
        " the facility says; on a laptop the current folder.",
        validate_default=True,
    )
    database: str = Field("", description="Path or URL of the record; `<work_dir>/lute.db` if not given.", repr=False)
    plugins: list[str] | str = Field([], description="Python files, relative to this one, or modules to load.")
    task_timeouts: dict[str, PositiveFloat] = Field({}, description="Times for single Tasks, in s, by their name.")
    tasklet_timeout: float = Field(600, description="Longest time for a tasklet, in s.", gt=0, le=LONGEST)
    hook_timeout: float = Field(30, description="Longest time for a hook, in s.", gt=0, le=LONGEST)
    elog_timeout: float = Field(5.0, description="Longest time that a run waits for the eLog, in s.", ge=0, le=LONGEST)
    clean_up_grace: float = Field(5.0, description="Time for a Task's own clean-up when it is stopped, in s.", ge=0)
    digests: bool = Field(False, description="Record the SHA-256 of the files that a run read and made.")
    terminate_grace: float = Field(3.0, description="Time between SIGTERM and SIGKILL, in s.", ge=0)
    environments: dict[str, EnvironmentEntry] = Field(
        {}, description="What is changed in the environment of a Task, a managed Task, or all (`default`), by its name."
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_from_environment(cls, data: Any) -> Any:
        return with_header_defaults(data) if isinstance(data, dict) else data

    @field_validator("work_dir", mode="after")
    @classmethod
    def _usable_folder(cls, value: str) -> str:
        if not os.path.isdir(value):
            raise ValueError(f"the folder {value} does not exist: create it with mkdir -p, or name another")
        if not os.access(value, os.W_OK | os.X_OK):
            raise ValueError(f"the folder {value} cannot be written by you: name another work_dir")
        return value


@dataclass
class TemplateParameters:
    """A value for a template's variable instead of the command line.

    Attributes:
        params: The value, of any type.
    """

    params: Any


class TemplateConfig(BaseModel):
    """Which template is rendered, and where to.

    Attributes:
        template_name: Its file name in one of the template folders.
        output_path: Full path of the file to write.
    """

    template_name: str
    output_path: str


class TaskParameters(BaseModel, metaclass=_ModelType, extra="forbid"):
    """The parameters of a Task. A value not given may come from the environment as `LUTE_<name>`."""

    class Config:
        """What a model says about its Task besides its parameters; see the module's text."""

        run_directory: str | None = None
        set_result: bool = False
        result_from_params: Any = None
        result_summary: Any = None
        impl_schemas: str | None = None
        short_flags_use_eq: bool = False
        long_flags_use_eq: bool = False
        task_module: str | None = None
        success_codes: ClassVar[dict[int, str]] = {}
        exit_codes: ClassVar[dict[int, str]] = {}
        version_command: ClassVar[list[str]] = []
        progress_pattern: str | None = None
        metric_patterns: ClassVar[dict[str, str | tuple[str, str]]] = {}
        at_most_one: ClassVar[list[tuple[str, ...]]] = []
        exactly_one: ClassVar[list[tuple[str, ...]]] = []
        failure_patterns: ClassVar[dict[str, str]] = {}
        require: ClassVar[dict[str, str]] = {}

    _is_program: ClassVar[bool] = False
    lute_config: AnalysisHeader
    _lute_config_copy: Any = PrivateAttr(None)
    _lute_sources: dict[str, str] = PrivateAttr(default_factory=dict)  # parameter -> id of the run it came from
    _lute_given: dict[str, Any] | None = PrivateAttr(None)  # what was validated, without defaults
    _lute_run_names: Any = PrivateAttr(None)  # of the run it is planned for, see lute.config.run_names

    @classmethod
    def __pydantic_init_subclass__(cls, **keywords: Any) -> None:
        super().__pydantic_init_subclass__(**keywords)
        for name, field in cls.model_fields.items():
            check_spelling(f"{cls.__name__}.{name}", field)
        check_streams(cls.__name__, cls.model_fields, cls._is_program)
        registry.models[cls.__name__] = cls

    @model_validator(mode="before")
    @classmethod
    def _values_from_environment(cls, data: Any) -> Any:
        return {**values_from_environment(cls, data), **data} if isinstance(data, dict) else data

    @model_validator(mode="wrap")
    @classmethod
    def _keep_own_config(cls, data: Any, handler: Any) -> Any:
        with _validating:  # what a validator sets on the class belongs to the instance that is being made
            settings = cls.Config
            before = dict(vars(settings))
            try:
                model = handler(data)
                if _has_groups(settings):
                    from lute.models import groups

                    groups.judge(model)
                if isinstance(model, TaskParameters) and model._lute_config_copy is None:
                    model._lute_config_copy = SimpleNamespace(**_all_settings(settings))
                return model
            finally:
                _restore(settings, before)

    def command_line_fields(self) -> Iterator[tuple[str, Any, Attributes]]:
        """Gives name, value and attributes of each parameter in the order of the model.

        Typed metadata is the attribute `spelling`, as a dict with its kind under `kind`.
        """
        for name, spelling in _spellings(type(self)).items():
            yield name, getattr(self, name), spelling
        for name, value in (self.model_extra or {}).items():
            yield name, value, {}


_DEFAULTS = vars(TaskParameters)["Config"].settings.__mro__[1]
"""The `Config` that every other inherits from."""


class ThirdPartyParameters(TaskParameters, extra="allow"):
    """The parameters of a program. `executable` is searched on PATH.

    A name that the model does not have is kept as `TemplateParameters` when the model is built in Python; in a
    YAML file it must be a variable of the model's template (`lute.config.config_file`).
    """

    _is_program: ClassVar[bool] = True

    class Config(TaskParameters.Config):
        """As for any Task; a program's result comes from its parameters unless told otherwise."""

        set_result: bool = True

    @model_validator(mode="after")
    def _wrap_unknown(self) -> ThirdPartyParameters:
        for name, value in (self.__pydantic_extra__ or {}).items():
            if not isinstance(value, TemplateParameters):
                self.__pydantic_extra__[name] = TemplateParameters(value)  # type: ignore[index]
        return self


@functools.cache
def _spellings(model: type[TaskParameters]) -> dict[str, Attributes]:
    return {name: spelling_of(field) for name, field in model.model_fields.items()}


@functools.cache
def fields_marked(model: type[TaskParameters], mark: type[Any]) -> dict[str, Any]:
    """Returns the parameters that carry typed metadata of one kind, and that metadata."""
    found = {name: metadata_of(field, mark) for name, field in model.model_fields.items()}
    return {name: item for name, item in found.items() if item is not None}


def says_no_result(model: type[TaskParameters]) -> bool:
    """Returns whether a model's own `Config` switches results from parameters off."""
    parts: tuple[type, ...] = vars(model)["Config"].settings.__mro__
    said = (vars(part)["set_result"] for part in parts if "set_result" in vars(part) and part is not _DEFAULTS)
    return next(said, None) is False


@functools.cache
def result_field(model: type[TaskParameters]) -> str | None:
    """Returns the name of the parameter marked as the result, in either spelling."""
    for name, field in model.model_fields.items():
        if metadata_of(field, IsResult) is not None or attributes_of(field).get("is_result"):
            return name
    return None


def values_from_environment(model: type[TaskParameters], given: dict[str, Any]) -> dict[str, Any]:
    """Returns values for parameters that were not given and that `LUTE_<name>` gives, in any case."""
    variables = {name: os.environ[name] for name in os.environ if name[:5].upper() == "LUTE_"}
    if not variables:
        return {}
    from lute.base.variables import CONTROL_VARIABLES  # where none is set, nothing needs them

    usable = {name: text for name, text in variables.items() if name not in CONTROL_VARIABLES}
    any_case = {name.upper(): text for name, text in usable.items()}
    found = {}
    for name, field in model.model_fields.items():
        if name in given or name == "lute_config":
            continue
        text = usable.get(f"LUTE_{name}", any_case.get(f"LUTE_{name}".upper()))
        if text is not None:
            found[name] = _value_of_text(text, field.annotation)
    return found


def _value_of_text(text: str, annotation: Any) -> Any:
    """Reads a list or mapping as JSON, where the parameter does not take text."""
    union = typing.get_origin(annotation) in (typing.Union, types.UnionType)
    kinds = typing.get_args(annotation) if union else (annotation,)
    if text[:1] not in ("[", "{") or str in kinds or Path in kinds or typing.get_origin(annotation) is typing.Literal:
        return text
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
