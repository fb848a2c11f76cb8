"""What `lute` uses of CPython that is not documented; tests/unit/test_cpython.py names the versions that have it."""

from __future__ import annotations

import atexit
import sys
import threading
import warnings


def run_exit_functions() -> None:
    """Does what Python does before it ends: waits for threads, calls what is registered at exit."""
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()


def forget_exit_functions() -> None:
    """Forgets what is registered at exit: it is this process's, not that of one that is forked from it."""
    atexit._clear()


def apply_warning_options() -> None:
    """Adds the filters that `-W` and `PYTHONWARNINGS` ask for."""
    warnings._processoptions(sys.warnoptions)  # type: ignore[attr-defined]
