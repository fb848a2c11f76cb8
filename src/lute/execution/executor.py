"""Executors: each runs one Task in a process of its own, talks to it and keeps what it did.

An Executor knows its Task by name only, and constructing one opens nothing. What belongs to one run (its
processes, clock, status and record) lives in a `Run`, made anew by each `execute_task()`.
"""

from __future__ import annotations

import functools
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from lute import registry
from lute.config.config_file import AS_WRITTEN, ConfigFile, Overrides, Reader, read_config
from lute.errors import TaskFailed, UsageError
from lute.execution import environment
from lute.execution.handed_on import ACCEPTED, changed_values, refuse_changed
from lute.execution.outputs import make_folders
from lute.execution.plan import Plan, Ranks, Settings, Tasklet, make_plan
from lute.execution.recorder import RunContext
from lute.execution.run import OnStart, Run
from lute.launcher.handle import Launcher
from lute.record.db import read_for, record_of
from lute.record.rows import new_run_id
from lute.wire.ipc import LUTE_SIGNALS, Communicator, Message, Party, PipeCommunicator, SocketCommunicator
from lute.wire.results import DescribedAnalysis, TaskResult, TaskStatus

if TYPE_CHECKING:
    from lute.models.base import EnvironmentEntry

__all__ = ["BaseExecutor", "Executor", "Hook", "MPIExecutor"]

Hook = Callable[["BaseExecutor", Message, Any], Any]
"""Called as `hook(executor, msg, proc)` when a message with its signal comes."""


class BaseExecutor(ABC):
    """Runs one Task, by its name.

    Args:
        task_name: Name of the Task: its model is `<task_name>Parameters`.
        communicators: How it speaks with the Task; each run uses copies of its own.
        poll_interval: Longest time between two looks where there is nothing to wait on, in s.
        clean_up_grace: Time for the Task's own clean-up when it is stopped, in s; None as the header says.
        terminate_grace: Time between SIGTERM and SIGKILL, in s; None as the header says.
    """

    _is_lute_executor = True

    def __init__(
        self,
        task_name: str,
        communicators: Sequence[Communicator] | None = None,
        poll_interval: float = 0.05,
        *,
        clean_up_grace: float | None = None,
        terminate_grace: float | None = None,
    ) -> None:
        if communicators is not None and not communicators:
            raise ValueError("communicators is empty: leave it out, or give at least one")
        self._communicators = communicators
        self._analysis_desc = DescribedAnalysis(
            TaskResult(task_name, TaskStatus.PENDING, "", ""), None, {}, poll_interval, []
        )
        self.task_name = task_name
        self.poll_interval = poll_interval
        self.clean_up_grace, self.terminate_grace = clean_up_grace, terminate_grace
        self.hooks: dict[str, Hook] = {}
        self.tasklets: dict[str, list[Tasklet]] = {"before": [], "after": []}
        self._changes: list[environment.Change] = []
        self._interpreter: str | None = None
        self._modules = _modules_that_make()
        self._run: Run | None = None
        self.add_default_hooks()

    # ---------------------------------------------------------------------------------- settings

    def add_hook(self, event: str, hook: Hook) -> None:
        """Has `hook(executor, msg, proc)` called when a message with the signal `event` comes, on this Executor.

        An event has one hook; a later one takes its place. Contents without a signal go to `TASK_LOG`.

        Raises:
            ValueError: There is no such signal.
        """
        name = str(event).upper()
        if name not in LUTE_SIGNALS:
            raise ValueError(f"there is no event {event!r}: use one of {', '.join(sorted(LUTE_SIGNALS))}")
        self.hooks[name] = hook

    @abstractmethod
    def add_default_hooks(self) -> None:
        """Adds the hooks that this kind of Executor starts with."""

    def update_environment(
        self, env: dict[str, str] | Callable[[], dict[str, str]], update_path: str = "prepend"
    ) -> None:
        """Changes variables of the Task's environment.

        Args:
            env: New values by name, or a function that returns them when the Task is about to start.
            update_path: What is done with a new PATH: `prepend`, `append` or `overwrite`.

        Raises:
            ValueError: `update_path` is none of these.
        """
        if update_path not in environment.UPDATE_PATH:
            raise ValueError(f"update_path is {update_path!r}: use one of {', '.join(environment.UPDATE_PATH)}")
        self._changes.append(environment.Change(variables=env, update_path=update_path))

    def shell_source(self, script: str | os.PathLike[str]) -> None:
        """Has the Task run in the environment that a shell script leaves when bash sources it.

        Args:
            script: Its path. It is read when the Task is about to start.
        """
        self._changes.append(environment.Change(script=str(script)))

    def interpreter(self, path: str | os.PathLike[str]) -> None:
        """Has a Python Task run under another Python, 3.9 or newer, which needs nothing installed.

        The model names the Task's module as `Config.task_module`; that module imports only `lute.tasks`.

        Args:
            path: The Python's executable.
        """
        self._interpreter = str(path)

    def add_tasklet(
        self,
        fn: Callable[..., Any],
        args: Iterable[Any] = (),
        when: str = "after",
        set_result: bool = False,
        set_summary: bool = False,
        on_error: str = "note",
    ) -> None:
        """Adds a function that runs before or after the Task, in the `lute` process.

        Args:
            fn: The function.
            args: Its arguments. In text, `{{ param }}` and `{{ lute_config.run }}` are the Task's parameters;
                a text that is one substitution keeps the parameter's type.
            when: `before`, or `after` (only if the Task completed).
            set_result: What it returns becomes the payload, or is added to it.
            set_summary: What it returns becomes the summary, or is added to it.
            on_error: What happens if it raises or takes longer than the header's `tasklet_timeout`: `note` tells of
                it, and the run's outcome stands; `fail` makes the run FAILED, and no later tasklet runs. Nor does the
                Task, if it is one that runs before.

        Raises:
            ValueError: `when` or `on_error` is neither.
        """
        if when not in self.tasklets:
            raise ValueError(f"when is {when!r}: a tasklet runs 'before' or 'after' its Task")
        if on_error not in ("note", "fail"):
            raise ValueError(f"on_error is {on_error!r}: the failure of a tasklet is a 'note', or the run is to 'fail'")
        self.tasklets[when].append(Tasklet(fn, list(args), set_result, set_summary, on_error))

    # --------------------------------------------------------------------------------- workflows

    def __rshift__(self, other: Any) -> Any:
        """Returns the chain of this managed Task and what comes after it: `Indexer >> [Merger, Plotter]`."""
        from lute.graph.dag import Chain

        return Chain.of(self).then(other)

    def __rrshift__(self, other: Any) -> Any:
        """Returns the chain of what comes before and this managed Task."""
        from lute.graph.dag import Chain

        return Chain.of(other).then(self)

    # ----------------------------------------------------------------------------------- running

    def plan(
        self,
        config_path: str | os.PathLike[str] | None = None,
        overrides: Overrides = AS_WRITTEN,
        reader: Reader = read_for,
        identity: str = "",
    ) -> Plan:
        """Validates everything and returns what would be run; starts nothing.

        Args:
            config_path: The YAML file; `$LUTE_CONFIGPATH` if not given.
            overrides: What the command line changes of it.
            reader: Gives values of earlier results.
            identity: The id that the run will have; a new one if not given.

        Raises:
            UsageError: Something in the YAML or the model is wrong.
        """
        path = config_path or os.environ.get("LUTE_CONFIGPATH")
        if not path:
            raise UsageError("no YAML file: give config_path, -c FILE, or set LUTE_CONFIGPATH")
        file = read_config(path, overrides)
        file.load_plugins()
        return self.plan_from(file, reader, overrides.ranks, identity)

    def plan_from(
        self, file: ConfigFile, reader: Reader = read_for, ranks: int | None = None, identity: str = ""
    ) -> Plan:
        """Does the same as `plan` with a file that was read, its plug-ins loaded.

        Args:
            file: The YAML file, with what the command line changes.
            reader: Gives values of earlier results.
            ranks: Replaces the number of MPI ranks.
            identity: The id that the run will have; a new one if not given.
        """
        file = file.for_run(identity or new_run_id())
        params = file.valid_parameters(self.task_name, reader)
        settings = self._settings_with(params.lute_config.environments)
        return make_plan(params, self.task_name, os.path.abspath(file.path), settings, ranks)

    def _settings_with(self, entries: dict[str, EnvironmentEntry]) -> Settings:
        """Returns the settings, with what the header's `environments:` changes after the Executor's own changes."""
        settings = self.settings()
        if not entries:
            return settings
        from lute.config import environments  # most headers have none

        managed = (name for name, executor in registry.known_managed().items() if executor is self)
        entry = environments.entry_for(entries, [self.task_name, *managed])
        changes = (*settings.changes, *environment.changes_of(entry))
        return settings._replace(changes=changes, interpreter=entry.interpreter or settings.interpreter)

    def execute_task(
        self,
        config_path: str | os.PathLike[str] | None = None,
        *,
        overrides: Overrides = AS_WRITTEN,
        managed_task: str = "",
        launcher: Launcher | None = None,
        on_start: OnStart | None = None,
    ) -> DescribedAnalysis:
        """Runs the Task and waits for its end.

        Args:
            config_path: The YAML file; `$LUTE_CONFIGPATH` if not given.
            overrides: What the command line changes of it.
            managed_task: The name that this Executor goes by, for the record.
            launcher: Starts the processes; one is made for this run if it is not given.
            on_start: Called with the run's row when it has been recorded.

        Returns:
            What is known of the run, which COMPLETED.

        Raises:
            UsageError: Something in the YAML or the model is wrong; nothing was started.
            TaskFailed: It ended in any other way; `analysis` is what is known of it.
        """
        return self.execute_plan(self.plan(config_path, overrides), RunContext(managed_task), launcher, on_start)

    def execute_plan(
        self,
        plan: Plan,
        place: RunContext,
        launcher: Launcher | None = None,
        on_start: OnStart | None = None,
    ) -> DescribedAnalysis:
        """Runs what was planned, as `execute_task` does."""
        run = self.prepare(plan, place, on_start)
        run.execute(launcher)
        if run.analysis.task_result.task_status is not TaskStatus.COMPLETED:
            raise TaskFailed(run.explanation(), run.analysis)
        return run.analysis

    def prepare(self, plan: Plan, place: RunContext, on_start: OnStart | None = None) -> Run:
        """Returns a run of what was planned, still to be executed.

        Args:
            plan: What is to be run.
            place: What the run is a part of.
            on_start: Called with the run's row when it has been recorded.

        Raises:
            UsageError: A path that it takes from an earlier run is not what that wrote, or the folder of an output
                cannot be made.
        """
        place = _with_checked_values(plan, place)
        place = place._replace(identity=place.identity or plan.identity)
        make_folders(plan, place.identity)
        result = TaskResult(self.task_name, TaskStatus.PENDING, "", "")
        analysis = DescribedAnalysis(result, plan.params, {}, self.poll_interval, [])
        run = Run(plan, analysis, place, on_start)
        self._analysis_desc, self._run = analysis, run  # the last one; several may run at once
        return run

    def process_results(self) -> None:
        """Puts payload and summary of the last run where they are kept: pages, files, the record, the eLog."""
        if self._run is not None:
            self._run.process_results()

    def settings(self) -> Settings:
        """Returns what a run needs to know of this Executor."""
        return Settings(
            changes=tuple(self._changes),
            interpreter=self._interpreter,
            tasklets={when: tuple(tasklets) for when, tasklets in self.tasklets.items()},
            hooks={event: functools.partial(hook, self) for event, hook in self.hooks.items()},
            communicators=self.fresh_communicators,
            poll_interval=self.poll_interval,
            clean_up_grace=self.clean_up_grace,
            terminate_grace=self.terminate_grace,
            modules=self._modules,
        )

    def fresh_communicators(self, inherits: bool = True) -> list[Communicator]:
        """Returns communicators for one run.

        Args:
            inherits: Whether the Task's process inherits from us; MPI ranks do not, since `mpirun` stands between.
        """
        tcp = os.environ.get("LUTE_USE_TCP", "") not in ("", "0")
        usual = [SocketCommunicator() if tcp else PipeCommunicator()]
        fresh = [one.fresh() for one in self._communicators or usual]
        kept = [one for one in fresh if inherits or not isinstance(one, PipeCommunicator)]
        return kept or [SocketCommunicator(Party.EXECUTOR)]


def _with_checked_values(plan: Plan, place: RunContext) -> RunContext:
    """Looks at what a plan takes from earlier runs. Returns its place, with what was accepted though it is changed.

    Raises:
        UsageError: Something is not what an earlier run wrote, and it was not said that it is to be taken so.
    """
    if not (place.needed or plan.params._lute_sources):
        return place
    record = place.record or record_of(plan.params.lute_config)
    try:
        changed = changed_values(plan, record, place.needed)
        if not place.accept_changed:
            refuse_changed(changed, record)
    finally:
        if place.record is None:
            record.close()
    accepted = {f"{ACCEPTED} {file.parameter}": run for file, run, _ in changed}
    return place._replace(sources={**place.sources, **accepted})


def _modules_that_make() -> tuple[str, ...]:
    """Returns the names of the modules whose code is making an Executor, up to the first that is being loaded."""
    found: dict[str, None] = {}
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_name != "<module>":
        frame = frame.f_back
        name = str(frame.f_globals.get("__name__"))
        if not name.startswith("lute."):
            found[name] = None
        elif frame.f_code.co_name != "__init__":  # we made it, for a Task that has none
            break
    return tuple(found)


class Executor(BaseExecutor):
    """Runs a Task in a process of its own on this machine."""

    def add_default_hooks(self) -> None:
        """Adds none: what an Executor does by itself needs no hook."""


class MPIExecutor(Executor):
    """Runs a Task as the ranks of an MPI program.

    Args:
        task_name: Name of the Task.
        communicators: How it speaks with rank 0.
        poll_interval: Longest time between two looks where there is nothing to wait on, in s.
        ranks: Number of ranks; None for `$SLURM_NTASKS`, or else all cores of the job.
        reserve_core: Leaves one core to the Executor, unless `ranks` is given.
        launcher: What starts the ranks: a name or path, or a list with arguments of its own, such as
            `["srun", "--mpi=pmi2"]`. None for the `mpirun` or `mpiexec` beside the Task's Python or on PATH, and
            inside a Slurm job `srun` if there is neither.
        label: Whether each line that the ranks print begins with the number of its rank, as `[3] `.
        **graces: As for every Executor.

    Raises:
        ValueError: `ranks` is less than 1.
    """

    def __init__(
        self,
        task_name: str,
        communicators: Sequence[Communicator] | None = None,
        poll_interval: float = 0.05,
        *,
        ranks: int | None = None,
        reserve_core: bool = False,
        launcher: str | Sequence[str] | None = None,
        label: bool = True,
        **graces: float | None,
    ) -> None:
        super().__init__(task_name, communicators, poll_interval, **graces)
        if ranks is not None and ranks < 1:
            raise ValueError(f"ranks is {ranks}: give 1 or more, or leave it out")
        self.ranks, self.reserve_core, self.label = ranks, reserve_core, label
        self.launcher = [launcher] if isinstance(launcher, str) else list(launcher or ())

    def settings(self) -> Settings:
        """Returns what a run needs to know of this Executor."""
        ranks = Ranks(self.number_of_ranks(), tuple(self.launcher), self.label, told=self.ranks is not None)
        return super().settings()._replace(ranks=ranks)

    def number_of_ranks(self) -> int:
        """Returns how many ranks are started."""
        from lute.execution.mpi import number_of_ranks  # most Executors have no ranks

        return number_of_ranks(os.environ, self.reserve_core) if self.ranks is None else self.ranks
