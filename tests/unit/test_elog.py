"""The eLog's functions, against a fake eLog: a real web server on this machine."""

from __future__ import annotations

import json
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lute import facility
from lute.publish import elog
from lute.publish.outbox import Outbox
from lute.testing import FakeElog

DOWN = "http://127.0.0.1:9/lgbk"
"""Nobody listens there."""


@pytest.fixture(autouse=True)
def _work_dir(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUTE_WORK_DIR", str(tmp_path))
    monkeypatch.delenv("JID_UPDATE_COUNTERS", raising=False)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeElog]:
    with FakeElog() as server:
        monkeypatch.setenv("LUTE_ELOG_URL", f"{server.url}/")
        yield server


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path)


# ---------------------------------------------------------------------------------------- off, and posts


def test_without_an_address_a_post_does_nothing_and_a_question_tells(
    caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """A5: the eLog is off unless configured: a post says so at DEBUG, a question gives nothing and a warning."""
    caplog.set_level(logging.DEBUG, "lute")
    assert elog.post_elog_message("exp1", "hello") is None
    assert elog.post_elog_run_table("exp1", 1, {"a": 1}) is None
    assert elog.post_elog_run_status({"a": 1}) is None
    assert elog.post_elog_workflow("exp1", "index", "/bin/x", "") is None
    assert [record.levelno for record in caplog.records] == [logging.DEBUG] * 4
    assert list(tmp_path.iterdir()) == []
    assert elog.get_elog_runs_by_tag("exp1", "good") == []
    assert "no eLog is configured" in caplog.records[-1].getMessage()
    assert caplog.records[-1].levelno == logging.WARNING


def test_httpx_is_imported_only_for_a_request(tmp_path: Path) -> None:
    """A5: nothing that is not needed is loaded: httpx is when a request is made."""
    code = (
        "import sys; from lute.io import elog; elog.post_elog_message('e', 'x'); assert 'httpx' not in sys.modules;"
        f"import os; os.environ['LUTE_ELOG_URL'] = {DOWN!r};"
        "elog.post_elog_message('e', 'x'); assert 'httpx' in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, capture_output=True, cwd=tmp_path)


def test_without_httpx_a_post_is_kept_and_it_is_told_what_to_install(tmp_path: Path, outbox: Outbox) -> None:
    """A5: a missing package is an error that says what to install; the post is kept."""
    code = "import sys; sys.modules['httpx'] = None; from lute.io import elog; print(elog.post_elog_message('e', 'x'))"
    env = {**os.environ, "LUTE_ELOG_URL": DOWN}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=True, capture_output=True, text=True)
    assert "pip install 'lute-executor[elog]'" in done.stdout
    assert len(outbox.names()) == 1


def test_message_has_tag_title_and_files(fake: FakeElog, tmp_path: Path) -> None:
    """A5: `post_elog_message` posts text, tag, title and attachments, byte for byte."""
    data = bytes(range(256)) + b"\r\n--\r\n\n\r\x00"
    file, other = tmp_path / "figure.png", tmp_path / "notes é.txt"
    file.write_bytes(data)
    other.write_bytes(b"")
    text = 'it\'s "done": 50 % & more\né\x00'
    assert elog.post_elog_message("exp1", text, tag="LUTE", title="Peaks", in_files=[(str(file), "the figure")]) is None
    assert elog.post_elog_message("exp1", text, in_files=[str(other), [str(file), "again"]]) is None
    first, second = fake.messages
    assert first.pop("key") != second.pop("key")
    assert first == {
        "experiment": "exp1",
        "text": text,
        "tags": "LUTE",
        "title": "Peaks",
        "files": [{"name": "the figure", "type": "image/png", "data": data}],
    }
    assert [(item["name"], item["data"]) for item in second["files"]] == [("notes é.txt", b""), ("again", data)]
    assert (second["tags"], second["title"]) == ("", "")


def test_message_without_files_is_a_plain_form(fake: FakeElog) -> None:
    """A5: text that is no UTF-8 is sent as what can be sent."""
    assert elog.post_elog_message("exp1", "a\udcffb") is None
    assert fake.messages[0]["text"] == "a\\udcffb"


def test_missing_attachment_is_told(fake: FakeElog, outbox: Outbox) -> None:
    """A5: a file that cannot be attached is an error message, not an exception; nothing is sent or kept."""
    assert "/no/such/file cannot be attached" in str(elog.post_elog_message("exp1", "x", in_files=["/no/such/file"]))
    assert (fake.arrived, outbox.names()) == (0, [])


@pytest.mark.parametrize("value", [0, False, "", None, "it's", "é", [1, {"a": 2}], 0.5])
def test_run_table_and_status(fake: FakeElog, value: Any) -> None:
    """A5: run parameters and the job's status are posted as JSON."""
    assert elog.post_elog_run_table("exp1", 7, {"rate": value}) is None
    assert elog.post_elog_run_status({"rate": value}, update_url=fake.counters_url) is None
    assert fake.run_tables == {("exp1", 7): {"rate": value}}
    assert fake.run_parameters == [{"rate": str(value)}]


def test_values_that_are_no_json(fake: FakeElog, tmp_path: Path) -> None:
    """A4: a summary may hold numbers of numpy, paths, what is not a number."""
    numpy = pytest.importorskip("numpy")
    values = {"n": numpy.float64(0.25), "i": numpy.int32(3), "path": tmp_path, "nan": float("nan")}
    assert elog.post_elog_run_table("exp1", 7, values) is None
    assert fake.run_tables[("exp1", 7)] == {"n": 0.25, "i": 3, "path": str(tmp_path), "nan": "nan"}


def test_status_goes_where_the_job_says(fake: FakeElog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: the address comes from `JID_UPDATE_COUNTERS`; an eLog need not be configured."""
    monkeypatch.delenv("LUTE_ELOG_URL")
    monkeypatch.setenv("JID_UPDATE_COUNTERS", fake.counters_url)
    assert elog.post_elog_run_status({"peaks": 5}) is None
    assert fake.run_parameters == [{"peaks": "5"}]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("ftp://host/x", "expected http:// or https://"),
        ("http://", "expected http:// or https://"),
        ("http://[::1", "expected http:// or https://"),
        ("https://ada:hunter22@host/x", "has a user or password in it"),
        ("https://host/x?token=sesame-sesame", "has a secret of the environment in it"),
    ],
)
def test_an_address_of_a_status_that_must_not_be_kept(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, url: str, told: str
) -> None:
    """B5: an address that is none, or that has a secret in it, is refused before anything is written."""
    monkeypatch.setenv("JID_TOKEN", "sesame-sesame")
    error = str(elog.post_elog_run_status({"a": 1}, update_url=url))
    assert told in error
    assert "hunter22" not in error
    assert "sesame" not in error
    assert outbox.names() == []


def test_questions(fake: FakeElog) -> None:
    """A5: runs by tag, parameters by run, workflows."""
    fake.tags["exp1", "good one"] = [3, 4]
    assert elog.get_elog_runs_by_tag("exp1", "good one") == [3, 4]
    assert elog.get_elog_runs_by_tag("exp1", "bad") == []
    fake.run_tables = {("exp1", 3): {"energy": 9.5}, ("exp1", 4): {}, ("exp2", 5): {}}
    assert elog.get_elog_params_by_run("exp1", ["energy"], runs=[3]) == {3: {"energy": 9.5}}
    assert elog.get_elog_params_by_run("exp1", ["energy"]) == {3: {"energy": 9.5}, 4: {"energy": None}}
    assert elog.get_elog_workflows("exp1") == {}
    assert elog.post_elog_workflow("exp1", "index", "/bin/x", "-c y", trigger="manual") is None
    assert elog.get_elog_workflows("exp1")["index"]["trigger"] == "MANUAL"
    assert [seen.key for seen in fake.requests if seen.method == "GET"] == [""] * 6


@pytest.mark.parametrize("value", [{"a": 1}, "text", 5, [5, None, "x", {"num": 3, "params": []}, {"name": "w"}]])
def test_answers_that_nobody_expects(fake: FakeElog, value: Any) -> None:
    """A5: an answer of another shape never raises."""
    for ask in (
        lambda: elog.get_elog_runs_by_tag("exp1", "good"),
        lambda: elog.get_elog_params_by_run("exp1", ["energy"]),
        lambda: elog.get_elog_workflows("exp1"),
    ):
        fake.answer(200, body=json.dumps({"success": True, "value": value}).encode())
        assert isinstance(ask(), (list, dict))


def test_names_cannot_leave_their_place_in_an_address(fake: FakeElog) -> None:
    """B5: the name of an experiment is one part of a path, whatever is in it."""
    elog.post_elog_message("../x?y#z", "hello")
    assert fake.requests[0].path.endswith("/lgbk/..%2Fx%3Fy%23z/ws/new_elog_entry")


def test_workflow_triggers(fake: FakeElog) -> None:
    """A5: `post_elog_workflow` knows the eLog's triggers, and refuses others before anything is sent."""
    trigger = {"trig_param": "SAMPLE", "trig_param_val": "lyso"}
    assert elog.post_elog_workflow("exp1", "index", "/bin/x", "-c y", trigger="param_is", **trigger) is None
    assert fake.workflows["exp1"]["index"] == {
        "name": "index",
        "executable": "/bin/x",
        "parameters": "-c y",
        "trigger": "RUN_PARAM_IS_VALUE",
        "location": "S3DF",
        "run_param_name": "SAMPLE",
        "run_param_value": "lyso",
    }
    with pytest.raises(ValueError, match="trig_param"):
        elog.post_elog_workflow("exp1", "index", "/bin/x", "", trigger="param_is")
    with pytest.raises(ValueError, match="manual"):
        elog.post_elog_workflow("exp1", "index", "/bin/x", "", trigger="sometimes")
    assert fake.arrived == 1


# --------------------------------------------------------------------------------- what is not taken


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (400, None, "400 Bad Request: the fake was told to answer 400"),
        (404, b"", "404"),
        (302, b"", "302"),
        (200, b'{"success": false, "error_msg": "no such run"}', "no such run"),
        (200, b'{"success": false}', "refused"),
        (200, b"<html>log in", "is no JSON"),
    ],
)
def test_what_will_never_be_taken_is_put_away(
    fake: FakeElog, outbox: Outbox, caplog: pytest.LogCaptureFixture, status: int, body: bytes | None, told: str
) -> None:
    """A5, B1: a refusal is told once, with the reason, and never raised; what comes behind goes on."""
    fake.answer(status, body=body)
    assert told in str(elog.post_elog_run_table("exp1", 7, {"a": 1}))
    assert [told in text for text in caplog.messages] == [True]
    assert elog.post_elog_run_table("exp1", 7, {"b": 2}) is None
    assert fake.run_tables == {("exp1", 7): {"b": 2}}
    (refused,) = outbox.refused()
    assert told in refused["why"]
    assert (refused["kind"], refused["experiment"], outbox.names()) == ("run_table", "exp1", [])
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("status", [500, 502, 503, 429])
def test_what_may_be_taken_later_is_kept_in_order(fake: FakeElog, outbox: Outbox, status: int) -> None:
    """A5: the next post sends first what was not taken, with the same key."""
    fake.answer(status)
    assert str(status) in str(elog.post_elog_message("exp1", "first"))
    assert len(outbox.names()) == 1
    assert elog.post_elog_message("exp1", "second") is None
    assert [message["text"] for message in fake.messages] == ["first", "second"]
    assert outbox.names() == []
    keys = [seen.key for seen in fake.requests]
    assert keys[0] == keys[1] != keys[2]
    assert len(keys[0]) == 16


def test_an_elog_that_wants_to_be_left_alone(fake: FakeElog, outbox: Outbox) -> None:
    """A5: `Retry-After` is believed: nothing of that kind is sent before, and other kinds are."""
    fake.answer(429, headers={"Retry-After": "100"})
    assert "429" in str(elog.post_elog_message("exp1", "first"))
    told = str(elog.post_elog_message("exp1", "second"))
    assert "the next try is in 100 s" in told or "the next try is in 99 s" in told
    assert elog.post_elog_run_table("exp1", 7, {"a": 1}) is None
    assert (fake.arrived, len(outbox.names())) == (2, 2)


@pytest.mark.parametrize(
    ("header", "least", "most"),
    [
        ("0", 0, 0),
        ("7", 6, 7),
        ("99999999", 3599, 3600),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0, 0),
        ("Wed, 21 Oct 2099 07:28:00 GMT", 3599, 3600),
        ("soon", 0, 0),
        ("", 0, 0),
    ],
)
def test_retry_after_is_a_number_or_a_date(
    fake: FakeElog, outbox: Outbox, header: str, least: float, most: float
) -> None:
    """A5: an absurd wish is not believed for more than an hour."""
    fake.answer(503, headers={"Retry-After": header})
    elog.post_elog_message("exp1", "x")
    (waiting,) = outbox.waiting()
    assert least - 1 <= waiting["not_before"] - time.time() <= most


def test_a_server_that_is_down(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """B1: a server that cannot be reached is told; the post is kept, with its attachment."""
    monkeypatch.setenv("LUTE_ELOG_URL", DOWN)
    file = Path(os.environ["LUTE_WORK_DIR"]) / "a.txt"
    file.write_text("as it was")
    told = str(elog.post_elog_message("exp1", "x", in_files=[str(file)]))
    assert "ConnectError" in told
    assert f"kept in {outbox.folder}" in told
    file.unlink()
    with FakeElog() as fake:
        monkeypatch.setenv("LUTE_ELOG_URL", fake.url)
        assert elog.post_elog_message("exp1", "y") is None
        assert [message["text"] for message in fake.messages] == ["x", "y"]
        assert fake.messages[0]["files"][0]["data"] == b"as it was"


@pytest.mark.parametrize("url", ["ftp://host", "nonsense", "http://", "https://ada:hunter22@127.0.0.1:1/x"])
def test_a_bad_address_keeps_the_post(outbox: Outbox, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """A5: what is wrong with the address can be put right, so nothing is lost; its password is not shown."""
    monkeypatch.setenv("LUTE_ELOG_URL", url)
    told = str(elog.post_elog_message("exp1", "x"))
    assert "the address" in told
    assert "hunter22" not in told
    assert len(outbox.names()) == 1


def test_no_time_at_all_keeps_it(fake: FakeElog, outbox: Outbox) -> None:
    """A5: `wait=0` writes the post and sends nothing."""
    assert "not tried" in str(elog.post_elog_message("exp1", "x", wait=0))
    assert (fake.arrived, len(outbox.names())) == (0, 1)


def test_a_hanging_server_costs_the_time_that_is_given(fake: FakeElog, outbox: Outbox) -> None:
    """A5: a post waits no longer than it was told, a question 5 s."""
    fake.hang()
    begin = time.monotonic()
    assert "no answer within 0.5 s" in str(elog.post_elog_message("exp1", "x", wait=0.5))
    assert 0.3 < time.monotonic() - begin < 2
    assert len(outbox.names()) == 1


def test_a_folder_that_cannot_keep_it_sends_it_all_the_same(
    fake: FakeElog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A5: an outbox that cannot be written does not hold a post; a post that is then not taken is said to be lost."""
    missing = tmp_path / "missing"
    assert elog.post_elog_message("exp1", "x", work_dir=missing) is None
    assert [message["text"] for message in fake.messages] == ["x"]
    monkeypatch.setenv("LUTE_ELOG_URL", DOWN)
    assert "The post is lost" in str(elog.post_elog_message("exp1", "x", work_dir=missing))
    assert not missing.exists()


def test_files_follow_the_folder(tmp_path: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: what is kept has the group bits of the work folder, and others get nothing."""
    tmp_path.chmod(0o775)
    monkeypatch.setenv("LUTE_ELOG_URL", DOWN)
    elog.post_elog_message("exp1", "x")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in outbox.folder.iterdir()}
    assert stat.S_IMODE(outbox.folder.stat().st_mode) == 0o770
    assert set(modes.values()) == {0o660}
    assert len(modes) == 3


# ------------------------------------------------------------------------------------------- logging in


def test_login_by_password(fake: FakeElog, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: basic: user and password of the environment."""
    with FakeElog(user="mfxopr", password="päss wörd") as guarded:
        monkeypatch.setenv("LUTE_ELOG_URL", guarded.url)
        assert "401" in str(elog.post_elog_message("exp1", "x"))
        monkeypatch.setenv("LUTE_ELOG_USER", "mfxopr")
        monkeypatch.setenv("LUTE_ELOG_PASSWORD", "wrong-one")
        told = str(elog.post_elog_message("exp1", "x"))
        assert "401" in told
        assert "wrong-one" not in told
        monkeypatch.setenv("LUTE_ELOG_PASSWORD", "päss wörd")
        assert elog.post_elog_message("exp1", "y") is None
        assert [message["text"] for message in guarded.messages] == ["y"]


@pytest.mark.parametrize("login", ["token", "basic"])
def test_login_by_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, login: str) -> None:
    """A5: the password or the token may be the first line of a file."""
    file = tmp_path / "login"
    file.write_text("sesame-sesame\nmore\n")
    file.chmod(0o600)
    monkeypatch.setenv("LUTE_ELOG_LOGIN", login)
    monkeypatch.setenv("LUTE_ELOG_USER", "ada")
    monkeypatch.setenv("LUTE_ELOG_LOGIN_FILE", str(file))
    how: dict[str, Any] = (
        {"token": "sesame-sesame"} if login == "token" else {"user": "ada", "password": "sesame-sesame"}
    )
    with FakeElog(**how) as guarded:
        monkeypatch.setenv("LUTE_ELOG_URL", guarded.url)
        assert elog.post_elog_message("exp1", "x") is None


def test_login_by_what_the_facility_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A5: a site's plug-in says where the eLog is and how one logs in; names are filled in."""
    file = tmp_path / "mfx.txt"
    file.write_text("sesame-sesame")
    file.chmod(0o600)
    with FakeElog(user="mfxopr", password="sesame-sesame") as guarded:
        names = {"elog_user": "{instrument}opr", "elog_login_file": f"{tmp_path}/{{instrument}}.txt"}
        site = facility.Facility(elog_url=guarded.url, elog_login="basic", **names)
        monkeypatch.setattr(facility, "_current", site)
        assert elog.post_elog_message("mfxp1", "x") is None
        monkeypatch.setenv("LUTE_ELOG_LOGIN", "none")
        assert "401" in str(elog.post_elog_message("mfxp1", "x"))


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"LUTE_ELOG_LOGIN": "magic"}, "use one of basic, token, kerberos, none"),
        ({"LUTE_ELOG_LOGIN": "basic"}, "set LUTE_ELOG_USER"),
        ({"LUTE_ELOG_USER": "ada"}, "needs a password: set LUTE_ELOG_PASSWORD, or LUTE_ELOG_LOGIN_FILE"),
        ({"LUTE_ELOG_LOGIN": "token"}, "needs a token: set LUTE_ELOG_TOKEN"),
        (
            {"LUTE_ELOG_LOGIN": "token", "LUTE_ELOG_LOGIN_FILE": "/no/such/file"},
            "/no/such/file cannot be read: No such",
        ),
        ({"LUTE_ELOG_CA_FILE": "/no/such/file"}, "the CA file /no/such/file cannot be used"),
    ],
)
def test_a_login_that_is_incomplete_keeps_the_post(
    fake: FakeElog, outbox: Outbox, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], told: str
) -> None:
    """A5: what is missing is told, nothing is sent, and nothing is lost."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert told in str(elog.post_elog_message("exp1", "x"))
    assert (fake.arrived, len(outbox.names())) == (0, 1)


@pytest.mark.parametrize(
    ("mode", "text", "told"),
    [
        (0o640, b"sesame", "can be read by others: chmod 600 it"),
        (0o604, b"sesame", "can be read by others"),
        (0o600, b"\n", "is empty: expected the token"),
        (0o600, b"\xff\xff", "is not UTF-8"),
    ],
)
def test_a_login_file_that_is_not_used(
    fake: FakeElog, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, text: bytes, told: str
) -> None:
    """B5: a secret that others can read is not used."""
    file = tmp_path / "login"
    file.write_bytes(text)
    file.chmod(mode)
    monkeypatch.setenv("LUTE_ELOG_LOGIN", "token")
    monkeypatch.setenv("LUTE_ELOG_LOGIN_FILE", str(file))
    assert told in str(elog.post_elog_message("exp1", "x"))
    assert fake.arrived == 0


def test_a_secret_is_not_sent_in_the_clear(monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: password and token go over https alone, but for this machine."""
    monkeypatch.setenv("LUTE_ELOG_URL", "http://elog.example.org/lgbk")
    monkeypatch.setenv("LUTE_ELOG_TOKEN", "sesame-sesame")
    assert "use https://" in str(elog.post_elog_message("exp1", "x"))


def test_another_server_gets_no_login(fake: FakeElog, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: the status of a job goes to an address of its own; only the eLog's own server is logged in to."""
    monkeypatch.setenv("LUTE_ELOG_TOKEN", "sesame-sesame")
    with FakeElog() as other:
        assert elog.post_elog_run_status({"a": 1}, update_url=other.counters_url) is None
        assert "authorization" not in other.requests[0].headers
    assert elog.post_elog_run_status({"a": 1}, update_url=fake.counters_url) is None
    assert fake.requests[0].headers["authorization"] == "Bearer sesame-sesame"


def test_an_echoed_secret_is_hidden(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """B5: what a server says of a secret is not repeated, and a secret in a text is not posted."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("LUTE_ELOG_TOKEN", "sesame-sesame")
    with FakeElog() as fake:
        monkeypatch.setenv("LUTE_ELOG_URL", fake.url)
        fake.answer(400, body=b'{"success": false, "error_msg": "bad token sesame-sesame"}')
        told = str(elog.post_elog_message("exp1", "the token is sesame-sesame"))
        assert "bad token ***" in told
        assert b"the token is sesame" not in fake.requests[0].body
    kept = "".join(path.read_text() for path in outbox.folder.rglob("*") if path.is_file())
    assert "sesame" not in caplog.text + kept
    assert "***" in kept


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A key and a certificate for 127.0.0.1 that nobody vouches for."""
    file = tmp_path_factory.mktemp("tls") / "both.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-subj", "/CN=fake", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(file), "-out", "-"]
    done = subprocess.run(made, check=True, capture_output=True)
    file.write_bytes(file.read_bytes() + done.stdout)
    return file


def test_certificates_are_always_checked(certificate: Path, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: TLS is checked against the usual certificates, or those of a file; there is no way round."""
    with FakeElog(certificate=str(certificate), token="sesame-sesame") as fake:
        monkeypatch.setenv("LUTE_ELOG_URL", fake.url)
        monkeypatch.setenv("LUTE_ELOG_TOKEN", "sesame-sesame")
        assert "certificate verify failed" in str(elog.post_elog_message("exp1", "x"))
        assert fake.arrived == 0
        monkeypatch.setenv("LUTE_ELOG_CA_FILE", str(certificate))
        assert elog.post_elog_message("exp1", "y") is None
        assert [message["text"] for message in fake.messages] == ["x", "y"]
