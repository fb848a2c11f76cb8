"""What the launcher's process does: see `launcher`."""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from lute.base import procfs
from lute.base.procfs import SEARCH
from lute.launcher.events import Empty, Event, Exited, Failed, Started, tell
from lute.wire.fd_passing import receive, send

if TYPE_CHECKING:
    from lute.launcher.events import StartRequest
    from lute.launcher.worker import Assignment, Worker

ENDING_LOOKS = 0.02
"""Time between two looks whether the last known processes of a run are gone, in s."""
ORPHAN_GRACE = 3.0
"""Time between SIGTERM and SIGKILL for what a run left behind, in s, unless the run says another."""


def main() -> NoReturn:
    """Is the launcher; started by `_exec_launcher` with a descriptor and its owner's pid."""
    live(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))


def live(sock: socket.socket, owner: int) -> NoReturn:
    """Is the launcher from now on.

    Args:
        sock: Where the owner asks.
        owner: The owner's process.
    """
    code = 1
    gc.freeze()  # or each forked Task would copy the memory of all that its collector looks at
    try:
        os.setsid()
        _hold_standard_streams()
        procfs.become_subreaper()
        launching = _Launching(sock, owner)
        launching.loop()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _hold_standard_streams() -> None:
    """Opens those of the descriptors 0 to 2 that are closed, so that no other comes in their place."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(descriptor)


class SupervisedProcess:
    """A run whose processes are the launcher's to end."""

    def __init__(self, pid: int, grace: float, events: socket.socket, log: str) -> None:
        self.pid = pid
        self.log = log
        """What it prints to."""
        self.events = events
        self.exited = False
        self.kill_at: float | None = None
        """When SIGKILL is due; None while the run may go on."""
        self.grace = grace
        self.left: set[int] = set()
        """Its processes that lived at the last search."""
        self.search_at = 0.0


class PreforkedWorker(NamedTuple):
    """A forked process that has no job yet, and where it waits for one."""

    pid: int
    sock: socket.socket

    def take(self, job: Assignment, descriptors: list[int]) -> int:
        """Gives it its job. Returns its pid."""
        with self.sock:
            send(self.sock, job, descriptors)
        return self.pid


class _Launching:
    def __init__(self, sock: socket.socket, owner: int) -> None:
        self.sock = sock
        self.runs: dict[str, SupervisedProcess] = {}
        self.owner_gone = False
        self._tasks = 0
        """How many Tasks were forked."""
        self._forked: Worker | None = None
        self._spare: PreforkedWorker | None = None
        wake, self._wake = socket.socketpair()
        for end in (wake, self._wake):
            end.setblocking(False)
        self._own = [sock, wake, self._wake]
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE}:
            if signal.getsignal(number) is not signal.SIG_DFL:  # most are as they should be
                signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self.selector = selectors.EpollSelector()
        self.selector.register(wake, selectors.EVENT_READ, lambda: wake.recv(4096))
        self.selector.register(sock, selectors.EVENT_READ, self._serve)
        try:
            self._owner = os.pidfd_open(owner)
            self.selector.register(self._owner, selectors.EVENT_READ, self._abandon)
        except ProcessLookupError:
            self._abandon()

    def loop(self) -> None:
        while not (self.owner_gone and not self.runs):
            looking = any(run.kill_at is not None for run in self.runs.values())
            for ready, _ in self.selector.select(ENDING_LOOKS if looking else None):
                ready.data()
            self._reap()
            self._end_what_is_due()
        if self._spare is not None:
            os.kill(self._spare.pid, signal.SIGKILL)
            os.waitpid(self._spare.pid, 0)

    # ----------------------------------------------------------------------------------- requests

    def _serve(self) -> None:
        try:
            request, descriptors = receive(self.sock)
        except EOFError:
            self._abandon()
            return
        if request["do"] == "end":
            self._end(request["run"], request["grace"])
            return
        events, *others = descriptors
        try:
            self._start(request, socket.socket(fileno=events), others)
        finally:
            for descriptor in others:
                os.close(descriptor)
        self._keep_spare()

    def _abandon(self) -> None:
        """The owner is gone: no run outlives it."""
        if not self.owner_gone:
            self.owner_gone = True
            for watched in (self.sock, getattr(self, "_owner", None)):
                if watched is not None:
                    self.selector.unregister(watched)
            for name, run in list(self.runs.items()):
                self._end(name, run.grace)

    def _start(self, request: StartRequest, events: socket.socket, descriptors: list[int]) -> None:
        try:
            pid = self._fork(request, events, descriptors) if "job" in request else _spawn(request, descriptors)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte where the system can have none
            _tell(events, Failed(getattr(error, "errno", None), str(error)))
            events.close()
            return
        grace, log = request.get("grace", ORPHAN_GRACE), request["log"]
        self.runs[request["run"]] = SupervisedProcess(pid, grace, events, log)
        _tell(events, Started(pid))

    def _fork(self, request: StartRequest, events: socket.socket, descriptors: list[int]) -> int:
        if self._forked is None:
            from lute.launcher.worker import Worker  # once and here, not in each child

            self._forked = Worker()
        self._tasks += 1
        spare, self._spare = self._spare, None
        job = self._forked.assignment(request["job"], request["env"], request["cwd"])
        if spare is not None:
            with contextlib.suppress(BrokenPipeError):  # somebody has killed it
                return spare.take(job, descriptors)
        return self._new_spare(None, [events.fileno(), *descriptors]).take(job, descriptors)

    def _new_spare(self, warm_up: Callable[[], None] | None, others: Sequence[int] = ()) -> PreforkedWorker:
        """Forks a process that waits for the job of a Task, and that keeps nothing of the launcher's open."""
        assert self._forked is not None
        ours, theirs = socket.socketpair()
        with theirs:
            pid = os.fork()
            if pid == 0:
                signal.set_wakeup_fd(-1)
                own = [ours, *self._own, *(run.events for run in self.runs.values())]
                for descriptor in [self.selector.fileno(), *(sock.fileno() for sock in own), *others]:
                    os.close(descriptor)
                _wait_for_job(self._forked, theirs, warm_up)
        return PreforkedWorker(pid, ours)

    def _keep_spare(self) -> None:
        """Has a process wait for the next Task, so that no Task waits for its fork. One Task alone needs none.

        Where runs go on side by side there are no idle cores for it, and pages are copied for one process more.
        """
        if self._spare is None and self._tasks > 1 and len(self.runs) <= 1:
            from lute.launcher.warmup import warm_up

            self._spare = self._new_spare(warm_up)

    # ------------------------------------------------------------------------------------ endings

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if self._spare is not None and pid == self._spare.pid:
                self._spare.sock.close()
                self._spare = None
            for name, run in self.runs.items():
                if run.pid == pid and not run.exited:
                    self._first_process_ended(name, run, status, usage)
                    break

    def _first_process_ended(self, name: str, run: SupervisedProcess, status: int, usage: Any) -> None:
        run.exited = True
        exited = Exited(status, usage.ru_utime, usage.ru_stime, usage.ru_maxrss)
        if not self._left(name, run):
            exited.empty = True
            self._forget(name, exited)
            return
        _tell(run.events, exited)
        if run.kill_at is None:
            self._end(name, run.grace)

    def _forget(self, name: str, event: Event) -> None:
        """Tells the last that there is to tell of a run."""
        run = self.runs.pop(name)
        _tell(run.events, event)
        run.events.close()

    def _end(self, name: str, grace: float) -> None:
        run = self.runs.get(name)
        if run is None:
            return
        due = time.monotonic() + grace
        if run.kill_at is not None:  # asked before: they have their SIGTERM
            run.kill_at = min(run.kill_at, due)
            return
        run.kill_at = due
        run.left = self._left(name, run)
        run.search_at = time.monotonic() + SEARCH
        procfs.send(run.left, signal.SIGTERM)
        procfs.send(run.left, signal.SIGCONT)

    def _left(self, name: str, run: SupervisedProcess) -> set[int]:
        """Returns the run's processes that live; the costly look only where there may be any.

        A look may miss one that forks on all the time: it is not believed at once while there are unknown children.
        """
        others = self._others(name)
        for _ in range(procfs.LOOKS):
            if run.exited and _only_children(self._known()):
                break  # what it left would be our child, or below one
            root = None if run.exited else run.pid
            found = procfs.processes_of(name, root, others, os.getpid(), run.log) - self._known(but=run)
            if found:
                return found
        return set()

    def _others(self, name: str) -> list[int]:
        return [other.pid for key, other in self.runs.items() if key != name and not other.exited]

    def _known(self, but: SupervisedProcess | None = None) -> set[int]:
        """Returns the children that are known: the first processes of runs but one, and the one that waits."""
        known = {run.pid for run in self.runs.values() if not run.exited and run is not but}
        return known | {self._spare.pid} if self._spare is not None else known

    def _kill(self, name: str, run: SupervisedProcess) -> None:
        procfs.send(run.left, signal.SIGKILL)
        procfs.kill_children(self._known(), lambda pid: self._is_of(pid, name, run))

    def _is_of(self, pid: int, name: str, run: SupervisedProcess) -> bool:
        said = procfs.run_id_of(pid)
        return said == name or (said is None and (not self._others(name) or procfs.prints_to(pid, run.log)))

    def _end_what_is_due(self) -> None:
        for name, run in list(self.runs.items()):
            now = time.monotonic()
            if run.kill_at is None or (now < min(run.kill_at, run.search_at) and procfs.any_lives(run.left)):
                continue
            run.left, run.search_at = self._left(name, run), now + SEARCH
            if now >= run.kill_at:
                self._kill(name, run)
            if not run.left and run.exited:
                self._forget(name, Empty())


def _wait_for_job(forked: Worker, sock: socket.socket, warm_up: Callable[[], None] | None) -> NoReturn:
    forked.get_ready()
    if warm_up is not None:
        warm_up()
    try:
        job, descriptors = receive(sock)
    except EOFError:  # there was no further Task
        os._exit(0)
    sock.close()
    forked.run(forked.assigned(job), descriptors)


def _tell(events: socket.socket, event: Event) -> None:
    with contextlib.suppress(OSError):  # its owner is gone
        tell(events, event)


def _only_children(known: set[int]) -> bool:
    """Returns whether each child of this process is a known one; False if that cannot be told."""
    try:
        return known >= procfs.children()
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return False


def _spawn(request: StartRequest, descriptors: list[int]) -> int:
    """Starts a program in a session of its own. PATH is searched, the program's own if it has another."""
    stdin, stdout, stderr, *channel = descriptors
    env = request["env"]
    if channel:
        os.set_inheritable(channel[0], True)
        env = {**env, "LUTE_CHANNEL_FD": str(channel[0])}
    process = subprocess.Popen(
        request["argv"],
        env=env,
        cwd=request["cwd"],
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        pass_fds=channel,
        start_new_session=True,
    )
    process.returncode = 0  # the launcher's loop waits for every child
    return process.pid
