import atexit
import contextlib
import os
import signal  # noqa: F401 - for the lines that `Py` is given
import sys
import time
from pathlib import Path
from typing import Annotated

from lute import Executor, Field, Positional, Task, TaskParameters, ThirdPartyParameters, ThirdPartyTask

sys.path.insert(0, os.path.dirname(__file__))
import daemons

HOME = Path(os.environ.get("FAULTS_HOME", "."))
PHASE = os.environ.get("FAULTS_PHASE", "")


def wait_at(phase):
    if phase == PHASE:
        (HOME / "reached").touch()
        with open(HOME / "go") as fifo:
            fifo.read()


def note(name):
    (HOME / name).write_text(str(os.getpid()))


class HeldParameters(TaskParameters):
    pass


class Held(Task):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        note("child")
        if PHASE in ("start", "run", "result"):
            daemons.leave(HOME / "pids")

    def _run(self):
        print("held", flush=True)
        wait_at("run")
        if PHASE == "result":
            atexit.register(wait_at, "result")


class HeldProgramParameters(ThirdPartyParameters):
    executable: str = sys.executable
    script: Annotated[str, Positional()] = str(Path(__file__).with_name("program.py"))


class HeldOwnProgramParameters(HeldProgramParameters):
    pass


class HeldOwnProgram(ThirdPartyTask):
    pass


class ShParameters(ThirdPartyParameters):
    class Config:
        exit_codes = {3: "no peaks were found"}
        success_codes = {4: "few peaks were found"}

    executable: str = "bash"
    flag: str = Field("-c", flag_type="")
    code: Annotated[str, Positional()] = "true"


class OwnShParameters(ShParameters):
    pass


class OwnSh(ThirdPartyTask):
    pass


class PyParameters(TaskParameters):
    code: str = "pass"
    clean: str = "pass"


class Py(Task):
    def _run(self):
        exec(self._task_parameters.code, globals() | {"self": self})

    def clean_up_timeout(self):
        exec(self._task_parameters.clean, globals() | {"self": self})


class StuckParameters(PyParameters):
    pass


class Stuck(Py):
    def __init__(self, **keywords):
        super().__init__(**keywords)
        time.sleep(60)


class SleepParameters(ShParameters):
    pass


def executor(name):
    made = Executor(name)
    if PHASE == "before":
        made.shell_source(HOME / "source.sh")
    made.add_tasklet(wait_at, ["start"], when="before")
    made.add_tasklet(wait_at, ["record"], when="after")
    return made


Holder = executor("Held")
ProgramHolder = executor("HeldProgram")
OwnProgramHolder = executor("HeldOwnProgram")
Shell = executor("Sh")
OwnShell = executor("OwnSh")
Python = executor("Py")
Sleeper = executor("Sleep")


def talk():
    print("said by a tasklet", flush=True)
    deadline = time.monotonic() + 10
    while "said by a tasklet" not in (HOME / "stderr").read_text() and time.monotonic() < deadline:
        time.sleep(0.01)


Talker = Executor("Sh")
Talker.add_tasklet(talk, when="before")
Talker.add_tasklet(talk, when="after")


def hang(*_):
    while True:
        time.sleep(0.05)


def hang_in_c(*_):
    time.sleep(3600)


def fail(*_):
    raise RuntimeError("broken helper")


def leave(*_):
    raise SystemExit(5)


def swallow(*_):
    end = time.monotonic() + 8
    while time.monotonic() < end:
        with contextlib.suppress(Exception):
            time.sleep(0.05)


HOW = globals().get(os.environ.get("FAULTS_HOW", ""))
WHERE = os.environ.get("FAULTS_WHERE", "")
if WHERE.startswith("TASK_"):
    Python.add_hook(WHERE, HOW)
elif WHERE:
    Python.add_tasklet(HOW, [], when=WHERE, set_result=True)
