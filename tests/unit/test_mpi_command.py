"""How the ranks of an MPI program are started: how many, the command line and its environment."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from lute.errors import LaunchError
from lute.execution import mpi
from lute.execution.mpi import Ranks, command, environment, host_for_others, number_of_ranks
from lute.tasks import rank

CORES = 6


@pytest.fixture(autouse=True)
def _six_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process may use six cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(CORES)))


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """A folder for programs that can be found and are never started."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin"


def put(folder: Path, *names: str) -> None:
    """Puts programs into a folder."""
    for name in names:
        folder.joinpath(name).write_text("#!/bin/false\n")
        folder.joinpath(name).chmod(0o755)


# --------------------------------------------------------------------------------------- how many


@pytest.mark.parametrize(
    ("env", "number"),
    [
        ({}, CORES),
        ({"SLURM_NTASKS": "4"}, 4),
        ({"SLURM_NTASKS": "1"}, 1),
        ({"SLURM_NTASKS": "4", "SLURM_JOB_CPUS_PER_NODE": "64"}, 4),
        ({"SLURM_NTASKS": ""}, CORES),
        ({"SLURM_NTASKS": "four"}, CORES),
        ({"SLURM_JOB_CPUS_PER_NODE": "8"}, 8),
        ({"SLURM_JOB_CPUS_PER_NODE": "64(x2),16"}, 144),
        ({"SLURM_JOB_CPUS_PER_NODE": "64(x2),16", "SLURM_CPUS_PER_TASK": "4"}, 36),
        ({"SLURM_CPUS_PER_TASK": "4"}, 1),
        ({"SLURM_CPUS_PER_TASK": ""}, CORES),
        ({"SLURM_JOB_CPUS_PER_NODE": "2", "SLURM_CPUS_PER_TASK": "4"}, 1),
    ],
)
def test_the_number_of_ranks(env: dict[str, str], number: int) -> None:
    """A4: the job's tasks, or else the cores of all its nodes, or else those of this process; at least one."""
    assert number_of_ranks(env, reserve_core=False) == number
    assert number_of_ranks(env, reserve_core=True) == max(1, number - 1), "one is left out, but never the last"


# -------------------------------------------------------------------------------- the command line


def test_the_command_line(bin_folder: Path) -> None:
    """A4: the starter with its own arguments, the number, then for each rank what labels its lines, and the program."""
    put(bin_folder, "mpirun", "python")
    python, argv = str(bin_folder / "python"), ["prog", "a b", "", "--x=é"]
    ranks = Ranks(3, ("mpirun", "--bind-to", "core"))
    assert command(ranks, argv, python, {"PATH": "/none"}) == [
        f"{bin_folder}/mpirun",
        "--bind-to",
        "core",
        "-n",
        "3",
        python,
        "-I",
        "-S",
        rank.__file__,
        *argv,
    ]


@pytest.mark.parametrize(
    ("ranks", "plain"),
    [(Ranks(2), False), (Ranks(1), True), (Ranks(2, label=False), True), (Ranks(1, label=False), True)],
)
def test_lines_are_labelled(bin_folder: Path, ranks: Ranks, plain: bool) -> None:
    """A4: the lines of several ranks are labelled unless that is switched off; those of a single rank are not."""
    put(bin_folder, "mpirun")
    line = command(ranks, ["prog"], str(bin_folder / "python"), {})
    assert ("--plain" in line) is plain
    assert line[-1] == "prog"


@pytest.mark.parametrize(
    ("ranks", "streams", "told"),
    [
        (Ranks(2), ["stdin"], []),
        (Ranks(2), ["stdin", "stdout"], ["--only=2"]),
        (Ranks(2), ["stderr"], ["--only=1"]),
        (Ranks(2), ["stdout", "stderr"], ["--plain"]),
        (Ranks(1), ["stdout"], ["--plain"]),
        (Ranks(2, label=False), ["stdout"], ["--plain"]),
    ],
)
def test_lines_that_go_to_a_file_are_not_labelled(
    bin_folder: Path, ranks: Ranks, streams: list[str], told: list[str]
) -> None:
    """C4: what a program prints to a file is as it printed it."""
    put(bin_folder, "mpirun")
    line = command(ranks, ["prog"], str(bin_folder / "python"), {}, streams)
    assert line[line.index(rank.__file__) + 1 :] == [*told, "prog"]


@pytest.mark.parametrize(
    ("there", "env", "found"),
    [
        (["mpirun", "mpiexec", "srun"], {}, "mpirun"),
        (["mpiexec", "srun"], {}, "mpiexec"),
        (["srun"], {"SLURM_JOB_ID": "1"}, "srun"),
        (["mpiexec", "srun"], {"SLURM_JOB_ID": "1"}, "mpiexec"),
    ],
)
def test_a_starter_is_looked_for(bin_folder: Path, there: list[str], env: dict[str, str], found: str) -> None:
    """A4: `mpirun`, then `mpiexec`; `srun` is last, and only inside a job."""
    put(bin_folder, *there)
    line = command(Ranks(2), ["prog"], "/none/python", {"PATH": str(bin_folder), **env})
    assert line[:2] == [f"{bin_folder}/{found}", "-n"]


def test_the_starter_beside_the_python_comes_first(bin_folder: Path, tmp_path: Path) -> None:
    """A4: MPI must be the one whose library the Task's Python loads, wherever PATH finds that Python."""
    other = tmp_path / "other"
    other.mkdir()
    put(bin_folder, "mpirun", "python")
    put(other, "mpirun")
    env = {"PATH": f"{other}:{bin_folder}"}
    assert command(Ranks(2), [], str(bin_folder / "python"), env)[0] == f"{bin_folder}/mpirun"
    assert command(Ranks(2), [], "python", env)[0] == f"{bin_folder}/mpirun"
    assert command(Ranks(2), [], "/none/python", env)[0] == f"{other}/mpirun"


@pytest.mark.parametrize(
    ("ranks", "env", "said"),
    [
        (Ranks(2), {}, "no mpirun and no mpiexec found"),
        (Ranks(2), {"SLURM_JOB_ID": "1"}, "no mpirun and no mpiexec and no srun found"),
        (Ranks(2, ("my_mpirun", "-x")), {}, "no my_mpirun found"),
    ],
)
def test_no_starter(bin_folder: Path, ranks: Ranks, env: dict[str, str], said: str) -> None:
    """A4: what was looked for, where, and what to install."""
    with pytest.raises(LaunchError, match=said) as failed:
        command(ranks, ["prog"], str(bin_folder / "python"), {"PATH": "/none", **env})
    assert f"PATH searched: {bin_folder}:/none. Try: pip install mpich" in str(failed.value)


# --------------------------------------------------------------------------------- the environment

ROOT = {"OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"}
MORE = {
    "PRTE_MCA_rmaps_default_mapping_policy",
    "OMPI_MCA_rmaps_base_oversubscribe",
    "OMPI_MCA_mpi_yield_when_idle",
}


@pytest.mark.parametrize(
    ("user", "number", "env", "names"),
    [
        (1000, 4, {"SLURM_TASKS_PER_NODE": "4"}, set()),
        (1000, 5, {"SLURM_TASKS_PER_NODE": "4"}, MORE),
        (1000, 6, {"SLURM_TASKS_PER_NODE": "2(x3)"}, set()),
        (1000, 7, {"SLURM_TASKS_PER_NODE": "2(x3)"}, MORE),
        (0, 1, {"SLURM_TASKS_PER_NODE": "1"}, ROOT),
        (0, 2, {"SLURM_TASKS_PER_NODE": "1"}, ROOT | MORE),
        (0, 2, {"SLURM_TASKS_PER_NODE": "1", "OMPI_MCA_mpi_yield_when_idle": "0"}, ROOT | MORE),
    ],
)
def test_what_open_mpi_is_told(
    monkeypatch: pytest.MonkeyPatch, user: int, number: int, env: dict[str, str], names: set[str]
) -> None:
    """A4: Open MPI starts ranks for root, and more than there are slots; what the environment says already stands."""
    monkeypatch.setattr(os, "geteuid", lambda: user)
    assert environment(Ranks(number), env).keys() == names - env.keys()


def test_slots_are_cores_where_slurm_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A4: outside a job Open MPI has a slot for each core, not for each of its threads."""
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    core_of = {f"cpu{cpu}": str(cpu // 2) for cpu in range(CORES)}  # two threads a core

    def read_text(path: Path) -> str:
        return core_of[path.parts[-3]] if path.name == "core_id" else "0"

    monkeypatch.setattr(mpi.Path, "read_text", read_text)
    assert environment(Ranks(CORES // 2), {}) == {}
    assert environment(Ranks(CORES // 2 + 1), {}).keys() == MORE


# ------------------------------------------------------------------------------------- other hosts


@pytest.mark.parametrize(
    ("env", "elsewhere"),
    [
        ({}, False),
        ({"SLURM_JOB_NUM_NODES": "1", "SLURMD_NODENAME": "n1"}, False),
        ({"SLURM_JOB_NUM_NODES": "1"}, True),  # salloc on a login node
        ({"SLURM_JOB_NUM_NODES": "2", "SLURMD_NODENAME": "n1"}, True),
        ({"SLURM_NNODES": "2", "SLURMD_NODENAME": "n1"}, True),
        ({"SLURM_JOB_NUM_NODES": "", "SLURM_NNODES": ""}, False),
        ({"PBS_NODEFILE": "{}/one"}, False),
        ({"PBS_NODEFILE": "{}/two"}, True),
        ({"PBS_NODEFILE": "{}/none"}, False),
    ],
)
def test_the_host_that_ranks_reach(tmp_path: Path, env: dict[str, str], elsewhere: bool) -> None:
    """A4: a name only if ranks are on other hosts, by what Slurm and PBS say; `LUTE_EXECUTOR_HOST` says which name."""
    (tmp_path / "one").write_text("n1\nn1\n")
    (tmp_path / "two").write_text("n1\nn2\n")
    env = {name: value.format(tmp_path) for name, value in env.items()}
    assert host_for_others(env) == (socket.gethostname() if elsewhere else None)
    named = host_for_others({**env, "LUTE_EXECUTOR_HOST": "node-ib0"})
    assert named == ("node-ib0" if elsewhere else None)


def test_where_labelled_lines_go(tmp_path: Path) -> None:
    """A4: a rank is told the log by host, inode and path; one on this host opens it, one for another file does not."""
    log = tmp_path / "run: 1.log"
    log.write_text("")
    place = mpi.log_place(log)[rank.LOG_VARIABLE]
    opened = rank.open_log(place)
    assert opened is not None
    os.write(opened, b"[3] text\n")
    os.close(opened)
    assert log.read_text() == "[3] text\n"
    boot, inode, path = place.split(":", 2)
    assert rank.open_log(f"{boot}:{int(inode) + 1}:{path}") is None
    assert rank.open_log(f"another boot:{inode}:{path}") is None
