import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

from lute import (
    ElogSummaryPlots,
    Executor,
    Field,
    Message,
    Positional,
    Task,
    TaskParameters,
    TemplateConfig,
    ThirdPartyParameters,
)


class CountParameters(TaskParameters):
    """Count things."""

    number: int = Field(5, description="How many there are.", unit="counts", ge=0)
    kind: Literal["peak", "ring"] = "peak"
    threshold: float = 0.5
    words: str = "two words"


class Count(Task):
    def _run(self):
        print("counting", self._task_parameters.number, flush=True)
        self._result.payload = {"n": self._task_parameters.number}
        self._result.summary = "counted"
        if self._task_parameters.number == 13:
            raise ValueError("an unlucky number")


Counter = Executor("Count")


class WaitParameters(TaskParameters):
    pass


class Wait(Task):
    def _run(self):
        print("waiting", flush=True)
        Path("started").touch()
        while not Path("go").exists():
            time.sleep(0.01)
        print("went on", flush=True)

    def clean_up_timeout(self):
        print("clean up", flush=True)


Waiter = Executor("Wait")


class SelectParameters(ThirdPartyParameters):
    """Select lines."""

    executable: str = "touch"
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="select.txt", output_path="select.out")
    out: Annotated[str, Positional()] = "touched"


Selector = Executor("Select")
Selector.update_environment({"SEEN_BY_SELECTOR": "a b", "PATH": "/first"})


class NestParameters(TaskParameters):
    pass


class Nest(Task):
    def _run(self):
        argv = [sys.executable, "-m", "lute", "run", "Counter", "-c", "config.yaml", "--json"]
        inner = subprocess.run(argv, capture_output=True, text=True)
        self._result.payload = inner.stdout
        self._report_to_executor(Message(contents="still my own"))
        if inner.returncode:
            raise ValueError(inner.stderr)


class EnvParameters(TaskParameters):
    pass


class Env(Task):
    def _run(self):
        self._result.payload = {name: value for name, value in os.environ.items() if name.startswith("LUTE_")}


class RawParameters(TaskParameters):
    pass


class Raw(Task):
    def _run(self):
        os.write(1, bytes(range(256)) + b"\nsecond\nno end")


class DrawParameters(TaskParameters):
    pass


class Draw(Task):
    def _run(self):
        self._result.payload = [{1, 2}, ElogSummaryPlots("tab/page", "<p>drawn</p>")]
