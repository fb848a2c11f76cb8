"""Stopping on purpose at a named place, to look at what is there."""

from __future__ import annotations

import inspect
import os
import sys
from typing import Optional

__all__ = ["LUTE_DEBUG_EXIT", "DebugExit"]


class DebugExit(SystemExit):
    """The exit with status 0 that `LUTE_DEBUG_EXIT` makes."""

    def __init__(self, env_var: str) -> None:
        super().__init__(0)
        self.env_var = env_var


def LUTE_DEBUG_EXIT(env_var: str, str_dump: Optional[str] = None) -> None:
    """Prints file, line and `str_dump`, and exits with 0, if the variable `env_var` is set.

    Args:
        env_var: Name of the environment variable that switches this place on.
        str_dump: Text to print with it.
    """
    if not os.environ.get(env_var):
        return
    here = inspect.currentframe()
    caller = here.f_back if here else None
    place = f"{caller.f_code.co_filename}, line {caller.f_lineno}" if caller else "unknown place"
    print(f"{env_var} is set: stopped at {place}")
    if str_dump is not None:
        print(str_dump)
    sys.stdout.flush()
    raise DebugExit(env_var)
