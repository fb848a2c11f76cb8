"""The pages in a real browser."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from conftest import Project
from lute.record.rows import utc_of_ns
from process.helpers import start
from web.helpers import Served, record, row, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

EVIL = "<img src=x onerror=alert(1)>\"'><script>alert(2)</script>{{ 7*7 }}"


def enter(page: Page, served: Served, path: str = "/") -> None:
    """Opens a page, with the token in the address the first time."""
    page.goto(served.url)
    assert "token" not in page.url
    page.goto(f"{served.address}{path}")


def test_a_live_run_is_seen_to_go_on_and_to_end(lab: Project, page: Page) -> None:
    """B4: a page with a live run; progress and log grow, its end is told, without loading it again."""
    gate = lab.folder / "gate"
    asked = ("-s", "Count.frames=40", "-s", f"Count.go_on={gate}", "-r", "99")
    run = start(lab, "run", "Counter", "-c", "config.yaml", "-q", *asked)
    try:
        with serving(lab, "-c", "config.yaml") as served:
            enter(page, served, "/?run=99")
            page.click("td.s-RUNNING .cell", timeout=20_000)
            expect(page.locator("#status")).to_contain_text("RUNNING")
            expect(page.locator(".progress-text")).to_have_text("40/40 (100 %) frames", timeout=20_000)
            expect(page.locator("progress")).to_have_js_property("value", 1)
            expect(page.locator("#log")).to_contain_text("frame 39 é")
            expect(page.locator("#log")).not_to_contain_text("the last line")
            page.evaluate("window.stayed = true")
            gate.touch()
            expect(page.locator("#log")).to_contain_text("the last line")
            expect(page.locator("#status")).to_contain_text("COMPLETED")
            expect(page.locator("#metrics")).to_contain_text("1.95 Å")
            expect(page.locator("#announce")).to_have_text("The run has ended: COMPLETED")
            expect(page.locator("text=Cancel this run")).to_have_count(0)
            assert page.evaluate("window.stayed")
            assert page.locator("#log").inner_text().count("frame 39 é") == 1
            page.goto(served.address)  # or the stream of the page keeps the server from ending at once
    finally:
        gate.touch()
        run.communicate(timeout=30)


def test_a_run_is_cancelled_with_a_reason(lab: Project, page: Page) -> None:
    """B4: cancel by the form of the run's page."""
    run = start(lab, "run", "Counter", "-c", "config.yaml", "-q", "-r", "98", "-s", "Count.go_on=never")
    with serving(lab, "-c", "config.yaml") as served:
        enter(page, served, "/?run=98")
        page.click("td.s-RUNNING .cell", timeout=20_000)
        page.fill("input[name=reason]", "wrong sample")
        page.click("text=Cancel this run")
        expect(page.locator("#status")).to_contain_text("CANCELLED", timeout=20_000)
        expect(page.locator("#reason")).to_contain_text("wrong sample")
    run.communicate(timeout=30)
    assert run.returncode == 143


def test_a_new_run_appears_on_the_list_by_itself(ran: Project, served: Served, page: Page) -> None:
    """B4: the grid is live."""
    enter(page, served)
    expect(page.locator("th", has_text="41")).to_have_count(0)
    ran.run_task("Counter", "-r", "41")
    expect(page.locator("tbody th", has_text="41")).to_have_count(1, timeout=20_000)


def test_filters_are_in_the_address(served: Served, page: Page) -> None:
    """B4: filters; the address can be kept and sent."""
    enter(page, served)
    page.click("text=List")
    page.fill("input[name=task]", "Counter")
    page.fill("input[name=where]", "Count.threshold >= 9")
    page.click("text=Show")
    expect(page.locator("table.list tbody tr")).to_have_count(1)
    assert "where=Count.threshold+%3E%3D+9" in page.url
    page.click("text=Clear")
    page.check("input[value=FAILED]")
    page.click("text=Show")
    expect(page.locator("table.list tbody tr")).to_have_count(1)
    expect(page.locator("table.list tbody")).to_contain_text("the shutter is closed")
    page.goto(f"{served.address}/?where=treshold>3")
    expect(page.locator("[role=alert]")).to_contain_text("no run")
    expect(page.locator("[role=alert]")).to_contain_text("threshold")


def test_two_runs_are_compared(served: Served, page: Page) -> None:
    """B4: compare pages: what differs is marked."""
    enter(page, served, "/?view=list&task=Counter")
    for run in ("7", "8"):
        [found] = served.json("/api/runs", task="Counter", run=run)["runs"]
        page.check(f"input[value='{found['id']}']")
    page.click("text=Compare the two chosen runs")
    threshold = page.locator("tr", has=page.locator("th", has_text=re.compile("^threshold$")))
    expect(threshold).to_have_class("differs")
    assert threshold.inner_text().split()[-2:] == ["5.0", "9.0"]
    frames = page.locator("tr", has=page.locator("th", has_text=re.compile("^frames$")))
    expect(frames).not_to_have_class("differs")
    page.check("input[name=only]")
    page.click("button[type=submit]")
    expect(frames).to_have_count(0)
    expect(threshold).to_have_count(1)
    page.goto(f"{served.address}/compare?id=last")
    expect(page.locator("[role=alert]")).to_contain_text("Choose two runs")


def test_parameters_that_differ_are_marked(served: Served, page: Page) -> None:
    """B4: what differs from the default and from the last run."""
    enter(page, served, "/?view=list&where=Count.threshold>=9")
    page.click("table.list tbody a")
    threshold = page.locator("#run tr", has=page.locator("th", has_text="threshold"))
    expect(threshold).to_contain_text("≠ last run")
    expect(threshold).to_contain_text("not the default")
    frames = page.locator("#run tr", has=page.locator("th", has_text="frames"))
    expect(frames).not_to_contain_text("default")


def test_a_figure_is_drawn_by_its_own_script_and_reaches_nothing(served: Served, page: Page) -> None:
    """B4: plots are sandboxed; a page of figures is shown by tab."""
    enter(page, served, "/summary/")
    expect(page.locator(".tabs [aria-current]")).to_contain_text("scans")
    page.click("text=first one")
    frame = page.frame_locator("iframe").frame_locator("iframe")  # HTML that a Task brings is kept apart
    expect(frame.locator("#drawn")).to_have_text("drawn by a script")
    inside = next(one for one in page.frames if "/summary/files/" in one.url)
    assert inside.evaluate("origin") == "null"
    assert inside.evaluate("(() => { try { return document.cookie } catch { return 'refused' } })()") == "refused"
    assert inside.evaluate("(() => { try { return parent.document.title } catch { return 'refused' } })()") == "refused"
    alone = served.get(inside.url.removeprefix(served.address))
    assert alone.headers["content-security-policy"].startswith("sandbox allow-scripts")
    assert "connect-src 'none'" in alone.headers["content-security-policy"]
    page.goto(f"{served.address}/?task=Drawer")
    page.click("td .cell")
    expect(page.frame_locator("iframe").frame_locator("iframe").locator("#drawn")).to_have_text("drawn by a script")


def test_pictures_and_html_among_outputs_are_shown(project: Project, page: Page) -> None:
    """C5: on the run's page, where no script of theirs reaches anything; what is elsewhere or changed is not sent."""
    identity, folder = "000000000001", project.folder
    log = folder / "lute.runs" / "2026-11-20" / identity / "log"
    log.parent.mkdir(parents=True)
    log.write_text("done\n")
    svg = '<svg xmlns="http://www.w3.org/2000/svg" width="30" height="20"><script>alert(1)</script></svg>'
    html = "<p id=here>x</p><script>here.textContent = 'ran in ' + origin</script>"
    texts = {"a.svg": svg, "b.html": html, "c.png": "changed", "d.txt": "no"}
    outside = folder.with_name(f"{folder.name}-secret.png")
    outside.write_text("secret")
    paths = [*(project.write(name, text) for name, text in texts.items()), outside, folder / "gone.gif"]
    outputs = [
        {
            "parameter": "out",
            "path": str(path),
            "size": path.stat().st_size if path.exists() else 1,
            "mtime": utc_of_ns(path.stat().st_mtime_ns) if path.exists() else "",
            "digest": None,
        }
        for path in paths
    ]
    (folder / "c.png").write_text("Changed")
    os.utime(folder / "c.png", (0, 0))
    record(folder / "lute.db", row(identity, log=str(log), outputs=outputs))
    with serving(project) as served:
        enter(page, served, f"/runs/{identity}")
        picture = page.locator("img.output")
        expect(picture).to_have_count(1)
        assert picture.evaluate("async (i) => { await i.decode(); return i.naturalWidth }") == 30
        expect(page.frame_locator("iframe.figure").locator("#here")).to_have_text("ran in null")
        expect(page.locator("text=Not shown: it was changed at 1970-01-01")).to_have_count(1)
        expect(page.locator("text=Not shown: there is no such file.")).to_have_count(2)
        alone = served.get(f"/runs/{identity}/outputs/0")
        assert alone.headers["content-security-policy"].startswith("sandbox; default-src 'none'")
        assert [served.get(f"/runs/{identity}/outputs/{n}").status_code for n in range(7)] == [200, 200, *[404] * 5]


def test_a_trend_leads_to_its_runs(served: Served, page: Page) -> None:
    """B4: metric trends over runs as plots, with the same numbers as a table."""
    enter(page, served, "/trends")
    page.click("text=Count")
    expect(page.locator("svg circle").first).to_be_visible()
    points = page.locator("svg a")
    assert points.count() == page.locator("tbody tr").count() >= 2
    first = points.first.get_attribute("href")
    points.first.focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{served.address}{first}")


def test_the_token_can_be_typed_in(served: Served, page: Page, browser: Browser) -> None:
    """B4: without the token there is a page that asks for it."""
    context = browser.new_context()  # what is refused stands in its console
    stranger = context.new_page()
    stranger.goto(f"{served.address}/runs/last")
    expect(stranger.locator("h1")).to_contain_text("asks for a token")
    stranger.fill("input[name=token]", "wrong")
    stranger.click("button")
    expect(stranger.locator("[role=alert]")).to_be_visible()
    stranger.fill("input[name=token]", served.token or "")
    stranger.click("button")
    stranger.wait_for_url(f"{served.address}/runs/last")
    context.close()


def evil_row() -> dict[str, Any]:
    """Returns a run all of whose texts want to be HTML."""
    file = {"parameter": EVIL, "path": EVIL, "size": 1, "mtime": "2026-11-20T00:00:00Z", "digest": EVIL}
    more: dict[str, Any] = {"metrics": {EVIL: {"value": 1.5, "unit": EVIL}}, "versions": {EVIL: EVIL}}
    more |= {"parameters": {EVIL: EVIL, "lute_config": {EVIL: EVIL}}, "environment": {EVIL: EVIL}}
    more |= {"command": [EVIL], "payload": {EVIL: EVIL}, "sources": {EVIL: EVIL}, "inputs": [file], "outputs": [file]}
    more |= {"code": [{"path": EVIL, "commit": EVIL, "dirty": True, "digest": EVIL}], "plots": [EVIL]}
    texts = ("task", "managed_task", "experiment", "run", "reason", "summary", "host", "workflow", "step", "log_tail")
    return more | dict.fromkeys(texts, EVIL) | {"impl_schemas": EVIL, "invalid_reason": EVIL}


def evil_lab(project: Project) -> None:
    """Records runs, a figure and a workflow run whose texts want to be HTML."""
    for number, status in enumerate(("COMPLETED", "FAILED", "RUNNING")):
        identity = f"00000000000{number}"
        folder = project.folder / "lute.runs" / "2026-11-20" / identity
        folder.mkdir(parents=True)
        (folder / "log").write_text(f"{EVIL}\n\x1b[31mred\x1b[0m\n")
        live = {"progress": {"done": 1, "total": 2, "text": EVIL}, "host": "elsewhere"}
        more = evil_row() | {"status": status, "valid": status == "COMPLETED"} | (live if status == "RUNNING" else {})
        record(project.folder / "lute.db", row(identity, **more, log=str(folder / "log")))
    name = EVIL.replace("/", "")
    page = project.folder / "summary" / name / name / "report.html"
    page.parent.mkdir(parents=True)
    page.write_text(f"<!DOCTYPE html><title>x</title>{EVIL}<p>here")


@pytest.mark.parametrize("view", ["?view=grid", "?view=list"])
def test_no_text_becomes_html_on_a_list(project: Project, page: Page, view: str) -> None:
    """B5: a page runs nothing that a Task, a log or a parameter says."""
    evil_lab(project)
    with serving(project) as served:
        enter(page, served, f"/{view}")
        check_texts(page, 3)
        page.goto(f"{served.address}/{view}&text={EVIL.replace('&', '')}&experiment={EVIL}")
        check_texts(page, 1)


def test_no_text_becomes_html_on_other_pages(project: Project, page: Page) -> None:
    """B5: a page runs nothing that a Task, a log or a parameter says."""
    evil_lab(project)
    with serving(project) as served:
        enter(page, served)
        for identity in ("000000000000", "000000000001", "000000000002"):
            page.goto(f"{served.address}/runs/{identity}")
            expect(page.locator("#log")).to_contain_text("<script>alert(2)</script>")
            expect(page.locator("#log")).to_contain_text("red")
            assert "\x1b" not in page.locator("#log").inner_text()
            check_texts(page, 10)
        for path in ("/compare?a=000000000000&b=000000000001", f"/trends?task={EVIL}", "/summary/"):
            page.goto(f"{served.address}{path}")
            check_texts(page, 2)
        page.goto(f"{served.address}/summary/")
        for answer in (served.get(f"/compare?a={EVIL}&b=x"), served.get(f"/workflows/{EVIL}"), served.get(f"/{EVIL}")):
            assert "<img" not in answer.text
            assert "<script>alert" not in answer.text


def check_texts(page: Page, least: int) -> None:
    """Checks that the evil text is shown as text; the fixture fails if any of it ran."""
    assert page.locator("main img").count() == 0
    assert page.locator("main script").count() == 0
    assert page.content().count("&lt;img src=x") >= least
    assert "49" not in page.locator("main").inner_text().replace("{{ 7*7 }}", "")


@pytest.mark.parametrize(
    "path",
    ["/", "/?view=list", "/runs/last", "/compare?a=last&b=last", "/trends?task=Count", "/workflows", "/summary/"],
)
def test_every_page_is_usable_by_keyboard_and_screen_reader(served: Served, page: Page, path: str) -> None:
    """B4: landmarks, one heading, labels, table headers with scope; on a phone nothing is cut off; dark is dark."""
    enter(page, served, path)
    for landmark in ("main", "header", "footer", "header nav"):
        expect(page.locator(landmark).first).to_be_attached()
    expect(page.locator("h1")).to_have_count(1)
    assert page.locator("html").get_attribute("lang") == "en"
    nameless = "[...document.querySelectorAll('input:not([type=hidden]), select')].filter(e => !e.labels.length && !e.ariaLabel)"
    assert page.evaluate(f"{nameless}.length") == 0
    assert page.locator("th:not([scope])").count() == 0
    assert (
        page.evaluate("[...document.querySelectorAll('iframe')].filter(e => !e.title || !e.sandbox.length).length") == 0
    )
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    expect(page.locator(".skip")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.locator("main")).to_be_focused()
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.emulate_media(color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(20, 23, 28)"


def test_a_status_is_told_by_more_than_its_colour(served: Served, page: Page) -> None:
    """B4: status by colour, symbol and word."""
    enter(page, served, "/?task=Breaker")
    assert page.locator("td.s-FAILED .status").inner_text().split() == ["✗", "FAILED"]


def test_nothing_comes_from_elsewhere(served: Served, page: Page, ran: Project) -> None:
    """B4: it works with no internet."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for path in ("/", "/runs/last", "/summary/", "/trends?task=Count"):
        enter(page, served, path)
    assert asked
    assert all(url.startswith((served.address, "data:")) for url in asked)
    assert not Path(ran.folder / "nothing").exists()
