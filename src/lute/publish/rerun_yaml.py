"""A recorded run -> the YAML file that would run it again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import yaml

from lute import registry
from lute.base.formatting import read_scalar
from lute.base.secrets import HIDDEN
from lute.config.run_names import NamesAsWritten
from lute.config.substitution import literally
from lute.errors import UsageError
from lute.record.headers import header_of
from lute.record.values import EXACT_TAG, Exact, decode

if TYPE_CHECKING:
    from lute.record.types import JsonObject, RunRow, WorkflowRow

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNBROKEN = 2**30
"""A width at which no line is broken."""


def as_yaml(row: RunRow, plugins: Sequence[str] | None = None) -> str:
    """Returns the two documents that would run a run again: its header, and its parameters as they were given.

    What an older `lute` recorded are the parameters as validated, with all defaults.

    Plug-ins and the work folder are absolute paths, and a password of the record's URL is left out.

    Args:
        row: The run.
        plugins: What is loaded instead of the plug-ins that it had.

    Raises:
        UsageError: The run has no parameters, or a value that YAML cannot hold.
    """
    header = header_of(row)
    if plugins is not None:
        header["plugins"] = list(plugins)
    if row.get("given") is None:
        parameters = {name: value for name, value in (row["parameters"] or {}).items() if name != "lute_config"}
        given = _as_given(row["task"], parameters)
    else:
        given = {name: _as_yaml_has_it(value) for name, value in (row["given"] or {}).items()}
    documents = [header, {row["task"]: given}]
    texts = [dumped(_escaped(document)) for document in documents]
    about = f"# Run {row['id']} of {row['task']}, {row['started']}"
    return f"%YAML 1.2\n---\n{about}\n{texts[0]}---\n{texts[1]}"


def steps_as_yaml(row: WorkflowRow) -> str:
    """Returns the steps of a workflow run whose workflow is in no file."""
    entries = {step["step"]: {"task": step["task"], "needs": list(step["needs"])} for step in row["steps"]}
    return dumped({"name": row["name"], "steps": entries})


def hidden(row: RunRow) -> list[str]:
    """Returns the names of the parameters whose values were secrets, which are not recorded."""
    return [name for name, value in (row["parameters"] or {}).items() if any(HIDDEN in text for text in _texts(value))]


def _as_given(task: str, parameters: JsonObject) -> JsonObject:
    """Returns parameters as the model takes them, if it is loaded: by alias, and without a null that is a default."""
    model: Any = registry.models.get(f"{task}Parameters")
    if model is None:
        return dict(parameters)
    by_name = model.model_config.get("populate_by_name") or model.model_config.get("validate_by_name")
    found = {}
    for name, value in parameters.items():
        field = model.model_fields.get(name)
        if value is None and field is not None and field.default is None:
            continue  # `n: int = None` takes no null
        alias = (field.validation_alias or field.alias) if field and not by_name else None
        found[alias if isinstance(alias, str) else name] = value
    return found


def _as_yaml_has_it(value: Any) -> Any:
    """Returns a value that was kept exactly: `Exact` in place of what YAML has not.

    YAML's keys are texts and whole numbers; it has nan and infinities, and nothing that is no Unicode.
    """
    if isinstance(value, str):
        return Exact(value) if _SURROGATE.search(value) else value
    if isinstance(value, list):
        return [_as_yaml_has_it(item) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next(iter(value), "")
    if tag == "~dict" and all(type(key) in (str, int) for key, _ in value[tag]):
        value = dict(value[tag])
    elif tag[:1] == "~":
        return decode(value) if tag == "~float" else Exact(value)
    return {key: _as_yaml_has_it(item) for key, item in value.items()}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in (*value, *value.values()) if isinstance(value, dict) else value:
            yield from _texts(item)


# ------------------------------------------------------------------------------------------- writing


def _escaped(value: Any) -> Any:
    """Returns a value in which `{{` stands for itself and is no substitution.

    Raises:
        UsageError: A text in it cannot be written into a YAML file.
    """
    for text in _texts(value):
        if _SURROGATE.search(text):
            raise UsageError(f"{text!r} holds bytes that are not UTF-8, which a YAML file cannot hold")
    return _with_run_names(literally(value))


def _with_run_names(value: Any) -> Any:
    """Returns an escaped value in which `{{ run_id }}` and `{{ run_dir }}` are substitutions again."""
    if isinstance(value, str):
        for name in NamesAsWritten():
            value = value.replace(literally(f"{{{{ {name} }}}}"), f"{{{{ {name} }}}}")
        return value
    if isinstance(value, list):
        return [_with_run_names(item) for item in value]
    if isinstance(value, dict):
        return {_with_run_names(key): _with_run_names(item) for key, item in value.items()}
    return value


class _Dumper(yaml.SafeDumper):
    """Quotes every text, so that it is read as text whatever it looks like."""

    def ignore_aliases(self, data: Any) -> bool:
        """Returns True: a value that stands twice is written twice."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indents lists, too."""
        super().increase_indent(flow, False)


def _text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style='"')


def _mapping(dumper: _Dumper, value: Any) -> yaml.MappingNode:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", value.items())
    for key, _ in node.value:
        if _PLAIN.fullmatch(key.value) and isinstance(read_scalar(key.value), str):
            key.style = None
    return node


def _exact(dumper: _Dumper, value: Exact) -> yaml.ScalarNode:
    return dumper.represent_scalar(EXACT_TAG, str(value), style="'")


_Dumper.add_representer(str, _text)
_Dumper.add_representer(Exact, _exact)
_Dumper.add_representer(dict, _mapping)


def dumped(value: object) -> str:
    """Returns a value as YAML, each text in quotes."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_UNBROKEN)
    return text
