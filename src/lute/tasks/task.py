"""The base classes of Tasks, and the life of one: start, before, run, after, result."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, Optional, Union

from lute import registry
from lute.base import secrets
from lute.base.imports import without_hook
from lute.base.signals import Timer
from lute.errors import LaunchError, TaskTimedOut, UsageError
from lute.tasks import program, progress
from lute.wire.channel import log_line, open_channel, task_channel
from lute.wire.control import Exec, Go, Metric, Progress, Raised, RankFailed, to_json
from lute.wire.framing import CONTROL
from lute.wire.ipc import Message, PipeCommunicator, SocketCommunicator
from lute.wire.results import DEEPEST_PAGE, ElogSummaryPlots, TaskResult, TaskStatus, is_unset

if TYPE_CHECKING:
    from lute.models.base import TaskParameters, ThirdPartyParameters

__all__ = ["Task", "ThirdPartyTask"]


_TEXTS, _OBJECTS = PipeCommunicator(), SocketCommunicator()


class TimeIsOver(BaseException):
    """Ends a Task's `_run` from within the timer; no `except Exception` of a Task stops it."""


class Task(ABC):
    """A piece of analysis in Python. Write `_run`; put what it found into `self._result`.

    Args:
        params: The validated parameters. They say nothing about execution, such as cores or queue.
        use_mpi: Whether all ranks of an MPI program run this Task: they meet at start and end, and rank 0
            alone speaks.

    Attributes:
        name: The name of the class.
        metrics: What `log_metric()` was told: `{name: {"value": value, "unit": unit}}`.
    """

    _under_executor = False
    """Whether a parent owns this Task's time; set by `lute.tasks.__main__`."""
    _backstop = 0.0
    """Time that the own timer runs beyond the parent's, in s."""
    _waits = True
    """Whether it waits under an Executor, after it told that it started, until the Executor lets it go on."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        registry.tasks[cls.__name__] = cls

    def __init__(self, *, params: TaskParameters, use_mpi: bool = False) -> None:
        self.name = type(self).__name__
        self._result = TaskResult(self.name, TaskStatus.PENDING, "PENDING", "")
        self._task_parameters: Any = params  # of the Task's own model, which mypy cannot know here
        self._use_mpi = use_mpi
        self._in_run = self._announced = False
        self._place: Optional[str] = None
        send = self._tell if self._under_executor else None
        self._teller = progress.ProgressReporter(send, lambda: self._is_speaker(meet=False))
        self.metrics = self._teller.metrics
        self._parent = os.getppid()
        self._timer = Timer(params.lute_config.task_timeout + self._backstop, self._on_time_over)
        self._change_folder(getattr(params.Config, "run_directory", None))

    def _change_folder(self, folder: Optional[str]) -> None:
        if not folder:
            return
        try:
            os.chdir(folder)
        except OSError as error:
            warnings.warn(
                f"the run_directory {folder} cannot be used ({error.strerror}): {self.name} runs in {os.getcwd()}",
                category=UserWarning,
                stacklevel=3,
            )

    @property
    def result(self) -> TaskResult:
        """What the Task has given so far."""
        return self._result

    def __call__(self) -> None:
        """Is `run()`."""
        self.run()

    def run(self) -> None:
        """Runs the whole Task; not to be changed by subclasses.

        Raises:
            TaskTimedOut: The time was over, and there is no Executor.
            Exception: Whatever a step raised. The status is FAILED then.
        """
        self._in_run = True
        self._teller.start()
        try:
            self._signal_start()
            self._pre_run()
            self._run()
            self._post_run()
            if self._result.task_status is TaskStatus.RUNNING:
                self._result.task_status = TaskStatus.COMPLETED
            if is_unset(self._result.summary):
                self._result.summary = ""
        except TimeIsOver:
            self._end_timed_out()
        except BaseException as error:
            self._end_failed(error)
            raise
        finally:
            self._timer.undo()
        try:
            self._signal_result()
        except Exception as error:
            self._end_failed(error)
            raise
        if self._result.task_status is TaskStatus.TIMEDOUT and not self._under_executor:
            raise TaskTimedOut(f"{self.name}: {self._result.summary}")

    @abstractmethod
    def _run(self) -> None:
        """The analysis."""

    def _pre_run(self) -> None:
        """What comes before the analysis; nothing, unless a subclass has something."""

    def _post_run(self) -> None:
        """What comes after the analysis; nothing, unless a subclass has something."""

    def clean_up_timeout(self) -> None:
        """What must be put in order before the process ends because its time is over or it was cancelled."""

    def _on_time_over(self, number: int, frame: Optional[FrameType]) -> None:
        channel = open_channel() if self._under_executor else None
        own = self._backstop and not signal.getitimer(signal.ITIMER_REAL)[0] and os.getppid() == self._parent
        if own and not (channel is not None and channel.has_unread()):
            signal.setitimer(signal.ITIMER_REAL, self._backstop)  # it was paused; its parent still owns its time
            return
        if channel is not None and channel.postpone(signal.SIGALRM):
            return  # in the middle of a message: its end comes first
        self._timer.undo()
        self._result.task_status = TaskStatus.TIMEDOUT
        try:
            self.clean_up_timeout()
        except Exception:
            traceback.print_exc()
        if self._in_run:
            raise TimeIsOver
        self._end_timed_out()
        raise TaskTimedOut(f"{self.name}: {self._result.summary}")

    def _end_timed_out(self) -> None:
        self._result.task_status = TaskStatus.TIMEDOUT
        if is_unset(self._result.summary):
            self._result.summary = ""
        if is_unset(self._result.summary) and not self._under_executor:
            self._result.summary = f"stopped after its {self._task_parameters.lute_config.task_timeout} s"

    def _end_failed(self, error: BaseException) -> None:
        self._timer.undo()
        self._result = TaskResult(self.name, TaskStatus.FAILED, "", getattr(self._result, "payload", ""))
        self._result.summary = traceback.format_exception_only(type(error), error)[-1].strip()
        wanted = getattr(error, "env_var", "")  # of a DebugExit, which is made where a variable asks for it
        if wanted:
            self._result.task_status = TaskStatus.CANCELLED
            self._result.summary = f"stopped because {wanted} is set"
        elif isinstance(error, SystemExit):
            self._result.summary = f"the Task left by sys.exit({error.code!r}) before it finished"
        if self._under_executor and not wanted:
            without_hook(error)
            traceback.print_exception(type(error), error, error.__traceback__)
            sys.stderr.flush()
            self._tell_place(error)
        self._signal_result(meet=False)

    def _tell_place(self, error: BaseException) -> None:
        from lute.tasks.origin import place_of  # most Tasks do not fail

        self._place = place_of(error)
        channel = task_channel() if self._place and self._is_speaker(meet=False) else None
        if channel is not None and self._place:
            channel.control(to_json(Raised(self._place)))

    def _tell_failed_rank(self) -> None:
        from mpi4py import MPI

        channel = task_channel() if self._under_executor else None
        if channel is not None:
            said = self._result.summary or f"set its status to {self._result.task_status.name}"
            place = f" ({self._place})" if self._place else ""
            channel.control(to_json(RankFailed(MPI.COMM_WORLD.Get_rank(), f"{said}{place}")))

    # ---------------------------------------------------------------------------------- messages

    def _report_to_executor(self, msg: Message) -> None:
        """Sends one message to the Executor. All messages arrive once, whole and in order.

        Args:
            msg: Text without a signal becomes a line of the log. Other contents go to the Executor's hooks.

        Raises:
            ProtocolError: The signal is not one of `LUTE_SIGNALS`.
        """
        if self._under_executor and msg.signal == "TASK_STARTED":
            msg = Message(signal=msg.signal)  # the Executor made the parameters: it gives its own to hooks
            self._announced = True
        if msg.contents is None or isinstance(msg.contents, str):
            _TEXTS.write(msg)
        else:
            _OBJECTS.write(msg)

    def report_progress(self, done: float, total: Optional[float] = None, text: str = "") -> None:
        """Tells how far the Task is. It costs little: of many reports ten a second are sent, and the last one.

        Args:
            done: How much is done, in a unit of your own; from 0 on.
            total: How much there is; None if it is not known.
            text: What is being done, for people.

        Raises:
            TypeError, ValueError: `done` or `total` is no number, or negative, or not finite.
        """
        self._teller.progress(done, total, text)

    def log_metric(self, name: str, value: float, unit: str = "") -> None:
        """Keeps a number in the record that is worth following from run to run; a later value takes its place.

        Raises:
            TypeError: `value` is no number.
        """
        self._teller.metric(name, value, unit)

    def show(self, figure: Any, name: str) -> None:
        """Adds a page of figures beside the payload, drawn as they are now. Several calls make several pages.

        A figure that cannot be drawn, or a bad name, is told in the log; the run goes on.

        Args:
            figure: What `ElogSummaryPlots` takes.
            name: The page's name: `"scans/x"` is the page `x` under the tab `scans`.
        """
        self._teller.show(figure, name)

    def _tell(self, message: Union[Progress, Metric]) -> None:
        channel = task_channel() if self._is_speaker(meet=False) else None
        if channel is not None:
            channel.control(to_json(message))

    def _signal_start(self) -> None:
        self._result.task_status = TaskStatus.RUNNING
        if self._is_speaker():
            self._report_to_executor(Message(contents=self._task_parameters, signal="TASK_STARTED"))
        if self._waits and self._announced:
            self._wait_for_go_ahead()
        self._meet()

    def _wait_for_go_ahead(self) -> None:
        channel = task_channel()
        while channel is not None:
            frame = channel.receive()
            if frame is None:
                raise SystemExit("the Executor is gone")
            if frame.kind == CONTROL and frame.contents == to_json(Go()):
                return

    def _signal_result(self, meet: bool = True) -> None:
        if self._is_speaker(meet=meet):
            self._teller.end()
            self._result.shown = self._teller.pages
            if self._under_executor:
                self._render_figures()
            self._report_to_executor(Message(contents=self.result, signal="TASK_RESULT"))
        elif self._result.task_status is not TaskStatus.COMPLETED:
            self._tell_failed_rank()

    def _render_figures(self) -> None:
        """Makes pages of the figures in the result, here where their libraries are."""
        if _holds_figures(self._result.payload) or _holds_figures(self._result.summary):
            from lute.tasks import figures  # most results have none

            figures.render_result(self._result)

    def _is_speaker(self, meet: bool = True) -> bool:
        """Returns whether this is the process that speaks, after all ranks have met."""
        if not self._use_mpi:
            return True
        if meet:
            self._meet()
        from mpi4py import MPI

        return bool(MPI.COMM_WORLD.Get_rank() == 0)

    def _meet(self) -> None:
        if self._use_mpi:
            from mpi4py import MPI

            MPI.COMM_WORLD.Barrier()


class ThirdPartyTask(Task):
    """A program with arguments made from its parameters; it replaces the Task's process.

    Args:
        params: Parameters with the field `executable`.

    Raises:
        UsageError: There is no `executable`.
    """

    _launch: Sequence[str] = ()
    """What starts the ranks of an MPI program, which comes before the program; set by `lute.tasks.__main__`."""

    def __init__(self, *, params: ThirdPartyParameters, use_mpi: bool = False) -> None:
        super().__init__(params=params, use_mpi=use_mpi)
        self._cmd: str = str(getattr(params, "executable", "") or "")
        if not self._cmd:
            self._timer.undo()
            raise UsageError(f"{type(params).__name__} names no program: give it a field `executable`")
        self._args_list: list[str] = [self._cmd]
        self._template_context: dict[str, Any] = {}
        self._ours: list[tuple[int, int]] = []
        """Where in the log it says, before the program starts, what it is given."""

    def _add_to_jinja_context(self, param_name: str, value: Any) -> None:
        """Makes a value a variable of the template.

        Args:
            param_name: The variable's name.
            value: Its value, of any type.
        """
        if __debug__ and self._is_speaker(meet=False):
            self._report_ours(program.variable_as_text(param_name, value))
        self._template_context[param_name] = value

    def _report_ours(self, text: str) -> None:
        """Reports what the program does not print, and notes where in the log it stands."""
        message = Message(contents=secrets.hide_here(text))
        self._report_to_executor(message)
        channel = open_channel() if self._under_executor else None
        if channel is not None and channel.log is not None:
            line = log_line(message.contents)
            end = os.fstat(channel.log).st_size
            if end >= len(line) and os.pread(channel.log, len(line), end - len(line)) == line:
                self._ours.append((end - len(line), end))

    def _template_to_config_file(self) -> None:
        """Renders the model's template to its output path.

        Files written: `lute_template_cfg.output_path`, as UTF-8.

        Raises:
            TemplateError: The template or a variable is missing.
        """
        wanted = getattr(self._task_parameters, "lute_template_cfg", None)
        if wanted is None or not self._template_context:
            return
        if self._is_speaker(meet=False):
            from lute.tasks import templates  # most programs have no template

            yaml_file = os.environ.get("LUTE_CONFIGPATH")
            rendered = program.rendered_template(self._task_parameters, self._template_context, yaml_file)
            if rendered is not None:
                templates.write(*rendered)
        self._meet()  # no rank starts its program before the file is there

    def _pre_run(self) -> None:
        """Makes the arguments and renders the template."""
        super()._pre_run()
        params = self._task_parameters
        for name, value in program.template_values(params).items():
            self._add_to_jinja_context(param_name=name, value=value)
        self._args_list += program.command_line(params)
        self._template_to_config_file()

    def _formatted_command(self) -> str:
        """Returns the command line as text, each argument followed by a space."""
        return program.command_as_text(self._args_list)

    def _signal_start(self) -> None:
        super()._signal_start()
        if self._is_speaker(meet=False):
            self._report_to_executor(Message(signal="NO_PICKLE_MODE"))

    def _run(self) -> NoReturn:
        """Replaces the process by the program, or by what starts the program's MPI ranks; PATH is searched.

        Raises:
            LaunchError: The program cannot be started.
        """
        if __debug__ and self._is_speaker(meet=False):
            self._report_ours(self._formatted_command())
        if os.environ.get("LUTE_DEBUG_BEFORE_TPP_EXEC"):
            from lute.base.debug import LUTE_DEBUG_EXIT

            LUTE_DEBUG_EXIT("LUTE_DEBUG_BEFORE_TPP_EXEC")
        if self._under_executor:  # else the timer ends the program too: it outlives the change of programs
            self._timer.undo()
        self._teller.end()
        channel = task_channel()
        if channel is not None:
            channel.control(to_json(Exec(self._args_list, self._ours)))
        sys.stdout.flush()
        sys.stderr.flush()
        _reset_signals()
        os.environ.pop("LUTE_CHANNEL_FD", None)
        try:
            with self._streams():
                if self._launch:
                    os.execvp(self._launch[0], [*self._launch, self._cmd, *self._args_list[1:]])
                os.execvp(self._cmd, self._args_list)
        except OSError as error:
            path = os.environ.get("PATH", os.defpath)
            reason = program.why_not_started(self._cmd, error.errno, str(error), path)
            raise LaunchError(reason) from error

    def _streams(self) -> contextlib.AbstractContextManager[None]:
        """Has the program read and print to the files that its parameters name."""
        files = program.stream_files(self._task_parameters, os.getcwd())
        if not files:
            return contextlib.nullcontext()
        from lute.tasks import streams  # most programs have none

        return streams.redirected(files)


def _holds_figures(value: Any, levels: int = DEEPEST_PAGE) -> bool:
    if type(value) in (tuple, list):
        return levels > 0 and any(_holds_figures(item, levels - 1) for item in value)
    return isinstance(value, ElogSummaryPlots)


def _reset_signals() -> None:
    """Gives the program default signal actions and an empty mask; Python ignores SIGPIPE and SIGXFSZ."""
    for number in signal.valid_signals():
        if number not in (signal.SIGKILL, signal.SIGSTOP) and signal.getsignal(number) is not None:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, [])
