import os
import sys
from pathlib import Path
from typing import Annotated

from lute import (
    Executor,
    Flag,
    FromResult,
    IsResult,
    MPIExecutor,
    Output,
    Positional,
    Task,
    TaskParameters,
    ThirdPartyParameters,
    ThirdPartyTask,
)


class IndexParameters(ThirdPartyParameters):
    """A program that says how many spots it has indexed, by what it prints."""

    executable: str = sys.executable
    code: Annotated[str, Flag("-c")] = ""
    out: Annotated[str | None, Positional(), Output(), IsResult()] = None

    class Config(ThirdPartyParameters.Config):
        failure_patterns = {"nothing indexed": r"^0 spots indexed", "bad input": r"^Sorry: *(?P<reason>.*)"}
        metric_patterns = {"spots": r"^(\d+) spots"}
        exit_codes = {4: "no license"}


class OwnIndexParameters(IndexParameters):
    """The same with a class of its own."""


class OwnIndex(ThirdPartyTask):
    def _pre_run(self):
        super()._pre_run()
        if os.environ.get("SAYS"):
            print(os.environ["SAYS"])


class MergeParameters(ThirdPartyParameters):
    """What comes next."""

    executable: str = "cat"
    in_file: Annotated[str, Positional(), FromResult("Index", "out")]


class RequireParameters(TaskParameters):
    code: str = ""

    class Config(TaskParameters.Config):
        require = {"spots": ">= 10", "rate": "!= 0"}


class Require(Task):
    def _run(self):
        exec(self._task_parameters.code, {"self": self})


class RunCodeParameters(TaskParameters):
    code: str = ""


class RunCode(Task):
    def _run(self):
        exec(compile(self._task_parameters.code, "<code>", "exec"), globals() | {"self": self})

    def look_up(self, key):
        return {"a": 1}[key]


def check(what):
    print("0 spots indexed, says the tasklet")
    raise ValueError(f"no file for {what}\n0 spots indexed")


def note(name):
    Path(name).touch()


def waits():
    while not Path("never").exists():
        pass


def interrupts():
    raise KeyboardInterrupt("from a tasklet")


Indexer, OwnIndexer, Merger = Executor("Index"), Executor("OwnIndex"), Executor("Merge")
InRanks, OwnInRanks = MPIExecutor("Index", ranks=3), MPIExecutor("OwnIndex", ranks=3)
Coder, CoderInRanks = Executor("RunCode"), MPIExecutor("RunCode", ranks=2)
Under = Executor("RunCode")
Under.update_environment({"PYTHONDONTWRITEBYTECODE": "1"})  # so that it needs a new interpreter

CheckedAfter = Executor("Index")
CheckedAfter.add_tasklet(check, ["{{ out }}"], on_error="fail")
CheckedAfter.add_tasklet(note, ["later"])
Noted = Executor("Index")
Noted.add_tasklet(check, ["{{ out }}"])
Noted.add_tasklet(note, ["later"])
Waiting = Executor("Index")
Waiting.add_tasklet(waits, on_error="fail")
Interrupted = Executor("Index")
Interrupted.add_tasklet(interrupts, on_error="fail")
CheckedBefore, CodeCheckedBefore = Executor("Index"), Executor("RunCode")
for _executor in (CheckedBefore, CodeCheckedBefore):
    _executor.add_tasklet(check, ["all"], when="before", on_error="fail")
    _executor.add_tasklet(note, ["later"])
CodeNotedBefore = Executor("OwnIndex")
CodeNotedBefore.add_tasklet(check, ["all"], when="before")


def interrupt_in_hook(executor, message, proc):
    raise KeyboardInterrupt("from a hook")


Hooked = Executor("RunCode")
Hooked.add_hook("TASK_STARTED", interrupt_in_hook)
