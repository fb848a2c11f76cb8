"""`lute tasks`: what can be run, and the parameters of one Task."""

from __future__ import annotations

import argparse
import importlib
import inspect
from typing import TYPE_CHECKING, Any

from pydantic.fields import FieldInfo

from lute import managed_tasks, plugins, registry
from lute.cli import common
from lute.models import groups
from lute.models.base import ThirdPartyParameters
from lute.models.fields import FromResult, IsResult, Output, attributes_of, metadata_of, spelling_of, type_name
from lute.tasks.program import redirection
from lute.wire.encoding import Attributes

if TYPE_CHECKING:
    from lute.record.types import ParameterAbout

_EMPTY = (list, dict, set, frozenset, tuple, str)
"""The factories of a default whose value is shown; another is only named, since it may do anything."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("name", metavar="NAME", nargs="?", help="a managed Task or a Task, to see its parameters")
    common.add_options(parser)


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    common.open_config(options)
    return _one(options) if options.name else _all(options)


# ----------------------------------------------------------------------------------------- the list


def _all(options: argparse.Namespace) -> int:
    plugins.load_entry_points()
    importlib.import_module(registry.BUILT_IN_MODELS)
    by_task: dict[str, list[str]] = {}
    for name, executor in managed_tasks.known().items():
        by_task.setdefault(executor.task_name, []).append(name)
    rows = []
    for task in sorted(set(runnable()) | set(by_task)):
        model = registry.models.get(f"{task}Parameters")
        kind = "program" if model and issubclass(model, ThirdPartyParameters) else "Python"
        rows.append({"task": task, "kind": kind, "managed_tasks": by_task.get(task, []), "help": _first_line(model)})
    if options.json:
        common.print_json(rows)
    else:
        cells = [(row["task"], ", ".join(row["managed_tasks"]), row["kind"], row["help"]) for row in rows]
        common.print_table(("TASK", "MANAGED TASK", "KIND", "WHAT IT DOES"), cells)
    return 0


def runnable() -> list[str]:
    """Returns the names of Tasks that have a model, and code or a program."""
    found = []
    for name, model in registry.models.items():
        task = name.removesuffix("Parameters")
        is_program = issubclass(model, ThirdPartyParameters) and "executable" in model.model_fields
        if name.endswith("Parameters") and (is_program or registry.task_of(task) or _own_module(model)):
            found.append(task)
    return [name for name in found if name not in ("Task", "ThirdParty")]


def _own_module(model: Any) -> bool:
    return bool(getattr(model.Config, "task_module", None))


def _first_line(model: type | None) -> str:
    return _own_doc(model).split("\n")[0] if model is not None else ""


def _own_doc(model: type) -> str:
    return inspect.cleandoc(vars(model).get("__doc__") or "")


# ------------------------------------------------------------------------------------------- one task


def _one(options: argparse.Namespace) -> int:
    executor = managed_tasks.find(options.name)
    task = executor.task_name if executor is not None else options.name
    model: Any = registry.model_of(task)
    rows = [describe(name, field) for name, field in model.model_fields.items() if name != "lute_config"]
    if options.json:
        about = {"task": task, "model": model.__name__, "help": _own_doc(model), "parameters": rows}
        common.print_json(about | {kind: groups.groups_of(model.Config, kind) for kind in groups.KINDS})
        return 0
    print(f"{task}: {_own_doc(model) or 'no description'}\n")
    cells = [(row["name"], row["type"], _default(row), row["unit"] or "", row["written"], row["help"]) for row in rows]
    common.print_table(("PARAMETER", "TYPE", "DEFAULT", "UNIT", "WRITTEN AS", "WHAT IT MEANS"), cells)
    for kind in groups.KINDS:
        for group in groups.groups_of(model.Config, kind):
            print(f"\n{kind.replace('_', ' ').capitalize()} of these can be given: {', '.join(group)}")
    return 0


def _default(row: ParameterAbout) -> str:
    if row["from_result"]:
        return f"from {row['from_result']}"
    if row["default_factory"]:
        return f"(from {row['default_factory']})"
    return "(must be given)" if row["required"] else repr(row["default"])


def describe(name: str, field: FieldInfo) -> ParameterAbout:
    """Returns what is known of a parameter: name, type, default, unit, how it is written, help."""
    source = metadata_of(field, FromResult)
    factory: Any = field.default_factory
    default = factory() if factory in _EMPTY else None if factory or field.is_required() else field.default
    return {
        "name": name,
        "type": type_name(field.annotation),
        "required": field.is_required() and source is None,
        "default": _plain_default(default),
        "default_factory": getattr(factory, "__name__", repr(factory)) if factory and factory not in _EMPTY else None,
        "unit": attributes_of(field).get("unit"),
        "from_result": f"{source.task}.{source.param}" if source else None,
        "is_result": metadata_of(field, IsResult) is not None or bool(attributes_of(field).get("is_result")),
        "is_output": metadata_of(field, Output) is not None,
        "written": written(name, spelling_of(field)),
        "help": field.description or "",
    }


def _plain_default(value: Any) -> Any:
    from lute.record.rows import plain

    return plain(value)


def written(name: str, attributes: Attributes) -> str:
    """Returns how a parameter stands on the command line, as a short text."""
    spelling = attributes.get("spelling")
    if "streams" in attributes:
        return ", ".join(redirection(name, append, "file") for name, append in attributes["streams"].items())
    if spelling is None:
        flag = attributes.get("flag_type")
        return "" if flag is None else (f"{flag}{attributes.get('rename_param') or name}" if flag else "positional")
    if spelling["kind"] == "Positional":
        return "positional"
    if spelling["kind"] == "KeyValue":
        return f"{spelling['key'] or name}{spelling['sep']}..."
    return str(spelling["flag"]) + (f"{spelling['sep']}..." if spelling["sep"] is not None else "")
