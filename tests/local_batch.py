"""A double of a batch system whose jobs are processes of this machine, for tests of what is not Slurm's own.

It is chosen as any other scheduler: `LUTE_SCHEDULER=local_batch`, where this file can be imported. Each job, and each
element of an array, is a folder in `$LOCAL_BATCH` and has a keeper: a process that waits for the jobs which it depends
on, runs its script in a process group of its own, and writes down how that ended. Its words are not those of Slurm.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from lute.batch.jobs import Job, Options, OwnJob
from lute.errors import SchedulerError, UsageError

NAME = "local"
OPTIONS = {
    "job-name", "output", "ntasks", "cpus-per-task", "mem", "time", "array", "dependency", "kill-on-invalid-dep", "warn",
    "open-mode", "slice",
}  # fmt: skip
STATUSES = {"done": "FAILED", "failed": "FAILED", "withdrawn": "CANCELLED", "lost": "FAILED"}
"""The status of a run whose job ended so, of which nobody else told."""
LOOK = 0.01
"""Time between two looks of a keeper, in s."""


def _home() -> Path:
    try:
        return Path(os.environ["LOCAL_BATCH"])
    except KeyError:
        raise SchedulerError("there is no local batch here: $LOCAL_BATCH is not set") from None


# ----------------------------------------------------------------------------------------------- options


def read_options(words: str | Sequence[str]) -> Options:
    """Reads `--name=value` words."""
    found: Options = {}
    for word in shlex.split(words) if isinstance(words, str) else words:
        name, equals, value = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or name not in OPTIONS:
            raise UsageError(f"{word!r} is not an option of the local batch")
        found[name] = value
    return found


def merged(*several: Mapping[str, str | None]) -> Options:
    """Later ones replace the same earlier ones."""
    return {name: value for options in several for name, value in options.items()}


def seconds_of(text: str | None) -> float | None:
    """Its times are in s."""
    return float(text) if text else None


def warning(grace: float) -> Options:
    """It has no limits of its own, and keeps the number for whoever looks at a script."""
    return {"warn": f"{grace:g}"}


def script(options: Mapping[str, str | None], command: Sequence[str], settings: Mapping[str, str] | None = None) -> str:
    """The script of a job."""
    lines = ["#!/bin/bash", *(f"#LOCAL {name}={value}" for name, value in options.items())]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in (settings or {}).items()]
    return "\n".join([*lines, f"exec {shlex.join(command)}", ""])


# -------------------------------------------------------------------------------------------------- jobs


def submit(text: str, env: Mapping[str, str] | None = None) -> str:
    """Makes the folder of each job and starts their keepers."""
    lines = [line.removeprefix("#LOCAL ") for line in text.splitlines() if line.startswith("#LOCAL ")]
    options = dict(line.split("=", 1) for line in lines)
    if options.get("job-name") == "refuse":
        raise SchedulerError("the local batch refused the job")
    number = _next_number()
    first, _, last = options.get("array", "").partition("-")
    identities = [f"{number}_{index}" for index in range(int(first), int(last) + 1)] if first else [str(number)]
    base = {**(os.environ if env is None else env)}
    for name in ("LOCAL_BATCH_JOB", "LOCAL_BATCH_INDEX"):
        base.pop(name, None)
    for identity in identities:
        folder = _home() / identity
        folder.mkdir()
        (folder / "script").write_text(text)
        (folder / "dependency").write_text(options.get("dependency", ""))
        array, _, index = identity.partition("_")
        output = options["output"].replace("%j", identity).replace("%A", array).replace("%a", index)
        own = {"LOCAL_BATCH_JOB": identity, **({"LOCAL_BATCH_INDEX": index} if index else {})}
        _say(folder, "waiting")
        keeper = subprocess.Popen(
            [sys.executable, __file__, identity, output],
            env={**base, **own, "LOCAL_BATCH": str(_home())},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        keeper.returncode = 0  # it is left to itself
    return str(number)


def _next_number() -> int:
    number = 1
    while True:
        with contextlib.suppress(FileExistsError):
            (_home() / f"number-{number}").mkdir(parents=True)
            return number
        number += 1


def _say(folder: Path, state: str, reason: str = "") -> None:
    aside = folder / f"state.{os.getpid()}"
    aside.write_text(f"{state}\n{reason}")
    aside.rename(folder / "state")


def _folders(identity: str) -> list[Path]:
    """The folder of a job; of an array, those of its elements."""
    return [
        path
        for path in _home().glob(f"{identity}*")
        if path.name.partition("_")[0] == identity or path.name == identity
    ]


def _job(folder: Path) -> Job:
    state, reason = (folder / "state").read_text().split("\n", 1)
    ended = state not in ("waiting", "running")
    return Job(state, ended, STATUSES.get(state, "FAILED"), f"job {folder.name} of the local batch: {reason or state}")


def jobs(identities: Iterable[str]) -> dict[str, Job]:
    """What the keepers have written down."""
    found = {}
    for identity in identities:
        folder = _home() / identity
        known = [_job(one) for one in _folders(identity)]
        if not known:
            found[identity] = Job("UNKNOWN", True, "FAILED", f"the local batch does not know job {identity}")
        elif folder.is_dir():
            found[identity] = known[0]
        else:
            found[identity] = next((job for job in known if not job.ended), known[-1])
    return found


def ends(in_jobs: Mapping[str, tuple[str, str]], gone: Iterable[str] = ()) -> dict[str, tuple[str, str] | None]:
    """What became of runs in jobs."""
    known, found = jobs(job for job, _ in in_jobs.values()), dict[str, "tuple[str, str] | None"]()
    for run, (identity, _) in in_jobs.items():
        job = known[identity]
        if job.ended:
            found[run] = (job.status, job.reason)
        elif run in set(gone):  # its keeper is about to say how it ended
            found[run] = None
    return found


def cancel(identities: Iterable[str]) -> None:
    """Marks a job as cancelled; its keeper sends SIGTERM if it runs."""
    for identity in identities:
        for folder in _folders(identity):
            (folder / "cancel").touch()


def largest_array() -> int:
    """It has no limit."""
    return 1000


def taken_back(own: OwnJob) -> str:
    """It starts no job again."""
    return ""


def started_again(own: OwnJob) -> str:
    """It starts no job again."""
    return "started again"


def own_job(env: Mapping[str, str]) -> OwnJob | None:
    """The job that a process is in."""
    identity, index = env.get("LOCAL_BATCH_JOB"), env.get("LOCAL_BATCH_INDEX")
    return OwnJob(identity, (identity,), index=int(index) if index else None) if identity else None


def close() -> None:
    """Ends all that runs, at the end of a test."""
    if not _home().is_dir():
        return
    for path in [*_home().glob("*/keeper"), *_home().glob("*/pid")]:
        with contextlib.suppress(ProcessLookupError, ValueError):
            if not _job(path.parent).ended:
                os.killpg(int(path.read_text()), signal.SIGKILL)


# ----------------------------------------------------------------------------------------------- keepers


def _fulfilled(text: str) -> bool | None:
    """Whether a dependency is fulfilled; None as long as that is open."""
    found = [_term(term) for term in text.split("?")]
    return True if True in found else None if None in found else False


def _term(text: str) -> bool | None:
    kind, *numbers = text.split(":")
    known = [_job(folder) for number in numbers for folder in _folders(number)]
    if not all(job.ended for job in known):
        return None
    good = [job.state == "done" for job in known]
    return {"afterok": all(good), "afternotok": not any(good), "afterany": True}[kind]


def _keep(identity: str, output: str) -> None:
    folder = _home() / identity
    (folder / "keeper").write_text(str(os.getpid()))
    dependency = (folder / "dependency").read_text()
    while dependency and not (fulfilled := _fulfilled(dependency)):
        if fulfilled is False:
            return _say(folder, "withdrawn", "it can never start, because of how another job ended")
        if (folder / "cancel").exists():
            return _say(folder, "withdrawn", "it was withdrawn before it started")
        time.sleep(LOOK)
    if (folder / "cancel").exists():
        return _say(folder, "withdrawn", "it was withdrawn before it started")
    with open(output, "ab") as file:
        process = subprocess.Popen(["bash", folder / "script"], stdout=file, stderr=file, start_new_session=True)
    (folder / "pid").write_text(str(process.pid))
    _say(folder, "running")
    withdrawn = False
    while process.poll() is None:
        if not withdrawn and (folder / "cancel").exists():
            withdrawn = True
            os.killpg(process.pid, signal.SIGTERM)
        time.sleep(LOOK)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # what it left
    code = process.returncode
    if withdrawn:
        _say(folder, "withdrawn", "it was withdrawn")
    elif code < 0:
        _say(folder, "lost", f"it was killed by signal {-code}")
    else:
        _say(folder, "failed" if code else "done", f"it ended with status {code}")


if __name__ == "__main__":
    _keep(*sys.argv[1:])
