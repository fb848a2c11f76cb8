import os
import signal
import sys
import time
from pathlib import Path
from typing import Annotated

from lute import (
    Flag,
    Message,
    MPIExecutor,
    MPILauncher,
    MPIRanks,
    Positional,
    Task,
    TaskParameters,
    TaskStatus,
    TemplateConfig,
    TemplateParameters,
    ThirdPartyParameters,
    ThirdPartyTask,
)


class RanksParameters(TaskParameters):
    do: str = "gather"
    who: int = 0


class Ranks(Task):
    def clean_up_timeout(self):
        Path(f"cleaned{self.rank}").touch()

    def _run(self):
        from mpi4py import MPI

        self.world = MPI.COMM_WORLD
        self.rank = self.world.Get_rank()
        do = getattr(self, self._task_parameters.do)
        if self._task_parameters.do in ("gather", "tell", "say", "wait") or self.rank == self._task_parameters.who:
            do()
        else:
            self.world.Barrier()  # in vain

    def gather(self):
        self._result.payload = self.world.allgather(self.rank * 10)
        self._result.summary = f"rank {self.rank}"

    def wait(self):
        Path(f"waiting{self.rank}").touch()
        while True:
            time.sleep(0.05)

    def tell(self):
        for number in range(1000 if self.rank == 0 else 10):
            self._report_to_executor(Message(contents=f"line {number} of {self.rank}"))
            self._report_to_executor(Message(contents=(self.rank, number)))
            if number % 100 == 0:
                print(f"print {number} of {self.rank}")

    def say(self):
        for number in range(300):
            os.write(1 + number % 2, b"rank %d says \xff %d " % (self.rank, number) + b"x" * 3000 + b"\n")
        os.write(1, b"no end")

    def fail(self):
        raise ValueError("one rank is broken")

    def set_failed(self):
        self._result.task_status = TaskStatus.FAILED
        self._result.summary = "not good enough"
        self.world.Barrier()

    def leave(self):
        sys.exit(3)

    def leave_at_once(self):
        os._exit(3)

    def leave_as_if_well(self):
        os._exit(0)

    def be_killed(self):
        os.kill(os.getpid(), signal.SIGKILL)


class SumParameters(ThirdPartyParameters):
    executable: str = sys.executable
    script: Annotated[str, Positional()] = "sum.py"
    factor: Annotated[int, Flag("--factor")] = 2
    word: TemplateParameters = TemplateParameters("hello")
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="sum.txt", output_path="sum.out")


class OwnSumParameters(SumParameters):
    pass


class OwnSum(ThirdPartyTask):
    def __init__(self, *, params, use_mpi=True):
        super().__init__(params=params, use_mpi=use_mpi)

    def _pre_run(self):
        super()._pre_run()
        with open("prepared", "a") as file:
            file.write("once\n")


class ShellParameters(ThirdPartyParameters):
    executable: str = "sh"
    c: Annotated[str, Flag("-c")] = "echo a rank; exit 0"

    class Config(ThirdPartyParameters.Config):
        metric_patterns = {"lines": r"^lines (\d+)"}


class FieldsParameters(ShellParameters):
    ranks: Annotated[int | None, MPIRanks()] = 3
    launcher: Annotated[str | list[str] | None, MPILauncher()] = None


class FarParameters(TaskParameters):
    n: int = 3

    class Config(TaskParameters.Config):
        task_module = "far"


def note(executor, msg, proc):
    with open("events", "a") as file:
        file.write(msg.signal + "\n")


Two, Four = MPIExecutor("Ranks", ranks=2), MPIExecutor("Ranks", ranks=4)
Summer, OwnSummer = MPIExecutor("Sum", ranks=4), MPIExecutor("OwnSum", ranks=4)
Sheller, Plain = MPIExecutor("Shell", ranks=2), MPIExecutor("Shell", ranks=2, label=False)
Told = []
for _executor in (Four, Summer, OwnSummer):
    _executor.add_hook("TASK_LOG", lambda executor, msg, proc: Told.append(msg.contents))
    for _event in ("TASK_STARTED", "TASK_RESULT", "NO_PICKLE_MODE"):
        _executor.add_hook(_event, note)
Four.add_tasklet(lambda: Path("told").write_text(repr(Told)))
