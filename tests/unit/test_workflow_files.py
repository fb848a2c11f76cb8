"""Workflow files -> checked steps: the flat form, the tree, names of plug-ins, and every problem with its place."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import pytest

from lute import (
    ConfigError,
    Executor,
    Positional,
    Resources,
    Retries,
    Rule,
    Task,
    TaskParameters,
    ThirdPartyParameters,
    Workflow,
    plugins,
    registry,
)
from lute.config.config_file import read_config
from lute.errors import Problem, WorkflowError
from lute.workflows import definition


class FlowIndexParameters(ThirdPartyParameters):
    """A program."""

    executable: str = "true"
    threshold: float = 1.0
    in_file: Annotated[str, Positional()] = ""


class FlowMergeParameters(TaskParameters):
    """A Task in Python."""

    cut: float = 1.0


class FlowMerge(Task):
    """Does nothing."""

    def _run(self) -> None:
        pass


@pytest.fixture(autouse=True)
def _managed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two managed Tasks, as a plug-in has them."""
    monkeypatch.setitem(registry.managed, "Indexer", Executor("FlowIndex"))
    monkeypatch.setitem(registry.managed, "Merger", Executor("FlowMerge"))


def parse(text: str) -> Workflow:
    return definition.parse(text, "flow.yaml")


def problems(text: str) -> list[Problem]:
    with pytest.raises(ConfigError) as error:
        parse(text)
    return error.value.problems


def needs_of(workflow: Workflow) -> dict[str, list[str]]:
    return {name: sorted(step.needs) for name, step in workflow.steps.items()}


# -------------------------------------------------------------------------------------- the flat form

FULL = """
name: night
limits: { Indexer: 2 }
steps:
  join: { task: Merger, needs: [index, scan], when: { rule: all_done, if: "steps.index.result > 3" } }
  index:
    task: Indexer
    slurm: "--ntasks=4 --comment='two words'"
    timeout: 30
    retries: { times: 2, delay: 1.5, on: [FAILED, 75] }
    resources: { cores: 2, memory: 1.5G }
    parameters: { threshold: 3, in_file: "{{ run:04d }}.h5" }
    reuse: false
  scan: { task: FlowMerge, needs: index, foreach: [1.2, 1.5], when: any_succeeded, parameters: { cut: "{{ item }}" } }
  alone: Merger
  again: { task: Indexer, retries: 3, when: false, slurm: { time: "10:00", ntasks: 2 } }
"""


def test_the_flat_form() -> None:
    """B3: a mapping of step names to steps, every key of it."""
    flow = parse(FULL)
    assert (flow.name, dict(flow.limits), flow.path) == ("night", {"Indexer": 2}, str(Path("flow.yaml").absolute()))
    assert needs_of(flow) == {
        "index": [],
        "alone": [],
        "again": [],
        "scan": ["index"],
        "join": ["index", "scan"],
    }
    assert list(flow.steps).index("scan") < list(flow.steps).index("join")
    index, scan, join, again = (flow.steps[name] for name in ("index", "scan", "join", "again"))
    assert (index.task, index.timeout, index.reuse) == ("Indexer", 30.0, False)
    assert index.slurm == "--ntasks=4 --comment='two words'"
    assert index.retries == Retries(2, 1.5, ("FAILED", 75))
    assert index.resources == Resources(2, 3 << 29)
    assert index.parameters == {"threshold": 3, "in_file": "{{ run:04d }}.h5"}
    assert (scan.rule, scan.foreach, scan.when, scan.reuse) == (Rule.ANY_SUCCEEDED, [1.2, 1.5], "", None)
    assert (join.rule, join.when) == (Rule.ALL_DONE, "steps.index.result > 3")
    assert (again.retries, again.when, again.slurm) == (Retries(3), "false", "--time=10:00 --ntasks=2")


@pytest.mark.parametrize(("written", "when"), [("0", "0"), ("false", "false"), ("true", "true"), ("''", ""), ("", "")])
def test_when_that_is_no_text(written: str, when: str) -> None:
    """B3: 0 and false are conditions; nothing and "" are none."""
    assert parse(f"steps: {{a: {{task: Merger, when: {written}}}}}").steps["a"].when == when


@pytest.mark.parametrize(
    ("on", "kept"), [("0", (0,)), ("TIMEDOUT", ("TIMEDOUT",)), ("[]", ()), ("[0, FAILED]", (0, "FAILED"))]
)
def test_what_is_retried(on: str, kept: tuple[Any, ...]) -> None:
    """B3: exit code 0 is a value."""
    assert parse(f"steps: {{a: {{task: Merger, retries: {{times: 1, on: {on}}}}}}}").steps["a"].retries.on == kept


@pytest.mark.parametrize("name", ["1", "2nd", "my-step", "été", "import"])
def test_names(name: str) -> None:
    """B3: a step's name may be a number, have a hyphen, or be of any language."""
    assert list(parse(f"steps: {{{name}: Merger, b: {{task: Merger, needs: {name}}}}}").steps) == [name, "b"]


def test_anchors() -> None:
    """B3: what YAML has to say a thing once can be used."""
    flow = parse("steps:\n  a: &base {task: Indexer, timeout: 5}\n  b: {<<: *base, needs: a, timeout: 6}\n")
    assert [step.timeout for step in flow.steps.values()] == [5, 6]


# ------------------------------------------------------------------------------------------- the tree

TREE = """
task_name: Indexer
slurm_params: "--ntasks=4"
next:
  - task_name: Merger
    slurm_params: ""
    next: [{ task_name: FlowMerge, slurm_params: "--mem=1G", next: [] }]
  - task_name: FlowIndex
    timeout: 5
    next: [{ task_name: FlowMerge }]
"""


def test_the_tree() -> None:
    """B3: the tree that people have; a node that is reached twice is one step."""
    flow = parse(TREE)
    assert needs_of(flow) == {
        "Indexer": [],
        "Merger": ["Indexer"],
        "FlowIndex": ["Indexer"],
        "FlowMerge": ["FlowIndex", "Merger"],
    }
    assert [step.slurm for step in flow.steps.values()] == ["--ntasks=4", "", "", "--mem=1G"]
    assert flow.steps["FlowIndex"].timeout == 5


def test_a_list_of_trees() -> None:
    """B3: several trees side by side."""
    flow = parse(
        "- {task_name: Indexer, next: [{task_name: FlowMerge}]}\n- {task_name: Merger, next: [{task_name: FlowMerge}]}\n"
    )
    assert needs_of(flow) == {"Indexer": [], "Merger": [], "FlowMerge": ["Indexer", "Merger"]}


@pytest.mark.parametrize(
    "text",
    [
        "!LUTE_DAG\n" + TREE.lstrip(),
        "!LUTE_DAG\n- " + TREE.lstrip().replace("\n", "\n  "),
        "title: x\nexperiment: e\n---\nFlowIndex: {threshold: 2}\n--- !LUTE_DAG\n" + TREE.lstrip(),
        "--- !LUTE_DAG\n" + TREE.lstrip() + "---\ntitle: x\n---\n{}\n",
    ],
    ids=["alone", "in a list", "after header and parameters", "before them"],
)
def test_a_marked_document(text: str, tmp_path: Path) -> None:
    """B3: a document marked `!LUTE_DAG` is a workflow, alone, as a list, and in the file of the parameters."""
    assert needs_of(parse(text))["FlowMerge"] == ["FlowIndex", "Merger"]
    if "title" in text:
        (tmp_path / "c.yaml").write_text(text)
        assert read_config(tmp_path / "c.yaml").header.value["title"] == "x"


def test_a_tree_reached_by_another_way_may_close_a_circle() -> None:
    """B3: a circle in a tree is an error at the node that closes it."""
    [one] = problems(
        "task_name: Indexer\nnext:\n- {task_name: Merger, next: [{task_name: FlowMerge}]}\n"
        "- task_name: FlowMerge\n  next:\n  - task_name: Merger\n"
    )
    assert (one.line, "circle" in one.message, "Merger" in one.message) == (6, True, True)


# --------------------------------------------------------------------------------------- every problem

BAD = [
    # a step's lines, the line of the problem, what is told
    ("a: { task: Indxer }", 1, "'Indxer'.*Indexer"),
    ("a: { task: Indexer }\n  b: { task: Merger, needs: [c, aa] }", 2, "b needs 'c', which is no step"),
    ("index: { task: Indexer }\n  b: { task: Merger, needs: [indx] }", 2, "'indx'.*'index'"),
    ("a: { task: Indexer, neds: [b] }", 1, "'neds' is not known here.*'needs'"),
    ("a: { needs: [] }", 1, "`task` must be given"),
    ("a: 3", 1, "expected {task: NAME"),
    ("a: { task: 3 }", 1, "`task` must be given"),
    ("a: { task: Indexer, needs: {b: 1} }", 1, "expected a list of step names"),
    ("a: { task: Indexer }\n  a: { task: Merger }", 2, "'a' stands here a second time"),
    ("1: Indexer\n  '1': Merger", 2, "1 stands here a second time"),
    ("a/b: { task: Indexer }", 1, "letters, digits"),
    ("a: { task: Indexer, when: 'steps.b.result > 1' }\n  b: Merger", 1, "'b', which is not among what it needs"),
    ("a: Indexer\n  b: { task: Merger, parameters: { cut: '{{ steps.a.result }}' } }", 2, "'a', which is not among"),
    (
        "index: Indexer\n  b: { task: Merger, needs: index, foreach: '{{ steps.indx.result }}' }",
        2,
        "'indx', which is no step.*'index'",
    ),
    ("a: { task: Indexer, when: 'open(1)' }", 1, "Call is not part of a condition"),
    ("a: { task: Indexer, when: '1 >' }", 1, "is no condition"),
    ("a: { task: Indexer, when: all_don }", 1, "'all_don'.*'all_done'"),
    ("a: { task: Indexer, when: { rule: all_don } }", 1, "'all_don' is none of.*'all_done'"),
    ("a: { task: Indexer, when: { iff: 'true' } }", 1, "'iff' is not known here"),
    ("a: { task: Indexer, when: [true] }", 1, "when: expected"),
    ("a: { task: Indexer, when: { if: [true] } }", 1, "when: expected"),
    ("a: { task: Indexer, foreach: 3 }", 1, "foreach: expected"),
    ("a: { task: Indexer, foreach: 'x' }", 1, "foreach: expected"),
    ("a: { task: Indexer, foreach: { file: '*.h5' } }", 1, "'file' is not known here.*'files'"),
    ("a: { task: Indexer, foreach: { files: [1] } }", 1, "foreach: expected"),
    ("a: { task: Indexer, foreach: { files: '*', runs: 1 } }", 1, "foreach: expected"),
    ("a: { task: Indexer, foreach: { runs: one } }", 1, "runs: 'one'"),
    ("a: { task: Indexer, foreach: { runs: 5-1 } }", 1, "runs: '5-1'"),
    ("a: { task: Indexer, foreach: { runs: 1-999999999999 } }", 1, "more than"),
    ("a: { task: Indexer, parameters: [1] }", 1, "parameters: expected a mapping"),
    ("a: { task: Indexer, parameters: { treshold: 1 } }", 1, "no parameter 'treshold'.*'threshold'"),
    ("a: { task: FlowMerge, parameters: { cutt: 1 } }", 1, "no parameter 'cutt'.*'cut'"),
    ("a: { task: Indexer, timeout: -1 }", 1, "timeout: expected"),
    ("a: { task: Indexer, timeout: 0 }", 1, "timeout: expected"),
    ("a: { task: Indexer, timeout: true }", 1, "timeout: expected"),
    ("a: { task: Indexer, timeout: .nan }", 1, "timeout: expected"),
    ("a: { task: Indexer, timeout: .inf }", 1, "timeout: expected"),
    ("a: { task: Indexer, timeout: '5' }", 1, "timeout: expected"),
    ("a: { task: Indexer, retries: -1 }", 1, "retries: expected"),
    ("a: { task: Indexer, retries: 1.5 }", 1, "retries: expected"),
    ("a: { task: Indexer, retries: true }", 1, "retries: expected"),
    ("a: { task: Indexer, retries: { times: 1, delay: .inf } }", 1, "retries: expected"),
    ("a: { task: Indexer, retries: { times: 1, delay: true } }", 1, "retries: expected"),
    ("a: { task: Indexer, retries: { tmes: 1 } }", 1, "'tmes' is not known here.*'times'"),
    ("a: { task: Indexer, retries: { times: 1, on: [FAILD] } }", 1, "'FAILD'.*'FAILED'"),
    ("a: { task: Indexer, retries: { times: 1, on: true } }", 1, "True is no status"),
    ("a: { task: Indexer, resources: 3 }", 1, "resources: expected"),
    ("a: { task: Indexer, resources: { core: 3 } }", 1, "'core' is not known here.*'cores'"),
    ("a: { task: Indexer, resources: { cores: 0 } }", 1, "resources: expected"),
    ("a: { task: Indexer, resources: { cores: 1.5 } }", 1, "resources: expected"),
    ("a: { task: Indexer, resources: { memory: -1 } }", 1, "resources: expected"),
    ("a: { task: Indexer, resources: { memory: many } }", 1, "resources: expected"),
    ("a: { task: Indexer, resources: { memory: .inf } }", 1, "resources: expected"),
    ('a: { task: Indexer, slurm: "--comment=\'x" }', 1, "slurm: No closing quotation"),
    ("a: { task: Indexer, slurm: [--ntasks=4] }", 1, "slurm: expected"),
    ("a: { task: Indexer, slurm: 3 }", 1, "slurm: expected"),
    ("a: { task: Indexer, slurm: true }", 1, "slurm: expected"),
    ("a: { task: Indexer, slurm: { time: [10] } }", 1, "slurm: expected"),
    ("a: { task: Indexer, retries: 99999999999 }", 1, "retries: expected at most 10000 times"),
    ("a: { task: Indexer, retries: { times: 10001 } }", 1, "retries: expected at most 10000 times"),
    ("a: { task: Indexer, reuse: 1 }", 1, "reuse: expected true or false"),
    ("a: !!python/object:os.system { task: Indexer }", 1, "has no meaning here"),
]


@pytest.mark.parametrize(("steps", "line", "told"), BAD, ids=lambda value: str(value)[:40])
def test_a_problem_has_its_place(steps: str, line: int, told: str) -> None:
    """B3: what is wrong with a step is told with file, line and column, and the nearest name, before anything starts."""
    found = problems(f"steps:\n  {steps}\n")
    assert any(re.search(told, one.message) for one in found), found
    match = next(one for one in found if re.search(told, one.message))
    assert (match.file, match.line) == ("flow.yaml", line + 1)
    assert match.column is not None
    assert match.column > 1, "the place in the step, not the line's start"


def test_all_problems_at_once() -> None:
    """B3: every problem of a file is told at once, in the order of the file."""
    found = problems(
        "limts: {}\nsteps:\n  a: { task: Indxer, timeout: -1 }\n  b: { task: Merger, needs: [x], retries: -1 }\n"
    )
    assert [one.line for one in found] == [1, 3, 3, 4, 4]


def test_a_circle_points_at_a_step_in_it() -> None:
    """B3: a circle is shown, at one of its steps."""
    [one] = problems(
        "steps:\n  z: Indexer\n  a: {task: Indexer, needs: [z, c]}\n  b:\n    task: Indexer\n    needs: a\n"
        "  c: {task: Merger, needs: b}\n"
    )
    assert one.line == 3
    circle = one.message.rpartition(": ")[2].split(" -> ")
    assert {tuple(pair) for pair in pairwise(circle)} == {("a", "b"), ("b", "c"), ("c", "a")}


@pytest.mark.parametrize(
    ("text", "line", "told"),
    [
        ("", 1, "expected one workflow"),
        ("{}", 1, "expected `steps:`"),
        ("steps:", 1, "expected `steps:`"),
        ("steps: []", 1, "expected `steps:`"),
        ("steps: {}", 1, "expected `steps:`"),
        ("a: 1\n---\nb: 2\n", 1, "expected one workflow"),
        ("steps: {a: Indexer}\nlimits: {Indexer: 0}", 2, "number from 1"),
        ("steps: {a: Indexer}\nlimits: {Indxer: 1}", 2, "'Indexer'"),
        ("steps: {a: Indexer}\nlimits: 3", 2, "limits: expected a mapping"),
        ("steps: {a: Indexer}\nsteps: {b: Indexer}", 2, "a second time"),
        ("steps: {a: Indexer}\nname: [1]", 2, "name: expected a text"),
        ("steps: {a: [}", 1, "not YAML"),
        ("task_name: Indexer\nnext: [{task_nme: Merger}]", 2, "expected {task_name"),
        ("task_name: Indexer\nnext:\n- {task_name: Mergr}", 3, "'Mergr'.*Merger"),
        ("task_name: Indexer\nnext:\n- {task_name: Merger, nxt: []}", 3, "'nxt' is not known here"),
        ("task_name: Indexer\nnext:\n- {task_name: Indexer}", 3, "circle"),
        ("- {task_name: Indexer, slurm_params: a}\n- {task_name: Indexer, slurm_params: b}", 2, "different slurm"),
        ("- {task_name: Merger, parameters: {cut: 1}}\n- {task_name: Merger, parameters: {cut: 2}}", 2, "twice"),
        ("task_name: Merger\nparameters: {cut: '{{ steps.Indexer.result }}'}", 2, "'Indexer', which is no step"),
        ("!LUTE_DAG\n- 3", 2, "expected {task_name"),
    ],
)
def test_a_file_that_is_no_workflow(text: str, line: int, told: str) -> None:
    """B3: what is no workflow says what was expected, and where."""
    found = problems(text)
    assert any(one.line == line and re.search(told, one.message) for one in found), found


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """B3: no file, and bytes that are no text."""
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        definition.load(str(tmp_path / "none.yaml"))
    (tmp_path / "bytes.yaml").write_bytes(b"steps: \xff\xfe")
    with pytest.raises(ConfigError, match=r"bytes\.yaml: cannot be read"):
        definition.load(str(tmp_path / "bytes.yaml"))


# ---------------------------------------------------------------------------------- names of plug-ins


def test_workflows_of_a_plug_in(tmp_path: Path) -> None:
    """B3: a `Workflow`, or a chain, in a plug-in is a workflow by its name; an unknown one gets the nearest."""
    (tmp_path / "flows_of_test.py").write_text(
        "from lute import Step, Workflow\n"
        "nightly = Step('Indexer', 'index') >> Step('Merger')\n"
        "daily = Workflow.of([Step('Indexer'), Step('Merger')], 'daily', {'Indexer': 1})\n"
        "broken = Step('Indxer') >> Step('Merger')\n"
    )
    plugins.load(str(tmp_path / "flows_of_test.py"))
    assert needs_of(definition.load("nightly")) == {"index": [], "Merger": ["index"]}
    assert definition.load("daily").limits == {"Indexer": 1}
    with pytest.raises(WorkflowError, match="nightly"):
        definition.load("nigthly")
    with pytest.raises(WorkflowError, match=r"'Indxer'.*Indexer"):
        definition.load("broken")
