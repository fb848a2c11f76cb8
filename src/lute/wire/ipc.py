"""Messages between a Task and its Executor.

A Task speaks through one channel, however many communicators its author sees: a socket that the Executor made
and the Task's process inherited, or, where nothing can be inherited (MPI ranks, another host), a connection to
a socket of the Executor on which both ends first prove that they know the run's key. What the Task and its
libraries print never comes this way: that is the log.
"""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import secrets
import selectors
import shutil
import socket
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from enum import Enum
from pathlib import Path
from typing import Any, Iterator, Optional

from lute.errors import LaunchError, ProtocolError
from lute.wire.channel import HANDSHAKE_TIMEOUT, KEY_BYTES, Channel, Message, PendingPeer, task_channel
from lute.wire.framing import CONTROL, LOGGED, SIGNALS, Frame
from lute.wire.pickled import loaded

__all__ = [
    "LUTE_SIGNALS",
    "Communicator",
    "Message",
    "Party",
    "PipeCommunicator",
    "SocketCommunicator",
]

logger = logging.getLogger(__name__)

LUTE_SIGNALS = frozenset(SIGNALS)
"""The signals a message may carry; also the events of an Executor's hooks."""


LONGEST_SOCKET_PATH = 107
"""Most bytes in the path of a Unix socket (unix(7))."""


class Party(Enum):
    """Which side a communicator is used on."""

    TASK = 0
    EXECUTOR = 1


class Communicator(ABC):
    """One way for messages to travel. Constructing one opens nothing.

    Args:
        party: The side it is used on.
        use_pickle: Kept for those who pass it. What is pickled is decided value by value.
    """

    desc = "a way for messages to travel"

    def __init__(self, party: Party = Party.TASK, use_pickle: bool = True) -> None:
        self._party = party
        self._use_pickle = use_pickle

    def fresh(self) -> Communicator:
        """Returns a communicator like this one for one run, on the Executor's side."""
        return copy.copy(self)

    @abstractmethod
    def read(self, proc: Any) -> Message:
        """Returns the next message, or an empty one if none has come."""

    @abstractmethod
    def write(self, msg: Message) -> None:
        """Sends one message."""

    @property
    def has_messages(self) -> bool:
        """Whether a message has come that was not read yet."""
        return False

    def delayed_setup(self) -> None:
        """Opens what the communicator needs; called when it is about to be used."""

    def environment(self) -> dict[str, str]:
        """Returns the variables that tell a Task's process how to connect."""
        return {}

    def clear_communicator(self) -> None:
        """Closes what was opened."""

    def stage_communicator(self) -> None:
        """Opens the communicator for use outside an Executor: `environment()` goes to `os.environ`."""
        self.delayed_setup()
        os.environ.update(self.environment())

    def __enter__(self) -> Communicator:
        self.stage_communicator()
        return self

    def __exit__(self, *error: Any) -> None:
        for name in self.environment():
            os.environ.pop(name, None)
        self.clear_communicator()

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.desc}"

    __repr__ = __str__


class _ChannelCommunicator(Communicator):
    """What both of our communicators share: the Task's side writes to the process's one channel."""

    def __init__(self, party: Party = Party.TASK, use_pickle: bool = True) -> None:
        super().__init__(party, use_pickle)
        self._frames: deque[Frame] = deque()
        self.received = 0
        """Bytes taken in so far."""
        self.more = False
        """Whether `pump()` may have left something."""
        self.controls: deque[Any] = deque()

    def fresh(self) -> Communicator:
        """Returns a communicator of this kind for one run, on the Executor's side."""
        return type(self)(Party.EXECUTOR, self._use_pickle)

    def write(self, msg: Message) -> None:
        """Sends one message, whole and in order with all others of this process.

        Raises:
            ProtocolError: The signal is not one of `LUTE_SIGNALS`, or this is the Executor's side.
        """
        if self._party is not Party.TASK:
            raise ProtocolError(f"{type(self).__name__}: only the Task's side writes messages")
        channel = task_channel()
        if channel is not None:
            channel.send(msg)
        elif msg.contents is not None and msg.signal is None:
            logger.info("%s", msg.contents)

    def read(self, proc: Any = None) -> Message:
        """Returns the next message, or an empty one if none has come."""
        if not self._frames:
            self.pump()
        for message, _ in self.take():
            message.contents = loaded(message.contents)
            return message
        return Message()

    @property
    def has_messages(self) -> bool:
        """Whether a message has come that was not read yet."""
        self.pump()
        return bool(self._frames)

    def pump(self) -> None:
        """Takes in some of what has come, without waiting."""

    def take(self) -> Iterator[tuple[Message, bool]]:
        """Gives each message that has come, what was pickled in it not loaded, and whether its text is in the log."""
        while self._frames:
            frame = self._frames.popleft()
            yield Message(frame.contents, frame.signal), bool(frame.flags & LOGGED)

    def _accept(self, channel: Channel) -> None:
        """Takes in some of what has come through a channel.

        Raises:
            ProtocolError: It is no channel of ours any more.
        """
        before = channel.received
        try:
            frames = channel.pump()
        finally:
            self.received += channel.received - before
            self.more = channel.more or self.more
        for frame in frames:
            if frame.kind == CONTROL:
                self.controls.append(frame.contents)
            else:
                self._frames.append(frame)


class PipeCommunicator(_ChannelCommunicator):
    """Carries text and signals through a channel that the Task's process inherits."""

    desc = "text and signals through a channel that the Task inherits"

    def __init__(self, party: Party = Party.TASK, use_pickle: bool = True) -> None:
        super().__init__(party, use_pickle)
        self.channel: Optional[Channel] = None
        self.child_end: Optional[socket.socket] = None

    def delayed_setup(self) -> None:
        """Makes the channel: this end, and the end that the child will inherit."""
        if self._party is Party.EXECUTOR and self.channel is None:
            ours, self.child_end = socket.socketpair()
            self.channel = Channel(ours, load=False)

    def environment(self) -> dict[str, str]:
        """Returns `LUTE_CHANNEL_FD`, as long as this side holds the child's end."""
        return {"LUTE_CHANNEL_FD": str(self.child_end.fileno())} if self.child_end else {}

    def pump(self) -> None:
        """Takes in some of what has come, without waiting. A channel that is no channel any more is closed."""
        self.more = False
        if self.channel is None or self.channel.closed:
            return
        try:
            self._accept(self.channel)
        except ProtocolError as error:
            logger.warning("the Task's channel is closed: %s", error)
            self.channel.closed = True

    def clear_communicator(self) -> None:
        """Closes both ends."""
        for end in (self.channel, self.child_end):
            if end is not None:
                end.close()
        self.channel = self.child_end = None


def _short_folder() -> Path:
    """Makes a folder that only this user can enter, with a path short enough for a socket in it."""
    folder = tempfile.mkdtemp(prefix="lute-")
    if len(os.fsencode(folder)) + len("/socket.key") > LONGEST_SOCKET_PATH:
        os.rmdir(folder)
        folder = tempfile.mkdtemp(prefix="lute-", dir="/tmp")
    return Path(folder)


def _listen_on(host: str) -> socket.socket:
    """Listens on the address of a host; on all of this host's where the name is one that only others know.

    Raises:
        LaunchError: The name has no address here.
    """
    try:
        family, _, _, _, address = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise LaunchError(
            f"the host {host!r} has no address here: set LUTE_EXECUTOR_HOST to a name or an address of this host"
            " that the hosts of the ranks can reach"
        ) from error
    place = str(address[0])
    if place.startswith("127.") and host not in (place, "localhost"):  # /etc/hosts gives many a host's own name to it
        place = ""
    return socket.create_server((place, 0), family=family)


class SocketCommunicator(_ChannelCommunicator):
    """Carries objects. The Executor's side listens on a Unix socket, or on TCP with `LUTE_USE_TCP=1`."""

    desc = "objects through a keyed Unix socket"

    def __init__(self, party: Party = Party.TASK, use_pickle: bool = True) -> None:
        super().__init__(party, use_pickle)
        self._selector: Optional[selectors.BaseSelector] = None
        self._folder: Optional[Path] = None
        self._environment: dict[str, str] = {}
        self._key_folder: Optional[Path] = None
        self._host = ""

    def for_ranks(self, folder: Path, host: Optional[str]) -> None:
        """Prepares it for MPI ranks, which may be on other hosts.

        Args:
            folder: Where the key lies, readable on all hosts.
            host: Name by which they reach this host; None if all are on this one.
        """
        self._key_folder, self._host = folder, host or ""

    def delayed_setup(self) -> None:
        """Listens, in a folder that only this user can enter, with a key of this run's own."""
        if self._party is not Party.EXECUTOR or self._selector is not None:
            return
        self._folder = _short_folder()
        key = secrets.token_bytes(KEY_BYTES)
        listener = self._listen(self._folder)
        listener.setblocking(False)
        key_file = Path(self._environment["LUTE_KEY_FILE"])
        with open(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(key)
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ, key)

    def _listen(self, folder: Path) -> socket.socket:
        if self._host or os.environ.get("LUTE_USE_TCP", "") not in ("", "0"):
            host = self._host or os.environ.get("LUTE_EXECUTOR_HOST", "127.0.0.1")
            listener = _listen_on(host)
            port = str(listener.getsockname()[1])
            self._environment = {"LUTE_EXECUTOR_HOST": host, "LUTE_PORT": port}
            self._environment["LUTE_KEY_FILE"] = str((self._key_folder or folder) / "key")
            self.desc = f"objects through keyed TCP on {host}"
            return listener
        path = os.environ.get("LUTE_SOCKET", "")
        if not path or os.path.exists(path):  # the latter is an outer run's own
            path = str(folder / "socket")
        listener = socket.socket(socket.AF_UNIX)
        mask = os.umask(0o177)
        try:
            listener.bind(path)
        finally:
            os.umask(mask)
        listener.listen()
        self._environment = {"LUTE_SOCKET": path, "LUTE_KEY_FILE": f"{path}.key"}
        return listener

    def environment(self) -> dict[str, str]:
        """Returns where to connect, and the file with the key."""
        return dict(self._environment)

    def fileno(self) -> Optional[int]:
        """Returns a descriptor that is readable when there is something to pump, if there is one."""
        return self._selector.fileno() if isinstance(self._selector, selectors.EpollSelector) else None

    def pump(self) -> None:
        """Takes in some of the connections, proofs and messages that have come, without waiting."""
        self.more = False
        if self._selector is None:
            return
        self._dismiss_silent_guests()
        for ready, _ in self._selector.select(0):
            if isinstance(ready.data, bytes):
                self._greet(ready.fileobj, ready.data)  # type: ignore[arg-type]
            elif isinstance(ready.data, PendingPeer):
                self._examine(ready.data)
            else:
                self._read(ready.data)

    def _greet(self, listener: socket.socket, key: bytes) -> None:
        assert self._selector is not None
        with contextlib.suppress(BlockingIOError, ConnectionError):
            sock, _ = listener.accept()
            sock.settimeout(HANDSHAKE_TIMEOUT)
            self._selector.register(sock, selectors.EVENT_READ, PendingPeer(sock, key))

    def _dismiss_silent_guests(self) -> None:
        assert self._selector is not None
        if len(self._selector.get_map()) == 1:  # the listener alone
            return
        guests = [key.data for key in self._selector.get_map().values() if isinstance(key.data, PendingPeer)]
        for guest in guests:
            if time.monotonic() > guest.expires:
                logger.warning("a connection that did not prove the run's key in time was closed")
                self._selector.unregister(guest.sock)
                guest.sock.close()

    def _examine(self, guest: PendingPeer) -> None:
        assert self._selector is not None
        try:
            proved = guest.advance()
        except OSError:
            proved = False
        if proved is None:
            return
        self._selector.unregister(guest.sock)
        if proved:
            guest.sock.settimeout(None)
            self._selector.register(guest.sock, selectors.EVENT_READ, Channel(guest.sock, load=False))
        else:
            logger.warning("a connection that did not know the run's key was closed")
            guest.sock.close()

    def _read(self, channel: Channel) -> None:
        assert self._selector is not None
        try:
            self._accept(channel)
        except ProtocolError as error:
            logger.warning("a connection was closed: %s", error)
            channel.closed = True
        if channel.closed:
            self._selector.unregister(channel.sock)
            channel.close()

    def reply(self, contents: Any) -> None:
        """Sends a control value to every Task process that is connected."""
        for key in list(self._selector.get_map().values()) if self._selector else []:
            if isinstance(key.data, Channel):
                key.data.control(contents)

    def clear_communicator(self) -> None:
        """Closes every connection and removes the socket and its key."""
        if self._selector is not None:
            for key in list(self._selector.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]
            self._selector.close()
            self._selector = None
            for name in ("LUTE_SOCKET", "LUTE_KEY_FILE"):
                with contextlib.suppress(KeyError, FileNotFoundError):
                    os.unlink(self._environment[name])
        if self._folder is not None:
            shutil.rmtree(self._folder)
        self._environment, self._folder = {}, None
