"""A recorded run -> the YAML file that would run it again."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from lute import registry
from lute.base.secrets import HIDDEN
from lute.config.yaml_reader import read_scalar
from lute.errors import UsageError

Row = Mapping[str, Any]
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_SURROGATE = re.compile("[\ud800-\udfff]")
_UNBROKEN = 2**30
"""A width at which no line is broken."""


def as_yaml(row: Row) -> str:
    """Returns the two documents that would run a run again: its header and all its parameters, as recorded.

    Plug-ins and the work folder are absolute paths, and a password of the record's URL is left out.

    Raises:
        UsageError: The run has no parameters, or a value that YAML cannot hold.
    """
    header = header_of(row)
    parameters = {name: value for name, value in row["parameters"].items() if name != "lute_config"}
    documents = [header, {row["task"]: _as_given(row["task"], parameters)}]
    texts = [_dump(_escaped(document)) for document in documents]
    about = f"# Run {row['id']} of {row['task']}, {row['started']}"
    return f"%YAML 1.2\n---\n{about}\n{texts[0]}---\n{texts[1]}"


def steps_as_yaml(row: Row) -> str:
    """Returns the steps of a workflow run whose workflow is in no file."""
    entries = {step["step"]: {"task": step["task"], "needs": list(step["needs"])} for step in row["steps"]}
    return _dump({"name": row["name"], "steps": entries})


def header_of(row: Row) -> dict[str, Any]:
    """Returns a run's header, with absolute paths.

    Raises:
        UsageError: The run has no parameters.
    """
    header = dict((row["parameters"] or {}).get("lute_config") or {})
    if not header:
        raise UsageError(f"run {row['id']} was recorded without parameters: it cannot be run again")
    header["work_dir"] = _work_dir(row) or header.get("work_dir")
    if not header.get("database"):
        header.pop("database", None)
    elif "://" not in header["database"]:
        header["database"] = os.path.join(_folder(row), header["database"])
    header["plugins"] = plugins_of(row)
    return header


def plugins_of(row: Row) -> list[str]:
    """Returns the plug-ins that a run had: files as absolute paths, and modules by their names."""
    named = ((row["parameters"] or {}).get("lute_config") or {}).get("plugins") or []
    named = [named] if isinstance(named, str) else list(named)
    files = [file["path"] for file in row["code"] or []]
    config = (row["owner"] or {}).get("config")
    found = []
    for name in named:
        if not name.endswith(".py"):
            found.append(name)
            continue
        beside = os.path.normpath(os.path.join(os.path.dirname(config or ""), name))
        real = next((path for path in files if _ends_with(path, name)), None)
        found.append(real or (beside if os.path.isabs(beside) else name))
    modules = [name for name in found if not name.endswith(".py")]
    given = [path for path in files if path not in found and not any(_is_of(path, name) for name in modules)]
    return found + given  # those of `-p` and $LUTE_PLUGINS are in no header


def hidden(row: Row) -> list[str]:
    """Returns the names of the parameters whose values were secrets, which are not recorded."""
    return [name for name, value in (row["parameters"] or {}).items() if any(HIDDEN in text for text in _texts(value))]


def _folder(row: Row) -> str:
    return (row["owner"] or {}).get("cwd") or os.getcwd()


def _work_dir(row: Row) -> str | None:
    """Returns the folder that the run's own is in, which is absolute also where the header has `.`."""
    parents = Path(row["log"] or "").parents
    return str(parents[3]) if len(parents) > 3 and parents[2].name == "lute.runs" else None


def _ends_with(path: str, name: str) -> bool:
    wanted = [part for part in Path(name).parts if part not in (".", "..")]
    return list(Path(path).parts[-len(wanted) :]) == wanted


def _is_of(path: str, module: str) -> bool:
    place = module.replace(".", os.sep)
    return path.endswith((f"{os.sep}{place}.py", f"{os.sep}{place}{os.sep}__init__.py"))


def _as_given(task: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
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


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


# ------------------------------------------------------------------------------------------- writing


def _escaped(value: Any) -> Any:
    """Returns a value in which `{{` stands for itself and is no substitution."""
    if isinstance(value, str):
        if _SURROGATE.search(value):
            raise UsageError(f"{value!r} holds bytes that are no UTF-8, which a YAML file cannot")
        return value.replace("{{", '{{ "{{" }}')
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value


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


def _mapping(dumper: _Dumper, value: dict[str, Any]) -> yaml.MappingNode:
    node = dumper.represent_mapping("tag:yaml.org,2002:map", value.items())
    for key, _ in node.value:
        if _PLAIN.fullmatch(key.value) and isinstance(read_scalar(key.value), str):
            key.style = None
    return node


_Dumper.add_representer(str, _text)
_Dumper.add_representer(dict, _mapping)


def _dump(value: dict[str, Any]) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=_UNBROKEN)
    return text
