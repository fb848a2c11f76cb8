"""One end of a channel: a socket that carries frames, how a Task finds it, and the proof of a run's key.

The variables `LUTE_CHANNEL_FD`, or `LUTE_SOCKET` or `LUTE_PORT` with `LUTE_EXECUTOR_HOST`, tell a Task where to
connect. The key of a run lies in a file that only its user can read, named by `LUTE_KEY_FILE`.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import signal
import socket
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lute.errors import ProtocolError
from lute.wire import framing
from lute.wire.encoding import Buffer, short_description
from lute.wire.framing import CONTROL, LOGGED, NOTHING, TEXT, VALUE, Decoder, Frame

logger = logging.getLogger(__name__)

OUR_MARK = "[lute] "
"""Begins each line of a log that `lute` itself has written, but for a program's variables and command line."""
KEY_BYTES = 32
HANDSHAKE_TIMEOUT = 10.0
"""Longest time for the handshake, in s."""
_AT_ONCE = 1 << 16
"""Most bytes read at once where frames are short."""
_IN_PLACE = 1 << 14
"""From this size on, in bytes, what is left of a piece is read to its place."""
_HEAD_AT_ONCE = 1 << 12
"""Most bytes read at once after a piece that was read to its place: the next frame may have one too."""
_MOST_READS = 64
"""Most reads from one connection for a frame before the others get their turn."""
_MOST_PIECES = 64
"""Most pieces that are sent together (IOV_MAX is 1024)."""


@dataclass
class Message:
    """What travels: contents of any type, and a signal out of `LUTE_SIGNALS` or none."""

    contents: Any = None
    signal: str | None = None


def log_line(contents: Any) -> bytes:
    """Returns the line of the log for contents without a signal: text itself, or type and size."""
    if isinstance(contents, str):
        return contents.encode("utf-8", "backslashreplace") + (b"" if contents.endswith("\n") else b"\n")
    return f"{OUR_MARK}message: {short_description(contents)}\n".encode()


def write_fully(descriptor: int, data: bytes) -> None:
    """Writes all of `data`."""
    while data:
        data = data[os.write(descriptor, data) :]


# ------------------------------------------------------------------------------- one end of a channel


class Channel:
    """One end of a stream socket that carries frames. Safe to write to from several threads.

    Args:
        sock: The socket.
        log: A descriptor of the run's log, where this process may write to it.
        load: Whether pickles that come are loaded at once.
    """

    def __init__(self, sock: socket.socket, log: int | None = None, load: bool = True) -> None:
        self.sock = sock
        self.log = log
        """Descriptor of the run's log, where this process may write to it."""
        self.closed = False
        self._owner = os.getpid()
        self._sending = self._postponed = 0
        self.received = 0
        """Bytes that have come so far."""
        self.more = False
        """Whether there may be more than what the last read gave."""
        self._decoder = Decoder(load)
        self._at_once = _AT_ONCE
        self._frames: deque[Frame] = deque()
        self._lock = threading.RLock()

    def fileno(self) -> int:
        """Returns the socket's descriptor."""
        return self.sock.fileno()

    def send(self, msg: Message, flags: int = 0) -> None:
        """Sends one message whole; waits while the other end is busy.

        Raises:
            ProtocolError: The signal is not one of `LUTE_SIGNALS`.
            OSError: The other end is gone.
        """
        contents = msg.contents
        kind = NOTHING if contents is None else TEXT if type(contents) is str else VALUE
        if kind != NOTHING and msg.signal is None and self.log is not None:
            self._write_line(contents)
            if kind == TEXT:
                return  # it has arrived: in the log, in its place
            flags = LOGGED
        self._send(framing.encode(kind, msg.signal, contents, flags))

    def _write_line(self, contents: Any) -> None:
        """Writes a line to the log between what this process printed before and what it prints next."""
        assert self.log is not None
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (AttributeError, ValueError):  # a Task may have closed or replaced them
                continue
        write_fully(self.log, log_line(contents))

    def control(self, contents: Any) -> None:
        """Sends a value from end to end that no one else sees."""
        self._send(framing.encode(CONTROL, None, contents))

    def _send(self, pieces: list[Buffer]) -> None:
        if os.getpid() != self._owner:
            raise ProtocolError("only the Task's own process can send messages, not one that it forked")
        with self._lock:
            self._sending = threading.get_ident()
            try:
                if len(pieces) == 1:
                    self.sock.sendall(pieces[0])
                else:
                    self._send_together(pieces)
            finally:
                self._sending = 0
        if self._postponed:
            self._postponed, number = 0, self._postponed
            signal.raise_signal(number)

    def _send_together(self, pieces: list[Buffer]) -> None:
        """Sends pieces in as few calls as it can, so that the other end does not wake up for a head alone."""
        sent = self.sock.sendmsg(pieces[:_MOST_PIECES])
        for piece in pieces:
            view = memoryview(piece).cast("B")
            if sent < len(view):
                self.sock.sendall(view[sent:])
            sent = max(0, sent - len(view))

    def postpone(self, number: int) -> bool:
        """Says, from a signal's handler, that it comes in the middle of a message of this thread.

        Returns:
            True if so; then the signal comes again when the message has been sent.
        """
        if self._sending == threading.get_ident():
            self._postponed = number
            return True
        return False

    def has_unread(self) -> bool:
        """Returns whether something has come that was not read, or the other end is closed."""
        try:
            self.sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        return True

    def receive(self) -> Frame | None:
        """Waits for one frame. Returns None when the other end is closed."""
        while not self._frames and not self.closed:
            self._read_once()
        return self._frames.popleft() if self._frames else None

    def pump(self) -> list[Frame]:
        """Returns the next frames that have come, without waiting; sets `closed` when nothing more can come.

        Raises:
            ProtocolError: What came is no frame.
        """
        try:
            for _ in range(_MOST_READS):
                self._read_once(socket.MSG_DONTWAIT)
                if self._frames or not self.more:
                    break
        except BlockingIOError:
            self.more = False
        frames, self._frames = list(self._frames), deque()
        return frames

    def _read_once(self, flags: int = 0) -> None:
        room = self._decoder.room()
        try:
            if len(room) < _IN_PLACE:
                data = self.sock.recv(self._at_once, flags)
                count, self.more = len(data), len(data) == self._at_once
                self._at_once = _AT_ONCE
                self._decoder.feed(data)
            else:
                count, self.more = self.sock.recv_into(room, 0, flags), True
                self._at_once = _HEAD_AT_ONCE
                self._decoder.fill(count)
        except ConnectionError:
            count = 0
        if not count:
            self._end()
        self.received += count
        self._frames.extend(self._decoder.frames())

    def _end(self) -> None:
        self.closed, self.more = True, False
        if not self._decoder.between_frames:
            logger.warning("the other end of a channel closed in the middle of a message")

    def close(self) -> None:
        """Closes this end."""
        self.closed = True
        self.sock.close()


_task_channel: Channel | None = None
_task_channel_lock = threading.Lock()
_log: int | None = None


def adopt(channel: Channel | None) -> None:
    """Makes `channel` the one that this process's Task speaks through."""
    global _task_channel
    _task_channel = channel


def print_to_log(descriptor: int) -> None:
    """Says where this process may write lines of the run's log."""
    global _log
    _log = descriptor


def open_channel() -> Channel | None:
    """Returns the channel to the Executor, if it was used before."""
    return _task_channel


def task_channel() -> Channel | None:
    """Returns the channel to the Executor, opening it on first use; None where there is no Executor."""
    global _task_channel
    if _task_channel is not None and not _task_channel.closed:
        return _task_channel
    with _task_channel_lock:
        if _task_channel is None or _task_channel.closed:
            sock = _find_executor()
            _task_channel = Channel(sock, log=_log) if sock else None
        return _task_channel


def _find_executor() -> socket.socket | None:
    env = os.environ
    if env.get("LUTE_CHANNEL_FD"):
        inherited = int(env["LUTE_CHANNEL_FD"])
        os.set_inheritable(inherited, False)  # a program that replaces this process gets no descriptor of ours
        return socket.socket(fileno=os.dup(inherited))
    if not (env.get("LUTE_SOCKET") or env.get("LUTE_PORT")):
        return None
    if env.get("LUTE_PORT"):
        address = (env.get("LUTE_EXECUTOR_HOST", "127.0.0.1"), int(env["LUTE_PORT"]))
        sock = socket.create_connection(address, timeout=HANDSHAKE_TIMEOUT)
    else:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(HANDSHAKE_TIMEOUT)
        sock.connect(env["LUTE_SOCKET"])
    authenticate(sock, Path(env.get("LUTE_KEY_FILE") or f"{env['LUTE_SOCKET']}.key").read_bytes())
    sock.settimeout(None)
    return sock


# ---------------------------------------------------------------------------------------- handshake
#
#   Executor -> Task   32 bytes   a challenge
#   Task -> Executor   64 bytes   HMAC-SHA256(key, "task" + challenge + own challenge), own challenge
#   Executor -> Task   32 bytes   HMAC-SHA256(key, "executor" + the Task's challenge)
#
# Both sides prove the key, nothing can be replayed, and nothing is interpreted before the proof.


def _proof(key: bytes, who: bytes, *challenges: bytes) -> bytes:
    return hmac.digest(key, who + b"".join(challenges), "sha256")


def _receive_exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        piece = sock.recv(count - len(data))
        if not piece:
            raise ProtocolError("the Executor closed the connection: the key does not belong to this run")
        data += piece
    return data


def authenticate(sock: socket.socket, key: bytes) -> None:
    """Does the Task's side of the handshake.

    Raises:
        ProtocolError: The other side is not the Executor of this run.
    """
    challenge = _receive_exactly(sock, KEY_BYTES)
    own = secrets.token_bytes(KEY_BYTES)
    sock.sendall(_proof(key, b"task", challenge, own) + own)
    if not hmac.compare_digest(_receive_exactly(sock, KEY_BYTES), _proof(key, b"executor", own)):
        raise ProtocolError("the other end of the socket does not know this run's key")


class PendingPeer:
    """The Executor's side of a connection that has not proved its key yet."""

    def __init__(self, sock: socket.socket, key: bytes) -> None:
        self.sock, self._key = sock, key
        self.expires = time.monotonic() + HANDSHAKE_TIMEOUT
        self._challenge = secrets.token_bytes(KEY_BYTES)
        self._answer = b""
        sock.sendall(self._challenge)

    def advance(self) -> bool | None:
        """Reads what came. Returns True for a proved key, False for a stranger, None to go on."""
        piece = self.sock.recv(2 * KEY_BYTES - len(self._answer))
        if not piece:
            return False
        self._answer += piece
        if len(self._answer) < 2 * KEY_BYTES:
            return None
        proof, own = self._answer[:KEY_BYTES], self._answer[KEY_BYTES:]
        if not hmac.compare_digest(proof, _proof(self._key, b"task", self._challenge, own)):
            return False
        self.sock.sendall(_proof(self._key, b"executor", own))
        return True
