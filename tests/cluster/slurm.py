"""A private Slurm on the loopback for the tests, from the machine's own packages: munged, slurmctld, slurmds.

Debian's Slurm is built so that several slurmd run on one host, each a node of its own name.
Needs the packages `slurm-wlm` and `munge`; with accounting, `slurmdbd` and `mariadb-server` too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from pathlib import Path

from process.helpers import wait_until

TIMES = "bf_interval=1,sched_interval=1,sched_min_interval=0,batch_sched_delay=0"
TRACKING = {
    False: "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nJobAcctGatherType=jobacct_gather/linux",
    True: "ProctrackType=proctrack/cgroup\nTaskPlugin=task/cgroup\nJobAcctGatherType=jobacct_gather/cgroup",
}


class Slurm:
    """One cluster of emulated nodes `n1`, `n2`, ...

    Args:
        nodes: How many.
        cpus: What each announces; more than there are is allowed.
        memory: What each announces, in MiB.
        cgroup: Whether a job's memory is limited by a cgroup (root, cgroup v1).
        database: Port of a MariaDB on the loopback for accounting.
        remember: How long the controller remembers a job after its end, in s.
        most_jobs: The most jobs that it has at once.
        array_size: Its `MaxArraySize`, one more than the most jobs of an array.
    """

    def __init__(
        self,
        nodes: int = 4,
        cpus: int = 2,
        memory: int = 2000,
        cgroup: bool = False,
        database: int | None = None,
        remember: int = 600,
        most_jobs: int = 10000,
        array_size: int = 1001,
    ) -> None:
        for program in ("slurmctld", "slurmd", "munged", "sbatch"):
            assert _found(program), f"there is no {program} to test with: apt-get install slurm-wlm munge"
        self.nodes, self.cgroup = [f"n{number}" for number in range(1, nodes + 1)], cgroup
        self.folder = Path(tempfile.mkdtemp(prefix="lslurm-"))  # short: it holds sockets
        self.folder.chmod(0o755)
        self._running: list[subprocess.Popen[bytes]] = []
        self._controller: subprocess.Popen[bytes] | None = None
        self._database, self._remember = database, remember
        self._limits = [f"MaxJobCount={most_jobs}", f"MaxArraySize={array_size}"]
        self._ports = _free_ports(nodes + 2)
        for name in ("log", "state", "spool", "munge", "tmp", "sock"):
            (self.folder / name).mkdir(mode=0o755)
        (self.folder / "munge").chmod(0o700)
        key = self.folder / "munge" / "key"
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        (self.folder / "slurm.conf").write_text(self._configuration(cpus, memory))
        ram = "yes" if cgroup else "no"
        (self.folder / "cgroup.conf").write_text(
            f"CgroupPlugin=cgroup/v1\nConstrainCores=no\nConstrainRAMSpace={ram}\n"
        )
        if database is not None:
            self._configure_accounting(database)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to speak with it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def _configuration(self, cpus: int, memory: int) -> str:
        host, folder = socket.gethostname().partition(".")[0], self.folder
        user = _user()
        accounting = "JobCompType=jobcomp/none"
        if self._database is not None:
            accounting = (
                "AccountingStorageType=accounting_storage/slurmdbd\nAccountingStorageHost=localhost\n"
                f"AccountingStoragePort={self._ports[1]}\nAccountingStoragePass={folder}/sock/munge"
            )
        lines = [
            "ClusterName=lute",
            f"SlurmctldHost={host}(127.0.0.1)",
            f"SlurmctldPort={self._ports[0]}",
            "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny",
            f"SlurmUser={user}",
            f"SlurmdUser={user}",
            "AuthType=auth/munge",
            f"AuthInfo=socket={folder}/sock/munge,cred_expire=5",
            "CredType=cred/munge",
            f"StateSaveLocation={folder}/state",
            f"SlurmdSpoolDir={folder}/spool/%n",
            f"SlurmctldPidFile={folder}/slurmctld.pid",
            f"SlurmdPidFile={folder}/slurmd.%n.pid",
            f"SlurmctldLogFile={folder}/log/slurmctld",
            f"SlurmdLogFile={folder}/log/slurmd.%n",
            f"TmpFS={folder}/tmp/%n",
            TRACKING[self.cgroup],
            "JobAcctGatherFrequency=task=1",
            "SelectType=select/cons_tres",
            "SelectTypeParameters=CR_Core_Memory",
            "SlurmdParameters=config_overrides",
            f"SchedulerParameters={TIMES}",
            "MpiDefault=none",
            "ReturnToService=2",
            "KillWait=10",
            "SlurmdTimeout=30",
            f"MinJobAge={self._remember}",
            *self._limits,
            accounting,
            f"NodeName=DEFAULT CPUs={cpus} RealMemory={memory} State=UNKNOWN",
            *(
                f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port}"
                for node, port in zip(self.nodes, self._ports[2:], strict=True)
            ),
            "PreemptType=preempt/partition_prio",
            "PreemptMode=REQUEUE",
            "PartitionName=first Nodes=ALL PriorityTier=10 PreemptMode=OFF MaxTime=60 DefMemPerCPU=200 State=UP",
            "PartitionName=main Nodes=ALL Default=YES MaxTime=60 DefaultTime=5 DefMemPerCPU=200 State=UP",
            "PartitionName=short Nodes=ALL MaxTime=2 DefaultTime=1 DefMemPerCPU=200 State=UP",
        ]
        return "\n".join(lines) + "\n"

    def _configure_accounting(self, port: int) -> None:
        path = self.folder / "slurmdbd.conf"
        lines = [
            "DbdHost=localhost",
            "DbdAddr=127.0.0.1",
            f"DbdPort={self._ports[1]}",
            f"SlurmUser={_user()}",
            "AuthType=auth/munge",
            f"AuthInfo=socket={self.folder}/sock/munge",
            f"PidFile={self.folder}/slurmdbd.pid",
            f"LogFile={self.folder}/log/slurmdbd",
            "StorageType=accounting_storage/mysql",
            "StorageHost=127.0.0.1",
            f"StoragePort={port}",
            "StorageUser=slurm",
            "StoragePass=slurm",
            "StorageLoc=slurm_acct",
        ]
        path.write_text("\n".join(lines) + "\n")
        path.chmod(0o600)

    def _start(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with open(self.folder / "log" / f"{program}.out", "ab") as log:
            argv = [_found(program) or program, *arguments]
            env = {**os.environ, **self.environment}
            self._running.append(subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env))
        return self._running[-1]

    def start(self) -> None:
        """Starts it, and waits until all nodes are idle."""
        socket_path, folder = self.folder / "sock" / "munge", self.folder
        self._start(
            "munged",
            "--foreground",
            "--force",
            f"--key-file={folder}/munge/key",
            f"--socket={socket_path}",
            f"--pid-file={folder}/munged.pid",
            f"--log-file={folder}/log/munged",
            f"--seed-file={folder}/munge/seed",
        )
        wait_until(lambda: self.says("munge", "-S", str(socket_path), "-n"), "munged answers")
        if self._database is not None:
            self._start("slurmdbd", "-D")
            wait_until(lambda: self._runs("sacctmgr", "-n", "show", "cluster"), "slurmdbd answers", 60)
            self.says("sacctmgr", "-i", "add", "cluster", "lute")
            self.says("sacctmgr", "-i", "add", "account", "lute")
            self.says("sacctmgr", "-i", "add", "user", _user(), "account=lute")
        self.start_controller("-c")
        for node in self.nodes:
            self.start_node(node)
        wait_until(lambda: self.idle() == sorted(self.nodes), "all nodes are idle", 60)

    def start_controller(self, *options: str) -> None:
        """Starts slurmctld, and waits until it answers."""
        self._controller = self._start("slurmctld", "-D", *options)
        wait_until(lambda: self._runs("scontrol", "ping"), "slurmctld answers", 30)

    def stop_controller(self) -> None:
        """Ends slurmctld; jobs that run go on."""
        assert self._controller is not None
        self._controller.terminate()
        self._controller.wait(30)

    def start_node(self, node: str) -> None:
        """Starts a node's slurmd."""
        for name in ("spool", "tmp"):
            (self.folder / name / node).mkdir(mode=0o1777, exist_ok=True)
        self._start("slurmd", "-D", "-N", node)

    def idle(self) -> list[str]:
        """Returns the names of the nodes that are idle."""
        return sorted(self.says("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N").split())

    def says(self, *argv: str) -> str:
        """Returns what a command prints, whatever its exit status."""
        env = {**os.environ, **self.environment}
        return subprocess.run(argv, capture_output=True, env=env, text=True, timeout=60, check=False).stdout

    def _runs(self, *argv: str) -> bool:
        env = {**os.environ, **self.environment}
        return subprocess.run(argv, capture_output=True, env=env, timeout=60, check=False).returncode == 0

    def state(self, job: str) -> str:
        """Returns the state of a job in Slurm's own word."""
        return self.says("squeue", "-h", "-t", "all", "-j", job, "-o", "%T").strip()

    def take_back(self, how: str, job: str) -> str:
        """Takes back a job that runs, to start it again. Returns Slurm's word for that.

        Args:
            how: `preempted`, `requeued` or `node down`.
            job: The job's id.
        """
        if how == "preempted":
            every = [f"--nodes={len(self.nodes)}", "--exclusive", "--wrap=true"]
            self.says("sbatch", "--partition=first", "--output=/dev/null", *every)
            return "PREEMPTED"
        if how == "requeued":
            self.says("scontrol", "requeue", job)
            return "REQUEUED"
        node = self.says("squeue", "-h", "-j", job, "-o", "%N").strip()
        self.says("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
        wait_until(lambda: self.state(job) != "RUNNING", "the job is taken back")
        self.says("scontrol", "update", f"NodeName={node}", "State=RESUME")
        return "NODE_FAIL"

    def empty(self) -> None:
        """Cancels all jobs, and waits until none is left and all nodes are idle."""
        self.says("scancel", "-u", _user())
        wait_until(lambda: not self.says("squeue", "-h").strip(), "no job is left", 60)
        wait_until(lambda: self.idle() == sorted(self.nodes), "all nodes are idle", 60)

    def close(self) -> None:
        """Ends all of it."""
        with contextlib.suppress(AssertionError, subprocess.TimeoutExpired):
            self.empty()
        for process in reversed(self._running):
            process.terminate()
        for process in reversed(self._running):
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._end_stray_steps()
        for path in Path("/sys/fs/cgroup").glob("*/slurm_n[0-9]*") if self.cgroup else ():
            for folder in [*sorted(path.rglob("*/"), reverse=True), path]:
                with contextlib.suppress(OSError):
                    folder.rmdir()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _end_stray_steps(self) -> None:
        """Ends what a slurmd that was killed left behind: its slurmstepd, known by our folder."""
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            with contextlib.suppress(OSError):
                if (
                    b"slurmstepd" in (entry / "cmdline").read_bytes()
                    and str(self.folder).encode() in (entry / "environ").read_bytes()
                ):
                    os.kill(int(entry.name), signal.SIGKILL)


def _found(program: str) -> str | None:
    return shutil.which(program, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def _user() -> str:
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports: list[int] = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
