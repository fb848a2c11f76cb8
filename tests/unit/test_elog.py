"""The eLog's functions, against a small real web server that answers as the LCLS logbook does (a fake)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from lute.io import elog


class FakeElog:
    """Keeps what was asked, and answers what it was told to."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.answer: tuple[int, Any] = (200, {"success": True, "value": None})
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                parts = urlsplit(self.path)
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                outer.requests.append(
                    {
                        "method": self.command,
                        "path": parts.path,
                        "query": parse_qs(parts.query),
                        "auth": self.headers.get("Authorization"),
                        "body": body,
                    }
                )
                status, content = outer.answer
                data = content if isinstance(content, bytes) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, *_: Any) -> None:
                """Keeps the test's output clean."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FakeElog]:
    server = FakeElog()
    monkeypatch.setenv("LUTE_WORK_DIR", str(tmp_path))
    monkeypatch.setenv("LUTE_ELOG_URL", f"{server.url}/lgbk/")
    yield server
    server.close()


def test_without_an_address_nothing_is_sent_and_it_is_told() -> None:
    """A5: the eLog is off unless configured."""
    assert elog.post_elog_message("exp1", "hello") is None
    assert elog.post_elog_run_status({"a": 1}) is None
    assert elog.get_elog_runs_by_tag("exp1", "good") == []


def test_message_has_tag_title_and_files(fake: FakeElog, tmp_path: Path) -> None:
    """A5: `post_elog_message` posts text, tag, title and attachments."""
    file = tmp_path / "figure.png"
    file.write_bytes(b"\x89PNG data")
    error = elog.post_elog_message("exp1", "done", tag="LUTE", title="Peaks", in_files=[(str(file), "the figure")])
    assert error is None
    request = fake.requests[0]
    assert request["path"] == "/lgbk/exp1/ws/new_elog_entry"
    for part in (b"done", b"LUTE", b"Peaks", b"the figure", b"\x89PNG data"):
        assert part in request["body"]


def test_missing_attachment_is_told(fake: FakeElog) -> None:
    """A5: a file that cannot be attached is an error message, not an exception."""
    assert "cannot be attached" in str(elog.post_elog_message("exp1", "x", in_files=["/no/such/file"]))
    assert fake.requests == []


def test_run_table_and_status(fake: FakeElog) -> None:
    """A5: run parameters and the job's status are posted as JSON."""
    assert elog.post_elog_run_table("exp1", 7, {"rate": 0.5}) is None
    assert elog.post_elog_run_status({"rate": 0.5}, update_url=f"{fake.url}/counters") is None
    table, status = fake.requests
    assert (table["path"], table["query"]) == ("/lgbk/run_control/exp1/ws/add_run_params", {"run_num": ["7"]})
    assert json.loads(table["body"]) == {"rate": 0.5}
    assert json.loads(status["body"]) == [{"key": "rate", "value": "0.5"}]


def test_getters(fake: FakeElog) -> None:
    """A5: runs by tag, parameters by run, workflows."""
    fake.answer = (200, {"success": True, "value": [3, 4]})
    assert elog.get_elog_runs_by_tag("exp1", "good") == [3, 4]
    rows = [{"num": 3, "params": {"energy": 9.5}}, {"num": 4, "params": {}}]
    fake.answer = (200, {"success": True, "value": rows})
    assert elog.get_elog_params_by_run("exp1", ["energy"], runs=[3]) == {3: {"energy": 9.5}}
    assert elog.get_elog_params_by_run("exp1", ["energy"]) == {3: {"energy": 9.5}, 4: {"energy": None}}
    fake.answer = (200, {"success": True, "value": [{"name": "index", "trigger": "MANUAL"}]})
    assert elog.get_elog_workflows("exp1") == {"index": {"name": "index", "trigger": "MANUAL"}}


def test_workflow_triggers(fake: FakeElog) -> None:
    """A5: `post_elog_workflow` knows the eLog's triggers, and refuses others before anything is sent."""
    trigger = {"trig_param": "SAMPLE", "trig_param_val": "lyso"}
    assert elog.post_elog_workflow("exp1", "index", "/bin/x", "-c y", trigger="param_is", **trigger) is None
    sent = json.loads(fake.requests[0]["body"])
    assert (sent["trigger"], sent["run_param_name"]) == ("RUN_PARAM_IS_VALUE", "SAMPLE")
    with pytest.raises(ValueError, match="trig_param"):
        elog.post_elog_workflow("exp1", "index", "/bin/x", "", trigger="param_is")
    with pytest.raises(ValueError, match="manual"):
        elog.post_elog_workflow("exp1", "index", "/bin/x", "", trigger="sometimes")
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ((500, {"success": False}), "500"),
        ((200, {"success": False, "error_msg": "no such run"}), "no such run"),
        ((200, b"<html>not JSON"), "eLog"),
    ],
)
def test_a_failure_is_told_and_never_raised(fake: FakeElog, answer: tuple[int, Any], told: str) -> None:
    """A5, B1: an eLog that fails is reported; it does not decide about a run."""
    fake.answer = answer
    assert told in str(elog.post_elog_run_table("exp1", 7, {}))


def test_a_server_that_is_down_is_told(fake: FakeElog, monkeypatch: pytest.MonkeyPatch) -> None:
    """B1: so is one that cannot be reached."""
    monkeypatch.setenv("LUTE_ELOG_URL", "http://127.0.0.1:9/lgbk")
    assert "eLog" in str(elog.post_elog_run_table("exp1", 7, {}))


@pytest.mark.parametrize(
    ("variables", "header"),
    [
        ({"LUTE_ELOG_TOKEN": "abc"}, "Bearer abc"),
        ({"LUTE_ELOG_USER": "mfxopr", "LUTE_ELOG_PASSWORD": "pw"}, "Basic bWZ4b3ByOnB3"),
        ({}, None),
    ],
)
def test_authorisation_comes_from_the_environment(
    fake: FakeElog, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], header: str | None
) -> None:
    """A5: by token, by name and password, or none."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    elog.post_elog_run_table("exp1", 7, {})
    assert fake.requests[0]["auth"] == header
