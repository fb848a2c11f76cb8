"""A workflow on this machine: as many steps at once as cores, memory and limits allow.

The main thread takes what is ready from the workflow's progression and tells it how that ended; a few worker threads
plan and run one attempt of one step each. They share one launcher and one record, so that a step costs little more
than starting its program.
"""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

from lute import managed_tasks
from lute.base.secrets import hide_here
from lute.base.signals import stop_on_signals
from lute.errors import LuteError
from lute.execution.recorder import RunContext
from lute.execution.run import STOP_SIGNALS, Run
from lute.graph.dag import Rule
from lute.launcher.handle import Launcher
from lute.wire.status import StepState, state_of_run
from lute.workflows.prepared import PreparedWorkflow
from lute.workflows.state import Follower, Outcome, StepInstance

if TYPE_CHECKING:
    from lute.record.types import RunRow

logger = logging.getLogger(__name__)

LOOK = 0.1
"""Longest time between two looks at what others ask for, in s."""


class LocalEngine:
    """Runs a workflow on this machine.

    Args:
        prepared: The workflow, and where its steps stand.
        identity: The workflow run's id.
        look: Called about every `LOOK` s in the thread that waits.
        follower: Returns what follows the log of an instance's attempt, by the instance's name.
    """

    def __init__(
        self,
        prepared: PreparedWorkflow,
        identity: str,
        look: Callable[[], None] = lambda: None,
        follower: Callable[[str], Follower | None] = lambda name: None,
    ) -> None:
        self.identity = identity
        self._state, self._planner, self._record = prepared.progression, prepared.planner, prepared.record
        self._limits = prepared.workflow.limits
        self._on_look, self._follower = look, follower
        jobs = prepared.options.jobs
        self._cores = jobs or int(os.environ.get("SLURM_CPUS_ON_NODE") or len(os.sched_getaffinity(0)))
        self._free_cores, self._free_memory = self._cores, _memory()
        self._of_task: dict[str, int] = {}
        self._busy = 0
        self._jobs: queue.SimpleQueue[StepInstance | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[tuple[StepInstance, Outcome] | str] = queue.SimpleQueue()
        """Ends of attempts, and names of signals that ask for an end of all."""
        self._live: dict[str, Run] = {}
        self._open = contextlib.ExitStack()
        """What is to be given back at the end."""

    # ----------------------------------------------------------------------------------- the whole

    def submit(self) -> None:
        """Starts the workers and decides about the first steps; the programs are started by `wait`.

        Raises:
            LuteError: The launcher did not start, or a step cannot be taken as it last was.
        """
        self._record.close()  # no other process inherits it
        with contextlib.ExitStack() as stack:
            launcher = Launcher.start()  # before there are threads
            stack.callback(launcher.close)
            workers = [threading.Thread(target=self._work, args=(launcher,), daemon=True) for _ in range(self._cores)]
            stack.enter_context(self._at_work(workers))
            stack.enter_context(stop_on_signals(STOP_SIGNALS, self._done.put))
            for worker in workers:
                worker.start()
            self._state.begin()
            self._open = stack.pop_all()

    @contextlib.contextmanager
    def _at_work(self, workers: list[threading.Thread]) -> Iterator[None]:
        try:
            yield
        finally:
            for _ in workers:
                self._jobs.put(None)
            for worker in workers:
                worker.join()

    def wait(self) -> None:
        """Runs all to the end, whatever that is; the progression's steps say which."""
        with self._open:
            self._loop()

    def _loop(self) -> None:
        while True:
            if self._state.spread():
                self._cancel_live(self._state.stopped_by)
            self._launch()
            if not (self._busy or self._state.waits):
                return
            self._hear()
            self._on_look()

    def _hear(self) -> None:
        """Waits for the end of an attempt, for a signal, or for the time of a retry."""
        timeout, retry = LOOK, self._state.next_retry
        if retry is not None:
            timeout = min(timeout, max(0.0, retry - time.monotonic()))
        with contextlib.suppress(queue.Empty):
            self._heard(self._done.get(timeout=timeout))
            while True:
                self._heard(self._done.get_nowait())

    def _heard(self, what: tuple[StepInstance, Outcome] | str) -> None:
        if isinstance(what, str):
            self.cancel(what)
            return
        instance, outcome = what
        self._occupy(instance, -1)
        self._state.end_attempt(instance, outcome, time.monotonic())

    def cancel(self, by: str) -> None:
        """Starts nothing new and cancels what runs; a second time, at once."""
        self._state.stop(by)
        self._cancel_live(by)

    def _cancel_live(self, by: str) -> None:
        for run in list(self._live.values()):
            run.cancel(by)

    # --------------------------------------------------------------------------------- what is started

    def _launch(self) -> None:
        self._state.queue_retries(time.monotonic())
        while self._busy < self._cores:
            instance = self._state.take(self._has_room)
            if instance is None:
                return
            self._occupy(instance, 1)
            self._jobs.put(instance)

    def _has_room(self, instance: StepInstance) -> bool:
        step = instance.node.step
        limit = self._limits.get(step.task)
        if limit is not None and self._of_task.get(step.task, 0) >= limit:
            return False
        if not self._busy:  # what asks for more than there is runs alone
            return True
        return step.resources.cores <= self._free_cores and step.resources.memory <= self._free_memory

    def _occupy(self, instance: StepInstance, sign: int) -> None:
        step = instance.node.step
        self._busy += sign
        self._free_cores -= sign * step.resources.cores
        self._free_memory -= sign * step.resources.memory
        self._of_task[step.task] = self._of_task.get(step.task, 0) + sign

    # ---------------------------------------------------------------------------- in a worker's thread

    def _work(self, launcher: Launcher) -> None:
        while (instance := self._jobs.get()) is not None:
            started = time.time()
            try:
                outcome = self._attempt(instance, launcher)
            except LuteError as error:
                outcome = Outcome(StepState.FAILED, hide_here(str(error)))
            except Exception as error:  # a fault of ours must not leave the workflow waiting for ever
                logger.exception("lute failed while it ran step %s", instance.name)
                outcome = Outcome(StepState.FAILED, hide_here(f"lute itself failed: {type(error).__name__}: {error}"))
            outcome.started, outcome.ended = started, time.time()
            self._done.put((instance, outcome))

    def _attempt(self, instance: StepInstance, launcher: Launcher) -> Outcome:
        step = instance.node.step
        executor, plan, fingerprint = self._planner.planned(step, instance.item)
        self._planner.claim(instance.name, step, plan)
        first = instance.attempt == instance.attempts_before + 1
        earlier = self._planner.earlier(step, instance.name, plan, fingerprint) if first else None
        if earlier is not None:
            told = "nothing that it depends on has changed"
            return Outcome.of_row(earlier, StepState.COMPLETED, told, reused=True)
        place = RunContext(
            managed_tasks.name_of(executor),
            self.identity,
            instance.name,
            instance.attempt,
            fingerprint,
            self._record,
            needed=self._planner.outputs_needed(step),
        )
        follower = self._follower(instance.name)
        run = executor.prepare(plan, place, follower.start if follower else None)
        self._live[instance.name] = run
        try:
            if self._state.stopped_by and step.rule is not Rule.ALWAYS:
                run.cancel(self._state.stopped_by)
            run.execute(launcher)
        finally:
            del self._live[instance.name]
            if follower:
                follower.finish()
        row = cast("RunRow", run.analysis.record)
        state = state_of_run(run.analysis.task_result.task_status)
        return Outcome.of_row(row, state, row["reason"])


def _memory() -> int:
    """Returns the memory that is free now, in bytes."""
    with open("/proc/meminfo") as file:
        for line in file:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return 1 << 62
