"""`{{ run_id }}` and `{{ run_dir }}`: the id and the folder of the run itself, in any parameter and in defaults."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from lute.record.rows import RunFiles

RUN_ID, RUN_DIR = "run_id", "run_dir"
NAMES_RUN = re.compile(rf"\{{\{{\s*({RUN_ID}|{RUN_DIR})\s*\}}\}}")
"""Finds either of them in a text."""


class RunNames(Mapping[str, str]):
    """What the two names stand for in one run; it notes which was asked for.

    Args:
        identity: The run's id.
        work_dir: Its work folder.
        *asked: The names that it is known to use.
    """

    def __init__(self, identity: str, work_dir: str, *asked: str) -> None:
        self.identity, self._work_dir = identity, work_dir
        self.asked = set(asked)

    @functools.cached_property
    def folder(self) -> str:
        """The folder of the run alone, absolute; it need not be there yet."""
        return str(RunFiles.of(self._work_dir, self.identity).made)

    def __getitem__(self, name: str) -> str:
        if name not in (RUN_ID, RUN_DIR):
            raise KeyError(name)
        self.asked.add(name)
        return self.identity if name == RUN_ID else self.folder

    def __iter__(self) -> Iterator[str]:
        return iter((RUN_ID, RUN_DIR))

    def __len__(self) -> int:
        return 2

    def __reduce__(self) -> tuple[Any, ...]:
        return type(None), ()  # the Task's own process needs none: all is filled in

    def __deepcopy__(self, memo: Any = None) -> RunNames:
        return self

    __copy__ = __deepcopy__

    def filled_in(self, text: str) -> str:
        """Returns a text with the two names replaced by what they stand for."""
        return NAMES_RUN.sub(lambda found: self[found[1]], text)

    def as_written(self, value: Any) -> Any:
        """Returns a value in which the two names stand again: the id and the folder are never the same."""
        if not self.asked:
            return value
        if isinstance(value, str):
            return value.replace(self.folder, f"{{{{ {RUN_DIR} }}}}").replace(self.identity, f"{{{{ {RUN_ID} }}}}")
        if isinstance(value, (list, tuple)):
            return type(value)(self.as_written(item) for item in value)
        if isinstance(value, dict):
            return {self.as_written(key): self.as_written(item) for key, item in value.items()}
        return value


class NamesAsWritten(Mapping[str, str]):
    """Stands for them where there is no run: each name gives itself."""

    def __getitem__(self, name: str) -> str:
        if name not in (RUN_ID, RUN_DIR):
            raise KeyError(name)
        return f"{{{{ {name} }}}}"

    def __iter__(self) -> Iterator[str]:
        return iter((RUN_ID, RUN_DIR))

    def __len__(self) -> int:
        return 2


@functools.cache
def defaults_that_name(model: type[BaseModel]) -> dict[str, Any]:
    """Returns the defaults of a model in which one of the names stands, as plain values, by the parameter's name."""
    found = {}
    for name, field in model.model_fields.items():
        default = field.default
        value = default.model_dump() if isinstance(default, BaseModel) else default
        value = os.fspath(value) if isinstance(value, os.PathLike) else value
        if any(NAMES_RUN.search(text) for text in _texts(value)):
            found[field.alias or name] = value
    return found


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
