"""MPI ranks that say on which node of a Slurm job they are."""

import os
import time

from lute import Message, MPIExecutor, Task, TaskParameters


class NodesParameters(TaskParameters):
    fail: int = -1
    wait: bool = False


class Nodes(Task):
    def _run(self):
        from mpi4py import MPI

        world = MPI.COMM_WORLD
        rank, node = world.Get_rank(), os.environ["SLURMD_NODENAME"]
        print(f"rank {rank} of {world.Get_size()} on {node}")
        for number in range(1000 if rank == 0 else 1):
            self._report_to_executor(Message(contents=(rank, number)))
        if rank == self._task_parameters.fail:
            raise ValueError(f"broken on {node}")
        while self._task_parameters.wait:
            time.sleep(0.05)
        self._result.payload = world.allgather([node, *sorted(os.environ.keys() & {"LUTE_PORT", "LUTE_SOCKET"})])


Told = []
Ranks, BySrun = MPIExecutor("Nodes"), MPIExecutor("Nodes", launcher=["srun", "--mpi=pmi2"])
UntoldSrun = MPIExecutor("Nodes", launcher="srun")
Four = MPIExecutor("Nodes", ranks=4)
for _executor in (Ranks, BySrun, Four):
    _executor.add_hook("TASK_LOG", lambda executor, msg, proc: Told.append(msg.contents))
    _executor.add_tasklet(lambda: f"told by {[rank for rank, number in Told].count(0)}, {len(Told)}", set_summary=True)
