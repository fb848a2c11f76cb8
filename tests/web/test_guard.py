"""Who may look at `lute serve`'s pages, who may change something, and what a browser is told."""

from __future__ import annotations

import signal
import socket
import stat
import time
from pathlib import Path

import httpx
import pytest

from conftest import Project
from process.helpers import start, wait_until
from web.helpers import Served, record, row, serving


@pytest.mark.parametrize("path", ["/", "/runs/last", "/api/runs", "/api/runs/last/events", "/summary/", "/nothing"])
def test_nobody_sees_a_page_without_the_token(served: Served, path: str) -> None:
    """B4: it asks for the token."""
    assert served.stranger.get(path).status_code == 401
    wrong = {"Authorization": f"Bearer {served.token}x"}
    assert served.stranger.get(path, headers=wrong).status_code == 401
    assert served.stranger.get(path, params={"token": "é"}).status_code == 401
    assert (
        served.stranger.get(path, headers={"Cookie": f"lute_{served.address.rpartition(':')[2]}=x"}).status_code == 401
    )


def test_the_token_becomes_a_cookie_and_leaves_the_address(served: Served) -> None:
    """B4: the printed URL has the token, which does not stay in the address."""
    first = httpx.get(served.url, params={"view": "list", "token": served.token or ""})
    assert first.status_code == 303
    assert first.headers["location"] == "/?view=list"
    cookie = first.headers["set-cookie"]
    assert "httponly" in cookie.lower()
    assert "samesite=strict" in cookie.lower()
    assert served.token is not None
    assert served.token not in cookie
    name_and_value = cookie.partition(";")[0]
    with httpx.Client(base_url=served.address, headers={"Cookie": name_and_value}) as visitor:
        assert visitor.get("/").status_code == 200


def test_a_path_with_two_slashes_leads_to_no_other_server(served: Served) -> None:
    """B4: the redirect stays on this server."""
    status, answer = served.raw(f"//elsewhere.example/?token={served.token}")
    assert status == 303
    assert b"\r\nlocation: /elsewhere.example/\r\n" in answer


@pytest.mark.parametrize(
    ("host", "code"),
    [
        ("127.0.0.1", 200),
        ("127.0.0.1:1", 200),
        ("LOCALHOST:8080", 200),
        ("[::1]:8080", 200),
        ("lab.example", 200),
        ("evil.example", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1:80:80", 421),
        ("localhost:x", 421),
        ("[::1]evil", 421),
        ("", 421),
    ],
)
def test_a_host_that_is_not_its_own_is_refused(named: Served, host: str, code: int) -> None:
    """B4: it refuses a Host header that is not its own."""
    assert named.get("/api/tasks", headers={"Host": host}).status_code == code


@pytest.fixture(scope="module")
def named(ran: Project) -> object:
    """A server with one more name."""
    with serving(ran, "-c", "config.yaml", "--allow-host", "Lab.example") as found:
        yield found


@pytest.mark.parametrize(
    "path", ["/", "/runs/last", "/nothing", "/api/runs", "/api/nothing", "/static/lute.js", "/runs/last/log"]
)
def test_every_answer_has_the_headers(served: Served, path: str) -> None:
    """B4: a strict content security policy, also where something is refused."""
    host = {"Host": "evil.example"}
    for answer in (served.get(path), served.stranger.get(path), served.get(path, headers=host)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers.get("access-control-allow-origin") is None


def check_of(served: Served, path: str) -> str:
    """Returns what the form of a run's page proves itself with."""
    text = served.get(path).text
    return text.partition('name="check" value="')[2].partition('"')[0]


def test_another_sites_post_changes_nothing(served: Served) -> None:
    """B4: actions only with the token and a POST of our own."""
    [run] = served.json("/api/runs", task="Counter", limit=1)["runs"]
    path, check = f"/runs/{run['id']}", check_of(served, f"/runs/{run['id']}")
    assert len(check) == 64
    form = {"reason": "wrong beam", "check": check}
    cookie = httpx.get(served.url).headers["set-cookie"].partition(";")[0]
    with httpx.Client(base_url=served.address, headers={"Cookie": cookie}) as browser:
        assert (
            browser.post(f"{path}/invalidate", data=form, headers={"Origin": "http://evil.example"}).status_code == 403
        )
        assert browser.post(f"{path}/invalidate", data={"reason": "x"}).status_code == 403
        assert browser.post(f"{path}/invalidate", data={"reason": "x", "check": "0" * 64}).status_code == 403
        assert browser.get(f"{path}/invalidate", params=form).status_code == 405
    assert served.stranger.post(f"{path}/invalidate", data=form).status_code == 401
    assert (
        served.known.post(f"{path}/invalidate", data=form, headers={"Origin": "http://evil.example"}).status_code == 403
    )
    assert served.json(f"/api{path}")["valid"] is True
    with httpx.Client(base_url=served.address, headers={"Cookie": cookie}) as browser:
        assert browser.post(f"{path}/invalidate", data=form, headers={"Origin": served.address}).status_code == 303
    found = served.json(f"/api{path}")
    assert (found["valid"], found["invalid_reason"]) == (False, "wrong beam")
    assert served.known.post(f"{path}/restore").json() == {"id": run["id"], "done": "restore"}
    assert served.json(f"/api{path}")["valid"] is True


@pytest.mark.parametrize(
    ("action", "task", "told"),
    [
        ("cancel", "Counter", "nothing to cancel"),
        ("invalidate", "Counter", "say why"),
        ("invalidate", "Breaker", "only what completed"),
        ("restore", "Breaker", "only what completed"),
        ("remove", "Counter", "nothing called 'remove'"),
    ],
)
def test_what_cannot_be_done_says_why(served: Served, action: str, task: str, told: str) -> None:
    """B4: an action that makes no sense is refused in words."""
    [run] = served.json("/api/runs", task=task, limit=1)["runs"]
    answer = served.known.post(f"/runs/{run['id']}/{action}", data={"reason": "x"} if task == "Breaker" else {})
    assert answer.status_code == 400
    assert told in answer.text.replace("&#39;", "'")


def test_without_a_token_everybody_looks_and_nobody_acts(project: Project) -> None:
    """B4: `--no-token`."""
    record(project.folder / "lute.db", row("aaaaaaaaaaaa"))
    with serving(project, "--no-token") as served:
        assert served.token is None
        assert served.stranger.get("/api/runs").json()["runs"][0]["valid"] is True
        assert '<form class="act"' not in served.stranger.get("/runs/aaaaaaaaaaaa").text
        for headers in ({}, {"Authorization": "Bearer x"}, {"Origin": served.address}):
            answer = served.stranger.post("/runs/aaaaaaaaaaaa/invalidate", data={"reason": "x"}, headers=headers)
            assert answer.status_code == 403
        assert served.stranger.get("/api/runs/aaaaaaaaaaaa").json()["valid"] is True


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1"])
def test_on_another_address_the_token_cannot_be_turned_off(project: Project, host: str) -> None:
    """B4: on another address than the loopback the token cannot be turned off."""
    outcome = project.lute("serve", "--port", "0", "--host", host, "--no-token")
    assert outcome.code == 2, outcome
    assert "loopback" in outcome.err


def test_a_record_that_is_not_there_is_not_served(project: Project) -> None:
    """B4: `--db` with no record there, as with every other command."""
    outcome = project.lute("serve", "--port", "0", "--db", "nope.db", "--json", timeout=10)
    assert outcome.code == 2, outcome
    assert "there is no record at" in outcome.json["error"]


def test_the_token_file_is_made_for_its_owner_alone_and_used_again(project: Project) -> None:
    """B4: `--token-file`."""
    place = project.folder / "token"
    for _ in range(2):
        with serving(project, "--token-file", "token") as served:
            assert place.read_text().strip() == served.token
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    place.chmod(0o640)
    outcome = project.lute("serve", "--port", "0", "--token-file", "token")
    assert outcome.code == 2
    assert "chmod 600" in outcome.err
    place.chmod(0o600)
    place.write_text("short\n")
    assert "at least 16" in project.lute("serve", "--port", "0", "--token-file", "token").err


def test_a_taken_port_is_told(project: Project) -> None:
    """B4: the port."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        outcome = project.lute("serve", "--port", str(taken.getsockname()[1]))
    assert outcome.code == 2
    assert "--port 0" in outcome.err
    assert project.lute("serve", "--port", "70000").code == 2
    assert project.lute("serve", "--port", "0", "--host", "192.0.2.1").code == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_ends_at_once_also_with_open_streams(lab: Project, number: signal.Signals) -> None:
    """B4: Ctrl-C and SIGTERM end it."""
    gate = lab.folder / f"go-{number.name}"
    run = start(lab, "run", "Counter", "-c", "config.yaml", "-q", "-s", f"Count.go_on={gate}")
    try:
        wait_until(lambda: '"RUNNING"' in lab.lute("history", "--json").out, "the run is recorded")
        with serving(lab, "-c", "config.yaml") as served:
            events = served.events("/api/runs/last/events")
            assert next(events)[0] == "state"
            began = time.monotonic()
            served.process.send_signal(number)
            assert served.process.wait(20) == 0
            assert time.monotonic() - began < 2.5
            events.close()
    finally:
        gate.touch()
        run.communicate(timeout=30)


def test_the_address_is_printed_once_for_people(project: Project) -> None:
    """B4: prints a URL with a token."""
    process = start(project, "serve", "--port", "0")
    assert process.stdout is not None
    line = process.stdout.readline().decode()
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=20)[1]
    assert line.startswith("Open http://127.0.0.1:")
    assert len(line.partition("?token=")[2].strip()) >= 32
    assert process.returncode == 0, err
    assert not Path(project.folder / "lute.db").exists(), "looking makes no record"
