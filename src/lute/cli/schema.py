"""`lute schema`: the JSON Schema of the YAML."""

from __future__ import annotations

import argparse
import importlib
import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema

from lute import plugins, registry
from lute.cli import common
from lute.cli.tasks import runnable
from lute.models import groups
from lute.models.base import AnalysisHeader, fields_marked
from lute.models.fields import FromResult
from lute.record.rows import plain

if TYPE_CHECKING:
    from lute.record.types import JsonObject

SUBSTITUTION = {"type": "string", "pattern": "\\{\\{.*\\}\\}"}
"""In the YAML any value may be a substitution instead."""


GIVEN: JsonObject = {"not": {"enum": [None, False, "", [], {}]}}
"""A value that counts as given in a group of parameters."""


class _Schema(GenerateJsonSchema):
    """A schema for every type: where JSON Schema has none, any value may stand, and the model decides."""

    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}  # noqa: RUF012 - as pydantic has it

    def handle_invalid_for_json_schema(self, schema: Any, error_info: str) -> JsonObject:
        """Returns the schema of a type that has none."""
        return {}

    def encode_default(self, dft: Any) -> Any:
        """Returns a default as JSON has it: infinity is text."""
        return plain(super().encode_default(dft))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    common.add_options(parser)
    parser.epilog = (
        "for an editor with a YAML language server: lute schema > lute.schema.json, and as the file's\n"
        "first line:  # yaml-language-server: $schema=lute.schema.json"
    )


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    common.open_config(options)
    plugins.load_entry_points()
    importlib.import_module(registry.BUILT_IN_MODELS)
    common.print_json(schema())
    return 0


def schema() -> JsonObject:
    """Returns the schema of both documents: one that has a Task's name is that of the Tasks."""
    models: list[Any] = [AnalysisHeader, *(registry.model_of(name) for name in runnable())]
    names, content = models_json_schema([(model, "validation") for model in models], schema_generator=_Schema)
    definitions = content.get("$defs", {})
    for model in models:
        name = names[(model, "validation")]["$ref"].rsplit("/", 1)[-1]
        _as_written(model, definitions[name])
    tasks = {}
    for model in models[1:]:
        tasks[model.__name__.removesuffix("Parameters")] = {"anyOf": [names[(model, "validation")], {"type": "null"}]}
    header = names[(AnalysisHeader, "validation")]
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A lute YAML file: the header, then parameters by Task",
        "type": ["object", "null"],
        "if": {"anyOf": [{"required": [name]} for name in tasks]},
        "then": {"properties": tasks},
        "else": header,
        "$defs": definitions,
    }


def _as_written(model: Any, definition: Any) -> None:
    """Changes a model's schema to what people write: no header in a Task, substitutions anywhere."""
    properties = definition.get("properties", {})
    not_required = {"lute_config"}
    if model is not AnalysisHeader:
        properties.pop("lute_config", None)
        not_required |= set(fields_marked(model, FromResult))
    required = [name for name in definition.get("required", []) if name not in not_required]
    definition.pop("required", None)
    if required:
        definition["required"] = required
    if model is not AnalysisHeader and (rules := list(_group_rules(model))):
        definition["allOf"] = [*definition.get("allOf", []), *rules]
    for name, about in properties.items():
        kept = {key: about.pop(key) for key in ("title", "description", "default") if key in about}
        properties[name] = {"anyOf": [about, SUBSTITUTION], **kept}


def _group_rules(model: Any) -> Iterator[JsonObject]:
    """Gives what the groups of a model ask; that one is given only where no earlier result may give it."""
    for kind in groups.KINDS:
        for group in groups.groups_of(model.Config, kind):
            names = [groups.yaml_name(model, name) for name in group]
            given = {name: {"required": [name], "properties": {name: GIVEN}} for name in names}
            if kind == groups.EXACTLY_ONE and not fields_marked(model, FromResult).keys() & set(group):
                yield {"oneOf": list(given.values())}
            else:
                pairs = itertools.combinations(given.values(), 2)
                yield {"not": {"anyOf": [{"allOf": list(pair)} for pair in pairs]}}
