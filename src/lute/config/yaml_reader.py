"""YAML text -> plain values that know their lines. The scalars are those of YAML 1.2's core schema.

PyYAML parses (with libyaml, where it has it); what a plain scalar means is decided here, since PyYAML reads
YAML 1.1, where `no` is false, `12:30` is 750 and `1e-3` is text. A number with a leading zero is text here.
Core schema: https://yaml.org/spec/1.2.2/#103-core-schema
"""

from __future__ import annotations

import bisect
import copy
import json
import math
import re
from dataclasses import dataclass, field, replace
from typing import Any

import yaml

from lute.base.formatting import read_scalar
from lute.errors import ConfigError, Problem
from lute.record.values import EXACT_TAG, Exact

cyaml: Any
try:
    from yaml import cyaml
except ImportError:  # PyYAML without libyaml
    cyaml = None

Path = tuple[str | int, ...]
Place = tuple[int, int]

_VERSION = re.compile(r"^%YAML[ \t]+1\.[0-9]+", re.MULTILINE)
DEEPEST = 100
"""How many lists and mappings may stand within each other."""

MOST_REPEATED = 1_000_000
"""How many values aliases may repeat in a document: aliases of aliases are soon more than any memory holds."""
_PAIR = re.compile(r"(?<!\\)((?:\\\\)*)\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")

WORKFLOW_TAG = "!LUTE_DAG"
"""Marks a document that is a workflow."""
_STR, _MAP, _SEQ = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


@dataclass
class Document:
    """One document of a file.

    Attributes:
        value: Its content, in plain types.
        places: Line and column (from 1) of each value, by its path; of a mapping's entry, of its key.
        texts: How each number was written, by its path.
        plain: The plain scalars, with their text and place, to compare with YAML 1.1.
        is_workflow: Whether it is marked as a workflow, with `!LUTE_DAG`.
    """

    value: Any = None
    places: dict[Path, Place] = field(default_factory=dict)
    texts: dict[Path, str] = field(default_factory=dict)
    plain: list[tuple[str, Place]] = field(default_factory=list)
    is_workflow: bool = False

    def copy(self) -> Document:
        """Returns a document whose entries can be replaced without changing this one; what is in them is shared."""
        return replace(self, value=copy.copy(self.value), texts=dict(self.texts))

    def take(self, other: Document, path: Path) -> None:
        """Takes texts and places of another document's value at a path and below."""
        self.texts |= {at: text for at, text in other.texts.items() if at[: len(path)] == path}
        self.places |= {at: place for at, place in other.places.items() if at[: len(path)] == path}

    def forget(self, path: Path) -> None:
        """Forgets how the numbers at a path and below were written."""
        self.texts = {at: text for at, text in self.texts.items() if at[: len(path)] != path}


class _Resolver(yaml.resolver.BaseResolver):
    """Leaves every plain scalar to us, but says which are plain."""

    def resolve(self, kind: Any, value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return "plain" if implicit[0] else _STR
        return _SEQ if kind is yaml.SequenceNode else _MAP


if cyaml is not None:

    class _Composer(cyaml.CParser, _Resolver):  # type: ignore[misc]
        def __init__(self, text: str) -> None:
            cyaml.CParser.__init__(self, text)
            _Resolver.__init__(self)

else:

    class _Composer(  # type: ignore[no-redef]
        yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, yaml.composer.Composer, _Resolver
    ):
        def __init__(self, text: str) -> None:
            yaml.reader.Reader.__init__(self, text)
            yaml.scanner.Scanner.__init__(self)
            yaml.parser.Parser.__init__(self)
            yaml.composer.Composer.__init__(self)
            _Resolver.__init__(self)


def read_documents(text: str, file: str) -> list[Document]:
    """Returns the documents of a YAML text.

    Args:
        text: The text.
        file: Its name, for messages.

    Raises:
        ConfigError: It is no YAML, has a key twice, or a tag that YAML's core schema does not have.
    """
    text = _VERSION.sub("%YAML 1.2", text)  # libyaml refuses versions it does not know
    documents, problems = [], []
    try:
        composer = _Composer(_with_pairs_joined(text))
        while composer.check_node():
            builder = _Builder(file)
            document = Document()
            node = composer.get_node()
            assert node is not None
            if node.tag == WORKFLOW_TAG:
                document.is_workflow = True
                node.tag = _MAP if isinstance(node, yaml.MappingNode) else _SEQ
            document.value = builder.build(node, (), document)
            documents.append(document)
            problems += builder.problems
    except yaml.MarkedYAMLError as error:
        problems.append(_syntax_problem(error, file))
    except (yaml.YAMLError, RecursionError, UnicodeEncodeError) as error:
        problems.append(Problem(file, None, None, f"not YAML: {error or 'nested too deeply'}"))
    if problems:
        raise ConfigError(problems)
    return documents


def _with_pairs_joined(text: str) -> str:
    """Returns a text in which a character that JSON writes as two escapes is one escape, as YAML has it.

    Only double quotes have escapes: elsewhere the same text stays as it is.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    pairs = list(_PAIR.finditer(text))
    if not pairs:
        return text
    quoted = _double_quoted(_PAIR.sub(_as_one, text))
    made, end, shorter = [], 0, 0
    for pair in pairs:
        one = _as_one(pair)
        place = bisect.bisect_right(quoted, (pair.start() - shorter, math.inf)) - 1
        is_quoted = place >= 0 and pair.start() - shorter < quoted[place][1]
        made += [text[end : pair.start()], one if is_quoted else pair[0]]
        end, shorter = pair.end(), shorter + len(pair[0]) - len(one)
    return "".join([*made, text[end:]])


def _as_one(pair: re.Match[str]) -> str:
    high, low = int(pair[2], 16), int(pair[3], 16)
    return f"{pair[1]}\\U{0x10000 + ((high - 0xD800) << 10) + low - 0xDC00:08x}"


def _double_quoted(text: str) -> list[tuple[int, float]]:
    """Returns where the scalars in double quotes begin and end."""
    events: Any = _Composer(text)
    found = []
    while events.check_event():
        event = events.get_event()
        if getattr(event, "style", None) == '"':
            found.append((event.start_mark.index, event.end_mark.index))
    return found


def _syntax_problem(error: yaml.MarkedYAMLError, file: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    what = " ".join(part for part in (error.context, error.problem) if part)
    line, column = (mark.line + 1, mark.column + 1) if mark else (None, None)
    return Problem(file, line, column, f"not YAML: {what}")


class _Builder:
    """Builds plain values from nodes."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._built: set[int] = set()
        self._repeated = 0

    def build(self, node: yaml.Node, path: Path, into: Document) -> Any:
        place = (node.start_mark.line + 1, node.start_mark.column + 1)
        into.places.setdefault(path, place)
        self._count(node, into.places.get(path[:1], place))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, place, into)
        if id(node) in self._open:
            return self._wrong(place, "an anchor that contains itself")
        if len(path) > DEEPEST:
            return self._wrong(place, f"nested deeper than {DEEPEST} lists and mappings")
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.SequenceNode):
                self._check_tag(node.tag, _SEQ, place)
                return [self.build(item, (*path, number), into) for number, item in enumerate(node.value)]
            self._check_tag(node.tag, _MAP, place)
            return self._mapping(node, path, into)
        finally:
            self._open.discard(id(node))

    def _count(self, node: yaml.Node, place: Place) -> None:
        """Counts what is built a second time: an alias names it, or something around it."""
        if id(node) not in self._built:
            self._built.add(id(node))
            return
        self._repeated += 1
        if self._repeated > MOST_REPEATED:
            self._wrong(place, f"aliases repeat more than {MOST_REPEATED:,} values up to here: write fewer of them")
            raise ConfigError(self.problems)

    def _scalar(self, node: yaml.ScalarNode, path: Path, place: Place, into: Document) -> Any:
        text: str = node.value
        if node.tag == _STR:
            return text
        if node.tag == "plain":
            value = read_scalar(text)
            into.plain.append((text, place))
            if type(value) in (int, float):
                into.texts[path] = text
            return value
        return self._tagged(node.tag, text, place)

    def _tagged(self, tag: str, text: str, place: Place) -> Any:
        if tag == EXACT_TAG:
            try:
                return Exact(json.loads(text))
            except (ValueError, RecursionError):
                return self._wrong(place, f"{text!r} is not what lute writes with the tag {tag}")
        kind = {"int": int, "float": float, "bool": bool, "null": type(None)}.get(tag.rsplit(":", 1)[-1])
        if kind is None or not tag.startswith("tag:yaml.org,2002:"):
            return self._wrong(place, f"the tag {tag} has no meaning here; remove it")
        value = read_scalar(text)
        if kind is float and type(value) is int:
            return float(value)
        if type(value) is not kind:
            return self._wrong(place, f"{text!r} is no {kind.__name__}")
        return value

    def _mapping(self, node: yaml.Node, path: Path, into: Document) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        seen: dict[Any, int] = {}
        sources: dict[Any, Document] = {}
        for key_node, value_node in node.value:
            place = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key_node.tag == "plain" and key_node.value == "<<":
                self._merge(value_node, path, place, merged, sources)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self._wrong(place, 'a key that is no text; a substitution needs quotes: "{{ name }}"')
                continue
            key = self._scalar(key_node, (), place, Document())
            key = key if isinstance(key, (str, int)) and not isinstance(key, bool) else key_node.value
            if key in seen:
                self._wrong(place, f"{key!r} stands here a second time; the first is in line {seen[key]}")
                continue
            seen[key] = place[0]
            into.places[(*path, key)] = place
            found[key] = self.build(value_node, (*path, key), into)
        for key in merged.keys() - found.keys():
            into.take(sources[key], (*path, key))
        return {**merged, **found}

    def _merge(
        self, node: yaml.Node, path: Path, place: Place, merged: dict[Any, Any], sources: dict[Any, Document]
    ) -> None:
        """Adds the entries that `<<` names to `merged`, and to `sources` where their texts and places are."""
        for part in reversed(node.value if isinstance(node, yaml.SequenceNode) else [node]):
            source = Document()
            value = self.build(part, path, source)
            if not isinstance(value, dict):
                self._wrong(place, "<< takes a mapping, or a list of mappings")
                continue
            merged.update(value)
            sources.update(dict.fromkeys(value, source))

    def _check_tag(self, tag: str, expected: str, place: Place) -> None:
        if tag != expected:
            self._wrong(place, f"the tag {tag} has no meaning here; remove it")

    def _wrong(self, place: Place, message: str) -> None:
        self.problems.append(Problem(self.file, *place, message))


def in_one_line(value: Any) -> str:
    """Returns a value of lists, mappings, texts and numbers as YAML that reads as the same; anything else as its text.

    >>> in_one_line({"a": [1, "x", None]})
    '{"a": [1, "x", null]}'
    """
    if isinstance(value, dict):
        return "{" + ", ".join(f"{in_one_line(key)}: {in_one_line(item)}" for key, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(map(in_one_line, value)) + "]"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{value:+}".replace("+nan", ".nan").replace("inf", ".inf")
    if value is None or isinstance(value, (bool, int, float)):
        return json.dumps(value)
    if isinstance(value, Exact):
        return f"{EXACT_TAG} {quoted(str(value))}"
    return '"' + "".join(_escaped(character) for character in str(value)) + '"'


def quoted(text: str) -> str:
    """Returns a text of one line in single quotes, in which YAML has no escapes."""
    return "'" + text.replace("'", "''") + "'"


def _escaped(character: str) -> str:
    if character in '"\\':
        return f"\\{character}"
    return character if character.isascii() and character.isprintable() else f"\\U{ord(character):08x}"


def differences_from_yaml_1_1(document: Document) -> list[tuple[Place, str]]:
    """Returns where PyYAML would read a plain scalar differently, and how."""
    found = []
    for text, place in document.plain:
        tag = _YAML_1_1.resolve(yaml.ScalarNode, text, (True, False))
        older = tag.rsplit(":", 1)[-1]
        newer = {"NoneType": "null"}.get(type(read_scalar(text)).__name__, type(read_scalar(text)).__name__)
        if older == newer and not (older == "int" and _read_1_1_int(text) != read_scalar(text)):
            continue
        article = "text" if newer == "str" else f"a {newer}" if newer != "int" else "an int"
        older = {"str": "text", "timestamp": "a date", "bool": "a bool"}.get(older, f"{older}")
        found.append((place, f"{text} is {article} here (YAML 1.2); PyYAML would read {older}"))
    return found


def _read_1_1_int(text: str) -> Any:
    return yaml.safe_load(text)


_YAML_1_1: Any = yaml.resolver.Resolver()
