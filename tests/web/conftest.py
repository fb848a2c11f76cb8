"""A browser, and an experiment in which something ran."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from conftest import Project
from web.helpers import Served, serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An experiment with a plug-in."""
    project = Project(tmp_path_factory.mktemp("lab"))
    project.plugin("counter")
    project.config()
    return project


@pytest.fixture(scope="module")
def ran(lab: Project) -> Project:
    """The experiment, in which each Task ran: `Counter` with two thresholds, on two acquisitions."""
    lab.run_task("Counter")
    lab.run_task("Counter", "-r", "8", "-s", "Count.threshold=9")
    lab.run_task("Breaker", "-r", "8")
    lab.run_task("Drawer", "-r", "8")
    return lab


@pytest.fixture(scope="module")
def served(ran: Project) -> Iterator[Served]:
    """A server of that experiment."""
    with serving(ran, "-c", "config.yaml") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A real Chromium without a window; not longer than its tests, since Playwright's event loop runs beside it."""
    from playwright.sync_api import sync_playwright

    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    assert chromium, "there is no Chromium to test with: apt-get install chromium, or set CHROMIUM"
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        yield found
        found.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a browser that knows nothing yet. Whatever goes wrong in its scripts fails the test."""
    context = browser.new_context()
    problems: list[str] = []
    found = context.new_page()
    found.on("pageerror", lambda error: problems.append(str(error)))
    found.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    found.on("dialog", lambda dialog: (problems.append(f"a dialog: {dialog.message}"), dialog.dismiss()))
    yield found
    context.close()
    assert not problems
