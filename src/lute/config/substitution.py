"""`{{ name }}` in the values of a YAML file: pure functions over nested dicts and lists.

    {{ name }}                    an entry of the second document, or else of the header
    {{ Task.a.b }}                a dotted path; `list.0` or `list[0]` is an item
    {{ Task['a.b'] }}             a key of any text, in quotes as Python has them
    {{ $VAR }}                    an environment variable
    {{ run:04d }}                 with a format, as Python's `format` takes it
    {{ $VAR | default("x") }}     a value for what is missing
    {{ "{{" }}                    the two characters themselves

A value that is one substitution alone keeps its type; within other text a number is written as it was in the
file. A substituted value may hold substitutions itself, in any order; a cycle is an error that shows it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from lute.base.paths import NOTHING, QUOTED, split_path, value_at
from lute.errors import SubstitutionError, did_you_mean

_BRACES = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_EXPRESSION = rf"""(?xs)^\s*(?P<name>\$?(?:[^\s:|{{}}$\[]|\[{QUOTED}\]|\[(?!['"]))+)\s*
        (?:\|\s*default\(\s*(?P<default>"[^"]*"|'[^']*'|[^()"']*)\s*\)\s*)?
        (?::(?P<format>[^{{}}]*?))?\s*$"""
_TWO_BRACES = ('"{{"', "'{{'")


class Written:
    """A number, and how it was written in the file.

    Args:
        value: The number.
        text: How it was written.
    """

    def __init__(self, value: Any, text: str) -> None:
        self.value, self.text = value, text

    def __repr__(self) -> str:
        return str(self.value) if isinstance(self.value, bool) else self.text


class _Expression(NamedTuple):
    source: str
    name: str
    format: str
    default: Any
    has_default: bool


def _read_expression(inner: str) -> _Expression:
    found = re.match(_EXPRESSION, inner)
    if not found:
        raise SubstitutionError(
            f"{{{{{inner}}}}} is no substitution: write {{{{ name }}}}, {{{{ Task.param }}}}, {{{{ $VAR }}}},"
            ' {{ run:04d }} or {{ $VAR | default("x") }}'
        )
    default = None if found["default"] is None else _read_default(found["default"].strip())
    has_default = found["default"] is not None
    return _Expression(inner.strip(), found["name"], (found["format"] or "").strip(), default, has_default)


def _read_default(text: str) -> Any:
    try:
        default = ast.literal_eval({"true": "True", "false": "False", "null": "None"}.get(text, text))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise SubstitutionError(f'default({text}) is no value: put text into quotes, default("{text}")') from None
    return Written(default, text) if type(default) in (int, float) else default


def has_substitution(text: str) -> bool:
    """Returns whether a text holds `{{ ... }}`."""
    return "{{" in text and _BRACES.search(text) is not None


def names_in(text: str) -> list[str]:
    """Returns the names that the substitutions of a text ask for."""
    found = (re.match(_EXPRESSION, inner) for inner in _BRACES.findall(text))
    return [expression["name"] for expression in found if expression]


def literally(value: Any) -> Any:
    """Returns what `Substituter.value` makes a value of that may hold `{{` itself.

    >>> literally("a{{b}}")
    'a{{ "{{" }}b}}'
    """
    if isinstance(value, str):
        return value.replace("{{", '{{ "{{" }}')
    if isinstance(value, list):
        return [literally(item) for item in value]
    if isinstance(value, dict):
        return {literally(key): literally(item) for key, item in value.items()}
    return value


class Substituter:
    """Substitutes in a pair of documents, each value when it is first asked for.

    Args:
        documents: What names are looked up in, first to last. Their numbers may be `Written`.
        environ: What `$VAR` is looked up in.
        read_scalar: Reads a text as YAML would, so that `{{ $RUN:04d }}` formats a number.
        given: What names are looked up in before the documents. Its values are taken as they are: a `{{` in one of
            them is two characters.
        last: What names are looked up in when they are nowhere else; its values are taken as they are, too.
    """

    def __init__(
        self,
        documents: Sequence[Mapping[str, Any]],
        environ: Mapping[str, str],
        read_scalar: Callable[[str], Any] = lambda text: text,
        given: Mapping[str, Any] | None = None,
        last: Mapping[str, Any] | None = None,
    ) -> None:
        self._documents = documents
        self._given = given if given is not None else {}
        self._last = last if last is not None else {}
        self._environ = environ
        self._read_scalar = read_scalar
        self._open: list[str] = []

    def value(self, raw: Any) -> Any:
        """Returns a value with every substitution in it made, in lists and dicts too.

        Raises:
            SubstitutionError: Something is missing or goes round in a circle.
        """
        if isinstance(raw, str):
            return self._text(raw)
        if isinstance(raw, list):
            return [self._inside(number, item) for number, item in enumerate(raw)]
        if isinstance(raw, dict):
            return self._mapping(raw)
        return raw

    def _inside(self, step: Any, raw: Any) -> Any:
        try:
            return self.value(raw)
        except SubstitutionError as error:
            error.path = (step, *error.path)
            raise

    def _mapping(self, raw: dict[Any, Any]) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for key, item in raw.items():
            made = self._text(key) if isinstance(key, str) else key
            made = made.value if isinstance(made, Written) else made
            if isinstance(made, (list, dict)):
                raise SubstitutionError(f"{key} is {made!r}, which cannot be a key")
            if made in found:
                raise SubstitutionError(f"{key} is the key {made!r}, which stands here already")
            found[made] = self._inside(key, item)
        return found

    def _text(self, text: str) -> Any:
        if "{{" not in text:
            return text
        whole = _BRACES.fullmatch(text.strip())
        if whole and "{{" not in whole[1]:
            return self._one(whole[1])
        if "{{" in _BRACES.sub("", text):
            raise SubstitutionError(
                f'a {{{{ has no }}}} in {text!r}: close it, or write {{{{ "{{{{" }}}} for the two characters themselves'
            )
        return _BRACES.sub(lambda found: str(self._one(found[1])), text)

    def _one(self, inner: str) -> Any:
        if inner.strip() in _TWO_BRACES:
            return "{{"
        expression = _read_expression(inner)
        value = self._look_up(expression)
        if not expression.format:
            return value
        value = value.value if isinstance(value, Written) else value
        for candidate in (value, self._read_scalar(value) if isinstance(value, str) else value):
            try:
                return format(candidate, expression.format)
            except (ValueError, TypeError) as error:
                reason = error
        raise SubstitutionError(
            f"{{{{ {expression.source} }}}}: {value!r} has no format {expression.format!r}: {reason}"
        )

    def _look_up(self, expression: _Expression) -> Any:
        if expression.name in self._open:
            circle = [*self._open[self._open.index(expression.name) :], expression.name]
            raise SubstitutionError(f"substitutions go round in a circle: {' -> '.join(circle)}")
        parts = split_path(expression.name)
        value = value_at(self._given, parts) if parts else NOTHING
        if value is not NOTHING:
            return value
        if expression.name.startswith("$"):
            found, value = self._from_environment(expression.name[1:])
        else:
            found, value = self._from_documents(expression.name)
        if not found and expression.name in self._last:
            return self._last[expression.name]
        if not found:
            if expression.has_default:
                return expression.default
            raise SubstitutionError(self._missing(expression.name))
        if expression.name.startswith("$"):
            return value
        self._open.append(expression.name)
        try:
            return self.value(value)
        except SubstitutionError as error:
            error.path = ()  # it is not in the value that asks for this one
            raise
        finally:
            self._open.pop()

    def _from_environment(self, name: str) -> tuple[bool, Any]:
        return name in self._environ, self._environ.get(name)

    def _from_documents(self, name: str) -> tuple[bool, Any]:
        for document in self._documents:
            if name in document:
                return True, document[name]
            self._open.append(name)  # a path through a text may lead back here
            try:
                found, value = self._walk(document, split_path(name))
            finally:
                self._open.pop()
            if found:
                return True, value
        return False, None

    def _walk(self, value: Any, parts: list[str]) -> tuple[bool, Any]:
        for part in parts:
            if isinstance(value, str) and has_substitution(value):
                value = self._text(value)
            value = value_at(value, [part])
            if value is NOTHING:
                return False, None
        return True, value

    def _missing(self, name: str) -> str:
        if name.startswith("$"):
            hint = did_you_mean(name[1:], self._environ)
            return (
                f"{{{{ {name} }}}}: the environment variable {name[1:]} is not set.{hint} Set it, or write"
                f' {{{{ {name} | default("...") }}}}'
            )
        documents = [self._given, *self._documents, self._last]
        known = {str(key) for document in documents for key in document}
        for document in documents:
            inner = document.get(split_path(name)[0]) if split_path(name) else None
            if isinstance(inner, Mapping):
                known |= {f"{split_path(name)[0]}.{key}" for key in inner}
        return f"{{{{ {name} }}}}: there is no {name!r} in this file.{did_you_mean(name, known)}"
