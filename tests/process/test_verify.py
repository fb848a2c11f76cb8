"""Is a result still what it was, and can it be had again (SPEC C1, C2, C5): `verify`, `rerun --verify`, recorded code."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from conftest import PLUGINS, Project
from lute.record.store import Record


@pytest.fixture
def bench(project: Project) -> Project:
    """A project whose Tasks write files, and give numbers."""
    project.plugin("outputs")
    shutil.copy(PLUGINS / "verified.py", project.folder)
    project.config("{}", "")
    text = (project.folder / "config.yaml").read_text()
    project.write("config.yaml", text.replace("[tasks.py]", "[tasks.py, verified.py]"))
    project.write("light.txt", "b\na\n")
    project.write("factor.py", "FACTOR = 2\n")
    return project


# ------------------------------------------------------------------------------------------ lute verify


def test_all_is_as_recorded(bench: Project) -> None:
    bench.run_task("Sorter")
    bench.run_task("Drawer")
    done = bench.lute("verify")
    assert (done.code, done.out.strip()) == (0, "3 of 3 outputs, kept values and pages of 2 runs are as recorded"), done


@pytest.mark.parametrize("what", ["output", "payload", "page"])
def test_what_is_not_as_recorded(bench: Project, what: str) -> None:
    """C1: each recorded output, kept payload and page; exit 1 if one is not what it was."""
    run = bench.run_task("Sorter" if what == "output" else "Drawer")
    path = {
        "output": f"{bench.folder}/made/sorted.txt",
        "payload": next((item["path"] for item in run["payload"] if isinstance(item, dict)), ""),
        "page": run["plots"][0] if run["plots"] else "",
    }[what] if what != "output" else f"{bench.folder}/made/sorted.txt"  # fmt: skip
    Path(path).write_text("other text\n") if what != "page" else Path(path).unlink()
    done = bench.lute("verify", run["id"])
    assert done.code == 1, done
    assert path in done.out
    told = [check for check in bench.lute("verify", "last", "--json").json if not check["ok"]]
    assert [(check["what"], check["path"]) for check in told] == [(what, path)]


def test_a_replaced_output_names_who_replaced_it(bench: Project) -> None:
    first, second = bench.run_task("Sorter"), bench.run_task("Reverser")
    done = bench.lute("verify")
    assert (done.code, f"run {second['id']} wrote it since" in done.out) == (1, True), (first, done)
    assert bench.lute("verify", second["id"]).code == 0


# --------------------------------------------------------------------------------------- rerun --verify


def test_the_same_again(bench: Project) -> None:
    """C1: it runs in a folder of its own, overwrites nothing, and finds metrics, payload and outputs equal."""
    run = bench.run_task("Sorter")
    made = bench.folder / "made" / "sorted.txt"
    before = made.stat().st_mtime_ns
    done = bench.lute("rerun", run["id"], "--verify", "--json", "-q")
    assert done.code == 0, done
    assert {one["what"]: one["verdict"] for one in done.json["compared"]} == {"payload": "equal", "output out": "equal"}
    assert made.stat().st_mtime_ns == before
    assert bench.lute("verify", run["id"]).code == 0


def test_the_recorded_code_is_run(bench: Project) -> None:
    """C1, C2: what was edited since makes no difference to it, and `--code current` tells of it."""
    run = bench.run_task("Measurer")
    (bench.folder / "factor.py").write_text("FACTOR = 3\n")
    done = bench.lute("rerun", run["id"], "--verify", "-q")
    assert done.code == 0, done
    assert bench.lute("rerun", run["id"], "--code", "recorded", "-q", "--json").json["metrics"]["m"]["value"] == 2.0
    current = bench.lute("rerun", run["id"], "-q", "--json")
    assert current.json["metrics"]["m"]["value"] == 3.0
    assert f"the code in {bench.folder}/factor.py has changed" in current.err


def test_kept_code_that_was_changed_is_not_run(bench: Project) -> None:
    """C2: kept texts are checked against their digests first."""
    run = bench.run_task("Measurer")
    for file in (bench.folder / "lute.runs" / "code").iterdir():
        if file.read_text() == "FACTOR = 2\n":
            file.chmod(0o600)
            file.write_text("FACTOR = 4\n")
    done = bench.lute("rerun", run["id"], "--code", "recorded", "-q")
    assert (done.code, "was not kept as it was" in done.err) == (2, True), done


@pytest.mark.parametrize(("rtol", "code", "verdict"), [("1e-6", 1, "differs"), ("0.5", 0, "within")])
def test_numbers_within_a_tolerance(bench: Project, rtol: str, code: int, verdict: str) -> None:
    """C1: numbers are compared with `--rtol`, in metrics, payload and in texts."""
    run = bench.run_task("ShakyRunner")
    done = bench.lute("rerun", run["id"], "--verify", "--rtol", rtol, "--json", "-q")
    assert done.code == code, done
    assert {one["verdict"] for one in done.json["compared"]} == {verdict}


def test_what_cannot_be_verified(bench: Project) -> None:
    """C1: an input that is another now, an absolute output, a run that failed, and other parameters."""
    run = bench.run_task("Sorter")
    absolute = bench.run_task("Sorter", "-s", f"Sort.out={bench.folder}/absolute.txt")
    failed = bench.run_task("Sorter", "-s", "Sort.in_file=none.txt")
    own = bench.run_task("Sorter", "-s", "Sort.out={{ run_dir }}/x.txt")
    assert bench.lute("rerun", own["id"], "--verify", "-q").code == 0
    for identity, words in ((absolute["id"], "is an absolute path"), (failed["id"], "only what completed")):
        done = bench.lute("rerun", identity, "--verify")
        assert (done.code, words in done.err) == (2, True), done
    assert bench.lute("rerun", run["id"], "--verify", "--set", "Sort.in_file=dark.txt").code == 2
    bench.write("light.txt", "z\n")
    done = bench.lute("rerun", run["id"], "--verify")
    assert (done.code, "light.txt is not what run" in done.err) == (2, True), done
    folders = {path.name for path in (bench.folder / "lute.runs").glob("2*/*")}
    with Record(bench.folder / "lute.db") as record:
        assert folders == {row["id"] for row in record.find()}, "nothing is left of what was not started"


# --------------------------------------------------------------------------------- code, shown and compared


def test_the_code_that_ran_is_shown(bench: Project) -> None:
    """C2: `show --code` prints a text as it ran; `show` says that the file was changed since, and `diff` how."""
    first = bench.run_task("Measurer")
    (bench.folder / "factor.py").write_text("FACTOR = 3\n")
    second = bench.run_task("Measurer")
    assert bench.lute("show", first["id"], "--code", "factor.py").out == "FACTOR = 2\n"
    assert bench.lute("show", second["id"], "--code", "factor").out == "FACTOR = 3\n"
    assert "factor.py (changed since)" in bench.lute("show", first["id"]).out
    differs = bench.lute("diff", first["id"], second["id"])
    assert "-FACTOR = 2\n+FACTOR = 3" in differs.out
    wrong = bench.lute("show", first["id"], "--code", "facter.py")
    assert (wrong.code, "factor.py" in wrong.err) == (2, True), wrong


# ------------------------------------------------------------------------------------ parameters as given


def test_a_validator_that_changes_its_value(bench: Project) -> None:
    """R21: what was given is given again, so that `rerun` and `export` make the same of it each time."""
    text = (bench.folder / "config.yaml").read_text()
    bench.write("config.yaml", text.replace("{}", "Scaled: {e: 9}"))
    run = bench.run_task("Scaler")
    assert (run["parameters"]["e"], run["given"]) == (9000.0, {"e": 9})
    again = bench.lute("rerun", run["id"], "--json", "-q")
    once_more = bench.lute("rerun", again.json["id"], "--json", "-q")
    assert [one.json["parameters"]["e"] for one in (again, once_more)] == [9000.0, 9000.0]
    (bench.folder / "exported.yaml").write_text(bench.lute("export", once_more.json["id"]).out)
    exported = bench.lute("run", "Scaler", "-c", "exported.yaml", "--json", "-q")
    assert exported.json["parameters"]["e"] == 9000.0
    text = (bench.folder / "verified.py").read_text()
    (bench.folder / "verified.py").write_text(text.replace("* 1000", "* 10"))
    told = bench.lute("rerun", run["id"], "-q").err
    assert "e was 9000.0, and is made 90.0 now" in told


# ------------------------------------------------------------------------------- harmless changes, triggers


def reruns(bench: Project, *options: str) -> list[str]:
    """Runs the workflow. Returns the steps that ran."""
    done = bench.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q", *options)
    assert done.code == 0, done
    return [step["step"] for step in done.json["steps"] if not step["reused"]]


@pytest.fixture
def flow(bench: Project) -> Project:
    """A workflow of two steps that has run."""
    bench.write(
        "flow.yaml",
        """
        steps:
          measure: {task: Measurer, reuse: true}
          sort: {task: Sorter}
        """,
    )
    assert reruns(bench) == ["measure", "sort"]
    return bench


def test_a_change_that_is_accepted(flow: Project) -> None:
    """C2: `workflow accept` says once that a change is harmless; who, when and what is recorded."""
    (flow.folder / "factor.py").write_text("FACTOR = 2  # two\n")
    why = flow.lute("workflow", "why", "measure", "flow.yaml", "-c", "config.yaml")
    assert f"the code in {flow.folder}/factor.py" in why.out
    done = flow.lute("workflow", "accept", "measure", "factor.py", "flow.yaml", "-c", "config.yaml")
    assert done.code == 0, done
    assert reruns(flow) == []
    with Record(flow.folder / "lute.db") as record:
        [(path, step)] = record.read("SELECT path, step FROM lute_accepted WHERE who <> '' AND at <> ''")
    assert (path, step) == (f"{flow.folder}/factor.py", "measure")
    (flow.folder / "factor.py").write_text("FACTOR = 2  # three\n")
    assert reruns(flow) == ["measure"], "a further change counts again"


def test_what_cannot_be_accepted(flow: Project) -> None:
    for file, words in (("factor.py", "has not changed"), ("facter.py", "does not depend on the code")):
        done = flow.lute("workflow", "accept", "measure", file, "flow.yaml", "-c", "config.yaml")
        assert (done.code, words in done.err) == (2, True), done


def test_triggers(flow: Project) -> None:
    """C2: only the changes that are named make a step run again."""
    (flow.folder / "factor.py").write_text("FACTOR = 5\n")
    (flow.folder / "light.txt").write_text("other\n")
    assert reruns(flow, "--rerun-triggers", "parameters,program") == []
    assert reruns(flow, "--rerun-triggers", "inputs") == ["sort"]
    assert reruns(flow, "--rerun-triggers", "code") == ["measure"]
    wrong = flow.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--rerun-triggers", "cod")
    assert (wrong.code, "code" in wrong.err) == (2, True), wrong


# ----------------------------------------------------------------------------------------- a moved project


def test_a_project_that_was_moved(bench: Project) -> None:
    """R19: what lies below the work folder is found where the record is now."""
    run = bench.run_task("Drawer")
    bench.run_task("Sorter")
    moved = Project(bench.folder.rename(bench.folder.with_name(f"{bench.folder.name}-moved")))
    text = (moved.folder / "config.yaml").read_text()
    (moved.folder / "config.yaml").write_text(text.replace(str(bench.folder), str(moved.folder)))
    assert moved.lute("log", run["id"]).code == 0
    assert moved.lute("verify").code == 0
    shown: dict[str, Any] = moved.lute("show", run["id"], "--json").json
    assert str(bench.folder) + "/" not in json.dumps(
        {name: shown[name] for name in ("log", "plots", "payload", "code")}
    )
    assert os.path.isfile(shown["plots"][0])
    again = moved.lute("rerun", "last", "-q", "--json")
    assert again.json["log"].startswith(str(moved.folder)), again
