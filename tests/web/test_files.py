"""No path leads out of the folders of logs and figures."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import Project
from web.helpers import Served, record, row, serving

SECRET = "the secret outside"


def in_lab(folder: Path, identity: str) -> Path:
    """Makes a run's folder. Returns its log, which is not there yet."""
    place = folder / "lute.runs" / "2026-11-20" / identity
    place.mkdir(parents=True)
    return place / "log"


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server whose record and folders point at a secret in every way there is."""
    project = Project(tmp_path_factory.mktemp("traps"))
    folder = project.folder
    secret = folder / "secret.html"
    secret.write_text(SECRET)
    summary = folder / "summary"
    (summary / "scans" / "good").mkdir(parents=True)
    (summary / "scans" / "good" / "report.html").write_text("<title>x</title>good")
    (summary / "link.html").symlink_to(secret)
    (summary / "scans" / "out").symlink_to(folder)
    os.mkfifo(summary / "pipe.html")
    (summary / "lute.db").write_text(SECRET)
    (folder / "summary2").mkdir()
    (folder / "summary2" / "report.html").write_text(SECRET)
    header = {"lute_config": {"work_dir": str(folder)}}
    plots = [secret, summary / "link.html", summary / "scans/out/secret.html", summary / "../secret.html", summary]
    plots += [folder / "summary2" / "report.html", summary / "pipe.html", "/etc/passwd", "secret.html", "\0"]
    logs = {"000000000001": secret, "000000000002": Path("/etc/passwd"), "000000000003": in_lab(folder, "other")}
    logs["000000000003"].write_text(SECRET)  # another run's
    for number, link in ((4, secret), (5, folder), (6, None)):
        log = logs[f"00000000000{number}"] = in_lab(folder, f"00000000000{number}")
        if link is None:
            os.mkfifo(log)
        else:
            log.symlink_to(link)
    in_lab(folder, "000000000003")
    rows = [
        row(identity, log=str(log), parameters=header, plots=[str(one) for one in plots])
        for identity, log in logs.items()
    ]
    good = in_lab(folder, "000000000009")
    good.write_bytes(b"fine\xff<b>\n")
    record(
        folder / "lute.db",
        *rows,
        row("000000000009", log=str(good), plots=[str(summary / "scans/good/report.html")], parameters=header),
    )
    with serving(project) as served:
        yield served


def test_what_is_in_its_place_is_sent(traps: Served) -> None:
    """B5: logs and figures are sent as they are, with the right type."""
    log = traps.get("/runs/000000000009/log")
    assert (log.content, log.headers["content-type"]) == (b"fine\xff<b>\n", "text/plain; charset=utf-8")
    assert traps.get("/runs/000000000009/figures/0").text.endswith("good")
    assert traps.get("/summary/files/scans/good/report.html").text.endswith("good")


@pytest.mark.parametrize("number", range(1, 7))
def test_a_log_elsewhere_is_not_sent(traps: Served, number: int) -> None:
    """B5: what a record calls the log is sent only if it is a regular file at a log's place."""
    for path in ("/runs/{}/log", "/api/runs/{}/log", "/runs/{}"):
        answer = traps.get(path.format(f"00000000000{number}"))
        assert answer.status_code == (200 if path == "/runs/{}" else 404)
        assert SECRET not in answer.text
        assert "root:" not in answer.text


@pytest.mark.parametrize("number", range(12))
def test_a_figure_elsewhere_is_not_sent(traps: Served, number: int) -> None:
    """B5: a run's figure is sent only from its summary folder."""
    answer = traps.get(f"/runs/000000000001/figures/{number}")
    assert answer.status_code == 404
    assert SECRET not in answer.text


@pytest.mark.parametrize(
    "path",
    [
        "../secret.html",
        "%2e%2e/secret.html",
        "..%2fsecret.html",
        "%2e%2e%2fsecret.html",
        "scans/../../secret.html",
        "/etc/passwd",
        "%2fetc%2fpasswd.html",
        "link.html",
        "scans/out/secret.html",
        "pipe.html",
        "lute.db",
        "%00.html",
        "..%5csecret.html",
        "../summary2/report.html",
        "%2e%2e/summary2/report.html",
        "a" * 5000 + ".html",
    ],
)
def test_no_path_leads_out_of_the_summary_folder(traps: Served, path: str) -> None:
    """B5: safe-joined paths; links out of the folder are refused."""
    for place in ("/summary/files/", "/summary/pages/", "/static/"):
        status, answer = traps.raw(f"{place}{path}")
        assert status in (400, 404, 307), answer
        assert SECRET.encode() not in answer
        assert b"root:" not in answer
