"""Starting, watching and stopping the processes of one run.

`Supervisor` is the one owner of a run's processes and clock. Its states, and what leads from one to the next:

    STARTING   the launcher was asked                        -> RUNNING, or ENDED if it cannot be started,
                                                                STOPPING when time is over or on a cancel
    RUNNING    its first process lives                       -> ENDED when it and all it left are gone,
                                                                PAUSED on a pause,
                                                                CLEANING or STOPPING when time is over or on a cancel
    PAUSED     all its processes are suspended, and its      -> RUNNING on a resume, CLEANING or STOPPING on a cancel,
               clock with them                                  ENDED if it is killed
    CLEANING   the Task does its own clean-up                -> STOPPING when it exits, after `clean_up_grace`, or on
                                                                a second cancel
    STOPPING   SIGTERM to all, SIGKILL after a grace         -> ENDED
    ENDED      nothing of the run lives

If the launcher is killed, each of them goes to ENDED. The drawing in docs/explanation/how-a-run-lives.md has the
same arrows, and tests/process/test_transitions.py a test for each.
"""

from __future__ import annotations

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Iterable, Iterator, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any

from lute.base import procfs
from lute.base.procfs import SEARCH
from lute.errors import LaunchError
from lute.execution.exit_info import TIMEOUT, ExitInfo, Timeouts
from lute.launcher.events import Empty, Events, Exited, Failed, Started
from lute.launcher.handle import Launcher
from lute.wire.control import Exec, Go, Metric, Progress, Raised, RankFailed, Stop, Unprepared, from_json, to_json
from lute.wire.ipc import Communicator, Message, PipeCommunicator, SocketCommunicator

if TYPE_CHECKING:
    from lute.launcher.events import StartRequest

logger = logging.getLogger(__name__)

LOST_LOOKS = 0.02
"""Time between two looks whether a run without its launcher has gone, in s."""
BETWEEN_LOOKS = 0.005
"""Least time between two looks around, in s, however much comes in."""


class RunEvents:
    """What is told of a run while it is supervised; whoever wants to know overrides what it needs."""

    def on_started(self) -> None:
        """The first process lives."""

    def on_program(self, ours: Sequence[Sequence[int]]) -> None:
        """The Task's process becomes a program; `ours` are the parts of the log that tell of it."""

    def on_messages(self, messages: Iterable[tuple[Message, bool]]) -> None:
        """Messages have come together, each with whether its text already is in the log."""
        for _ in messages:
            pass

    def on_told(self, message: Progress | Metric) -> None:
        """The Task has told how far it is, or a number."""

    def on_nonsense(self, text: str) -> None:
        """Something came from the Task's side that cannot be understood."""

    def on_look(self) -> None:
        """Some time has passed: at most `poll_interval` since the last time."""


class State(Enum):
    """Where the processes of a run are."""

    STARTING = "starting"
    RUNNING = "running"
    PAUSED = "paused"
    CLEANING = "cleaning"
    STOPPING = "stopping"
    ENDED = "ended"


class TaskProcess:
    """What hooks are given as `proc`: the first process of a run."""

    def __init__(self) -> None:
        self.pid: int | None = None
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Returns the exit code, negative for a signal; None while it runs."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it a signal, if it lives."""
        if self.pid is not None and self.returncode is None:
            procfs.send([self.pid], number)

    def terminate(self) -> None:
        """Sends it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Sends it SIGKILL."""
        self.send_signal(signal.SIGKILL)


class Supervisor:
    """Watches one run from the request to start it until nothing of it lives.

    Args:
        launcher: Starts and ends its processes.
        run: The run's id.
        communicators: Where its messages come from.
        limits: Its times.
        events: Told what happens.
        can_clean_up: Whether there is a Task that has a clean-up of its own.
        ranks: The command line by which the ranks of an MPI Task are known; None if the first process is the Task.
        proc: What hooks know as its first process; its pid is filled in when that lives.
    """

    def __init__(
        self,
        launcher: Launcher,
        run: str,
        communicators: list[Communicator],
        limits: Timeouts,
        events: RunEvents,
        *,
        can_clean_up: bool,
        ranks: list[str] | None = None,
        proc: TaskProcess | None = None,
    ) -> None:
        self.launcher, self.run, self.limits = launcher, run, limits
        self.state = State.STARTING
        self.ending = ExitInfo()
        self.proc = proc or TaskProcess()
        self._communicators = communicators
        self._told = events
        self._can_clean_up, self._ranks = can_clean_up, ranks
        self._deadline: float | None = time.monotonic() + limits.timeout
        self._time_left: float | None = None
        self._looked = self._look_at = 0.0
        self._log = -1
        self._selector: selectors.BaseSelector
        self._events: Events
        self._wake_read = self._wake_write = -1
        self._cancelled_by: str | None = None
        self._at_once = False

    def begin(self, request: StartRequest, descriptors: list[int], log: int) -> None:
        """Asks the launcher to start the run's first process.

        Args:
            request: What is started.
            descriptors: Standard input, output and error, and the Task's end of the channel if there is one.
            log: The run's log.

        Raises:
            LaunchError: The launcher is gone.
        """
        self._log = log
        about: StartRequest = {**request, "grace": self.limits.terminate_grace, "log": self._log_path()}
        self._events = self.launcher.begin(self.run, about, descriptors)
        self._to(State.STARTING)

    def _to(self, state: State) -> None:
        self.state = state
        logger.debug("run %s is %s", self.run, state.value)

    def cancel(self, by: str) -> None:
        """Stops the run; a second time, at once. May be called from a signal handler or another thread."""
        self._at_once = self._cancelled_by is not None
        self._cancelled_by = by
        if self._wake_write >= 0:
            with contextlib.suppress(BlockingIOError):
                os.write(self._wake_write, b"c")

    def tell(self, message: Go | Stop) -> None:
        """Sends the Task what it waits for, or that it is we who send the next SIGALRM."""
        word = to_json(message)
        for communicator in self._communicators:
            with contextlib.suppress(OSError):  # the Task is gone; its end is on its way
                if isinstance(communicator, PipeCommunicator) and communicator.channel:
                    communicator.channel.control(word)
                elif isinstance(communicator, SocketCommunicator):
                    communicator.reply(word)

    def pause(self) -> bool:
        """Suspends all processes of the run, and its clock. Returns whether it was running."""
        if self.state is not State.RUNNING or self.proc.returncode is not None:
            return False
        self._to(State.PAUSED)
        if self._deadline is not None:
            self._time_left = max(0.0, self._deadline - time.monotonic())
            self._deadline = None
        self._signal_all(signal.SIGSTOP)
        return True

    def resume(self) -> bool:
        """Lets a paused run go on. Returns whether it was paused."""
        if self.state is not State.PAUSED:
            return False
        self._to(State.RUNNING)
        if self._time_left is not None and self.proc.returncode is None:
            self._deadline = time.monotonic() + self._time_left
        self._signal_all(signal.SIGCONT)
        return True

    def _signal_all(self, number: int) -> None:
        """Sends a signal to every process of the run, again until no new one has appeared meanwhile."""
        reached: set[int] = set()
        while new := self._processes() - reached:
            procfs.send(new, number)
            reached |= new

    def _processes(self) -> set[int]:
        """Returns the run's processes that live; of what it left, that does not say so, what prints to its log."""
        log = self._log_path()
        return procfs.processes_of(self.run, self.proc.pid, adopter=self.launcher.pid, log=log, alone=False)

    def _log_path(self) -> str:
        return os.readlink(f"/proc/self/fd/{self._log}")

    def watch(self) -> ExitInfo:
        """Watches until nothing of the run lives and everything it said was taken in."""
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._selector.register(self._events, selectors.EVENT_READ)
        self._selector.register(self._wake_read, selectors.EVENT_READ)
        for communicator in self._communicators:
            descriptor = _descriptor_of(communicator)
            if descriptor is not None:
                self._selector.register(descriptor, selectors.EVENT_READ, communicator)
        try:
            while self.state is not State.ENDED:
                self._wait()
                self._stop_if_due()
            self._drain()
        finally:
            self._selector.close()
            self._events.close()
            write, self._wake_write = self._wake_write, -1  # a late cancel() must not write to another's file
            os.close(self._wake_read)
            os.close(write)
        return self.ending

    def _wait(self) -> None:
        until = self._look_at if self._deadline is None else min(self._look_at, self._deadline)
        for ready, _ in self._selector.select(max(0.0, until - time.monotonic())):
            self._look_at = min(self._look_at, self._looked + BETWEEN_LOOKS)
            if ready.fileobj is self._events:
                self._hear_launcher()
            elif ready.fd == self._wake_read:
                os.read(self._wake_read, 4096)
            else:
                self._hear(ready.data)
        for communicator in self._communicators:
            if _descriptor_of(communicator) is None:
                self._hear(communicator)
        if time.monotonic() >= self._look_at:
            self._told.on_look()
            self._looked = time.monotonic()
            self._look_at = self._looked + self.limits.poll_interval

    # ----------------------------------------------------------------------------------- hearing

    def _hear(self, communicator: Communicator) -> None:
        if isinstance(communicator, (PipeCommunicator, SocketCommunicator)):
            self._told.on_messages(_heard(communicator))
            while communicator.controls:
                self._control(communicator.controls.popleft())
            channel = getattr(communicator, "channel", None)
            if channel is not None and channel.closed and channel.fileno() >= 0:
                self._selector.unregister(channel)
                channel.close()
        else:
            while communicator.has_messages:
                self._told.on_messages([(communicator.read(self.proc), False)])

    def _control(self, contents: Any) -> None:
        try:
            message = from_json(contents)
        except ValueError as error:
            self._told.on_nonsense(str(error))
            return
        if isinstance(message, Exec):
            self._can_clean_up = False
            self._told.on_program(message.ours)
        elif isinstance(message, Unprepared):
            self.ending.unprepared = str(message.reason)
        elif isinstance(message, Raised):
            self.ending.place = f" ({message.place})"
        elif isinstance(message, RankFailed) and self.ending.rank is None:
            self.ending.rank = f"rank {message.rank}: {message.reason}"
        elif isinstance(message, (Progress, Metric)):
            self._told.on_told(message)

    def _drain(self) -> None:
        """Takes in what is still in the channels now that no one can write to them any more."""
        for communicator in self._communicators:
            received = -1
            while received != (received := getattr(communicator, "received", 0)):
                self._hear(communicator)

    def _hear_launcher(self) -> None:
        try:
            event = self._events.next()
        except EOFError:
            self._launcher_is_gone()
            return
        if isinstance(event, Started):
            self.proc.pid = event.pid
            if self.state is State.STARTING:  # and not already being stopped
                self._to(State.RUNNING)
                self._told.on_started()
        elif isinstance(event, Failed):
            self.ending.failed, self.ending.errno = event.reason, event.errno
            self._to(State.ENDED)
        elif isinstance(event, Exited):
            self._first_process_ended(event)
        if isinstance(event, Empty) or (isinstance(event, Exited) and event.empty):
            self._to(State.ENDED)

    def _first_process_ended(self, event: Exited) -> None:
        status = event.status
        self.proc.returncode = os.waitstatus_to_exitcode(status)
        if os.WIFSIGNALED(status):
            self.ending.signal = procfs.signal_name(os.WTERMSIG(status))
        else:
            self.ending.exit_code = os.WEXITSTATUS(status)
        self.ending.core = os.WCOREDUMP(status)
        self.ending.user_s, self.ending.system_s = event.user_s, event.system_s
        self.ending.max_rss_kib = event.max_rss_kib
        self._deadline = None
        if self.state is State.CLEANING:
            self._stop_processes()

    def _launcher_is_gone(self) -> None:
        """Ends what is left: the launcher's children have become ours."""
        deadline = time.monotonic() + self.limits.terminate_grace
        number = signal.SIGTERM
        sent: set[int] = set()
        while left := procfs.processes_of(self.run, self.proc.pid) | procfs.strays(self.launcher.siblings):
            if number == signal.SIGTERM and time.monotonic() > deadline:
                number, sent = signal.SIGKILL, set()
            procfs.send(left - sent, number)
            procfs.send(left - sent, signal.SIGCONT)
            sent |= left
            search_at = time.monotonic() + SEARCH
            time.sleep(LOST_LOOKS)  # they may be no children of ours, so the kernel cannot tell us of their end
            while time.monotonic() < min(search_at, deadline) and procfs.any_lives(left):
                time.sleep(LOST_LOOKS)
        procfs.kill_children(self.launcher.siblings, lambda pid: procfs.is_stray(pid, self.run))
        for pid in sent:
            with contextlib.suppress(ChildProcessError):  # those that are, are not left as zombies
                os.waitpid(pid, os.WNOHANG)
        self.ending.lost = "the launcher process was killed, and the run with it"
        self._to(State.ENDED)

    # ---------------------------------------------------------------------------------- stopping

    def _stop_if_due(self) -> None:
        if self.state is State.ENDED:
            return
        if self._cancelled_by is not None and self.ending.stopped_by is None:
            self._begin_stop(self._cancelled_by)
        elif self._at_once and self.state in (State.CLEANING, State.STOPPING):
            self._at_once = False
            self._stop_processes(grace=0.0)
        elif self._deadline is not None and time.monotonic() >= self._deadline:
            if self.state is State.CLEANING:
                self._stop_processes()
            elif self.ending.stopped_by is None:
                self._begin_stop(TIMEOUT)

    def _begin_stop(self, by: str) -> None:
        if self.proc.returncode is not None:  # it has ended by itself; only what it left is being ended
            return
        self.ending.stopped_by = by
        if self.state is State.PAUSED:
            self._signal_all(signal.SIGCONT)
        if self._can_clean_up and self.proc.pid is not None and self.limits.clean_up_grace > 0:
            self._to(State.CLEANING)
            self._deadline = time.monotonic() + self.limits.clean_up_grace
            self._ask_to_clean_up()
        else:
            self._stop_processes()

    def _ask_to_clean_up(self) -> None:
        """Sends SIGALRM, on which the Task's own handler calls `clean_up_timeout()`."""
        self.tell(Stop())
        if self._ranks is None:
            self.proc.send_signal(signal.SIGALRM)
        else:
            processes = procfs.processes_of(self.run, self.proc.pid)
            procfs.send(procfs.with_command(processes, self._ranks), signal.SIGALRM)

    def _stop_processes(self, grace: float | None = None) -> None:
        self._to(State.STOPPING)
        self._deadline = None
        procfs.send([self.launcher.pid], signal.SIGCONT)  # a Task may have stopped it
        with contextlib.suppress(LaunchError):  # that it is gone shows as the end of its socket
            self.launcher.end(self.run, self.limits.terminate_grace if grace is None else grace)


def _heard(communicator: PipeCommunicator | SocketCommunicator) -> Iterator[tuple[Message, bool]]:
    """Takes in what has come, and gives each message at once, so that the memory of one serves for the next.

    It stops in time for others to be heard.
    """
    until = time.monotonic() + BETWEEN_LOOKS
    while True:
        communicator.pump()
        yield from communicator.take()
        if not communicator.more or time.monotonic() > until:
            return


def _descriptor_of(communicator: Communicator) -> Any:
    if isinstance(communicator, PipeCommunicator):
        channel = communicator.channel
        return channel if channel is not None and not channel.closed else None
    return communicator.fileno() if isinstance(communicator, SocketCommunicator) else None
