"""What must not be written down: the values of variables whose names say that they are secret."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import unquote

SECRET_NAMES = [
    r"TOKEN",
    r"PASSW",
    r"PASSPHRASE",
    r"SECRET",
    r"CREDENTIAL",
    r"PRIVATE",
    r"API_?KEY",
    r"ACCESS_?KEY",
    r"AUTH(?!OR)",
    r"COOKIE",
    r"_KEY$",
    r"_PWD$",
    r"_PW$",
]
"""Patterns of names whose values are never written down. Add to it what a site has."""

HIDDEN = "***"
SHORTEST_SECRET = 4
"""A secret shorter than this, in characters, is not looked for inside other texts."""


def is_secret(name: str) -> bool:
    """Returns whether a variable's value must not be written down, judged by its name."""
    return _judge(tuple(SECRET_NAMES))(name)


@functools.lru_cache(maxsize=8)
def _judge(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Returns `is_secret` for certain patterns; it remembers names, of which each run has the same again."""
    any_of_them = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
    return functools.lru_cache(maxsize=4096)(lambda name: any_of_them.search(name) is not None)


def secret_values(*environments: Mapping[str, str]) -> list[str]:
    """Returns the values to hide, longest first: those of secret variables, and passwords in URLs."""
    judge = _judge(tuple(SECRET_NAMES))
    found = {value for env in environments for name, value in env.items() if judge(name)}
    urls = (value for env in environments for value in env.values() if "://" in value)
    found.update(password for url in urls for password in passwords_in(url))
    return sorted((value for value in found if len(value) >= SHORTEST_SECRET), key=len, reverse=True)


_USER_AND_PASSWORD = re.compile(r"(://[^\s/?#:@]*):([^\s/?#]*)@")
_PASSWORD_OPTION = re.compile(r"([?&](?:ssl)?password=)([^\s&#]*)")


def passwords_in(text: str) -> list[str]:
    """Returns the passwords in a text's URLs, as they are written and as they are meant.

    >>> passwords_in("postgresql://me:s%40fe@host/db")
    ['s%40fe', 's@fe']
    """
    written = [found[2] for pattern in (_USER_AND_PASSWORD, _PASSWORD_OPTION) for found in pattern.finditer(text)]
    return list(dict.fromkeys(word for password in written for word in (password, unquote(password)) if word))


def without_password(url: str) -> str:
    """Returns a URL as it may be shown.

    >>> without_password("postgresql://me:secret@host/db?sslmode=require&password=secret")
    'postgresql://me@host/db?sslmode=require&password=***'
    """
    return _PASSWORD_OPTION.sub(rf"\1{HIDDEN}", _USER_AND_PASSWORD.sub(r"\1@", url))


def hide(value: Any, secrets: Sequence[str]) -> Any:
    """Returns a value of plain types with every secret in its texts replaced by `***`."""
    if not secrets:
        return value
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, HIDDEN)
        return value
    if isinstance(value, dict):
        return {key: hide(item, secrets) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(hide(item, secrets) for item in value)
    return value


def hide_here(value: Any) -> Any:
    """Returns a value of plain types without the secrets of this process's environment."""
    return hide(value, secret_values(os.environ))


def hide_variables(changed: Mapping[str, str | None], secrets: Sequence[str]) -> dict[str, str | None]:
    """Returns changed variables with the values of secret ones, and secrets inside others, hidden."""
    return {name: HIDDEN if value and is_secret(name) else hide(value, secrets) for name, value in changed.items()}
