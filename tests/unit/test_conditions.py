"""Conditions of steps: what is true, what is refused, and that nothing is ever run."""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lute.config.config_file import ConfigFile
from lute.config.yaml_reader import Document
from lute.errors import WorkflowError
from lute.workflows import conditions
from lute.workflows.results import Results, Scope

GIVEN: dict[str, Any] = {
    "index": {
        "status": "COMPLETED",
        "result": {"rate": 0.5, "zero": 0, "empty": "", "none": None, "no": False, "names": ["a", "b"], "nothing": []},
        "exit_code": 0,
    },
    "my-step": {"status": "FAILED", "result": 3, "exit_code": 75},
    "2nd": {"status": "COMPLETED", "result": "two words"},
    "scan": [{"status": "COMPLETED", "result": 1}, {"status": "FAILED", "result": None}],
}


def scope(item: Any = "x") -> Scope:
    return Scope(Results(GIVEN.__getitem__, lambda: list(GIVEN)), [{"threshold": 3, "Indexer": {"radius": 2.5}}], item)


TRUE = [
    "true",
    "not false",
    "1",
    "null == null",
    "steps.index.result.rate > 0.3",
    "0.3 < steps.index.result.rate <= 0.5",
    "steps.index.status == 'COMPLETED'",
    "steps.index.status in ['COMPLETED', 'FAILED']",
    "'a' in steps.index.result.names",
    "'c' not in steps.index.result.names",
    "steps.index.result.names[1] == 'b'",
    "steps.index.result.zero == 0",
    "steps.index.result.zero < 1 and not steps.index.result.zero",
    "steps.index.exit_code == 0",
    "steps.index.result.empty == ''",
    "steps.index.result.none == null",
    "steps.index.result.none == None",
    "not steps.index.result.no",
    "not steps.index.result.nothing",
    "-1 < steps.index.result.zero",
    "false or steps.index.result.rate > 0.3",
    "{{ steps.my-step.result }} == 3",
    "{{ steps.my-step.exit_code }} in [1, 75]",
    "{{ steps.2nd.result }} == 'two words'",
    "steps['my-step'].status == 'FAILED'",
    "'FAILED' in steps.scan.status",
    "steps.scan.result[0] == 1",
    "threshold == 3",
    "Indexer.radius > 2",
    "item == 'x'",
    "(steps.index.result.rate > 0.9 or threshold > 2) and not (1 > 2)",
]
FALSE = [
    "false",
    "0",
    "''",
    "null",
    "[]",
    "not true",
    "steps.index.result.rate > 0.5",
    "steps.index.result.zero",
    "steps.index.result.empty",
    "steps.index.result.none",
    "steps.index.result.no",
    "steps.index.result.nothing",
    "1 < 2 > 3",
    "steps.index.status == 'FAILED'",
    "{{ steps.my-step.result }} > 3",
    "true and false",
]


@pytest.mark.parametrize("text", TRUE)
def test_true(text: str) -> None:
    """B3: `when:` is a condition on earlier results, on the file's own values and on the item."""
    assert scope().holds(text) is True


@pytest.mark.parametrize("text", FALSE)
def test_false(text: str) -> None:
    """B3: 0, "", null, false and an empty list are false, as values and not as what is missing."""
    assert scope().holds(text) is False


@pytest.mark.parametrize("item", [0, "", False])
def test_an_item_that_is_false_is_an_item(item: Any) -> None:
    """B3: 0, "" and false are items of a `foreach` like others."""
    assert scope(item).holds("item in [0, '', false]")
    assert not scope(item).holds("item")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("steps.index.result.rte > 1", "steps.index.result.rte"),
        ("steps.nobody.result", "steps.nobody.result"),
        ("thresold > 1", "threshold"),
        ("steps.index.result.none > 1", "cannot be judged"),
        ("steps.index.status > 1", "cannot be judged"),
        ("1 in 5", "cannot be judged"),
        ("steps.index.__class__", "__class__"),
        ("steps.index.result.names.append", "append"),
    ],
)
def test_what_cannot_be_judged_says_so(text: str, told: str) -> None:
    """B3: a missing value, or two that do not compare, is an error that names it; it is not false in silence."""
    with pytest.raises(WorkflowError, match=told):
        scope().holds(text)


REFUSED = [
    "__import__('os').system('touch evil')",
    "open('evil', 'w')",
    "steps.index.result.names.append(1)",
    "(lambda: 1)()",
    "lambda: 1",
    "().__class__.__bases__[0].__subclasses__()",
    "().__class__",
    "9**9**9**9",
    "'a' * 10**10",
    "1 + 1",
    "1 << 99999999",
    "[x for x in [1]]",
    "{1: 2}",
    "{1, 2}",
    "f'{1}'",
    "(x := 1)",
    "await x",
    "yield",
    "1 if true else 2",
    "x[1:2]",
    "*x",
    "x is y",
    "~1",
    "print",  # no call, but no name that anyone has
    "steps.my-step.result > 1",
    "steps.index.result >",
    "and",
    "x = 1",
    "import os",
    "1; 2",
    "1\n2",
    "\0",
    "(" * 300 + "1" + ")" * 300,
    "-" * 1900 + "1",
    "not " * 490 + "1",
    "x" + ".a" * 990,
    "[" * 150 + "]" * 150,
    "x " + "and x " * 10_000,
    "1" * 5000,
]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_nothing_is_run(text: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """B5: a condition is compared, never run: calls, lambdas, attributes of Python and huge texts are refused."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(WorkflowError):
        scope().holds(text)
    assert os.listdir(tmp_path) == []


def test_a_name_with_a_hyphen_gets_the_way_to_write_it() -> None:
    """B3: `steps.my-step.result` reads as a subtraction; the message says how a name with a hyphen is written."""
    with pytest.raises(WorkflowError, match=r"\{\{ .* \}\}"):
        conditions.parse("steps.my-step.result > 1")


@pytest.mark.parametrize("name", ["import", "in", "class", "is", "not", "lambda", "None", "true"])
def test_a_step_may_have_any_word_as_its_name(name: str) -> None:
    """B3: a step that is named as a word of Python is asked for in braces."""
    text = f"{{{{ steps.{name}.result }}}} == 1"
    assert conditions.names_in(text) == {f"steps.{name}.result"}
    assert Scope(Results({name: {"result": 1}}.__getitem__, lambda: [name]), []).holds(text)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("steps.index.result.rate > 0.3 and threshold < 3", {"steps.index.result.rate", "threshold"}),
        ("true or null == false", set()),
        ("{{ steps.my-step.result }} > 1", {"steps.my-step.result"}),
        ("x[0].y == 'steps.no.result'", {"x.0.y"}),
    ],
)
def test_names_in(text: str, names: set[str]) -> None:
    """B3: the steps that a condition uses are known before anything starts."""
    assert conditions.names_in(text) == names


def test_numbers_of_the_yaml_file_compare_as_numbers() -> None:
    """A5: a number of the file's own documents is a number in a condition, however it was written."""
    file = ConfigFile("c.yaml", Document({"run": 7}), Document({"cut": 1.10}, texts={("cut",): "1.10"}))
    here = Scope(Results({}.__getitem__, list), [file.tasks.value, file.header.value])
    assert here.holds("cut > 1 and run == 7")


fixed = settings(derandomize=True, database=None, deadline=None)
VALUES = st.sampled_from(["1", "0", "true", "false", "null", "''", "'a'"])
LOGIC = st.recursive(
    VALUES | st.tuples(VALUES, st.sampled_from(["==", "!="]), VALUES).map(" ".join),
    lambda inner: st.one_of(
        inner.map(lambda one: f"(not {one})"),
        st.tuples(inner, st.sampled_from(["and", "or"]), inner).map(lambda three: f"({' '.join(three)})"),
    ),
    max_leaves=12,
)


@settings(fixed, max_examples=100)
@given(st.text(max_size=60))
def test_any_text_is_judged_or_refused(text: str) -> None:
    """B5: whatever the text, there is an answer or one kind of error."""
    with contextlib.suppress(WorkflowError):
        assert scope().holds(text) in (True, False)


@settings(fixed, max_examples=200)
@given(LOGIC)
def test_logic_is_that_of_python(text: str) -> None:
    """B3: `and`, `or`, `not`, `==` mean what they mean in Python."""
    assert scope().holds(text) is bool(eval(text, {}, {"true": True, "false": False, "null": None}))
