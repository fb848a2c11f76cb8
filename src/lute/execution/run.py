"""One run of one Task, from its first row in the record to its last.

This file is longer than others: it is the one place where the life of a run can be read from start to end.
"""

from __future__ import annotations

import functools
import os
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import lute
from lute import facility
from lute.base import process_identity, secrets
from lute.base.logging import get_logger
from lute.base.signals import heard
from lute.errors import LaunchError, LuteError, RecordError
from lute.execution import environment, mpi, outcome, requests
from lute.execution.exit_info import JOB_LIMIT, TIMEOUT, Ending, Limits
from lute.execution.plan import Plan, child_command, job_bytes, only_in_memory
from lute.execution.progress import Told
from lute.execution.provenance import Lineage
from lute.execution.run_log import RunLog
from lute.execution.shell_sourcing import Sourcing, Stopped
from lute.execution.supervisor import Supervision, TaskProcess
from lute.execution.user_hooks import Extras
from lute.launcher.handle import Launcher
from lute.models.patterns import patterns_of
from lute.record.db import Record, record_of
from lute.record.rows import RunFiles, new_run_id, row_of, utc
from lute.tasks import templates
from lute.wire.encoding import Unloadable
from lute.wire.ipc import Communicator, Message, PipeCommunicator, SocketCommunicator
from lute.wire.results import DescribedAnalysis, TaskResult, TaskStatus, is_unset

if TYPE_CHECKING:
    from lute.execution.executor import BaseExecutor

logger = get_logger(__name__)

STOP_SIGNALS = {
    signal.SIGINT: "Ctrl-C",
    signal.SIGTERM: "SIGTERM",
    signal.SIGHUP: "SIGHUP",
    signal.SIGUSR2: JOB_LIMIT,
    signal.SIGXCPU: "SIGXCPU (the limit of CPU time)",
}
"""The signals to `lute` that end a run, and how the record names them."""
SAVE_WAIT = 2.0
"""Longest time that a write waits for other writers while the run lives, in s; its last write waits longer."""
LATER = 0.02
"""Time after which a change that may soon be followed by the next is written into the record, in s."""
BETWEEN_PROGRESS = 1.0
"""Least time between two writes that only tell of progress, in s."""
SUBMITTED = "LUTE_SUBMITTED"
"""The variable by which a job of `lute submit` knows the run that waits for it."""
TOLD_WITHIN = 0.5
"""Time in which a SIGTERM that all processes of a batch job get has reached us too, in s."""
BACKSTOP = 60.0
"""Time that a child's own timer runs beyond the parent's, in s: it only matters if the parent is gone."""


class Place(NamedTuple):
    """What a run is a part of.

    Attributes:
        managed_task: The name that its Executor goes by.
        workflow: The workflow run's id.
        step: The step's name.
        attempt: How often the step has been tried, this time counted.
        fingerprint: What the step would have to be the same in to be the same again.
        record: The open record, if several runs share one.
        identity: The run's id; a new one if not given.
        sources: The runs that it comes from besides those that its parameters were taken from.
    """

    managed_task: str = ""
    workflow: str | None = None
    step: str | None = None
    attempt: int = 1
    fingerprint: str | None = None
    record: Record | None = None
    identity: str = ""
    sources: Mapping[str, str] = MappingProxyType({})


class Run:
    """The life of one run. `execute()` is all of it."""

    def __init__(
        self,
        executor: BaseExecutor,
        plan: Plan,
        analysis: DescribedAnalysis,
        place: Place,
        on_start: Callable[[dict[str, Any]], None] | None,
    ) -> None:
        self.executor, self.plan, self.analysis = executor, plan, analysis
        self.id = place.identity or new_run_id()
        self._header = plan.params.lute_config
        self._start = time.time()
        self.files = RunFiles.of(self._header.work_dir, self.id)
        self._record = place.record or record_of(self._header)
        self._own_record = place.record is None
        self._on_start = on_start
        self._outer_env = dict(os.environ)
        self._secrets = secrets.secret_values(self._outer_env, {"database": self._header.database})
        self._parameters = plan.plain_parameters
        self._communicators: list[Communicator] = []
        self._supervision: Supervision | None = None
        self._proc = TaskProcess()
        self._cancelled_by: str | None = None
        self._launcher_pid: int | None = None
        self._told: TaskResult | None = None
        self._start_told, self._saved = False, False
        self._lost_by: Exception | None = None
        self._save_at: float | None = None
        self._env: dict[str, str] = {}
        self._changed: dict[str, str | None] = {}
        self._command = list(plan.command)
        self._log = RunLog(self.files)
        self._so_far = Told(patterns_of(plan.task, plan.params.Config), plan.settings.ranks is not None)
        self._next_progress = time.monotonic() + BETWEEN_PROGRESS
        self._extras = Extras(executor, plan.settings.tasklets, self._header, self)
        self._lineage = Lineage(plan.params, plan.cwd)
        self._first_row(place)

    # ------------------------------------------------------------------------------------ the life

    def execute(self, launcher: Launcher | None) -> None:
        """Runs the Task to its end, whatever that is; the analysis and the record say which."""
        own_launcher = launcher is None
        ending = Ending()
        begun = time.monotonic()
        with self._log.open(), heard(STOP_SIGNALS, self.cancel):
            if launcher is None:
                launcher = Launcher.start()  # forked before the record is open and before there are threads
            self._launcher_pid = launcher.pid
            try:
                self._save()
                if self._on_start:
                    self._on_start(self.analysis.record)
                ending = self._start_and_watch(launcher)
            except Stopped as stopped:
                ending.stopped_by = stopped.by
            except (LuteError, OSError) as error:
                ending.lost, self._lost_by = str(error), error
            except Exception as error:  # a fault of ours: the record must not say RUNNING for ever
                logger.exception("lute failed while it ran %s", self.plan.task)
                ending.lost = f"lute itself failed: {type(error).__name__}: {error}"
            finally:
                for communicator in self._communicators:
                    communicator.clear_communicator()
                self.files.job.unlink(missing_ok=True)
                self._launcher_pid = None
                if own_launcher:
                    launcher.close()
            try:
                self._end(ending, time.monotonic() - begun)
            except Exception as error:  # its results cannot be kept: the record must say so, not RUNNING
                self._end_badly(error)
        self._close_record()
        self.files.request.unlink(missing_ok=True)  # it came when there was nothing left to ask for

    def _start_and_watch(self, launcher: Launcher) -> Ending:
        plan = self.plan
        self._env = self._environment(launcher)
        self._changed = environment.difference(self._outer_env, self._env)
        changed = {name: value for name, value in self._changed.items() if value}
        self._secrets = sorted({*self._secrets, *secrets.secret_values(changed)}, key=len, reverse=True)
        self.analysis.task_env = self._env
        for text in plan.warnings:
            warnings.warn(text, UserWarning, stacklevel=4)
            self.log_text(f"[lute] {text}")
        if plan.argv is not None:
            self._announce_program()
        if self._cancelled_by:
            return Ending(stopped_by=self._cancelled_by)
        return self._watch(launcher)

    def _watch(self, launcher: Launcher) -> Ending:
        plan, ranks = self.plan, self.plan.settings.ranks
        fresh = self.executor.fresh_communicators(not plan.in_ranks)
        self.analysis.communicator_desc = [str(communicator) for communicator in fresh]
        self._communicators = fresh if plan.argv is None else []
        for communicator in self._communicators:
            if plan.in_ranks and isinstance(communicator, SocketCommunicator):
                communicator.for_ranks(self.files.folder, mpi.host_for_others(os.environ))
            communicator.delayed_setup()
            self._env |= {k: v for k, v in communicator.environment().items() if k != "LUTE_CHANNEL_FD"}
        self._env["LUTE_RUN_ID"] = self.id
        self._env["LUTE_CONFIGPATH"] = self.plan.config_path
        self._env |= mpi.log_place(self.files.log) if ranks else {}
        self._supervision = supervision = Supervision(
            launcher,
            self.id,
            self._communicators,
            self._limits(),
            self._on_messages,
            self._look,
            self._program_started if self.plan.argv is not None else lambda: None,
            can_clean_up=self.plan.argv is None,
            ranks=child_command(plan, str(self.files.job)) if plan.in_ranks else None,
            on_told=self._so_far.take,
            proc=self._proc,
        )
        self._so_far.follow(self._log.descriptor)
        if self._cancelled_by:  # between the last look and now
            supervision.cancel(self._cancelled_by)
        with open(os.devnull, "rb", buffering=0) as nothing:
            pipe = next((c for c in self._communicators if isinstance(c, PipeCommunicator)), None)
            child_end = pipe.child_end if pipe else None
            descriptors = [nothing.fileno(), self._log.descriptor, self._log.descriptor]
            descriptors += [child_end.fileno()] if child_end else []
            supervision.begin(self._request(launcher, child_end is not None), descriptors)
            if child_end:
                child_end.close()
        self._lineage.look(self._env)
        killed_before = outcome.memory_kills()
        ending = supervision.watch()
        self._look_at_log(ended=True)
        killed = ending.signal == "SIGKILL" or ending.exit_code == outcome.SHELL_SAYS_KILLED
        ending.out_of_memory = killed and outcome.memory_kills() > killed_before
        return ending

    def _request(self, launcher: Launcher, inherits: bool) -> dict[str, Any]:
        plan, ranks = self.plan, self.plan.settings.ranks
        request: dict[str, Any] = {"env": self._env, "cwd": os.getcwd()}  # a Task goes to its folder by itself
        if plan.argv is not None:
            request["cwd"], argv = plan.cwd, plan.argv
        else:
            self._write_job()
            new = plan.settings.interpreter or environment.needs_new_interpreter(self._changed)
            if launcher.forked and inherits and not new:
                return {**request, "job": str(self.files.job)}
            if only_in_memory(plan):
                raise LaunchError(
                    f"{plan.task} is defined in an interactive session, which a new interpreter cannot load: put it"
                    " into a file and load that with lute.plugins.load(FILE)"
                )
            argv = child_command(plan, str(self.files.job))
        if ranks is not None and not plan.starts_ranks:
            argv = mpi.command(ranks, argv, plan.python, self._env)
        self._command = argv
        return {**request, "argv": argv}

    def _write_job(self) -> None:
        limits, ranks, plan = self._limits(), self.plan.settings.ranks, self.plan
        launch = mpi.command(ranks, [], plan.python, self._env) if ranks and plan.starts_ranks else []
        backstop = limits.clean_up_grace + limits.terminate_grace + BACKSTOP
        with open(os.open(self.files.job, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(job_bytes(plan, backstop, launch, self._watched_start))

    @property
    def _timeout(self) -> float:
        return float(self._header.task_timeouts.get(self.plan.task, self._header.task_timeout))

    def _limits(self) -> Limits:
        header, executor = self._header, self.executor
        clean_up, terminate = executor.clean_up_grace, executor.terminate_grace
        return Limits(
            timeout=self._timeout,
            clean_up_grace=header.clean_up_grace if clean_up is None else clean_up,
            terminate_grace=header.terminate_grace if terminate is None else terminate,
            poll_interval=executor.poll_interval,
        )

    def _end(self, ending: Ending, wall_s: float) -> None:
        result = self.analysis.task_result
        if process_identity.own_job() and ending.stopped_by is None and (ending.signal or ending.exit_code):
            ending.stopped_by = self._cancelled_in_its_job()
        status, reason = outcome.judge(
            ending, self._told, self.plan.params, program=self.plan.program, env=self._env, cwd=self.plan.cwd
        )
        if status is TaskStatus.TIMEDOUT and ending.stopped_by == TIMEOUT:
            reason = f"its {self._timeout:g} s were over"
        if status is TaskStatus.FAILED:
            reason += outcome.hint(ending, self._log.tail())
        result.task_status = status
        if status is TaskStatus.COMPLETED:
            outcome.result_from_parameters(result, self.plan.params)
            self._extras.tasklets("after", result)
        elif not self.plan.program and is_unset(result.summary):
            result.summary = reason
        elif self._start_told and self._proc.pid is None and ending.stopped_by is None:
            self._tell_not_started(reason)
        self._log.look()
        self.analysis.record |= {
            "reason": secrets.hide(reason, self._secrets),
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "ended": utc(time.time()),
            "wall_s": round(wall_s, 6),
            "user_s": round(ending.user_s, 6),
            "system_s": round(ending.system_s, 6),
            "max_rss_kib": ending.max_rss_kib,
            **secrets.hide(self._lineage.at_end(self.analysis.record["versions"]), self._secrets),
        }
        self.process_results()

    def _tell_not_started(self, reason: str) -> None:
        """Raises what a Task whose program cannot be started would, and gives the result that it would."""
        result, error = self.analysis.task_result, self._lost_by or LaunchError(reason)
        result.summary = traceback.format_exception_only(error)[-1].strip()
        self._extras.hook("NO_PICKLE_MODE", Message(signal="NO_PICKLE_MODE"), self._proc)
        self._extras.hook("TASK_RESULT", Message(result, "TASK_RESULT"), self._proc)

    def _cancelled_in_its_job(self) -> str | None:
        """Returns who cancelled a run that failed in a batch job, if somebody did.

        A job that is cancelled gets SIGTERM in all of its processes: the Task's end may be seen before our own.
        """
        deadline = time.monotonic() + TOLD_WITHIN
        while self._cancelled_by is None and time.monotonic() < deadline:
            time.sleep(LATER)
        return self._cancelled_by

    def _end_badly(self, error: Exception) -> None:
        logger.exception("lute failed at the end of %s", self.plan.task)
        result = self.analysis.task_result
        result.task_status, result.payload, result.summary = TaskStatus.FAILED, "", ""
        reason = f"lute itself failed when the run had ended: {type(error).__name__}: {error}"
        self.analysis.record |= {"reason": reason, "ended": utc(time.time()), "payload": ""}
        self._save()

    # ---------------------------------------------------------------------------------- the record

    def _first_row(self, place: Place) -> None:
        python = ".".join(str(part) for part in sys.version_info[:3])
        self.analysis.record |= {
            "id": self.id,
            "managed_task": place.managed_task,
            "reason": "",
            "exit_code": None,
            "signal": None,
            "started": utc(self._start),
            "ended": None,
            "host": socket.gethostname(),
            "log": str(self.files.log),
            "plots": [],
            "metrics": {},
            "progress": None,
            "versions": {"lute": lute.__version__, "python": python},
            "workflow": place.workflow or os.environ.get("LUTE_WORKFLOW") or None,
            "step": place.step or os.environ.get("LUTE_WORKFLOW_STEP") or None,
            "attempt": place.attempt,
            "fingerprint": place.fingerprint,
            "owner": {
                **process_identity.this_process(),
                **process_identity.job_here(),
                "cwd": os.getcwd(),
                "config": self.plan.config_path,
            },
            **secrets.hide(self._lineage.at_start(), self._secrets),
        }
        self.analysis.record["sources"] = {**self.analysis.record["sources"], **place.sources}

    def row(self) -> dict[str, Any]:
        """Returns the run's row as it stands, without secrets."""
        changed = secrets.hide_variables(self._changed, self._secrets)
        self.analysis.record |= {
            "command": secrets.hide(self._command, self._secrets),
            "parameters": secrets.hide(self._parameters, self._secrets),
            "environment": changed,
            "pid": self._proc.pid,
        }
        row = row_of(self.analysis)
        row["summary"] = self.analysis.record["summary"] = secrets.hide(row["summary"], self._secrets)
        return row

    def _save(self) -> None:
        self._save_at = None
        try:
            row, again, self._saved = self.row(), self._saved, True
            if not self._record.save(row, None if row["ended"] else SAVE_WAIT, again=again):
                self.trouble(f"the record {self._record} did not take this run; it is kept in {self._record.aside}")
        except RecordError as error:
            logger.error("%s", error)
            self.log_text(f"[lute] {error}")

    def process_results(self) -> None:
        """Puts payload and summary where they are kept, and writes the last row."""
        header, result = self._header, self.analysis.task_result
        keeper = outcome.Keeper(self.files, header, self.plan.task, self.id)
        result.payload, kept = keeper.payload(result.payload)
        result.summary = keeper.summary(result.summary)
        keeper.index()
        for text in keeper.troubles:
            self.trouble(text)
        tail = secrets.hide(self._log.tail(), self._secrets)
        kept = secrets.hide(kept, self._secrets)
        self.analysis.record |= {"payload": kept, "plots": keeper.pages, "log_tail": tail}
        self._save()
        self._close_record()
        self._post(keeper.run_parameters)

    def _close_record(self) -> None:
        if self._own_record:
            self._record.close()

    def _post(self, parameters: dict[str, Any]) -> None:
        """Posts to the eLog, when the outcome is safe: nothing that happens there decides about the run."""
        if not facility.has_elog():
            return
        from lute.publish import elog

        try:
            troubles = elog.finish_run(self._header, secrets.hide(parameters, self._secrets))
        except Exception as error:
            logger.exception("lute failed while it posted to the eLog")
            troubles = [f"eLog: lute itself failed: {type(error).__name__}: {error}"]
        for text in troubles:
            self.log_text(f"[lute] {text}")

    def explanation(self) -> str:
        """Returns what a person is told of a run that did not complete."""
        status, record = self.analysis.task_result.task_status, self.analysis.record
        lines = [f"Task {self.plan.task} (run {self.id}) {status.name}: {record['reason']}", f"Log: {self.files.log}"]
        return "\n".join(lines)

    def trouble(self, text: str) -> None:
        """Tells of what went wrong beside the run; its outcome stands."""
        logger.warning("%s", text)
        self.log_text(f"[lute] {text}")

    # -------------------------------------------------------------------------------------- the log

    def log_text(self, text: str) -> None:
        """Writes a line of ours into the run's log, without secrets."""
        self._log.write(secrets.hide(text, self._secrets))

    # ------------------------------------------------------------------------------------- requests

    def _look(self) -> None:
        """Looks at the log, and whether another process asks for something."""
        self._look_at_log()
        begun = time.monotonic()
        if self._save_at is not None and begun >= self._save_at:
            self._save()  # while others hold the record this takes long: then progress is told less often
            self._next_progress = begun + max(BETWEEN_PROGRESS, 10 * (time.monotonic() - begun))
        request = requests.take(self.files.request)
        if request is None:
            return
        status = None
        if request.do == requests.CANCEL:
            self.cancel(str(request))
        elif self._supervision is None:
            return
        elif request.do == requests.PAUSE and self._supervision.pause():
            status = TaskStatus.STOPPED
        elif request.do == requests.RESUME and self._supervision.resume():
            status = TaskStatus.RUNNING
        if status is not None:
            self.analysis.task_result.task_status = status
            self.analysis.record["reason"] = f"{request.do}d by {request}" if status is TaskStatus.STOPPED else ""
            self._save()

    def _look_at_log(self, ended: bool = False) -> None:
        """Takes in what the log and the Task have told: at once here, once a second in the record."""
        told = self._so_far
        told.look(self._log.look(), ended)
        while told.troubles:
            self.trouble(told.troubles.pop())
        if told.changed:
            told.changed = False
            found = {"progress": told.progress, "metrics": told.metrics}
            self.analysis.record |= secrets.hide(found, self._secrets)
            if self._save_at is None and not ended:
                self._save_at = self._next_progress

    # ------------------------------------------------------------------------------------- messages

    def _on_messages(self, messages: Iterable[tuple[Message, bool]]) -> None:
        with self._extras.limited:
            for message, logged in messages:
                self._on_message(message, logged)

    def _on_message(self, message: Message, logged: bool) -> None:
        if message.signal is None:
            if message.contents is not None and not logged:
                self._log.write(message.contents)
            if message.contents is not None and not isinstance(message.contents, str):
                self._extras.hook("TASK_LOG", message, self._proc)
            return
        if message.signal == "TASK_STARTED":
            self._set_running()
            self._announce_start()
            if self._supervision is not None and self._watched_start:
                self._supervision.tell("go")
            return
        if message.signal == "TASK_RESULT":
            self._take_result(message.contents)
        self._extras.hook(str(message.signal), message, self._proc)

    def _take_result(self, contents: Any) -> None:
        if isinstance(contents, TaskResult):
            status: Any = contents.task_status
            if not isinstance(status, TaskStatus):
                self.trouble(f"the Task's status is {status!r}, which is no TaskStatus; its end decides")
                contents.task_status = TaskStatus.RUNNING
            self._told = TaskResult(**vars(contents))
            before, self.analysis.task_result = self.analysis.task_result, contents
            for name in ("payload", "summary"):  # what a tasklet gave before the Task stands where that gives none
                if is_unset(getattr(contents, name)):
                    setattr(contents, name, getattr(before, name))
        else:
            kind = contents.type_name if isinstance(contents, Unloadable) else type(contents).__name__
            self.trouble(f"a TASK_RESULT came with {kind}, which is no TaskResult")

    def _set_running(self) -> None:
        """Is RUNNING; the record says so at once if code of others may look, else unless the run ends right away."""
        self.analysis.task_result.task_status = TaskStatus.RUNNING
        self._save_at = time.monotonic() + LATER
        if self._watched_start:
            self._save()

    @functools.cached_property
    def _watched_start(self) -> bool:
        """Whether code of others runs between a Task's start and its work, which the Task waits for."""
        return bool(self.executor.hooks or self.executor.tasklets["before"])

    def _program_started(self) -> None:
        self._set_running()
        self._extras.hook("NO_PICKLE_MODE", Message(signal="NO_PICKLE_MODE"), self._proc)

    def _announce_start(self) -> None:
        self._extras.hook("TASK_STARTED", Message(self.plan.params, "TASK_STARTED"), self._proc)
        self._extras.tasklets("before", self.analysis.task_result)

    def _announce_program(self) -> None:
        """Does for a program that is started directly what a Task would before it becomes the program."""
        self._announce_start()
        self._start_told = True
        if __debug__:
            for name, value in self.plan.template_values.items():
                self.log_text(f"TemplateParameters: { ({name: value}) }")
        rendered = self.plan.rendered_template()
        if rendered is not None:
            text, output_path = rendered
            templates.write(text, os.path.join(self.plan.cwd, output_path))
        if __debug__:
            self.log_text("".join(f"{argument} " for argument in self.plan.command))

    # ---------------------------------------------------------------------------------- environment

    def _environment(self, launcher: Launcher) -> dict[str, str]:
        base = environment.without_ours(self._outer_env)

        def source(script: str, env: dict[str, str]) -> dict[str, str]:
            left = self.files.folder / "environment"
            sourcing = Sourcing(launcher, f"{self.id}-source", script, left, self._limits(), self._look)
            self._supervision = sourcing.supervision
            return sourcing.environment(env, self.plan.cwd, self._log.descriptor)

        env = environment.changed(base, self.plan.settings.changes, source)
        ranks = self.plan.settings.ranks
        return env if ranks is None else env | mpi.environment(ranks, env)

    # -------------------------------------------------------------------------------------- signals

    def should_end(self) -> bool:
        """Looks around; returns whether someone wants it to end, or its Task or launcher is gone."""
        self._look()
        pid = self._proc.pid if self._proc.returncode is None else None
        gone = any(
            known is not None and process_identity.start_time(known) is None for known in (pid, self._launcher_pid)
        )
        return self._cancelled_by is not None or gone

    @property
    def log_descriptor(self) -> int:
        """The open log."""
        return self._log.descriptor

    def cancel(self, by: str) -> None:
        """Stops the run; a second time, at once. May be called from a signal handler."""
        self._cancelled_by = by
        if self._supervision is not None:
            self._supervision.cancel(by)
