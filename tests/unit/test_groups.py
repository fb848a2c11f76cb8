"""Groups of parameters of which at most one, or exactly one, may be given."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import ValidationError

from lute import AnalysisHeader, ConfigError, Field, FromResult, TaskParameters, ThirdPartyParameters
from lute.errors import ModelError
from lute.io.config import parse_config
from lute.record.rows import Earlier


class GroupedParameters(TaskParameters):
    """Wants one of two, and at most one of three."""

    class Config:
        exactly_one = [("mask", "no_mask")]
        at_most_one = [("a", "b", "c")]

    mask: Path | None = None
    no_mask: bool = False
    a: int | None = None
    b: list[str] = []
    c: str = Field("usual", alias="see")
    radius: int = 1


class EarlierOneParameters(TaskParameters):
    """Takes one of two from what another Task gave."""

    class Config(TaskParameters.Config):
        exactly_one = [("path", "text")]

    path: Annotated[str | None, FromResult("GroupedBefore")] = None
    text: str | None = None


def problems(folder: Path, tasks: str, task: str = "Grouped") -> list[tuple[int | None, int | None, str]]:
    """What is wrong with a YAML file: line, column and message."""
    path = folder / "config.yaml"
    path.write_text(f"work_dir: {json.dumps(str(folder))}\n---\n{tasks}\n")
    try:
        parse_config(task, path)
    except ConfigError as error:
        return [(one.line, one.column, one.message) for one in error.problems]
    return []


@pytest.mark.parametrize(
    "given",
    [
        "mask: m.h5",
        "no_mask: true",
        "mask: m.h5\n  no_mask: false",
        "mask: null\n  no_mask: true",
        "mask: m.h5\n  a: 0",
        "mask: m.h5\n  see: x\n  b: []",
        "mask: m.h5\n  see: ''\n  b: [x]\n  a: null",
    ],
)
def test_one_is_given(given: str, tmp_path: Path) -> None:
    """C4: None, "", False and an empty list are not given; 0 is, and what is left at its default is not."""
    assert problems(tmp_path, f"Grouped:\n  {given}") == []


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("{}", [(3, 1, "Grouped: exactly one of mask, no_mask can be given, and none is")]),
        ("\n  mask: null", [(3, 1, "Grouped: exactly one of mask, no_mask can be given, and none is")]),
        (
            "\n  mask: m\n  no_mask: true",
            [(5, 3, "Grouped: exactly one of mask, no_mask can be given, and mask, no_mask are")],
        ),
        (
            "\n  see: x\n  mask: m\n  a: 0",
            [(4, 3, "Grouped: at most one of a, b, see can be given, and a, see are")],
        ),
        (
            "\n  a: 1\n  b: [x]\n  see: usual",
            [
                (3, 1, "Grouped: exactly one of mask, no_mask can be given, and none is"),
                (6, 3, "Grouped: at most one of a, b, see can be given, and a, b, see are"),
            ],
        ),
        (
            "\n  radius: far\n  mask: m\n  no_mask: true",
            [
                (
                    4,
                    3,
                    "Grouped.radius: Input should be a valid integer, unable to parse string as an integer (got 'far')",
                ),
                (6, 3, "Grouped: exactly one of mask, no_mask can be given, and mask, no_mask are"),
            ],
        ),
    ],
)
def test_what_breaks_a_group_is_told_with_its_place(given: str, found: Any, tmp_path: Path) -> None:
    """C4: with file and line, beside all other problems; more than one stands at the last of the group."""
    assert problems(tmp_path, f"Grouped: {given}") == found


def test_nothing_is_said_of_what_is_not_known(tmp_path: Path) -> None:
    """C4: a substitution that cannot be made is the only problem then."""
    [(line, _, message)] = problems(tmp_path, "Grouped:\n  mask: '{{ nowhere }}'")
    assert (line, "nowhere" in message) == (4, True)


def test_values_of_the_environment_are_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """C4, A5: `LUTE_mask` says it as well."""
    monkeypatch.setenv("LUTE_MASK", "m.h5")
    assert problems(tmp_path, "Grouped: {}") == []
    [(_, _, message)] = problems(tmp_path, "Grouped: {no_mask: true}")
    assert "mask, no_mask are" in message


def test_a_model_made_in_python_is_judged_too(tmp_path: Path) -> None:
    """C4: there is no file, so pydantic's error names the parameter."""
    header = AnalysisHeader(work_dir=str(tmp_path))
    with pytest.raises(ValidationError, match="exactly one of mask, no_mask can be given, and none is"):
        GroupedParameters(lute_config=header)
    assert GroupedParameters(lute_config=header, no_mask=True).no_mask


def test_no_earlier_result_is_taken_where_another_is_given(tmp_path: Path) -> None:
    """C4, A5: an earlier result stands for what is not given, and never makes two of one."""

    def earlier(header: Any, task: str, param: str) -> Earlier:
        return Earlier("from before", "0123456789ab")

    from lute.config.config_file import parse_config as parse

    path = tmp_path / "config.yaml"
    for text, expected in (("{}", ("from before", None)), ("{text: mine}", (None, "mine"))):
        path.write_text(f"work_dir: {json.dumps(str(tmp_path))}\n---\nEarlierOne: {text}\n")
        found: Any = parse("EarlierOne", path, reader=earlier)
        assert (found.path, found.text) == expected


@pytest.mark.parametrize("kind", ["at_most_one", "exactly_one"])
@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([("one", "tow")], "names 'tow', which is no parameter. Did you mean 'two'?"),
        ([("one", "lute")], "names 'lute', which is no parameter"),
        (("one", "two"), "is a list of groups, such as"),
        ([("one",)], "is a list of groups, such as"),
        ([("one", "one")], "is a list of groups, such as"),
        (["one, two"], "is a list of groups, such as"),
        ("one", "is a list of groups, such as"),
    ],
)
def test_a_group_that_is_none_is_an_error_of_the_class(kind: str, groups: Any, said: str) -> None:
    """C4: found when the class is made."""
    body = {"__annotations__": {"one": int, "two": int}, "Config": type("Config", (), {kind: groups})}
    with pytest.raises(ModelError) as caught:
        type(ThirdPartyParameters)("WrongGroupParameters", (ThirdPartyParameters,), body)
    assert f"WrongGroupParameters.Config.{kind} {said}" in str(caught.value)


def test_groups_are_inherited() -> None:
    """C4: as all of `Config`."""

    class BelowParameters(GroupedParameters):
        more: int = 0

    assert BelowParameters.Config.exactly_one == [("mask", "no_mask")]
