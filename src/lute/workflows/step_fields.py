"""One step of a workflow's file -> a `Step`: each of its fields read and checked, every problem with its place."""

from __future__ import annotations

import functools
import math
import shlex
from collections.abc import Iterable, Mapping
from types import NoneType
from typing import TYPE_CHECKING, Any, TypeVar

from lute import managed_tasks, plugins, registry
from lute.base.paths import split_path
from lute.config import yaml_reader
from lute.config.config_file import unknown_names
from lute.errors import Problem, TaskNotFoundError, WorkflowError, did_you_mean, nearest
from lute.graph.dag import Resources, Retries, Rule, Step
from lute.wire.results import TaskStatus
from lute.workflows import conditions
from lute.workflows.results import runs_of

if TYPE_CHECKING:
    from typing import Literal, TypedDict

    from lute.record.types import JsonObject

    class StepDocument(TypedDict, total=False):
        """A step as a file has it: its keys are known, its values may still be anything."""

        task: Any
        needs: Any
        when: Any
        foreach: Any
        parameters: Any
        slurm: Any
        timeout: Any
        retries: Any
        resources: Any
        reuse: Any
        task_name: str
        slurm_params: Any
        next: Any


Kind = TypeVar("Kind")
UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
MOST_RETRIES = 10_000
"""More than this is a mistake in a file."""


class Source:
    """A document of a workflow's file, and what is wrong with it.

    Args:
        path: The file, for messages.
        document: What was read of it.

    Attributes:
        problems: What is wrong, in the order in which it was found.
    """

    def __init__(self, path: str, document: yaml_reader.Document) -> None:
        self.path, self.document = path, document
        self.problems: list[Problem] = []

    def place(self, at: yaml_reader.Path) -> yaml_reader.Place:
        """Returns line and column of something, or of the innermost around it that is there."""
        return next(self.document.places[at[:n]] for n in range(len(at), -1, -1) if at[:n] in self.document.places)

    def wrong(self, at: yaml_reader.Path, message: str) -> None:
        """Adds a problem."""
        self.problems.append(Problem(self.path, *self.place(at), message))

    def expect(self, value: Any, at: yaml_reader.Path, kind: type[Kind], default: Kind) -> Kind:
        """Returns what a key gives if it is of a kind; else the default, and if it was given, that is a problem."""
        if value is None:
            return default
        if not isinstance(value, kind):
            names = {dict: "a mapping", bool: "true or false"}
            self.wrong(at, f"{at[-1]}: expected {names[kind]}")
            return default
        return value

    def only(self, entry: Mapping[Any, Any], known: tuple[str, ...], at: yaml_reader.Path) -> None:
        """Adds a problem for each key that a mapping may not have."""
        for key in entry:
            if key not in known:
                message = f"{key!r} is not known here: use {', '.join(known)}.{did_you_mean(str(key), known)}"
                self.wrong((*at, key), message)


class StepFields:
    """Reads the fields of one step.

    Args:
        source: The document that it is in.
        name: The step's name.
        entry: Its fields.
        at: Where they are in the document.
    """

    def __init__(self, source: Source, name: str, entry: StepDocument, at: yaml_reader.Path) -> None:
        self._source, self._name, self._entry, self._at = source, name, entry, at

    def step(self) -> Step:
        """Returns the step, as far as it could be read."""
        task = self._task()
        parameters = self._parameters(task)
        rule, when = self._when()
        return Step(
            task,
            self._name,
            needs=self._needs(),
            rule=rule,
            when=when,
            foreach=self._foreach(),
            parameters=parameters,
            texts=self._texts_of(parameters),
            slurm=self.slurm("slurm"),
            timeout=self._timeout(),
            retries=self._retries(),
            resources=self._resources(),
            reuse=self._source.expect(self._entry.get("reuse"), (*self._at, "reuse"), bool, None),
        )

    def _wrong(self, message: str, *at: str) -> None:
        self._source.wrong((*self._at, *at), message)

    def _only(self, entry: Mapping[Any, Any], known: tuple[str, ...], at: str) -> None:
        self._source.only(entry, known, (*self._at, at))

    def _task(self) -> str:
        task = self._entry.get("task")
        if not isinstance(task, str) or not task:
            self._wrong(f"step {self._name}: `task` must be given, the name of a managed Task or a Task")
            return ""
        for problem in unknown_task(task):
            self._wrong(f"step {self._name}: {problem}", "task")
        return task

    def _parameters(self, task: str) -> JsonObject:
        found = self._source.expect(self._entry.get("parameters"), (*self._at, "parameters"), dict, {})
        for parameter, problem in (_unknown_parameters(task, found) if found else {}).items():
            self._wrong(f"step {self._name}: {problem}", "parameters", parameter)
        return found

    def _texts_of(self, parameters: Iterable[str]) -> dict[str, str]:
        """Returns how the numbers among the parameters were written."""
        texts, at = self._source.document.texts, (*self._at, "parameters")
        return {name: texts[(*at, name)] for name in parameters if (*at, name) in texts}

    def _needs(self) -> tuple[str, ...]:
        value = self._entry.get("needs")
        several = [value] if isinstance(value, (str, int)) else value or []
        if not isinstance(several, list):
            self._wrong("needs: expected a list of step names", "needs")
            return ()
        return tuple(dict.fromkeys(str(item) for item in several))

    def _when(self) -> tuple[Rule, str]:
        value = self._entry.get("when")
        rule, condition = Rule.ALL_SUCCEEDED.value, value
        if isinstance(value, dict):
            self._only(value, ("rule", "if"), "when")
            rule, condition = str(value.get("rule") or rule), value.get("if")
        elif isinstance(value, str) and value in {one.value for one in Rule}:
            rule, condition = value, None
        if rule not in {one.value for one in Rule}:
            rules = [one.value for one in Rule]
            self._wrong(f"rule: {rule!r} is none of {', '.join(rules)}.{did_you_mean(rule, rules)}", "when")
            rule = Rule.ALL_SUCCEEDED.value
        return Rule(rule), self._condition(condition)

    def _condition(self, value: Any) -> str:
        if isinstance(value, (list, dict)):
            self._wrong("when: expected a condition, a rule, or {rule: RULE, if: CONDITION}", "when")
            return ""
        text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
        rule = nearest(text, [one.value for one in Rule], 0.8) if text.isidentifier() else None
        try:
            if rule:
                raise WorkflowError(f"when: {text!r} is no rule. Did you mean {rule!r}?")
            if text:
                conditions.parse(text)
        except WorkflowError as error:
            self._wrong(str(error), "when")
            return ""
        return text

    def _foreach(self) -> Any:
        value = self._entry.get("foreach")
        if isinstance(value, dict):
            self._only(value, ("files", "runs"), "foreach")
            if len(value) != 1 or not isinstance(value.get("files", ""), str):
                self._wrong("foreach: expected a list, {files: GLOB} or {runs: 1-5,8}", "foreach")
            if "runs" in value and "{{" not in str(value["runs"]):
                self._check_runs(value["runs"])
        elif value is not None and not isinstance(value, list) and not (isinstance(value, str) and "{{" in value):
            self._wrong("foreach: expected a list, {files: GLOB}, {runs: 1-5,8} or '{{ ... }}'", "foreach")
        return value

    def _check_runs(self, runs: Any) -> None:
        try:
            runs_of(runs)
        except WorkflowError as error:
            self._wrong(str(error), "foreach", "runs")

    def slurm(self, key: Literal["slurm", "slurm_params"]) -> str:
        """Returns Slurm's options, which are under a key, as one text; a mapping is options by name."""
        value = self._entry.get(key)
        if isinstance(value, dict) and not any(isinstance(item, (list, dict)) for item in value.values()):
            value = " ".join(shlex.quote(f"--{name}={item}") for name, item in value.items())
        if not isinstance(value, (str, NoneType)):
            self._wrong(f"{key}: expected options as one text, such as '--ntasks=4 --time=10', or by name", key)
            return ""
        try:
            shlex.split(str(value or ""))
        except ValueError as error:
            self._wrong(f"{key}: {error}", key)
        return str(value or "")

    def _timeout(self) -> float | None:
        value = self._entry.get("timeout")
        if value is None:
            return None
        if not _is_number(value) or value <= 0:
            self._wrong("timeout: expected a number of seconds, more than 0", "timeout")
            return None
        return float(value)

    def _retries(self) -> Retries:
        value = self._entry.get("retries")
        entry = {"times": value} if not isinstance(value, dict) else value
        self._only(entry, ("times", "delay", "on"), "retries")
        times, delay = entry.get("times") or 0, entry.get("delay") or 0
        if type(times) is not int or times < 0 or not _is_number(delay) or delay < 0:
            self._wrong("retries: expected how often, or {times: N, delay: SECONDS, on: [FAILED, 75]}", "retries")
            return Retries()
        if times > MOST_RETRIES:
            self._wrong(f"retries: expected at most {MOST_RETRIES} times, not {times}", "retries")
            return Retries()
        on = entry.get("on")
        on = on if isinstance(on, list) else [] if on is None else [on]
        known = {status.name for status in TaskStatus}
        for item in on:
            if type(item) is not int and item not in known:
                self._wrong(
                    f"retries: {item!r} is no status and no exit code.{did_you_mean(str(item), known)}", "retries"
                )
        return Retries(times, float(delay), tuple(on))

    def _resources(self) -> Resources:
        value = self._entry.get("resources")
        if value is None:
            return Resources()
        if not isinstance(value, dict):
            self._wrong("resources: expected {cores: N, memory: 4G}", "resources")
            return Resources()
        self._only(value, ("cores", "memory"), "resources")
        cores, memory = value.get("cores", 1), in_bytes(value.get("memory", 0))
        if type(cores) is not int or cores < 1 or memory is None:
            self._wrong("resources: expected {cores: N, memory: 4G}, cores from 1", "resources")
            return Resources()
        return Resources(cores, memory)


def unknown_task(task: str) -> list[str]:
    """Returns what is wrong with a Task's name."""
    if managed_tasks.find(task) is not None:
        return []
    try:
        registry.model_of(task)
    except TaskNotFoundError:
        names = [*managed_tasks.known(), *(model.removesuffix("Parameters") for model in registry.models)]
        lacking = "" if plugins.loaded() else " No plug-in is loaded: give -c FILE or -p FILE."
        return [f"there is no managed Task and no Task {task!r}.{did_you_mean(task, names)}{lacking}"]
    return []


def _unknown_parameters(task: str, names: Iterable[Any]) -> dict[Any, str]:
    """Returns what is wrong with parameters' names, where that can be told without their values."""
    executor = managed_tasks.find(task)
    try:
        model: Any = registry.model_of(executor.task_name if executor else task)
    except TaskNotFoundError:
        return {}
    if "lute_template_cfg" in model.model_fields:
        return {}
    first = {name: split_path(str(name))[0] if split_path(str(name)) else "" for name in names}
    unknown = unknown_names(model, first.values())
    hint = functools.partial(did_you_mean, known=model.model_fields.keys() - {"lute_config"})
    return {name: f"{task} has no parameter {one!r}.{hint(one)}" for name, one in first.items() if one in unknown}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


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
