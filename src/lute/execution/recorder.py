"""What is kept of one run: its row in the record, from the first to the last, and what leaves it when it has ended.

Only this writes a run's row. The run says what has changed; when that is worth a write is decided here.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import lute
from lute import facility, plugins, registry
from lute.base import process_identity, secrets
from lute.errors import RecordError
from lute.execution import outcome
from lute.execution.handed_on import Handed
from lute.execution.outputs import RunOutputs
from lute.execution.plan import Plan
from lute.execution.provenance import Provenance
from lute.execution.run_log import RunLog
from lute.record.db import Record, record_of
from lute.record.rows import RunFiles, new_run_id, printable, row_of, utc
from lute.wire.results import DescribedAnalysis, TaskStatus

if TYPE_CHECKING:
    from lute.execution.exit_info import ExitInfo
    from lute.execution.progress import ProgressTracker
    from lute.execution.supervisor import TaskProcess
    from lute.record.types import Owner, RunRow
    from lute.wire.pickled import Pickled

logger = logging.getLogger(__name__)

SAVE_WAIT = 2.0
"""Longest time that a write waits for other writers while the run lives, in s; its last write waits longer."""
LATER = 0.02
"""Time after which a change that may soon be followed by the next is written into the record, in s."""
BETWEEN_PROGRESS = 1.0
"""Least time between two writes that only tell of progress, in s."""


class RunContext(NamedTuple):
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
        needed: The outputs of the runs of steps that it needs, by the runs' ids.
        submitted: Whether it is the run of a job of `lute submit`, which runs it under that id whenever it starts.
        accept_changed: Whether a path is taken that is not what the run wrote which it is taken from.
    """

    managed_task: str = ""
    workflow: str | None = None
    step: str | None = None
    attempt: int = 1
    fingerprint: str | None = None
    record: Record | None = None
    identity: str = ""
    sources: Mapping[str, str] = MappingProxyType({})
    needed: Handed = MappingProxyType({})
    accept_changed: bool = False
    submitted: bool = False


def _job_here() -> Owner:
    if not registry.may_be_in_job():
        return {}
    from lute.batch.scheduler import job_here

    return job_here()


class RunRecorder:
    """Keeps one run.

    Args:
        plan: What is run.
        analysis: What is known of it; its `record` becomes the row.
        place: What the run is a part of.
        proc: Its first process.

    Attributes:
        id: The run's id.
        files: Its files.
        log: Its log.
        command: Its command line, as it is started.
        changed: How its environment differs from this process's; None for a variable that is gone.
        outputs: What it writes.
        originals: What values of the result came as pickles, and as which, by the values' `id()`.
    """

    def __init__(self, plan: Plan, analysis: DescribedAnalysis, place: RunContext, proc: TaskProcess) -> None:
        self._plan, self._analysis, self._proc = plan, analysis, proc
        self._header = plan.params.lute_config
        self.id = place.identity or new_run_id()
        self.files = RunFiles.of(self._header.work_dir, self.id)
        self.log = RunLog(self.files)
        self.command = list(plan.command)
        self.changed: dict[str, str | None] = {}
        self.originals: dict[int, Pickled] = {}
        self._record = place.record or record_of(self._header)
        self._own_record = place.record is None
        self._secrets = secrets.secret_values(os.environ, {"database": self._header.database})
        self.outputs = RunOutputs(plan.params, plan.cwd)
        self._provenance = Provenance(plan, self.files, self.outputs)
        self._saved, self._submitted = False, place.submitted
        self._save_at: float | None = None
        self._next_progress = time.monotonic() + BETWEEN_PROGRESS
        self._first_row(place)

    def _first_row(self, place: RunContext) -> None:
        python = ".".join(str(part) for part in sys.version_info[:3])
        owner = {**process_identity.this_process(), **_job_here()}
        self._analysis.record |= {
            "id": self.id,
            "managed_task": place.managed_task,
            "reason": "",
            "exit_code": None,
            "signal": None,
            "started": utc(time.time()),
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
            "owner": {**owner, "cwd": os.getcwd(), "config": self._plan.config_path, "plugins": plugins.loaded()},
            **self.hide(self._provenance.at_start()),
        }
        self._analysis.record["sources"] = {**self._analysis.record["sources"], **place.sources}

    # --------------------------------------------------------------------------------------- secrets

    def hide(self, value: Any) -> Any:
        """Returns a value without the secrets in it."""
        return secrets.hide(value, self._secrets)

    def set_environment(self, changed: dict[str, str | None]) -> None:
        """Notes how the Task's environment differs from this process's; what is secret there is hidden from now on."""
        self.changed = changed
        values = {name: value for name, value in changed.items() if value}
        self._secrets = sorted({*self._secrets, *secrets.secret_values(values)}, key=len, reverse=True)

    # ------------------------------------------------------------------------------------------- log

    def log_text(self, text: str) -> None:
        """Writes a line of ours into the run's log, without secrets."""
        self.log.write(self.hide(text))

    def note(self, text: str) -> None:
        """Writes lines into the run's log that are seen to be `lute`'s, without secrets."""
        self.log.write_ours(self.hide(text))

    def trouble(self, text: str) -> None:
        """Tells of what went wrong beside the run; its outcome stands."""
        logger.warning("%s", text)
        self.note(text)

    # ------------------------------------------------------------------------------------ while it lives

    def look_at_code(self, env: Mapping[str, str]) -> None:
        """Begins to look at the code and the program, beside the Task, which has started in this environment."""
        self._provenance.look(env)

    def running(self, at_once: bool) -> None:
        """The run is RUNNING; the record says so at once if code of others may look, else unless it ends right away."""
        self._analysis.task_result.task_status = TaskStatus.RUNNING
        self._save_at = time.monotonic() + LATER
        if at_once:
            self.save()

    def paused(self, status: TaskStatus, reason: str) -> None:
        """The run is STOPPED, or RUNNING again."""
        self._analysis.task_result.task_status = status
        self._analysis.record["reason"] = reason
        self.save()

    def progress(self, told: ProgressTracker, ended: bool) -> None:
        """Takes in what the Task has told: at once here, once a second in the record."""
        while told.troubles:
            self.trouble(told.troubles.pop())
        if told.changed:
            told.changed = False
            self._analysis.record |= self.hide({"progress": told.progress, "metrics": told.metrics})
            if self._save_at is None and not ended:
                self._save_at = self._next_progress

    def save_if_due(self) -> None:
        """Writes the row if something of it has waited long enough."""
        begun = time.monotonic()
        if self._save_at is not None and begun >= self._save_at:
            self.save()  # while others hold the record this takes long: then progress is told less often
            self._next_progress = begun + max(BETWEEN_PROGRESS, 10 * (time.monotonic() - begun))

    def row(self) -> RunRow:
        """Returns the run's row as it stands, without secrets."""
        self._analysis.record |= {
            "command": self.hide(self.command),
            "parameters": self.hide(self._plan.plain_parameters),
            "exact": self.hide(self._plan.exact),
            "given": self.hide(self._plan.given),
            "environment": secrets.hide_variables(self.changed, self._secrets),
            "pid": self._proc.pid,
        }
        row = row_of(self._analysis)
        row["summary"] = self._analysis.record["summary"] = self.hide(row["summary"])
        return row

    def save(self) -> None:
        """Writes the row as it stands."""
        self._save_at = None
        try:
            row, again, self._saved = self.row(), self._saved, True
            if not self._record.save(row, None if row["ended"] else SAVE_WAIT, again=again):
                self.trouble(f"the record {self._record} did not take this run; it is kept in {self._record.aside}")
        except RecordError as error:
            logger.error("%s", error)
            self.note(str(error))

    # ------------------------------------------------------------------------------------ when it has ended

    def ended(self, ending: ExitInfo, reason: str, also: list[str], wall_s: float) -> None:
        """Notes how the run ended, and what it read and made."""
        self._analysis.record |= {
            "reason": self.hide(reason),
            "also": self.hide(also),
            "exit_code": ending.exit_code,
            "signal": ending.signal,
            "ended": utc(time.time()),
            "wall_s": round(wall_s, 6),
            "user_s": round(ending.user_s, 6),
            "system_s": round(ending.system_s, 6),
            "max_rss_kib": ending.max_rss_kib,
            **self.hide(self._provenance.at_end(self._analysis.record["versions"], self._secrets)),
        }

    def ended_badly(self, error: BaseException) -> None:
        """Writes the last row of a run whose results cannot be kept: the record must say so, not RUNNING."""
        logger.exception("lute failed at the end of %s", self._plan.task)
        result = self._analysis.task_result
        result.task_status, result.payload, result.summary = TaskStatus.FAILED, "", ""
        reason = f"lute itself failed when the run had ended: {type(error).__name__}: {error}"
        self._analysis.record |= {"reason": reason, "ended": utc(time.time()), "payload": ""}
        self.save()

    def wait_again(self, reason: str) -> None:
        """Writes that a run of `lute submit` waits for its job, which is started again; a step has another run then."""
        if not self._submitted:
            return
        row = self.row()
        known = row["owner"] or {}
        owner: Owner = {
            "job": known["job"],
            "cluster": known["cluster"],
            "cwd": known["cwd"],
            "config": known["config"],
        }
        row |= {"status": "PENDING", "reason": reason, "owner": owner, "ended": None, "host": ""}
        self._record.save(row, again=True)
        self.close()

    def keep_results(self) -> None:
        """Puts payload and summary where they are kept, and writes the last row."""
        result = self._analysis.task_result
        task, told = self._plan.task, self._below_figures
        keeper = outcome.ArtifactWriter(self.files, self._header, task, self.id, self.originals, told)
        result.payload, kept = keeper.payload(result.payload)
        result.summary = keeper.summary(result.summary)
        for page in result.shown:
            keeper.payload(page)
        keeper.index()
        for text in keeper.troubles:
            self.trouble(text)
        tail = self.hide(self.log.tail())
        self._analysis.record |= {"payload": self.hide(kept), "plots": keeper.pages, "log_tail": tail}
        self.save()
        self.close()
        self._post(keeper.run_parameters)

    def _below_figures(self) -> dict[str, dict[str, str]]:
        """Returns what a page of figures tells besides, without secrets."""
        from lute.record.defaults import not_default  # most runs have no page
        from lute.tasks.progress import metric_as_text

        metrics = self._analysis.record["metrics"] or {}
        chosen = self.hide(not_default(self._plan.plain_parameters, type(self._plan.params)))
        return {
            "Metrics": {name: metric_as_text(value) for name, value in metrics.items()},
            "Parameters that are not the default": {
                name: value if isinstance(value, str) else json.dumps(printable(value))
                for name, value in chosen.items()
            },
        }

    def _post(self, parameters: dict[str, Any]) -> None:
        """Posts to the eLog, when the outcome is safe: nothing that happens there decides about the run."""
        if not facility.has_elog():
            return
        from lute.publish import elog

        try:
            troubles = elog.finish_run(self._header, self.hide(parameters))
        except Exception as error:
            logger.exception("lute failed while it posted to the eLog")
            troubles = [f"eLog: lute itself failed: {type(error).__name__}: {error}"]
        for text in troubles:
            self.note(text)

    def close(self) -> None:
        """Closes the record, unless others share it."""
        if self._own_record:
            self._record.close()
