"""Where an exception came from: the deepest frame in the project's own files."""

from __future__ import annotations

import os
import traceback
from typing import Optional

_LIBRARY = os.path.dirname(os.__file__) + os.sep
_OURS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_INSTALLED = (f"{os.sep}site-packages{os.sep}", f"{os.sep}dist-packages{os.sep}")


def place_of(error: BaseException) -> Optional[str]:
    """Returns file and line, such as `peaks.py:19`; None for an exception that no file of the project has raised."""
    found = None
    for frame, line in traceback.walk_tb(error.__traceback__):
        if is_own(frame.f_code.co_filename):
            found = f"{os.path.basename(frame.f_code.co_filename)}:{line}"
    return found


def is_own(path: str) -> bool:
    """Returns whether a file is outside the standard library, installed distributions and `lute`."""
    if path.startswith("<"):  # code that is in no file
        return False
    return not path.startswith((_LIBRARY, _OURS)) and not any(folder in path for folder in _INSTALLED)
