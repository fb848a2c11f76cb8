import os
import subprocess
from pathlib import Path

from pydantic import BaseModel

from lute import Field, Task, TaskParameters, ThirdPartyParameters


class InnerModel(BaseModel):
    b: list[float] = [1.5, 0.0]
    text: str = "it's"


class KeepParameters(TaskParameters):
    a: InnerModel = InnerModel()
    mapping: dict[str, object] = {"x y": [1, {"z": None}]}
    n: int = 1
    N: int = 2
    text: str = "caf\u00e9 \U0001f52c"
    quoted: str = 'it\'s "quoted" -- ; DROP TABLE runs'
    lines: str = "two\nlines"
    nothing: int | None = None
    flag: bool = False
    zero: float = 0.0
    empty: list[int] = []
    path: Path = Path("/a b/c")
    big: int = 2**70


class Keep(Task):
    def _run(self):
        if "BROKEN" in os.environ:
            raise ValueError("it's broken")
        self._result.summary = "it's done"
        self._result.payload = {"caf\u00e9": "it's"}


class WaitParameters(TaskParameters):
    children: bool = False


class Wait(Task):
    def _run(self):
        if self._task_parameters.children:
            subprocess.Popen(["sleep", "99"])
            subprocess.Popen(["setsid", "sleep", "99"])
            subprocess.Popen(["sh", "-c", "trap '' TERM HUP INT; setsid sleep 99 & wait"])
        print("waiting", flush=True)
        with open("ready", "w") as fifo:
            fifo.write("ready")
        with open("go") as fifo:
            fifo.read()


class WaitProgramParameters(ThirdPartyParameters):
    executable: str = "sh"
    c: str = Field("-c", flag_type="")
    code: str = Field("echo\tready>ready;read\tx<go", flag_type="")


class DieParameters(TaskParameters):
    n: int = 5


class Die(Task):
    def __init__(self, **keywords):
        os.kill(os.getpid(), 9)

    def _run(self):
        pass
