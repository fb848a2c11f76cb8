"""What runs come to, case by case: the table of `outcome.judge`, in its tests and in docs/reference/outcome.md."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from lute import TaskParameters, ThirdPartyParameters
from lute.execution.exit_info import JOB_LIMITS, TASKLET, TIMEOUT, ExitInfo
from lute.execution.outcome import Judgement, Verdict, judge
from lute.models.base import AnalysisHeader
from lute.wire.results import TaskResult
from lute.wire.status import TaskStatus

TASK, PROGRAM = False, True
PENDING, RUNNING, COMPLETED = TaskStatus.PENDING, TaskStatus.RUNNING, TaskStatus.COMPLETED
FAILED, STOPPED, CANCELLED, TIMEDOUT = (
    TaskStatus.FAILED,
    TaskStatus.STOPPED,
    TaskStatus.CANCELLED,
    TaskStatus.TIMEDOUT,
)


class JudgedParameters(TaskParameters):
    """A Task with code."""

    class Config:
        """It must find spots."""

        require = {"spots": ">= 10"}


class JudgedProgramParameters(ThirdPartyParameters):
    """A program that says what its exit codes mean."""

    class Config:
        """Two that are told apart, one of which is as good as 0."""

        success_codes = {3: "nothing to do"}
        exit_codes = {4: "no license", 0: "all done"}
        require = {"spots": ">= 10"}

    executable: str = "prog"


class Case(NamedTuple):
    """What is known of a run, and what it came to.

    Attributes:
        case: In words.
        program: Whether a program was run, with no class of its own unless `sent` is given.
        ending: How its processes ended.
        status: What it came to.
        reason: Why.
        also: What else there is against it.
        sent: Status of the result that the Task sent.
        found: What else was found: arguments of `judge`, and the result's `summary`. If nothing is said of metrics, 12
            spots were told.
    """

    case: str
    program: bool
    ending: Mapping[str, Any]
    status: TaskStatus
    reason: str
    also: tuple[str, ...] = ()
    sent: TaskStatus | None = None
    found: Mapping[str, Any] = {}

    def verdict(self) -> Verdict:
        """Returns what the judge says."""
        model = JudgedProgramParameters if self.program else JudgedParameters
        params = model(lute_config=AnalysisHeader(work_dir="."))
        found = {"metrics": spots(12), "timeout": 2.0, **self.found}
        result = None if self.sent is None else TaskResult("Judged", self.sent, found.pop("summary", ""), "")
        return judge(ExitInfo(**self.ending), result, params, program=self.program, **found)


def spots(number: float | None) -> dict[str, Any]:
    """Returns a Task's metrics."""
    return {"spots": {"value": number, "unit": ""}}


OUTPUT: Judgement = (FAILED, "its output out = spots.csv is empty")
FEW = "spots is 3, required >= 10"
TOLD: dict[str, Any] = {
    "patterns": ["nothing indexed: no lattice"],
    "output": OUTPUT,
    "metrics": spots(3),
    "tasklets": ["tasklet count failed: ValueError: no file"],
}
"""All at once that can be found beside the end of the processes and the Task's own word."""
ALL = ("nothing indexed: no lattice", OUTPUT[1], FEW, "tasklet count failed: ValueError: no file")
EXIT_1: dict[str, Any] = {"exit_code": 1}

CASES = [
    Case("program: 0", PROGRAM, {"exit_code": 0}, COMPLETED, "exited with status 0: all done"),
    Case("program: a declared success code", PROGRAM, {"exit_code": 3}, COMPLETED, "exited with status 3: nothing to do"),
    Case("program: 1, nothing printed", PROGRAM, EXIT_1, FAILED, "exited with status 1"),
    Case("program: 1, with a last line", PROGRAM, EXIT_1, FAILED, "exited with status 1: Sorry: several equal arrays",
         found={"last_line": "Sorry: several equal arrays"}),
    Case("program: 4, whose meaning is known, with a last line", PROGRAM, {"exit_code": 4}, FAILED,
         "exited with status 4: no license: call 5-1234", found={"last_line": "call 5-1234"}),
    Case("program: 137 from a shell, with a last line", PROGRAM, {"exit_code": 137}, FAILED,
         "exited with status 137, which is how a shell tells of SIGKILL: frame 7", found={"last_line": "frame 7"}),
    Case("program: the disk is full, which the last line says as well", PROGRAM, EXIT_1, FAILED,
         "exited with status 1: the disk is full (No space left on device)",
         found={"last_line": "cp: No space left on device", "tail": "a\ncp: No space left on device"}),
    Case("program: the disk is full, which an earlier line says", PROGRAM, EXIT_1, FAILED,
         "exited with status 1: the disk is full (No space left on device): giving up",
         found={"last_line": "giving up", "tail": "cp: No space left on device\ngiving up"}),
    Case("Task: COMPLETED and 0", TASK, {"exit_code": 0}, COMPLETED, "exited with status 0", sent=COMPLETED),
    Case("Task: COMPLETED, then 1", TASK, EXIT_1, FAILED, "exited with status 1 after it had given its result",
         sent=COMPLETED),
    Case("Task: COMPLETED, then 3; success codes are for programs", TASK, {"exit_code": 3}, FAILED,
         "exited with status 3 after it had given its result", sent=COMPLETED),
    Case("Task: no result, 0", TASK, {"exit_code": 0}, FAILED, "exited with status 0 before it gave a result"),
    Case("Task: no result, 1", TASK, EXIT_1, FAILED, "exited with status 1 before it gave a result"),
    # a signal, the kernel
    Case("a signal", PROGRAM, {"signal": "SIGSEGV"}, FAILED, "ended by signal SIGSEGV"),
    Case("a signal, and a core file", PROGRAM, {"signal": "SIGSEGV", "core": True}, FAILED,
         "ended by signal SIGSEGV, core dumped"),
    Case("Task: COMPLETED, then a signal", TASK, {"signal": "SIGKILL"}, FAILED, "ended by signal SIGKILL", sent=COMPLETED),
    Case("Task: an exception, then a signal", TASK, {"signal": "SIGABRT", "place": " (peaks.py:19)"}, FAILED,
         "ended by signal SIGABRT", ("KeyError: 'b' (peaks.py:19)",), sent=FAILED, found={"summary": "KeyError: 'b'"}),
    Case("the kernel's memory killer", TASK, {"signal": "SIGKILL", "out_of_memory": True, "max_rss_kib": 4096}, FAILED,
         "out of memory: the kernel ended it at a peak of 4096 KiB"),
    # stopped from outside: this comes before whatever the processes then did
    Case("timeout", PROGRAM, {"stopped_by": TIMEOUT, "signal": "SIGTERM"}, TIMEDOUT, "its 2 s were over",
         ("ended by signal SIGTERM",)),
    Case("Task: timeout, and its clean-up is done", TASK, {"stopped_by": TIMEOUT, "exit_code": 1}, TIMEDOUT,
         "its 2 s were over", sent=TIMEDOUT),
    Case("the time of its batch job is nearly over", TASK, {"stopped_by": JOB_LIMITS[1], "exit_code": 1}, TIMEDOUT,
         f"stopped by {JOB_LIMITS[1]}", sent=TIMEDOUT),
    Case("cancel", TASK, {"stopped_by": "Ctrl-C", "exit_code": 1}, CANCELLED, "cancelled by Ctrl-C", sent=TIMEDOUT),
    Case("cancel before it was started", PROGRAM, {"stopped_by": "Ctrl-C"}, CANCELLED, "cancelled by Ctrl-C",
         found={"metrics": {}}),
    Case("program: cancel, and it says why it left", PROGRAM, {"stopped_by": "ana on host1", "exit_code": 1}, CANCELLED,
         "cancelled by ana on host1", ("exited with status 1: interrupted",), found={"last_line": "interrupted"}),
    Case("Task: cancel, and an exception in its last moment", TASK, {"stopped_by": "Ctrl-C", "exit_code": 1}, CANCELLED,
         "cancelled by Ctrl-C", ("ValueError: half a frame",), sent=FAILED, found={"summary": "ValueError: half a frame"}),
    # never seen to end, never started
    Case("the launcher was killed", TASK, {"lost": "the launcher process was killed, and the run with it"}, FAILED,
         "the launcher process was killed, and the run with it", found={"metrics": {}}),
    Case("it could not be started", TASK, {"failed": "no memory"}, FAILED, "no memory", found={"metrics": {}}),
    Case("Task: its plug-in raises", TASK, {**EXIT_1, "unprepared": "KeyError: 'b'", "place": " (tasks.py:3)"}, FAILED,
         "KeyError: 'b' (tasks.py:3)"),
    # MPI: the rank that failed is told, not the exit status of what started it
    Case("Task: rank 3 raises, no result", TASK, {**EXIT_1, "rank": "rank 3: KeyError: 'b' (peaks.py:19)"}, FAILED,
         "rank 3: KeyError: 'b' (peaks.py:19)"),
    Case("Task: rank 3 raises after the result", TASK, {**EXIT_1, "rank": "rank 3: KeyError: 'b'"}, FAILED,
         "rank 3: KeyError: 'b'", sent=COMPLETED),
    Case("program: of a rank its exit status is known", PROGRAM, {**EXIT_1, "rank": "r"}, FAILED, "exited with status 1"),
    # what the Task says of itself
    Case("Task: an exception", TASK, {**EXIT_1, "place": " (peaks.py:19)"}, FAILED, "KeyError: 'b' (peaks.py:19)",
         sent=FAILED, found={"summary": "KeyError: 'b'"}),
    Case("Task: FAILED, with a summary", TASK, EXIT_1, FAILED, "no peaks: é", sent=FAILED, found={"summary": "no peaks: é"}),
    Case("Task: FAILED", TASK, {"exit_code": 0}, FAILED, "the Task set its status to FAILED", sent=FAILED),
    Case("Task: CANCELLED", TASK, EXIT_1, CANCELLED, "the Task set its status to CANCELLED", sent=CANCELLED),
    Case("Task: TIMEDOUT", TASK, EXIT_1, TIMEDOUT, "the Task set its status to TIMEDOUT", sent=TIMEDOUT),
    Case("Task: PENDING", TASK, EXIT_1, FAILED,
         "the Task ended with PENDING as its status, which is not the status of an end", sent=PENDING),
    Case("Task: STOPPED", TASK, EXIT_1, FAILED,
         "the Task ended with STOPPED as its status, which is not the status of an end", sent=STOPPED),
    Case("Task: RUNNING, sent by hand, and 0", TASK, {"exit_code": 0}, COMPLETED, "exited with status 0", sent=RUNNING),
    Case("Task: RUNNING, sent by hand, and 1", TASK, EXIT_1, FAILED, "exited with status 1 after it had given its result",
         sent=RUNNING),
    # a program with a class of its own: RUNNING says nothing, so its exit status counts
    Case("program with a class of its own: RUNNING and 3", PROGRAM, {"exit_code": 3}, COMPLETED,
         "exited with status 3: nothing to do", sent=RUNNING),
    Case("program with a class of its own: RUNNING and 1", PROGRAM, EXIT_1, FAILED, "exited with status 1", sent=RUNNING),
    Case("program with a class of its own: COMPLETED and 3", PROGRAM, {"exit_code": 3}, FAILED,
         "exited with status 3 after it had given its result", sent=COMPLETED),
    Case("program with a class of its own: FAILED", PROGRAM, {"exit_code": 0}, FAILED, "the Task set its status to FAILED",
         sent=FAILED),
    # it ended well, but what it gave is no result
    Case("a failure pattern", PROGRAM, {"exit_code": 0}, FAILED, "nothing indexed", found={"patterns": ["nothing indexed"]}),
    Case("a failure pattern with a reason", TASK, {"exit_code": 0}, FAILED, "nothing indexed: no lattice", sent=COMPLETED,
         found={"patterns": ["nothing indexed: no lattice"]}),
    Case("an output is missing or empty", PROGRAM, {"exit_code": 0}, FAILED, OUTPUT[1], found={"output": OUTPUT}),
    Case("an output is empty, since the disk is full", PROGRAM, {"exit_code": 0}, FAILED,
         f"{OUTPUT[1]}: the disk is full (No space left on device)",
         found={"output": OUTPUT, "tail": "cp: No space left on device"}),
    Case("a metric does not hold", PROGRAM, {"exit_code": 0}, FAILED, FEW, found={"metrics": spots(3)}),
    Case("a metric was not told", PROGRAM, {"exit_code": 0}, FAILED, "spots was not told, required >= 10",
         found={"metrics": {}}),
    Case("a metric is nan", TASK, {"exit_code": 0}, FAILED, "spots is no finite number, required >= 10", sent=COMPLETED,
         found={"metrics": spots(None)}),
    Case("a tasklet with `on_error=\"fail\"` raises", TASK, {"exit_code": 0}, FAILED,
         "tasklet count failed: ValueError: no file", sent=COMPLETED,
         found={"tasklets": ["tasklet count failed: ValueError: no file"]}),
    Case("one that runs before it raises, so that it does not run", PROGRAM, {"stopped_by": TASKLET}, FAILED,
         "tasklet count failed: ValueError: no file",
         found={"metrics": {}, "tasklets": ["tasklet count failed: ValueError: no file"]}),
    # all at once
    Case("everything, after exit status 0", PROGRAM, {"exit_code": 0}, FAILED, ALL[0], ALL[1:], found=TOLD),
    Case("everything, after exit status 1", PROGRAM, EXIT_1, FAILED, "exited with status 1: Sorry", ALL,
         found={**TOLD, "last_line": "Sorry"}),
    Case("everything, after an exception and a signal", TASK, {"signal": "SIGABRT"}, FAILED, "ended by signal SIGABRT",
         ("KeyError: 'b'", *ALL), sent=FAILED, found={**TOLD, "summary": "KeyError: 'b'"}),
    Case("everything, after a timeout", PROGRAM, {"stopped_by": TIMEOUT, "signal": "SIGKILL"}, TIMEDOUT,
         "its 2 s were over", ("ended by signal SIGKILL", *ALL), found=TOLD),
]  # fmt: skip


def in_markdown() -> str:
    """Returns the table for people."""
    rows = (
        (one.case, f"`{one.status.name}`", _cell(one.reason), "<br>".join(_cell(text) for text in one.also))
        for one in CASES
    )
    head = ["| what happened | status | `reason` | `also` |", "|---|---|---|---|"]
    return "\n".join([*head, *(f"| {' | '.join(row)} |" for row in rows)])


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
