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

import functools
import math
import os
import shlex
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from lute import managed_tasks, plugins, registry
from lute.errors import ConfigError, Problem, TaskNotFoundError, WorkflowError, did_you_mean, nearest
from lute.io import _yaml
from lute.io._substitution import steps as path_steps
from lute.io.config import unknown_names
from lute.tasks.dataclasses import TaskStatus
from lute.workflows import conditions
from lute.workflows.dag import (
    NAME,
    Chain,
    Resources,
    Retries,
    Rule,
    Step,
    Workflow,
    circle_of,
    in_a_circle,
    ordered,
    same,
)
from lute.workflows.results import runs_of, steps_used

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
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}


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
    problems = [problem for step in workflow.steps.values() for problem in _unknown_task(step.task)]
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


class Reading:
    """Reads one document; collects its problems."""

    def __init__(self, path: str, document: _yaml.Document) -> None:
        self.path, self.document = path, document
        self.problems: list[Problem] = []
        self._places: dict[str, _yaml.Path] = {}

    @classmethod
    def of(cls, text: str, path: str) -> Reading:
        """Returns a reading of the workflow in a YAML text.

        Raises:
            ConfigError: It is no YAML, or has no single workflow.
        """
        documents = _yaml.read_documents(text, path)
        marked = [document for document in documents if document.is_workflow]
        if len(marked or documents) != 1:
            raise ConfigError([Problem(path, 1, 1, "expected one workflow: one document, or one marked !LUTE_DAG")])
        return cls(path, (marked or documents)[0])

    def at(self, name: str, *rest: str | int) -> _yaml.Path:
        """Returns where a step is, or something in it."""
        return (*self._places[name], *rest)

    def place(self, at: _yaml.Path) -> _yaml.Place:
        """Returns line and column of something, or of the innermost around it that is there."""
        return next(self.document.places[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self.document.places)

    def wrong(self, at: _yaml.Path, message: str) -> None:
        """Adds a problem."""
        self.problems.append(Problem(self.path, *self.place(at), message))

    def all(self) -> tuple[dict[str, Step], dict[str, int], str]:
        """Returns the steps by name, the limits and the workflow's name, as far as they could be read."""
        value = self.document.value
        if isinstance(value, list) or (isinstance(value, dict) and "task_name" in value):
            steps: dict[str, Step] = {}
            self._tree(value, (), [], steps)
            self._check_needs(steps)
            return steps, {}, ""
        if not isinstance(value, dict) or not isinstance(value.get("steps"), dict) or not value["steps"]:
            self.wrong((), "expected `steps:`, a mapping of step names to {task: ...}, or a tree with `task_name:`")
            return {}, {}, ""
        self._only(value, FILE_KEYS, ())
        limits = self._expect(value, "limits", (), dict, {})
        steps = self._flat(value["steps"])
        tasks = {step.task for step in steps.values()}
        for task, limit in limits.items():
            if type(limit) is not int or limit < 1:
                self.wrong(("limits", task), f"{task}: expected how many at once, a number from 1")
            if task not in tasks:
                self.wrong(("limits", task), f"{task}: no step has this Task.{did_you_mean(str(task), tasks)}")
        return steps, limits, str(value.get("name") or "")

    # ----------------------------------------------------------------------------------- the flat form

    def _flat(self, raw: dict[Any, Any]) -> dict[str, Step]:
        steps: dict[str, Step] = {}
        for name, entry in raw.items():
            at: _yaml.Path = ("steps", name)
            if str(name) in steps:
                self.wrong(at, f"step {name} stands here a second time")
            self._places[str(name)] = at
            entry = {"task": entry} if isinstance(entry, str) else entry
            if not NAME.fullmatch(str(name)):
                self.wrong(at, f"step {name}: a step's name has letters, digits, _ and - only")
            if not isinstance(entry, dict):
                self.wrong(at, f"step {name}: expected {{task: NAME, ...}}")
                continue
            self._only(entry, STEP_KEYS, at)
            steps[str(name)] = self._step(str(name), entry, at)
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

    def _step(self, name: str, entry: dict[str, Any], at: _yaml.Path) -> Step:
        task = entry.get("task")
        if not isinstance(task, str) or not task:
            self.wrong(at, f"step {name}: `task` must be given, the name of a managed Task or a Task")
            task = ""
        else:
            for problem in _unknown_task(task):
                self.wrong((*at, "task"), f"step {name}: {problem}")
        parameters = self._expect(entry, "parameters", at, dict, {})
        for parameter, problem in (_unknown_parameters(task, parameters) if parameters else {}).items():
            self.wrong((*at, "parameters", parameter), f"step {name}: {problem}")
        rule, when = self._when(entry, at)
        return Step(
            task,
            name,
            needs=self._needs(entry.get("needs"), at),
            rule=rule,
            when=when,
            foreach=self._foreach(entry.get("foreach"), at),
            parameters=parameters,
            texts=self._texts_of(parameters, (*at, "parameters")),
            slurm=self._slurm(entry.get("slurm"), at, "slurm"),
            timeout=self._timeout(entry.get("timeout"), at),
            retries=self._retries(entry.get("retries"), at),
            resources=self._resources(entry.get("resources"), at),
            reuse=self._expect(entry, "reuse", at, bool, None),
        )

    def _texts_of(self, parameters: Mapping[str, Any], at: _yaml.Path) -> dict[str, str]:
        texts = self.document.texts
        return {name: texts[(*at, name)] for name in parameters if (*at, name) in texts}

    def _needs(self, value: Any, at: _yaml.Path) -> tuple[str, ...]:
        several = [value] if isinstance(value, (str, int)) else value or []
        if not isinstance(several, list):
            self.wrong((*at, "needs"), "needs: expected a list of step names")
            return ()
        return tuple(dict.fromkeys(str(item) for item in several))

    def _when(self, entry: dict[str, Any], at: _yaml.Path) -> tuple[Rule, str]:
        value = entry.get("when")
        rule, condition = Rule.ALL_SUCCEEDED.value, value
        if isinstance(value, dict):
            self._only(value, ("rule", "if"), (*at, "when"))
            rule, condition = str(value.get("rule") or rule), value.get("if")
        elif isinstance(value, str) and value in {one.value for one in Rule}:
            rule, condition = value, None
        if rule not in {one.value for one in Rule}:
            rules = [one.value for one in Rule]
            self.wrong((*at, "when"), f"rule: {rule!r} is none of {', '.join(rules)}.{did_you_mean(rule, rules)}")
            rule = Rule.ALL_SUCCEEDED.value
        return Rule(rule), self._condition(condition, (*at, "when"))

    def _condition(self, value: Any, at: _yaml.Path) -> str:
        if isinstance(value, (list, dict)):
            self.wrong(at, "when: expected a condition, a rule, or {rule: RULE, if: CONDITION}")
            return ""
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        rule = nearest(text, [one.value for one in Rule], 0.8) if text.isidentifier() else None
        try:
            if rule:
                raise WorkflowError(f"when: {text!r} is no rule. Did you mean {rule!r}?")
            if text:
                conditions.parse(text)
        except WorkflowError as error:
            self.wrong(at, str(error))
            return ""
        return text

    def _foreach(self, value: Any, at: _yaml.Path) -> Any:
        if isinstance(value, dict):
            self._only(value, ("files", "runs"), (*at, "foreach"))
            if len(value) != 1 or not isinstance(value.get("files", ""), str):
                self.wrong((*at, "foreach"), "foreach: expected a list, {files: GLOB} or {runs: 1-5,8}")
            if "runs" in value and "{{" not in str(value["runs"]):
                self._checked(value["runs"], runs_of, (*at, "foreach", "runs"))
        elif value is not None and not isinstance(value, list) and not (isinstance(value, str) and "{{" in value):
            self.wrong((*at, "foreach"), "foreach: expected a list, {files: GLOB}, {runs: 1-5,8} or '{{ ... }}'")
        return value

    def _checked(self, value: Any, check: Callable[[Any], Any], at: _yaml.Path) -> None:
        try:
            check(value)
        except WorkflowError as error:
            self.wrong(at, str(error))

    def _slurm(self, value: Any, at: _yaml.Path, key: str) -> str:
        """Returns Slurm's options as one text; a mapping is options by name."""
        if isinstance(value, dict):
            value = " ".join(shlex.quote(f"--{name}={item}") for name, item in value.items())
        if isinstance(value, list):
            self.wrong((*at, key), f"{key}: expected options as one text, such as '--ntasks=4 --time=10'")
            return ""
        try:
            shlex.split(str(value or ""))
        except ValueError as error:
            self.wrong((*at, key), f"{key}: {error}")
        return str(value or "")

    def _timeout(self, value: Any, at: _yaml.Path) -> float | None:
        if value is None:
            return None
        if not _is_number(value) or value <= 0:
            self.wrong((*at, "timeout"), "timeout: expected a number of seconds, more than 0")
            return None
        return float(value)

    def _retries(self, value: Any, at: _yaml.Path) -> Retries:
        entry = {"times": value} if not isinstance(value, dict) else value
        self._only(entry, ("times", "delay", "on"), (*at, "retries"))
        times, delay = entry.get("times") or 0, entry.get("delay") or 0
        if type(times) is not int or times < 0 or not _is_number(delay) or delay < 0:
            self.wrong((*at, "retries"), "retries: expected how often, or {times: N, delay: SECONDS, on: [FAILED, 75]}")
            return Retries()
        on = entry.get("on")
        on = on if isinstance(on, list) else [] if on is None else [on]
        known = {status.name for status in TaskStatus}
        for item in on:
            if type(item) is not int and item not in known:
                self.wrong(
                    (*at, "retries"),
                    f"retries: {item!r} is no status and no exit code.{did_you_mean(str(item), known)}",
                )
        return Retries(times, float(delay), tuple(on))

    def _resources(self, value: Any, at: _yaml.Path) -> Resources:
        if value is None:
            return Resources()
        if not isinstance(value, dict):
            self.wrong((*at, "resources"), "resources: expected {cores: N, memory: 4G}")
            return Resources()
        self._only(value, ("cores", "memory"), (*at, "resources"))
        cores, memory = value.get("cores", 1), in_bytes(value.get("memory", 0))
        if type(cores) is not int or cores < 1 or memory is None:
            self.wrong((*at, "resources"), "resources: expected {cores: N, memory: 4G}, cores from 1")
            return Resources()
        return Resources(cores, memory)

    def _expect(self, entry: Mapping[str, Any], key: str, at: _yaml.Path, kind: type, default: Any) -> Any:
        value = entry.get(key)
        if value is None:
            return default
        if not isinstance(value, kind):
            names = {dict: "a mapping", bool: "true or false"}
            self.wrong((*at, key), f"{key}: expected {names[kind]}")
            return default
        return value

    def _only(self, entry: Mapping[Any, Any], known: tuple[str, ...], at: _yaml.Path) -> None:
        for key in entry:
            if key not in known:
                message = f"{key!r} is not known here: use {', '.join(known)}.{did_you_mean(str(key), known)}"
                self.wrong((*at, key), message)

    # ----------------------------------------------------------------------------------------- the tree

    def _tree(self, value: Any, at: _yaml.Path, above: list[str], steps: dict[str, Step]) -> None:
        if isinstance(value, list):
            for number, item in enumerate(value):
                self._tree(item, (*at, number), above, steps)
            return
        if not isinstance(value, dict) or not isinstance(value.get("task_name"), str):
            self.wrong(at, "expected {task_name: NAME, slurm_params: '...', next: [...]}")
            return
        self._only(value, TREE_KEYS, at)
        name = value["task_name"]
        if name in self._path_to(steps, above):
            self.wrong(at, f"steps need each other in a circle: {name} comes after itself")
            return
        self._take_node(name, value, at, above, steps)
        self._tree(value.get("next") or [], (*at, "next"), [name], steps)

    def _path_to(self, steps: Mapping[str, Step], above: list[str]) -> set[str]:
        return set(above).union(*(_all_before(steps, name) for name in above))

    def _take_node(
        self, name: str, value: dict[str, Any], at: _yaml.Path, above: list[str], steps: dict[str, Step]
    ) -> None:
        """A node that is reached twice is one step that needs both."""
        from dataclasses import replace

        entry = {key: item for key, item in value.items() if key not in ("task_name", "next", "slurm_params")}
        slurm = self._slurm(value.get("slurm_params"), at, "slurm_params")
        step = replace(self._step(name, {"task": name, **entry}, at), slurm=slurm)
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


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _unknown_parameters(task: str, names: Iterable[Any]) -> dict[Any, str]:
    """Returns what is wrong with parameters' names, where that can be told without their values."""
    executor = managed_tasks.find(task)
    try:
        model: Any = registry.model_of(executor.task_name if executor else task)
    except TaskNotFoundError:
        return {}
    if "lute_template_cfg" in model.model_fields:
        return {}
    first = {name: path_steps(str(name))[0] if path_steps(str(name)) else "" for name in names}
    unknown = unknown_names(model, first.values())
    hint = functools.partial(did_you_mean, known=model.model_fields.keys() - {"lute_config"})
    return {name: f"{task} has no parameter {one!r}.{hint(one)}" for name, one in first.items() if one in unknown}


def _unknown_task(task: str) -> list[str]:
    """Returns what is wrong with a Task's name."""
    if managed_tasks.find(task) is not None:
        return []
    try:
        registry.model_of(task)
    except TaskNotFoundError:
        names = [*managed_tasks.known(), *(model.removesuffix("Parameters") for model in registry.models)]
        return [f"there is no managed Task and no Task {task!r}.{did_you_mean(task, names)}"]
    return []


def in_bytes(value: Any) -> int | None:
    """Returns memory in bytes: a number, or one with K, M, G or T; None if it is neither.

    >>> in_bytes("4G")
    4294967296
    """
    text = str(value).strip().upper().removesuffix("B").removesuffix("I")
    number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS and text[-1:] else (text, "")
    try:
        found = float(number) * UNITS[unit]
    except ValueError:
        return None
    return int(found) if 0 <= found < math.inf else None
