"""The YAML file that would run a run again: every value comes back as it was recorded."""

from __future__ import annotations

from typing import Any

import pytest

from lute.base.formatting import read_scalar
from lute.config import yaml_reader
from lute.config.substitution import Substituter
from lute.errors import UsageError
from lute.publish import rerun_yaml
from lute.record import headers

ODD: dict[str, Any] = {
    "int": 1,
    "float": 1.0,
    "small": 1e-06,
    "large": 1e300,
    "huge": 2**70,
    "minus zero": -0.0,
    "none": None,
    "true": True,
    "false": False,
    "nothing": "",
    "space": " ",
    "lists": [1, "1", 1.5, [], {}, [[None]], "null"],
    "map": {"a b": 1, "1": 2, "null": 3, "yes": 4, "a:b": {"q": [{"z": 1}]}, "": 5, "<<": 6, "{{ x }}": 7},
    "é☃": "é☃😀",
    "long": "x " * 2000,
    "odd bytes": "\0\x07\x1b\x7f\x85\u2028\ufeff\ufffe",
    "lines": "one\n  two\n\n---\n...\n\ttab \r\n",
}
LOOKS_OTHERWISE = (
    "1",
    "1.0",
    "1e-3",
    "0x1f",
    "0o17",
    "0012",
    "12:30",
    "no",
    "null",
    "~",
    "true",
    ".nan",
    ".inf",
    "1_000",
)
LOOKS_LIKE_YAML = (
    "# no",
    "- a",
    "a: b",
    "[a]",
    "{a: b}",
    "*a",
    "&a",
    "!x",
    "%YAML",
    "'",
    '"q" \\ \'',
    "|",
    "> x",
    "<<",
    "@x",
    "`",
)
BRACES = ("{{ x }}", "{{", "}}", "{{{ x }}}", "a {{ $HOME }} b {{ run:04d }}", '{{ "{{" }}', "{ x }")


def row(**parameters: Any) -> dict[str, Any]:
    """A row of the record, as far as the YAML is made from it."""
    header = {"experiment": "exp1", "run": 7, "title": "{{ not this }}", "plugins": [], "database": ""}
    return {
        "id": "0123456789ab",
        "task": "Odd",
        "started": "2026-11-23T03:36:26.000000Z",
        "log": "/data/lute.runs/2026-11-23/0123456789ab/log",
        "parameters": {"lute_config": header, **parameters},
        "code": [],
        "owner": {},
    }


def read_back(text: str) -> list[Any]:
    """The two documents of a file, with substitutions made as for a run."""
    documents = [document.value for document in yaml_reader.read_documents(text, "exported.yaml")]
    return [Substituter(documents[::-1], {"HOME": "wrong"}, read_scalar).value(one) for one in documents]


def typed(value: Any) -> Any:
    """A value with its types, so that 1, 1.0 and true are not equal."""
    if isinstance(value, dict):
        return {key: typed(item) for key, item in value.items()}
    return [typed(item) for item in value] if isinstance(value, list) else (type(value), repr(value))


@pytest.mark.parametrize("value", [*ODD.values(), *LOOKS_OTHERWISE, *LOOKS_LIKE_YAML, *BRACES])
def test_every_value_comes_back_with_its_type(value: Any) -> None:
    """Issue 5.2: the exported file has the parameters as recorded; `{{` in them is no substitution."""
    header, tasks = read_back(rerun_yaml.as_yaml(row(value=value, nested={"value": [value]})))
    assert typed(tasks) == typed({"Odd": {"value": value, "nested": {"value": [value]}}})
    assert header["title"] == "{{ not this }}"
    assert header["work_dir"] == "/data"
    assert typed(header["run"]) == typed(7)


def test_what_yaml_cannot_hold_is_an_error() -> None:
    """Issue 5.2: a byte that is not UTF-8 cannot be written, and that is said."""
    with pytest.raises(UsageError, match="not UTF-8"):
        rerun_yaml.as_yaml(row(name="\udc80"))


def test_a_run_without_parameters_cannot_be_exported() -> None:
    with pytest.raises(UsageError, match="without parameters"):
        rerun_yaml.as_yaml({**row(), "parameters": None})


@pytest.mark.parametrize(
    ("named", "files", "expected"),
    [
        (["tasks.py"], ["/p/tasks.py"], ["/p/tasks.py"]),
        ("tasks.py", [], ["/p/tasks.py"]),
        (["../q/tasks.py"], ["/q/tasks.py"], ["/q/tasks.py"]),
        (["pkg.mod"], ["/lib/pkg/mod.py"], ["pkg.mod"]),
        (["pkg"], ["/lib/pkg/__init__.py", "/x/more.py"], ["pkg", "/x/more.py"]),
        ([], ["/x/more.py"], ["/x/more.py"]),
    ],
)
def test_plugins_are_told_so_that_they_are_found_from_anywhere(
    named: Any, files: list[str], expected: list[str]
) -> None:
    one = row()
    one["parameters"]["lute_config"]["plugins"] = named
    one |= {"code": [{"path": path} for path in files], "owner": {"config": "/p/config.yaml"}}
    assert headers.plugins_of(one) == expected


def test_the_password_of_the_record_is_nowhere() -> None:
    """B5: no secrets; the record keeps the URL without its password, and so does the file."""
    one = row()
    one["parameters"]["lute_config"]["database"] = "postgresql://me@host/db"
    assert read_back(rerun_yaml.as_yaml(one))[0]["database"] == "postgresql://me@host/db"


def test_parameters_that_held_a_secret_are_named() -> None:
    assert rerun_yaml.hidden(row(plain="a", nested={"b": ["*** c"]}, stars="**")) == ["nested"]
