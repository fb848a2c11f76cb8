"""Where a run comes from: the runs, files, code and program versions behind it, and the files that it made."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute.record.db import Record
from process.helpers import pids_with, wait_until


@pytest.fixture
def shelf(project: Project) -> Project:
    """A project with Tasks that read and make files."""
    project.plugin("maker")
    project.write("source.txt", "given")
    project.config()
    return project


def run(shelf: Project, name: str, *arguments: str) -> dict[str, Any]:
    """Runs a Task and returns its row in the record."""
    assert shelf.run_task(name, *arguments)["returncode"] == 0
    return row(shelf)


def row(shelf: Project) -> dict[str, Any]:
    """The last run's row."""
    with Record(shelf.folder / "lute.db") as record:
        return record.get("last")


def sha256(text: str) -> str:
    """The digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def tool(shelf: Project, code: str) -> None:
    """Writes the program that tells its version."""
    shelf.write("tool", f"#!/bin/sh\n{code}\n").chmod(0o755)


def test_the_runs_that_values_came_from(shelf: Project) -> None:
    """A5, B2: a value taken from another Task's result is recorded with the id of the run that gave it."""
    first = run(shelf, "Make", "-s", "Make.n=3")
    used = run(shelf, "Use")
    assert used["sources"] == {"made": first["id"], "n": first["id"]}
    assert (used["parameters"]["made"], used["parameters"]["n"]) == ("made.txt", 3)
    assert run(shelf, "Use", "-s", "Use.n=4")["sources"] == {"made": first["id"]}
    assert first["sources"] == {}


def test_the_files_that_were_read_and_made(shelf: Project) -> None:
    """B2: existing files that parameters name, nested ones too, and declared outputs, with size and time."""
    shelf.write("a b.txt", "1")
    found = run(shelf, "Make", "-s", 'Make.nested={files: [a b.txt, none.txt, "source.txt"]}')
    inputs = [(file["parameter"], file["path"], file["size"], file["digest"]) for file in found["inputs"]]
    folder = str(shelf.folder)
    assert inputs == [
        ("source", f"{folder}/source.txt", 5, None),
        ("nested", f"{folder}/a b.txt", 1, None),
        ("nested", f"{folder}/source.txt", 5, None),
    ]
    [made] = found["outputs"]
    assert (made["parameter"], made["path"], made["size"], made["digest"]) == ("out", f"{folder}/made.txt", 4, None)
    assert found["started"] <= made["mtime"] <= found["ended"]
    again = run(shelf, "Make")
    assert [file["path"] for file in again["inputs"]] == [f"{folder}/source.txt"], "an output is no input"


def test_digests_are_taken_when_asked_for(shelf: Project) -> None:
    """B2: with `digests` in the header, inputs and outputs have their SHA-256; one that was changed meanwhile has none."""
    shelf.config("{}", "digests: true")
    found = run(shelf, "Make")
    assert [file["digest"] for file in found["inputs"]] == [sha256("given")]
    assert [file["digest"] for file in found["outputs"]] == [sha256("made")]
    shelf.write("made.txt", "old")
    found = run(shelf, "Make", "-s", "Make.text=made.txt")
    assert {file["parameter"]: file["digest"] for file in found["inputs"]} == {"source": sha256("given"), "text": None}


def git(folder: Path, *arguments: str) -> str:
    """Runs git as a person would."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout


def test_the_code_of_plug_ins(shelf: Project) -> None:
    """B2: each plug-in's file with its digest, and in a Git repository the commit and whether it was changed since."""
    path = shelf.folder / "tasks.py"
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert run(shelf, "Make")["code"] == [
        {"module": "tasks", "path": str(path), "digest": digest, "commit": None, "dirty": None}
    ]
    git(shelf.folder, "init", "-q")
    [code] = run(shelf, "Make")["code"]
    assert (code["commit"], code["dirty"]) == (None, True)
    git(shelf.folder, "add", "tasks.py")
    git(shelf.folder, "commit", "-q", "-m", "first")
    commit = git(shelf.folder, "rev-parse", "HEAD").strip()
    [code] = run(shelf, "Make")["code"]
    assert (code["commit"], code["dirty"]) == (commit, False), "other files do not make it dirty"
    path.write_text(path.read_text() + "\n# changed\n")
    [code] = run(shelf, "Make")["code"]
    assert (code["commit"], code["dirty"]) == (commit, True)


def test_a_git_that_hangs_or_is_not_there(shelf: Project) -> None:
    """B2: `git` never fails a run, nor holds it up for long; no process of it is left."""
    git(shelf.folder, "init", "-q")
    (shelf.folder / "bin").mkdir()
    mark = f"HANGING_GIT_{os.getpid()}"
    fake = shelf.write("bin/git", "#!/bin/sh\nsleep 98 & sleep 98\n")
    fake.chmod(0o755)
    shelf.env |= {"PATH": f"{shelf.folder}/bin:{shelf.env['PATH']}", "MARK": mark}
    found = run(shelf, "Make")
    assert [(code["commit"], code["dirty"]) for code in found["code"]] == [(None, None)]
    wait_until(lambda: not pids_with(mark), "no process is left")
    fake.write_text("no program")
    assert [code["commit"] for code in run(shelf, "Make")["code"]] == [None]


def test_the_version_of_a_program(shelf: Project) -> None:
    """B1: the program's version, where the model says how it is asked for."""
    tool(shelf, 'echo; echo "tool 1.2 ($1)"; echo more')
    assert run(shelf, "Program")["versions"]["program"] == "tool 1.2 (--version)"
    for code in ("exit 3", "sleep 97", "kill -9 $$"):
        tool(shelf, code)
        assert "program" not in run(shelf, "Program")["versions"], code
    (shelf.folder / "tool").unlink()
    assert "program" not in run(shelf, "Program")["versions"]


def test_show_tells_of_it(shelf: Project) -> None:
    """B: `lute show` tells where a run comes from."""
    first = run(shelf, "Make")
    run(shelf, "Use")
    told = shelf.lute("show", "last", "-c", "config.yaml")
    assert first["id"] in told.out, told
    told = shelf.lute("show", first["id"], "-c", "config.yaml")
    assert f"{shelf.folder}/source.txt" in told.out
