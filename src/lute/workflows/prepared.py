"""A workflow with all that its steps are planned and decided by: its YAML file, options and record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from lute.config.config_file import ConfigFile, Overrides
from lute.graph.dag import Workflow
from lute.record.store import Record
from lute.workflows import checking
from lute.workflows.last_runs import LastRuns
from lute.workflows.planning import Planner
from lute.workflows.progression import Progression
from lute.workflows.state import Options, StepNode, Watcher, nodes_of

if TYPE_CHECKING:
    from lute.record.types import RunRow


class PreparedWorkflow:
    """A workflow that can be run, by whatever engine, or only looked at. To make one starts and reads nothing.

    Args:
        workflow: The workflow.
        config: The YAML file with the parameters, its plug-ins loaded.
        overrides: What the command line changes of it.
        options: How it is run.
        record: Where its runs are recorded, and earlier ones are looked for.
        known: Runs of this workflow run of an earlier time, by the instance's name: those that completed stand.
        watcher: Told of each change.

    Attributes:
        planner: Says what a step would run.
        progression: Where its steps stand, and what becomes of them.
        last_runs: What the steps gave when they last completed.
    """

    def __init__(
        self,
        workflow: Workflow,
        config: ConfigFile,
        overrides: Overrides,
        options: Options,
        record: Record,
        known: Mapping[str, RunRow] | None = None,
        watcher: Watcher = lambda node, instance: None,
    ) -> None:
        self.workflow, self.options, self.record = workflow, options, record
        self._config, self._overrides = config, overrides
        nodes = nodes_of(workflow)
        self.last_runs = LastRuns(workflow.name, config, record)
        self.planner = Planner(workflow, config, overrides, options, record, nodes)
        self.progression = Progression(workflow, options, nodes, self.planner.scope, self.last_runs.of, known, watcher)

    @property
    def nodes(self) -> Mapping[str, StepNode]:
        """Its steps as they stand, by name."""
        return self.progression.nodes

    def check(self) -> None:
        """Looks at what can be known before anything starts: parameters, and whether what is not run was run before.

        Raises:
            ConfigError: Parameters are wrong.
            WorkflowError: A step that is to be taken as it last was never completed.
        """
        for name in self.progression.taken():
            self.last_runs.of(name)
        self.check_parameters()

    def check_parameters(self) -> None:
        """Looks at the parameters of all steps that are to run.

        Raises:
            ConfigError: With every problem that can be known now.
        """
        names = self.progression.still_to_run()
        checking.check(names, self.workflow, self._config, self._overrides, self.planner)
