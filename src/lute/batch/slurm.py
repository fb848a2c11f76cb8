"""Slurm by its own commands: options of `sbatch`, the script of a job, what became of a job, an end of it.

Options and states as `man sbatch`, `man squeue` and `man sacct` of Slurm 22.05 to 24.11 have them. A state is read from
Slurm, never guessed from an exit code: a job that met its time limit has the exit code 0:0.
"""

from __future__ import annotations

import contextlib
import logging
import os
import pwd
import re
import shlex
import stat
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence

from lute.batch.jobs import Job, Options, OwnJob
from lute.errors import SchedulerBusyError, SlurmError, UsageError

logger = logging.getLogger(__name__)

NAME = "Slurm"
SHORT = {
    "A": "account", "B": "extra-node-info", "C": "constraint", "D": "chdir", "F": "nodefile", "G": "gpus",
    "H": "hold", "J": "job-name", "L": "licenses", "M": "clusters", "N": "nodes", "O": "overcommit",
    "S": "core-spec", "a": "array", "b": "begin", "c": "cpus-per-task", "d": "dependency", "e": "error",
    "i": "input", "k": "no-kill", "m": "distribution", "n": "ntasks", "o": "output", "p": "partition",
    "q": "qos", "s": "oversubscribe", "t": "time", "w": "nodelist", "x": "exclude",
}  # fmt: skip
"""Long names of the one-letter options."""
BARE = frozenset(
    [
        "contiguous",
        "exclusive",
        "get-user-env",
        "hold",
        "ignore-pbs",
        "nice",
        "no-kill",
        "no-requeue",
        "overcommit",
        "oversubscribe",
        "propagate",
        "reboot",
        "requeue",
        "spread-job",
        "use-min-nodes",
    ]
)
"""Options that stand without a value, or have one only after `=`."""
OURS = {
    "wrap": "the job runs lute",
    "array": "a workflow with `foreach` makes an array",
    "parsable": "lute reads sbatch's answer itself",
    "wait": "give --wait to lute, before the options of sbatch",
    "test-only": "give --dry-run",
    "export": "the environment is handed on whole; set what the Task needs on its Executor",
    "export-file": "the environment is handed on whole; set what the Task needs on its Executor",
    "kill-on-invalid-dep": "lute always asks for that",
    "help": "see: man sbatch",
    "usage": "see: man sbatch",
    "version": "see: sbatch --version",
    "quiet": "give -q to lute",
    "verbose": "give -v to lute",
}
"""Options that cannot be given, and why."""
TOGETHER = (("mem", "mem-per-cpu", "mem-per-gpu"), ("requeue", "no-requeue"), ("exclusive", "oversubscribe"))
"""Options of which one takes the place of the others."""

LIVE = frozenset(
    [
        "PENDING",
        "CONFIGURING",
        "RUNNING",
        "COMPLETING",
        "SUSPENDED",
        "REQUEUED",
        "REQUEUE_HOLD",
        "REQUEUE_FED",
        "RESIZING",
        "RESV_DEL_HOLD",
        "SIGNALING",
        "STAGE_OUT",
        "STOPPED",
        "SPECIAL_EXIT",
    ]
)
"""States of a job that has not ended."""
STATUSES = {"COMPLETED": "COMPLETED", "TIMEOUT": "TIMEDOUT", "DEADLINE": "TIMEDOUT", "CANCELLED": "CANCELLED",
            "PREEMPTED": "CANCELLED", "REVOKED": "CANCELLED"}  # fmt: skip
"""The status of a run whose job ended so; FAILED for every other end."""
IN_WORDS = {
    "TIMEOUT": "the job met its time limit",
    "DEADLINE": "the job met its deadline",
    "OUT_OF_MEMORY": "the job was out of memory",
    "NODE_FAIL": "a node of the job failed",
    "BOOT_FAIL": "a node of the job could not be started",
    "PREEMPTED": "the job was preempted",
    "REQUEUED": "the job was requeued",
    "CANCELLED": "the job was cancelled",
    "FAILED": "the job failed",
    "COMPLETED": "the job ended, and said nothing of it",
    "UNKNOWN": "Slurm does not know the job any more",
}
RETRIES = "sleeping and retrying"
"""What sbatch says when it will try again by itself, in silence, for two minutes."""
FULL = ("job submit limit", "SubmitJob", "MaxJobCount")
"""What Slurm says when a limit on the number of jobs is reached: its own, an association's or a QOS's."""
TAKEN_BACK = {"PREEMPTION": "PREEMPTED", "NODE FAILURE": "NODE_FAIL", "JOB REQUEUE": "REQUEUED"}
"""What Slurm prints into the output of a job that it takes back to start it again, and the state that says the same."""
_TOLD = re.compile(r"\*\*\* JOB \d+ ON .* CANCELLED AT .* DUE TO (" + "|".join(TAKEN_BACK) + ")")
TAIL = 1 << 16
"""So many bytes at the end of a job's output are looked through for that."""
LOOK = 0.2
"""Time between two looks at what a command that does not end has said, in s."""
WAIT = 60.0
"""Longest time that one of Slurm's commands may take, in s."""
WARNING = "USR2"
"""The signal that comes ahead of a job's time limit."""
SLACK = 10
"""Time that is left for the last writes between the end of a Task that was warned and its job's limit, in s."""


# ----------------------------------------------------------------------------------------------- options


def read_options(words: str | Sequence[str]) -> Options:
    """Returns options of `sbatch` by their long names; one that is given twice counts as it was given last.

    Args:
        words: The options, as one text or in words.

    Raises:
        UsageError: A word is no option, or an option cannot be given here.

    >>> read_options("-n4 --time 10 --exclusive")
    {'ntasks': '4', 'time': '10', 'exclusive': None}
    """
    left = shlex.split(words) if isinstance(words, str) else list(words)
    found: Options = {}
    while left:
        name, value = _name_and_value(left.pop(0))
        if value is None and name not in BARE:
            if not left:
                raise UsageError(f"the option --{name} of sbatch needs a value: --{name}=VALUE")
            value = left.pop(0)
        if name in OURS:
            raise UsageError(f"the option --{name} of sbatch cannot be given here: {OURS[name]}")
        if value is not None and "\n" in value:
            raise UsageError(f"the option --{name} of sbatch has a value of several lines: {value!r}")
        found = merged(found, {name: value})
    return found


def _name_and_value(word: str) -> tuple[str, str | None]:
    if word.startswith("--") and len(word) > 2:
        name, equals, value = word[2:].partition("=")
        return name, value if equals else None
    if word.startswith("-") and len(word) > 1 and word[1] in SHORT:
        return SHORT[word[1]], word[2:].removeprefix("=") or None
    raise UsageError(f"{word!r} is no option of sbatch: write --name=value, such as --partition=main. See: man sbatch")


def merged(*several: Mapping[str, str | None]) -> Options:
    """Returns options of which later ones replace the same earlier ones; the rest stays."""
    found: Options = {}
    for options in several:
        for name, value in options.items():
            for other in next((group for group in TOGETHER if name in group), (name,)):
                found.pop(other, None)
            found[name] = value
    return found


def seconds_of(text: str | None) -> float | None:
    """Returns a time limit in s; None if there is none, or it is none of Slurm's forms.

    >>> seconds_of("10"), seconds_of("1:30"), seconds_of("1-0"), seconds_of("2:00:00")
    (600.0, 90.0, 86400.0, 7200.0)
    """
    days, dash, rest = (text or "").strip().rpartition("-")
    parts = rest.split(":")
    if not all(part.isdecimal() for part in parts) or len(parts) > 3 or (dash and not days.isdecimal()):
        return None
    numbers = [float(part) for part in parts]
    if dash:
        hours, minutes, seconds = [*numbers, 0.0, 0.0][:3]
    else:
        hours, minutes, seconds = {1: [0.0, numbers[0], 0.0], 2: [0.0, *numbers]}.get(len(numbers), numbers)
    found = (float(days or 0) * 24 + hours) * 3600 + minutes * 60 + seconds
    return found or None  # Slurm takes 0 for no limit


def script(options: Mapping[str, str | None], command: Sequence[str], settings: Mapping[str, str] | None = None) -> str:
    """Returns the script of a job. It becomes `command`, which so gets the batch system's signals itself.

    Args:
        options: Options of `sbatch`.
        command: What is run.
        settings: Variables that are set before.
    """
    lines = ["#!/bin/bash"]
    for name, value in options.items():
        lines.append(f"#SBATCH --{name}" if value is None else f"#SBATCH --{name}={shlex.quote(value)}")
    lines += [f"export {name}={shlex.quote(value)}" for name, value in (settings or {}).items()]
    return "\n".join([*lines, f"exec {shlex.join(command)}"]) + "\n"


def warning(grace: float) -> Options:
    """Returns the option by which a job is warned so early that it can end by itself.

    Args:
        grace: What its Task may take to end, in s.
    """
    return {"signal": f"B:{WARNING}@{int(grace) + SLACK}"}


# ---------------------------------------------------------------------------------------------- commands


def submit(text: str, env: Mapping[str, str] | None = None) -> str:
    """Submits a script. Returns the job's id.

    Args:
        text: The script.
        env: The environment that the job starts from; this process's if not given.

    Raises:
        SchedulerBusyError: Slurm takes no more jobs for now: a limit on their number is reached.
        SlurmError: Slurm refused it, or there is no Slurm here; it says what Slurm said.
    """
    base = dict(os.environ if env is None else env)
    kept = {name: value for name, value in base.items() if not name.startswith(("SLURM_", "SBATCH_"))}
    kept |= {name: value for name, value in base.items() if name in ("SLURM_CONF", "SLURM_CONF_SERVER")}
    try:
        answer = _ask(["sbatch", "--parsable"], text, kept, until=RETRIES)
    except SlurmError as error:
        if RETRIES in str(error) or (any(told in str(error) for told in FULL) and _has_jobs()):
            raise SchedulerBusyError(str(error)) from error
        raise
    return answer.strip().partition(";")[0]  # behind it stands the cluster


def _has_jobs() -> bool:
    return bool(_ask(["squeue", "--noheader", "--me", "--format=%i"]).strip())


def largest_array() -> int:
    """Returns the most jobs that an array may have: one less than `MaxArraySize`, and not more than `MaxJobCount`.

    Raises:
        SlurmError: Slurm does not answer.
    """
    found = _configuration()
    return max(1, min(int(found.get("MaxArraySize", "1001")) - 1, int(found.get("MaxJobCount", "10000"))))


def job_of(identity: str, state: str, reason: str = "", exit_code: str = "") -> Job:
    """Returns a job as Slurm's words describe it.

    Args:
        identity: Its id.
        state: Its state; `UNKNOWN` if Slurm does not know it any more.
        reason: Why it waits, or ended so.
        exit_code: Its exit code as Slurm writes it, `0:9`.

    >>> job_of("7", "OUT_OF_MEMORY", "None", "0:125").reason
    'the job was out of memory (Slurm job 7: OUT_OF_MEMORY, exit code 0:125)'
    """
    told = IN_WORDS.get(state, "the job ended")
    besides = [state, *([reason] if reason not in ("", "None") else [])]
    code = f", exit code {exit_code}" if exit_code not in ("", "0:0") else ""
    return Job(
        state,
        ended=state not in LIVE,
        status="FAILED" if state == "COMPLETED" else STATUSES.get(state, "FAILED"),
        reason=f"{told} (Slurm job {identity}: {', '.join(besides)}{code})",
    )


def jobs(identities: Iterable[str]) -> dict[str, Job]:
    """Returns what Slurm says of jobs, by their ids; each id is answered.

    Asks the controller, and of jobs that it does not know any more the accounting, where there is one.

    Raises:
        SlurmError: Slurm does not answer.
    """
    wanted = sorted(set(identities))
    if not wanted:
        return {}
    found = _from_controller(wanted)
    if missing := [one for one in wanted if one not in found]:
        found |= _from_accounting(missing)
    if cancelled := [one for one, job in found.items() if one in wanted and job.state == "CANCELLED"]:
        with contextlib.suppress(SlurmError):  # who did it is told if it is known
            found |= _from_accounting(cancelled)
    return {one: found.get(one) or job_of(one, "UNKNOWN") for one in wanted}


def ends(in_jobs: Mapping[str, tuple[str, str]], gone: Iterable[str] = ()) -> dict[str, tuple[str, str] | None]:
    """Returns what has become of runs in jobs: status and reason, or None for one that may go on.

    A run of which nothing is said here lives on, or has ended for a reason that Slurm does not know.

    Args:
        in_jobs: The job and the cluster of each run.
        gone: Runs whose process is known to be gone.

    Raises:
        SlurmError: Slurm does not answer.
    """
    known, gone = jobs(job for job, _ in in_jobs.values()), set(gone)
    here = cluster() if any(job.state == "UNKNOWN" for job in known.values()) else ""
    found: dict[str, tuple[str, str] | None] = {}
    for run, (identity, its_cluster) in in_jobs.items():
        job = known[identity]
        if not job.ended:
            if run in gone and job.state != "RUNNING":  # it is just ending, or will be started again
                found[run] = None
        elif run in gone and job.state in ("COMPLETED", "UNKNOWN"):
            continue
        elif job.state != "UNKNOWN" or its_cluster in ("", here):
            found[run] = (job.status, job.reason)
    return found


def _from_controller(wanted: list[str]) -> dict[str, Job]:
    form = "JobArrayID:|,State:|,Reason:|,exit_code:|"
    bases = sorted({one.partition("_")[0] for one in wanted})
    try:
        answer = _ask(
            ["squeue", "--noheader", "--array", "--states=all", f"--jobs={','.join(bases)}", f"--Format={form}"]
        )
    except SlurmError as error:
        if "Invalid job id" not in str(error):
            raise
        return {}
    found = {}
    for line in answer.splitlines():
        identity, state, reason, code = [*line.split("|"), "", "", ""][:4]
        identity = identity.strip()
        found[identity] = job_of(identity, _first_word(state), reason.strip(), _exit_code(code.strip()))
    return found


def _exit_code(status: str) -> str:
    """Returns the status of `wait` that squeue prints as sacct writes it: exit code and signal.

    >>> _exit_code("512"), _exit_code("9")
    ('2:0', '0:9')
    """
    return f"{int(status) >> 8}:{int(status) & 127}" if status.isdecimal() else status


def _from_accounting(missing: list[str]) -> dict[str, Job]:
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--format=JobID,State,ExitCode"]
    try:
        answer = _ask([*command, f"--jobs={','.join(missing)}"])
    except SlurmError as error:
        if "accounting storage is disabled" not in str(error):
            raise  # that it cannot be told now does not mean that the job is unknown
        return {}
    found = {}
    for line in answer.splitlines():
        identity, state, code = [*line.split("|"), "", ""][:3]
        found[identity] = job_of(identity, _first_word(state), _who(state), code)
    return found


def _who(state: str) -> str:
    """Returns who cancelled a job, in words: Slurm writes `CANCELLED by 1000`."""
    number = state.rpartition(" by ")[2]
    if not number.isdecimal() or int(number) == os.getuid():
        return ""
    with contextlib.suppress(KeyError):
        return f"by {pwd.getpwuid(int(number)).pw_name}"
    return f"by user {number}"


def cluster() -> str:
    """Returns the name of the cluster that answers here.

    Raises:
        SlurmError: None does.
    """
    return _configuration().get("ClusterName", "")


def _configuration() -> dict[str, str]:
    pairs = (line.partition("=") for line in _ask(["scontrol", "show", "config"]).splitlines())
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def _first_word(state: str) -> str:
    return (state.split() or ["UNKNOWN"])[0]  # `CANCELLED by 1000`


def cancel(identities: Iterable[str]) -> None:
    """Cancels jobs with one command; those that have ended are no error.

    Raises:
        SlurmError: Slurm does not answer.
    """
    wanted = sorted(set(identities))
    if wanted:
        try:
            _ask(["scancel", "--quiet", *wanted])
        except SlurmError as error:
            if "Invalid job id" not in str(error) and "already completed" not in str(error):
                raise


def own_job(env: Mapping[str, str] = os.environ) -> OwnJob | None:
    """Returns the job of the process that has this environment; None if it is in none.

    >>> own_job({"SLURM_JOB_ID": "8", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "0"}).id
    '7_0'
    """
    whole = env.get("SLURM_JOB_ID", "")
    array, index = env.get("SLURM_ARRAY_JOB_ID"), env.get("SLURM_ARRAY_TASK_ID")
    identity = f"{array}_{index}" if array and index else whole
    if not identity:
        return None
    return OwnJob(
        identity,
        ids=(identity, whole),
        cluster=env.get("SLURM_CLUSTER_NAME", ""),
        index=int(index) if index else None,
        restarts=int(env.get("SLURM_RESTART_COUNT", 0)),
    )


def taken_back(own: OwnJob) -> str:
    """Returns why the job of this process, which was told to end, will be started again; nothing if it will not.

    Slurm counts a restart before it ends what runs: a job that it cancels for good keeps its count.

    Raises:
        SlurmError: Slurm does not answer.
    """
    form = "--Format=RestartCnt:|,PreemptTime:|"
    answer = _ask(["squeue", "--noheader", "--states=all", f"--jobs={own.id}", form])
    restarts, preempted = [text.strip() for text in [*answer.split("|"), "", ""][:2]]
    if not restarts.isdecimal() or int(restarts) <= own.restarts:
        return ""
    return _words_of(own, _told_here() or ("PREEMPTED" if preempted not in ("", "N/A", "None") else "REQUEUED"))


def started_again(own: OwnJob) -> str:
    """Returns why Slurm started the job of this process again: as it printed then, or as its accounting has it."""
    try:
        state = _told_here() or _earlier_state(own)
    except SlurmError as error:
        logger.info("why job %s was started again is not known: %s", own.id, error)
        state = ""
    return _words_of(own, state) if state else f"Slurm started job {own.id} again"


def _words_of(own: OwnJob, state: str) -> str:
    return f"{IN_WORDS[state]}, and is started again (Slurm job {own.id}: {state})"


def _told_here() -> str:
    """Returns the state that Slurm's last words in this job's own output mean; nothing if there are none."""
    with contextlib.suppress(OSError), open("/proc/self/fd/2", "rb") as output:
        if stat.S_ISREG(os.fstat(output.fileno()).st_mode):
            output.seek(max(0, os.fstat(output.fileno()).st_size - TAIL))
            told = _TOLD.findall(output.read().decode("utf-8", "replace"))
            return TAKEN_BACK[told[-1]] if told else ""
    return ""


def _earlier_state(own: OwnJob) -> str:
    command = ["sacct", "--noheader", "--parsable2", "--allocations", "--duplicates", "--format=State"]
    states = [_first_word(line) for line in _ask([*command, f"--jobs={own.id}"]).splitlines()]
    return next((state for state in reversed(states) if state in TAKEN_BACK.values()), "")


def _ask(
    command: list[str], text: str | None = None, env: Mapping[str, str] | None = None, until: str | None = None
) -> str:
    """Returns what one of Slurm's commands prints.

    Args:
        command: The command.
        text: Its standard input.
        env: Its environment.
        until: What it says on standard error before it does nothing for a while; it is ended there.

    Raises:
        SlurmError: It failed, said that, or did not answer; with its own words.
    """
    try:
        code, out, err = _end_of(command, text, env, until)
    except FileNotFoundError as error:
        raise SlurmError(
            f"there is no {command[0]} here: is this a host of a Slurm cluster, and are its programs on PATH?"
        ) from error
    if code is None and not err:
        raise SlurmError(f"{command[0]} did not answer within {WAIT:g} s: is slurmctld up? See: scontrol ping")
    if code != 0:
        told = err.strip() or out.strip() or f"exit status {code}"
        raise SlurmError(f"{command[0]} {'did not end' if code is None else 'refused'}: {told.removeprefix(_ERROR)}")
    return out


_ERROR = "sbatch: error: "


def _end_of(
    command: list[str], text: str | None, env: Mapping[str, str] | None, until: str | None
) -> tuple[int | None, str, str]:
    """Returns exit status, standard output and error of a command; None for the status of one that was ended."""
    pipe, deadline = subprocess.PIPE, time.monotonic() + WAIT
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        while True:
            try:
                out, err = process.communicate(text, timeout=LOOK)
                return process.returncode, out, err
            except subprocess.TimeoutExpired as expired:
                text = None  # it is given once
                err = (expired.stderr or b"").decode("utf-8", "replace")
                if time.monotonic() > deadline or (until and until in err):
                    process.kill()
                    return None, "", err
