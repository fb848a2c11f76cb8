"""What a step would run now, by what the steps before it gave: one plan, its fingerprint, the run it may reuse."""

from __future__ import annotations

import functools
import math
import os
import threading
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lute import managed_tasks
from lute.config.config_file import ConfigFile, Overrides, Reader
from lute.errors import WorkflowError
from lute.execution.executor import BaseExecutor, Executor
from lute.execution.plan import Plan
from lute.graph.dag import Step, Workflow
from lute.models.files import files_alone
from lute.record.db import read_for
from lute.record.rows import exact_of, parameters_of, path_of_kept
from lute.record.store import Record
from lute.record.values import decode
from lute.workflows import reuse
from lute.workflows.results import NO_ITEM, Results, Scope, Unknown, steps_used
from lute.workflows.state import Options, StepInstance, StepNode

if TYPE_CHECKING:
    from lute.record.types import JsonObject, OutputEntry, RunRow, StepGiven


class Planner:
    """Plans the steps of one workflow run; several threads may use it.

    Args:
        workflow: The workflow.
        config: The YAML file with the parameters, its plug-ins loaded.
        overrides: What the command line changes of it.
        options: How it is run.
        record: Where earlier runs are looked for.
        nodes: The steps as they stand, by name.
    """

    def __init__(
        self,
        workflow: Workflow,
        config: ConfigFile,
        overrides: Overrides,
        options: Options,
        record: Record,
        nodes: Mapping[str, StepNode],
    ) -> None:
        self._workflow, self._options, self._nodes = workflow, options, nodes
        self._config, self._overrides, self._record = config, overrides, record
        self._claims: dict[str, tuple[str, str]] = {}
        self._claiming = threading.Lock()
        self._results = Results(self._given_by, lambda: list(nodes))
        self._taken_from = functools.cache(self._steps_that_give)
        self._file_with = functools.lru_cache(maxsize=8)(self._changed)  # steps with the same settings share one

    def planned(self, step: Step, item: Any = NO_ITEM) -> tuple[BaseExecutor, Plan, str]:
        """Returns a step's Executor, what it would run now, and the fingerprint of that.

        Raises:
            LuteError: It cannot be planned: a parameter or an earlier result is wrong or missing.
        """
        executor = self.executor_of(step)
        settings = tuple((f"{executor.task_name}.{name}", text) for name, text in self.scope(item).settings(step))
        file = self.file_for(step, executor.task_name, settings, item)
        taken_from = self._taken_from(step.name)
        plan = executor.plan_from(file, self._reader(step, taken_from))
        only_needed = [name for name in step.needs if name not in taken_from]
        of_needs = [one for name in only_needed for one in self._nodes[name].fingerprints]
        return executor, plan, reuse.fingerprint(plan, of_needs)

    def _steps_that_give(self, name: str) -> set[str]:
        """Returns the steps whose results a step takes values from."""
        used = steps_used(self._nodes[name].step)
        return used["parameters"] | used["foreach"]

    def claim(self, name: str, step: Step, plan: Plan) -> None:
        """Notes what an instance of a step writes.

        Args:
            name: The instance's.
            step: Its step.
            plan: What it runs.

        Raises:
            WorkflowError: Another that it does not need writes the same path in this workflow run.
        """
        before = self._workflow.before([step.name])
        with self._claiming:
            for file in files_alone(plan.params, plan.cwd):
                other, other_step = self._claims.setdefault(os.path.normpath(file.path), (name, step.name))
                if other != name and other_step not in before and step.name not in self._workflow.before([other_step]):
                    raise WorkflowError(
                        f"{file.parameter} = {file.text} is also written by {other}, and neither needs the other"
                    )
                self._claims[os.path.normpath(file.path)] = (name, step.name)

    def outputs_needed(self, step: Step) -> dict[str, Sequence[OutputEntry]]:
        """Returns what the runs of the steps that a step needs wrote, by the runs' ids."""
        outcomes = [one.outcome for name in step.needs for one in self._nodes[name].instances if one.outcome]
        return {outcome.run: outcome.outputs for outcome in outcomes if outcome.run and outcome.outputs}

    def executor_of(self, step: Step) -> BaseExecutor:
        """Returns a step's Executor."""
        return step.executor or managed_tasks.find(step.task) or Executor(step.task)

    def earlier(self, step: Step, name: str, plan: Plan, fingerprint: str) -> RunRow | None:
        """Returns the run that can be taken instead of running a step, if there is one.

        Args:
            step: The step.
            name: Its name, or its instance's.
            plan: What it would run.
            fingerprint: The fingerprint of that.
        """
        wanted = step.reuse
        if wanted is None:
            wanted = self._options.reuse_all or bool(reuse.declared_outputs(plan))
        if self._options.rerun_reason or not wanted:
            return None
        return reuse.earlier_run(self._record, self.wanted(name, plan, fingerprint))

    def wanted(self, name: str, plan: Plan, fingerprint: str) -> reuse.Wanted:
        """Returns what an earlier run must be like to be taken for an instance of a step."""
        return reuse.Wanted(plan, fingerprint, name, self._options.triggers)

    def file_for(self, step: Step, task: str, settings: tuple[tuple[str, str], ...], item: Any = NO_ITEM) -> ConfigFile:
        """Returns the YAML file with what a step changes of it, and above that the command line.

        Args:
            step: The step.
            task: Its Task.
            settings: Its parameters, as `Task.param` and YAML.
            item: The item of its `foreach`.
        """
        if step.timeout is not None:
            settings += (("task_timeouts", f'{{"{task}": {step.timeout}}}'),)
        run = self._overrides.run
        if isinstance(step.foreach, Mapping) and "runs" in step.foreach and item is not NO_ITEM:
            run = str(item)
        return self._file_with(Overrides(self._overrides.experiment, run, settings + self._overrides.settings))

    def _changed(self, overrides: Overrides) -> ConfigFile:
        """Returns the YAML file as it was when the workflow began, with what a step and the command line change."""
        if overrides == self._overrides:
            return self._config
        file = self._config.changed(overrides)
        file.load_plugins()
        return file

    def scope(self, item: Any = NO_ITEM) -> Scope:
        """Returns what names mean to a step: earlier results, the item of its `foreach`, the YAML file's own."""
        return Scope(self._results, [self._config.tasks.value, self._config.header.value], item)

    def scope_ahead(self, step: Step) -> Scope:
        """Returns what names mean to a step before anything has run."""
        item = NO_ITEM if step.foreach is None else Unknown()
        return Scope(Unknown(), [self._config.tasks.value, self._config.header.value], item)

    def _reader(self, step: Step, taken_from: set[str]) -> Reader:
        """Returns a reader of earlier results that prefers what this workflow run's own steps gave.

        Args:
            step: The step that reads.
            taken_from: The names of the steps whose values were read are added.
        """

        def read(header: Any, task: str, param: str) -> Any:
            before = self._workflow.before([step.name])
            for name in (name for name in reversed(list(self._nodes)) if name in before):
                node = self._nodes[name]
                own = node.step.executor or managed_tasks.find(node.step.task)
                if task in (node.step.task, own.task_name if own else "") and node.instances:
                    taken_from.add(name)
                    run = next((one.outcome.run for one in reversed(node.instances) if one.outcome), None)
                    return self._record.earlier(param, identity=run) if run else None
            return read_for(header, task, param)

        return read

    def _given_by(self, name: str) -> Any:
        node = self._nodes[name]
        found = [self._one_given(instance) for instance in node.instances]
        return found if node.step.foreach is not None else found[0] if found else {"status": node.state.value}

    def _one_given(self, instance: StepInstance) -> StepGiven:
        run = instance.outcome.run if instance.outcome else None
        if run is None:
            return {"status": instance.state.value}
        row = self._record.get(run)
        exact = exact_of(row)
        found = {key: item.get("value") for key, item in (row["metrics"] or {}).items() if isinstance(item, dict)}
        metrics = {key: math.nan if value is None else value for key, value in found.items()}  # older rows have null
        return {
            "status": row["status"],
            "summary": row["summary"],
            "exit_code": row["exit_code"],
            "parameters": {**parameters_of(row), **_numbers(exact)},
            "exact": exact,
            "id": row["id"],
            "result": path_of_kept(row["payload"]),
            "metrics": metrics,
        }


def _numbers(exact: JsonObject) -> JsonObject:
    """Returns those parameters that are nan or infinite, of what is kept exactly of a run's."""
    return {name: decode(value) for name, value in exact.items() if isinstance(value, dict) and "~float" in value}
