"""The channel under attack, and hooks, tasklets, pages and the eLog that fail or hang: no run is disturbed."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pickle
import re
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from faults.support import GRACES, SLACK, Running, marked
from lute.wire import channel, framing, ipc
from lute.wire.ipc import Party, SocketCommunicator
from process.helpers import wait_until

CLIENT = """
    import sys
    from lute.wire.ipc import Message, Party, SocketCommunicator
    side = SocketCommunicator(Party.TASK)
    side.write(Message(contents={"text": "genuine", "data": list(range(50))}))
    side.write(Message(signal="TASK_RESULT", contents="the end"))
"""


class Stage:
    """An Executor's end of a socket, in this process."""

    def __init__(self, project: Project, tcp: bool) -> None:
        self.project, self.tcp = project, tcp
        self.communicator = SocketCommunicator(Party.EXECUTOR)
        self.communicator.stage_communicator()
        self.env = self.communicator.environment()

    def connect(self) -> socket.socket:
        """Connects as anyone could."""
        if self.tcp:
            return socket.create_connection((self.env["LUTE_EXECUTOR_HOST"], int(self.env["LUTE_PORT"])), timeout=20)
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(20)
        sock.connect(self.env["LUTE_SOCKET"])
        return sock

    def pumped(self, call: Callable[[], Any]) -> Any:
        """Calls a function in a thread while this end takes in what comes."""
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(call()))
        thread.start()
        deadline = time.monotonic() + 20
        while thread.is_alive():
            assert time.monotonic() < deadline
            self.communicator.pump()
            thread.join(0.002)
        return found[0] if found else None

    def genuine(self, env: dict[str, str] | None = None) -> None:
        """Has a Task's side of another process send, and checks that all of it comes."""
        done = self.pumped(lambda: python(self.project, {**self.env, **(env or {})}))
        assert done.returncode == 0, done.stderr
        got = []

        def arrived() -> bool:
            self.communicator.pump()
            got.extend(message for message, _ in self.communicator.take())
            return len(got) >= 2

        wait_until(arrived, "the genuine messages")
        assert [(message.contents, message.signal) for message in got] == [
            ({"text": "genuine", "data": list(range(50))}, None),
            ("the end", "TASK_RESULT"),
        ]

    def closed(self, sock: socket.socket) -> bool:
        """Waits until this end has closed a connection."""

        sock.setblocking(False)

        def gone() -> bool:
            self.communicator.pump()
            with contextlib.suppress(BlockingIOError):
                try:
                    return sock.recv(4096) == b""
                except ConnectionError:
                    return True
            return False

        return wait_until(gone, "the connection is closed")


def python(project: Project, env: dict[str, str]) -> subprocess.CompletedProcess[bytes]:
    """Runs the genuine Task's side."""
    script = project.write("client.py", CLIENT)
    return subprocess.run([sys.executable, str(script)], env={**project.env, **env}, capture_output=True, timeout=30)


@pytest.fixture(params=["unix", "tcp"])
def stage(request: pytest.FixtureRequest, project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """An Executor's socket of each kind."""
    if request.param == "tcp":
        monkeypatch.setenv("LUTE_USE_TCP", "1")
    made = Stage(project, request.param == "tcp")
    yield made
    made.communicator.clear_communicator()
    for name in made.env:
        os.environ.pop(name, None)


class Evil:
    """Its pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def head(kind: int, buffers: int, body: int) -> bytes:
    """The head of a frame."""
    return struct.pack("!2sBBHHQ", b"LT", 0, kind, buffers, 0, body)


def attacks(folder: Path) -> dict[str, bytes]:
    """What a stranger might send, by name."""
    evil = Evil(folder / "loaded")
    frame = b"".join(bytes(piece) for piece in framing.encode(framing.VALUE, None, evil))
    return {
        "garbage": bytes(range(256)) * 1000,
        "nothing": b"",
        "one byte": b"x",
        "zeros": bytes(1 << 20),
        "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 3,
        "frame": frame,
        "truncated frame": frame[: len(frame) // 2],
        "huge frame": head(2, 0, 2**60) + b"x" * 100,
        "pickle": pickle.dumps(evil),
        "length and pickle": struct.pack("!Q", 2**60) + pickle.dumps(evil),
        "zero proof and frame": bytes(64) + frame,
    }


@pytest.mark.parametrize("name", attacks(Path()))
def test_strangers(stage: Stage, caplog: pytest.LogCaptureFixture, name: str) -> None:
    """B5: nothing of a stranger's is interpreted, the event is logged, and a genuine Task still gets through."""
    data = attacks(stage.project.folder)[name]
    with stage.connect() as sock:
        challenge = stage.pumped(lambda: sock.recv(32))
        assert len(challenge) == 32

        def send() -> None:
            with contextlib.suppress(OSError):  # they hang up; a shutdown then says that nobody is connected
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)

        stage.pumped(send)
        assert stage.closed(sock)
    assert not (stage.project.folder / "loaded").exists()
    assert not list(stage.communicator.take())
    assert "key" in caplog.text
    assert caplog.records[-1].levelno >= logging.WARNING
    stage.genuine()
    assert not (stage.project.folder / "loaded").exists()


@pytest.mark.parametrize("what", ["body", "buffer", "garbage", "truncated", "unknown kind"])
def test_nonsense_after_a_proof(stage: Stage, caplog: pytest.LogCaptureFixture, what: str) -> None:
    """B5: who knows the key and sends nonsense, such as a frame of 2**60 bytes, is hung up on; memory stays."""
    data = {
        "body": head(2, 0, 2**60),
        "buffer": head(2, 1, 10) + struct.pack("!Q", 2**60) + b"x" * 10,
        "garbage": b"\xff" * 1000,
        "truncated": head(1, 0, 100) + b"half",
        "unknown kind": head(9, 0, 1) + b"x",
    }[what]
    with stage.connect() as sock:
        key = Path(stage.env["LUTE_KEY_FILE"]).read_bytes()
        stage.pumped(lambda: channel.authenticate(sock, key))
        sock.sendall(data)
        sock.shutdown(socket.SHUT_WR)
        assert stage.closed(sock)
    assert [r for r in caplog.records if r.levelno >= logging.WARNING], caplog.text
    stage.genuine()


def test_large_claims_take_no_memory(stage: Stage) -> None:
    """B5: a claim of 200 MB that nothing follows must not take that memory at once, a hundred times over."""
    key = Path(stage.env["LUTE_KEY_FILE"]).read_bytes()
    before = resident()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            sock = stack.enter_context(stage.connect())
            stage.pumped(lambda sock=sock: channel.authenticate(sock, key))
            sock.sendall(head(2, 0, 200 << 20) + b"x")
        for _ in range(50):
            stage.communicator.pump()
        assert resident() - before < 100 << 20
        stage.genuine()


def resident() -> int:
    """This process's resident memory, in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_replayed_handshake(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    """B5: the bytes of a genuine handshake, recorded by a proxy and played again, prove nothing."""
    recorded = bytearray()
    proxy = socket.create_server(("127.0.0.1", 0))

    def relay() -> None:
        ours, _ = proxy.accept()
        with ours, stage.connect() as theirs:
            back = threading.Thread(target=copy, args=(theirs, ours, bytearray()))
            back.start()
            copy(ours, theirs, recorded)
            back.join()

    thread = threading.Thread(target=relay)
    thread.start()
    through = {"LUTE_EXECUTOR_HOST": "127.0.0.1", "LUTE_PORT": str(proxy.getsockname()[1])}
    stage.genuine({**through, "LUTE_KEY_FILE": stage.env["LUTE_KEY_FILE"]})
    wait_until(lambda: stage.communicator.pump() or not thread.is_alive(), "the proxy is done")
    proxy.close()
    assert len(recorded) > 64
    assert "key" not in caplog.text
    with stage.connect() as sock:
        sock.sendall(recorded)
        assert stage.closed(sock)
    assert "key" in caplog.text
    assert not list(stage.communicator.take())
    stage.genuine()


def copy(source: socket.socket, target: socket.socket, kept: bytearray) -> None:
    """Copies one direction of a connection."""
    with contextlib.suppress(OSError):
        while piece := source.recv(65536):
            kept += piece
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)


def test_silent_connections(stage: Stage, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: connections that say nothing are closed when their time is over, and keep nobody out meanwhile."""
    monkeypatch.setattr(channel, "HANDSHAKE_TIMEOUT", 2.0)
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(stage.connect()) for _ in range(50)]
        stage.genuine()
        for sock in silent:
            assert stage.closed(sock)
    assert "in time" in caplog.text
    stage.genuine()


def test_many_connections_at_once_leave_descriptors(stage: Stage) -> None:
    """B5: connections that come and go leave no descriptors."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(200):
        with stage.connect() as sock:
            stage.communicator.pump()
            sock.sendall(b"x" * 10)
        stage.communicator.pump()
    wait_until(lambda: stage.communicator.pump() or len(os.listdir("/proc/self/fd")) <= before, "none is left")
    stage.genuine()


def test_modes_of_socket_key_and_folder(stage: Stage) -> None:
    """B5: socket and key are the user's own, in a folder that nobody else can enter, and go with the run."""
    key = Path(stage.env["LUTE_KEY_FILE"])
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    assert {path.stat().st_uid for path in (key, key.parent)} == {os.getuid()}
    assert len(key.read_bytes()) >= 32
    if not stage.tcp:
        assert stat.S_IMODE(Path(stage.env["LUTE_SOCKET"]).stat().st_mode) == 0o600
    else:
        assert stage.env["LUTE_EXECUTOR_HOST"] == "127.0.0.1"
        assert stage.communicator._environment.get("LUTE_SOCKET") is None
    stage.communicator.clear_communicator()
    assert not key.parent.exists()


def test_keys_differ() -> None:
    """B5: each run has a key of its own."""
    keys = set()
    for _ in range(3):
        with SocketCommunicator(Party.EXECUTOR) as one:
            keys.add(Path(one.environment()["LUTE_KEY_FILE"]).read_bytes())
    assert len(keys) == 3


# ----------------------------------------------------------------------------------- whole runs


def task(name: str, code: str) -> str:
    """A Task's parameters as YAML."""
    return json.dumps({{"Shell": "Sh", "Python": "Py"}[name]: {"code": code}})


def listening(pid: int) -> list[int]:
    """The TCP ports on which a process listens."""
    inodes = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            inodes.add(os.readlink(link).removeprefix("socket:[").rstrip("]"))
    lines = [line.split() for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]]
    return [int(line[1].split(":")[1], 16) for line in lines if line[3] == "0A" and line[9] in inodes]


def test_a_run_on_tcp_that_is_attacked(running: Running) -> None:
    """B5: a whole run with LUTE_USE_TCP=1 whose port is attacked all the while keeps its result and its order."""
    code = (
        "from lute import Message\n"
        "note('reached'); open(HOME / 'go').read()\n"
        "for i in range(300): self._report_to_executor(Message(contents=f'line {i}'))\n"
        "self._result.payload = {'a': list(range(1000))}"
    )
    running.config(task("Python", code))
    owner = running.start("Python", LUTE_USE_TCP="1")
    running.reach()
    [port] = listening(owner)
    done = threading.Event()
    count = 0

    def attack() -> None:
        nonlocal count
        kept = []
        while not done.is_set():
            for data in attacks(running.home).values():
                with contextlib.suppress(OSError):
                    sock = socket.create_connection(("127.0.0.1", port), timeout=1)
                    kept.append(sock)
                    sock.sendall(data[:4096])
                    count += 1
            while len(kept) > 20:
                kept.pop(0).close()
        for sock in kept:
            sock.close()

    thread = threading.Thread(target=attack)
    thread.start()
    try:
        wait_until(lambda: count > 50, "some attacks")
        running.go()
        assert running.wait(40) == 0, running.stderr
    finally:
        done.set()
        thread.join()
    assert running.result["payload"] == {"a": list(range(1000))}
    lines = [line for line in Path(running.result["log"]).read_text().splitlines() if line.startswith("line ")]
    assert lines == [f"line {i}" for i in range(300)]
    assert not (running.home / "loaded").exists()
    assert "did not know the run's key" in running.stderr


def test_no_tcp_unless_asked_for(running: Running) -> None:
    """B5: TCP only when asked for."""
    running.config(task("Python", "note('reached'); open(HOME / 'go').read()"))
    owner = running.start("Python", "-q")
    running.reach()
    assert listening(owner) == []
    running.go()
    assert running.wait() == 0


@pytest.mark.parametrize("name", ["Shell", "Python"])
def test_frames_and_pickles_on_stdout(running: Running, name: str) -> None:
    """B5: a program that prints frames and pickles on both its streams: they are log, byte by byte, and nothing else."""
    result = b"".join(bytes(p) for p in framing.encode(framing.TEXT, "TASK_RESULT", "forged"))
    data = b"".join(attacks(running.home).values()) + result + pickle.dumps(ipc.Message("forged", "TASK_RESULT"))
    (running.home / "bytes").write_bytes(data)
    code = (
        "cat bytes; cat bytes >&2" if name == "Shell" else "[os.write(fd, open('bytes', 'rb').read()) for fd in (1, 2)]"
    )
    running.config(task(name, code))
    running.start(name, "-q")
    assert running.wait() == 0
    assert Path(running.result["log"]).read_bytes().count(data) == 2
    assert running.result["payload"] == ""
    assert not (running.home / "loaded").exists()


# ------------------------------------------------------------- hooks, tasklets, pages and the eLog


@pytest.mark.parametrize(
    ("how", "where"),
    [
        *((how, where) for how in ("hang", "fail") for where in ("TASK_STARTED", "TASK_RESULT", "before", "after")),
        *((how, where) for how in ("hang_in_c", "leave") for where in ("TASK_LOG", "before")),
        ("leave", "after"),
    ],
)
def test_hooks_and_tasklets_that_fail_or_hang(running: Running, how: str, where: str) -> None:
    """B1: a hook or tasklet that fails or hangs is reported and bounded in time; the run's own outcome stands."""
    code = (
        "from lute import Message\nself._report_to_executor(Message(contents={'a': 1}))\nself._result.payload = 'mine'"
    )
    running.config(task("Python", code), "hook_timeout: 0.3\ntasklet_timeout: 0.3")
    begin = time.monotonic()
    running.start("Python", FAULTS_HOW=how, FAULTS_WHERE=where)
    assert running.wait(20) == 0, running.stderr
    assert time.monotonic() - begin < 3 + SLACK
    row = running.result
    assert (row["status"], row["payload"]) == ("COMPLETED", "mine")
    text = running.stderr
    said = {"fail": "broken helper", "leave": "SystemExit"}.get(how, "longer than 0.3 s")
    assert said in text
    assert re.search(where if where.startswith("TASK") else "tasklet", text)
    assert marked(running.mark) == []


def test_a_hook_that_swallows_the_interruption(running: Running) -> None:
    """B1: a hook that catches every Exception is bounded all the same."""
    running.config(task("Python", "pass"), "hook_timeout: 0.3")
    begin = time.monotonic()
    running.start("Python", FAULTS_HOW="swallow", FAULTS_WHERE="TASK_STARTED")
    assert running.wait(40) == 0, running.stderr
    assert time.monotonic() - begin < 3 + SLACK


@pytest.mark.parametrize("answers", ["nothing", "500", "garbage", "drips"])
def test_an_elog_that_never_answers(running: Running, answers: str) -> None:
    """B1: an eLog that is broken or never answers is reported and bounded; the run's own outcome stands."""
    server = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{server.getsockname()[1]}"
    done = threading.Event()

    def serve() -> None:
        server.settimeout(0.1)
        kept = []
        while not done.is_set():
            with contextlib.suppress(TimeoutError, OSError):
                sock, _ = server.accept()
                kept.append(sock)
                if answers == "500":
                    sock.sendall(b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                elif answers == "garbage":
                    sock.sendall(b"\x00\xff" * 100)
                    sock.close()
                elif answers == "drips":
                    sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            for sock in kept if answers == "drips" else []:
                with contextlib.suppress(OSError):
                    sock.sendall(b"x")
        for sock in kept:
            sock.close()

    thread = threading.Thread(target=serve)
    thread.start()
    running.config(task("Python", "self._result.summary = {'peaks': 5}; self._result.payload = 3"))
    begin = time.monotonic()
    try:
        running.start("Python", LUTE_ELOG_URL=url, JID_UPDATE_COUNTERS=url)
        assert running.wait(25) == 0, running.stderr
    finally:
        done.set()
        thread.join()
        server.close()
    assert time.monotonic() - begin < 25
    row = running.result
    assert (row["status"], row["payload"], row["summary"]) == ("COMPLETED", 3, "peaks: 5")
    assert "eLog" in running.stderr, running.stderr


def test_a_page_that_cannot_be_made(running: Running) -> None:
    """B1: figures that fail while they are written are reported; the run's own outcome stands."""
    code = (
        "from lute import ElogSummaryPlots\n"
        "class Bad:\n    def savefig(self, *a, **k): raise RuntimeError('no ink')\n"
        "self._result.payload = ElogSummaryPlots('a/b', Bad())\n"
        "self._result.summary = ElogSummaryPlots('../../escape', 'x')"
    )
    running.config(task("Python", code))
    running.start("Python")
    assert running.wait(40) == 0, running.stderr
    assert running.result["status"] == "COMPLETED"
    assert "page" in running.stderr or "figures" in running.stderr, running.stderr
    escaped = [path for path in running.home.parent.parent.rglob("escape*") if not {"summary", "plots"} & {*path.parts}]
    assert not escaped


def test_graces_are_short() -> None:
    """These tests use short graces, so that a promise that is broken shows."""
    assert "terminate_grace: 1" in GRACES
