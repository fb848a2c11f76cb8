"""Files in place of a program's standard streams: directly, in the child, and for what starts MPI ranks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conftest import Project
from process.helpers import make_bare_python, start, wait_until

KINDS = ("Upper", "UpperOwn")
"""A program that the launcher starts, and one that its own class becomes."""


@pytest.fixture
def lab(project: Project) -> Project:
    """A project with the programs and a file to read."""
    project.plugin("streams")
    project.config()
    project.write("in.txt", "one\n$(touch hacked) `touch hacked`\n")
    return project


def lines(log: str) -> list[str]:
    """The lines that the program printed into its run's log: all behind the one that tells its command."""
    text = Path(log).read_text()
    return text[text.index("file=sys.stderr)") :].splitlines()[2:]


UPPER = "ONE\n$(TOUCH HACKED) `TOUCH HACKED`\n"


@pytest.mark.parametrize("task", KINDS)
def test_a_program_reads_and_prints_to_files(lab: Project, task: str) -> None:
    """C4: opened without a shell, no arguments; with `Stdout()` only standard error goes to the log."""
    row = lab.run_task(task, "-s", f"{task}.data=in.txt", "-s", f"{task}.out=new folder/o ut.txt")
    assert (row["status"], row["returncode"]) == ("COMPLETED", 0), row
    out = lab.folder / "new folder" / "o ut.txt"
    assert out.read_text() == f"{UPPER}out of one\n"
    assert lines(row["log"]) == ["err of one"]
    assert not any("in.txt" in argument or "o ut" in argument for argument in row["command"])
    assert not (lab.folder / "hacked").exists()
    assert row["payload"] == "new folder/o ut.txt"
    assert [file["path"] for file in row["outputs"]] == [str(out)]
    assert str(lab.folder / "in.txt") in [file["path"] for file in row["inputs"]]


@pytest.mark.parametrize("task", KINDS)
def test_standard_error_has_a_file(lab: Project, task: str) -> None:
    """C4: with `Stderr()` standard error goes to that file, and standard output to the log."""
    row = lab.run_task(task, "-s", f"{task}.data=in.txt", "-s", f"{task}.err=err.txt")
    assert row["status"] == "COMPLETED", row
    assert (lab.folder / "err.txt").read_text() == "err of one\n"
    assert lines(row["log"]) == [*UPPER.splitlines(), "out of one"]


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize("value", ["null", "''"])
def test_what_is_not_given_is_not_redirected(lab: Project, task: str, value: str) -> None:
    """C4: None and "" leave standard input empty and both outputs in the log."""
    row = lab.run_task(task, "-s", f"{task}.data=null", "-s", f"{task}.out={value}")
    assert lines(row["log"]) == ["out of one", "err of one"], row


@pytest.mark.parametrize("task", ["Add", "AddOwn"])
def test_a_file_is_added_to(lab: Project, task: str) -> None:
    """C4: `Stdout(append=True)` and `Stderr(append=True)` keep what is there."""
    (lab.folder / "out.txt").write_text("before\n")
    given = ("-s", f"{task}.data=in.txt", "-s", f"{task}.out=out.txt", "-s", f"{task}.err=err.txt")
    for _ in range(2):
        assert lab.run_task(task, *given)["status"] == "COMPLETED"
    assert (lab.folder / "out.txt").read_text() == f"before\n{UPPER}out of one\n{UPPER}out of one\n"
    assert (lab.folder / "err.txt").read_text() == "err of one\n" * 2


@pytest.mark.parametrize("task", KINDS)
def test_without_append_a_file_begins_empty(lab: Project, task: str) -> None:
    """C4: what was in the file is gone."""
    (lab.folder / "out.txt").write_text("something that is much longer than all that is printed " * 9)
    lab.run_task(task, "-s", f"{task}.out=out.txt")
    assert (lab.folder / "out.txt").read_text() == "out of one\n"


@pytest.mark.parametrize("task", ["Both", "BothOwn"])
def test_both_outputs_in_one_file(lab: Project, task: str) -> None:
    """C4: neither writes over the other."""
    assert lab.run_task(task)["status"] == "COMPLETED"
    assert (lab.folder / "both.txt").read_text() == "1\n2\n3\n4\n"


@pytest.mark.parametrize("task", ["Missing", "MissingOwn"])
def test_a_program_that_is_not_there_says_so_in_the_log(lab: Project, task: str) -> None:
    """C4: what `lute` says of it is not in the program's own files."""
    row = lab.run_task(task)
    assert (row["status"], row["returncode"]) == ("FAILED", 1)
    assert "'no-such-program' not found" in row["reason"]
    assert (lab.folder / "both.txt").read_text() == ""


@pytest.mark.parametrize("task", KINDS)
def test_relative_paths_are_from_the_tasks_folder(lab: Project, task: str) -> None:
    """C4: from `run_directory`, where it is set."""
    with (lab.folder / "tasks.py").open("a") as file:
        file.write("\nfor model in (UpperParameters, UpperOwnParameters):\n    model.Config.run_directory = 'there'\n")
    (lab.folder / "there").mkdir()
    (lab.folder / "in.txt").rename(lab.folder / "there" / "in.txt")
    row = lab.run_task(task, "-s", f"{task}.data=in.txt", "-s", f"{task}.out=sub/out.txt")
    assert row["status"] == "COMPLETED", row
    assert (lab.folder / "there" / "sub" / "out.txt").read_text() == f"{UPPER}out of one\n"


@pytest.mark.parametrize("task", KINDS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["data=missing.txt"], "its stdin {folder}/missing.txt does not exist"),
        (["data=lute.runs"], "its stdin {folder}/lute.runs is a folder"),
        (["data=pipe"], "its stdin {folder}/pipe is a named pipe"),
        (["data=in.txt/below"], "its stdin {folder}/in.txt/below cannot be used: Not a directory"),
        (["out=lute.runs"], "its stdout {folder}/lute.runs is a folder"),
        (["out=in.txt/below"], "the folder {folder}/in.txt of the output out = in.txt/below cannot be made"),
        (["err=pipe"], "its stderr {folder}/pipe is a named pipe"),
        (["data=in.txt", "out=same.txt"], "its stdout {folder}/same.txt is read as standard input"),
    ],
)
def test_a_file_that_cannot_be_used_is_found_before_the_start(
    lab: Project, task: str, given: list[str], said: str
) -> None:
    """C4: exit status 2, and nothing is recorded as started."""
    (lab.folder / "lute.runs").mkdir()
    (lab.folder / "same.txt").symlink_to("in.txt")
    os.mkfifo(lab.folder / "pipe")
    settings = [part for one in given for part in ("-s", f"{task}.{one}")]
    outcome = lab.lute("run", task, "-c", "config.yaml", *settings)
    assert outcome.code == 2, outcome
    assert f"{task}: {said.format(folder=lab.folder)}" in outcome.err
    assert not list((lab.folder / "lute.runs").iterdir())
    assert not (lab.folder / "lute.db").exists()
    assert (lab.folder / "in.txt").read_text() != ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read and write everything")
def test_a_file_without_permission_is_found_before_the_start(lab: Project) -> None:
    """C4: a file that cannot be read, one that cannot be written, and a folder."""
    (lab.folder / "in.txt").chmod(0)
    (lab.folder / "kept").mkdir(mode=0o500)
    for given in ("data=in.txt", "out=in.txt", "out=kept/out.txt", "out=kept/more/out.txt"):
        outcome = lab.lute("run", "Upper", "-c", "config.yaml", "-s", f"Upper.{given}")
        assert outcome.code == 2, outcome


@pytest.mark.parametrize("task", KINDS)
def test_dry_run_shows_the_files_and_makes_nothing(lab: Project, task: str) -> None:
    """C4: JSON keys `stdin`, `stdout`, `stderr`; no folder is made."""
    given = ("-c", "config.yaml", "--dry-run", "-s", f"{task}.data=in.txt", "-s", f"{task}.out=sub/o ut.txt")
    shown = lab.lute("run", task, *given, "--json").json
    streams = [shown[name] for name in ("stdin", "stdout", "stderr")]
    assert streams == [str(lab.folder / "in.txt"), str(lab.folder / "sub" / "o ut.txt"), None]
    out = lab.lute("run", task, *given).out
    assert f"  stdin     < {lab.folder}/in.txt\n  stdout    > '{lab.folder}/sub/o ut.txt'\n" in out
    assert not (lab.folder / "sub").exists()


def test_tasks_shows_how_the_files_are_written(lab: Project) -> None:
    """C4: as a shell would write them."""
    written = {}
    for task in ("Upper", "Add", "Both"):
        about = lab.lute("tasks", task, "-c", "config.yaml", "--json").json
        written[task] = {one["name"]: one["written"] for one in about["parameters"] if "file" in one["written"]}
    assert written == {
        "Upper": {"data": "< file", "out": "> file", "err": "2> file"},
        "Add": {"data": "< file", "out": ">> file", "err": "2>> file"},
        "Both": {"out": "> file, 2> file"},
    }


def test_the_rendered_template_is_standard_input(lab: Project) -> None:
    """C4: what `lute` itself writes before the start need not be there earlier."""
    lab.write("templates/in.txt", "n is {{ n }}\n")
    row = lab.run_task("Made", "-s", "Filled.n=3")
    assert row["status"] == "COMPLETED", row
    assert Path(row["log"]).read_text().endswith("n is 3\n")


def test_a_tasklet_makes_standard_input(lab: Project) -> None:
    """C4: a tasklet that runs before the Task may write the file; if it does not, the run says so."""
    row = lab.run_task("Prepared", "-s", "Upper.data=made.txt", "-s", "Upper.out=out.txt")
    assert row["status"] == "COMPLETED", row
    assert (lab.folder / "out.txt").read_text().startswith("FROM A TASKLET")


def test_streams_of_what_is_no_program(lab: Project) -> None:
    """C4: a Task in Python has no file in place of a stream."""
    outcome = lab.lute("run", "InPython", "-c", "config.yaml", "-s", "InPython.data=in.txt")
    assert (outcome.code, "InPython is no ThirdPartyTask" in outcome.err) == (2, True), outcome


@pytest.mark.parametrize("executor", ["Ranked", "RankedOwn"])
@pytest.mark.mpi
def test_ranks_share_the_files_of_what_starts_them(lab: Project, executor: str) -> None:
    """C4: the files are those of `mpirun`; the lines in them have no label, those in the log have."""
    task = executor.replace("Ranked", "Upper")
    row = lab.run_task(executor, "-s", f"{task}.data=in.txt", "-s", f"{task}.out=out.txt")
    assert row["status"] == "COMPLETED", row
    printed = (lab.folder / "out.txt").read_text()
    assert sorted(printed.splitlines()) == sorted([*UPPER.splitlines(), "out of 0", "out of 1"])
    assert sorted(lines(row["log"])) == ["[0] err of 0", "[1] err of 1"]


@pytest.mark.mpi
def test_ranks_print_errors_to_a_file(lab: Project) -> None:
    """C4: standard error of all ranks, as they print it."""
    row = lab.run_task("Ranked", "-s", "Upper.err=err.txt")
    assert row["status"] == "COMPLETED", row
    assert sorted((lab.folder / "err.txt").read_text().splitlines()) == ["err of 0", "err of 1"]
    assert sorted(lines(row["log"])) == ["[0] out of 0", "[1] out of 1"]


def test_a_program_is_paused_and_cancelled_though_its_output_is_a_file(lab: Project) -> None:
    """C4, B1: its processes are found by the log all the same."""
    wait = 'code="import sys, time; print(1, file=sys.stderr, flush=True); time.sleep(600)"'
    with start(lab, "run", "Upper", "-c", "config.yaml", "-q", "-s", f"Upper.{wait}", "-s", "Upper.out=o") as process:
        wait_until(lambda: lab.lute("log", "last", "-c", "config.yaml").out.endswith("\n1\n"), "it has printed")
        for command, status in (("pause", "STOPPED"), ("resume", "RUNNING"), ("cancel", "CANCELLED")):
            told = lab.lute(command, "last", "-c", "config.yaml", "--json")
            assert (told.code, told.json["status"]) == (0, status), told
        process.communicate(timeout=30)
    assert process.returncode == 143


def test_a_program_of_another_python_has_files(lab: Project, tmp_path: Path) -> None:
    """C4, A4: its class is in a module of its own, under a Python that has nothing installed."""
    lab.write("far.py", "from lute.tasks import ThirdPartyTask\n\n\nclass Far(ThirdPartyTask):\n    pass\n")
    with (lab.folder / "tasks.py").open("a") as file:
        file.write(
            "\n\nclass FarParameters(UpperParameters):\n"
            "    class Config(UpperParameters.Config):\n        task_module = 'far'\n"
            f"\n\nFarer = Executor('Far')\nFarer.interpreter({make_bare_python(tmp_path / 'bare')!r})\n"
        )
    row = lab.run_task("Farer", "-s", "Far.data=in.txt", "-s", "Far.out=new/out.txt")
    assert row["status"] == "COMPLETED", row
    assert (lab.folder / "new" / "out.txt").read_text() == f"{UPPER}out of one\n"


def test_two_steps_that_print_to_one_file(lab: Project) -> None:
    """C1: where neither needs the other that is an error before the start, but not where both add to it."""
    lab.config("Upper: {out: out.txt}\nUpperOwn: {out: out.txt}\nAdd: {out: log.txt}\nAddOwn: {out: log.txt}")
    lab.write("flow.yaml", "steps:\n  a: {task: Upper}\n  b: {task: UpperOwn}\n")
    done = lab.lute("workflow", "run", "flow.yaml", "-c", "config.yaml")
    assert done.code == 2, done
    assert "out.txt is also written by step a, and neither needs the other" in done.err
    lab.write("flow.yaml", "steps:\n  a: {task: Add}\n  b: {task: AddOwn}\n  c: {task: Add, foreach: [1, 2]}\n")
    assert lab.lute("workflow", "run", "flow.yaml", "-c", "config.yaml").code == 0
    assert (lab.folder / "log.txt").read_text().count("out of one") == 4
