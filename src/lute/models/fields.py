"""How one parameter is written on a command line, and what else is known of it.

The taught spelling is typed metadata, which has no surprises: one value is one argument, a bool is a switch,
a list is several arguments, and what is none of these is an error of the model:

    threads: Annotated[int, Flag("-j")] = 4                          -j 4
    level: Annotated[int, Flag("--level", sep="=")] = 2              --level=2
    cache: Annotated[bool, Flag("--cache", negated="--no-cache")]    --cache, or --no-cache
    cell: Annotated[list[float], KeyValue("unit_cell", join=",")]    unit_cell=79,79,38
    files: Annotated[list[Path], Positional()]                       a.cbf b.cbf

Models in the older spelling, `Field(..., flag_type="--", rename_param="n")`, are read as well.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass
from typing import Any

import pydantic
from pydantic.fields import FieldInfo

from lute.errors import ModelError
from lute.wire.encoding import Attributes

__all__ = [
    "Field",
    "Flag",
    "FromResult",
    "IsResult",
    "KeyValue",
    "MPILauncher",
    "MPIRanks",
    "Output",
    "Positional",
    "Stderr",
    "Stdin",
    "Stdout",
    "attributes_of",
    "check_spelling",
    "check_streams",
    "members",
    "metadata_of",
    "spelling_of",
    "type_name",
]


@dataclass(frozen=True)
class Flag:
    """A parameter written as a flag with its value, or as a switch if it is a bool.

    Args:
        flag: As the program wants it, with its dashes: `-n`, `--name`, `-name`.
        sep: What stands between flag and value in one argument, such as `=`; None makes two arguments.
            `""` joins them: `-j4`.
        negated: The switch to write when a bool is false.
        join: Writes a list as one value joined with this text.
        repeat: Writes the flag again for each item of a list.
    """

    flag: str
    sep: str | None = None
    negated: str | None = None
    join: str | None = None
    repeat: bool = False


@dataclass(frozen=True)
class Positional:
    """A parameter written as its value alone; a list is several arguments.

    Args:
        join: Writes a list as one argument joined with this text.
    """

    join: str | None = None


@dataclass(frozen=True)
class KeyValue:
    """A parameter for programs that take `name=value`, such as cctbx and DIALS.

    Args:
        key: The name; None takes the parameter's own.
        sep: What stands between.
        join: Writes a list as one argument joined with this text; without it, each item is an argument of
            its own, `key=item`.
    """

    key: str | None = None
    sep: str = "="
    join: str | None = None


@dataclass(frozen=True)
class _Mark:
    """What says all there is to say by its class."""


class IsResult(_Mark):
    """Marks the parameter whose value becomes the payload of the Task's result."""


class MPIRanks(_Mark):
    """Marks the parameter that says how many ranks an MPI program has; None leaves that to the job."""


class MPILauncher(_Mark):
    """Marks the parameter that says what starts the ranks of an MPI program.

    It is a name or path, or a list with arguments of its own: `["srun", "--mpi=pmix"]`; None leaves it to `lute`.
    """


_FOR_MPI = (MPIRanks, MPILauncher)
"""Marks of parameters that are no arguments of the program, unless they also say how they are written."""


@dataclass(frozen=True)
class Output:
    """Marks a file or folder that the Task writes: if it is not there at the end, is empty or older, the Task FAILED.

    A parameter with this mark and none that says how it is written is no argument of a program.

    Args:
        may_be_empty: A file without bytes, or a folder without files, is good.
        glob: The value is a pattern (`*`, `?`, `[...]`, `**`); what others are given are the files that fit it.
        at_least: So many files must fit the pattern.
        may_be_old: For programs that leave alone what is up to date: it need not be written by this run.
    """

    may_be_empty: bool = False
    glob: bool = False
    at_least: int = 1
    may_be_old: bool = False


class Stdin(_Mark):
    """Marks the parameter that names the file which a program reads as standard input; it is no argument."""


@dataclass(frozen=True)
class Stdout:
    """Marks the parameter that names the file which takes a program's standard output; it is no argument.

    Args:
        append: Add to the file, instead of starting with an empty one.
    """

    append: bool = False


@dataclass(frozen=True)
class Stderr:
    """Marks the parameter that names the file which takes what a program prints to standard error; it is no argument.

    Args:
        append: Add to the file, instead of starting with an empty one.
    """

    append: bool = False


STREAMS = (Stdin, Stdout, Stderr)
"""Marks of parameters that name the file in place of a standard stream; the stream is the name in small letters."""


@dataclass(frozen=True)
class FromResult:
    """Takes the default from what another Task gave: its latest valid run in this experiment and run.

    Args:
        task: Name of the other Task.
        param: Name of its parameter, or `result` for its payload.
    """

    task: str
    param: str = "result"


_KNOWN = {
    *("alias", "alias_priority", "allow_inf_nan", "coerce_numbers_to_str", "decimal_places", "default_factory"),
    *("deprecated", "description", "discriminator", "examples", "exclude", "fail_fast", "field_title_generator"),
    *("frozen", "ge", "gt", "init", "init_var", "json_schema_extra", "kw_only", "le", "lt", "max_digits"),
    *("max_length", "min_length", "multiple_of", "pattern", "repr", "serialization_alias", "strict", "title"),
    *("union_mode", "validate_default", "validation_alias"),
}


def Field(default: Any = ..., **keywords: Any) -> Any:
    """Describes a parameter: pydantic's `Field`, which also takes attributes of our own and of older models.

    Args:
        default: The value when none is given; `...` for a parameter that must be given.
        **keywords: What pydantic's `Field` takes (also by its version 1 names `regex`, `min_items`,
            `max_items`), and `flag_type`, `rename_param`, `is_result`, or any other attribute of the
            parameter, such as `unit`.
    """
    if keywords.keys() <= _KNOWN:
        return pydantic.Field(default, **keywords)
    from lute.models.compat_v1 import keywords_of_today  # most fields have none of these

    known = keywords_of_today(keywords)
    own = {key: value for key, value in known.items() if key not in _KNOWN}
    passed = {key: value for key, value in known.items() if key in _KNOWN}
    if own:
        passed["json_schema_extra"] = {**(passed.get("json_schema_extra") or {}), **own}
    return pydantic.Field(default, **passed)


def attributes_of(field: FieldInfo) -> Attributes:
    """Returns a parameter's own attributes, such as `flag_type`, in whichever spelling they were given."""
    extra = field.json_schema_extra
    return dict(extra) if isinstance(extra, dict) else {}


def metadata_of(field: FieldInfo, kind: type[Any]) -> Any:
    """Returns the parameter's typed metadata of one kind, or None."""
    return next((item for item in field.metadata if isinstance(item, kind)), None)


def check_spelling(where: str, field: FieldInfo) -> None:
    """Checks how a parameter is to be written.

    Raises:
        ModelError: Its `flag_type` is not one there is, or its type cannot be written as its metadata says.
    """
    _check_typed(where, field)
    flag_type = attributes_of(field).get("flag_type")
    if flag_type not in (None, "-", "--", ""):
        raise ModelError(
            f'{where}: flag_type is {flag_type!r}, but can be "-", "--" or "" (positional). '
            f'For any other flag use Annotated[..., Flag("{flag_type}name")].'
        )


def _check_typed(where: str, field: FieldInfo) -> None:
    spelling = next((item for item in field.metadata if isinstance(item, (Flag, Positional, KeyValue))), None)
    if spelling is None:
        return
    for kind in members(field.annotation):
        items = () if typing.get_origin(kind) is typing.Literal else typing.get_args(kind)
        if isinstance(spelling, Positional) and _is_bool(kind):
            raise ModelError(
                f"{where}: a bool is a switch, and Positional() has no flag to write. Use Flag(...) or KeyValue(), or"
                ' Literal["True", "False"] for these words'
            )
        for inner in [kind, *(member for item in items for member in members(item))]:
            if _is_compound(inner) or (inner is not kind and _is_collection(inner)):
                raise ModelError(
                    f"{where}: there is no one way to write {type_name(inner)} on a command line. Give each of its"
                    " values a parameter of its own, or take str"
                )


def check_streams(model: str, fields: Mapping[str, FieldInfo], is_program: bool) -> None:
    """Checks the parameters that name files in place of a program's standard streams.

    Raises:
        ModelError: One says as well how it is written, or cannot name a file; two are for one stream; or the Task is no
            program.
    """
    taken: dict[str, str] = {}
    for name, field in fields.items():
        for stream in _streams_of(field):
            mark = stream.capitalize()
            if not is_program:
                raise ModelError(f"{model}.{name}: {mark}() is for programs, whose models are ThirdPartyParameters")
            if stream in taken:
                raise ModelError(f"{model}: {taken[stream]} and {name} are both {mark}(), and a program has one")
            taken[stream] = name
            _check_stream(f"{model}.{name}", mark, field)


def _check_stream(where: str, mark: str, field: FieldInfo) -> None:
    spellings = [type(item).__name__ for item in field.metadata if isinstance(item, (Flag, Positional, KeyValue))]
    spellings += attributes_of(field).keys() & {"flag_type", "rename_param"}
    if spellings:
        raise ModelError(f"{where}: a parameter that is {mark}() is no argument: leave out {', '.join(spellings)}")
    for kind in members(field.annotation):
        if _is_bool(kind) or _is_compound(kind) or _is_collection(kind):
            raise ModelError(f"{where}: {mark}() takes the path of one file, not {type_name(kind)}")


def _streams_of(field: FieldInfo) -> dict[str, bool]:
    """Returns the streams whose file a parameter names, and whether the file is added to."""
    marks = {kind.__name__.lower(): metadata_of(field, kind) for kind in STREAMS}
    return {name: getattr(mark, "append", False) for name, mark in marks.items() if mark is not None}


def _is_bool(kind: Any) -> bool:
    literal = typing.get_origin(kind) is typing.Literal
    return kind is bool or (literal and any(isinstance(choice, bool) for choice in typing.get_args(kind)))


def _is_compound(kind: Any) -> bool:
    plain = typing.get_origin(kind) or kind
    no_text = isinstance(plain, type) and issubclass(plain, (Mapping, pydantic.BaseModel, bytes, bytearray))
    return no_text or is_dataclass(plain)


def _is_collection(kind: Any) -> bool:
    return (typing.get_origin(kind) or kind) in (list, tuple, set, frozenset)


def members(annotation: Any) -> list[Any]:
    """Returns the types that a type is a union of.

    >>> members(int | list[str] | None)
    [<class 'int'>, list[str], <class 'NoneType'>]
    """
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (typing.Union, types.UnionType):
        return [kind for member in inner for kind in members(member)]
    return members(inner[0]) if origin is typing.Annotated else [annotation]


def spelling_of(field: FieldInfo) -> Attributes:
    """Returns how a parameter is written on a command line, as plain data."""
    attributes = attributes_of(field)
    for kind in (Flag, Positional, KeyValue):
        found = metadata_of(field, kind)
        if found is not None:
            attributes["spelling"] = {"kind": kind.__name__, **vars(found)}
    if not attributes.keys() & {"spelling", "flag_type"} and any(metadata_of(field, kind) for kind in _FOR_MPI):
        attributes["for_mpi"] = True
    if streams := _streams_of(field):
        attributes["streams"] = streams
    if not attributes.keys() & {"spelling", "flag_type", "rename_param"} and metadata_of(field, Output) is not None:
        attributes["no_argument"] = True
    return attributes


def type_name(annotation: Any) -> str:
    """Returns a type as it is written: `int | None`, `list[float]`."""
    if annotation is None or annotation is type(None):
        return "None"
    if typing.get_origin(annotation) is None:
        return getattr(annotation, "__name__", str(annotation))
    if typing.get_origin(annotation) is typing.Literal:
        return " | ".join(repr(value) for value in typing.get_args(annotation))
    arguments = [type_name(item) for item in typing.get_args(annotation)]
    name = getattr(typing.get_origin(annotation), "__name__", str(typing.get_origin(annotation)))
    return " | ".join(arguments) if name in ("UnionType", "Union") else f"{name}[{', '.join(arguments)}]"
