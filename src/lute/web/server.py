"""Runs the site until it is told to end."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import signal
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import uvicorn

from lute.errors import UsageError
from lute.web.app import make_app
from lute.web.site import Site

LOOPBACK = ("127.0.0.1", "::1", "localhost")
ANY = ("0.0.0.0", "::")  # noqa: S104 - these are compared with, to tell who listens on all addresses
SHORTEST_TOKEN = 16
GRACE = 3
"""Longest time that answers under way are waited for when the server ends, in s."""


class Server(uvicorn.Server):
    """A server that ends at the first SIGINT or SIGTERM, open event streams included.

    Args:
        site: What it shows.
        ready: Called once it answers.
    """

    def __init__(self, site: Site, ready: Callable[[], None]) -> None:
        self._site, self._ready = site, ready
        super().__init__(
            uvicorn.Config(
                make_app(site),
                http="h11",
                ws="none",
                loop="asyncio",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                log_config=None,
                timeout_graceful_shutdown=GRACE,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins to answer."""
        await super().startup(sockets)
        self._ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Ends at a signal; unlike the parent's, the signal is not raised again afterwards."""
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begins the end."""
        super().handle_exit(sig, frame)
        with contextlib.suppress(RuntimeError):  # the loop has ended already
            asyncio.get_event_loop().call_soon_threadsafe(self._site.stopping.set)


def listen(host: str, port: int) -> socket.socket:
    """Returns a socket that listens.

    Raises:
        UsageError: There is no such address, or the port is taken.
    """
    try:
        family, *_ = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listening = socket.create_server((host, port), family=socket.AddressFamily(family), backlog=128)
        # or a short answer waits 40 ms for the other side; asyncio sees to it only for some sockets
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listening
    except (OSError, OverflowError) as error:
        hint = "another program has that port. Try --port 0 for any that is free" if _taken(error) else str(error)
        raise UsageError(f"cannot listen on {host} port {port}: {hint}") from error


def _taken(error: BaseException) -> bool:
    return isinstance(error, OSError) and error.errno == errno.EADDRINUSE


def names_of(host: str, more: list[str]) -> frozenset[str]:
    """Returns the names by which a server on an address may be called."""
    own = [socket.gethostname()] if host in ANY else []
    names = [*LOOPBACK[:1], "localhost", "[::1]", f"[{host}]" if ":" in host else host, *own, *more]
    return frozenset(name.lower() for name in names)


def token_for(path: str | None) -> str:
    """Returns the token in a file, or a new one where no file is given.

    Raises:
        UsageError: The file holds none, or others can read it.
    """
    return token_in(Path(path)) if path else secrets.token_urlsafe(32)


def token_in(path: Path) -> str:
    """Returns the token in a file, which is made where there is none; only its owner can read it.

    Raises:
        UsageError: Others can read the file, or it holds no good token.
    """
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "w") as file:
            file.write((token := secrets.token_urlsafe(32)) + "\n")
        return token
    except FileExistsError:
        pass
    except OSError as error:
        raise UsageError(f"--token-file: {path} cannot be made: {error.strerror}") from error
    try:
        if path.stat().st_mode & 0o077:
            raise UsageError(f"--token-file: others can read {path}. Try: chmod 600 {path}")
        token = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--token-file: {path} cannot be read: {error}") from error
    if len(token) < SHORTEST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(f"--token-file: {path} must hold one word of at least {SHORTEST_TOKEN} ASCII characters")
    return token


def url_of(host: str, port: int) -> str:
    """Returns the address that people open."""
    name = socket.gethostname() if host in ANY else f"[{host}]" if ":" in host else host
    return f"http://{name}:{port}/"


def serve(site: Site, listening: socket.socket, ready: Callable[[], None]) -> None:
    """Serves until SIGINT or SIGTERM; calls `ready` once it answers."""
    Server(site, ready).run(sockets=[listening])
