"""The launcher: a small process that starts every process of a run, and sees every one of them end.

It is forked from a `lute` process that has its imports done, before that has threads; from a process with
threads it is started anew. It is a subreaper: a process that leaves its group, session or parent becomes its
child and is ended with its run. When its owner dies, it ends all runs and goes. Here is the owner's handle of it;
what it does is in `main`, what both say to each other in `events`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, ClassVar

from lute.base import procfs
from lute.errors import LaunchError
from lute.launcher.events import Events
from lute.launcher.main import live
from lute.wire.fd_passing import send

if TYPE_CHECKING:
    from lute.launcher.events import EndRequest, StartRequest


class Launcher:
    """The owner's handle of a launcher. Several threads may use it.

    Attributes:
        forked: Whether the launcher has this process's imports, so that it can fork Tasks.
        pid: Its process.
    """

    _pids: ClassVar[set[int]] = set()
    """Those of all launchers that this process has."""

    def __init__(self, sock: socket.socket, pid: int, forked: bool) -> None:
        self._before = procfs.children_if_told()
        self._pids.add(pid)
        self.sock, self.pid, self.forked = sock, pid, forked
        self.pidfd = os.pidfd_open(pid)
        self._asking = threading.Lock()
        self._was_subreaper = procfs.become_subreaper()

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

    def begin(self, run: str, request: StartRequest, descriptors: list[int]) -> Events:
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
                self._ask({**request, "do": "start", "run": run}, [theirs.fileno(), *descriptors])
            except LaunchError:
                ours.close()
                raise
        return Events(ours)

    def end(self, run: str, grace: float) -> None:
        """Asks to end all processes of a run: SIGTERM, and SIGKILL after `grace` s."""
        self._ask({"do": "end", "run": run, "grace": grace})

    def _ask(self, request: StartRequest | EndRequest, descriptors: list[int] | None = None) -> None:
        try:
            with self._asking:
                send(self.sock, request, descriptors)
        except OSError as error:
            raise LaunchError(f"the launcher (process {self.pid}) is gone: {error.strerror}") from error

    @property
    def siblings(self) -> set[int]:
        """The children that this process had when it was started, and other launchers: they are of no run of its."""
        return self._before | self._pids

    def close(self) -> None:
        """Lets the launcher end what it still runs, and waits until it is gone."""
        self.sock.close()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)
        self._pids.discard(self.pid)
        os.close(self.pidfd)
        if not self._was_subreaper:
            procfs.become_subreaper(False)


def _single_threaded() -> bool:
    return threading.active_count() == 1 and len(os.listdir("/proc/self/task")) == 1


def _fork_launcher(theirs: socket.socket, ours: socket.socket) -> int:
    owner = os.getpid()
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        ours.close()
        live(theirs, owner)
    return pid


def _exec_launcher(theirs: socket.socket) -> int:
    theirs.set_inheritable(True)
    source = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
    code = f"import sys; sys.path.append({source!r}); from lute.launcher.main import main; main()"
    argv = [sys.executable, "-c", code, str(theirs.fileno()), str(os.getpid())]
    process = subprocess.Popen(argv, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
    process.returncode = 0  # it is waited for in close()
    return process.pid
