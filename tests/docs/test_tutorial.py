"""Runs what the pages show: files are written, commands are run, and their output is compared.

In a page, a fenced block with `title=NAME` is a file, and a block marked `console` holds commands after `$ `, each
followed by what it prints on standard output and standard error. They are taken in the order of the page, in a
folder of its own. A line `...` stands for any number of lines. What differs from one machine and one run to the
next is not compared: ids, times, sizes, process numbers, versions, the home folder and the folders of Python.

`python tests/docs/test_tutorial.py --write [PAGE...]` puts the real output into the pages.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

import lute

ROOT = Path(__file__).resolve().parents[2]
HOME = "/home/you"
FENCE = re.compile(r"^```(?P<kind>[a-z]*)(?: title=(?P<title>\S+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
BIN = Path(sys.executable).parent
OTHER_PYTHON = "/usr/bin/python3"
OTHERS = ("LUTE_", "RUN", "EXPERIMENT", "SLURM")
"""Beginnings of variables that must not reach a page from outside."""


@dataclass
class Block:
    """A fenced block of a page, and where its text stands there."""

    kind: str
    title: str
    text: str
    span: tuple[int, int]


def blocks_of(page: str) -> list[Block]:
    """Returns the fenced blocks of a page's text, in order."""
    return [Block(m["kind"], m["title"] or "", m["text"], m.span("text")) for m in FENCE.finditer(page)]


def commands_of(text: str) -> list[tuple[str, str]]:
    """Returns commands and what they are said to print.

    >>> commands_of("$ true\\n$ echo a\\na\\n")
    [('true', ''), ('echo a', 'a\\n')]
    """
    parts = re.split(r"^\$ (.*)\n", text, flags=re.MULTILINE)
    assert parts[0] == "", "a console block begins with a command"
    return list(zip(parts[1::2], parts[2::2], strict=True))


@contextlib.contextmanager
def servers_for(page: str) -> Iterator[dict[str, str]]:
    """Starts the server that a page needs: PostgreSQL or Slurm. Gives the variables that say where it is."""
    if page.endswith("how-to/slurm.md"):
        from cluster.slurm import Slurm

        slurm = Slurm(nodes=2)
        try:
            slurm.start()
            yield slurm.environment
        finally:
            slurm.close()
        return
    if not page.endswith("how-to/postgresql.md"):
        yield {}
        return
    from postgres import PASSWORD, Server

    server = Server()
    try:
        server.start()
        server.execute("CREATE DATABASE analysis")
        yield {"PGHOST": "127.0.0.1", "PGPORT": str(server.port), "PGUSER": "lute", "PGPASSWORD": PASSWORD}
    finally:
        server.close()


@contextlib.contextmanager
def airflow_for(page: str) -> Iterator[dict[str, str]]:
    """Starts an Airflow for the page that needs one. Gives the variables that it needs."""
    if not needs_airflow(page):
        yield {}
        return
    from cluster.airflow_server import AirflowServer

    server = AirflowServer()
    try:
        server.start()
        yield server.for_a_page()
    finally:
        server.close()


def needs_airflow(page: str) -> bool:
    """Returns whether a page shows commands that need an Airflow."""
    return page.endswith("how-to/airflow.md")


class Shell:
    """A shell session in a folder of its own."""

    def __init__(self, home: Path, more: Mapping[str, str]) -> None:
        self.home = self.folder = home.resolve()
        self.status = 0
        kept = {name: value for name, value in os.environ.items() if not name.startswith(OTHERS)}
        fixed = {"HOME": str(home), "COLUMNS": "80", "TZ": "UTC", "LC_ALL": "C.UTF-8", "PYTHONUNBUFFERED": "1"}
        self.env = {**kept, **fixed, **more, "PATH": f"{BIN}{os.pathsep}{kept['PATH']}{more.get('PATH', '')}"}

    def write(self, name: str, text: str) -> None:
        """Writes a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")

    def run(self, command: str) -> str:
        """Runs a command. Returns what it printed, as a page shows it."""
        if command.startswith("cd "):
            self.folder = self.folder / command[3:].strip()
            return ""
        done = subprocess.run(
            ["bash", "-c", f"(exit {self.status}); {command}"],
            cwd=self.folder,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=60,
            check=False,
        )
        self.status = done.returncode
        return self._as_shown(done.stdout.decode("utf-8", "backslashreplace"))

    def _as_shown(self, text: str) -> str:
        text = text.replace(str(self.home), HOME)
        text = text.replace(str(Path(lute.__file__).parent), f"{HOME}/venv/lib/python3/site-packages/lute")
        text = text.replace(f"{BIN}{os.sep}", f"{HOME}/venv/bin/")
        return "".join(f"{line.rstrip()}\n" for line in text.splitlines())


def comparable(text: str) -> str:
    """Returns a text without what differs from one run to the next."""
    for pattern, instead in (
        (r"\b(?=\w*\d)[0-9a-hjkmnp-tv-z]{12}\b", "ID"),
        (r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+Z)?", "TIME"),
        (r"lute\.runs/\d{4}-\d\d-\d\d", "lute.runs/DATE"),
        (r"\b\d\d:\d\d:\d\d\.\d{3}\b", "CLOCK"),
        (r"\b\d+\.\d+ s\b", "T s"),
        (r'("?(wall_s|user_s|system_s|max_rss_kib|pid|host)"?:?\s+)[^,\n]+', r"\1..."),
        (r'("?python"?:?\s+"?)\d[\d.]+', r"\1VERSION"),
        (r"/site-packages/lute/(\S+), line \d+", r"/site-packages/lute/\1, line N"),
        (r"/bin/python\S*", "/bin/python"),
        (r" +", " "),
    ):
        text = re.sub(pattern, instead, text)
    return text


def agrees(shown: str, real: str) -> bool:
    """Returns whether what a page shows is what was printed; a line `...` is any number of lines."""
    pattern = re.escape(comparable(shown)).replace(re.escape("...\n"), "\0")
    pattern = re.sub(r"(?<![^\n])\0", r"(?:.*\\n)*?", pattern).replace("\0", re.escape("...\n"))
    return re.fullmatch(pattern, comparable(real)) is not None


def runs_of(page: Path, shell: Shell) -> Iterator[tuple[Block, list[tuple[str, str, str]]]]:
    """Writes the files of a page and runs its commands; gives each console block with what came out."""
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.title:
            shell.write(block.title, block.text)
        elif block.kind == "console":
            yield block, [(command, shown, shell.run(command)) for command, shown in commands_of(block.text)]


def pages() -> list[str]:
    """Returns the pages that show commands."""
    found = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [str(page.relative_to(ROOT)) for page in found if "```console\n" in page.read_text(encoding="utf-8")]


def missing(page: str) -> str:
    """Returns what a page needs and this machine has not; empty if nothing is missing."""
    if page.endswith("mpi.md"):
        has_mpi = shutil.which("mpirun", path=f"{BIN}{os.pathsep}{os.environ['PATH']}") and find_spec("mpi4py")
        return "" if has_mpi else "mpirun and mpi4py"
    if page.endswith("another-python.md"):
        test = [OTHER_PYTHON, "-c", "import sys; sys.exit(sys.version_info < (3, 9))"]
        new_enough = os.path.exists(OTHER_PYTHON) and subprocess.run(test, check=False).returncode == 0
        return "" if new_enough else f"{OTHER_PYTHON}, 3.9 or newer"
    return ""


@pytest.mark.parametrize(
    "page", [pytest.param(page, marks=pytest.mark.airflow if needs_airflow(page) else ()) for page in pages()]
)
def test_what_a_page_shows_is_what_happens(page: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    if lacking := missing(page):
        give_up = pytest.fail if os.environ.get("CI") else pytest.skip
        give_up(f"needs {lacking}")
    airflow = request.getfixturevalue("airflow").for_a_page() if needs_airflow(page) else {}
    with servers_for(page) as more:
        for _, outcomes in runs_of(ROOT / page, Shell(tmp_path, {**more, **airflow})):
            for command, shown, real in outcomes:
                assert agrees(shown, real), f"$ {command}\n--- the page shows\n{shown}\n--- it printed\n{real}"


@pytest.mark.parametrize(
    ("shown", "real", "expected"),
    [
        ("run m83753810xcd in 0.02 s\n", "run n93753810xcd in 11.50 s\n", True),
        ("COMPLETED\n", "FAILED\n", False),
        ("first\n...\nlast\n", "first\nsecond\nthird\nlast\n", True),
        ("first\n...\n", "second\n", False),
        ("and so on...\n", "and so on...\n", True),
        ("  log  /x/lute.runs/2026-01-01/log\n", "  log /x/lute.runs/2031-12-31/log\n", True),
    ],
)
def test_comparison_ignores_only_what_must_differ(shown: str, real: str, expected: bool) -> None:
    assert agrees(shown, real) is expected


def write_output(page: Path) -> None:
    """Puts real output into a page; a shown text that agrees with it stays."""
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as home, servers_for(str(page)) as more, airflow_for(str(page)) as airflow:
        found = list(runs_of(page, Shell(Path(home), {**more, **airflow})))
    for block, outcomes in reversed(found):
        new = "".join(f"$ {command}\n{shown if agrees(shown, real) else real}" for command, shown, real in outcomes)
        text = text[: block.span[0]] + new + text[block.span[1] :]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    assert sys.argv[1:2] == ["--write"], __doc__
    sys.path.append(str(ROOT / "tests"))  # as pytest does
    for name in sys.argv[2:] or pages():
        write_output(ROOT / name)
