"""Fakes and helpers for the tests of plug-ins. The standard library is all they need.

`FakeElog` is a fake eLog: a real web server on this machine that keeps what is posted to it.

    >>> with FakeElog() as elog:
    ...     elog.url.startswith("http://127.0.0.1:")
    True
"""

from __future__ import annotations

import base64
import contextlib
import json
import re
import ssl
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypedDict
from urllib.parse import parse_qs, unquote, urlsplit

__all__ = ["FakeElog", "Seen"]

Judge = Callable[[str | None], tuple[bool, Mapping[str, str]]]
"""Takes the header `Authorization`; returns whether it is right, and headers for the answer."""


class MessageFile(TypedDict):
    """A file that was posted with a message."""

    name: str
    type: str
    data: bytes


class Message(TypedDict):
    """A message that was posted; `key` tells a post that came twice."""

    experiment: str
    text: str
    tags: str
    title: str
    files: list[MessageFile]
    key: str


_ENTRY = re.compile(r"/(?P<experiment>[^/]+)/ws/(?P<endpoint>[^/]+)")


@dataclass(frozen=True)
class Seen:
    """One request as it came in.

    Attributes:
        method: `GET` or `POST`.
        path: Its path, without what follows `?`.
        query: What follows `?`, each name with its first value.
        headers: Its headers, by their names in small letters.
        body: Its bytes.
        status: The status of the answer.
    """

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes
    status: int

    @property
    def key(self) -> str:
        """What tells a post from every other; the same when it is sent again."""
        return self.headers.get("idempotency-key", "")


class FakeElog:
    """A fake eLog with the endpoints that `lute.publish.elog` uses. It is a context manager.

    Args:
        port: Where it listens on 127.0.0.1; 0 for any free port.
        user: With `password`: who does not log in as this user gets 401.
        password: The user's password.
        token: Who does not send this token gets 401.
        judge: Decides who may post, instead of the three above.
        certificate: File with a key and a certificate, to speak https.

    Attributes:
        arrived: How many requests came in, those that hang counted.
        requests: The requests that were answered, in that order.
        messages: Posted messages: dicts with `experiment`, `text`, `tags`, `title`, `files` (each with `name`, `type`
            and `data`) and `key`.
        run_tables: Values in the run table, by experiment and run.
        run_parameters: What was posted to `counters_url`, a dict each time.
        workflows: Workflow definitions by experiment, then by name.
        tags: Runs by experiment and tag, for you to fill.
    """

    def __init__(
        self,
        port: int = 0,
        *,
        user: str | None = None,
        password: str = "",
        token: str | None = None,
        judge: Judge | None = None,
        certificate: str | None = None,
    ) -> None:
        self.arrived = 0
        self.requests: list[Seen] = []
        self.messages: list[Message] = []
        self.run_tables: dict[tuple[str, int], dict[str, Any]] = {}
        self.run_parameters: list[dict[str, str]] = []
        self.workflows: dict[str, dict[str, dict[str, str]]] = {}
        self.tags: dict[tuple[str, str], list[int]] = {}
        expected = f"Bearer {token}" if token is not None else _basic(user, password) if user is not None else None
        self._judge = judge or (lambda sent: (expected in (None, sent), {"WWW-Authenticate": "Basic"}))
        self._changed = threading.Condition()
        self._answers: list[tuple[int, Mapping[str, str], bytes | None]] = []
        self._go_on, self._closed = threading.Event(), False
        self._go_on.set()
        self._server = _Server(("127.0.0.1", port), _handler_of(self))
        self._scheme = "https" if certificate else "http"
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    # ------------------------------------------------------------------------------------- for tests

    @property
    def port(self) -> int:
        """The port it listens on."""
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        """Its address, for `LUTE_ELOG_URL` or a facility's `elog_url`."""
        return f"{self._scheme}://127.0.0.1:{self.port}/lgbk"

    @property
    def counters_url(self) -> str:
        """The address of a job's status, for `JID_UPDATE_COUNTERS`."""
        return f"{self._scheme}://127.0.0.1:{self.port}/jid/replace_counters/1"

    def answer(
        self, status: int, times: int = 1, headers: Mapping[str, str] | None = None, body: bytes | None = None
    ) -> None:
        """Has the next requests answered with a status, and nothing kept of them.

        Args:
            status: The status, such as 503.
            times: How many requests.
            headers: Headers of the answer, such as `{"Retry-After": "2"}`.
            body: The answer; JSON that says what is wrong if not given.
        """
        self._answers += [(status, headers or {}, body)] * times

    def hang(self) -> None:
        """Has every request wait, until `go_on()`. Then it is answered as usual, and what it posts is kept."""
        self._go_on.clear()

    def go_on(self) -> None:
        """Ends what `hang()` began."""
        self._go_on.set()

    def wait_for(self, condition: Callable[[FakeElog], Any], seconds: float = 20) -> Any:
        """Waits until a condition is true; it is asked when a request has come in. Returns what it gave.

        Raises:
            TimeoutError: It was not true in time.
        """
        with self._changed:
            found = self._changed.wait_for(lambda: condition(self), seconds)
        if not found:
            raise TimeoutError(f"after {seconds:g} s still not so; the requests: {self.requests}")
        return found

    def close(self) -> None:
        """Stops it; requests that hang are dropped. Its port is free for another."""
        self._closed = True
        self._go_on.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> FakeElog:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    # ------------------------------------------------------------------------------------- answering

    def _take(self, method: str, url: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes, dict[str, str]]:
        """Takes one request. Returns status, bytes and headers of the answer."""
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        with self._changed:
            self.arrived += 1
            self._changed.notify_all()
        self._go_on.wait()
        if self._closed:
            raise ConnectionAbortedError("the fake is gone")
        with self._changed:
            right, told = self._judge(headers.get("authorization"))
            if self._answers:
                status, told, data = self._answers.pop(0)
                answer: Any = {"success": False, "error_msg": f"the fake was told to answer {status}"}
            elif not right:
                status, data, answer = 401, None, {"success": False, "error_msg": "log in"}
            else:
                status, data = 200, None
                answer = self._do(Seen(method, unquote(parts.path), query, headers, body, 200))
                status = 404 if answer is None else 200
            self.requests.append(Seen(method, parts.path, query, headers, body, status))
            self._changed.notify_all()
        return status, json.dumps(answer).encode() if data is None else data, dict(told)

    def _do(self, seen: Seen) -> object:
        """Does what an eLog would. Returns the answer; None if there is no such endpoint."""
        if seen.path == urlsplit(self.counters_url).path and seen.method == "POST":
            self.run_parameters.append({item["key"]: item["value"] for item in json.loads(seen.body)})
            return {"success": True}
        match = _ENTRY.search(seen.path)
        does = self._endpoints().get((seen.method, match["endpoint"])) if match else None
        return {"success": True, "value": does(match["experiment"], seen)} if does and match else None

    def _endpoints(self) -> dict[tuple[str, str], Callable[[str, Seen], Any]]:
        return {
            ("POST", "new_elog_entry"): self._new_message,
            ("POST", "add_run_params"): self._add_run_params,
            ("POST", "create_update_workflow_def"): self._new_workflow,
            ("GET", "get_runs_with_tag"): lambda experiment, seen: self.tags.get((experiment, seen.query["tag"]), []),
            ("GET", "workflow_definitions"): lambda experiment, _: list(self.workflows.get(experiment, {}).values()),
            ("GET", "runs"): self._runs,
        }

    def _new_message(self, experiment: str, seen: Seen) -> None:
        fields, files = _form(seen)
        text, tags, title = (fields.get(name, "") for name in ("log_text", "log_tags", "log_title"))
        self.messages.append(
            {"experiment": experiment, "text": text, "tags": tags, "title": title, "files": files, "key": seen.key}
        )

    def _add_run_params(self, experiment: str, seen: Seen) -> None:
        self.run_tables.setdefault((experiment, int(seen.query["run_num"])), {}).update(json.loads(seen.body))

    def _new_workflow(self, experiment: str, seen: Seen) -> None:
        definition = json.loads(seen.body)
        self.workflows.setdefault(experiment, {})[definition["name"]] = definition

    def _runs(self, experiment: str, seen: Seen) -> list[object]:
        return [{"num": run, "params": values} for (name, run), values in self.run_tables.items() if name == experiment]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says nothing: a client that goes away is what tests are about."""


def _handler_of(fake: FakeElog) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, data, told = fake._take(self.command, self.path, headers, body)
            with contextlib.suppress(OSError):  # the client did not wait
                self.send_response(status)
                for name, value in told.items():
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        do_GET = do_POST

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    return Handler


def _basic(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _form(seen: Seen) -> tuple[dict[str, str], list[MessageFile]]:
    """Returns the fields and the files of a form."""
    kind = seen.headers.get("content-type", "")
    boundary = re.search(r'boundary="?([^";]+)', kind)
    if boundary is None:
        return {name: values[0] for name, values in parse_qs(seen.body.decode()).items()}, []
    fields: dict[str, str] = {}
    files: list[MessageFile] = []
    for part in seen.body.split(b"--" + boundary[1].encode())[1:-1]:
        head, _, data = part.removeprefix(b"\r\n").partition(b"\r\n\r\n")
        about, data = head.decode(), data.removesuffix(b"\r\n")
        name, file = (re.search(rf'\b{word}="([^"]*)"', about) for word in ("name", "filename"))
        if file is not None:
            media = re.search(r"Content-Type: *([^\r\n]+)", about, re.IGNORECASE)
            files.append({"name": file[1], "type": media[1] if media else "", "data": data})
        elif name is not None:
            fields[name[1]] = data.decode()
    return fields, files
