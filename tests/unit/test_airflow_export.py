"""A workflow as a DAG file: pure text, with Airflow's words for our rules and nothing that can get out of its quotes."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from lute.errors import WorkflowError
from lute.graph.dag import Rule, Step, Workflow
from lute.workflows.engines.airflow import LONGEST, Export, as_dag, dag_id_of

KEPT = Path(__file__).resolve().parents[1] / "data" / "counts_dag.txt"
ODD = ["a'b", 'a"b', 'a"""b', "a\nb", "a\\", "a{b}{{c}}", "a b", "é中", "#", "a'); import os; ('"]


def steps_in(text: str) -> dict[str, dict[str, object]]:
    """Returns what each `LuteStep` of a DAG file is given, and `teardown`."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Dict):
            for key, call in zip(node.keys, node.values, strict=True):
                if isinstance(call, ast.Call) and "LuteStep" in ast.unparse(call.func):
                    inner = call.func.value if isinstance(call.func, ast.Attribute) else call
                    given = {word.arg: ast.literal_eval(word.value) for word in inner.keywords}
                    found[ast.literal_eval(key)] = given | {"teardown": inner is not call}
    return found


def test_the_file_is_as_it_was() -> None:
    """B3: the DAG file, compared with a kept copy; if a change is meant, write `KEPT` anew."""
    steps = [
        Step("LineSorter", name="sort"),
        Step("Keeper", name="keep", needs=("sort",), foreach=[50, 100], parameters={"limit": "{{ item }}"}),
        Step("Counter", name="count", needs=("keep",), when="steps.sort.status == 'COMPLETED'"),
        Step("Teller", name="told", needs=("sort", "keep"), rule=Rule.ANY_FAILED),
        Step("Cleaner", name="clean-up", needs=("count", "told"), rule=Rule.ALWAYS),
    ]
    text = as_dag(Workflow.of(steps, name="counts"), Export("/home/you/counts.yaml", "/home/you/config.yaml"))
    assert text == KEPT.read_text(encoding="utf-8")


@pytest.mark.parametrize("odd", ODD)
def test_no_text_gets_out_of_its_quotes(odd: str) -> None:
    """B5: what stands in a path, a name or a condition is data in the DAG file, whatever characters it has."""
    step = Step(odd, name="step", foreach=odd, when=f"steps.a.result == {odd!r}")
    export = Export(f"/{odd}.yaml", f"/{odd}/c.yaml", (odd,), "local", odd, odd, odd, odd)
    text = as_dag(Workflow(odd, {"step": step}), export)
    plain = as_dag(Workflow("x", {"step": Step("X", name="step")}), Export("/x", "/x"))
    assert [type(node) for node in ast.parse(text).body] == [type(node) for node in ast.parse(plain).body]
    assert odd in str(steps_in(text)["step"]["doc_md"])
    values = [node.value for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant)]
    assert {f"/{odd}.yaml", f"/{odd}/c.yaml", odd} <= set(values)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (Rule.ALL_SUCCEEDED, ("all_success", False)),
        (Rule.ANY_SUCCEEDED, ("one_success", False)),
        (Rule.ALL_DONE, ("all_done", False)),
        (Rule.ANY_FAILED, ("one_failed", False)),
        (Rule.ALWAYS, (None, True)),
    ],
)
def test_rules_have_airflow_s_names(rule: Rule, expected: tuple[str | None, bool]) -> None:
    """B3: trigger rules are Airflow's own; `always` runs also in a DAG run that was stopped, as a teardown does."""
    workflow = Workflow.of([Step("A"), Step("B", needs=("A",), rule=rule)])
    step = steps_in(as_dag(workflow, Export("w", "c")))["B"]
    assert (step.get("trigger_rule"), step["teardown"]) == expected


def test_a_step_that_needs_none_waits_for_the_start_whatever_its_rule() -> None:
    """B3: a root's rule is for `lute` to judge: for Airflow it needs the first task, which must have succeeded."""
    text = as_dag(Workflow.of(Step("A", rule=Rule.ANY_FAILED)), Export("w", "c"))
    assert steps_in(text)["A"]["trigger_rule"] == "all_success"
    assert "    start >> steps['A']\n" in text


def test_names_are_those_that_airflow_takes() -> None:
    """B3: a workflow's name becomes a DAG's id; a step's name that is too long is told."""
    assert [dag_id_of(name) for name in ("scan", "a b/c", "x" * 300)] == ["scan", "a_b_c", "x" * LONGEST]
    with pytest.raises(WorkflowError, match="at most 250 characters"):
        as_dag(Workflow.of(Step("A", name="x" * 251)), Export("w", "c"))
