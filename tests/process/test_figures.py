"""Pages of figures: each kind, whole and on its own in a browser; each run's own; the index of all pages."""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import html5lib
import numpy as np
import pytest
from PIL import Image

from conftest import Project
from lute.publish import report
from lute.publish.page import About
from lute.tasks.figures import render
from lute.tasks.pictures import picture
from lute.wire.results import ElogSummaryPlots, RenderedPage
from process.helpers import make_bare_python

STATIC = {*("matplotlib", "large_matplotlib", "axes", "arrays", "fragment", "table", "png_of_its_own")}
SCRIPTED = {"plotly", "bokeh", "holoviews", "holomap", "panel", "document", "tall_document"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The summary folder of a run that drew every kind of figure."""
    project = Project(tmp_path_factory.mktemp("drawn"))
    project.plugin("figures")
    project.config()
    found = project.run_task("Draw", timeout=110)
    assert found["status"] == "COMPLETED", found
    assert "could not be drawn" not in Path(found["log"]).read_text(), Path(found["log"]).read_text()
    assert len(found["plots"]) == len(STATIC | SCRIPTED)
    return project.folder / "summary"


class Reader(HTMLParser):
    """Reads a page: what it would load, and what it is made of; also in documents within it."""

    LOADS = ("script", "link", "img", "iframe", "source", "video", "audio", "embed", "object", "image", "use")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.tags.append((tag, found))
        for name in ("src", "href", "data", "srcset", "xlink:href"):
            value = found.get(name)
            if tag in self.LOADS and value and not value.startswith(("data:", "#")):
                self.loads.append(f"<{tag} {name}={value[:80]}>")
        if found.get("srcdoc"):
            self.loads += Reader(str(found["srcdoc"])).loads

    def all(self, tag: str) -> list[dict[str, str | None]]:
        """The attributes of each tag of one kind."""
        return [found for name, found in self.tags if name == tag]


# ------------------------------------------------------------------------------------ as a file


@pytest.mark.parametrize("kind", sorted(STATIC | SCRIPTED))
def test_a_page_is_whole_and_valid(drawn: Path, kind: str) -> None:
    """A1, B4: a page loads nothing, is valid HTML, says of which run it is, and has a text for each figure."""
    text = (drawn / "kinds" / kind / "report.html").read_text(encoding="utf-8")
    page = Reader(text)
    assert page.loads == []
    parser = html5lib.HTMLParser(strict=False)
    parser.parse(text)
    ours = [error for error in parser.errors if error[1] != "invalid-codepoint"]  # in the libraries' scripts
    assert ours == []
    said = {found.get("name"): found.get("content") for found in page.all("meta")}
    assert (said["lute-page"], said["lute-task"]) == (f"kinds/{kind}", "Draw")
    assert (said["lute-experiment"], said["lute-run"]) == ("exp1", "7")
    assert re.fullmatch(r"[0-9a-z]{12}", said["lute-id"] or "")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+Z", said["lute-time"] or "")
    for shown in ("Draw", "exp1", said["lute-id"]):
        assert f"<dd>{shown}</dd>" in text
    assert len(page.all("figure")) == len(page.all("figcaption")) >= 1
    assert all(image.get("alt") for image in page.all("img"))
    assert all(frame.get("title") and "allow-same-origin" not in str(frame["sandbox"]) for frame in page.all("iframe"))


@pytest.mark.parametrize("kind", sorted(STATIC | SCRIPTED))
def test_a_page_has_a_policy_that_allows_what_it_needs(drawn: Path, kind: str) -> None:
    """B5: nothing from the network; scripts only where a figure has some."""
    text = (drawn / "kinds" / kind / "report.html").read_text(encoding="utf-8")
    [policy] = [
        str(found["content"])
        for found in Reader(text).all("meta")
        if found.get("http-equiv") == "Content-Security-Policy"
    ]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    assert "*" not in policy
    assert ("script-src" in policy) == (kind in SCRIPTED)
    assert text.index("Content-Security-Policy") < 300  # before anything that it is about


def test_titles_and_words_for_who_cannot_see(drawn: Path) -> None:
    """B4: titles come from names given, or from the figures themselves; a plot says what its axes are."""

    def captions(kind: str) -> list[str]:
        text = (drawn / "kinds" / kind / "report.html").read_text(encoding="utf-8")
        return re.findall(r"<figcaption[^>]*>(.*?)</figcaption>", text)

    assert captions("matplotlib") == ["A &lt;title&gt;"]
    assert captions("plotly") == ["line", "gl"]
    assert captions("bokeh") == ["Figure 1", "second"]
    assert captions("arrays") == ["grey", "colours"]
    text = (drawn / "kinds/matplotlib/report.html").read_text(encoding="utf-8")
    [image] = Reader(text).all("img")
    assert image["alt"] == "Plot: A <title>, intensity against angle, with counts & more"
    grey, _ = Reader((drawn / "kinds/arrays/report.html").read_text(encoding="utf-8")).all("img")
    said = "20 x 30 pixels. Black is 5.99, white is 593 (percentiles 1 and 99); values from 0 to 599."
    assert grey["alt"] == f"Image, {said}"


def test_libraries_are_in_a_page_once(drawn: Path) -> None:
    """B4: two figures of one library share its scripts."""
    for kind, least, most in (("plotly", 3e6, 7e6), ("bokeh", 1e6, 3e6), ("large_matplotlib", 1e4, 1e6)):
        assert least < (drawn / "kinds" / kind / "report.html").stat().st_size < most


def test_what_comes_from_elsewhere_is_left_out_and_named(drawn: Path) -> None:
    """B4: ready HTML that needs the network is shown without that, and says so."""
    text = (drawn / "kinds/document/report.html").read_text(encoding="utf-8")
    assert "Left out, since a page must hold all that it shows: https://example.org/far.js, //example.org/a.png" in text


# ---------------------------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A real browser that is offline."""
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)("needs chromium: apt-get install chromium")
    quiet = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=[*quiet, "--disable-sync", "--disable-quic"])
        yield running.new_context(offline=True)
        running.close()


class Seen:
    """A page in the browser, with what it asked for and what it complained of."""

    def __init__(self, browser: Any, path: Path) -> None:
        self.page = browser.new_page()
        self.asked: list[str] = []
        self.errors: list[str] = []
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        self.page.goto(f"file://{path}")


DRAWN = {
    "plotly": "document.querySelectorAll('.main-svg .plot, canvas').length >= 2",
    "bokeh": "Bokeh.documents.length == 2 && Bokeh.documents.every((d) => d.is_idle)",
    "holoviews": "Bokeh.documents.length == 1 && Bokeh.documents[0].is_idle",
    "holomap": "Bokeh.documents.length == 1 && Bokeh.documents[0].get_model_by_name('nothing') === null",
    "panel": "Bokeh.documents.length == 1 && Bokeh.documents[0].is_idle",
    "document": "document.body.innerText.includes('the script ran')",
    "tall_document": "innerHeight >= 3000",
}


FRAMED = {"holomap", "panel", "document", "tall_document"}


@pytest.mark.parametrize("kind", sorted(STATIC | SCRIPTED))
def test_a_page_opens_from_a_file_with_no_network(drawn: Path, browser: Any, kind: str) -> None:
    """A1, B4: in a real browser, offline, each figure is drawn, nothing is asked for, and nothing fails."""
    seen = Seen(browser, drawn / "kinds" / kind / "report.html")
    frame = seen.page.frames[1 if kind in FRAMED else 0]
    frame.wait_for_function(DRAWN.get(kind, "[...document.images].every((i) => i.complete && i.naturalWidth > 0)"))
    assert [url for url in seen.asked if not url.startswith(("file:", "data:", "blob:", "about:"))] == []
    assert [url for url in seen.asked if url.startswith("file:")] == [seen.page.url]
    assert seen.errors == []
    wide = seen.page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0, "the page is wider than the window"
    seen.page.close()


def test_scripts_of_figures_run(drawn: Path, browser: Any) -> None:
    """B4: what a figure does when a slider is moved, it does in the page too."""
    seen = Seen(browser, drawn / "kinds/bokeh/report.html")
    seen.page.wait_for_function(DRAWN["bokeh"])
    doc = "Bokeh.documents.find((d) => d.get_model_by_name('the slider'))"
    seen.page.evaluate(f"{doc}.get_model_by_name('the slider').value = 7")
    width = f"{doc}.get_model_by_name('the line').glyph.line_width"
    seen.page.wait_for_function(f"({width}.value ?? {width}) == 7")
    assert seen.errors == []
    seen.page.close()


def test_a_slider_of_holoviews_works_with_no_server(drawn: Path, browser: Any) -> None:
    """B4: all states of a HoloMap are in its page."""
    seen = Seen(browser, drawn / "kinds/holomap/report.html")
    frame = seen.page.frames[1]
    frame.wait_for_function("window.Bokeh && Bokeh.documents.length == 1")
    models = "[...Bokeh.documents[0]._all_models.values()]"
    shown = f"{models}.filter((m) => m.data?.y).map((m) => Array.from(m.data.y).join()).join(';')"
    frame.wait_for_function(f"{shown} == '1,2,0'")
    handle = frame.locator("[role=slider]").first
    handle.focus()
    seen.page.keyboard.press("ArrowRight")
    seen.page.keyboard.press("ArrowRight")
    frame.wait_for_function(f"{shown} == '1,2,2'")
    assert seen.errors == []
    seen.page.close()


@pytest.mark.parametrize(("backend", "holds"), [("matplotlib", "data:image/svg"), ("plotly", "plotly-graph-div")])
def test_holoviews_is_drawn_as_its_backend_says(project: Project, backend: str, holds: str) -> None:
    """A1: a holoviews element is drawn by the library that `hv.extension` chose."""
    project.plugin("one_page")
    project.config(f"One: {{backend: {backend}}}")
    found = project.run_task("One")
    assert holds in Path(found["plots"][0]).read_text()


class Counter(BaseHTTPRequestHandler):
    """Counts who asks."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        self.send_response(200)
        self.end_headers()

    do_POST = do_GET

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@pytest.mark.parametrize("whole", [True, False])
def test_a_script_in_a_page_reaches_no_network(tmp_path: Path, browser: Any, whole: bool) -> None:
    """B5: HTML that means harm, or does not know better, reaches no server, not even one on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Counter)
    server.asked = []  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    far = f"http://127.0.0.1:{server.server_port}"
    code = (
        f"<p>x</p><form id=f method=post action='{far}/form'></form><style>p{{background:url({far}/style)}}</style><script>"
        f"fetch('{far}/fetch').catch(() => 0); new Image().src = '{far}/image'; navigator.sendBeacon('{far}/beacon');"
        f"try {{ new WebSocket('{far.replace('http', 'ws')}/socket') }} catch (e) {{}}"
        f"const s = document.createElement('script'); s.src = '{far}/script'; document.body.append(s);"
        f"onload = () => {{ document.getElementById('f').submit(); location.href = '{far}/moved' }};"
        f"import('{far}/module').catch(() => 0)</script>"
    )
    rendered = render(ElogSummaryPlots("x", f"<html><body>{code}</body></html>" if whole else code))
    assert rendered.scripts
    path = report.write_page(tmp_path / "own", tmp_path / "summary", "harm", rendered, About())
    online = browser.browser.new_context()
    page = online.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.goto(f"file://{path}")
    deadline = time.monotonic() + 20
    while not all(any(f"{far}/{what}" in text for text in said) for what in ("form", "fetch", "image", "module")):
        assert time.monotonic() < deadline, said
        page.wait_for_timeout(20)
    page.wait_for_timeout(500)  # whatever would still reach the server
    assert server.asked == []  # type: ignore[attr-defined]
    page.goto(f"{far}/it-works")
    assert server.asked  # type: ignore[attr-defined]
    online.close()
    server.shutdown()
    server.server_close()


# ---------------------------------------------------------------------------- own pages and the latest


def own_of(summary: Path) -> Path:
    """Where runs have their own pages."""
    return summary.with_name(f"{summary.name}-runs")


def write(folder: Path, name: str, run: str, text: str = "") -> Path:
    """Writes a page as a run would. Returns the run's own."""
    about = About("", "Draw", run, "exp1", "7")
    return report.write_page(own_of(folder) / run, folder, name, RenderedPage(f"<p>{text or run}</p>"), about)


def test_each_run_keeps_its_own_page(project: Project) -> None:
    """C5: `plots`, payload and summary name the run's own page, which a later run leaves alone."""
    project.plugin("one_page")
    project.config()
    runs = [project.run_task("One", "-s", f"One.text={text}") for text in ("one", "two")]
    listed = {row["id"]: row for row in project.lute("history", "--json").json}
    for text, run in zip(("one", "two"), runs, strict=True):
        own = str(Path(run["log"]).parent / "plots/scans/one/report.html")
        shown = project.lute("show", run["id"], "--json").json
        for told in (run, shown, listed[run["id"]]):
            assert (told["plots"], told["payload"], told["summary"]) == ([own], own, own)  # once, though in both
        page = Path(own).read_text()
        assert f"<p>{text}</p>" in page
        assert not Reader(page).all("a")  # it leads nowhere, so it may be taken anywhere
    latest = project.folder / "summary/scans/one/report.html"
    assert "<p>two</p>" in latest.read_text()
    [link] = Reader(latest.read_text()).all("a")
    assert (latest.parent / str(link["href"])).resolve() == project.folder / "summary/index.html"
    assert links(project.folder / "summary/index.html") == ["scans/one/report.html"]


def test_a_page_tells_of_which_run_it_is(project: Project) -> None:
    """C5: parameters that are not the default, metrics and the run's id stand in the page, escaped, without secrets."""
    project.plugin("one_page")
    project.config("One: {text: 'very-secret-thing <br>', metrics: true, lines: [1]}")
    run = project.run_task("One", env={"MY_TOKEN": "very-secret-thing"})
    page = Path(run["plots"][0]).read_text()
    below = page[page.index("<footer>") :]
    pairs = dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", page))
    told = {"hit &lt;rate&gt;": "12.5 %", "text": "*** &lt;br&gt;", "metrics": "true", "lines[0]": "1"}
    assert dict(re.findall("<dt>(.*?)</dt><dd>(.*?)</dd>", below)) == told
    assert pairs["Run id"] == run["id"]
    assert "very-secret-thing" not in below
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(page)


@pytest.mark.parametrize("fail", [False, True])
def test_a_task_shows_figures_beside_its_payload(project: Project, fail: bool) -> None:
    """C5: each `self.show` is a page, drawn as it was then; what is wrong with one is told and decides nothing."""
    project.plugin("one_page")
    project.config(f"Show: {{fail: {str(fail).lower()}}}")
    found = project.lute("run", "Show", "-c", "config.yaml", "-q", "--json").json
    assert (found["status"], found["payload"]) == (("FAILED" if fail else "COMPLETED"), {"n": 1})
    own = Path(found["log"]).parent / "plots"
    names = ["shown/before", "shown/after", "shown/bad", "out", "unnamed"]
    assert found["plots"] == [f"{own / name}/report.html" for name in names]
    assert "Plot: before" in Path(found["plots"][0]).read_text()
    assert "Plot: after" in (project.folder / "summary/shown/after/report.html").read_text()
    log = Path(found["log"]).read_text()
    for told in ("cannot show a builtins.object", "'../out' is no name of a page", "None is no name of a page"):
        assert told in log


def test_a_function_shows_figures(project: Project) -> None:
    """C5: `lute.show` in a function is `self.show` of its Task, and harmless elsewhere."""
    project.plugin("one_page")
    project.config()
    found = project.run_task("ShowTwo")
    assert [Path(page).parent.name for page in found["plots"]] == ["page 0", "page 1"]
    code = "import tasks; print(tasks.show_two(1))"
    done = project.run([sys.executable, "-W", "error", "-c", code], env={"PYTHONPATH": str(project.folder)})
    assert (done.out, done.err) == ("1\n", "")


def test_figures_are_shown_under_another_python(project: Project) -> None:
    """C5: a Task in an interpreter with nothing installed shows, too."""
    code = (
        "from lute.tasks import Task\n\nclass Far(Task):\n    def _run(self):\n        self.show('<p>far</p>', 'x')\n"
    )
    project.write("far.py", code)
    project.write(
        "tasks.py",
        f"""
        from lute import Executor, TaskParameters

        class FarParameters(TaskParameters):
            class Config(TaskParameters.Config):
                task_module = "far"

        Farer = Executor("Far")
        Farer.interpreter({make_bare_python(project.folder / "bare")!r})
        """,
    )
    project.config()
    [page] = project.run_task("Farer")["plots"]
    assert "<p>far</p>" in Path(page).read_text()


@pytest.mark.mpi
def test_rank_zero_alone_shows(project: Project) -> None:
    """C5: of all ranks one shows."""
    project.write(
        "tasks.py",
        """
        from lute import MPIExecutor, Task, TaskParameters

        class RankParameters(TaskParameters):
            pass

        class Rank(Task):
            def _run(self):
                from mpi4py import MPI
                rank = MPI.COMM_WORLD.Get_rank()
                self.show(f"<p>rank {rank}</p>", f"rank {rank}")

        Ranks = MPIExecutor("Rank", ranks=2)
        """,
    )
    project.config()
    [page] = project.run_task("Ranks")["plots"]
    assert "<p>rank 0</p>" in Path(page).read_text()


def test_a_crate_has_the_figure_of_its_run(project: Project) -> None:
    """C5: the crate of a run has the run's figure, that of a workflow one of each run."""
    project.plugin("one_page")
    project.config()
    first = project.run_task("One", "-s", "One.text=one")
    project.run_task("One", "-s", "One.text=two")
    assert project.lute("export", first["id"], "--format", "crate", "-o", "crate").code == 0
    [figure] = (project.folder / "crate").rglob("report.html")
    assert "<p>one</p>" in figure.read_text()
    project.write("flow.yaml", "steps: {draw: {task: One, foreach: [a, b, c], parameters: {text: '{{ item }}'}}}")
    done = project.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "-q", "--json")
    assert project.lute("export", done.json["id"], "--format", "crate", "-o", "flow").code == 0, done
    texts = [re.findall("<p>(.*?)</p>", page.read_text())[0] for page in (project.folder / "flow").rglob("report.html")]
    assert sorted(texts) == ["a", "b", "c"]


def test_runs_of_before_still_have_their_pages(project: Project) -> None:
    """C5: a row whose page is in the summary folder finds it there, or where it was kept from a later run's."""
    project.plugin("one_page")
    project.config()
    run = project.run_task("One")
    page = project.folder / "summary/scans/one/report.html"
    with sqlite3.connect(project.folder / "lute.db") as there:
        there.execute("UPDATE lute_runs SET plots = ?", (json.dumps([str(page)]),))
    there.close()
    assert project.lute("show", run["id"], "--json").json["plots"] == [str(page)]
    kept = project.write(f"summary/scans/one/history/{run['id']}.html", "kept")
    assert project.lute("history", "--json").json[0]["plots"] == [str(kept)]


def test_there_is_no_moment_without_a_whole_page(tmp_path: Path) -> None:
    """B4: who looks while a page is written again sees the old one or the new one."""
    write(tmp_path, "page", "first")
    path = tmp_path / "page/report.html"
    looks, stop = [0], threading.Event()
    wrong: list[str] = []

    def look() -> None:
        while not stop.is_set():
            looks[0] += 1
            text = path.read_text()
            if not text.endswith("</html>\n"):
                wrong.append(text)

    thread = threading.Thread(target=look)
    thread.start()
    for number in range(100):
        write(tmp_path, "page", f"run{number}", "x" * 100_000)
    stop.set()
    thread.join()
    assert looks[0] > 20
    assert wrong == []


def test_two_pages_of_one_run_with_one_name_both_survive(project: Project) -> None:
    """A4: no figure of a run is lost to another of the same run."""
    project.plugin("one_page")
    project.config("One: {twice: true}")
    for _ in range(2):
        found = project.run_task("One")
        own = Path(found["log"]).parent / "plots"
        assert found["plots"] == [f"{own}/scans/one/report.html", f"{own}/scans/one (2)/report.html"]
        for folder in (own, project.folder / "summary"):
            assert "<p>first</p>" in (folder / "scans/one/report.html").read_text()
            assert "<p>other</p>" in (folder / "scans/one (2)/report.html").read_text()


@pytest.mark.parametrize(
    "name", ["index.html", "report.html", "a/report.html", "history", "a/history", ".lock", "../x"]
)
def test_names_that_are_our_own(tmp_path: Path, name: str) -> None:
    """A1: a page may have any name, also that of a file of ours."""
    summary = tmp_path / "summary"
    write(summary, "a", "one")
    write(summary, "a", "two")
    path = write(summary, name, "three")
    index = report.write_index(summary)
    assert own_of(summary) / "three" in path.parents
    assert index.is_file()
    assert "<p>three</p>" in path.read_text()
    assert "<p>two</p>" in (summary / "a/report.html").read_text()
    assert len(re.findall('class="page"', index.read_text())) == 2


# ---------------------------------------------------------------------------------------- index


def links(index: Path) -> list[str]:
    """The pages that an index leads to, in order."""
    text = index.read_text(encoding="utf-8")
    return [str(found["href"]) for found in Reader(text).all("a") if found.get("class") == "page"]


def test_the_index_has_tabs_and_pages(tmp_path: Path) -> None:
    """B4: tabs by the first folder of display names, pages below them, the newest first, links that lead there."""
    names = ["scans/a & b", "scans/deep/er", "top", "indexing/<x>", "scans/100 %#?"]
    for name in names:
        write(tmp_path, name, f"run-{len(name)}")
    write(tmp_path, "scans/a & b", "later")
    index = report.write_index(tmp_path)
    text = index.read_text(encoding="utf-8")
    parser = html5lib.HTMLParser(strict=True)
    parser.parse(text)
    assert re.findall(r'<label for="tab-\d">(.*?) <span', text) == ["indexing", "scans", "General"]
    found = links(index)
    assert found[1:4] == [
        "scans/a%20%26%20b/report.html",
        "scans/100%20%25%23%3F/report.html",
        "scans/deep/er/report.html",
    ]
    assert len(found) == len(names)
    assert "<script" not in text
    assert Reader(text).loads == []


def test_the_index_works_in_a_browser(tmp_path: Path, browser: Any) -> None:
    """B4: from a file, a tab shows its pages, and a link opens one; from there one comes back."""
    write(tmp_path, "indexing/one", "r1")
    write(tmp_path, "scans/a & b", "r2")
    seen = Seen(browser, report.write_index(tmp_path))
    assert seen.page.locator("a.page:visible").all_inner_texts() == ["a & b"]
    seen.page.get_by_text("indexing").click()
    assert seen.page.locator("a.page:visible").all_inner_texts() == ["one"]
    seen.page.keyboard.press("ArrowRight")
    assert seen.page.locator("a.page:visible").all_inner_texts() == ["a & b"]
    seen.page.locator("a.page:visible").click()
    assert seen.page.locator("h1").inner_text() == "a & b"
    seen.page.get_by_text("All figures").click()
    assert seen.page.title() == "Figures of exp1"
    assert seen.errors == []
    seen.page.close()


MANY = """
import sys
from pathlib import Path
from lute.publish import report
from lute.publish.page import About
from lute.wire.results import RenderedPage
own, folder, who = Path(sys.argv[1], "runs"), Path(sys.argv[1], "summary"), sys.argv[2]
for number in range(8):
    for name in (f"tab{who}/page{number}", "shared/page"):
        about = About("", "Draw", f"{who}-{number}", "exp1", "7")
        report.write_page(own / f"{who}{number}", folder, name, RenderedPage(f"<p>{who}-{number}</p>"), about)
        report.write_index(folder)
"""


def test_executors_at_the_same_time_lose_nothing(tmp_path: Path) -> None:
    """B4: several processes write pages at once; all are in the index, and each has its own of a shared page."""
    argv = [sys.executable, "-W", "error", "-c", MANY, str(tmp_path)]
    running = [subprocess.Popen([*argv, who], stderr=subprocess.PIPE) for who in "abcde"]
    for process in running:
        _, err = process.communicate(timeout=100)
        assert (process.returncode, err) == (0, b"")
    assert len(links(tmp_path / "summary/index.html")) == 5 * 8 + 1
    versions = (tmp_path / "runs").glob("*/shared/page/report.html")
    texts = {re.findall("<p>(.*?)</p>", file.read_text())[0] for file in versions}
    assert texts == {f"{who}-{number}" for who in "abcde" for number in range(8)}
    assert not list(tmp_path.rglob("*.part"))


def test_pages_that_were_there_before_are_in_the_index(project: Project) -> None:
    """B4: the index is made from the folders: what an older lute wrote, or a person, is in it too."""
    project.plugin("one_page")
    project.config()
    old = project.write("summary/scans/older/report.html", "<html>by hand</html>")
    project.run_task("One")
    assert links(project.folder / "summary/index.html") == ["scans/one/report.html", "scans/older/report.html"]
    assert "by hand" in old.read_text()


# --------------------------------------------------------------------------------------- pictures


def pixels_of(array: Any) -> tuple[np.ndarray[Any, Any], str]:
    """The pixels of an array's picture, read by another library, and what is said of it."""
    text, note = picture(array)
    data = re.findall(r'src="data:image/png;base64,([^"]+)"', text)[0]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))), note


@pytest.mark.parametrize("shape", [(20, 30), (1, 1), (1, 500), (500, 1), (10, 12, 3), (10, 12, 4)])
@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4", "f8", "?", ">f4"])
def test_arrays_are_pictures(shape: tuple[int, ...], dtype: str) -> None:
    """A1: an image array of any common type is a valid PNG of its shape."""
    array = (np.random.default_rng(1).random(shape) * (1 if dtype in ("f4", "f8", ">f4") else 200)).astype(dtype)
    pixels, note = pixels_of(array)
    assert pixels.shape == shape
    assert f"{shape[0]} x {shape[1]} pixels" in note
    if dtype == "u1" and len(shape) == 3:
        assert (pixels == array).all()
    if dtype == "f8" and len(shape) == 3:
        assert abs(pixels / 255 - array).max() < 1 / 255
    if len(shape) == 2 and array.size == 600 and dtype == "f8":
        order = np.argsort(array.ravel())
        assert (np.diff(pixels.ravel()[order].astype(int)) >= 0).all()
        low, high = np.percentile(array, (1, 99))
        assert f"Black is {low:.4g}, white is {high:.4g} (percentiles 1 and 99)" in note


def test_odd_values_are_pictures() -> None:
    """A1: NaN, infinities, masks and constant pictures are shown, and no warning is given."""
    array = np.array([[np.nan, 1.0, 2.0, np.inf, -np.inf]])
    pixels, note = pixels_of(array)
    assert pixels.tolist() == [[0, 0, 255, 255, 0]]
    assert "values from 1 to 2" in note
    assert pixels_of(np.ma.masked_greater(np.array([[1.0, 2.0, 9.0]]), 5))[0].tolist() == [[0, 255, 0]]
    assert pixels_of(np.full((3, 3), 7))[0].max() == 0
    assert "No finite values" in pixels_of(np.full((3, 3), np.nan))[1]


def test_a_large_picture_keeps_its_peaks() -> None:
    """A1: a detector larger than a page is shown smaller, and no peak disappears."""
    array = np.zeros((9000, 6000), "u2")
    array[4321, 1234] = 50_000
    pixels, note = pixels_of(array)
    assert pixels.shape == (3000, 2000)
    assert pixels[1440, 411] == 255
    assert "each shown pixel the greatest of 3 x 3" in note


@pytest.mark.parametrize("shape", [(5,), (5, 6, 7), (0, 5), (2, 3, 4, 3)])
def test_other_arrays_are_refused(shape: tuple[int, ...]) -> None:
    """A1: an array that is no picture is told, with what to give."""
    with pytest.raises(TypeError, match=r"is no picture: give \(rows, cols\)"):
        picture(np.zeros(shape))


def test_one_figure_that_fails_takes_no_other_with_it(project: Project) -> None:
    """A4: in the place of a figure that cannot be drawn the page says why; the others are there."""
    project.plugin("one_page")
    project.config("One: {some_fail: true}")
    found = project.run_task("One")
    text = Path(found["plots"][0]).read_text()
    assert found["status"] == "COMPLETED"
    assert "<p>fine</p>" in text
    assert "ElogSummaryPlots cannot show a builtins.object" in text
    assert "is no picture" in text
    assert json.dumps(found["payload"]) == json.dumps(found["plots"][0])
