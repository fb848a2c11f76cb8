"""YAML -> one validated `TaskParameters`.

The file has two documents: the header, then a mapping of Task name to parameters. Reading goes in steps, and
each adds its problems to one list that is raised whole: YAML, what `--set` and friends change, substitutions,
names, defaults from earlier results, types.

This file is longer than others: the steps share the file, its places and its list of problems.
"""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel, ValidationError

from lute import plugins, registry
from lute.base.formatting import read_scalar
from lute.base.paths import item_number, split_path
from lute.base.secrets import hide_here
from lute.config import yaml_reader
from lute.config.raw_numbers import WithTexts, as_written, with_texts
from lute.config.run_names import NamesAsWritten, RunNames, defaults_that_name
from lute.config.substitution import Substituter
from lute.errors import (
    ConfigError,
    NotKeptError,
    Problem,
    SubstitutionError,
    TemplateError,
    UsageError,
    did_you_mean,
    nearest,
)
from lute.models.base import (
    AnalysisHeader,
    TaskParameters,
    ThirdPartyParameters,
    fields_marked,
    values_from_environment,
    with_header_defaults,
)
from lute.models.fields import FromResult
from lute.record.rows import Earlier, plain
from lute.record.values import EXACT_TAG, Exact, is_plain

if TYPE_CHECKING:
    from lute.config.unresolved import Unresolved

__all__ = ["ConfigFile", "Overrides", "Reader", "parse_config", "read_config", "unknown_names"]

Reader = Callable[[AnalysisHeader, str, str], Any]
"""Gives the latest valid value of a parameter or result: `reader(header, task, param)`, or None.

It may be an `Earlier`, which also tells the run that it is from."""

_NOTHING: Any = object()


class Overrides(NamedTuple):
    """What the command line changes of a YAML file.

    Attributes:
        experiment: Replaces the header's experiment.
        run: Replaces the header's run.
        settings: `Task.param` or a header's name, and the value as YAML text.
        ranks: Replaces the number of MPI ranks.
    """

    experiment: str | None = None
    run: str | None = None
    settings: tuple[tuple[str, str], ...] = ()
    ranks: int | None = None


AS_WRITTEN = Overrides()
"""Nothing is changed."""


def parse_config(
    task_name: str,
    config_path: str | os.PathLike[str],
    *,
    reader: Reader,
    overrides: Overrides = AS_WRITTEN,
) -> TaskParameters:
    """Reads and validates the parameters of one Task.

    Args:
        task_name: Name of the Task; its model is `<task_name>Parameters`.
        config_path: The YAML file.
        reader: Gives values of earlier results for `FromResult` defaults.
        overrides: What the command line changes.

    Raises:
        ConfigError: With every problem found, each with file, line and column.
        TaskNotFoundError: There is no model of that name.
    """
    file = read_config(config_path, overrides)
    file.load_plugins()
    return file.valid_parameters(task_name, reader)


@functools.lru_cache(maxsize=4)
def _read(path: str, size: int, mtime: int) -> list[yaml_reader.Document]:
    """Returns the documents of a file that has not changed since it was last read; they are not to be changed."""
    text = Path(path).read_text(encoding="utf-8-sig")
    return [document for document in yaml_reader.read_documents(text, path) if not document.is_workflow]


def read_config(config_path: str | os.PathLike[str], overrides: Overrides = AS_WRITTEN) -> ConfigFile:
    """Reads the two documents of a YAML file; substitutes and validates nothing yet.

    Raises:
        ConfigError: The file cannot be read or is not two YAML mappings.
    """
    path = str(config_path)
    try:
        about = os.stat(path)
        documents = _read(path, about.st_size, about.st_mtime_ns)
    except OSError as error:
        raise ConfigError([Problem(path, None, None, f"cannot be read: {error.strerror}.{_beside(path)}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(path, None, None, f"is not UTF-8: {error}")]) from error
    if len(documents) != 2:
        raise ConfigError([Problem(path, 1, 1, _two_documents(len(documents)))])
    for document in documents:
        if document.value is None:
            document.value = {}
        if not isinstance(document.value, dict):
            place = document.places.get((), (1, 1))
            raise ConfigError([Problem(path, *place, "expected a mapping, `name: value` in each line")])
    return ConfigFile(path, documents[0], documents[1]).changed(overrides)


def _beside(path: str) -> str:
    folder = os.path.dirname(path) or "."
    there = [name for name in os.listdir(folder) if name.endswith((".yaml", ".yml"))] if os.path.isdir(folder) else []
    return did_you_mean(os.path.basename(path), there)


def _two_documents(count: int) -> str:
    return (
        f"expected two YAML documents, the header and the Tasks' parameters, with a line `---` between them, but"
        f" found {count}"
    )


@dataclass
class ConfigFile:
    """A YAML file that was read.

    Attributes:
        path: Its path, as it was given.
        header: Its first document.
        tasks: Its second document.
    """

    path: str
    header: yaml_reader.Document
    tasks: yaml_reader.Document
    _set_by: dict[yaml_reader.Path, str] = field(default_factory=dict)
    _entries: tuple[str, ...] = ()
    _as_read: ConfigFile | None = None
    _valid_header: tuple[AnalysisHeader, list[Problem]] | None = None
    _run_names: RunNames | None = None

    def for_run(self, identity: str) -> ConfigFile:
        """Returns the file as one run reads it, for which `{{ run_id }}` and `{{ run_dir }}` are known.

        Args:
            identity: The run's id.
        """
        self._valid_header = self._valid_header or self._read_header()
        found = copy.copy(self)
        found._run_names = RunNames(identity, self._valid_header[0].work_dir)
        return found

    def changed(self, overrides: Overrides) -> ConfigFile:
        """Returns the file as it was when it was read, with what the command line changes.

        Raises:
            UsageError: A setting names nothing that there is.
        """
        as_read = self._as_read or self
        changed = ConfigFile(self.path, as_read.header.copy(), as_read.tasks.copy(), _as_read=as_read)
        changed._override(overrides)
        return changed

    def _override(self, overrides: Overrides) -> None:
        self._entries = tuple(str(name) for name in self.tasks.value)
        if overrides.experiment is not None:
            _put(self.header, self.header.value, (), "experiment", yaml_reader.Document(overrides.experiment))
        if overrides.run is not None:
            _put(self.header, self.header.value, (), "run", _scalar(overrides.run))
        for name, text in overrides.settings:
            self._set(name, _read_setting(name, text))

    def _set(self, name: str, setting: yaml_reader.Document) -> None:
        parts = split_path(name)
        if len(parts) == 1 and (parts[0] in AnalysisHeader.model_fields or parts[0] in self.header.value):
            _put(self.header, self.header.value, (), parts[0], setting)
            self._set_by[(parts[0],)] = name
            return
        if len(parts) < 2 and name not in self.tasks.value:
            raise UsageError(
                f"--set {name}: write Task.param=value, or one of the header's names:"
                f" {', '.join(AnalysisHeader.model_fields)}"
            )
        target: Any = self.tasks.value
        at: yaml_reader.Path = ()
        for part in parts[:-1]:
            step = item_number(part) if isinstance(target, list) else part
            target = _step_into(target, part, name)
            at = (*at, step)
        last: str | int = parts[-1]
        if isinstance(target, list) and 0 <= item_number(parts[-1]) < len(target):
            last = item_number(parts[-1])
        elif not isinstance(target, dict):
            from lute.config.messages import short

            raise UsageError(f"--set {name}: {'.'.join(parts[:-1])} is {short(target)}, which has no {last!r}")
        self._set_by[(*at, last)] = name
        _put(self.tasks, target, at, last, setting)

    def load_plugins(self, tell: Callable[[UsageError], None] | None = None) -> None:
        """Loads the plug-ins that the header names, relative to this file.

        Args:
            tell: Called with the error of one that cannot be loaded, instead of raising it.

        Raises:
            PluginError: One of them does not exist or cannot be imported.
            UsageError: A setting is for a Task that is not known even then.
        """
        named = self.header.value.get("plugins") or []
        if not isinstance(named, (str, list)):
            raise ConfigError(
                [self._problem(self.header, ("plugins",), "plugins: expected a list of files or modules")]
            )
        folder = os.path.dirname(os.path.abspath(self.path))
        for spec in [named] if isinstance(named, str) else named:
            with plugins.told_instead(tell):
                text = str(self.substituter().value(spec))
                plugins.load(os.path.join(folder, text) if text.endswith(".py") else text)
        for path, name in self._set_by.items():
            self._check_setting(str(path[0]), name)
        self._valid_header = None  # they may have said where this is

    def _check_setting(self, task: str, name: str) -> None:
        """A setting for a Task that is neither in the file nor known would be dropped in silence."""
        given = task in self.header.value or task in self._entries
        if not given and task not in registry.BUILT_IN and f"{task}Parameters" not in registry.models:
            known = [*self._entries, *(model.removesuffix("Parameters") for model in registry.models)]
            raise UsageError(f"--set {name}: there is no Task {task!r}.{did_you_mean(task, known)}")

    def substituter(self, run_names: RunNames | None = None) -> Substituter:
        """Returns what fills in this file's `{{ ... }}`; `{{ run_id }}` stays as it is if there is no run."""
        header = {name: value for name, value in with_header_defaults(self.header.value).items() if value != ""}
        documents = [WithTexts(self.tasks.value, self.tasks.texts), WithTexts(header, self.header.texts)]
        return Substituter(documents, os.environ, read_scalar, last=run_names or NamesAsWritten())

    def analysis_header(self) -> tuple[AnalysisHeader, list[Problem]]:
        """Returns the validated header, or one with what could be read, and its problems."""
        self._valid_header = self._valid_header or self._read_header()
        header, problems = self._valid_header
        return header.model_copy(deep=True), list(problems)

    def _read_header(self) -> tuple[AnalysisHeader, list[Problem]]:
        values, problems = self._substituted(self.header, self.header.value, (), AnalysisHeader)
        values = {str(name): value for name, value in values.items()}
        if "environments" in values:
            from lute.config import environments  # most headers have none

            values["environments"], wrong = environments.known_parts(values["environments"])
            problems += [self._problem(self.header, ("environments", *at), text) for at, text in wrong]
        try:
            header = AnalysisHeader.model_validate(values)
            if header.environments:
                folder = os.path.dirname(os.path.abspath(self.path))
                header.environments = environments.beside(header.environments, folder)
            return header, problems
        except ValidationError as error:
            problems += self._all_invalid(self.header, (), AnalysisHeader, error.errors())
            defaults = {"experiment": "", "run": "", "work_dir": os.getcwd()}
            return AnalysisHeader.model_construct(**{**defaults, **values}), problems

    def parameters(
        self, task_name: str, reader: Reader, later: Unresolved | None = None
    ) -> tuple[TaskParameters | None, list[Problem]]:
        """Returns a Task's validated parameters, or None, and every problem of header and Task.

        Args:
            task_name: Name of the Task.
            reader: Gives values of earlier results.
            later: What is not known yet; of that nothing is said. None if all is known.

        Raises:
            TaskNotFoundError: There is no model of that name.
        """
        model: Any = registry.model_of(task_name)
        header, problems = self.analysis_header()
        raw = self.tasks.value.get(task_name)
        raw = {} if raw is None else raw
        if not isinstance(raw, dict):
            wrong = self._problem(self.tasks, (task_name,), f"{task_name}: expected a mapping of parameters")
            return None, [*problems, wrong]
        waits = later.names if later is not None else frozenset()
        raw = {name: value for name, value in raw.items() if name not in waits} if waits else raw
        own = {name: value for name, value in defaults_that_name(model).items() if name not in raw}
        values, found = self._substituted(self.tasks, {**raw, **own}, (task_name,), model)
        problems += found
        values |= dict.fromkeys(waits, _NOTHING)
        if os.environ.get("LUTE_DEBUG_EXIT_AT_YAML"):
            import pprint

            from lute.base.debug import LUTE_DEBUG_EXIT

            LUTE_DEBUG_EXIT("LUTE_DEBUG_EXIT_AT_YAML", pprint.pformat({"lute_config": header, task_name: values}))
        found, earlier = self._fill_from_results(model, task_name, values, header, reader)
        problems += found
        exact = [name for name, value in raw.items() if isinstance(value, Exact) and name in values]
        earlier |= {name: Earlier(values[name], None, plain(values[name])) for name in exact}
        unknown = unknown_names(model, values)
        parameters, found = self._validated(model, task_name, values, header, unknown, later, earlier)
        if parameters is not None:
            sources = {name: one.run for name, one in earlier.items() if one.run is not None}
            parameters._lute_sources, parameters._lute_run_names = sources, self._run_names
            given = {name: value for name, value in values.items() if value is not _NOTHING and name not in own}
            all_given = parameters.model_fields_set <= {*given, "lute_config"}
            parameters._lute_given = given if all_given else {**values_from_environment(model, values), **given}
        misspelt = {nearest(str(name), model.model_fields) for name in unknown}
        problems += [
            item for item in found if not any(f"{task_name}.{name} must be given" in item.message for name in misspelt)
        ]
        if "lute_template_cfg" not in waits:
            problems += self._judge_unknown(model, task_name, values, unknown, parameters)
        problems.sort(key=lambda problem: (problem.line or 0, problem.column or 0))
        return (None if problems else parameters), problems

    def valid_parameters(self, task_name: str, reader: Reader) -> TaskParameters:
        """Returns a Task's validated parameters.

        Raises:
            ConfigError: With every problem found.
            TaskNotFoundError: There is no model of that name.
        """
        parameters, problems = self.parameters(task_name, reader)
        if problems or parameters is None:
            raise ConfigError(problems)
        return parameters

    def _substituted(
        self, document: yaml_reader.Document, raw: Mapping[str, Any], at: yaml_reader.Path, model: type[BaseModel]
    ) -> tuple[dict[str, Any], list[Problem]]:
        is_header = document is self.header
        substituter, problems = self.substituter(None if is_header else self._run_names), []
        values: dict[str, Any] = {}
        for name, value in raw.items():
            try:
                made = substituter.value(with_texts(value, document.texts, (*at, name)))
                values |= as_written({name: made}, model)
            except SubstitutionError as error:
                path = (*at, name, *error.path)
                where = ".".join(str(part) for part in path)
                problems.append(self._problem(document, path, f"{where}: {error}"))
            except RecursionError:
                problems.append(self._problem(document, (*at, name), f"{name}: substitutions are nested too deeply"))
        return values, problems

    def _fill_from_results(
        self, model: type[TaskParameters], task: str, values: dict[str, Any], header: AnalysisHeader, reader: Reader
    ) -> tuple[list[Problem], dict[str, Earlier]]:
        """Adds to the values those that earlier runs had. Returns the problems, and what was found of these runs."""
        problems: list[Problem] = []
        found: dict[str, Earlier] = {}
        marked = fields_marked(model, FromResult)
        from_environment = values_from_environment(model, values) if marked else {}
        others = _given_instead(model, {**from_environment, **values}) if marked else ()
        for name, source in marked.items():
            if name in values or name in from_environment or name in others:
                continue
            try:
                earlier = reader(header, source.task, source.param)
            except NotKeptError as error:
                values[name] = _NOTHING
                problems.append(self._problem(self.tasks, (task,), f"{task}.{name}: {error}. Give {name}"))
                continue
            found[name] = earlier if isinstance(earlier, Earlier) else Earlier(earlier, None)
            if found[name].value is not None:
                values[name] = found[name].value
            elif model.model_fields[name].is_required():
                values[name] = _NOTHING
                problems.append(
                    self._problem(
                        self.tasks,
                        (task,),
                        f"{task}.{name}: not given, and Task {source.task} has no valid {source.param!r} recorded for"
                        f" experiment {header.experiment!r}, run {header.run!r}. Run {source.task} first, or give"
                        f" {name}",
                    )
                )
        return problems, found

    def _validated(
        self,
        model: type[TaskParameters],
        task: str,
        values: dict[str, Any],
        header: AnalysisHeader,
        unknown: list[str],
        later: Unresolved | None,
        earlier: Mapping[str, Earlier],
    ) -> tuple[TaskParameters | None, list[Problem]]:
        """Returns the parameters, or what is wrong.

        Of an earlier result that is not taken as it was, such as a `Path` by a `str`, the plain form is tried.
        """
        third_party = issubclass(model, ThirdPartyParameters)
        given = {name: value for name, value in values.items() if third_party or name not in unknown}
        told = {name for name, value in given.items() if value is _NOTHING}
        told |= {name for name in self.tasks.value.get(task) or {} if name not in values}
        given = {str(name): value for name, value in given.items() if value is not _NOTHING}
        try:
            parameters = model.model_validate({**given, "lute_config": header})
            if not _take_plain(values, earlier, _lists_of_sets(parameters, earlier)):
                return parameters, []
            return self._validated(model, task, values, header, unknown, later, earlier)
        except ValidationError as error:
            errors = error.errors()
            if _take_plain(values, earlier, {item["loc"][0] for item in errors if item["loc"]} or values):
                return self._validated(model, task, values, header, unknown, later, earlier)
            wanted = [item for item in errors if not (item["type"] == "missing" and item["loc"][0] in told)]
            problems = self._of_groups(model, task, given, errors, told) if _has_groups(model) else []
            wanted = [item for item in wanted if item["type"] != "group"]
            return None, [*problems, *self._all_invalid(self.tasks, (task,), model, wanted, later)]
        except Exception as error:  # whatever a validator of a plug-in raises is a problem of this Task
            if _take_plain(values, earlier, values):
                return self._validated(model, task, values, header, unknown, later, earlier)
            text = f"{task}: a validator of {model.__name__} raised {error!r}"
            return None, [] if later else [self._problem(self.tasks, (task,), text)]

    def _of_groups(
        self, model: type[TaskParameters], task: str, given: dict[str, Any], errors: list[Any], told: set[str]
    ) -> list[Problem]:
        """Returns what is wrong with groups of parameters whose values are known, also where a type is wrong."""
        from lute.models import groups

        found = [
            groups.Broken(next(iter(item["loc"]), None), item["msg"], item["ctx"]["names"])
            for item in errors
            if item["type"] == groups.ERROR
        ]
        found = found or list(groups.broken(model, {**values_from_environment(model, given), **given}))
        return [
            self._problem(self.tasks, (task, one.at) if one.at else (task,), f"{task}: {one.text}")
            for one in found
            if not told.intersection(one.names)
        ]

    def _judge_unknown(
        self,
        model: type[TaskParameters],
        task: str,
        values: dict[str, Any],
        unknown: list[str],
        parameters: TaskParameters | None,
    ) -> list[Problem]:
        if not unknown:
            return []
        known = set(model.model_fields) - {"lute_config"}
        template = _template_name(model, values, parameters)
        used: set[str] = set()
        if template:
            from lute.tasks import templates  # most models take no name of a template's

            folders = templates.template_folders(self.path, plugins.folders())
            try:
                used = templates.variables(template, folders)
            except TemplateError as error:
                return [self._problem(self.tasks, (task,), f"{task}: {error}")]
        see = f" See: lute tasks {task}"
        without = f", and its template {template} does not use it" if template else ""
        return [
            self._problem(
                self.tasks,
                (task, name),
                f"{task} has no parameter {str(name)!r}{without}.{did_you_mean(str(name), known | used) or see}",
            )
            for name in unknown
            if name not in used
        ]

    def _problem(self, document: yaml_reader.Document, path: yaml_reader.Path, message: str) -> Problem:
        """Returns a problem at the innermost place that is known: of the file, or of `--set`; secrets are hidden."""
        parts, message = path, hide_here(message)
        while parts and parts not in document.places and parts not in self._set_by:
            parts = parts[:-1]
        if parts in self._set_by:
            return Problem(f"--set {self._set_by[parts]}", None, None, message)
        line, column = document.places.get(parts, (1, 1))
        return Problem(self.path, line, column, message)

    def _all_invalid(
        self,
        document: yaml_reader.Document,
        at: yaml_reader.Path,
        model: type[BaseModel],
        errors: list[Any],
        later: Unresolved | None = None,
    ) -> list[Problem]:
        """Returns the problems that stand for pydantic's errors: one a place, however many kinds were tried."""
        from lute.config.messages import message_for, short, yaml_path  # most files are right

        by_place: dict[yaml_reader.Path, list[Any]] = {}
        for error in errors:
            by_place.setdefault(yaml_path(error, model), []).append(error)
        found = []
        for location, several in by_place.items():
            if later is not None and later.may_mend(model, several):
                continue
            name = ".".join(str(part) for part in (*(at or ("header",)), *location))
            text = " or ".join(dict.fromkeys(message_for(error, model, location) for error in several))
            shown = several[0]["input"]
            if shown is None:
                text += " (nothing is written there; remove the line to take the default)"
            elif several[0]["type"] != "missing":
                text += f" (got {short(shown)})"
            separator = " " if several[0]["type"] == "missing" else ": "
            found.append(self._problem(document, (*at, *location), f"{name}{separator}{text}"))
        return found


def _take_plain(values: dict[str, Any], earlier: Mapping[str, Earlier], names: Collection[Any]) -> bool:
    """Puts the plain form in place of earlier results that are not plain. Returns whether there was one.

    Args:
        values: The values of parameters.
        earlier: The earlier results among them.
        names: The parameters that may be changed.
    """
    as_it_was = {name: one for name, one in earlier.items() if name in names and values.get(name) is one.value}
    plain = {name: one.plain for name, one in as_it_was.items() if one.plain is not None and not is_plain(one.value)}
    values.update(plain)
    return bool(plain)


def _lists_of_sets(parameters: TaskParameters, earlier: Mapping[str, Earlier]) -> list[str]:
    """Returns the parameters that are lists of what was a set: its order is another in each process."""
    sets = [name for name, one in earlier.items() if isinstance(one.value, (set, frozenset))]
    return [name for name in sets if isinstance(getattr(parameters, name, None), (list, tuple))]


def _has_groups(model: type[TaskParameters]) -> bool:
    return bool(model.Config.at_most_one or model.Config.exactly_one)


def _given_instead(model: type[TaskParameters], said: dict[str, Any]) -> Collection[str]:
    """Returns the parameters for which no earlier result is taken, since another of their group is given."""
    if not _has_groups(model):
        return ()
    from lute.models import groups

    return groups.others_given(model, said)


def unknown_names(model: type[TaskParameters], names: Iterable[str]) -> list[str]:
    """Returns the names that are no parameters of a model; for a program they may be variables of its template."""
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    known: set[str] = set()
    for name, about in model.model_fields.items():
        aliases = {alias for alias in (about.alias, about.validation_alias) if isinstance(alias, str)}
        known |= aliases | ({name} if by_name or not aliases else set())
    known.discard("lute_config")
    if not issubclass(model, ThirdPartyParameters) and model.model_config.get("extra") != "forbid":
        return []
    return [name for name in names if name not in known]


def _template_name(
    model: type[TaskParameters], values: dict[str, Any], parameters: TaskParameters | None
) -> str | None:
    """Returns the template of a model, as far as it can be told before or without validation."""
    if "lute_template_cfg" not in model.model_fields:
        return None
    config: Any = getattr(parameters, "lute_template_cfg", None) or values.get("lute_template_cfg")
    config = config or model.model_fields["lute_template_cfg"].get_default(call_default_factory=True)
    return config.get("template_name") if isinstance(config, dict) else getattr(config, "template_name", None)


def _step_into(target: Any, part: str, name: str) -> Any:
    """Returns what is below, as a copy in its place: others have the same file."""
    at: Any = part
    if isinstance(target, list) and 0 <= item_number(part) < len(target):
        at = item_number(part)
    elif not isinstance(target, dict):
        raise UsageError(f"--set {name}: there is nothing below {part!r}")
    elif target.get(part) is None:
        target[part] = {}
    target[at] = copy.copy(target[at])
    return target[at]


def _put(
    document: yaml_reader.Document, target: Any, at: yaml_reader.Path, name: str | int, setting: yaml_reader.Document
) -> None:
    """Replaces one value of a document, and how the numbers in it were written."""
    document.forget((*at, name))
    target[name] = setting.value
    document.texts |= {(*at, name, *path): text for path, text in setting.texts.items()}


def _read_setting(name: str, text: str) -> yaml_reader.Document:
    """Reads the value of `--set name=value` as YAML: a list or mapping in brackets, else a scalar as it stands."""
    if not text.startswith(("[", "{", '"', "'", f"{EXACT_TAG} ")) or text.startswith("{{"):
        return _scalar(text)
    try:
        return yaml_reader.read_documents(text, f"--set {name}")[0]
    except ConfigError as error:
        raise UsageError(str(error)) from error


def _scalar(text: str) -> yaml_reader.Document:
    return yaml_reader.Document(read_scalar(text), texts={(): text})
