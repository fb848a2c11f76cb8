"""A workflow's file or name -> a checked `Workflow`, every problem with file, line and column.

Three forms. A flat one:

    steps:
      index: { task: Indexer, parameters: { threshold: 3 } }
      merge: { task: Merger, needs: [index], when: "steps.index.result > 10", retries: 2 }

the tree that people have, also as a document marked `!LUTE_DAG` of a file with others:

    task_name: Indexer
    slurm_params: "--ntasks=4"
    next:
      - { task_name: Merger, slurm_params: "", next: [] }

and Python: a `Workflow`, or steps joined by `>>`, as a module-level name of a plug-in.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lute import plugins
from lute.config import yaml_reader
from lute.errors import ConfigError, Problem, WorkflowError, did_you_mean
from lute.graph.dag import NAME, Chain, Step, Workflow, circle_of, in_a_circle, ordered, same
from lute.workflows.results import steps_used
from lute.workflows.step_fields import Source, StepFields, unknown_task

if TYPE_CHECKING:
    from lute.workflows.step_fields import StepDocument

STEP_KEYS = (
    "task",
    "needs",
    "when",
    "foreach",
    "parameters",
    "slurm",
    "timeout",
    "retries",
    "resources",
    "reuse",
)
"""What a step of the flat form may have; all but `task` may be left out."""
TREE_KEYS = ("task_name", "slurm_params", "next", "parameters", "timeout", "retries")
FILE_KEYS = ("name", "steps", "limits")


def load(file_or_name: str) -> Workflow:
    """Returns the workflow of a YAML file, or of a name that a loaded plug-in has.

    Raises:
        ConfigError: The file has problems; all of them are told.
        WorkflowError: There is neither file nor name, or steps need each other in a circle.
    """
    if os.path.exists(file_or_name) or file_or_name.endswith((".yaml", ".yml")):
        return read(file_or_name)
    known = workflows_by_name()
    if file_or_name not in known:
        raise WorkflowError(
            f"there is no file {file_or_name} and no workflow of that name in a plug-in."
            f"{did_you_mean(file_or_name, known)} To write one that works: lute init"
        )
    workflow = known[file_or_name]
    problems = [problem for step in workflow.steps.values() for problem in unknown_task(step.task)]
    if problems:
        raise WorkflowError(f"workflow {file_or_name}: {'; '.join(problems)}")
    return workflow


def workflows_by_name() -> dict[str, Workflow]:
    """Returns the workflows that the loaded plug-ins define."""
    found: dict[str, Workflow] = {}
    for module in plugins.modules():
        for name, value in list(vars(module).items()):
            if isinstance(value, Workflow):
                found[name] = value
            elif isinstance(value, Chain):
                found[name] = Workflow.of(value, name)
    return found


def read(path: str) -> Workflow:
    """Returns the workflow of a YAML file.

    Raises:
        ConfigError: With every problem found.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([Problem(path, None, None, f"cannot be read: {error}")]) from error
    return parse(text, path)


def parse(text: str, path: str) -> Workflow:
    """Returns the workflow of a YAML text.

    Args:
        text: The text.
        path: The file that it is from, for messages.

    Raises:
        ConfigError: With every problem found.
    """
    reading = Reading.of(text, path)
    steps, limits, name = reading.all()
    if not reading.problems and (circle := circle_of(steps)):
        reading.wrong(reading.at(circle[0], "needs"), in_a_circle(circle))
    if reading.problems:
        raise ConfigError(sorted(reading.problems, key=lambda problem: (problem.line or 0, problem.column or 0)))
    return Workflow(name or Path(path).stem, ordered(steps), limits, os.path.abspath(path), text)


EXPECTED = "expected `steps:`, a mapping of step names to {task: ...}, or a tree with `task_name:`"


class Reading(Source):
    """Reads the workflow in one document: the steps of the flat form, or of the tree."""

    def __init__(self, path: str, document: yaml_reader.Document) -> None:
        super().__init__(path, document)
        self._places: dict[str, yaml_reader.Path] = {}

    @classmethod
    def of(cls, text: str, path: str) -> Reading:
        """Returns a reading of the workflow in a YAML text.

        Raises:
            ConfigError: It is no YAML, or has no single workflow.
        """
        documents = yaml_reader.read_documents(text, path)
        marked = [document for document in documents if document.is_workflow]
        if len(marked or documents) != 1:
            raise ConfigError([Problem(path, 1, 1, "expected one workflow: one document, or one marked !LUTE_DAG")])
        return cls(path, (marked or documents)[0])

    def at(self, name: str, *rest: str | int) -> yaml_reader.Path:
        """Returns where a step is, or something in it."""
        return (*self._places[name], *rest)

    def all(self) -> tuple[dict[str, Step], dict[str, int], str]:
        """Returns the steps by name, the limits and the workflow's name, as far as they could be read."""
        value = self.document.value
        if isinstance(value, list) or (isinstance(value, dict) and "task_name" in value):
            steps: dict[str, Step] = {}
            self._tree(value, (), [], steps)
            self._check_needs(steps)
            if not steps and not self.problems:
                self.wrong((), EXPECTED)
            return steps, {}, ""
        if not isinstance(value, dict) or not isinstance(value.get("steps"), dict) or not value["steps"]:
            self.wrong((), EXPECTED)
            return {}, {}, ""
        self.only(value, FILE_KEYS, ())
        limits = self.expect(value.get("limits"), ("limits",), dict, {})
        steps = self._flat(value["steps"])
        tasks = {step.task for step in steps.values()}
        for task, limit in limits.items():
            if type(limit) is not int or limit < 1:
                self.wrong(("limits", task), f"{task}: expected how many at once, a number from 1")
            if task not in tasks:
                self.wrong(("limits", task), f"{task}: no step has this Task.{did_you_mean(str(task), tasks)}")
        return steps, limits, self._name(value.get("name"))

    def _name(self, value: Any) -> str:
        if isinstance(value, (list, dict, bool)):
            self.wrong(("name",), "name: expected a text")
        return str(value or "")

    # ----------------------------------------------------------------------------------- the flat form

    def _flat(self, raw: dict[Any, Any]) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        for name, entry in raw.items():
            at: yaml_reader.Path = ("steps", name)
            if str(name) in steps:
                self.wrong(at, f"step {name} stands here a second time")
            self._places[str(name)] = at
            entry = {"task": entry} if isinstance(entry, str) else entry
            if not NAME.fullmatch(str(name)):
                self.wrong(at, f"step {name}: a step's name has letters, digits, _ and - only")
            if not isinstance(entry, dict):
                self.wrong(at, f"step {name}: expected {{task: NAME, ...}}")
                continue
            self.only(entry, STEP_KEYS, at)
            steps[str(name)] = StepFields(self, str(name), cast("StepDocument", entry), at).step()
        self._check_needs(steps)
        return steps

    def _check_needs(self, steps: Mapping[str, Step]) -> None:
        for name, step in steps.items():
            for number, need in enumerate(step.needs):
                if need not in steps:
                    self.wrong(
                        self.at(name, "needs", number),
                        f"step {name} needs {need!r}, which is no step.{did_you_mean(need, steps)}",
                    )
            self._check_names(steps, name, step)

    def _check_names(self, steps: Mapping[str, Step], name: str, step: Step) -> None:
        """A condition or parameter may use only results that are there by then."""
        for key, used in steps_used(step).items():
            missing = used - set(step.needs)
            for other in sorted(missing - _all_before(steps, name)) if missing else ():
                what = "is not among what it needs" if other in steps else f"is no step.{did_you_mean(other, steps)}"
                self.wrong(self.at(name, key), f"step {name} uses the result of {other!r}, which {what}")

    # ----------------------------------------------------------------------------------------- the tree

    def _tree(self, value: Any, at: yaml_reader.Path, above: list[str], steps: dict[str, Step]) -> None:
        if isinstance(value, list):
            for number, item in enumerate(value):
                self._tree(item, (*at, number), above, steps)
            return
        if not isinstance(value, dict) or not isinstance(value.get("task_name"), str):
            self.wrong(at, "expected {task_name: NAME, slurm_params: '...', next: [...]}")
            return
        self.only(value, TREE_KEYS, at)
        name = value["task_name"]
        if name in self._path_to(steps, above):
            self.wrong(at, f"steps need each other in a circle: {name} comes after itself")
            return
        self._take_node(name, cast("StepDocument", value), at, above, steps)
        self._tree(value.get("next") or [], (*at, "next"), [name], steps)

    def _path_to(self, steps: Mapping[str, Step], above: list[str]) -> set[str]:
        return set(above).union(*(_all_before(steps, name) for name in above))

    def _take_node(
        self, name: str, value: StepDocument, at: yaml_reader.Path, above: list[str], steps: dict[str, Step]
    ) -> None:
        """A node that is reached twice is one step that needs both."""
        entry = {key: item for key, item in value.items() if key not in ("task_name", "next", "slurm_params")}
        fields = StepFields(self, name, {"task": name, **value}, at)
        slurm = fields.slurm("slurm_params")
        step = replace(fields.step(), slurm=slurm)
        known = steps.get(name)
        if known is None:
            self._places[name] = at
            steps[name] = replace(step, needs=tuple(above))
            return
        if entry and not same(replace(step, slurm=known.slurm), known):
            self.wrong(at, f"{name} is reached twice, each time with other {', '.join(entry)}: write them once")
        if value.get("slurm_params") and known.slurm not in ("", slurm):
            self.wrong(at, f"{name} is reached twice with different slurm_params: {known.slurm!r} and {slurm!r}")
        needs = tuple(dict.fromkeys((*known.needs, *above)))
        steps[name] = replace(known, needs=needs, slurm=known.slurm or slurm)


def _all_before(steps: Mapping[str, Step], name: str) -> set[str]:
    found: set[str] = set()
    waiting = [name]
    while waiting:
        for need in steps[waiting.pop()].needs:
            if need in steps and need not in found:
                found.add(need)
                waiting.append(need)
    return found
