"""What each step of a workflow gave when it last completed, for the same experiment and acquisition run."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from lute.config.config_file import ConfigFile
from lute.errors import WorkflowError
from lute.record import workflow_store
from lute.record.store import Record

if TYPE_CHECKING:
    from lute.record.types import RunRow


class LastRuns:
    """The runs of steps in the workflow runs in which they last completed.

    Args:
        workflow: The workflow's name.
        config: The YAML file, whose header names experiment and run.
        record: Where the runs are looked for, when they are asked for.
    """

    def __init__(self, workflow: str, config: ConfigFile, record: Record) -> None:
        self._workflow, self._config, self._record = workflow, config, record

    @functools.cached_property
    def ids(self) -> dict[str, dict[str, str]]:
        """The ids of each step's runs, by the instance's name; steps that never completed have none."""
        header = self._config.analysis_header()[0]
        return workflow_store.last_completed(self._record, self._workflow, header.experiment, str(header.run))

    def of(self, step: str) -> dict[str, RunRow]:
        """Returns the runs of a step, by the instance's name.

        Raises:
            WorkflowError: It never completed, or a run of it is not valid any more.
        """
        rows = {name: self._record.get(run) for name, run in self.ids.get(step, {}).items()}
        if not rows or not all(row["valid"] for row in rows.values()):
            raise WorkflowError(
                f"step {step} has no completed, valid run to be taken as it was: run without --from and --only"
            )
        return rows
