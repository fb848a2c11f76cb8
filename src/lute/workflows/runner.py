"""One workflow run, from its first row in the record to its last, wherever its steps run."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from lute import plugins
from lute.base import process_identity, procfs
from lute.base.files import make_folder
from lute.base.secrets import HIDDEN, hide_here
from lute.batch.scheduler import job_here
from lute.config.config_file import AS_WRITTEN, ConfigFile, Overrides, read_config
from lute.errors import RecordError, WorkflowError
from lute.execution import requests
from lute.execution.run import STOP_SIGNALS
from lute.graph.dag import Workflow, verdict
from lute.record import workflow_store
from lute.record.db import Record, record_of
from lute.record.rows import RunFiles, new_run_id, utc
from lute.workflows import definition, page
from lute.workflows.engine import Engine
from lute.workflows.engines.local import LOOK, LocalEngine
from lute.workflows.prepared import PreparedWorkflow
from lute.workflows.state import Options, StepInstance, StepNode, entries_of, waiting_again

if TYPE_CHECKING:
    from lute.record.types import StepEntry, WorkflowRow

logger = logging.getLogger(__name__)

SAVE_EVERY = 1.0
"""Time between two writes of the states of all steps while the workflow runs, in s; longer where a write takes long."""
SAVE_SHARE = 0.03
"""Largest part of the time that these writes may take: that of a workflow with 10,000 steps takes 0.1 s."""
ENDED_BY_THEN = 2.0
"""Time after the graces in which the programs of a killed `lute` are gone, in s."""


class Viewer(Protocol):
    """Shows people how a workflow run goes on."""

    def started(self, row: WorkflowRow, nodes: Mapping[str, StepNode]) -> None:
        """It has been recorded, and begins."""

    def changed(self, node: StepNode, instance: StepInstance | None) -> None:
        """A step, or an instance of one, has changed."""

    def look(self) -> None:
        """Some time has passed."""

    def ended(self) -> None:
        """It has ended, however."""


class WorkflowRun:
    """One run of a workflow, and its row in the record.

    Args:
        workflow: The workflow.
        config: The YAML file with the parameters, its plug-ins loaded.
        overrides: What the command line changes of it.
        options: How it is run.
        viewer: Shows how it goes on.
        earlier: The row of the workflow run that is resumed.
        identity: Its id; a new one if not given.

    Attributes:
        row: What the record has of it.
        header: The YAML file's header.
        prepared: Its workflow, and where the steps stand.
        taken_back: Returns, when SIGTERM has stopped it, why its job will be started again; nothing if it will not.
    """

    def __init__(
        self,
        workflow: Workflow,
        config: ConfigFile,
        overrides: Overrides = AS_WRITTEN,
        options: Options = Options(),  # noqa: B008 - it cannot be changed
        viewer: Viewer | None = None,
        earlier: WorkflowRow | None = None,
        identity: str | None = None,
    ) -> None:
        self.viewer, self._save_at, self._changed = viewer, 0.0, False
        header, problems = config.analysis_header()
        if problems:
            raise WorkflowError("\n".join(str(problem) for problem in problems))
        self.header = header
        self.record: Record = record_of(header)
        start = time.time()
        identity = earlier["id"] if earlier else identity or new_run_id()
        files = RunFiles.of(header.work_dir, identity, start)
        self.folder = Path(earlier["folder"]) if earlier else files.folder
        self.row: WorkflowRow = {
            "id": identity,
            "name": workflow.name,
            "file": workflow.path,
            "config": os.path.abspath(config.path),
            "experiment": header.experiment,
            "run": str(header.run),
            "status": "RUNNING",
            "reason": "",
            "started": earlier["started"] if earlier else utc(start),
            "ended": None,
            "wall_s": None,
            "host": socket.gethostname(),
            "owner": {**process_identity.this_process(), **job_here()},
            "folder": str(self.folder),
            "options": {
                "options": asdict(options),
                "overrides": hide_here(overrides._asdict()),
                "plugins": plugins.loaded(),
                "cwd": os.getcwd(),
            },
            "definition": workflow.text,
            "steps": [],
        }
        known = workflow_store.steps_of(self.record, identity) if earlier else {}
        self.prepared = PreparedWorkflow(workflow, config, overrides, options, self.record, known, self._on_change)
        self._engine: Engine | None = None
        self.taken_back: Callable[[], str] = str

    def execute(self, engine_for: Callable[[WorkflowRun], Engine] | None = None) -> WorkflowRow:
        """Runs it to its end, whatever that is. Returns its row.

        Args:
            engine_for: Makes what runs its steps; they run on this machine if not given.

        Raises:
            WorkflowError: What is not to run cannot be taken as it last was; nothing was started.
        """
        begun = time.monotonic()
        self.prepared.check()
        make_folder(self.folder)
        self.save()
        if self.viewer:
            self.viewer.started(self.row, self.prepared.nodes)
        try:
            self._engine = (engine_for or _on_this_machine)(self)
            self._engine.submit()
            self._engine.wait()
            self.row["status"], self.row["reason"] = self._verdict()
        except BaseException as error:  # the record must not say RUNNING for ever
            self.row["status"], self.row["reason"] = "FAILED", f"{type(error).__name__}: {error}"
            raise
        finally:
            if self.viewer:
                self.viewer.ended()
            by_signal = self.prepared.progression.stopped_by == STOP_SIGNALS[signal.SIGTERM]
            if by_signal and (why := self.taken_back()):
                self._wait_again(why)
            else:
                self.row |= {"ended": utc(time.time()), "wall_s": round(time.monotonic() - begun, 6)}
                self.save()
                page.write_if_possible(self.prepared.workflow, self.row, self.record)
            requests.take(self.folder / "request")  # it came when there was nothing left to ask for
            self.record.close()
        return self.row

    def _wait_again(self, why: str) -> None:
        """Writes that it waits for its job, which will be started again."""
        job = (self.row["owner"] or {})["job"]
        self.row |= {"status": "RUNNING", "reason": why, "owner": {"on": "slurm", "job": job}}
        self.save(lambda entries: waiting_again(entries, why))

    def _verdict(self) -> tuple[str, str]:
        by = self.prepared.progression.stopped_by
        if by and not by.startswith("--fail-fast"):
            return "CANCELLED", f"cancelled by {by}"
        return verdict({name: node.state for name, node in self.prepared.nodes.items()})

    def _on_change(self, node: StepNode, instance: StepInstance | None) -> None:
        self._changed = True
        if self.viewer:
            self.viewer.changed(node, instance)

    def look(self) -> None:
        """Saves and shows what has changed, and does what others ask; called several times a second while it runs."""
        if self._changed and time.monotonic() > self._save_at:
            self.save()
        if self.viewer:
            self.viewer.look()
        request = requests.take(self.folder / "request")
        if request is not None and request.do == requests.CANCEL:
            assert self._engine is not None, "whatever runs the steps looks"
            self._engine.cancel(str(request))

    def save(self, change: Callable[[list[StepEntry]], list[StepEntry]] = list) -> None:
        """Writes its row as it stands.

        Args:
            change: Changes the entries of all steps before.
        """
        begun, self._changed = time.monotonic(), False
        self.row["steps"] = change([entry for node in self.prepared.nodes.values() for entry in entries_of(node)])
        try:
            workflow_store.save(self.record, self.row, None if self.row["ended"] else 2.0)
        except (RecordError, OSError) as error:
            logger.warning("workflow run %s was not recorded: %s", self.row["id"], error)
        ended = time.monotonic()
        self._save_at = ended + max(SAVE_EVERY, (ended - begun) / SAVE_SHARE)


def _on_this_machine(run: WorkflowRun) -> Engine:
    return LocalEngine(run.prepared, run.row["id"], run.look)


def resumed(
    record: Record,
    identity: str,
    options: Options,
    viewer: Viewer | None = None,
    settings: tuple[tuple[str, str], ...] = (),
    config: str = "",
) -> WorkflowRun:
    """Returns a workflow run that goes on where an earlier one stopped: what completed is not run again.

    Args:
        record: Where it is recorded.
        identity: Its id.
        options: How it is run.
        viewer: Shows how it goes on.
        settings: What is changed besides what was changed then.
        config: The YAML file with the parameters; the same as then if not given.

    Raises:
        RecordError: There is no such workflow run.
        WorkflowError: It still runs, or some of its programs do.
    """
    row = ended(record, identity)
    row["config"] = config or row["config"]
    workflow, file, overrides = kept_in(row, settings)
    made = WorkflowRun(workflow, file, overrides, _both(options_in(row), options), viewer, earlier=row)
    made.prepared.check()
    _wait_for_programs(record, row, file)
    if not workflow_store.claim(record, row["id"], made.row["owner"] or {}):
        raise WorkflowError(f"workflow run {row['id']} still runs: another --resume was first")
    return made


def again(
    record: Record,
    identity: str,
    fresh: bool = False,
    viewer: Viewer | None = None,
    settings: tuple[tuple[str, str], ...] = (),
) -> WorkflowRun:
    """Returns a new workflow run with the definition, YAML file, settings and options of an earlier one.

    Args:
        record: Where that is recorded.
        identity: Its id.
        fresh: Whether nothing is reused.
        viewer: Shows how it goes on.
        settings: What is changed besides what was changed then.

    Raises:
        RecordError: There is no such workflow run.
    """
    row = workflow_store.get(record, identity)
    kept = options_in(row)
    return WorkflowRun(*kept_in(row, settings), replace(kept, fresh=fresh or kept.fresh), viewer)


def ended(record: Record, identity: str) -> WorkflowRow:
    """Returns what the record has of a workflow run that has ended, or whose process is gone.

    Raises:
        RecordError: There is no such workflow run.
        WorkflowError: It still runs.
    """
    workflow_store.mark_lost(record)
    row = workflow_store.get(record, identity)
    still_ending = row["ended"] is None and (row["owner"] or {}).get("on")
    if row["status"] == "RUNNING" or still_ending:
        raise WorkflowError(f"workflow run {row['id']} still runs, on {row['host']}: it cannot be resumed")
    return row


def in_its_folder(row: WorkflowRow) -> contextlib.AbstractContextManager[None]:
    """Changes to the folder that a workflow run was started in, where relative paths start; not if it is gone."""
    folder = row["options"].get("cwd", "")
    return contextlib.chdir(folder) if os.path.isdir(folder) else contextlib.nullcontext()


def kept_in(row: WorkflowRow, more: tuple[tuple[str, str], ...]) -> tuple[Workflow, ConfigFile, Overrides]:
    """Returns what a workflow run was made of, with further settings.

    Raises:
        WorkflowError: A setting was a secret, and is not given again.
    """
    kept = row["options"]["overrides"]
    given = {name for name, _ in more}
    for name in hidden_in(row):
        if name not in given:
            raise WorkflowError(
                f"--set {name} of workflow run {row['id']} held a secret, which is not recorded: give --set {name}=..."
            )
    settings = [
        (name, text) for name, text in kept["settings"] if name not in given and not _is_hidden_place(name, text)
    ]
    overrides = Overrides(kept["experiment"], kept["run"], (*settings, *more))
    config = read_config(row["config"], overrides)
    config.load_plugins()
    for spec in row["options"].get("plugins", ()):
        plugins.load(spec)
    workflow = definition.parse(row["definition"], row["file"]) if row["definition"] else definition.load(row["name"])
    return workflow, config, overrides


def hidden_in(row: WorkflowRow) -> list[str]:
    """Returns the names of a workflow run's settings whose values held secrets, which are not recorded."""
    settings = row["options"]["overrides"]["settings"]
    return [name for name, text in settings if HIDDEN in text and not _is_hidden_place(name, text)]


def _is_hidden_place(name: str, text: str) -> bool:
    """Returns whether a setting is the record's URL without its password: whoever reads the record has that."""
    return name == "database" and HIDDEN in text


def options_in(row: WorkflowRow) -> Options:
    """Returns how a workflow run is run, as its row has it."""
    kept = dict(row["options"]["options"])
    kept.update((name, tuple(value)) for name, value in row["options"]["options"].items() if isinstance(value, list))
    return Options(**kept)


def _wait_for_programs(record: Record, row: WorkflowRow, config: ConfigFile) -> None:
    """Waits until the programs of a killed workflow run are gone: a step must not begin again beside itself."""
    runs = record.find(workflow=row["id"], columns=("id", "ended"))
    lost = {run["id"] for run in runs if not run["ended"]} if row["host"] == socket.gethostname() else set()
    header = config.analysis_header()[0]
    deadline = time.monotonic() + header.clean_up_grace + header.terminate_grace + ENDED_BY_THEN
    while lost and (left := procfs.of_runs(lost)):
        if time.monotonic() > deadline:
            raise WorkflowError(
                f"programs of workflow run {row['id']} still run, though the lute that started them is gone: processes"
                f" {', '.join(map(str, left))}. End them, then resume"
            )
        time.sleep(LOOK)


def _both(kept: Options, given: Options) -> Options:
    """Returns the options of a workflow run that is resumed: as it had them, but for those given now."""
    return Options(**{one.name: getattr(given, one.name) or getattr(kept, one.name) for one in fields(Options)})
