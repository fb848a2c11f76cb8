"""Where in the YAML file an error of pydantic's is: told by the types of a model, not by how its fields are called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field, ValidationError
from typing_extensions import TypedDict

from lute.config.messages import yaml_path


class Beam(BaseModel):
    intensity: float = 1.0
    string: int = 0
    settings: set[int] = set()
    list_of: list[int] = []
    none_left: bool = False
    dict_size: dict[str, int] = {}


@dataclass
class Slit:
    float_width: float = 0.0


class Stage(TypedDict):
    int_x: int


class Run(BaseModel):
    beam: Beam = Beam()
    maybe: Beam | None = None
    either: Beam | int | None = None
    slit: Slit | None = None
    stage: Stage | None = None
    several: list[Beam] = []
    named: dict[str, Beam | int] = {}
    pair: tuple[int, Beam] | None = None
    aliased: Annotated[int, Field(alias="tuple-of")] = 0


@pytest.mark.parametrize(
    ("values", "places"),
    [
        ({"beam": {"intensity": "x", "string": "y"}}, {("beam", "intensity"), ("beam", "string")}),
        ({"beam": {"settings": ["x"], "none_left": 7}}, {("beam", "settings", 0), ("beam", "none_left")}),
        ({"beam": {"list_of": [1, "x"]}}, {("beam", "list_of", 1)}),
        ({"beam": {"dict_size": {"int": "x", "list[int]": "y"}}}, {("beam", "dict_size", "int"), ("beam", "dict_size", "list[int]")}),
        ({"beam": {"dict_size": {5: 1}}}, {("beam", "dict_size", 5)}),
        ({"maybe": {"intensity": "x"}}, {("maybe", "intensity")}),
        ({"either": {"intensity": "x"}}, {("either", "intensity"), ("either",)}),
        ({"slit": {"float_width": "x"}}, {("slit", "float_width")}),
        ({"stage": {"int_x": "x"}}, {("stage", "int_x")}),
        ({"several": [{}, {"string": "x"}]}, {("several", 1, "string")}),
        ({"named": {"str": {"string": "x"}}}, {("named", "str", "string"), ("named", "str")}),
        ({"pair": [1, {"intensity": "x"}]}, {("pair", 1, "intensity")}),
        ({"tuple-of": "x"}, {("tuple-of",)}),
    ],
)  # fmt: skip
def test_an_error_is_at_its_place(values: dict[str, Any], places: set[tuple[str | int, ...]]) -> None:
    """W10: fields whose names begin with the name of a type keep their places."""
    with pytest.raises(ValidationError) as caught:
        Run.model_validate(values)
    assert {yaml_path(error, Run) for error in caught.value.errors()} == places
