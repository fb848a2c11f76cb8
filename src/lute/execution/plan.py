"""What is to be run, decided before anything starts: pure but for the look at which files there are."""

from __future__ import annotations

import enum
import functools
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import BaseModel

from lute import plugins, registry
from lute.config.substitution import Substituter
from lute.errors import SubstitutionError, UsageError
from lute.execution import environment
from lute.execution.exit_info import Timeouts
from lute.models.base import AnalysisHeader, TaskParameters, TemplateParameters, ThirdPartyParameters, fields_marked
from lute.models.fields import MPILauncher, MPIRanks
from lute.record.rows import RunFiles, exact_parameters, plain_parameters
from lute.record.values import kept
from lute.tasks import import_task, program
from lute.wire import framing
from lute.wire.encoding import Namespace
from lute.wire.framing import VALUE
from lute.wire.ipc import Communicator, Message, PipeCommunicator

if TYPE_CHECKING:
    from lute.config.run_names import RunNames
    from lute.record.types import JobHead

CHILD = str(Path(__file__).parents[1] / "tasks" / "__main__.py")
"""The file that is the child's side, for any Python."""


class Ranks(NamedTuple):
    """The ranks of an MPI program.

    Attributes:
        number: How many.
        launcher: What starts them, with its own arguments; empty to look for one.
        label: Whether each line that they print begins with the rank's number.
        told: Whether somebody said how many; otherwise there are as many as the place has that they are started in.
    """

    number: int
    launcher: tuple[str, ...] = ()
    label: bool = True
    told: bool = False


class Tasklet(NamedTuple):
    """A function that runs before or after a Task.

    Attributes:
        function: The function.
        args: Its arguments; after planning, with substitutions made.
        set_result: Whether what it returns goes to the payload.
        set_summary: Whether what it returns goes to the summary.
        on_error: `note`, or `fail` if the run fails with it.
    """

    function: Callable[..., Any]
    args: list[Any]
    set_result: bool = False
    set_summary: bool = False
    on_error: str = "note"

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", repr(self.function))


class Settings(NamedTuple):
    """What a run needs to know of its Executor.

    Attributes:
        changes: Steps to the Task's environment.
        interpreter: Another Python for the Task.
        tasklets: What runs `before` and `after`.
        hooks: What is called when a message comes, by its signal.
        communicators: Makes those of one run; told whether the Task's process inherits from us, as MPI ranks do not.
        poll_interval: Longest time between two looks where there is nothing to wait on, in s.
        clean_up_grace: Time for the Task's own clean-up when it is stopped, in s; None as the header says.
        terminate_grace: Time between SIGTERM and SIGKILL, in s; None as the header says.
        ranks: How the ranks of an MPI Task are started; None for a Task that is one process.
        modules: The names of the modules whose code made the Executor.
    """

    changes: tuple[environment.Change, ...] = ()
    interpreter: str | None = None
    tasklets: Mapping[str, tuple[Tasklet, ...]] = MappingProxyType({})
    hooks: Mapping[str, Callable[[Message, Any], Any]] = MappingProxyType({})
    communicators: Callable[[bool], list[Communicator]] = lambda inherits: [PipeCommunicator()]
    poll_interval: float = 0.05
    clean_up_grace: float | None = None
    terminate_grace: float | None = None
    ranks: Ranks | None = None
    modules: tuple[str, ...] = ()

    def timeouts(self, header: AnalysisHeader, task: str) -> Timeouts:
        """Returns the times of a run of a Task."""
        clean_up, terminate = self.clean_up_grace, self.terminate_grace
        return Timeouts(
            timeout=float(header.task_timeouts.get(task, header.task_timeout)),
            clean_up_grace=header.clean_up_grace if clean_up is None else clean_up,
            terminate_grace=header.terminate_grace if terminate is None else terminate,
            poll_interval=self.poll_interval,
        )


@dataclass(frozen=True)
class Plan:
    """What is to be run.

    Attributes:
        task: Name of the Task.
        params: Its validated parameters.
        config_path: The YAML file, absolute.
        cwd: The folder it runs in.
        program: Whether the parameters are a program's.
        argv: The program with its arguments, if it is started directly; None for a Task with code.
        template_values: The variables of its template.
        settings: Its Executor's, with the arguments of tasklets filled in.
        warnings: What is odd, but does not keep it from running.
    """

    task: str
    params: TaskParameters
    config_path: str
    cwd: str
    program: bool
    argv: list[str] | None
    template_values: dict[str, Any]
    settings: Settings
    warnings: list[str]

    @functools.cached_property
    def plain_parameters(self) -> dict[str, Any]:
        """Its parameters in JSON's own types, without a password for the record; not to be changed."""
        return plain_parameters(self.params)

    @functools.cached_property
    def given(self) -> dict[str, Any] | None:
        """Its parameters as they were given, before validation and without defaults, each as JSON that is exact.

        None if they are of no file.
        """
        given: dict[str, Any] | None = self.params._lute_given
        return self.as_written(kept(given)) if given is not None else None

    @functools.cached_property
    def exact(self) -> dict[str, Any] | None:
        """Those of its parameters whose plain form is not all that they are, as JSON; None if there are none."""
        return exact_parameters(self.params)

    @property
    def identity(self) -> str:
        """The id that the run will have; empty if the parameters are of no file."""
        names: RunNames | None = self.params._lute_run_names
        return names.identity if names is not None else ""

    def as_written(self, value: Any) -> Any:
        """Returns a value of JSON's types in which `{{ run_id }}` and `{{ run_dir }}` stand as names."""
        names: RunNames | None = self.params._lute_run_names
        return names.as_written(value) if names is not None else value

    @functools.cached_property
    def streams(self) -> dict[str, tuple[str, bool]]:
        """The files in place of the program's `stdin`, `stdout`, `stderr`: path, and whether the file is added to."""
        return program.stream_files(self.params, self.cwd) if self.program else {}

    def make_streams_ready(self) -> None:
        """Looks at the files in place of standard streams, and makes the folders that output goes to.

        Raises:
            UsageError: One cannot be read or written.
        """
        if self.streams:
            from lute.tasks import streams  # most programs have none

            rendered = None if self.settings.tasklets.get("before") else self.rendered_template()
            own = rendered and os.path.join(self.cwd, rendered[1]) == self.streams.get("stdin", ("",))[0]
            streams.make_ready(self.task, self.streams, written_later=bool(own or self.settings.tasklets.get("before")))

    @property
    def command(self) -> list[str]:
        """The command line, as the record and `--dry-run` show it, without MPI's part."""
        if self.argv is not None:
            return self.argv
        return [self.python, "-m", "lute.tasks", self.task]

    @property
    def python(self) -> str:
        """The Python that the Task runs under."""
        return self.settings.interpreter or sys.executable

    @property
    def in_ranks(self) -> bool:
        """Whether each rank runs the Task itself. A program's own class is one process, which starts the ranks."""
        return self.settings.ranks is not None and self.argv is None and not self.starts_ranks

    @property
    def starts_ranks(self) -> bool:
        """Whether the Task's process is one, and becomes what starts the ranks of its program."""
        return self.settings.ranks is not None and self.argv is None and _is_program(self.params, self.task)

    def rendered_template(self) -> tuple[str, str] | None:
        """Returns the text of the program's own configuration and where it goes, if there is one.

        Raises:
            TemplateError: The template or a variable is missing.
        """
        return program.rendered_template(self.params, self.template_values, self.config_path)


def make_plan(
    params: TaskParameters, task: str, config_path: str, settings: Settings, ranks: int | None = None
) -> Plan:
    """Returns the plan for a Task.

    Args:
        params: Its validated parameters.
        task: Its name.
        config_path: The YAML file, absolute.
        settings: Its Executor's.
        ranks: Number of MPI ranks, whatever its parameters and its Executor say.

    Raises:
        TaskNotFoundError: There is a model but no code.
        UsageError: A tasklet's argument, the template or the model asks for what there is not.
    """
    is_program = isinstance(params, ThirdPartyParameters)
    odd: list[str] = []
    direct = _is_direct(params, task)
    argv = None
    if direct:
        if not getattr(params, "executable", None):
            raise UsageError(f"{type(params).__name__} names no program: give `executable` a value")
        argv = [str(params.executable), *program.command_line(params)]  # type: ignore[attr-defined]
        if any("\0" in argument for argument in argv):
            raise UsageError(f"{task}: a parameter holds a NUL byte, which no command line can: {argv!r}")
    elif settings.interpreter and not params.Config.task_module:
        raise UsageError(
            f"{task} is to run under {settings.interpreter}, but {type(params).__name__}.Config names no task_module:"
            " put the Task into a module of its own that imports only lute.tasks, and name it there"
        )
    elif is_program and not _is_program(params, task) and program.stream_files(params, ""):
        raise UsageError(f"{task} is no ThirdPartyTask: Stdin(), Stdout() and Stderr() are for programs")
    tasklets = {
        when: tuple(_filled_in(item, params) for item in several) for when, several in settings.tasklets.items()
    }
    settings = settings._replace(tasklets=tasklets, ranks=_ranks(params, task, settings, ranks))
    cwd = _folder(params, task, odd if direct else [])  # a Task's own process warns by itself
    plan = Plan(
        task,
        params,
        config_path,
        cwd,
        is_program,
        argv,
        program.template_values(params) if direct else {},
        settings,
        odd,
    )
    if not tasklets.get("before"):  # a tasklet may yet bring the template
        plan.rendered_template()
    return plan


def _is_direct(params: TaskParameters, task: str) -> bool:
    if params.Config.task_module:
        return False
    from lute.tasks.task import ThirdPartyTask

    direct: bool = import_task(task) is ThirdPartyTask and not os.environ.get("LUTE_DEBUG_BEFORE_TPP_EXEC")
    return direct


def _is_program(params: TaskParameters, task: str) -> bool:
    from lute.tasks.task import ThirdPartyTask

    kind = registry.task_of(task)  # None where another Python alone can load it
    return isinstance(params, ThirdPartyParameters) and (kind is None or issubclass(kind, ThirdPartyTask))


def _ranks(params: TaskParameters, task: str, settings: Settings, asked: int | None) -> Ranks | None:
    """Returns the ranks as asked for, or else as the parameters say, or else the Executor."""
    said = {mark: list(fields_marked(type(params), mark)) for mark in (MPIRanks, MPILauncher)}
    number, launcher = (getattr(params, names[0]) if names else None for names in said.values())
    ranks = settings.ranks
    if ranks is None and any(said.values()):
        from lute.execution.mpi import number_of_ranks  # most runs have no ranks

        ranks = Ranks(number_of_ranks(os.environ, reserve_core=False))
    if ranks is None and asked is not None:
        raise UsageError(f"{task} is one process: ranks are for an MPIExecutor, or a model with a parameter MPIRanks()")
    if ranks is None:
        return None
    told = ranks.told or asked is not None or number is not None
    number = next(value for value in (asked, number, ranks.number) if value is not None)
    if number < 1:
        raise UsageError(f"{task}: {number} ranks cannot be started: give 1 or more")
    words = [launcher] if launcher and isinstance(launcher, str) else launcher or ranks.launcher
    return ranks._replace(number=number, launcher=tuple(words), told=told)


def _folder(params: TaskParameters, task: str, odd: list[str]) -> str:
    wanted = params.Config.run_directory
    names: RunNames | None = params._lute_run_names
    if wanted and names is not None:
        wanted = names.filled_in(str(wanted))
        params.Config.run_directory = wanted
        if "run_dir" in names.asked and wanted.startswith(names.folder):
            return wanted  # it is made before the Task starts
    if wanted and not os.path.isdir(wanted):
        odd.append(f"the run_directory {wanted} does not exist: {task} runs in {os.getcwd()}")
        wanted = None
    return os.path.abspath(wanted) if wanted else os.getcwd()


def _filled_in(tasklet: Tasklet, params: TaskParameters) -> Tasklet:
    substituter = Substituter([], os.environ, given=_by_name(params))
    try:
        args = [substituter.value(argument) for argument in tasklet.args]
    except SubstitutionError as error:
        raise UsageError(f"tasklet {tasklet.name}: {error}") from error
    return tasklet._replace(args=args)


def _by_name(value: Any) -> Any:
    """Returns a model as nested dicts that keep the values' types."""
    if isinstance(value, BaseModel):
        return {name: _by_name(item) for name, item in value}
    return value.params if isinstance(value, TemplateParameters) else value


# ----------------------------------------------------------------------------------------- the job


def job_bytes(plan: Plan, files: RunFiles, backstop: float, launch: list[str], waits: bool) -> bytes:
    """Returns the job of a child: what to load, and the parameters, as two frames after the first's length.

    Args:
        plan: What is to be run.
        files: The run's files.
        backstop: Time that the child's own timer runs beyond the parent's, in s.
        launch: What starts the ranks of its program; empty for one that has none.
        waits: Whether it waits to be let on when it has told that it started.
    """
    params, task_module = plan.params, plan.params.Config.task_module
    contents: Any = _stand_in(params) if task_module else params
    head: JobHead = {
        "task": plan.task,
        "task_module": task_module,
        "plugins": plugins.loaded(),
        "modules": [] if task_module else _modules(params, plan.task),
        "path": [*plugins.folders(), os.path.dirname(plan.config_path), os.getcwd()] if task_module else sys.path,
        "ranks": plan.settings.ranks.number if plan.settings.ranks is not None and plan.in_ranks else None,
        "launch": launch,
        "imports": str(files.imports),
        "code": str(files.code),
        "backstop": backstop,
        "waits": waits,
    }
    first = b"".join(bytes(piece) for piece in framing.encode(VALUE, None, head))
    second = b"".join(bytes(piece) for piece in framing.encode(VALUE, None, contents))
    return len(first).to_bytes(8, "big") + first + second


def only_in_memory(plan: Plan) -> bool:
    """Returns whether the Task was typed into an interactive session, so that no new interpreter can load it."""
    classes = [type(plan.params), registry.task_of(plan.task)]
    typed_in = any(kind is not None and kind.__module__ == "__main__" for kind in classes)
    return typed_in and not os.path.isfile(getattr(sys.modules["__main__"], "__file__", ""))


def _modules(params: TaskParameters, task: str) -> list[list[str]]:
    """Returns the modules of model and Task that are no plug-ins, with their files."""
    ours = {module.__name__ for module in plugins.modules()}
    classes = [type(params), registry.task_of(task)]
    names = {kind.__module__ for kind in classes if kind is not None} - ours
    found = ((name, getattr(sys.modules.get(name), "__file__", None)) for name in sorted(names))
    return [[name, path] for name, path in found if path and not name.startswith("lute.")]


def _stand_in(value: Any) -> Any:
    """Returns parameters for a Python that has no pydantic: the same names and plain values."""
    if isinstance(value, TaskParameters):
        values = {name: _stand_in(item) for name, item, _ in value.command_line_fields()}
        config: dict[str, Any] = vars(value.Config) if not isinstance(value.Config, type) else {}
        values["Config"] = Namespace("Config", {key: item for key, item in config.items() if key != "task_module"})
        values["_spellings"] = [[name, attributes] for name, _, attributes in value.command_line_fields()]
        return Namespace(type(value).__name__, values)
    if isinstance(value, BaseModel):
        return Namespace(type(value).__name__, {name: _stand_in(item) for name, item in value})
    if isinstance(value, TemplateParameters):
        return Namespace("TemplateParameters", {"params": _stand_in(value.params)})
    if isinstance(value, enum.Enum):
        plain = isinstance(value, (str, int, float))
        return value.value if plain else Namespace(type(value).__name__, {"name": value.name, "value": value.value})
    if is_dataclass(value) and not isinstance(value, type):
        return Namespace(type(value).__name__, {name: _stand_in(item) for name, item in vars(value).items()})
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return Namespace(type(value).__name__, {name: _stand_in(item) for name, item in value._asdict().items()})
    if type(value) in (list, tuple, set):
        return type(value)(_stand_in(item) for item in value)
    if type(value) is dict:
        return {key: _stand_in(item) for key, item in value.items()}
    return value


# ------------------------------------------------------------------------------------ command lines


def child_command(plan: Plan, job: str) -> list[str]:
    """Returns the command line of a child in an interpreter of its own."""
    own = [sys.executable, *subprocess._args_from_interpreter_flags()]  # type: ignore[attr-defined]  # -O, -W ...
    python = [plan.settings.interpreter] if plan.settings.interpreter else own
    return [*python, CHILD, job]
