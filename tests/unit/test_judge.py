"""What a run came to: its status and the reason, by how its processes ended and what the Task sent."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Any

import pytest

from judge_table import CASES, PROGRAM, TASK, Case
from lute import Field, Output, TaskParameters, ThirdPartyParameters
from lute.execution.exit_info import JOB_LIMITS, TIMEOUT, ExitInfo
from lute.execution.outcome import hint, last_line_of, not_started
from lute.execution.outputs import RunOutputs
from lute.models.base import AnalysisHeader
from lute.wire.status import TaskStatus

COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED


class OutputsParameters(TaskParameters):
    """A Task with code, which may write files."""

    out: Annotated[str | None, Output()] = None
    several: Annotated[list[str], Output()] = Field([])
    mark: Annotated[str, Output(may_be_empty=True)] = ""


class SearchedParameters(ThirdPartyParameters):
    """A program that may not be there."""

    executable: str = "prog"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, an empty file, an empty folder and one that holds something."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").write_text("")
    (tmp_path / "full_folder" / "inside").mkdir(parents=True)
    (tmp_path / "full_folder" / "inside" / "file").write_text("text")
    (tmp_path / "empty_folder").mkdir()
    return tmp_path


@pytest.mark.parametrize("case", CASES, ids=[case.case for case in CASES])
def test_how_it_ended(case: Case) -> None:
    """C3: the first thing against a run is the reason, the others stand beside it; the table is the documentation's."""
    assert case.verdict() == (case.status, case.reason, list(case.also))


@pytest.mark.parametrize(
    ("by", "status", "reason"),
    [
        (TIMEOUT, TaskStatus.TIMEDOUT, "its 2 s were over"),
        *((limit, TaskStatus.TIMEDOUT, f"stopped by {limit}") for limit in JOB_LIMITS),
        ("ana on host1", TaskStatus.CANCELLED, "cancelled by ana on host1"),
        ("", TaskStatus.CANCELLED, "cancelled by "),
    ],
)
@pytest.mark.parametrize(
    ("ended", "sent"),
    [
        ({"exit_code": 0}, COMPLETED),
        ({"exit_code": 1}, FAILED),
        ({"signal": "SIGKILL"}, None),
        ({"signal": "SIGKILL", "out_of_memory": True}, None),
        ({"lost": "the launcher is gone"}, None),
        ({"failed": "[Errno 2] no such file", "errno": errno.ENOENT}, None),
    ],
)
def test_stopped_from_outside_comes_first(
    by: str, status: TaskStatus, reason: str, ended: dict[str, Any], sent: TaskStatus | None
) -> None:
    """A3, C3: timeout and cancel win over whatever the processes then did."""
    found = Case("", TASK, {"stopped_by": by, **ended}, status, reason, sent=sent).verdict()
    assert found[:2] == (status, reason)


def test_a_rank_that_failed_counts_if_nothing_was_sent() -> None:
    """A4: what a Task has sent with exit status 0 stands; without it a rank's failure is the reason."""
    ending = {"exit_code": 0, "rank": "rank 3: boom"}
    assert Case("", TASK, ending, COMPLETED, "", sent=COMPLETED).verdict()[0] is COMPLETED
    assert Case("", TASK, ending, FAILED, "").verdict() == (FAILED, "rank 3: boom", [])


def test_what_has_no_end_is_no_success() -> None:
    """A3: a run of which nothing is known did not complete."""
    assert Case("", PROGRAM, {}, FAILED, "").verdict()[0] is FAILED
    assert Case("", TASK, {}, FAILED, "").verdict()[0] is FAILED


@pytest.mark.parametrize(
    ("executable", "number", "reason"),
    [
        ("prog", errno.ENOENT, "program 'prog' not found. PATH searched: /only/here"),
        ("{}/none", errno.ENOENT, "program {}/none not found"),
        ("{}/script", errno.ENOENT, "program {}/script names an interpreter that does not exist: #!/no/such"),
        ("{}", errno.EACCES, "program {} is a folder"),
        ("{}/script", errno.EACCES, "program {}/script is not executable: chmod +x it"),
        ("{}/script", errno.ENOEXEC, "program {}/script is of no format that can be run here"),
        ("prog", errno.E2BIG, "program prog could not be started: the words of the error"),
        ("prog", None, "program prog could not be started: the words of the error"),
    ],
)
def test_a_program_that_did_not_start(folder: Path, executable: str, number: int | None, reason: str) -> None:
    """A4: FAILED, with why it could not be started and where it was looked for."""
    (folder / "script").write_text("#!/no/such\n")
    params = SearchedParameters(lute_config=AnalysisHeader(work_dir="."), executable=executable.format(folder))
    ending = ExitInfo(failed="the words of the error", errno=number)
    found = not_started(ending, params, {"PATH": "/only/here"})
    assert found.startswith(reason.format(folder)), found


MISSING, EMPTY = "is missing", "is empty"
OUTPUTS: list[tuple[dict[str, Any], str | None]] = [
    ({"out": "file"}, None),
    ({"out": "full_folder"}, None),
    ({"out": None}, None),
    ({"out": ""}, None),
    ({"out": "none"}, f"its output out = none {MISSING}"),
    ({"out": "empty"}, f"its output out = empty {EMPTY}"),
    ({"out": "empty_folder"}, f"its output out = empty_folder {EMPTY}"),
    ({"several": []}, None),
    ({"several": ["file", "", "full_folder"]}, None),
    ({"several": ["file", "none"]}, f"its output several = none {MISSING}"),
    ({"several": ["empty", "none"]}, f"its output several = empty {EMPTY}"),
    ({"mark": "empty"}, None),
    ({"mark": "empty_folder"}, None),
    ({"mark": "none"}, f"its output mark = none {MISSING}"),
]


def wrong_with_outputs(folder: Path, **parameters: Any) -> str | None:
    """Returns what is wrong with outputs in the folder, of which none was there before the run."""
    params = OutputsParameters(lute_config=AnalysisHeader(work_dir="."), **parameters)
    outputs = RunOutputs(params, str(folder))
    outputs.after()
    return outputs.wrong()


@pytest.mark.parametrize(("parameters", "reason"), OUTPUTS)
def test_declared_outputs(folder: Path, parameters: dict[str, Any], reason: str | None) -> None:
    """A4: an output that is missing, or is empty where that was not allowed, is wrong."""
    assert wrong_with_outputs(folder, **parameters) == reason


@pytest.mark.parametrize("parameters", [{"out": None}, {"out": ""}, {"several": [""]}])
def test_an_output_that_is_not_given(tmp_path: Path, parameters: dict[str, Any]) -> None:
    """A4: what is not given is not asked for; it does not stand for the folder itself, which is empty here."""
    assert wrong_with_outputs(tmp_path, **parameters) is None


@pytest.mark.parametrize(
    ("code", "tail", "said"),
    [
        (127, "prog: error while loading shared libraries: libx.so.1: cannot open", "the shared library libx.so.1 is"),
        (1, "prog: error while loading shared libraries: libx.so.1: cannot open", ""),
        (1, "cp: No space left on device", ": the disk is full (No space left on device)"),
        (9, "EXIT STRING: Killed (signal 9)", ": Killed (signal 9)"),
        (
            134,
            "process rank 1 with PID 0 on node n exited on\nsignal 6 (Aborted)",
            ": rank 1 with PID 0 on node n exited on signal 6",
        ),
        (
            127,
            "[1] [lute] program 'x' could not be started: No such file",
            ": program 'x' could not be started: No such",
        ),
        (15, "Fatal error in internal_Init: Other MPI error", ": MPI could not start: does mpirun belong"),
        (137, "", ", which is how a shell tells of SIGKILL"),
        (128, "", ""),
        (255, "", ""),
        (0, "EXIT STRING: Killed (signal 9)", ""),
        (None, "", ""),
    ],
)
def test_what_the_log_tells_besides(code: int | None, tail: str, said: str) -> None:
    """A4: an exit status that a shell, the loader or MPI made is put into words."""
    found = hint(ExitInfo(exit_code=code), tail)
    assert said in found
    assert bool(said) == bool(found)


MPICH = """[0] Sorry: no peaks
===================================================================================
=   BAD TERMINATION OF ONE OF YOUR APPLICATION PROCESSES
=   EXIT CODE: 1
===================================================================================
Please see the FAQ page for debugging suggestions
"""
OPEN_MPI = """Sorry: no peaks
--------------------------------------------------------------------------
prterun detected that one or more processes exited with non-zero status,
thus causing the job to be terminated.
--------------------------------------------------------------------------
"""


@pytest.mark.parametrize(
    ("output", "how", "line"),
    [
        ("", {}, ""),
        ("\n \n\t\n", {}, ""),
        ("Sorry: no peaks", {}, "Sorry: no peaks"),
        ("Sorry:\tno  peaks é\n\n", {}, "Sorry: no peaks é"),
        ("one\r50 %\r100 %\r", {}, "100 %"),
        ("Sorry\n[lute] the pattern took longer\n", {}, "Sorry"),
        ("[lute] ours\n", {}, ""),
        ("\x1b[31mSorry\x1b[0m\n", {}, "Sorry"),
        ("x" * 300, {}, "x" * 200),
        ("[3] Sorry\nmpirun says\n", {"ranks": True, "labelled": True}, "Sorry"),
        ("[3] Sorry\n[1] [lute] program 'x' could not\n", {"ranks": True, "labelled": True}, "Sorry"),
        ("[3] Sorry\n", {}, "[3] Sorry"),
        ("no label\n", {"ranks": True, "labelled": True}, "no label"),
        (MPICH, {"ranks": True, "labelled": True}, "Sorry: no peaks"),
        (MPICH, {"ranks": True}, "[0] Sorry: no peaks"),
        (OPEN_MPI, {"ranks": True}, "Sorry: no peaks"),
    ],
)
def test_the_last_line_that_a_program_printed(output: str, how: dict[str, bool], line: str) -> None:
    """C3: the last line with text, at most 200 characters of it; neither `lute`'s lines nor those of MPI."""
    assert last_line_of(output, **how) == line
