"""One run of one Task: its life from start to end. What is kept of it meanwhile is `recorder`'s."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

from lute import registry
from lute.base import process_identity
from lute.base.signals import stop_on_signals
from lute.errors import LaunchError, LuteError
from lute.execution import environment, outcome
from lute.execution.exit_info import JOB_LIMITS, TASKLET, ExitInfo, SourcingCancelled
from lute.execution.plan import Plan, child_command, job_bytes, only_in_memory
from lute.execution.recorder import LATER, RunContext, RunRecorder
from lute.execution.supervisor import RunEvents, Supervisor, TaskProcess
from lute.launcher.handle import Launcher
from lute.tasks import program
from lute.wire.control import Go, Metric, Progress
from lute.wire.ipc import Communicator, Message, PipeCommunicator, SocketCommunicator
from lute.wire.pickled import Pickled, Unloadable, pickled_in
from lute.wire.results import DescribedAnalysis, TaskResult, TaskStatus, is_unset

if TYPE_CHECKING:
    from lute.execution.loading import ResultLoader
    from lute.execution.progress import ProgressTracker
    from lute.execution.user_hooks import UserHooks
    from lute.launcher.events import StartRequest
    from lute.record.types import RunRow

logger = logging.getLogger(__name__)

STOP_SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP",
    signal.SIGUSR1: JOB_LIMITS[0],
    signal.SIGUSR2: JOB_LIMITS[1],
    signal.SIGXCPU: "SIGXCPU (the limit of CPU time)",
}
"""The signals to `lute` that end a run, and how the record names them."""
SUBMITTED = "LUTE_SUBMITTED"
"""The variable by which a job of `lute submit` knows the run that waits for it."""
TOLD_WITHIN = 0.5
"""Time in which a SIGTERM that all processes of a batch job get has reached us too, in s."""
BACKSTOP = 60.0
"""Time that a child's own timer runs beyond the parent's, in s: it only matters if the parent is gone."""

OnStart = Callable[["RunRow"], None]
"""Called with a run's row when it has been recorded."""


class Run(RunEvents):
    """The life of one run. `execute()` is all of it.

    Args:
        plan: What is run.
        analysis: What is known of it.
        place: What the run is a part of.
        on_start: Called with the run's row when it has been recorded.
    """

    def __init__(self, plan: Plan, analysis: DescribedAnalysis, place: RunContext, on_start: OnStart | None) -> None:
        self.plan, self.analysis = plan, analysis
        self._proc = TaskProcess()
        self.recorder = RunRecorder(plan, analysis, place, self._proc)
        self._on_start = on_start
        self._outer_env = dict(os.environ)
        self._timeouts = plan.settings.timeouts(plan.params.lute_config, plan.task)
        self._communicators: list[Communicator] = []
        self._supervisor: Supervisor | None = None
        self._cancelled_by: str | None = None
        self._launcher_pid: int | None = None
        self._result: TaskResult | None = None
        """What the Task itself gave."""
        self._late: list[Message] = []
        """Results whose hook waits until what came as pickles was loaded."""
        self._loader: ResultLoader | None = None
        self._start_told = False
        self._lost_by: Exception | None = None
        self._env: dict[str, str] = {}
        self._output_at = 0
        """Where in the log what the program prints begins."""
        self._tracker: ProgressTracker | None = None
        """What it tells of itself; None as long as there is nothing to look for and it has told nothing."""
        self._hooks = self._user_hooks()

    def _user_hooks(self) -> UserHooks | _NoHooks:
        settings = self.plan.settings
        if not (settings.hooks or any(settings.tasklets.values())):
            return _NoHooks()
        from lute.execution.user_hooks import UserHooks  # most runs have none

        return UserHooks(settings, self.plan.params.lute_config, self)

    @property
    def id(self) -> str:
        """The run's id."""
        return self.recorder.id

    def row(self) -> RunRow:
        """Returns the run's row as it stands, without secrets."""
        return self.recorder.row()

    # ------------------------------------------------------------------------------------ the life

    def execute(self, launcher: Launcher | None) -> None:
        """Runs the Task to its end, whatever that is; the analysis and the record say which.

        Raises:
            UsageError: A file in place of a standard stream cannot be opened; nothing was started.
        """
        self.plan.make_streams_ready()
        recorder, files = self.recorder, self.recorder.files
        own_launcher = launcher is None
        ending = ExitInfo()
        begun = time.monotonic()
        with recorder.log.open(), stop_on_signals(STOP_SIGNALS, self.cancel):
            if launcher is None:
                launcher = Launcher.start()  # forked before the record is open and before there are threads
            self._launcher_pid = launcher.pid
            try:
                recorder.save()
                if self._on_start:
                    self._on_start(cast("RunRow", self.analysis.record))
                ending = self._start_and_watch(launcher)
            except SourcingCancelled as stopped:
                ending.stopped_by = stopped.by
            except (LuteError, OSError) as error:
                ending.lost, self._lost_by = str(error), error
            except (Exception, KeyboardInterrupt) as error:  # a fault of ours: it must not say RUNNING for ever
                logger.exception("lute failed while it ran %s", self.plan.task)
                ending.lost = f"lute itself failed: {type(error).__name__}: {error}"
            finally:
                for communicator in self._communicators:
                    communicator.clear_communicator()
                files.job.unlink(missing_ok=True)
                self._launcher_pid = None
                if own_launcher:
                    launcher.close()
            try:
                self._end(ending, time.monotonic() - begun)
            except (Exception, KeyboardInterrupt) as error:
                recorder.ended_badly(error)
        recorder.close()
        files.request.unlink(missing_ok=True)  # it came when there was nothing left to ask for

    def _start_and_watch(self, launcher: Launcher) -> ExitInfo:
        plan = self.plan
        self._env = self._environment(launcher)
        self.recorder.set_environment(environment.difference(self._outer_env, self._env))
        self.analysis.task_env = self._env
        for text in plan.warnings:
            warnings.warn(text, UserWarning, stacklevel=4)
            self.note(text)
        if plan.argv is not None:
            self._announce_program()
        if self._cancelled_by or self._hooks.failures:
            return ExitInfo(stopped_by=self._cancelled_by or TASKLET)
        return self._watch(launcher)

    def _watch(self, launcher: Launcher) -> ExitInfo:
        plan, log = self.plan, self.recorder.log
        self._open_communicators()
        self._complete_environment()
        self._supervisor = supervisor = Supervisor(
            launcher,
            self.id,
            self._communicators,
            self._timeouts,
            self,
            can_clean_up=plan.argv is None,
            ranks=child_command(plan, str(self.recorder.files.job)) if plan.in_ranks else None,
            proc=self._proc,
        )
        self._output_at = log.look()
        config = plan.params.Config
        if config.progress_pattern or config.metric_patterns or config.failure_patterns:
            self._told().follow(log.descriptor)
        if self._cancelled_by:  # between the last look and now
            supervisor.cancel(self._cancelled_by)
        self.recorder.outputs.before()
        with open(os.devnull, "rb", buffering=0) as nothing, self._streams() as files:
            pipe = next((c for c in self._communicators if isinstance(c, PipeCommunicator)), None)
            child_end = pipe.child_end if pipe else None
            usual = (nothing.fileno(), log.descriptor, log.descriptor)
            descriptors = [files.get(number, descriptor) for number, descriptor in enumerate(usual)]
            descriptors += [child_end.fileno()] if child_end else []
            request = self._request(launcher, child_end is not None)
            supervisor.begin(request, descriptors, log.descriptor)
            if child_end:
                child_end.close()
        self.recorder.look_at_code(self._env)
        killed_before = outcome.memory_kills()
        ending = supervisor.watch()
        self._look_at_log(ended=True)
        killed = ending.signal == "SIGKILL" or ending.exit_code == outcome.SHELL_SAYS_KILLED
        ending.out_of_memory = killed and outcome.memory_kills() > killed_before
        return ending

    def _streams(self) -> contextlib.AbstractContextManager[dict[int, int]]:
        """Opens the files in place of standard streams of a program that is started directly."""
        if self.plan.argv is None or not self.plan.streams:
            return contextlib.nullcontext({})
        from lute.tasks import streams  # most programs have none

        return streams.opened(self.plan.streams)

    def _open_communicators(self) -> None:
        plan = self.plan
        fresh = plan.settings.communicators(not plan.in_ranks)
        self.analysis.communicator_desc = [str(communicator) for communicator in fresh]
        self._communicators = fresh if plan.argv is None else []
        for communicator in self._communicators:
            if plan.in_ranks and isinstance(communicator, SocketCommunicator):
                from lute.execution import mpi

                communicator.for_ranks(self.recorder.files.folder, mpi.host_for_others(os.environ))
            communicator.delayed_setup()
            self._env |= {k: v for k, v in communicator.environment().items() if k != "LUTE_CHANNEL_FD"}

    def _complete_environment(self) -> None:
        self._env["LUTE_RUN_ID"] = self.id
        self._env["LUTE_CONFIGPATH"] = self.plan.config_path
        if self.plan.settings.ranks:
            from lute.execution import mpi

            self._env |= mpi.log_place(self.recorder.files.log)

    def _request(self, launcher: Launcher, inherits: bool) -> StartRequest:
        plan, ranks, job = self.plan, self.plan.settings.ranks, str(self.recorder.files.job)
        request: StartRequest = {"env": self._env, "cwd": os.getcwd()}  # a Task goes to its folder by itself
        if plan.argv is not None:
            request["cwd"], argv = plan.cwd, plan.argv
        else:
            self._write_job()
            new = plan.settings.interpreter or environment.needs_new_interpreter(self.recorder.changed)
            if launcher.forked and inherits and not new:
                request["job"] = job
                return request
            if only_in_memory(plan):
                raise LaunchError(
                    f"{plan.task} is defined in an interactive session, which a new interpreter cannot load: put it"
                    " into a file and load that with lute.plugins.load(FILE)"
                )
            argv = child_command(plan, job)
        if ranks is not None and not plan.starts_ranks:
            from lute.execution import mpi

            argv = mpi.command(ranks, argv, plan.python, self._env, plan.streams)
        self.recorder.command = request["argv"] = argv
        return request

    def _write_job(self) -> None:
        times, ranks, plan = self._timeouts, self.plan.settings.ranks, self.plan
        launch: list[str] = []
        if ranks and plan.starts_ranks:
            from lute.execution import mpi

            launch = mpi.command(ranks, [], plan.python, self._env, plan.streams)
        backstop = times.clean_up_grace + times.terminate_grace + BACKSTOP
        with open(os.open(self.recorder.files.job, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(job_bytes(plan, self.recorder.files, backstop, launch, self._watched_start))

    def _end(self, ending: ExitInfo, wall_s: float) -> None:
        result, plan = self.analysis.task_result, self.plan
        if ending.stopped_by is None and (ending.signal or ending.exit_code) and _in_batch_job():
            ending.stopped_by = self._cancelled_in_its_job()
        if ending.stopped_by == STOP_SIGNALS[signal.SIGTERM] and _in_batch_job():
            from lute.batch.scheduler import taken_back

            ending.taken_back = taken_back()
        outputs = self.recorder.outputs
        outputs.after()
        judge = self._judge_of(ending)
        status, reason, also = judge(tasklets=self._hooks.failures)
        result.task_status = status
        self._load_pickled()
        if status is TaskStatus.COMPLETED:
            outcome.result_from_parameters(result, plan.params, outputs.matches())
            self._hooks.tasklets("after", result)
            if plan.settings.tasklets.get("after"):
                outputs.after()  # it may have changed them
            if self._hooks.failures:
                result.task_status, reason, also = judge(tasklets=self._hooks.failures)
        elif not plan.program and is_unset(result.summary):
            result.summary = reason.removesuffix(ending.place)
        elif self._start_told and self._proc.pid is None and ending.stopped_by is None:
            self._tell_not_started(reason)
        self.recorder.log.look()
        self.recorder.ended(ending, reason, also, wall_s)
        self.process_results()
        if ending.taken_back:
            self.recorder.wait_again(reason)

    def _judge_of(self, ending: ExitInfo) -> functools.partial[outcome.Verdict]:
        """Returns the judge of this run, who has been told all that was found but for tasklets."""
        plan, log, told = self.plan, self.recorder.log, self._tracker
        wrong = self.recorder.outputs.wrong() if ending.ran else None
        if ending.failed is not None and plan.program:
            ending.failed = outcome.not_started(ending, plan.params, self._env)
        failed = ending.exit_code != 0
        return functools.partial(
            outcome.judge,
            ending,
            self._result,
            plan.params,
            program=plan.program,
            timeout=self._timeouts.timeout,
            patterns=told.failures_in_order() if told else (),
            output=(TaskStatus.FAILED, wrong) if wrong else None,
            metrics=told.metrics if told else {},
            last_line=self._last_line() if failed and plan.program and ending.ran else "",
            tail=log.tail(),
        )

    def _last_line(self) -> str:
        ranks = self.plan.settings.ranks
        text = self.recorder.log.end(self._output_at).decode("utf-8", "replace")
        return outcome.last_line_of(text, ranks=ranks is not None, labelled=ranks is not None and ranks.label)

    def _load_pickled(self) -> None:
        """Loads what of the result came as pickles, and calls the hooks that wait for that."""
        if not self._late:
            return
        from lute.execution.loading import ResultLoader  # few results have any

        self._loader = ResultLoader(self._is_cancelled, self.plan.settings.poll_interval)
        for message in self._late:
            message.contents = self._loader.load(message.contents)
        self.recorder.originals = self._loader.originals
        for message in self._late:
            self._hooks.hook("TASK_RESULT", message, self._proc)

    def _is_cancelled(self) -> bool:
        if os.path.exists(self.recorder.files.request):
            self._do_as_asked()
        return self._cancelled_by is not None

    def process_results(self) -> None:
        """Puts payload and summary where they are kept, and writes the last row."""
        self.recorder.keep_results()

    def _tell_not_started(self, reason: str) -> None:
        """Raises what a Task whose program cannot be started would, and gives the result that it would."""
        result, error = self.analysis.task_result, self._lost_by or LaunchError(reason)
        result.summary = traceback.format_exception_only(error)[-1].strip()
        self._hooks.hook("NO_PICKLE_MODE", Message(signal="NO_PICKLE_MODE"), self._proc)
        self._hooks.hook("TASK_RESULT", Message(result, "TASK_RESULT"), self._proc)

    def _cancelled_in_its_job(self) -> str | None:
        """Returns who cancelled a run that failed in a batch job, if somebody did.

        A job that is cancelled gets SIGTERM in all of its processes: the Task's end may be seen before our own.
        """
        deadline = time.monotonic() + TOLD_WITHIN
        while self._cancelled_by is None and time.monotonic() < deadline:
            time.sleep(LATER)
        return self._cancelled_by

    def explanation(self) -> str:
        """Returns what a person is told of a run that did not complete."""
        status, record = self.analysis.task_result.task_status, self.analysis.record
        log = self.recorder.files.log
        return f"Task {self.plan.task} (run {self.id}) {status.name}: {record['reason']}\nLog: {log}"

    # ------------------------------------------------------------------------- what hooks may ask for

    def trouble(self, text: str) -> None:
        """Tells of what went wrong beside the run; its outcome stands."""
        self.recorder.trouble(text)

    def log_text(self, text: str) -> None:
        """Writes a line of ours into the run's log, without secrets."""
        self.recorder.log_text(text)

    def note(self, text: str) -> None:
        """Writes lines into the run's log that are seen to be ours, without secrets."""
        self.recorder.note(text)

    @property
    def log_descriptor(self) -> int:
        """The open log."""
        return self.recorder.log.descriptor

    def should_end(self) -> bool:
        """Looks around; returns whether someone wants it to end, or its Task or launcher is gone."""
        self.on_look()
        pid = self._proc.pid if self._proc.returncode is None else None
        gone = any(
            known is not None and process_identity.start_time(known) is None for known in (pid, self._launcher_pid)
        )
        return self._cancelled_by is not None or gone

    # ------------------------------------------------------------------------------- what happens to it

    def on_look(self) -> None:
        """Looks at the log, and whether another process asks for something."""
        self._look_at_log()
        self.recorder.save_if_due()
        if os.path.exists(self.recorder.files.request):
            self._do_as_asked()

    def _do_as_asked(self) -> None:
        from lute.execution import requests  # few runs are asked for anything

        request = requests.take(self.recorder.files.request)
        if request is None:
            return
        if request.do == requests.CANCEL:
            self.cancel(str(request))
        elif self._supervisor is None:
            return
        elif request.do == requests.PAUSE and self._supervisor.pause():
            self.recorder.paused(TaskStatus.STOPPED, f"{request.do}d by {request}")
        elif request.do == requests.RESUME and self._supervisor.resume():
            self.recorder.paused(TaskStatus.RUNNING, "")

    def _look_at_log(self, ended: bool = False) -> None:
        size = self.recorder.log.look()
        if self._tracker is not None:
            self._tracker.look(size, ended)
            self.recorder.progress(self._tracker, ended)

    def _told(self) -> ProgressTracker:
        """Returns what keeps track of what it tells of itself."""
        if self._tracker is None:
            from lute.execution.progress import ProgressTracker  # most runs tell nothing
            from lute.models.patterns import patterns_of

            patterns, ranks = patterns_of(self.plan.task, self.plan.params.Config), self.plan.settings.ranks
            self._tracker = ProgressTracker(patterns, ranks is not None and ranks.label and ranks.number > 1)
        return self._tracker

    def on_told(self, message: Progress | Metric) -> None:
        """The Task has told how far it is, or a number."""
        self._told().take(message)

    def on_nonsense(self, text: str) -> None:
        """Something came from the Task's side that cannot be understood."""
        self._told().trouble(f"the Task's side sent what cannot be understood: {text}")

    def on_program(self, ours: Sequence[Sequence[int]]) -> None:
        """The Task's process becomes a program, after it has said so in these parts of the log."""
        try:
            parts = sorted((int(start), int(stop)) for start, stop in ours)
        except (TypeError, ValueError):  # the Task's side is another's Python
            self.on_nonsense(repr(ours)[:200])
            return
        if parts:
            self._output_at = parts[-1][1]
        if self._tracker is not None:
            self._tracker.leave_out(parts)

    def on_started(self) -> None:
        """The first process lives; of a Task with code that says nothing yet."""
        if self.plan.argv is not None:
            self.recorder.running(self._watched_start)
            self._hooks.hook("NO_PICKLE_MODE", Message(signal="NO_PICKLE_MODE"), self._proc)

    def on_messages(self, messages: Iterable[tuple[Message, bool]]) -> None:
        """Messages have come."""
        with self._hooks.limited:
            for message, logged in messages:
                self._on_message(message, logged)

    def _on_message(self, message: Message, logged: bool) -> None:
        if message.signal is None:
            if message.contents is not None and not logged:
                self.recorder.log.write(message.contents)
            if message.contents is not None and not isinstance(message.contents, str):
                self._hooks.hook("TASK_LOG", message, self._proc)
            return
        if message.signal == "TASK_STARTED":
            self.recorder.running(self._watched_start)
            self._announce_start()
            if self._supervisor is not None and self._hooks.failures:
                self._supervisor.cancel(self._cancelled_by or TASKLET)
            elif self._supervisor is not None and self._watched_start:
                self._supervisor.tell(Go())
            return
        if message.signal == "TASK_RESULT":
            self._take_result(message.contents)
            if pickled_in(message.contents):
                self._late.append(message)
                return
        self._hooks.hook(str(message.signal), message, self._proc)

    def _take_result(self, contents: Any) -> None:
        if isinstance(contents, TaskResult):
            status: Any = contents.task_status
            if not isinstance(status, TaskStatus):
                self.trouble(f"the Task's status is {status!r}, which is no TaskStatus; its end decides")
                contents.task_status = TaskStatus.RUNNING
            self._result = TaskResult(**vars(contents))
            if isinstance(contents.payload, Unloadable) and contents.payload.reason.startswith(
                KeyboardInterrupt.__name__
            ):
                self._result.task_status, self._result.summary = TaskStatus.FAILED, contents.payload.reason
            before, self.analysis.task_result = self.analysis.task_result, contents
            for name in ("payload", "summary"):  # what a tasklet gave before the Task stands where that gives none
                if is_unset(getattr(contents, name)):
                    setattr(contents, name, getattr(before, name))
        else:
            kind = contents.type_name if isinstance(contents, (Pickled, Unloadable)) else type(contents).__name__
            self.trouble(f"a TASK_RESULT came with {kind}, which is no TaskResult")

    @functools.cached_property
    def _watched_start(self) -> bool:
        """Whether code of others runs between a Task's start and its work, which the Task waits for."""
        return bool(self.plan.settings.hooks or self.plan.settings.tasklets.get("before"))

    def _announce_start(self) -> None:
        self._hooks.hook("TASK_STARTED", Message(self.plan.params, "TASK_STARTED"), self._proc)
        self._hooks.tasklets("before", self.analysis.task_result)

    def _announce_program(self) -> None:
        """Does for a program that is started directly what a Task would before it becomes the program."""
        self._announce_start()
        self._start_told = True
        if __debug__:
            for name, value in self.plan.template_values.items():
                self.log_text(program.variable_as_text(name, value))
        rendered = self.plan.rendered_template()
        if rendered is not None:
            from lute.tasks import templates

            text, output_path = rendered
            templates.write(text, os.path.join(self.plan.cwd, output_path))
        if __debug__:
            self.log_text(program.command_as_text(self.plan.command))

    def cancel(self, by: str) -> None:
        """Stops the run; a second time, at once. May be called from a signal handler."""
        self._cancelled_by = by
        if self._supervisor is not None:
            self._supervisor.cancel(by)
        if self._loader is not None:
            self._loader.stop()

    # ---------------------------------------------------------------------------------- environment

    def _environment(self, launcher: Launcher) -> dict[str, str]:
        base = environment.without_ours(self._outer_env)

        def source(change: environment.Change, env: dict[str, str]) -> dict[str, str]:
            from lute.execution.shell_sourcing import ShellSourcing  # most Tasks have no script

            left = self.recorder.files.folder / "environment"
            sourcing = ShellSourcing(launcher, f"{self.id}-source", change, left, self._timeouts, _Looks(self))
            self._supervisor = sourcing.supervisor
            return sourcing.environment(env, self.plan.cwd, self.log_descriptor)

        env = environment.changed(base, self.plan.settings.changes, source)
        ranks = self.plan.settings.ranks
        if ranks is None:
            return env
        from lute.execution import mpi

        return env | mpi.environment(ranks, env)


def _in_batch_job() -> bool:
    if not registry.may_be_in_job():
        return False
    from lute.batch.scheduler import own_job

    return own_job() is not None


class _NoHooks:
    """Stands for the hooks and tasklets of a run that has none."""

    limited = contextlib.nullcontext()
    failures: Sequence[str] = ()

    def hook(self, event: str, message: Message, proc: TaskProcess) -> None:
        """Calls nothing."""

    def tasklets(self, when: str, result: TaskResult) -> None:
        """Runs nothing."""


class _Looks(RunEvents):
    """What a run is told while a script is sourced for it: that it is time to look around."""

    def __init__(self, run: Run) -> None:
        self._run = run

    def on_look(self) -> None:
        """Some time has passed."""
        self._run.on_look()
