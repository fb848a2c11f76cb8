"""What the launcher is asked, and what it tells of a run.

owner -> launcher   a `StartRequest`, with descriptors: the first is the socket for the run's events; or an `EndRequest`
launcher -> run     `Started` or `Failed`; then `Exited`, when the first process has ended; then `Empty`, when nothing
of the run is left. `Exited` says so itself where it left nothing.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from lute.wire.control import Fields, to_json
from lute.wire.fd_passing import receive, send

if TYPE_CHECKING:
    from typing import TypedDict

    class StartRequest(TypedDict, total=False):
        """Asks for the first process of a run: `argv` for a program, `job` for a Task that is forked.

        What is left of a run is known by `log`, too: the path that it prints to.
        """

        do: Literal["start"]
        run: str
        argv: list[str]
        job: str
        env: dict[str, str]
        cwd: str
        grace: float
        log: str

    class EndRequest(TypedDict):
        """Asks for the end of all processes of a run: SIGTERM, and SIGKILL after `grace` s."""

        do: Literal["end"]
        run: str
        grace: float


class Started(Fields):
    """The first process lives."""

    _fields = ("pid",)

    def __init__(self, pid: int) -> None:
        self.pid = pid


class Failed(Fields):
    """It could not be started."""

    _fields = ("errno", "reason")

    def __init__(self, errno: int | None, reason: str) -> None:
        self.errno, self.reason = errno, reason


class Exited(Fields):
    """The first process has ended.

    Attributes:
        status: As `os.wait4` gives it.
        user_s: User time, in s.
        system_s: System time, in s.
        max_rss_kib: Peak memory, in KiB.
        empty: Whether nothing of the run is left.
    """

    _fields = ("status", "user_s", "system_s", "max_rss_kib", "empty")

    def __init__(self, status: int, user_s: float, system_s: float, max_rss_kib: int, empty: bool = False) -> None:
        self.status, self.user_s, self.system_s = status, user_s, system_s
        self.max_rss_kib, self.empty = max_rss_kib, empty


class Empty(Fields):
    """Nothing of the run is left."""

    _fields = ()


Event = Started | Failed | Exited | Empty
_KINDS: dict[str, Callable[..., Event]] = {kind.__name__: kind for kind in (Started, Failed, Exited, Empty)}


def tell(sock: socket.socket, event: Event) -> None:
    """Tells the owner of a run what happened to it.

    Raises:
        OSError: The owner is gone.
    """
    send(sock, to_json(event))


class Events:
    """What happens to one run, as the launcher tells it."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def fileno(self) -> int:
        """Returns a descriptor that is readable when there is a next one."""
        return self._sock.fileno()

    def next(self) -> Event:
        """Returns the next thing that happened; waits for it.

        Raises:
            EOFError: The launcher is gone.
        """
        name, *fields = receive(self._sock)[0]
        event: Event = _KINDS[name](*fields)
        return event

    def close(self) -> None:
        """Hears no more."""
        self._sock.close()
