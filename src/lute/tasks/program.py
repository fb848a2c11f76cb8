"""A program's command line and configuration file, from its parameters; the same in the parent and in the child.

Three spellings are read. The typed one (`lute.models.fields`) is the one to write: one value is one
argument, a bool is a switch, a list is several. The two older ones, `flag_type` and bare names, are kept as
people's models know them, splitting of text at spaces included.
"""

from __future__ import annotations

import enum
import errno
import os
import warnings
from collections.abc import Iterable
from typing import Any, Optional

from lute.base.formatting import in_order
from lute.wire.encoding import Attributes


def template_values(params: Any) -> dict[str, Any]:
    """Returns the parameters that are variables of the template, by name."""
    fields = params.command_line_fields()
    return {name: value.params for name, value, _ in fields if _is_a(value, "TemplateParameters")}


def written_fields(params: Any) -> list[tuple[str, Any, Attributes]]:
    """Returns the parameters that belong on the command line, in the order of the model."""
    never = ("AnalysisHeader", "TemplateConfig", "TemplateParameters")
    fields = params.command_line_fields()
    return [
        (name, value, attributes)
        for name, value, attributes in fields
        if name != "executable" and not _is_a(value, *never) and not attributes.keys() & _NO_ARGUMENTS
    ]


_NO_ARGUMENTS = {"for_mpi", "no_argument", "streams"}
"""Attributes of parameters that are no arguments."""


def stream_files(params: Any, cwd: str) -> dict[str, tuple[str, bool]]:
    """Returns the files in place of `stdin`, `stdout` and `stderr`: path, and whether the file is added to.

    Args:
        params: The parameters.
        cwd: The Task's folder, which relative paths start from.
    """
    found: dict[str, tuple[str, bool]] = {}
    for _, value, attributes in params.command_line_fields():
        if "streams" in attributes and not left_out(value):
            path = os.path.join(cwd, _typed_text(value))
            found.update((name, (path, append)) for name, append in attributes["streams"].items())
    return found


def redirection(stream: str, append: bool, path: str) -> str:
    """Returns how a shell would write that a stream is a file.

    >>> redirection("stderr", True, "errors.txt")
    '2>> errors.txt'
    """
    sign = {"stdin": "<", "stdout": ">", "stderr": "2>"}[stream]
    return f"{sign}{'>' if append else ''} {path}"


def command_line(params: Any) -> list[str]:
    """Returns the arguments of a program, without the program itself, in the order of the model."""
    settings = params.Config
    short_eq, long_eq = getattr(settings, "short_flags_use_eq", False), getattr(settings, "long_flags_use_eq", False)
    return arguments(written_fields(params), short_eq=short_eq, long_eq=long_eq)


def rendered_template(params: Any, context: dict[str, Any], yaml_file: Optional[str]) -> Optional[tuple[str, str]]:
    """Returns the text of the program's own configuration and where it goes; None if it has none.

    Args:
        params: The parameters; `lute_template_cfg` names the template.
        context: The template's variables; without any nothing is rendered.
        yaml_file: The YAML file, beside which templates are looked for first.

    Raises:
        TemplateError: The template or a variable is missing.
    """
    wanted = getattr(params, "lute_template_cfg", None)
    if wanted is None or not context:
        return None
    from lute.base import modules  # most programs have no template
    from lute.tasks import templates

    folders = templates.template_folders(yaml_file, modules.folders())
    return templates.render(wanted.template_name, folders, context), wanted.output_path


def variable_as_text(name: str, value: Any) -> str:
    """Returns what the log says of a variable of the template."""
    return f"TemplateParameters: { ({name: value}) }"


def command_as_text(argv: Iterable[str]) -> str:
    """Returns a command line as text: every argument followed by one space."""
    return "".join(f"{argument} " for argument in argv)


def _is_a(value: Any, *names: str) -> bool:
    """Judges a type by name: under a Python of its own a Task sees stand-ins for the models."""
    kinds = [getattr(value, "_type_name", None), *(kind.__name__ for kind in type(value).__mro__)]
    return any(name in kinds for name in names)


def left_out(value: Any) -> bool:
    """Returns whether a value means "not given" on a command line; 0 and False are values."""
    return value is None or (isinstance(value, str) and value == "")


def arguments(
    fields: Iterable[tuple[str, Any, Attributes]], short_eq: bool = False, long_eq: bool = False
) -> list[str]:
    """Returns the arguments for parameters, in order.

    Args:
        fields: Name, value and attributes of each parameter that belongs on the command line.
        short_eq: `-x=value` as one argument (the model's `short_flags_use_eq`).
        long_eq: `--name=value` as one argument (the model's `long_flags_use_eq`).
    """
    found: list[str] = []
    for name, value, attributes in fields:
        if left_out(value):
            continue
        spelling = attributes.get("spelling")
        if spelling is not None:
            found += _typed(name, value, spelling)
        elif attributes.get("flag_type") is not None:
            found += _flag_type(attributes["flag_type"], _written_name(name, attributes), value, short_eq, long_eq)
        else:
            warnings.warn(
                f"parameter {name!r} does not say how it is written: use Annotated[..., Flag(...)] or"
                " Positional(), or Field(..., flag_type=...)",
                category=PendingDeprecationWarning,
                stacklevel=2,
            )
            found += _bare(name, _written_name(name, attributes), value, short_eq, long_eq)
    return found


def _written_name(name: str, attributes: Attributes) -> str:
    return attributes.get("rename_param") or name


# ---------------------------------------------------------------------------------- typed metadata


def _typed(name: str, value: Any, spelling: Attributes) -> list[str]:
    kind = spelling["kind"]
    if kind == "Flag":
        return _typed_flag(value, spelling)
    items = _items(value, spelling["join"])
    if kind == "Positional":
        return items
    return [f"{spelling['key'] or name}{spelling['sep']}{item}" for item in items]


def _typed_flag(value: Any, spelling: Attributes) -> list[str]:
    flag, sep = spelling["flag"], spelling["sep"]
    if isinstance(value, bool):
        if value:
            return [flag]
        return [spelling["negated"]] if spelling["negated"] is not None else []
    items = _items(value, spelling["join"])
    if not items:
        return []
    if sep is not None:
        return [f"{flag}{sep}{item}" for item in items]
    if spelling["repeat"]:
        return [part for item in items for part in (flag, item)]
    return [flag, *items]


def _items(value: Any, join: Any) -> list[str]:
    if not isinstance(value, (list, tuple, set, frozenset)):
        return [_typed_text(value)]
    items = [_typed_text(item) for item in in_order(value) if not left_out(item)]
    return [join.join(items)] if join is not None and items else items


def _typed_text(value: Any) -> str:
    return as_text(value.value if isinstance(value, enum.Enum) else value)


# --------------------------------------------------------------------------------- older spellings


def _flag_type(flag_type: str, name: str, value: Any, short_eq: bool, long_eq: bool) -> list[str]:
    if flag_type == "":
        return _separate(value)
    flag = flag_type + name
    if flag_type == "--" and isinstance(value, bool):
        return [flag] if value else []
    if short_eq if flag_type == "-" else long_eq:
        return [f"{flag}={as_text(value)}"]
    return [flag, *_separate(value)]


def _bare(name: str, written: str, value: Any, short_eq: bool, long_eq: bool) -> list[str]:
    if len(name) == 1:
        return _flag_type("-", written, value, short_eq, long_eq)
    if "p_arg" in name:
        return _separate(value)
    if value is True and long_eq:
        return [f"--{written}=True"]
    return _flag_type("--", written, value, short_eq, long_eq)


def _separate(value: Any) -> list[str]:
    """A text with a space in it is several arguments in the older spellings."""
    text = as_text(value)
    return text.split() if isinstance(value, str) and " " in text else [text]


def as_text(value: Any) -> str:
    """Returns a value as Python's `str` writes it; a nested model as its dict."""
    dump = getattr(value, "model_dump", None)
    return str(dump() if dump is not None else value)


def why_not_started(program: str, number: Optional[int], text: str, path: str) -> str:
    """Returns why a program could not be started, in words that say what to do.

    Args:
        program: As it was to be run.
        number: The error's number.
        text: The error's own words.
        path: The PATH it was searched on.
    """
    if number == errno.ENOENT and os.sep not in program:
        return f"program {program!r} not found. PATH searched: {path}"
    if number == errno.ENOENT:
        if not os.path.exists(program):
            return f"program {program} not found"
        return f"program {program} names an interpreter that does not exist: {_first_line(program)}"
    if number == errno.EACCES and os.path.isdir(program):
        return f"program {program} is a folder"
    if number == errno.EACCES:
        return f"program {program} is not executable: chmod +x it, or give the program that runs it"
    if number == errno.ENOEXEC:
        return f"program {program} is of no format that can be run here; a script needs a first line #!..."
    return f"program {program} could not be started: {text}"


def _first_line(program: str) -> str:
    with open(program, "rb") as file:
        return file.readline(200).decode("utf-8", "backslashreplace").strip()
