"""The launcher: a small process that starts every process of a run, and sees every one of them end.

It is forked from a `lute` process that has its imports done, before that has threads; from a process with
threads it is started anew. It is a subreaper: a process that leaves its group, session or parent becomes its
child and is ended with its run. When its owner dies, it ends all runs and goes.

    owner -> launcher   {"do": "start", "run", "argv" or "job", "env", "cwd", "grace"}   with descriptors
                        {"do": "end", "run", "grace"}

What happens to a run comes back through a socket of its own, whose other end is the first of the descriptors:

    launcher -> run     {"started": pid} or {"failed": errno, "why": text}
                        {"exited": pid, "status", "user_s", "system_s", "max_rss_kib", "core"}
                        {"empty": True}, or this with `exited` where nothing was left
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from typing import Any, NoReturn

from lute.errors import LaunchError
from lute.execution import _processes

_LENGTH = struct.Struct("!Q")
_MOST_DESCRIPTORS = 8
ENDING_LOOKS = 0.02
"""Time between two looks whether the last known processes of a run are gone, in s."""
SEARCH = 0.25
"""Time between two searches of all processes for those of a run that is being ended, in s."""
ORPHAN_GRACE = 3.0
"""Time between SIGTERM and SIGKILL for what a run left behind, in s, unless the run says another."""


def _send(sock: socket.socket, value: Any, descriptors: list[int] | None = None) -> None:
    data = json.dumps(value).encode("utf-8", "surrogatepass")
    data = _LENGTH.pack(len(data)) + data
    if descriptors:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]
        data = data[sock.sendmsg([data], rights, socket.MSG_NOSIGNAL) :]
    sock.sendall(data, socket.MSG_NOSIGNAL)


def _receive(sock: socket.socket) -> tuple[Any, list[int]]:
    """Returns one value and the descriptors that came with it.

    Raises:
        EOFError: The other end is closed.
    """
    size = _LENGTH.size
    data, descriptors = b"", array.array("i")
    while len(data) < size:
        room = socket.CMSG_SPACE(_MOST_DESCRIPTORS * descriptors.itemsize)
        try:
            piece, ancillary, _, _ = sock.recvmsg(size - len(data), room)
        except ConnectionError:
            piece, ancillary = b"", []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[: len(content) - len(content) % descriptors.itemsize])
        if not piece:
            raise EOFError
        data += piece
        if size == _LENGTH.size and len(data) == size:
            size += _LENGTH.unpack(data)[0]
    return json.loads(data[_LENGTH.size :]), list(descriptors)


# -------------------------------------------------------------------------------- the owner's handle


class Events:
    """What happens to one run, as the launcher tells it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """Returns a descriptor that is readable when there is a next one."""
        return self._sock.fileno()

    def next(self) -> dict[str, Any]:
        """Returns the next thing that happened; waits for it.

        Raises:
            EOFError: The launcher is gone.
        """
        event: dict[str, Any] = _receive(self._sock)[0]
        return event

    def close(self) -> None:
        """Hears no more."""
        self._sock.close()


class Launcher:
    """The owner's handle of a launcher. Several threads may use it.

    Attributes:
        forked: Whether the launcher has this process's imports, so that it can fork Tasks.
        pid: Its process.
    """

    def __init__(self, sock: socket.socket, pid: int, forked: bool) -> None:
        self.sock, self.pid, self.forked = sock, pid, forked
        self.pidfd = os.pidfd_open(pid)
        self._asking = threading.Lock()
        self._was_subreaper = _processes.become_subreaper()

    @classmethod
    def start(cls) -> Launcher:
        """Starts a launcher: forked where that is safe, or as `LUTE_LAUNCHER` (`fork`, `exec`) says.

        Raises:
            LaunchError: No process can be started.
        """
        how = os.environ.get("LUTE_LAUNCHER") or ("fork" if _single_threaded() else "exec")
        ours, theirs = socket.socketpair()
        try:
            pid = _fork_launcher(theirs, ours) if how == "fork" else _exec_launcher(theirs)
        except OSError as error:
            ours.close()
            raise LaunchError(f"no process can be started: {error.strerror}") from error
        finally:
            theirs.close()
        return cls(ours, pid, how == "fork")

    def begin(self, run: str, request: dict[str, Any], descriptors: list[int]) -> Events:
        """Asks for the first process of a run. Returns where it is told what happens; first `started` or `failed`.

        Args:
            run: The run's id.
            request: `argv` to start a program, or `job` to fork a Task; `env`, `cwd`.
            descriptors: Standard input, output and error, and the Task's end of the channel if there is one.

        Raises:
            LaunchError: The launcher is gone.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            try:
                self._ask({"do": "start", "run": run, **request}, [theirs.fileno(), *descriptors])
            except LaunchError:
                ours.close()
                raise
        return Events(ours)

    def end(self, run: str, grace: float) -> None:
        """Asks to end all processes of a run: SIGTERM, and SIGKILL after `grace` s."""
        self._ask({"do": "end", "run": run, "grace": grace})

    def _ask(self, request: dict[str, Any], descriptors: list[int] | None = None) -> None:
        try:
            with self._asking:
                _send(self.sock, request, descriptors)
        except OSError as error:
            raise LaunchError(f"the launcher (process {self.pid}) is gone: {error.strerror}") from error

    def close(self) -> None:
        """Lets the launcher end what it still runs, and waits until it is gone."""
        self.sock.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        os.close(self.pidfd)
        if not self._was_subreaper:
            _processes.become_subreaper(False)


def _single_threaded() -> bool:
    return threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1


def _fork_launcher(theirs: socket.socket, ours: socket.socket) -> int:
    owner = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        _live(theirs, owner)
    return pid


def _exec_launcher(theirs: socket.socket) -> int:
    theirs.set_inheritable(True)
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.append({source!r}); from lute.execution.launcher import main; main()"
    argv = [sys.executable, "-c", code, str(theirs.fileno()), str(os.getpid())]
    process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    process.returncode = 0  # it is waited for in close()
    return process.pid


# ----------------------------------------------------------------------------- the launcher's process


def main() -> NoReturn:
    """Is the launcher; started by `_exec_launcher` with a descriptor and its owner's pid."""
    _live(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))


def _live(sock: socket.socket, owner: int) -> NoReturn:
    code = 1
    gc.freeze()  # or each forked Task would copy the memory of all that its collector looks at
    try:
        os.setsid()
        _processes.become_subreaper()
        launching = _Launching(sock, owner)
        launching.loop()
        code = 0
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


class _Started:
    """A run whose processes are the launcher's to end."""

    def __init__(self, pid: int, grace: float, events: socket.socket) -> None:
        self.pid = pid
        self.events = events
        self.exited = False
        self.kill_at: float | None = None
        """When SIGKILL is due; None while the run may go on."""
        self.grace = grace
        self.left: set[int] = set()
        """Its processes that lived at the last search."""
        self.search_at = 0.0


class _Launching:
    def __init__(self, sock: socket.socket, owner: int) -> None:
        self.sock = sock
        self.runs: dict[str, _Started] = {}
        self.owner_gone = False
        wake, self._wake = socket.socketpair()
        for end in (wake, self._wake):
            end.setblocking(False)
        self._own = [sock, wake, self._wake]
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in signal.valid_signals():
            if number not in (signal.SIGKILL, signal.SIGSTOP, signal.SIGPIPE):
                signal.signal(number, signal.SIG_DFL)
        for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_SETMASK, [])
        self.selector = selectors.DefaultSelector()
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

    # ----------------------------------------------------------------------------------- requests

    def _serve(self) -> None:
        try:
            request, descriptors = _receive(self.sock)
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

    def _abandon(self) -> None:
        """The owner is gone: no run outlives it."""
        if not self.owner_gone:
            self.owner_gone = True
            for watched in (self.sock, getattr(self, "_owner", None)):
                if watched is not None:
                    self.selector.unregister(watched)
            for name, run in list(self.runs.items()):
                self._end(name, run.grace)

    def _start(self, request: dict[str, Any], events: socket.socket, descriptors: list[int]) -> None:
        try:
            pid = self._fork(request, events, descriptors) if "job" in request else _spawn(request, descriptors)
        except (OSError, ValueError) as error:  # ValueError: a NUL byte where the system can have none
            _tell(events, {"failed": getattr(error, "errno", None), "why": str(error)})
            events.close()
            return
        self.runs[request["run"]] = _Started(pid, request.get("grace", ORPHAN_GRACE), events)
        _tell(events, {"started": pid})

    def _fork(self, request: dict[str, Any], events: socket.socket, descriptors: list[int]) -> int:
        from lute.tasks.__main__ import Forked  # once and here, not in each child

        forked = Forked(request["job"], request["env"], request["cwd"])
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            self.selector.close()
            for own in [*self._own, events, *(run.events for run in self.runs.values())]:
                own.close()
            forked.run(descriptors)
        return pid

    # ------------------------------------------------------------------------------------ endings

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            for name, run in self.runs.items():
                if run.pid == pid and not run.exited:
                    self._first_process_ended(name, run, status, usage)
                    break

    def _first_process_ended(self, name: str, run: _Started, status: int, usage: Any) -> None:
        run.exited = True
        event = {
            "exited": run.pid,
            "status": status,
            "user_s": usage.ru_utime,
            "system_s": usage.ru_stime,
            "max_rss_kib": usage.ru_maxrss,
            "core": os.WCOREDUMP(status),
        }
        if not self._left(name, run):
            self._forget(name, {**event, "empty": True})
            return
        _tell(run.events, event)
        if run.kill_at is None:
            self._end(name, run.grace)

    def _forget(self, name: str, event: dict[str, Any]) -> None:
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
        _processes.send(run.left, signal.SIGTERM)
        _processes.send(run.left, signal.SIGCONT)

    def _left(self, name: str, run: _Started) -> set[int]:
        """Returns the run's processes that live; the costly look only where there may be any."""
        if run.exited and _only_children({other.pid for other in self.runs.values() if not other.exited}):
            return set()  # what it left would be our child, or below one
        others = [other.pid for key, other in self.runs.items() if key != name and not other.exited]
        return _processes.processes_of(name, None if run.exited else run.pid, others, os.getpid())

    def _end_what_is_due(self) -> None:
        for name, run in list(self.runs.items()):
            now = time.monotonic()
            if run.kill_at is None or (now < min(run.kill_at, run.search_at) and _processes.any_lives(run.left)):
                continue
            run.left, run.search_at = self._left(name, run), now + SEARCH
            if now >= run.kill_at:
                _processes.send(run.left, signal.SIGKILL)
            if not run.left and run.exited:
                self._forget(name, {"empty": True})


def _tell(events: socket.socket, event: dict[str, Any]) -> None:
    with contextlib.suppress(OSError):  # its owner is gone
        _send(events, event)


def _only_children(known: set[int]) -> bool:
    """Returns whether each child of this process is a known one; False if that cannot be told.

    The kernel's list can only miss a child while another is waited for, which nobody but the asking thread does.
    """
    try:
        with open(f"/proc/self/task/{os.getpid()}/children") as file:
            return known.issuperset(int(pid) for pid in file.read().split())
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return False


def _spawn(request: dict[str, Any], descriptors: list[int]) -> int:
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
