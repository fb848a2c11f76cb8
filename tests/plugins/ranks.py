import time
from pathlib import Path
from typing import Annotated

from lute import Flag, MPIExecutor, Task, TaskParameters, ThirdPartyParameters


class RanksParameters(TaskParameters):
    fail: int = -1
    wait: bool = False


class Ranks(Task):
    def __init__(self, *, params, use_mpi=True):
        super().__init__(params=params, use_mpi=use_mpi)

    def clean_up_timeout(self):
        from mpi4py import MPI

        Path(f"cleaned{MPI.COMM_WORLD.Get_rank()}").touch()

    def _run(self):
        from mpi4py import MPI

        world = MPI.COMM_WORLD
        Path(f"rank{world.Get_rank()}").write_text(str(world.Get_size()))
        if world.Get_rank() == self._task_parameters.fail:
            raise ValueError("one rank is broken")
        if self._task_parameters.fail >= 0 or self._task_parameters.wait:
            while True:
                time.sleep(0.05)
        self._result.payload = world.allgather(world.Get_rank() * 10)
        self._result.summary = f"rank {world.Get_rank()}"


class MpiProgParameters(ThirdPartyParameters):
    executable: str = "sh"
    c: Annotated[str, Flag("-c")] = "echo a rank >> ranks"


def note(executor, msg, proc):
    with open("events", "a") as file:
        file.write(msg.signal + "\n")


Both = MPIExecutor("Ranks", ranks=2)
Programs = MPIExecutor("MpiProg", ranks=2)
for _executor in (Both, Programs):
    for _event in ("TASK_STARTED", "TASK_RESULT", "NO_PICKLE_MODE"):
        _executor.add_hook(_event, note)
