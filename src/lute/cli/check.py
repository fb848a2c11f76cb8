"""`lute check`: validates a YAML file."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from lute import plugins, registry
from lute.cli import common
from lute.cli.run import find
from lute.config.config_file import ConfigFile
from lute.config.run_names import RUN_DIR, RUN_ID
from lute.config.yaml_reader import differences_from_yaml_1_1
from lute.errors import ConfigError, LuteError, Problem, TaskNotFoundError, nearest
from lute.execution.plan import Settings, make_plan
from lute.models.base import AnalysisHeader, ThirdPartyParameters
from lute.models.fields import spelling_of
from lute.record.db import read_for

PROBLEMS_FOUND = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("names", metavar="NAME", nargs="*", help="managed Tasks or Tasks; all in the file if not given")
    common.add_options(parser, config_required=True)
    parser.epilog = "exit status: 0 all is well, 1 problems were found, 2 the file could not be looked at"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    plugins.load_entry_points()
    notes: list[Problem] = []
    checked: list[str] = []
    try:
        file = common.open_config(options)
        assert file is not None
        checked = [_task_name(name) for name in options.names] or tasks_in(file)
        problems = problems_of(file, checked)
        notes = notes_on(file, bool(options.names))
    except ConfigError as error:
        if isinstance(error.__cause__, OSError):  # there is nothing to look at
            raise
        problems = error.problems
    with common.unread_output():
        _print(options, checked, problems, notes)
    return PROBLEMS_FOUND if problems else 0


def _print(options: argparse.Namespace, checked: list[str], problems: list[Problem], notes: list[Problem]) -> None:
    if options.json:
        common.print_json({"ok": not problems, "tasks": checked, "problems": _plain(problems), "notes": _plain(notes)})
        return
    for problem in problems:
        print(problem)
    for note in [] if options.quiet else notes:
        print(f"{note} (note)")
    if not problems and not options.quiet:
        print(f"{common.config_path(options)}: all is well with {', '.join(checked) or 'the header; it names no Task'}")


def _plain(problems: list[Problem]) -> list[object]:
    return [problem._asdict() for problem in problems]


def _task_name(name: str) -> str:
    return find(name)[0].task_name


def tasks_in(file: ConfigFile) -> list[str]:
    """Returns the Tasks that a file has parameters for."""
    found = []
    for name in file.tasks.value:
        try:
            registry.model_of(str(name))
        except TaskNotFoundError:
            continue
        found.append(str(name))
    return found


def problems_of(file: ConfigFile, tasks: list[str]) -> list[Problem]:
    """Returns every problem of the header and of the given Tasks, once each, in the order of the file."""
    found: dict[Problem, None] = dict.fromkeys(file.analysis_header()[1])
    for task in tasks:
        parameters, problems = file.parameters(task, read_for)
        found |= dict.fromkeys(problems)
        if parameters is not None:
            try:
                make_plan(parameters, task, file.path, Settings()).rendered_template()
            except LuteError as error:
                found[Problem(file.path, *file.tasks.places.get((task,), (1, 1)), f"{task}: {error}")] = None
    return sorted(found, key=lambda problem: (problem.line or 0, problem.column or 0))


def _notes_on_outputs(file: ConfigFile) -> Iterator[Problem]:
    """Gives the parameters that were arguments of a program until `Output()` alone came to say that they are none."""
    for task in tasks_in(file):
        model: Any = registry.model_of(task)
        for name, field in model.model_fields.items() if issubclass(model, ThirdPartyParameters) else ():
            if spelling_of(field).get("no_argument"):
                text = f"{task}.{name} is an output and no argument: with Flag() or Positional() it is written, too"
                yield Problem(file.path, *file.tasks.places.get((task,), (1, 1)), text)


def notes_on(file: ConfigFile, only_named: bool) -> list[Problem]:
    """Returns what may not be meant: near misses of names, and scalars that PyYAML would read differently."""
    notes = []
    for document in (file.header, file.tasks):
        notes += [Problem(file.path, *place, text) for place, text in differences_from_yaml_1_1(document)]
    for name in file.header.value:
        close = nearest(str(name), AnalysisHeader.model_fields)
        if close and name not in AnalysisHeader.model_fields:
            place = file.header.places.get((name,), (1, 1))
            notes.append(Problem(file.path, *place, f"{name!r} means nothing to lute. Did you mean {close!r}?"))
    notes += _notes_on_outputs(file)
    for document in (file.header, file.tasks):
        for name in (RUN_ID, RUN_DIR):
            if name in document.value:
                text = f"{name} is a name of this file's own: {{{{ {name} }}}} is its value, and not the run's"
                notes.append(Problem(file.path, *document.places.get((name,), (1, 1)), text))
    known = {model.removesuffix("Parameters") for model in registry.models}
    for name, value in {} if only_named else file.tasks.value.items():
        if isinstance(value, dict) and name not in known | set(registry.BUILT_IN):
            close = nearest(str(name), known) or nearest(str(name), registry.BUILT_IN, cutoff=0.75)
            hint = (
                f" Did you mean {close!r}?"
                if close
                else " Is its plug-in given with -p, or in the header's `plugins:`?"
            )
            place = file.tasks.places.get((name,), (1, 1))
            notes.append(Problem(file.path, *place, f"no Task {name!r} is known, so this was not checked.{hint}"))
    return sorted(notes, key=lambda note: (note.line or 0, note.column or 0))
