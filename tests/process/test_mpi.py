"""Tasks as MPI ranks, by the mpirun of MPICH and that of Open MPI."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Project
from process.helpers import make_bare_python, pids_with, wait_until

pytestmark = [pytest.mark.mpi, pytest.mark.timeout(180)]

SUM = """
    import sys
    from mpi4py import MPI
    world = MPI.COMM_WORLD
    assert open("sum.out").read() == "hello"
    total = world.allreduce(world.Get_rank() * int(sys.argv[2]))
    print(f"sum {total} of {world.Get_size()}")
"""


class Lab(Project):
    """A project whose `lute` runs under a Python with an MPI of its own."""

    python = sys.executable

    def start(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Starts `lute run` and does not wait."""
        argv = [self.python, "-m", "lute", "run", name, "-c", "config.yaml", "--json", "-q", *arguments]
        env = {**self.env, **(env or {})}
        pipe = subprocess.PIPE
        return subprocess.Popen(argv, cwd=self.folder, env=env, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe)

    def mpi(self, name: str, *arguments: str, env: dict[str, str] | None = None) -> dict[str, Any]:
        """Runs `lute run`. Returns what is known of the run, with its log's lines as `lines`."""
        argv = [self.python, "-m", "lute", "run", name, "-c", "config.yaml", "--json", "-q", *arguments]
        outcome = self.run(argv, env=env)
        assert outcome.out, outcome
        found: dict[str, Any] = {**outcome.json, "returncode": outcome.code, "stderr": outcome.err}
        if "log" in found:
            found["lines"] = Path(found["log"]).read_bytes().splitlines()
        return found


@pytest.fixture(params=["MPICH", "Open MPI"])
def lab(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lab]:
    """A project under each of the two MPIs; nothing of it is left afterwards."""
    lab = Lab(tmp_path)
    lab.env["MARK"] = mark = f"MPI_{os.getpid()}_{tmp_path.name}"
    if request.param == "Open MPI":
        lab.python = request.getfixturevalue("openmpi")
    lab.plugin("mpi")
    lab.write("sum.py", SUM)
    lab.write("templates/sum.txt", "{{ word }}")
    lab.config(header="clean_up_grace: 2\nterminate_grace: 1")
    yield lab
    assert pids_with(mark) == []


@pytest.mark.parametrize(("name", "ranks"), [("Two", 2), ("Four", 4)])
def test_ranks_run_one_task(lab: Lab, name: str, ranks: int) -> None:
    """A2, A4: under MPIExecutor all ranks run the Task, also more than there are cores, and rank 0's result counts."""
    found = lab.mpi(name)
    assert (found["returncode"], found["status"]) == (0, "COMPLETED"), found
    assert (found["payload"], found["summary"]) == ([rank * 10 for rank in range(ranks)], "rank 0")
    assert found["command"][0] == f"{Path(lab.python).parent}/mpirun"
    if name == "Four":
        assert (lab.folder / "events").read_text().split() == ["TASK_STARTED", "TASK_RESULT"]


@pytest.mark.parametrize(
    ("how", "who", "reason"),
    [
        ("fail", 0, r"ValueError: one rank is broken"),
        ("fail", 3, r"rank 3: ValueError: one rank is broken"),
        ("set_failed", 3, r"rank 3: not good enough"),
        ("leave", 3, r"rank 3: the Task left by sys\.exit\(3\) before it finished"),
        ("leave_at_once", 0, r"exited with status (3|9) before it gave a result"),
        ("leave_as_if_well", 3, r"exited with status (0|1|9) before it gave a result"),
        ("be_killed", 0, r"exited with status (9|137) before it gave a result: .*([Ss]ignal 9|Killed)"),
    ],
)
def test_one_rank_that_ends_badly_ends_all(lab: Lab, how: str, who: int, reason: str) -> None:
    """A2, DESIGN: a rank that raises, exits or is killed ends all; none waits for a dead one."""
    found = lab.mpi("Four", "-s", f"Ranks.do={how}", "-s", f"Ranks.who={who}")
    assert (found["returncode"], found["status"]) == (1, "FAILED"), found
    assert re.match(reason, found["reason"]), found["reason"]
    assert found["wall_s"] < 20
    if how == "fail":
        assert b"[%d] ValueError: one rank is broken" % who in found["lines"]


def test_a_timeout_ends_all_ranks(lab: Lab) -> None:
    """A2, B1: a timeout lets every rank clean up and ends it: TIMEDOUT."""
    found = lab.mpi("Four", "-s", "Ranks.do=wait", "-s", "task_timeout=8")
    assert (found["returncode"], found["status"]) == (124, "TIMEDOUT"), found
    assert sorted(path.name for path in lab.folder.glob("cleaned*")) == [f"cleaned{rank}" for rank in range(4)]


@pytest.mark.parametrize("by", ["Ctrl-C", "lute cancel"])
def test_a_cancel_ends_all_ranks(lab: Lab, by: str) -> None:
    """A2, B1: a cancel lets every rank clean up and ends it: CANCELLED."""
    process = lab.start("Four", "-s", "Ranks.do=wait")
    wait_until(lambda: len(list(lab.folder.glob("waiting*"))) == 4, "all ranks wait", 40)
    if by == "Ctrl-C":
        process.send_signal(signal.SIGINT)
    else:
        assert lab.lute("cancel", "last", "-c", "config.yaml").code == 0
    out, err = process.communicate(timeout=40)
    found = json.loads(out)
    assert (process.returncode, found["status"]) == (130 if by == "Ctrl-C" else 143, "CANCELLED"), err
    assert sorted(path.name for path in lab.folder.glob("cleaned*")) == [f"cleaned{rank}" for rank in range(4)]


def test_what_ranks_print_is_labelled(lab: Lab) -> None:
    """B1: each line of a rank is whole, in its order, as bytes, and says whose it is."""
    found = lab.mpi("Four", "-s", "Ranks.do=say")
    assert found["status"] == "COMPLETED", found
    for rank in range(4):
        mine = [line for line in found["lines"] if line.startswith(b"[%d] " % rank)]
        expected = [b"[%d] rank %d says \xff %d " % (rank, rank, number) + b"x" * 3000 for number in range(300)]
        assert mine == [*expected, b"[%d] no end" % rank]
    assert len(found["lines"]) == 4 * 301


def test_messages_of_all_ranks_arrive(lab: Lab) -> None:
    """A2: a thousand messages of rank 0, and those of others, arrive once, whole, and in the order of each rank."""
    found = lab.mpi("Four", "-s", "Ranks.do=tell")
    assert found["status"] == "COMPLETED", found
    counts = {rank: 1000 if rank == 0 else 10 for rank in range(4)}
    for rank, count in counts.items():
        mine = [line for line in found["lines"] if line.startswith(b"[%d] line" % rank) or b"print" in line]
        expected = []
        for number in range(count):
            expected.append(b"[%d] line %d of %d" % (rank, number, rank))
            expected += [b"[%d] print %d of %d" % (rank, number, rank)] if number % 100 == 0 else []
        assert [line for line in mine if line.startswith(b"[%d] " % rank)] == expected
    told = [tuple(item) for item in eval((lab.folder / "told").read_text())]
    for rank, count in counts.items():
        assert [item for item in told if item[0] == rank] == [(rank, number) for number in range(count)]


@pytest.mark.parametrize("name", ["Summer", "OwnSummer"])
def test_an_mpi_program(lab: Lab, name: str) -> None:
    """A3, A4: a program's ranks find each other; template, command line and hooks come once, before any rank starts."""
    found = lab.mpi(name)
    assert (found["returncode"], found["status"]) == (0, "COMPLETED"), found
    assert sorted(found["lines"][-4:]) == [b"[%d] sum 12 of 4" % rank for rank in range(4)]
    head = [line.decode() for line in found["lines"][:-4]]
    assert head == ["TemplateParameters: {'word': 'hello'}", f"{lab.python} sum.py --factor 2 "]
    assert (lab.folder / "events").read_text().split() == ["TASK_STARTED", "NO_PICKLE_MODE"]
    if name == "OwnSummer":
        assert (lab.folder / "prepared").read_text() == "once\n"


def test_a_task_under_another_python(lab: Lab, openmpi: str) -> None:
    """A4: a Task in a module of its own runs under another Python with the MPI beside that one."""
    lab.write(
        "far.py",
        """
        from lute.tasks import Task

        class Far(Task):
            def _run(self):
                from mpi4py import MPI
                self._result.payload = MPI.COMM_WORLD.allgather(self._task_parameters.n)
                self._result.summary = MPI.Get_library_version().split()[0]
        """,
    )
    other, its_mpi = (sys.executable, "MPICH") if lab.python == openmpi else (openmpi, "Open")
    more = f'Farer = MPIExecutor("Far", ranks=2)\nFarer.interpreter({other!r})\n'
    lab.add_to_plugin(more)
    found = lab.mpi("Farer")
    assert (found["status"], found["payload"], found["summary"]) == ("COMPLETED", [3, 3], its_mpi), found
    assert found["command"][0] == f"{Path(other).parent}/mpirun"


def test_a_model_with_ranks_and_launcher(lab: Lab) -> None:
    """A5: a model's own parameters say how many ranks there are and what starts them, under any Executor."""
    found = lab.mpi("Fields")
    assert sorted(found["lines"][-3:]) == [b"[0] a rank", b"[1] a rank", b"[2] a rank"], found
    found = lab.mpi(
        "Fields", "-s", "Fields.launcher=[mpiexec, -v]" if "openmpi" not in lab.python else "Fields.ranks=2"
    )
    assert found["status"] == "COMPLETED", found
    if "openmpi" not in lab.python:
        assert found["command"][:4] == [f"{Path(lab.python).parent}/mpiexec", "-v", "-n", "3"]
    found = lab.mpi("Fields", "--ranks", "2")
    assert sorted(found["lines"][-2:]) == [b"[0] a rank", b"[1] a rank"]
    assert found["command"][-3:] == ["sh", "-c", "echo a rank; exit 0"]


def test_labels_can_be_left_out_and_patterns_do_not_see_them(lab: Lab) -> None:
    """A4: `label=False` leaves what ranks print as it is; patterns of the model match with labels as without."""
    lab.config("Shell: {c: 'echo lines 5'}")
    labelled, plain = lab.mpi("Sheller"), lab.mpi("Plain")
    assert sorted(labelled["lines"][-2:]) == [b"[0] lines 5", b"[1] lines 5"]
    assert plain["lines"][-2:] == [b"lines 5"] * 2
    assert labelled["metrics"]["lines"]["value"] == plain["metrics"]["lines"]["value"] == 5


def test_a_program_that_is_not_there(lab: Lab) -> None:
    """B1: the log says which program was not found, and where it was looked for."""
    lab.config("Shell: {executable: no-such-program}")
    found = lab.mpi("Sheller")
    assert found["status"] == "FAILED"
    assert "program 'no-such-program' could not be started" in found["reason"]


def test_what_does_not_belong_together_is_told(lab: Lab, openmpi: str) -> None:
    """A4: ranks that cannot see each other end at once, with what to do; so do those that have no MPI at all."""
    other = sys.executable if lab.python == openmpi else openmpi
    lab.write("far.py", "from lute.tasks import Task\nclass Far(Task):\n    def _run(self): pass\n")
    more = f"""
Mixed = MPIExecutor("Ranks", ranks=2, launcher={str(Path(other).parent / "mpirun")!r})
Bare = MPIExecutor("Far", ranks=2, launcher={str(Path(lab.python).parent / "mpirun")!r})
Bare.interpreter({make_bare_python(lab.folder / "bare")!r})
Missing = MPIExecutor("Ranks", ranks=2, launcher="no-such-mpirun")
"""
    lab.add_to_plugin(more)
    found = lab.mpi("Mixed")
    assert (found["status"], found["wall_s"] < 20) == ("FAILED", True), found
    assert re.search("each sees 1: what started them is not of the same MPI|does mpirun belong", found["reason"]), found
    found = lab.mpi("Bare")
    assert "-m pip install mpi4py" in found["reason"], found
    found = lab.mpi("Missing")
    assert "no no-such-mpirun found" in found["reason"], found
    assert "pip install mpich mpi4py" in found["reason"]


def test_ranks_are_for_mpi_alone(project: Project) -> None:
    """B: `--ranks` for a Task that is one process is an error, and so are no ranks."""
    project.plugin("mpi")
    project.config()
    outcome = project.lute("run", "Shell", "-c", "config.yaml", "--ranks", "2")
    assert outcome.code == 2
    assert "Shell is one process" in outcome.err
    outcome = project.lute("run", "Two", "-c", "config.yaml", "--ranks", "0")
    assert (outcome.code, "0 ranks" in outcome.err) == (2, True), outcome
    outcome = project.lute("run", "Two", "-c", "config.yaml", "--ranks", "3", "--dry-run")
    assert "mpirun -n 3 " in outcome.out
