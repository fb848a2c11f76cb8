"""Hooks and tasklets: code of others around a run. It is bounded in time; its failure is told and changes nothing."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import traceback
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from lute.base.time_limits import AlarmLimit, CallTimeout, call_in_thread
from lute.execution.plan import Settings, Tasklet
from lute.models.base import AnalysisHeader
from lute.wire.ipc import Message
from lute.wire.pickled import loaded
from lute.wire.results import TaskResult


class RunServices(Protocol):
    """What hooks and tasklets need of the run they belong to."""

    def trouble(self, text: str) -> None:
        """Tells of what went wrong beside the run."""

    def note(self, text: str) -> None:
        """Writes into the run's log what is seen to be `lute`'s."""

    def should_end(self) -> bool:
        """Looks around; returns whether someone wants the run to end, or its Task is gone."""

    @property
    def log_descriptor(self) -> int:
        """The open log."""


class UserHooks:
    """The hooks and tasklets of one run.

    Args:
        settings: The Executor's: hooks, and tasklets with their arguments filled in.
        header: Has the limits of time.
        host: The run.

    Attributes:
        limited: Limits the time of each hook; where many come, they share its timer in a `with`.
        failures: Why tasklets have failed of which the run is to fail.
    """

    def __init__(
        self,
        settings: Settings,
        header: AnalysisHeader,
        host: RunServices,
    ) -> None:
        self._settings, self._header, self._host = settings, header, host
        self.limited = AlarmLimit(header.hook_timeout)
        self.failures: list[str] = []

    def hook(self, event: str, message: Message, proc: Any) -> None:
        """Calls the hook for an event, if there is one."""
        hook = self._settings.hooks.get(event)
        if hook is None:
            return
        try:
            self.limited.call(_called, hook, message, proc)
        except BaseException as error:  # as below
            self._tell(f"the hook for {event}", error)

    def tasklets(self, when: str, result: TaskResult) -> None:
        """Runs the tasklets of one kind in order, and puts what they return where they want it.

        One that fails, and of which the run is to fail, is the last.
        """
        for tasklet in self._settings.tasklets.get(when, ()):
            try:
                with self._output_to_log():
                    found = call_in_thread(
                        functools.partial(tasklet.function, *tasklet.args),
                        self._header.tasklet_timeout,
                        give_up=self._host.should_end,
                        look=self._settings.poll_interval,
                    )
            except BaseException as error:  # nothing here is a Ctrl-C of a person: that is a signal's handler
                said = self._tell(f"tasklet {tasklet.name}", error)
                if tasklet.on_error == "fail":
                    self.failures.append(said)
                    return
            else:
                _use(tasklet, found, result)

    def _tell(self, what: str, error: BaseException) -> str:
        """Tells of a failure. Returns it in words, with the last line of its traceback."""
        if isinstance(error, CallTimeout):
            said = f"{what} was left: {error}"
            self._host.trouble(said)
            return said
        said = f"{what} failed: {traceback.format_exception_only(error)[-1].strip()}"
        self._host.trouble(said)
        self._host.note("".join(traceback.format_exception(error)))
        return said

    @contextlib.contextmanager
    def _output_to_log(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield  # the streams are the whole process's: another thread's must not be turned
            return
        with open(os.dup(self._host.log_descriptor), "a", buffering=1, errors="backslashreplace") as out:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                yield


def _called(hook: Callable[[Message, Any], None], message: Message, proc: Any) -> None:
    """Calls a hook; what its message holds as pickles is loaded within the hook's time."""
    message.contents = loaded(message.contents)
    hook(message, proc)


def _use(tasklet: Tasklet, found: Any, result: TaskResult) -> None:
    if found is None:
        return
    if tasklet.set_result:
        result.payload = _added(result.payload, found)
    if tasklet.set_summary:
        result.summary = _added(result.summary, found)


def _added(before: Any, found: Any) -> Any:
    if isinstance(before, str) and before in ("", "PENDING"):
        return found
    return [*before, found] if isinstance(before, list) else [before, found]
