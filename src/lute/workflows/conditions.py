"""Conditions of steps, such as `steps.index.result.rate > 0.3`: read with Python's parser, never run as code.

A condition may have names with dots and `[...]`, numbers, texts, `true`, `false`, `null`, lists in brackets,
comparisons (`==`, `!=`, `<`, `<=`, `>`, `>=`, `in`, `not in`), `and`, `or`, `not` and parentheses. A name may stand in
`{{ }}`, as elsewhere in YAML.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from lute.base.paths import join_path, split_path
from lute.errors import WorkflowError

_COMPARE: dict[type, Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda one, several: one in several,
    ast.NotIn: lambda one, several: one not in several,
}
_WORDS = {"true": True, "false": False, "null": None}
_LONGEST = 2000
_DEEPEST = 50


def parse(text: str) -> ast.expr:
    """Returns a condition, checked.

    Raises:
        WorkflowError: It is none.
    """
    try:
        plain = re.sub(r"\{\{(.*?)\}\}", _as_subscripts, text)
        if len(plain) > _LONGEST:
            raise SyntaxError(f"it is longer than {_LONGEST} characters")
        tree = ast.parse(plain.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise WorkflowError(
            f"`when: {text}` is no condition: {error}. Write for example: steps.NAME.result > 3"
        ) from error
    _check(tree, text)
    return tree


def _as_subscripts(braces: re.Match[str]) -> str:
    """Returns `steps["my-step"]["result"]` for `{{ steps.my-step.result }}`: a name may have a hyphen there."""
    first, *others = split_path(braces[1].strip()) or [""]
    return first + "".join(f"[{part if part.isdigit() else repr(part)}]" for part in others)


def _check(node: ast.AST, text: str, depth: int = 0) -> None:
    allowed = (ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.Compare, ast.Name, ast.Attribute)
    more = (ast.Subscript, ast.Constant, ast.List, ast.Tuple, ast.Load, *_COMPARE)
    if depth > _DEEPEST:
        raise WorkflowError(f"`when: {text}` is no condition: it is nested deeper than {_DEEPEST}")
    if not isinstance(node, (*allowed, *more)):
        hint = " A name with a hyphen goes in braces: {{ steps.my-step.result }}" if _is_minus(node) else ""
        raise WorkflowError(
            f"`when: {text}`: {type(node).__name__} is not part of a condition; it compares values.{hint}"
        )
    for child in ast.iter_child_nodes(node):
        _check(child, text, depth + 1)


def _is_minus(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub)


def names_in(text: str) -> set[str]:
    """Returns the names with dots that a condition has, such as `steps.index.result`."""
    found = set()

    def visit(node: ast.AST) -> None:
        path = _path(node)
        if path is not None:
            found.add(join_path(path))
            return
        for child in ast.iter_child_nodes(node):
            visit(child)

    visit(parse(text))
    return found - set(_WORDS)


def holds(text: str, look_up: Callable[[str], Any]) -> bool:
    """Returns whether a condition is true.

    Args:
        text: The condition.
        look_up: Returns the value of a name with dots.

    Raises:
        WorkflowError: It is no condition, or compares what cannot be compared.
    """
    try:
        return bool(_value(parse(text), look_up))
    except TypeError as error:
        raise WorkflowError(f"`when: {text}` cannot be judged: {error}") from error


def _value(node: ast.AST, look_up: Callable[[str], Any]) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item, look_up) for item in node.elts]
    if isinstance(node, ast.BoolOp):
        values = (_value(item, look_up) for item in node.values)
        return all(values) if isinstance(node.op, ast.And) else any(values)
    if isinstance(node, ast.UnaryOp):
        value = _value(node.operand, look_up)
        return -value if isinstance(node.op, ast.USub) else not value
    if isinstance(node, ast.Compare):
        return _compared(node, look_up)
    path = _path(node)
    if path is None:
        raise WorkflowError(f"`{ast.unparse(node)}` is no name with dots")
    name = join_path(path)
    return _WORDS[name] if name in _WORDS else look_up(name)


def _compared(node: ast.Compare, look_up: Callable[[str], Any]) -> bool:
    values = [_value(item, look_up) for item in (node.left, *node.comparators)]
    pairs = zip(node.ops, values, values[1:], strict=False)
    return all(not _is_nan(one, two) and _COMPARE[type(sign)](one, two) for sign, one, two in pairs)


def _is_nan(*values: Any) -> bool:
    """Returns whether one of the values is nan: nothing is known of it, so that no comparison with it holds."""
    return any(isinstance(value, float) and value != value for value in values)


def _path(node: ast.AST) -> list[str] | None:
    """Returns the parts of a name with dots and constant subscripts; None if it is something else."""
    if isinstance(node, ast.Name):
        return [node.id]
    if isinstance(node, ast.Attribute):
        before = _path(node.value)
        return None if before is None else [*before, node.attr]
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Constant):
        before = _path(node.value)
        return None if before is None else [*before, str(node.slice.value)]
    return None
