"""The eLog around real runs: a fake eLog on a real socket, real `lute` processes, real SIGKILL, a real Kerberos."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from conftest import LUTE, Outcome, Project
from lute.publish.outbox import Outbox
from lute.testing import FakeElog
from process.helpers import start, unread, wait_until


@pytest.fixture
def project(project: Project) -> Project:
    """A project with a Task whose summary is a dict."""
    project.plugin("peaks")
    project.config()
    project.env.pop("JID_UPDATE_COUNTERS", None)
    return project


@pytest.fixture
def outbox(project: Project) -> Outbox:
    return Outbox(project.folder)


def run(project: Project, elog: FakeElog | str, name: str = "Peaks", *arguments: str, **env: str) -> Outcome:
    """Runs a Task to its end, with an eLog."""
    url = elog if isinstance(elog, str) else elog.url
    return project.lute("run", name, "-c", "config.yaml", *arguments, env={"LUTE_ELOG_URL": url, **env})


def send(project: Project, url: str, *arguments: str, **env: str) -> Outcome:
    """Runs `lute elog send`."""
    return project.lute("elog", "send", "-c", "config.yaml", *arguments, env={"LUTE_ELOG_URL": url, **env})


def table(*values: int) -> dict[tuple[str, int], dict[str, Any]]:
    """What the run table holds after a run."""
    return {("exp1", 7): {"peaks": values[-1], "rate": 0.5}}


# ---------------------------------------------------------------------------------------- a run's own posts


def test_a_dict_as_summary_becomes_run_parameters(project: Project, outbox: Outbox) -> None:
    """A4: a dict as summary is posted as run parameters, and to the job's status where there is a job."""
    with FakeElog() as elog:
        done = run(project, elog, "Peaks", "--json", JID_UPDATE_COUNTERS=elog.counters_url)
        assert done.code == 0, done
        assert done.json["summary"] == "peaks: 5;rate: 0.5"
        assert elog.run_tables == table(5)
        assert elog.run_parameters == [{"peaks": "5", "rate": "0.5"}]
        assert "eLog" not in done.err
        assert (outbox.names(), outbox.refused()) == ([], [])


def test_without_an_elog_nothing_of_it_is_there(project: Project, outbox: Outbox) -> None:
    """A5: off unless configured: no outbox, no httpx, no line about it."""
    blocked = project.write("blocked/httpx.py", "raise RuntimeError('httpx was imported')")
    done = project.lute("run", "Peaks", "-c", "config.yaml", "-vv", env={"PYTHONPATH": str(blocked.parent)})
    assert done.code == 0, done
    assert "httpx" not in done.err
    assert not outbox.folder.exists()


@pytest.mark.parametrize("header", ["run: 12_extra", "experiment: ''"])
def test_a_header_without_experiment_or_number_is_told(project: Project, header: str) -> None:
    """A4: what cannot be posted is said; the run stands."""
    text = (project.folder / "config.yaml").read_text()
    name = header.split(":")[0]
    kept = "".join(line for line in text.splitlines(True) if not line.startswith(f"{name}:"))
    (project.folder / "config.yaml").write_text(f"{header}\n{kept}")
    with FakeElog() as elog:
        done = run(project, elog)
        assert done.code == 0, done
        assert "nothing is posted to the run table" in done.err
        assert elog.arrived == 0


def test_a_tasklet_posts_a_message(project: Project) -> None:
    """A5: the functions are for tasklets and hooks, too."""
    with FakeElog() as elog:
        assert run(project, elog, "Teller", "-s", "title=it's done").code == 0
        assert [message["text"] for message in elog.messages] == ["it's done"]


# ------------------------------------------------------------------------------------- what goes wrong


def test_what_a_server_that_was_down_missed_comes_with_the_next_run(project: Project, outbox: Outbox) -> None:
    """A5: a run posts first what waits; also one that has nothing to post itself."""
    with FakeElog() as elog:
        port, url = elog.port, elog.url
    for peaks in (1, 2):
        done = run(project, url, "Peaks", "-s", f"Peaks.peaks={peaks}")
        assert done.code == 0, done
        assert "ConnectError" in done.err
        assert "lute elog status" in done.err
    assert len(outbox.names()) == 2
    wait_until(lambda: outbox.waiting()[0]["not_before"] <= time.time(), "the pause is over")
    with FakeElog(port) as elog:
        done = run(project, elog, "Quiet")
        assert (done.code, "eLog" in done.err) == (0, False), done
        assert [seen.body for seen in elog.requests] == [b'{"peaks": %d, "rate": 0.5}' % peaks for peaks in (1, 2)]
        assert elog.run_tables == table(2)
    assert outbox.names() == []


def test_a_hanging_server_costs_a_run_what_the_header_says(project: Project, outbox: Outbox) -> None:
    """A5: a run waits `elog_timeout` for all its posts together, and its outcome is in the record before."""
    project.config(header="elog_timeout: 1")
    with FakeElog() as elog:
        assert run(project, elog, "Quiet").code == 0  # everything that is loaded once is loaded
        begin = time.monotonic()
        assert run(project, elog, "Quiet").code == 0
        usual = time.monotonic() - begin
        elog.hang()
        begin = time.monotonic()
        running = start(
            project,
            *("run", "Peaks", "-c", "config.yaml", "--json"),
            env={"LUTE_ELOG_URL": elog.url, "JID_UPDATE_COUNTERS": elog.counters_url},
        )
        elog.wait_for(lambda elog: elog.arrived)
        (row,) = project.lute("history", "-c", "config.yaml", "-t", "Peaks", "--json").json
        _, err = running.communicate(timeout=20)
        took = time.monotonic() - begin
    assert (row["status"], row["summary"]) == ("COMPLETED", "peaks: 5;rate: 0.5")
    assert running.returncode == 0, err
    assert b"no answer within" in err
    assert took < usual + 1 + 2
    assert len(outbox.names()) == 2


def test_no_time_for_the_elog_keeps_everything(project: Project, outbox: Outbox) -> None:
    """A5: `elog_timeout: 0` is for machines without a network: all is kept, and sent from elsewhere."""
    project.config(header="elog_timeout: 0")
    with FakeElog() as elog:
        assert run(project, elog).code == 0
        assert (elog.arrived, len(outbox.names())) == (0, 1)
        done = send(project, elog.url)
        assert (done.code, elog.run_tables) == (0, table(5)), done


def test_a_kill_before_delivery_loses_nothing(project: Project, outbox: Outbox) -> None:
    """A5: a post is on disk before it is sent: `lute` killed with SIGKILL while it waits for the answer."""
    with FakeElog() as elog:
        port = elog.port
        elog.hang()
        running = start(project, "run", "Peaks", "-c", "config.yaml", env={"LUTE_ELOG_URL": elog.url})
        elog.wait_for(lambda elog: elog.arrived)
        running.send_signal(signal.SIGKILL)
        running.communicate(timeout=20)
        assert elog.requests == []
    (name,) = outbox.names()
    (row,) = project.lute("history", "-c", "config.yaml", "--json").json
    assert row["status"] == "COMPLETED"
    with FakeElog(port) as elog:
        done = run(project, elog, "Quiet")
        assert (done.code, elog.run_tables) == (0, table(5)), done
        assert [seen.key for seen in elog.requests] == [name[-16:]]
    assert outbox.names() == []


@pytest.mark.slow
def test_kills_at_any_moment_lose_nothing(project: Project, outbox: Outbox) -> None:
    """A5: killed again and again while it delivers many posts, each comes, in order, twice only with the same key."""
    with FakeElog() as elog:
        port, url = elog.port, elog.url
    code = "import sys; from lute.publish.elog import *; [post_elog_message('exp1', str(n), wait=0) for n in range(40)]"
    project.run([sys.executable, "-c", code], env={"LUTE_ELOG_URL": url, "LUTE_WORK_DIR": str(project.folder)})
    assert len(outbox.names()) == 40
    with FakeElog(port) as elog:
        for wanted in range(4, 40, 4):
            sending = start(project, "elog", "send", "-c", "config.yaml", env={"LUTE_ELOG_URL": url})
            elog.wait_for(lambda elog, wanted=wanted: len(elog.messages) >= wanted)
            sending.send_signal(signal.SIGKILL)
            sending.communicate(timeout=20)
        assert send(project, url).code == 0
        by_key = {message["key"]: message["text"] for message in elog.messages}
    assert list(by_key.values()) == [str(number) for number in range(40)]
    assert len(elog.messages) <= 40 + 9


def test_two_processes_deliver_each_post_once(project: Project, outbox: Outbox) -> None:
    """A5: two `lute elog send` and a run at the same time deliver nothing twice."""
    with FakeElog() as elog:
        port, url = elog.port, elog.url
    code = "import sys; from lute.publish.elog import *; [post_elog_message('exp1', str(n), wait=0) for n in range(60)]"
    project.run([sys.executable, "-c", code], env={"LUTE_ELOG_URL": url, "LUTE_WORK_DIR": str(project.folder)})
    with FakeElog(port) as elog:
        elog.hang()
        env = {"LUTE_ELOG_URL": url}
        several = [start(project, "elog", "send", "-c", "config.yaml", env=env) for _ in range(3)]
        several.append(start(project, "run", "Peaks", "-c", "config.yaml", env=env))
        elog.wait_for(lambda elog: elog.arrived)
        elog.go_on()
        outcomes = [(process.communicate(timeout=60), process.returncode) for process in several]
        assert outcomes[-1][1] == 0, outcomes
        assert [message["text"] for message in elog.messages] == [str(number) for number in range(60)]
        assert elog.run_tables == table(5)
        assert len(elog.requests) == 61
    assert outbox.names() == []


def test_a_refusal_is_told_once_and_can_be_tried_again(project: Project, outbox: Outbox) -> None:
    """A5: a wrong login puts the post away; the next run does not speak of it; `send --refused` tries it again."""
    with FakeElog(token="right-one") as elog:
        done = run(project, elog, LUTE_ELOG_TOKEN="wrong-one")
        assert (done.code, "401 Unauthorized" in done.err) == (0, True), done
        assert len(outbox.refused()) == 1
        done = run(project, elog, "Quiet", LUTE_ELOG_TOKEN="wrong-one")
        assert (done.code, "401" in done.err) == (0, False), done
        done = send(project, elog.url, "--refused", "--json", LUTE_ELOG_TOKEN="wrong-one")
        assert (done.code, len(done.json["refused"]), done.json["waiting"]) == (1, 1, []), done
        done = send(project, elog.url, "--refused", "--json", LUTE_ELOG_TOKEN="right-one")
        assert (done.code, done.json["refused"]) == (0, []), done
        assert elog.run_tables == table(5)


@pytest.mark.slow
def test_secrets_are_nowhere(project: Project) -> None:
    """B5: password and token are in no file of the work folder and in nothing that is printed, at any loudness."""
    login = project.folder.parent / "login"
    login.write_text("s3same-file")
    login.chmod(0o600)
    word, file = {"LUTE_ELOG_PASSWORD": "s3same-word"}, {"LUTE_ELOG_LOGIN_FILE": str(login)}
    ways: list[dict[str, str]] = [
        {"LUTE_ELOG_TOKEN": "s3same-token"},
        {"LUTE_ELOG_USER": "ada", **word},
        {"LUTE_ELOG_LOGIN": "token", **file},
        {"LUTE_ELOG_LOGIN": "basic", "LUTE_ELOG_USER": "ada", **file},
    ]
    own = ("s3same-token", "s3same-word", "s3same-file", "s3same-file")
    for way, secret in zip(ways, own, strict=True):
        pair = base64.b64encode(f"ada:{secret}".encode()).decode()
        echo = json.dumps({"success": False, "error_msg": f"<{pair if 'LUTE_ELOG_USER' in way else secret}>"}).encode()
        with FakeElog() as elog:
            for status in (400, 503):
                elog.answer(status, times=2, body=echo)
                done = run(project, elog, "Teller", "-vv", **way)
                said = repr(done) + repr(send(project, elog.url, "-vv", "--refused", **way)) + written(project)
                said += repr(project.lute("elog", "status", "-c", "config.yaml", "--json", "-vv", env=way))
                assert "<***>" in said, said
                assert elog.requests[0].headers["authorization"].endswith((secret, pair))
                assert secret not in said
                assert pair not in said


def written(project: Project) -> str:
    """All that is in the work folder, but for what the test wrote itself."""
    files = [path for path in project.folder.rglob("*") if path.is_file() and path.suffix not in (".yaml", ".py")]
    assert files
    return "".join(path.read_bytes().decode("utf-8", "replace") for path in files)


# ----------------------------------------------------------------------------------------------- commands


def test_status_says_what_waits_and_why(project: Project, outbox: Outbox) -> None:
    """A5: `lute elog status` shows address, login, what waits and what was refused; it asks nobody."""
    with FakeElog() as elog:
        url = elog.url
    run(project, url, LUTE_ELOG_USER="ada", LUTE_ELOG_PASSWORD="pass-word")
    env = {"LUTE_ELOG_URL": url, "LUTE_ELOG_USER": "ada"}
    done = project.lute("elog", "status", "-c", "config.yaml", env=env)
    assert done.code == 0, done
    for text in (url, "login: basic as ada", "1 waiting, 0 refused", "run_table", "exp1", "ConnectError"):
        assert text in done.out
    done = project.lute("elog", "status", "-c", "config.yaml", "--json", env=env)
    (post,) = done.json["waiting"]
    assert (post["kind"], post["experiment"], post["tries"], post["query"]) == (
        "run_table",
        "exp1",
        1,
        {"run_num": "7"},
    )
    assert post["created"].endswith("Z")
    assert done.json["outbox"] == str(outbox.folder)


def test_send_shows_what_is_left(project: Project) -> None:
    """A5: `lute elog send` exits 1 where something is left, and 2 where nothing can be done."""
    with FakeElog() as elog:
        url = elog.url
    assert send(project, url).code == 0
    run(project, url)
    done = send(project, url)
    assert (done.code, "ConnectError" in done.out) == (1, True), done
    env = {"LUTE_ELOG_URL": url, "PYTHONUNBUFFERED": "1"}
    assert unread(project, "elog", "send", "-c", "config.yaml", env=env)[0] == 1
    done = project.lute("elog", "send", "-c", "config.yaml", "--json")
    assert (done.code, "no eLog is configured" in done.json["error"]) == (2, True), done
    done = project.lute("elog", "polish")
    assert (done.code, "invalid choice" in done.err) == (2, True), done


def test_a_send_that_hangs_is_bounded(project: Project) -> None:
    """A5: `--timeout` is for each post."""
    project.config(header="elog_timeout: 0")
    with FakeElog() as elog:
        run(project, elog)
        elog.hang()
        begin = time.monotonic()
        done = send(project, elog.url, "--timeout", "0.5")
        assert (done.code, "no answer within 0.5 s" in done.out) == (1, True), done
        assert time.monotonic() - begin < 10


# ----------------------------------------------------------------------------------------------- Kerberos

REALM = "EXAMPLE.TEST"
KERBEROS = ("krb5kdc", "kdb5_util", "kadmin.local", "kinit")
SBIN = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/usr/local/sbin"))
NO_KERBEROS = [name for name in KERBEROS if not shutil.which(name, path=SBIN)]
NO_KERBEROS += [name for name in ("gssapi", "httpx_gssapi") if not importlib.util.find_spec(name)]

KDC_CONF = """
[libdefaults]
    default_realm = {realm}
    dns_lookup_kdc = false
    dns_canonicalize_hostname = false
    rdns = false
[realms]
    {realm} = {{
        kdc = 127.0.0.1:{port}
        database_name = {folder}/principal
        key_stash_file = {folder}/stash
    }}
[kdcdefaults]
    kdc_listen = 127.0.0.1:{port}
    kdc_tcp_listen = 127.0.0.1:{port}
[logging]
    kdc = FILE:{folder}/kdc.log
"""


@pytest.fixture(scope="module")
def kerberos(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mapping[str, str]]:
    """A real key distribution centre with a user `ada` and the service `HTTP/localhost`. Gives its environment."""
    if NO_KERBEROS:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs {', '.join(NO_KERBEROS)}")
    folder = tmp_path_factory.mktemp("kerberos")
    with FakeElog() as elog:
        port = elog.port  # a free one
    (folder / "krb5.conf").write_text(KDC_CONF.format(realm=REALM, port=port, folder=folder))
    env = dict.fromkeys(("KRB5_CONFIG", "KRB5_KDC_PROFILE"), f"{folder}/krb5.conf")
    env |= {"PATH": SBIN, "KRB5_KTNAME": f"{folder}/keytab", "KRB5CCNAME": f"{folder}/ccache"}

    def do(*argv: str, text: str | None = None) -> None:
        subprocess.run(argv, env=env, check=True, capture_output=True, input=text, text=True, timeout=60)

    do("kdb5_util", "create", "-s", "-r", REALM, "-P", "master")
    do("kadmin.local", "-r", REALM, "addprinc", "-pw", "pass-word", "ada")
    do("kadmin.local", "-r", REALM, "addprinc", "-randkey", "HTTP/localhost")
    do("kadmin.local", "-r", REALM, "ktadd", "-k", f"{folder}/keytab", "HTTP/localhost")
    centre = subprocess.Popen(
        ["krb5kdc", "-n", "-r", REALM], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: _kinit(env), "the centre gives a ticket")
        yield env
    finally:
        centre.terminate()
        centre.wait(20)


def _kinit(env: Mapping[str, str]) -> bool:
    done = subprocess.run(["kinit", "ada"], env=env, input="pass-word\n", text=True, capture_output=True, timeout=60)
    return done.returncode == 0


class Acceptor:
    """Lets in who has a ticket, as a server with the service's key does."""

    def __init__(self, keytab: str) -> None:
        import gssapi

        self.creds = gssapi.Credentials(usage="accept", store={"keytab": keytab})
        self.who: list[str] = []

    def __call__(self, sent: str | None) -> tuple[bool, dict[str, str]]:
        import gssapi

        if not sent or not sent.startswith("Negotiate "):
            return False, {"WWW-Authenticate": "Negotiate"}
        context = gssapi.SecurityContext(creds=self.creds, usage="accept")
        try:
            token = context.step(base64.b64decode(sent.removeprefix("Negotiate ")))
        except gssapi.exceptions.GSSError:
            return False, {"WWW-Authenticate": "Negotiate"}
        self.who.append(str(context.initiator_name))
        return context.complete, {"WWW-Authenticate": f"Negotiate {base64.b64encode(token or b'').decode()}"}


@pytest.fixture
def guarded(kerberos: Mapping[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeElog]:
    """A fake eLog that wants a ticket."""
    monkeypatch.setenv("KRB5_CONFIG", kerberos["KRB5_CONFIG"])
    with FakeElog(judge=Acceptor(kerberos["KRB5_KTNAME"])) as elog:
        yield elog


def test_login_by_kerberos(project: Project, kerberos: Mapping[str, str], guarded: FakeElog) -> None:
    """A5: with a ticket of a real Kerberos one is logged in; the ticket is in no log."""
    url = guarded.url.replace("127.0.0.1", "localhost")
    env = {name: kerberos[name] for name in ("KRB5_CONFIG", "KRB5CCNAME")}
    done = run(project, url, "Peaks", "-vv", LUTE_ELOG_LOGIN="kerberos", **env)
    assert done.code == 0, done
    assert guarded.run_tables == table(5), done
    sent = guarded.requests[0].headers["authorization"].removeprefix("Negotiate ")
    assert len(sent) > 100
    assert sent[:40] not in done.err
    assert guarded._judge.who == [f"ada@{REALM}"]  # type: ignore[attr-defined]


def test_kerberos_without_a_ticket(
    project: Project, kerberos: Mapping[str, str], guarded: FakeElog, outbox: Outbox
) -> None:
    """A5: where there is no ticket it says what to type, and the post is kept until there is one."""
    url = guarded.url.replace("127.0.0.1", "localhost")
    env = {"KRB5_CONFIG": kerberos["KRB5_CONFIG"], "LUTE_ELOG_LOGIN": "kerberos"}
    done = run(project, url, **env, KRB5CCNAME=f"{project.folder}/none")
    assert (done.code, "kinit" in done.err, "Traceback" in done.err) == (0, True, False), done
    assert (guarded.arrived, len(outbox.names())) == (0, 1)
    assert run(project, url, "Quiet", **env, KRB5CCNAME=kerberos["KRB5CCNAME"]).code == 0
    assert guarded.run_tables == table(5)


def test_kerberos_without_its_package(project: Project, outbox: Outbox) -> None:
    """A5: a missing package is an error that says what to install."""
    blocked = project.write("blocked/httpx_gssapi.py", "raise ImportError('not installed')")
    with FakeElog() as elog:
        env = {"PYTHONPATH": str(blocked.parent), "LUTE_ELOG_LOGIN": "kerberos"}
        done = run(project, elog, **env)
    assert (done.code, "pip install 'lute-executor[elog,kerberos]'" in done.err) == (0, True), done
    assert len(outbox.names()) == 1


def test_a_command_line_is_what_people_type(project: Project) -> None:
    """B: the command has help on every level."""
    for arguments in (["--help"], ["elog", "--help"], ["elog", "send", "--help"]):
        done = project.run([*LUTE, *arguments])
        assert (done.code, "elog" in done.out) == (0, True), done
