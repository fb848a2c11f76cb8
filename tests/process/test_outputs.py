"""What a run says that it made is what it made (SPEC C1)."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from conftest import Outcome, Project
from lute.execution import outputs
from lute.record.store import Record
from lute.web.shown import shown

OLD = 1577836800


@pytest.fixture
def bench(project: Project) -> Project:
    """A project with two files to be sorted, and a script that writes what its argument says."""
    project.plugin("outputs")
    project.config()
    project.write("light.txt", "b\na\n")
    project.write("dark.txt", "d\nc\n")
    script(project, 'eval "$1"')
    return project


def script(project: Project, text: str) -> None:
    """Writes the program of the Task Script."""
    project.write("script.sh", f"#!/bin/sh\n{text}\n").chmod(0o755)


def old(project: Project, name: str, text: str = "old") -> Path:
    """Writes a file of the year 2020."""
    file = project.write(name, text)
    os.utime(file, (OLD, OLD))
    return file


def run_script(project: Project, text: str, **parameters: str) -> dict[str, Any]:
    """Runs the script; `text` is what it does."""
    settings = [f"Script.{name}={value}" for name, value in parameters.items()]
    return project.run_task("Scripter", "-s", f"Script.text={text}", *(one for s in settings for one in ("-s", s)))


# ------------------------------------------------------------------------------------------- fresh


def test_an_output_that_was_there_is_none_of_this_run(bench: Project) -> None:
    """R2: FAILED, with the time of what is there, in words that SPEC gives."""
    old(bench, "old.txt")
    run = run_script(bench, "true", out="old.txt")
    of = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(OLD))
    assert (run["status"], run["valid"]) == ("FAILED", False)
    assert run["reason"] == f"its output out = old.txt was not written by this run (it is of {of})"


@pytest.mark.parametrize(
    "how",
    [
        "touch old.txt",
        "echo new > old.txt",
        "printf old > old.txt",
        "printf old > x; mv x old.txt",
        "printf old | tee old.txt",
    ],
)
def test_what_counts_as_written(bench: Project, how: str) -> None:
    """C1: another inode, size or time: written anew with the same text, too, and in the same tick of the clock."""
    bench.write("old.txt", "old")
    assert run_script(bench, how, out="old.txt")["status"] == "COMPLETED"


def test_a_file_put_in_place_with_an_old_time_counts(bench: Project) -> None:
    """C1: `cp -p` and unpacking keep the time of long ago; that it was not there before is enough."""
    old(bench, "source.txt")
    assert run_script(bench, "cp -p source.txt made.txt", out="made.txt")["status"] == "COMPLETED"


def test_programs_that_leave_alone_what_is_up_to_date(bench: Project) -> None:
    """C1: `may_be_old` takes what is there."""
    old(bench, "old.txt")
    assert run_script(bench, "true", old="old.txt")["status"] == "COMPLETED"
    assert run_script(bench, "true", old="none.txt")["reason"] == "its output old = none.txt is missing"


def test_an_output_is_no_argument(bench: Project) -> None:
    """R10: a field with `Output()` alone never reaches the command line, and `lute check` says so."""
    run = run_script(bench, "echo $# > log.txt", out="log.txt")
    assert run["command"] == ["./script.sh", "echo $# > log.txt"]
    assert (bench.folder / "log.txt").read_text() == "1\n"
    bench.config("Script: {}")
    assert "Script.out is an output and no argument" in bench.lute("check", "-c", "config.yaml").out


def test_a_young_output_is_waited_for(bench: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """C1: what was written within a tick of the clock is waited out, or a new text of its size could not be told."""
    slept: list[float] = []
    monkeypatch.setattr(outputs.time, "sleep", slept.append)
    path = bench.folder / "young.txt"
    path.write_text("x")
    outputs._wait_for_clock(str(path), outputs.state_of(str(path)))
    os.utime(path, (OLD, OLD))
    assert len(slept) == 1
    assert 0 < slept[0] <= outputs.TICK


# ------------------------------------------------------------------------------- folders and patterns


def test_the_folder_of_an_output_is_made(bench: Project) -> None:
    """C1: before the Task starts, but by no dry run; where it cannot be made nothing starts."""
    assert bench.lute("run", "Sorter", "-c", "config.yaml", "--dry-run").code == 0
    assert not (bench.folder / "made").exists()
    assert bench.run_task("Sorter")["status"] == "COMPLETED"
    bench.write("file", "no folder")
    done = bench.lute("run", "Sorter", "-c", "config.yaml", "-s", "Sort.out=file/x.txt")
    assert (done.code, "file of the output out = file/x.txt cannot be made" in done.err) == (2, True), done


def test_a_folder(bench: Project) -> None:
    """C1, R4: some file in it was written; the record has how many, their bytes and one digest of their list."""
    bench.write("out/a.txt", "a")
    os.utime(bench.folder / "out" / "a.txt", (OLD, OLD))
    assert "was not written by this run" in run_script(bench, "true", folder="out")["reason"]
    run = run_script(bench, "mkdir -p out/deep; echo hello > out/deep/b.txt", folder="out")
    [entry] = run["outputs"]
    assert (run["status"], entry["path"], entry["count"], entry["bytes"]) == ("COMPLETED", f"{bench.folder}/out", 2, 7)
    listed = Path(entry["listing"])
    assert listed.parent == Path(run["log"]).parent
    assert [line.split()[-1] for line in listed.read_text().splitlines()] == ["a.txt", "deep/b.txt"]
    assert "is empty" in run_script(bench, "rm -r out; mkdir out", folder="out")["reason"]


def test_a_pattern(bench: Project) -> None:
    """C1: what is given on is the sorted list of this run's files that fit, absolute; the older are not among them."""
    old(bench, "x0.cbf")
    run = run_script(bench, "echo 1 > x2.cbf; echo 1 > x1.cbf", several="*.cbf")
    found = [f"{bench.folder}/x1.cbf", f"{bench.folder}/x2.cbf"]
    assert (run["status"], run["payload"]) == ("COMPLETED", found)
    assert [entry["path"] for entry in run["outputs"]] == found
    none = run_script(bench, "true", several="*.cbf")
    assert none["reason"] == (
        "its output several = *.cbf fits 0 files that this run wrote, of at least 1; 3 that fit are older"
    )
    assert run_script(bench, "true", any_number="*.none")["status"] == "COMPLETED"


def test_a_pattern_that_is_handed_on(bench: Project) -> None:
    """C1: `{{ steps... }}` gives the files, not the pattern."""
    steps = """
        steps:
          write: {task: Scripter, parameters: {text: "mkdir f; echo 1 > f/b.cbf; echo 2 > f/a.cbf", several: "f/*.cbf"}}
          read: {task: Scripter, needs: [write], parameters: {text: "echo {{ steps.write.parameters.several.0 }}"}}
    """
    bench.write("flow.yaml", steps)
    done = bench.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "-q")
    assert done.code == 0, done
    with Record(bench.folder / "lute.db") as record:
        assert record.get("last")["parameters"]["text"] == f"echo {bench.folder}/f/a.cbf"


# ---------------------------------------------------------------------------- who overwrote, who uses


def overwrite(bench: Project, how: str, first: str, name: str = "sorted.txt") -> str:
    """Overwrites what the run `first` wrote. Returns how that is told."""
    made = bench.folder / "made" / name
    if how == "by hand":
        made.write_text("by hand\n")
        return "it has 8 bytes, not 4"
    if how == "gone":
        made.unlink()
        return "it is gone"
    if how == "the same Task, invalid":
        other = bench.run_task("Sorter", "-s", "Sort.in_file=dark.txt")["id"]
    elif how == "another Task":
        other = bench.run_task("Reverser")["id"]
    elif how == "a rerun":
        other = bench.lute("rerun", first, "--set", "Sort.in_file=dark.txt", "--json", "-q").json["id"]
    else:
        bench.write("other.yaml", "steps:\n  other: {task: Reverser}\n")
        assert bench.lute("workflow", "run", "other.yaml", "-c", "config.yaml", "-q").code == 0
        with Record(bench.folder / "lute.db") as record:
            other = record.get("last")["id"]
    bench.lute("invalidate", other)
    return f"run {other} wrote it since"


WAYS = ["by hand", "gone", "the same Task, invalid", "another Task", "a rerun", "a workflow step"]


@pytest.mark.parametrize("how", WAYS)
def test_a_path_that_another_wrote_is_not_handed_on(bench: Project, how: str) -> None:
    """R1: nothing starts; the message says which run wrote it since, and what to do."""
    first = bench.run_task("Sorter")["id"]
    told = overwrite(bench, how, first)
    done = bench.lute("run", "Counter", "-c", "config.yaml")
    assert done.code == 2, done
    expected = (
        f"made/sorted.txt is not what run {first} wrote: {told}. Run {first}'s Task again, or give in_file a value"
    )
    assert expected in done.err
    accepted = bench.lute("run", "Counter", "-c", "config.yaml", "--accept-changed", "--json", "-q")
    assert accepted.json["sources"] == {"in_file": first, "accepted as it is: in_file": first}
    assert accepted.code == (1 if how == "gone" else 0)


@pytest.mark.parametrize("how", WAYS)
def test_a_step_is_not_given_a_path_that_another_wrote(bench: Project, how: str) -> None:
    """C1: within a workflow the step that needs it is FAILED, whoever wrote it in between."""
    steps = """
        steps:
          sort: {task: Sorter}
          spoil: {task: Scripter, needs: [sort], parameters: {text: %s}}
          count: {task: Counter, needs: [sort, spoil], parameters: {in_file: "{{ steps.sort.parameters.out }}"}}
    """
    commands = {"by hand": "echo 1 > made/sorted.txt", "gone": "rm made/sorted.txt"}
    command = commands.get(how, "echo no > made/sorted.txt")
    bench.write("flow.yaml", steps % json.dumps(command))
    done = bench.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "--json", "-q")
    states = {step["step"]: (step["status"], step["reason"]) for step in done.json["steps"]}
    assert states["count"][0] == "FAILED", done
    assert "made/sorted.txt is not what run" in states["count"][1]


@pytest.mark.parametrize("how", WAYS)
def test_a_path_that_another_wrote_is_neither_published_nor_shown(bench: Project, how: str) -> None:
    """C1, C5: no crate has it as the run's own, and no page shows it; both say so."""
    bench.config("Sort: {out: made/sorted.html}\nReverse: {out: made/sorted.html}")
    first = bench.run_task("Sorter")["id"]
    with Record(bench.folder / "lute.db") as record:
        row = record.get(first)
    assert [one.why_not for one in shown(row)] == [""]
    overwrite(bench, how, first, "sorted.html")
    done = bench.lute("export", first, "--format", "crate", "-o", "crate")
    assert done.code == 0, done
    assert f"not in the crate: {bench.folder}/made/sorted.html: it " in done.err
    assert not list((bench.folder / "crate").rglob("sorted.html"))
    assert [bool(one.why_not) for one in shown(row)] == [True]


def test_a_digest_decides_over_the_time(bench: Project) -> None:
    """C1: with a kept digest, touched but equal is good."""
    bench.config("{}", "digests: true")
    bench.run_task("Sorter")
    made = bench.folder / "made" / "sorted.txt"
    made.write_text(made.read_text())
    assert bench.run_task("Counter")["status"] == "COMPLETED"
    made.write_text("c\nd\n")
    done = bench.lute("run", "Counter", "-c", "config.yaml")
    assert (done.code, "its contents are others" in done.err) == (2, True), done


def test_a_folder_that_is_handed_on(bench: Project) -> None:
    """C1, R4: a file in it that was changed, added or deleted is seen."""
    for spoil in ("echo x >> out/a", "echo x > out/c", "rm out/b"):
        run_script(bench, "mkdir -p out; echo 1 > out/a; echo 2 > out/b; rm -f out/c", folder="out")
        assert bench.run_task("FolderReader")["status"] == "COMPLETED"
        bench.run(["sh", "-c", spoil])
        done = bench.lute("run", "FolderReader", "-c", "config.yaml")
        assert (done.code, "it has other files" in done.err) == (2, True), (spoil, done)


def test_what_is_replaced_is_said_before_and_shown_after(bench: Project) -> None:
    """C1: `run`, `rerun` and `--dry-run` say what of a valid run they replace; that run shows who replaced it."""
    first = bench.run_task("Sorter")["id"]
    told = f"this replaces made/sorted.txt, which run {first} wrote"
    assert told in bench.lute("run", "Sorter", "-c", "config.yaml", "--dry-run").out
    second = bench.lute("rerun", first, "-q", "--json")
    assert told in second.err
    replaced = bench.lute("show", first, "--json").json["outputs"][0]
    assert replaced["replaced_by"] == second.json["id"]
    assert f"replaced by run {second.json['id']}" in bench.lute("show", first).out
    assert bench.lute("history").out.count("COMPLETED (replaced)") == 1
    third = bench.lute("run", "Sorter", "-c", "config.yaml", "-q")
    assert f"which run {second.json['id']} wrote" in third.err
    assert bench.lute("show", first, "--json").json["outputs"][0] == replaced, "the first that did"


def test_who_wrote_nothing_replaces_nothing(bench: Project) -> None:
    """C1: a later run that leaves the file as it is, FAILED or not, is not told to have replaced it."""
    first = run_script(bench, "echo 1 > out.txt", out="out.txt")
    assert run_script(bench, "true", out="out.txt")["status"] == "FAILED"
    assert run_script(bench, "true", old="out.txt")["status"] == "COMPLETED"
    assert "replaced_by" not in bench.lute("show", first["id"], "--json").json["outputs"][0]


# -------------------------------------------------------------------------------- names of the run's own


def test_the_run_s_own_folder(bench: Project) -> None:
    """C1: `{{ run_dir }}` is of this run alone, there before the Task starts, also in a default."""
    first, second = bench.run_task("Copier"), bench.run_task("Copier")
    for run in (first, second):
        assert run["payload"] == f"{Path(run['log']).parent}/files/copy.txt"
        assert Path(run["payload"]).read_text() == "b\na\n"
        assert "replaced_by" not in run["outputs"][0]


def test_the_run_s_names_anywhere(bench: Project) -> None:
    """C1: in a parameter, with `--set`, in a list; `--dry-run` shows them as written."""
    run = bench.run_task("Sorter", "-s", "Sort.out={{ run_dir }}/{{ run_id }}.txt")
    assert run["payload"] == f"{Path(run['log']).parent}/files/{run['id']}.txt"
    shown = bench.lute("run", "Sorter", "-c", "config.yaml", "-s", "Sort.out={{ run_dir }}/x.txt", "--dry-run").out
    assert "sort light.txt -o '{{ run_dir }}/x.txt'" in shown


def test_a_name_of_the_file_s_own_wins(bench: Project) -> None:
    """C1: who has an entry `run_id` keeps it; `lute check` notes that."""
    bench.config("run_id: mine\nSort: {out: 'made/{{ run_id }}.txt'}")
    assert bench.run_task("Sorter")["payload"] == "made/mine.txt"
    assert "run_id is a name of this file's own" in bench.lute("check", "-c", "config.yaml").out


def test_the_run_s_names_are_names_to_reuse(bench: Project) -> None:
    """C1: for reuse they count as names: the same step is not run again because its folder is another."""
    bench.write("flow.yaml", "steps:\n  sort: {task: Sorter, parameters: {out: '{{ run_dir }}/sorted.txt'}}\n")
    assert workflow(bench).out.count("(reused)") == 0
    assert workflow(bench).out.count("(reused)") == 1
    with Record(bench.folder / "lute.db") as record:
        row = record.get("last")
    assert row["payload"] == f"{Path(row['log']).parent}/files/sorted.txt"


def workflow(bench: Project) -> Outcome:
    """Runs the workflow, which must complete."""
    done = bench.lute("workflow", "run", "flow.yaml", "-c", "config.yaml")
    assert done.code == 0, done
    return done


# ---------------------------------------------------------------------------------- two that write one path


def test_two_steps_that_write_one_path(bench: Project) -> None:
    """C1: where neither needs the other that is an error before anything starts."""
    bench.write("flow.yaml", "steps:\n  a: {task: Sorter}\n  b: {task: Reverser}\n")
    done = bench.lute("workflow", "run", "flow.yaml", "-c", "config.yaml")
    assert done.code == 2, done
    assert "step b: out = " in done.err
    assert "made/sorted.txt is also written by step a, and neither needs the other" in done.err
    bench.write("flow.yaml", "steps:\n  a: {task: Sorter}\n  b: {task: Reverser, needs: [a]}\n")
    assert workflow(bench).code == 0


def test_two_instances_that_write_one_path(bench: Project) -> None:
    """C1: where it is known only when their turn comes, the later is FAILED."""
    bench.write(
        "flow.yaml",
        "steps:\n  a: {task: Sorter, foreach: [light.txt, dark.txt], parameters: {in_file: '{{ item }}'}}\n",
    )
    done = bench.lute("workflow", "run", "flow.yaml", "-c", "config.yaml", "-j", "1", "--json")
    assert done.code == 1, done
    assert [step["status"] for step in done.json["steps"]] == ["COMPLETED", "FAILED"]
    assert "is also written by a[0], and neither needs the other" in done.json["steps"][1]["reason"]
