"""What a run came to: its status and the reason, by how its processes ended and what the Task sent."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Annotated, Any

import pytest

from lute import Field, Output, TaskParameters, ThirdPartyParameters
from lute.execution.exit_info import JOB_LIMIT, TIMEOUT, ExitInfo
from lute.execution.outcome import Judgement, hint, judge
from lute.execution.outputs import RunOutputs
from lute.models.base import AnalysisHeader
from lute.wire.results import TaskResult
from lute.wire.status import TaskStatus

COMPLETED, FAILED = TaskStatus.COMPLETED, TaskStatus.FAILED
TASK, PROGRAM = False, True


class JudgedParameters(TaskParameters):
    """A Task with code, which may write files."""

    out: Annotated[str | None, Output()] = None
    several: Annotated[list[str], Output()] = Field([])
    mark: Annotated[str, Output(may_be_empty=True)] = ""


class JudgedProgramParameters(ThirdPartyParameters):
    """A program that says what its exit codes mean."""

    class Config:
        """Two that are told apart, one of which is as good as 0."""

        success_codes = {3: "nothing to do"}
        exit_codes = {4: "no license", 0: "all done"}

    executable: str = "prog"
    out: Annotated[str | None, Output()] = None


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a file, an empty file, an empty folder and one that holds something."""
    (tmp_path / "file").write_text("text")
    (tmp_path / "empty").write_text("")
    (tmp_path / "full_folder" / "inside").mkdir(parents=True)
    (tmp_path / "full_folder" / "inside" / "file").write_text("text")
    (tmp_path / "empty_folder").mkdir()
    return tmp_path


def judged(
    folder: Path,
    program: bool,
    ending: dict[str, Any],
    sent: TaskStatus | None = None,
    summary: str = "",
    **parameters: Any,
) -> Judgement:
    """Judges a run in the folder; `sent` is the status of the result that the Task gave."""
    model = JudgedProgramParameters if program else JudgedParameters
    params = model(lute_config=AnalysisHeader(work_dir=str(folder)), **parameters)
    result = None if sent is None else TaskResult("Judged", sent, summary, "")
    env = {"PATH": "/only/here"}
    outputs = RunOutputs(params, str(folder))
    outputs.after()  # and was not looked at before: all that is there is of this run
    wrong = outputs.wrong()
    return judge(ExitInfo(**ending), result, params, program=program, env=env, wrong_output=wrong)


NOT_STARTED = {"failed": "[Errno 2] no such file", "errno": errno.ENOENT}
ENDS: list[tuple[str, bool, dict[str, Any], TaskStatus | None, TaskStatus, str]] = [
    # what it shows, Task or program, how it ended, status that the Task sent -> status, reason
    ("program, 0", PROGRAM, {"exit_code": 0}, None, COMPLETED, "exited with status 0: all done"),
    ("program, 1", PROGRAM, {"exit_code": 1}, None, FAILED, "exited with status 1"),
    ("declared success", PROGRAM, {"exit_code": 3}, None, COMPLETED, "exited with status 3: nothing to do"),
    ("declared failure", PROGRAM, {"exit_code": 4}, None, FAILED, "exited with status 4: no license"),
    ("Task, 0", TASK, {"exit_code": 0}, COMPLETED, COMPLETED, "exited with status 0"),
    ("Task, 1 after its result", TASK, {"exit_code": 1}, COMPLETED, FAILED, "exited with status 1 after it had given"),
    ("Task, 3 is no success of a Task", TASK, {"exit_code": 3}, COMPLETED, FAILED, "exited with status 3 after it had"),
    ("Task, 0 and no result", TASK, {"exit_code": 0}, None, FAILED, "exited with status 0 before it gave a result"),
    ("Task, 1 and no result", TASK, {"exit_code": 1}, None, FAILED, "exited with status 1 before it gave a result"),
    # a signal, the kernel
    ("signal", PROGRAM, {"signal": "SIGSEGV"}, None, FAILED, "ended by signal SIGSEGV"),
    ("signal and core", PROGRAM, {"signal": "SIGSEGV", "core": True}, None, FAILED, "SIGSEGV, core dumped"),
    ("signal after the result", TASK, {"signal": "SIGKILL"}, COMPLETED, FAILED, "ended by signal SIGKILL"),
    (
        "out of memory",
        TASK,
        {"signal": "SIGKILL", "out_of_memory": True, "max_rss_kib": 4096},
        None,
        FAILED,
        "out of memory: the kernel ended it at a peak of 4096 KiB",
    ),
    # stopped from outside: this comes before whatever the processes then did
    ("timeout", TASK, {"stopped_by": TIMEOUT}, None, TaskStatus.TIMEDOUT, "its time was over"),
    ("batch limit", TASK, {"stopped_by": JOB_LIMIT}, None, TaskStatus.TIMEDOUT, f"stopped by {JOB_LIMIT}"),
    ("cancel", TASK, {"stopped_by": "SIGINT"}, None, TaskStatus.CANCELLED, "cancelled by SIGINT"),
    ("nobody's name", TASK, {"stopped_by": ""}, None, TaskStatus.CANCELLED, "cancelled by "),
    *(
        (f"{by} before {what}", TASK, {"stopped_by": by, **ended}, sent, status, reason)
        for by, status, reason in (
            (TIMEOUT, TaskStatus.TIMEDOUT, "its time was over"),
            (JOB_LIMIT, TaskStatus.TIMEDOUT, f"stopped by {JOB_LIMIT}"),
            ("ana on host1", TaskStatus.CANCELLED, "cancelled by ana on host1"),
        )
        for what, ended, sent in (
            ("exit 0", {"exit_code": 0}, COMPLETED),
            ("exit 1", {"exit_code": 1}, FAILED),
            ("signal", {"signal": "SIGKILL"}, None),
            ("memory", {"signal": "SIGKILL", "out_of_memory": True}, None),
            ("lost", {"lost": "the launcher is gone"}, None),
            ("not started", NOT_STARTED, None),
        )
    ),
    # never seen to end, never started
    ("lost", TASK, {"lost": "the launcher is gone"}, None, FAILED, "the launcher is gone"),
    ("lost before exit 0", PROGRAM, {"lost": "gone", "exit_code": 0}, None, FAILED, "gone"),
    ("Task not started", TASK, {"failed": "no memory", "errno": errno.ENOMEM}, None, FAILED, "no memory"),
    ("unprepared", TASK, {"exit_code": 1, "unprepared": "no module x"}, None, FAILED, "no module x"),
    ("unprepared after all", TASK, {"exit_code": 0, "unprepared": "x"}, COMPLETED, COMPLETED, "exited with status 0"),
    # MPI: the rank that failed is told, not the exit status of what started it
    ("rank", TASK, {"exit_code": 1, "rank": "rank 3: boom"}, None, FAILED, "rank 3: boom"),
    ("rank after the result", TASK, {"exit_code": 1, "rank": "rank 3: boom"}, COMPLETED, FAILED, "rank 3: boom"),
    ("rank before unprepared", TASK, {"exit_code": 1, "rank": "r", "unprepared": "u"}, None, FAILED, "r"),
    ("rank of a program", PROGRAM, {"exit_code": 1, "rank": "r"}, None, FAILED, "exited with status 1"),
    # what the Task says of itself
    ("Task RUNNING", TASK, {"exit_code": 0}, TaskStatus.RUNNING, COMPLETED, "exited with status 0"),
    ("Task RUNNING and 1", TASK, {"exit_code": 1}, TaskStatus.RUNNING, FAILED, "exited with status 1 after it had"),
    ("Task FAILED", TASK, {"exit_code": 0}, FAILED, FAILED, "the Task set its status to FAILED"),
    ("Task CANCELLED", TASK, {"exit_code": 0}, TaskStatus.CANCELLED, TaskStatus.CANCELLED, "set its status to CANCEL"),
    ("Task TIMEDOUT", TASK, {"exit_code": 1}, TaskStatus.TIMEDOUT, TaskStatus.TIMEDOUT, "set its status to TIMEDOUT"),
    ("Task PENDING", TASK, {"exit_code": 0}, TaskStatus.PENDING, FAILED, "ended with PENDING as its status, which is"),
    ("Task STOPPED", TASK, {"exit_code": 0}, TaskStatus.STOPPED, FAILED, "ended with STOPPED as its status, which is"),
    # a program with a class of its own: RUNNING says nothing, so its exit status counts
    ("own class RUNNING", PROGRAM, {"exit_code": 3}, TaskStatus.RUNNING, COMPLETED, "status 3: nothing to do"),
    ("own class RUNNING and 1", PROGRAM, {"exit_code": 1}, TaskStatus.RUNNING, FAILED, "exited with status 1"),
    ("own class COMPLETED and 3", PROGRAM, {"exit_code": 3}, COMPLETED, FAILED, "exited with status 3 after it had"),
    ("own class FAILED", PROGRAM, {"exit_code": 0}, FAILED, FAILED, "the Task set its status to FAILED"),
]


@pytest.mark.parametrize(
    ("program", "ending", "sent", "status", "reason"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS]
)
def test_how_it_ended(
    folder: Path, program: bool, ending: dict[str, Any], sent: TaskStatus | None, status: TaskStatus, reason: str
) -> None:
    """A4: stopped from outside comes first, then lost, not started, memory, signal, the Task's word, the exit status."""
    found = judged(folder, program, ending, sent)
    assert found[0] is status, found
    assert reason in found[1]


def test_a_rank_that_failed_counts_if_nothing_was_sent(folder: Path) -> None:
    """A4: what a Task has sent with exit status 0 stands; without it a rank's failure is the reason."""
    assert judged(folder, TASK, {"exit_code": 0, "rank": "rank 3: boom"}, COMPLETED)[0] is COMPLETED
    assert judged(folder, TASK, {"exit_code": 0, "rank": "rank 3: boom"}) == (FAILED, "rank 3: boom")


@pytest.mark.parametrize("status", [FAILED, TaskStatus.CANCELLED, TaskStatus.TIMEDOUT])
def test_the_summary_is_the_reason(folder: Path, status: TaskStatus) -> None:
    """A4: what a Task says of a bad end is the reason."""
    assert judged(folder, TASK, {"exit_code": 0}, status, "no peaks: é") == (status, "no peaks: é")


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
    ending = {"failed": "the words of the error", "errno": number}
    found = judged(folder, PROGRAM, ending, executable=executable.format(folder))
    assert found[0] is FAILED
    assert found[1].startswith(reason.format(folder)), found[1]


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


@pytest.mark.parametrize(("parameters", "reason"), OUTPUTS)
def test_declared_outputs(folder: Path, parameters: dict[str, Any], reason: str | None) -> None:
    """A4: a Task that ended well is FAILED if an output is missing, or is empty where that was not allowed."""
    found = judged(folder, TASK, {"exit_code": 0}, COMPLETED, **parameters)
    assert found == ((FAILED, reason) if reason else (COMPLETED, "exited with status 0"))


@pytest.mark.parametrize("parameters", [{"out": None}, {"out": ""}, {"several": [""]}])
def test_an_output_that_is_not_given(tmp_path: Path, parameters: dict[str, Any]) -> None:
    """A4: what is not given is not asked for; it does not stand for the folder itself, which is empty here."""
    assert judged(tmp_path, TASK, {"exit_code": 0}, COMPLETED, **parameters)[0] is COMPLETED


@pytest.mark.parametrize("code", [0, 3])
def test_outputs_of_a_program(folder: Path, code: int) -> None:
    """A4: exit 0 and declared success ask for the outputs as well."""
    assert judged(folder, PROGRAM, {"exit_code": code}, out="none") == (FAILED, "its output out = none is missing")
    assert judged(folder, PROGRAM, {"exit_code": code}, out=str(folder / "file"))[0] is COMPLETED


def test_a_bad_end_is_not_told_by_its_outputs(folder: Path) -> None:
    """A4: what failed by itself keeps its own reason, though outputs are missing too."""
    assert judged(folder, PROGRAM, {"exit_code": 1}, out="none") == (FAILED, "exited with status 1")
    assert judged(folder, TASK, {"exit_code": 0}, FAILED, "no peaks", out="none") == (FAILED, "no peaks")


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
            "[1] lute: program 'x' could not be started: No such file",
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
