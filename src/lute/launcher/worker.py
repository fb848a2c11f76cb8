"""A process that the launcher forks to run a Task in: what a new interpreter would have is put back."""

from __future__ import annotations

import ctypes
import os
import re
import signal
import socket
import sys
import time
import traceback
import warnings
from typing import Any, NamedTuple, NoReturn

from lute.base import cpython, procfs
from lute.tasks.__main__ import flush, open_streams, run_job, tell_unprepared
from lute.wire import channel

_MAIN = re.compile("__main__")
"""Compiled before a fork, so that a child finds it in the cache of `re`."""


class Assignment(NamedTuple):
    """What a process is told to run.

    Attributes:
        job: The job file.
        changed: Variables of the environment that are other than the launcher's.
        gone: Variables that it has and the Task has not.
        shown: The whole environment, as the system shows it.
        cwd: The working directory.
    """

    job: str
    changed: dict[str, str]
    gone: list[str]
    shown: str
    cwd: str


class Worker:
    """What the processes that run Tasks are made of: made once, in the launcher; used in each of them.

    What can be done before a fork is done there: each page of memory that a child touches first is copied.
    """

    def __init__(self) -> None:
        self._place, self._room = _place_of_environment()
        self._env = dict(os.environ)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1):  # neither the launcher nor a process that waits reads or prints
            os.dup2(nothing, number)
        os.close(nothing)
        open_streams()
        cpython.forget_exit_functions()
        _reset_warnings()
        sys.excepthook = sys.__excepthook__

    def get_ready(self) -> None:
        """Does what does not depend on the job; called in the new process."""
        os.setsid()
        _reset_signals()
        if "numpy.random" in sys.modules:
            sys.modules["numpy.random"].seed()

    def assignment(self, file: str, env: dict[str, str], cwd: str) -> Assignment:
        """Returns what a process is told to run a job; called in the launcher.

        Args:
            file: The job file.
            env: The environment, whole.
            cwd: The working directory.
        """
        changed = {name: value for name, value in env.items() if self._env.get(name) != value}
        gone = list(self._env.keys() - env.keys())
        return Assignment(file, changed, gone, _in_one(env), cwd)

    @staticmethod
    def assigned(fields: list[Any]) -> Assignment:
        """Returns the assignment that has come, as JSON's types, in the new process."""
        return Assignment(*fields)

    def run(self, assignment: Assignment, descriptors: list[int]) -> NoReturn:
        """Runs a Task; called in the new process.

        Args:
            assignment: What `assignment()` returned.
            descriptors: Standard input, output and error, and the Task's end of the channel.
        """
        code = 1
        try:
            for number, descriptor in enumerate(descriptors[:3]):
                os.dup2(descriptor, number)
            connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, os.dup(descriptors[3]))
            channel.adopt(channel.Channel(connection, log=os.dup(1)))
            for descriptor in descriptors:
                os.close(descriptor)
            if self._settle(assignment):
                code = run_job(assignment.job)
            cpython.run_exit_functions()
        except BaseException:
            traceback.print_exc()
        finally:
            flush()
            os._exit(code)

    def _settle(self, assignment: Assignment) -> bool:
        """Takes on environment and working directory. Returns whether it could."""
        try:
            if self._place:
                ctypes.memmove(self._place, _first_of(assignment.shown, self._room), self._room)
            for name in assignment.gone:
                del os.environ[name]
            for name, value in assignment.changed.items():
                os.environ[name] = value
            time.tzset()
            os.chdir(assignment.cwd)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte where the system can have none
            traceback.print_exc()
            tell_unprepared(error)
            return False
        return True


def _place_of_environment() -> tuple[int, int]:
    """Returns where `/proc/PID/environ` shows the environment from, and how much: address and size in bytes.

    It is where the variables stood when this program was started. Each is set anew here, so that nothing points
    there any more; a fork has the same place.
    """
    os.environ.update(dict(os.environ))
    fields = procfs.stat_fields("self")
    start, end = int(fields[47]), int(fields[48])
    return start, end - start


def _in_one(env: dict[str, str]) -> str:
    """Returns an environment as the system shows it, `LUTE_RUN_ID` first: by it a run's processes are found."""
    return "".join([f"{name}={value}\0" for name, value in {"LUTE_RUN_ID": env["LUTE_RUN_ID"], **env}.items()])


def _first_of(shown: str, room: int) -> bytes:
    """Returns the variables that there is room for."""
    data = os.fsencode(shown)[:room]
    return data[: data.rfind(b"\0") + 1].ljust(room, b"\0")


def _reset_signals() -> None:
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _reset_warnings() -> None:
    warnings.resetwarnings()
    for category in (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning):
        warnings.simplefilter("ignore", category)
    warnings.filterwarnings("default", category=DeprecationWarning, module=_MAIN.pattern)
    cpython.apply_warning_options()
    warnings.showwarning = _show_warning


def _show_warning(
    message: Warning | str,
    category: type,
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    (file or sys.stderr).write(warnings.formatwarning(message, category, filename, lineno, line))
