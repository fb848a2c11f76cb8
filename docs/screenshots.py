"""Makes the pictures of the web page that the documentation shows: a small experiment is run, and looked at.

    python docs/screenshots.py [FOLDER]

needs the extras `web` and `plots`, Playwright and a Chromium (`$CHROMIUM`, or `chromium` on the PATH).
Files written: `*.png` in FOLDER, or in `docs/images`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, expect, sync_playwright

LUTE = [sys.executable, "-m", "lute"]
IMAGES = Path(__file__).parent / "images"
LARGEST = 150_000
"""Largest picture, in bytes."""
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
HEIGHTS = {"list": 560, "failed-run": 600, "compare": 650, "workflow": 530}
"""Of pictures that end before the page does, in pixels."""
LAPTOP, PHONE = {"width": 1120, "height": 700}, {"width": 390, "height": 760}

TASKS = '''
import math, random, time
from lute import ElogSummaryPlots, Executor, Field, Task, TaskParameters, TaskStatus


class FindPeaksParameters(TaskParameters):
    """Find the Bragg peaks of every frame."""

    threshold: float = Field(6.0, description="smallest signal over noise")
    frames: int = Field(60, description="how many frames are looked at")
    pause: float = Field(0.0, description="time between two frames, in s")


class FindPeaks(Task):
    def _run(self) -> None:
        params = self._task_parameters
        chance = random.Random(f"{params.lute_config.run} {params.threshold}")
        hits = 0
        for frame in range(params.frames):
            peaks = int(chance.gauss(42 - 2 * params.threshold, 9))
            hits += peaks > 20
            print(f"frame {frame:05d}: {peaks} peaks{', a hit' if peaks > 20 else ''}", flush=True)
            self.report_progress(frame + 1, params.frames, "frames")
            time.sleep(params.pause)
        self.log_metric("hit rate", round(100 * hits / params.frames, 1), "%")


class IndexParameters(TaskParameters):
    """Index the hits and refine the unit cell."""

    tolerance: float = Field(0.05, description="largest distance from a lattice point")
    distance: float = Field(0.1451, description="from the sample to the detector, in m")


class Index(Task):
    def _run(self) -> None:
        params = self._task_parameters
        run = int(params.lute_config.run)
        if params.distance > 0.2:
            print("312 hits, 0 lattices\\nnearest lattice: 7.1 sigma away, 3.0 are allowed")
            self._result.summary = "no lattice fits any of 312 hits: is the distance right?"
            self._result.task_status = TaskStatus.FAILED
            return
        noise = random.Random(run).gauss(0, 0.02)
        self.log_metric("indexed", round(100 * (0.62 + 0.02 * (run - 40) + noise), 1), "%")
        self.log_metric("resolution", round(2.1 - 0.04 * (run - 40) + noise, 2), "Å")
        self._result.summary = "tetragonal P, a = 79.1 Å, c = 38.0 Å"


class DrawMapParameters(TaskParameters):
    """Draw the map of hits."""


class DrawMap(Task):
    def _run(self) -> None:
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 3.6), layout="constrained")
        axes = figure.subplots()
        chance = random.Random(3)
        axes.plot([math.sin(x / 9) + chance.gauss(0, 0.15) for x in range(120)])
        axes.set(xlabel="frame", ylabel="hits (mean of 100)", title="Hits along the run")
        self._result.summary = ElogSummaryPlots("hits/along_the_run", figure)


PeakFinder, Indexer, HitMap = Executor("FindPeaks"), Executor("Index"), Executor("DrawMap")
'''
CONFIG = """
title: Lysozyme, a first look
experiment: mfxx49820
run: 41
work_dir: "{folder}"
plugins: [tasks.py]
---
FindPeaks: {{}}
Index: {{}}
"""
WORKFLOW = """
steps:
  peaks: {task: PeakFinder}
  index: {task: Indexer, needs: [peaks]}
  map: {task: HitMap, needs: [peaks]}
"""


class Experiment:
    """A folder in which things ran.

    Args:
        folder: The folder, which is empty.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {**os.environ, "TZ": "UTC"}
        (folder / "tasks.py").write_text(TASKS)
        (folder / "config.yaml").write_text(CONFIG.format(folder=folder))
        (folder / "workflow.yaml").write_text(WORKFLOW)

    def lute(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts `lute`."""
        command = [*LUTE, *arguments, "-c", "config.yaml"]
        return subprocess.Popen(command, cwd=self.folder, env=self.env, text=True, stdout=subprocess.PIPE)

    def run(self, *arguments: str) -> None:
        """Runs `lute` to its end, whatever comes out."""
        self.lute(*arguments, "-q").communicate()

    def measure(self) -> None:
        """Runs what a morning of measuring would."""
        for run in range(41, 49):
            number = str(run)
            self.run("run", "PeakFinder", "-r", number)
            wrong = ["-s", "Index.distance=0.25"] if run == 44 else []
            self.run("run", "Indexer", "-r", number, *wrong)
            if run % 2 == 0:
                self.run("run", "HitMap", "-r", number)
        self.run("run", "Indexer", "-r", "47", "-s", "Index.tolerance=0.08")  # to compare with
        self.run("workflow", "run", "workflow.yaml", "-r", "49", "--fresh")


@contextmanager
def served(experiment: Experiment) -> Iterator[str]:
    """Gives the address of a server of an experiment, with its token."""
    server = experiment.lute("serve", "--port", "0", "--json")
    try:
        assert server.stdout is not None
        lines: list[str] = []
        for line in server.stdout:
            lines.append(line)
            if line.startswith("}"):
                break
        yield json.loads("".join(lines))["url"]
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(10)


def pictures(page: Page, experiment: Experiment, save: Callable[[str], None]) -> None:
    """Goes through the main pages."""
    live = experiment.lute("run", "PeakFinder", "-r", "50", "-s", "FindPeaks.pause=0.2", "-q")
    page.reload()
    page.wait_for_selector("td.s-RUNNING")
    save("runs")
    page.click("td.s-RUNNING .cell")
    expect(page.locator(".progress-text")).to_contain_text("(3", timeout=30_000)
    save("live-run")
    live.communicate()
    page.goto(f"{address(page)}/runs/last")
    page.goto(f"{address(page)}/?view=list&task=Index")
    save("list")
    page.goto(f"{address(page)}/?view=list&task=Index&run=47")
    for box in page.locator("input[name=id]").all()[0:2]:
        box.check()
    page.click("text=Compare the two chosen runs")
    page.check("input[name=only]")
    page.click("button[type=submit]")
    save("compare")
    page.goto(f"{address(page)}/?view=list&status=FAILED")
    page.click("table.list th a")
    save("failed-run")
    page.goto(f"{address(page)}/trends?task=Index&metric=resolution")
    save("trends")
    page.goto(f"{address(page)}/workflows")
    page.click("table th a")
    save("workflow")
    page.goto(f"{address(page)}/summary/")
    page.click(".cards a")
    page.frame_locator("iframe").locator("svg, img").first.wait_for()
    save("figure")


def address(page: Page) -> str:
    """Returns the server's address."""
    return "/".join(page.url.split("/")[:3])


def main(folder: Path) -> None:
    """Makes all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    chromium = os.environ.get("CHROMIUM") or shutil.which("chromium") or sys.exit("there is no chromium")
    with tempfile.TemporaryDirectory(prefix="lute-pictures-") as place, sync_playwright() as playwright:
        experiment = Experiment(Path(place))
        experiment.measure()
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        with served(experiment) as url:
            page = browser.new_page(viewport=LAPTOP, timezone_id="UTC")  # type: ignore[arg-type]
            page.goto(url)
            pictures(page, experiment, lambda name: save(page, folder / f"{name}.png"))
            dark: dict[str, Any] = {"color_scheme": "dark", "viewport": PHONE, "timezone_id": "UTC"}
            phone = browser.new_page(**dark)
            phone.goto(url)
            phone.goto(f"{address(phone)}/runs/last")
            save(phone, folder / "phone-at-night.png")
        browser.close()


def save(page: Page, path: Path) -> None:
    """Writes one picture, from the top to as far as it matters."""
    size = page.viewport_size
    assert size is not None
    size["height"] = HEIGHTS.get(path.stem, size["height"])
    page.screenshot(path=path, clip={"x": 0, "y": 0, **size})
    size = path.stat().st_size
    print(f"{path}  {size} bytes")
    if size > LARGEST:
        sys.exit(f"{path} has {size} bytes: at most {LARGEST}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
