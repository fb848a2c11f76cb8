"""The life of a Task: with no Executor, and in the process that an Executor gives it."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from lute.wire.results import DescribedAnalysis, ElogSummaryPlots, TaskResult, TaskStatus
from process.helpers import pids_with, python

PROBE = """
    import json, os, signal, sys, threading, time, warnings
    from lute import AnalysisHeader, Task, TaskParameters, TaskResult, TaskStatus

    class ProbeParameters(TaskParameters):
        number: int = 3

    def header(**values):
        return AnalysisHeader(**{"work_dir": ".", "experiment": "e", "run": 1, **values})

    class Probe(Task):
        def __init__(self, **keywords):
            self.seen = []
            super().__init__(**keywords)

        def _report_to_executor(self, msg):
            self.seen.append((msg.signal, msg.contents is self._task_parameters, msg.contents is self._result,
                              self._result.task_status.name))

        def _pre_run(self):
            self.seen.append("before")

        def _run(self):
            self.seen.append("run")

        def _post_run(self):
            self.seen.append("after")

        def clean_up_timeout(self):
            self.seen.append("clean up")

    def probe(kind=Probe, **values):
        return kind(params=ProbeParameters(lute_config=header(**values)))

    def tell(**found):
        print(json.dumps(found))
"""


def plain(project: Project, code: str) -> Any:
    """Runs a few lines with the probe Task in plain Python. Returns what they told."""
    from textwrap import dedent

    outcome = python(project, dedent(PROBE) + dedent(code))
    assert outcome.code == 0, outcome
    return outcome.json


# ------------------------------------------------------------------------------------------- A1


def test_statuses_have_their_numbers() -> None:
    """A1: names and values of the statuses."""
    assert {status.name: status.value for status in TaskStatus} == {
        "PENDING": 0,
        "RUNNING": 1,
        "COMPLETED": 2,
        "FAILED": 3,
        "STOPPED": 4,
        "CANCELLED": 5,
        "TIMEDOUT": 6,
    }


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        (TaskResult, ["task_name", "task_status", "summary", "payload", "impl_schemas"]),
        (ElogSummaryPlots, ["display_name", "figures"]),
        (DescribedAnalysis, ["task_result", "task_parameters", "task_env", "poll_interval", "communicator_desc"]),
    ],
)
def test_dataclasses_take_their_fields_in_order(kind: Any, fields: list[str]) -> None:
    """A1: what the dataclasses are made of, by position."""
    assert [field.name for field in dataclasses.fields(kind)][: len(fields)] == fields
    needed = [name for name in fields if name != "impl_schemas"]
    made = kind(*needed)
    assert [getattr(made, name) for name in needed] == needed
    assert getattr(made, "impl_schemas", None) is None


# ------------------------------------------------------------------- A2: in plain Python, no Executor


def test_a_new_task_is_pending_and_its_result_read_only(project: Project) -> None:
    """A2: `.name`, `._task_parameters`, the first `._result`, `.result` cannot be set."""
    found = plain(
        project,
        """
        params = ProbeParameters(lute_config=header())
        task = Probe(params=params)
        result = task.result
        try:
            task.result = None
            set_it = True
        except AttributeError:
            set_it = False
        tell(name=task.name, same=task._task_parameters is params, is_result=result is task._result, set_it=set_it,
             values=[result.task_name, result.task_status.name, result.summary, result.payload, result.impl_schemas])
        """,
    )
    assert found == {
        "name": "Probe",
        "same": True,
        "is_result": True,
        "set_it": False,
        "values": ["Probe", "PENDING", "PENDING", "", None],
    }


def test_parameters_are_a_keyword_and_run_must_be_written(project: Project) -> None:
    """A2: `Task(*, params, use_mpi=False)`; `_run` is abstract, the hooks do nothing by default."""
    found = plain(
        project,
        """
        class Nothing(Task):
            pass

        class Least(Task):
            def _run(self):
                pass

        params = ProbeParameters(lute_config=header())
        refused = []
        for make in (lambda: Probe(params), lambda: Nothing(params=params)):
            try:
                make()
            except TypeError as error:
                refused.append(True)
        task = Least(params=params, use_mpi=False)
        task.run()
        tell(refused=refused, status=task.result.task_status.name)
        """,
    )
    assert found == {"refused": [True, True], "status": "COMPLETED"}


@pytest.mark.parametrize("call", ["task.run()", "task()"])
def test_steps_come_in_order(project: Project, call: str) -> None:
    """A2: start, `_pre_run`, `_run`, `_post_run`, result; `task()` is `task.run()`; a status RUNNING becomes COMPLETED."""
    found = plain(project, f"task = probe()\n{call}\ntell(seen=task.seen, status=task.result.task_status.name)")
    assert found["seen"] == [
        ["TASK_STARTED", True, False, "RUNNING"],
        "before",
        "run",
        "after",
        ["TASK_RESULT", False, True, "COMPLETED"],
    ]
    assert found["status"] == "COMPLETED"


@pytest.mark.parametrize("end", ["pass", "raise ValueError('x')"])
def test_timer_and_handler_last_from_construction_to_the_end_of_run(project: Project, end: str) -> None:
    """A2: a real-time timer of `task_timeout` s runs from construction; timer and handler are undone when run() ends."""
    found = plain(
        project,
        f"""
        class Ending(Probe):
            def _run(self):
                self.during = signal.getitimer(signal.ITIMER_REAL)[0]
                {end}

        def mine(number, frame):
            pass

        signal.signal(signal.SIGALRM, mine)
        task = probe(Ending, task_timeout=50)
        made = signal.getitimer(signal.ITIMER_REAL)[0]
        handled = signal.getsignal(signal.SIGALRM) is not mine
        try:
            task.run()
        except ValueError:
            pass
        tell(made=made, during=task.during, handled=handled, after=signal.getitimer(signal.ITIMER_REAL),
             restored=signal.getsignal(signal.SIGALRM) is mine)
        """,
    )
    assert 40 < found["during"] <= found["made"] <= 50
    assert found["handled"]
    assert found["after"] == [0.0, 0.0]
    assert found["restored"]


def test_a_task_runs_in_a_thread(project: Project) -> None:
    """A2: a handler is installed only in the main thread; a Task made and run in another one works."""
    found = plain(
        project,
        """
        before = signal.getsignal(signal.SIGALRM)
        seen = {}

        def work():
            task = probe()
            seen["handler"] = signal.getsignal(signal.SIGALRM) is before
            task.run()
            seen["status"] = task.result.task_status.name

        thread = threading.Thread(target=work)
        thread.start()
        thread.join(20)
        tell(**seen, after=signal.getsignal(signal.SIGALRM) is before)
        """,
    )
    assert found == {"handler": True, "status": "COMPLETED", "after": True}


def test_without_an_executor_an_exception_is_raised(project: Project) -> None:
    """A2, point 6: with no Executor an exception reaches the caller, the status is FAILED and nothing exits."""
    found = plain(
        project,
        """
        class Broken(Probe):
            def _run(self):
                raise ValueError("no such crystal")

        task = probe(Broken)
        try:
            task.run()
            raised = ""
        except ValueError as error:
            raised = str(error)
        tell(raised=raised, status=task.result.task_status.name, summary=task.result.summary, seen=task.seen)
        """,
    )
    assert found["raised"] == "no such crystal"
    assert (found["status"], found["summary"]) == ("FAILED", "ValueError: no such crystal")
    assert "after" not in found["seen"]
    assert found["seen"][-1] == ["TASK_RESULT", False, True, "FAILED"]


def test_without_an_executor_the_time_is_over_all_the_same(project: Project) -> None:
    """A2: with no Executor `clean_up_timeout()` is called, the status is TIMEDOUT, and an error is raised."""
    found = plain(
        project,
        """
        class Slow(Probe):
            def _run(self):
                try:
                    time.sleep(30)
                except Exception:
                    pass

        before = signal.getsignal(signal.SIGALRM)
        task = probe(Slow, task_timeout=0.2)
        begin = time.monotonic()
        try:
            task.run()
            raised = ""
        except Exception as error:
            raised = type(error).__name__
        tell(raised=raised, took=time.monotonic() - begin, status=task.result.task_status.name,
             cleaned=task.seen.count("clean up"), after=signal.getitimer(signal.ITIMER_REAL)[0],
             restored=signal.getsignal(signal.SIGALRM) is before)
        """,
    )
    assert found["raised"]
    assert found["took"] < 10
    assert (found["status"], found["cleaned"], found["after"], found["restored"]) == ("TIMEDOUT", 1, 0.0, True)


def test_messages_with_no_executor_do_no_harm(project: Project) -> None:
    """A2, point 6: a Task that reports runs with no Executor, too."""
    outcome = python(
        project,
        """
        from lute import AnalysisHeader, Message, Task, TaskParameters

        class TalkParameters(TaskParameters):
            pass

        class Talk(Task):
            def _run(self):
                self._report_to_executor(Message(contents="a line"))
                self._report_to_executor(Message(contents={"a": 1}))
                self._result.payload = 5

        task = Talk(params=TalkParameters(lute_config=AnalysisHeader(work_dir=".")))
        task.run()
        print(task.result.task_status.name, task.result.payload)
        """,
    )
    assert outcome.code == 0
    assert outcome.out.splitlines()[-1] == "COMPLETED 5"
    assert "Traceback" not in outcome.err


def test_run_directory_that_is_missing_is_a_warning(project: Project) -> None:
    """A2: a `run_directory` is the working directory; where it is missing, a UserWarning names it and the place instead."""
    there = project.folder / "with a space"
    there.mkdir()
    found = plain(
        project,
        """
        class HereParameters(TaskParameters):
            class Config:
                run_directory = "with a space"

        class NowhereParameters(TaskParameters):
            class Config:
                run_directory = "/nowhere/at all"

        class Here(Probe):
            def _run(self):
                self.where = os.getcwd()

        class Nowhere(Here):
            pass

        told = []
        for kind, model in ((Nowhere, NowhereParameters), (Here, HereParameters)):
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                task = kind(params=model(lute_config=header()))
                task.run()
            told.append([task.where, [(item.category.__name__, str(item.message)) for item in caught],
                         task.result.task_status.name])
        tell(told=told)
        """,
    )["told"]
    (where, warned, status), here = found
    assert (where, status) == (str(project.folder), "COMPLETED")
    [(category, text)] = warned
    assert category == "UserWarning"
    assert "/nowhere/at all" in text
    assert str(project.folder) in text
    assert here == [str(there), [], "COMPLETED"]


# ---------------------------------------------------------------------- A2: under an Executor


def short_of_time(project: Project, how: str, seconds: str) -> None:
    """Writes a YAML file with little time for the Task and for its end."""
    config = project.config(f"Slow: {{how: {how}}}", "clean_up_grace: 0.5\nterminate_grace: 0.3")
    config.write_text(config.read_text().replace("task_timeout: 60", f"task_timeout: {seconds}"))


@pytest.fixture
def lives(project: Project) -> Project:
    """A project with Tasks that end in all ways."""
    project.plugin("lives")
    return project


@pytest.mark.parametrize("step", ["start", "_pre_run", "_run", "_post_run"])
def test_an_exception_in_any_step_is_failed(lives: Project, step: str) -> None:
    """A2: an exception in any step: FAILED, traceback in the log, its last line the summary, exit status 1."""
    lives.config(f"Break: {{step: {step}}}")
    found = lives.run_task("Break")
    assert (found["returncode"], found["status"], found["exit_code"]) == (1, "FAILED", 1)
    assert found["summary"] == f"ValueError: boom in {step}"
    log = Path(found["log"]).read_text()
    assert "Traceback (most recent call last):" in log
    assert "tasks.py" in log
    assert log.rstrip().splitlines()[-1] == f"ValueError: boom in {step}"
    assert f"boom in {step}" in found["reason"]
    assert found["valid"] is False


def test_an_exception_while_the_task_is_made_is_failed(lives: Project) -> None:
    """A2: also an exception in a Task's constructor is FAILED, with its traceback and exit status 1."""
    lives.config()
    found = lives.run_task("InitBreaks")
    assert (found["returncode"], found["status"], found["exit_code"]) == (1, "FAILED", 1)
    assert found["summary"] == "LookupError: broken from birth"
    assert "Traceback" in Path(found["log"]).read_text()


@pytest.mark.parametrize(
    ("code", "signal"),
    [
        ("sys.exit(0)", None),
        ("sys.exit(5)", None),
        ("os._exit(0)", None),
        ("os._exit(7)", None),
        ("os.kill(os.getpid(), signal.SIGKILL)", "SIGKILL"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "SIGSEGV"),
        ("os.close(0); os.close(1); os.close(2); raise ValueError(1)", None),
    ],
)
def test_a_task_that_leaves_before_its_end_is_failed(lives: Project, code: str, signal: str | None) -> None:
    """A2, B1: a child that ends with no result did not complete, whatever its exit code; a signal is told by name."""
    lives.config(f"Leave: {{code: {code!r}}}")
    found = lives.run_task("Leave")
    assert (found["returncode"], found["status"], found["signal"]) == (1, "FAILED", signal)
    assert found["reason"]
    if signal:
        assert signal in found["reason"]


@pytest.mark.parametrize(
    ("status", "code", "anew"),
    [
        ("COMPLETED", 0, False),
        ("COMPLETED", 0, True),
        ("FAILED", 1, False),
        ("FAILED", 1, True),
        ("CANCELLED", 143, False),
        ("TIMEDOUT", 124, True),
    ],
)
def test_a_status_that_the_task_set_stays(lives: Project, status: str, code: int, anew: bool) -> None:
    """A2: a status the Task set stays; anything but COMPLETED makes the child exit non-zero."""
    lives.config(f"EndAs: {{status: {status}, anew: {str(anew).lower()}}}")
    found = lives.run_task("EndAs")
    assert (found["status"], found["summary"]) == (status, "as told")
    assert (found["exit_code"] == 0) is (status == "COMPLETED")
    assert (found["returncode"] == 0) is (status == "COMPLETED")
    assert found["returncode"] == code
    if anew:
        assert (found["payload"], found["impl_schemas"]) == ({"a": 1}, "schema1;schema2")


@pytest.mark.parametrize("how", ["sleep", "bad clean up", "slow clean up", "children"])
def test_a_task_whose_time_is_over(lives: Project, how: str) -> None:
    """A2, B1: `clean_up_timeout()` is called, the status is TIMEDOUT, exit 124, and no process is left."""
    short_of_time(lives, how, "0.7")
    mark = f"LIVES_{os.getpid()}_{how.replace(' ', '')}"
    found = lives.run_task("Slow", env={"MARK": mark})
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT")
    assert (lives.folder / "cleaned").read_text() == how
    log = Path(found["log"]).read_text()
    assert log.count("clean up\n") == 1
    assert "swallowed" not in log
    assert 0.7 <= found["wall_s"] < 0.7 + 0.5 + 0.3 + 2
    assert re.search(r"time|0\.7", found["reason"])
    assert pids_with(mark) == []


def test_a_task_that_hears_nothing_is_killed(lives: Project) -> None:
    """B1: a Task that blocks every signal is ended with SIGKILL after both graces; the status is TIMEDOUT."""
    short_of_time(lives, "deaf", "0.5")
    mark = f"DEAF_{os.getpid()}"
    found = lives.run_task("Slow", env={"MARK": mark})
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT")
    assert found["signal"] == "SIGKILL"
    assert found["wall_s"] < 0.5 + 0.5 + 0.3 + 2
    assert pids_with(mark) == []


def test_the_childs_own_timer_is_a_longer_backstop(lives: Project) -> None:
    """A2: under an Executor the parent owns the timeout; the child's timer is set longer."""
    lives.config()
    found = lives.run_task("Timer")
    left, where, pid = found["payload"]
    assert left > 60
    assert (where, pid) == (str(lives.folder), found["pid"])


@pytest.mark.parametrize("name", ["Program", "OwnProgram"])
def test_a_program_starts_with_no_timer(lives: Project, name: str) -> None:
    """A2: the child's timer is cleared before exec."""
    lives.config()
    found = lives.run_task(name)
    assert found["status"] == "COMPLETED"
    assert Path(found["log"]).read_text().splitlines()[-1] == "0.0"


def test_a_missing_run_directory_is_told_in_the_log(lives: Project) -> None:
    """A2: under an Executor, too, a missing `run_directory` is a UserWarning and the Task goes on."""
    lives.config()
    found = lives.run_task("Nowhere")
    assert (found["returncode"], found["status"]) == (0, "COMPLETED")
    log = Path(found["log"]).read_text()
    assert "UserWarning" in log
    assert "/nowhere/at all" in log
    assert found["payload"] in log
