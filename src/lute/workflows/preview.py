"""Whether each step of a workflow would run now, and why, by its last runs; nothing is started."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from lute.errors import LuteError, WorkflowError
from lute.graph.dag import Rule, Step
from lute.workflows import reuse
from lute.workflows.prepared import PreparedWorkflow
from lute.workflows.progression import AS_IT_WAS
from lute.workflows.results import NO_ITEM, items_of, steps_used
from lute.workflows.state import StepNode

if TYPE_CHECKING:
    from lute.record.types import RunRow


@dataclass(frozen=True)
class Forecast:
    """What would become of a step.

    Attributes:
        step: The step's name.
        runs: Whether it would run; None if that depends on what is not known yet.
        why: Why.
        count: How many instances it has; None if that is not known yet.
    """

    step: str
    runs: bool | None
    why: str
    count: int | None = 1


def forecast(prepared: PreparedWorkflow) -> list[Forecast]:
    """Returns what would become of each step, in order. `prepared` is used up."""
    chosen = prepared.progression.chosen()
    found: list[Forecast] = []
    will_run: set[str] = set()
    for name, node in prepared.nodes.items():
        one = of_step(prepared, node, will_run) if name in chosen else _not_chosen(prepared, node, chosen)
        if one.runs is not False:
            will_run.add(name)
        found.append(one)
    return found


def _not_chosen(prepared: PreparedWorkflow, node: StepNode, chosen: set[str]) -> Forecast:
    name = node.step.name
    if name not in prepared.workflow.before(chosen):
        return Forecast(name, False, "it was not chosen")
    try:
        prepared.progression.reuse_runs(node, prepared.last_runs.of(name), AS_IT_WAS)
    except WorkflowError as error:
        return Forecast(name, None, str(error))
    return Forecast(name, False, AS_IT_WAS, len(node.instances))


def of_step(prepared: PreparedWorkflow, node: StepNode, will_run: set[str]) -> Forecast:
    """Returns what would become of one step, and makes it what an earlier run of it was where that is reused.

    Args:
        prepared: The workflow run; what was found of earlier steps stands there.
        node: The step.
        will_run: The steps that run, so that what they give is not known yet.
    """
    step = node.step
    used = {name for name in step.needs if name in will_run}
    named = steps_used(step)
    unknown = sorted(will_run & (named["when"] | named["foreach"]))
    if unknown:
        return Forecast(step.name, None, f"it depends on what {', '.join(unknown)} will give", None)
    if step.rule not in (Rule.ALL_SUCCEEDED, Rule.ALL_DONE, Rule.ALWAYS):
        return Forecast(step.name, None, f"it depends on how its needs end ({step.rule.value})")
    try:
        return _judged(prepared, node, will_run)
    except LuteError as error:
        if used:
            return Forecast(step.name, True, f"{', '.join(sorted(used))} runs before it")
        return Forecast(step.name, None, str(error))


def _judged(prepared: PreparedWorkflow, node: StepNode, will_run: set[str]) -> Forecast:
    step = node.step
    if step.when and not prepared.planner.scope().holds(step.when):
        return Forecast(step.name, False, f"its condition is false: {step.when}")
    items = [NO_ITEM] if step.foreach is None else items_of(step.foreach, prepared.planner.scope())
    if not items:
        return Forecast(step.name, False, "its foreach has no items", 0)
    names = [step.name] if step.foreach is None else [f"{step.name}[{number}]" for number in range(len(items))]
    found = [_look(prepared, step, name, item) for name, item in zip(names, items, strict=True)]
    reasons = [reason for row, reason in found if row is None]
    if reasons:
        return Forecast(step.name, True, reasons[0], len(items))
    rows = {name: row for name, (row, _) in zip(names, found, strict=True) if row is not None}
    prepared.progression.reuse_runs(node, rows, "unchanged")
    return Forecast(step.name, False, "nothing that it depends on has changed", len(items))


def _look(prepared: PreparedWorkflow, step: Step, name: str, item: object) -> tuple[RunRow | None, str]:
    """Returns the earlier run that would be taken for a step, or an instance of it; or None, and why it would run.

    Raises:
        LuteError: It cannot be planned.
    """
    _, plan, fingerprint = prepared.planner.planned(step, item)
    row = prepared.planner.earlier(step, name, plan, fingerprint)
    wanted = prepared.planner.wanted(name, plan, fingerprint)
    return row, "" if row is not None else _why_run(prepared, step, wanted)


def _why_run(prepared: PreparedWorkflow, step: Step, wanted: reuse.Wanted) -> str:
    if prepared.options.rerun_reason:
        return prepared.options.rerun_reason
    if step.reuse is False:
        return "its `reuse` is false"
    if step.reuse is None and not prepared.options.reuse_all and not reuse.declared_outputs(wanted.plan):
        return "its Task declares no outputs, so that it cannot be told whether they are still there (see `reuse`)"
    return _changed_since(prepared, step, wanted)


def _changed_since(prepared: PreparedWorkflow, step: Step, wanted: reuse.Wanted) -> str:
    try:
        last = prepared.last_runs.of(step.name)
    except WorkflowError:
        return (
            "its last run is not valid any more"
            if step.name in prepared.last_runs.ids
            else "it has not completed before"
        )
    found = [reuse.changed_since(row, prepared.record, wanted) for row in last.values()]
    fewest = min(found, key=len)
    if not fewest:
        return "what it wrote is not there any more as it was"
    return f"changed since it last completed: {', '.join(fewest)}"
