"""Tables of a result on a run's page, in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from conftest import Project
from web.helpers import Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def tabled(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An experiment with tables."""
    project = Project(tmp_path_factory.mktemp("tables"))
    project.plugin("tables")
    project.config()
    return project


@pytest.fixture(scope="module")
def served(tabled: Project) -> Iterator[Served]:
    with serving(tabled, "-c", "config.yaml") as found:
        yield found


def opened(page: Page, served: Served, project: Project, kind: str, rows: int = 0) -> None:
    """Runs the Task and opens the run's page; what the browser refuses or a script raises is an error."""
    run = project.run_task("Tabulator", "-s", f"Tabulate.kind={kind}", "-s", f"Tabulate.rows={rows}")
    page.goto(served.url)
    page.goto(f"{served.address}/runs/{run['id']}")


@pytest.mark.parametrize("place", ["page", "figure"])
def test_a_table_is_sorted_by_a_click_and_escaped(page: Page, served: Served, tabled: Project, place: str) -> None:
    """C5: numbers as numbers, nan and what is missing last, markup as text; on the run's page and on a page of figures."""
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    opened(page, served, tabled, "lute" if place == "page" else "page")
    inside = page if place == "page" else page.frame_locator("iframe.figure")
    table = inside.locator("table").filter(has_text="frame").first
    frames, rates = (table.locator(f"tbody tr td:nth-child({number})") for number in (1, 2))
    expect(frames).to_have_text(["1", "2", "10"])
    head = table.locator("th button").first
    head.click()
    expect(frames).to_have_text(["1", "2", "10"])
    head.press("Enter")
    expect(frames).to_have_text(["10", "2", "1"])
    expect(table.locator("th").first).to_have_attribute("aria-sort", "descending")
    table.locator("th button").nth(1).click()
    expect(rates.first).to_have_text("0.5")
    expect(table).to_contain_text("<script>alert(1)</script>é")
    assert wrong == []


def test_a_long_table_is_cut_and_says_so(page: Page, served: Served, tabled: Project) -> None:
    """C5: at most some hundred rows."""
    opened(page, served, tabled, "lute", 1000)
    expect(page.locator("table.sortable tbody tr")).to_have_count(300)
    expect(page.locator("main")).to_contain_text("the first 300 of 1000 rows")


def test_a_table_whose_file_is_gone_is_told(page: Page, served: Served, tabled: Project) -> None:
    """C5: the page is there all the same; JSON with nan is JSON."""
    opened(page, served, tabled, "nested")
    for file in tabled.folder.glob("lute.runs/*/*/payload.parquet"):
        Path(file).unlink()
    page.reload()
    expect(page.locator("main")).to_contain_text("The file of this table is not there any more")
