"""What is wrong with the parameters and conditions of steps, as far as it can be told before anything starts.

A parameter that takes a result or an item of `foreach` is judged when its step's turn comes. So is, of a step that
needs others, whatever those may still change: whether a file is there, and all that a plug-in's own validator finds.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from lute import registry
from lute.base.paths import split_path
from lute.base.secrets import hide_here
from lute.config.config_file import ConfigFile, Overrides
from lute.config.run_names import NAMES_RUN
from lute.config.unresolved import Unresolved
from lute.errors import ConfigError, LuteError, Problem, WorkflowError
from lute.graph.dag import Step, Workflow
from lute.models.base import TaskParameters, fields_marked
from lute.models.fields import FromResult
from lute.models.files import files_alone
from lute.record.db import read_for
from lute.workflows import conditions, definition
from lute.workflows.planning import Planner
from lute.workflows.results import NotKnownYet

SHOWN = 3
"""So many steps are named where a problem is that of several."""


def check(names: Iterable[str], workflow: Workflow, config: ConfigFile, overrides: Overrides, planner: Planner) -> None:
    """Looks through the parameters of steps.

    Args:
        names: The steps that are to run.
        workflow: The workflow.
        config: The YAML file, with what the command line changes.
        overrides: What that is.
        planner: Plans the steps.

    Raises:
        ConfigError: With every problem found: at its place in the workflow file if it is a step's own parameter, else
            in the YAML file.
    """
    looking = _Looking(workflow, config, overrides, planner)
    for name in names:
        looking.look(workflow.steps[name])
    if problems := looking.problems():
        raise ConfigError(problems)


class _Looking:
    def __init__(self, workflow: Workflow, config: ConfigFile, overrides: Overrides, planner: Planner) -> None:
        self._workflow, self._planner, self._entries = workflow, planner, config.tasks.value
        self._set = {name for name, _ in overrides.settings}
        self._tasks = {planner.executor_of(step).task_name for step in workflow.steps.values()}
        self._judged: dict[Any, tuple[list[Problem], dict[str, str]]] = {}
        self._writers: dict[str, list[str]] = {}
        self._own: list[Problem] = []
        self._shared: dict[Problem, list[str]] = {}

    def look(self, step: Step) -> None:
        """Takes in what is wrong with a step; what was judged before is not judged again."""
        self._look_at_condition(step)
        task = self._planner.executor_of(step).task_name
        settings, later = self._settings(step, task)
        key = (task, settings, later, step.timeout)
        if key not in self._judged:
            self._judged[key] = self._judge(step, task, settings, later)
        given = {f"--set {name}": name.removeprefix(f"{task}.") for name, _ in settings if name not in self._set}
        problems, outputs = self._judged[key]
        for path, parameter in outputs.items():
            self._look_at_output(step, path, parameter)
        for problem in problems:
            if problem.file in given:
                self._wrong(step, problem.message, "parameters", given[problem.file])
            else:
                self._shared.setdefault(problem, []).append(step.name)

    def _look_at_condition(self, step: Step) -> None:
        """A condition is judged once for all items, so it has no `item`."""
        scope = self._planner.scope_ahead(replace(step, foreach=None))
        for name in sorted(conditions.names_in(step.when)) if step.when else ():
            try:
                scope.value(f"{{{{ {name} }}}}")
            except NotKnownYet:
                continue
            except WorkflowError as error:
                self._wrong(step, f"`when: {step.when}`: {error}", "when")

    def _settings(self, step: Step, task: str) -> tuple[tuple[tuple[str, str], ...], Unresolved]:
        """Returns what is known of a step's parameters, as settings, and what is not."""
        scope, settings = self._planner.scope_ahead(step), []
        given = {part for name in step.parameters for part in split_path(name)[:1]}
        later = self._from_steps(task) - given
        for name in step.parameters:
            try:
                settings.append((f"{task}.{name}", scope.setting(step, name)))
            except NotKnownYet:
                later |= set(split_path(name)[:1])
            except WorkflowError as error:
                later |= set(split_path(name)[:1])
                self._wrong(step, str(error), "parameters", name)
        later -= {name.removeprefix(f"{task}.") for name in self._set}
        return tuple(settings), Unresolved(frozenset(later), bool(step.needs))

    def _from_steps(self, task: str) -> set[str]:
        """Returns a Task's parameters that the YAML file does not give, but a step of this workflow."""
        marked = fields_marked(registry.model_of(task), FromResult)
        given = self._entries.get(task) or {}
        return {name for name, source in marked.items() if source.task in self._tasks and name not in given}

    def _judge(
        self, step: Step, task: str, settings: tuple[tuple[str, str], ...], later: Unresolved
    ) -> tuple[list[Problem], dict[str, str]]:
        """Returns the problems of a step's parameters, and the outputs that are known by now: path and parameter."""
        try:
            params, problems = self._planner.file_for(step, task, settings).parameters(task, read_for, later)
        except ConfigError as error:
            return error.problems, {}
        except LuteError as error:
            return [Problem("", None, None, str(error))], {}
        return problems, {} if params is None else own_paths(params, later.names)

    def _look_at_output(self, step: Step, path: str, parameter: str) -> None:
        """Two steps that write one path must come one after the other."""
        before = self._workflow.before([step.name])
        for other in self._writers.setdefault(path, []):
            if other not in before and step.name not in self._workflow.before([other]):
                text = f"{parameter} = {path} is also written by step {other}, and neither needs the other"
                self._wrong(step, text, "parameters", parameter)
        self._writers[path].append(step.name)

    def _wrong(self, step: Step, message: str, *at: str) -> None:
        file, line, column = self._place(step.name, *at)
        self._own.append(Problem(file, line, column, hide_here(f"step {step.name}: {message}")))

    def _place(self, *at: str) -> tuple[str, int | None, int | None]:
        if not self._workflow.text:
            return f"workflow {self._workflow.name}", None, None
        path = os.path.relpath(self._workflow.path)
        return (self._workflow.path if path.startswith("..") else path), *self._reading.place(self._reading.at(*at))

    @functools.cached_property
    def _reading(self) -> definition.Reading:
        reading = definition.Reading.of(self._workflow.text, self._workflow.path)
        reading.all()
        return reading

    def problems(self) -> list[Problem]:
        """Returns all that was found, once each, in the order of the files."""
        shared = [
            problem._replace(message=f"{problem.message} ({_named(names)})") for problem, names in self._shared.items()
        ]
        return sorted(self._own + shared, key=lambda one: (one.file, one.line or 0, one.column or 0))


def own_paths(params: TaskParameters, unknown: Iterable[str] = ()) -> dict[str, str]:
    """Returns the paths that a Task alone is to write, each with its parameter.

    Args:
        params: Its parameters.
        unknown: The names of those that are not known yet.
    """
    folder = os.path.abspath(params.Config.run_directory or os.getcwd())
    files = files_alone(params, folder)
    known = [file for file in files if file.parameter not in unknown and not NAMES_RUN.search(file.path)]
    return {os.path.normpath(file.path): file.parameter for file in known}


def _named(names: list[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"step{'s' if len(names) > 1 else ''} {', '.join(names[:SHOWN])}{more}"
