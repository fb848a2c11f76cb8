"""What the tests of the web page share: a real server in the background, and who asks it."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from conftest import LUTE, Project
from lute.record.store import Record


class Served:
    """A server that runs, and its token.

    Attributes:
        address: Where it is, without a path.
        token: Its token; None if it has none.
        process: Its process.
    """

    def __init__(self, told: dict[str, Any], process: subprocess.Popen[bytes]) -> None:
        self.url: str = told["url"]
        self.address: str = told["address"].rstrip("/")
        self.token: str | None = told["token"]
        self.process = process
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        self.known = httpx.Client(base_url=self.address, headers=bearer, timeout=30)
        self.stranger = httpx.Client(base_url=self.address, timeout=30)

    def get(self, path: str, **keywords: Any) -> httpx.Response:
        """Asks for a page, with the token."""
        return self.known.get(path, **keywords)

    def json(self, path: str, **params: Any) -> Any:
        """Returns what the API answers."""
        answer = self.get(path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def raw(self, path: str) -> tuple[int, bytes]:
        """Asks for a path exactly as it is written. Returns status and answer."""
        host, _, port = self.address.removeprefix("http://").partition(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {self.token}\r\nConnection: close\r\n\r\n"
            connection.sendall(head.encode())
            data = b"".join(iter(lambda: connection.recv(65536), b""))
        return int(data.split()[1]), data

    def events(self, path: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yields the server-sent events of a path: name and data."""
        with self.known.stream("GET", path) as answer:
            assert answer.headers["content-type"].startswith("text/event-stream")
            name = ""
            for line in answer.iter_lines():
                kind, _, text = line.partition(": ")
                if kind == "event":
                    name = text
                elif kind == "data":
                    yield name, json.loads(text)


@contextmanager
def serving(project: Project, *arguments: str) -> Iterator[Served]:
    """Runs `lute serve` on a free port; it must end well when it is told to."""
    command = [*LUTE, "serve", "--port", "0", "--json", *arguments]
    with open(project.folder / "serve.err", "wb") as errors:
        process = subprocess.Popen(
            command,
            cwd=project.folder,
            env=project.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    assert process.stdout is not None
    with process, process.stdout:
        text = b""
        while not text.rstrip().endswith(b"}"):
            line = process.stdout.readline()
            assert line, (project.folder / "serve.err").read_text()
            text += line
        served = Served(json.loads(text), process)
        try:
            yield served
        finally:
            served.known.close()
            served.stranger.close()
            process.send_signal(signal.SIGTERM)
            code = process.wait(20)
    told = (project.folder / "serve.err").read_text()
    assert code == 0, told
    assert "Traceback" not in told, told


def row(identity: str, **more: Any) -> dict[str, Any]:
    """Returns a recorded run; `more` replaces what it has."""
    second = int.from_bytes(identity.encode(), "big") % 86400
    started = f"2026-11-20T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}.000000Z"
    fixed: dict[str, Any] = {
        "id": identity,
        "task": "Count",
        "managed_task": "Counter",
        "experiment": "exp1",
        "run": "7",
    }
    fixed |= {"status": "COMPLETED", "reason": "exited with status 0", "summary": "s", "valid": True, "log": ""}
    fixed |= {"parameters": {"frames": 3, "lute_config": {}}, "started": started, "ended": started, "wall_s": 1.0}
    return fixed | {"metrics": {}, "plots": [], "attempt": 1, "host": "h", "pid": 1} | more


def record(place: Path | str, *rows: dict[str, Any]) -> None:
    """Records runs."""
    with Record(place) as kept:
        for one in rows:
            assert kept.save(one)
