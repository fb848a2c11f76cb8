"""Models of the Tasks that come with `lute`, to try an installation."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from lute.models.base import TaskParameters, ThirdPartyParameters
from lute.models.fields import Field, FromResult, IsResult, Positional


class TestParameters(TaskParameters):
    """Says what it was given."""

    class CompoundVar(BaseModel):
        """A parameter made of parameters."""

        int_var: int = 1
        dict_var: dict[str, str] = {"a": "b"}

    float_var: float = Field(0.01, description="A number.")
    str_var: str = Field("test", description="A text.")
    compound_var: CompoundVar = Field(CompoundVar(), description="A parameter made of parameters.")
    throw_error: bool = Field(False, description="Raise an exception instead of finishing.")


class TestBinaryParameters(ThirdPartyParameters):
    """Runs a program that prints its argument."""

    executable: str = Field("echo", description="The program.")
    p_arg1: Annotated[int, Positional()] = Field(1, description="What it prints.")


class TestBinaryErrParameters(ThirdPartyParameters):
    """Runs a program that fails."""

    executable: str = Field("false", description="The program.")
    p_arg1: Annotated[int, Positional()] = Field(1, description="An argument that it ignores.")


class TestSocketParameters(TaskParameters):
    """Sends arrays."""

    array_size: int = Field(10000, description="Values in each array.", ge=0)
    num_arrays: int = Field(10, description="Number of arrays.", ge=0)


class TestWriteOutputParameters(TaskParameters):
    """Writes numbers to a file in the work folder."""

    class Config(TaskParameters.Config):
        """The file's name is the result."""

        set_result: bool = True

    outfile_name: Annotated[str, IsResult()] = Field("test_output.txt", description="Name of the file.")
    num_vals: int = Field(100, description="How many numbers to write.", ge=0)


class TestReadOutputParameters(TaskParameters):
    """Reads what TestWriteOutput wrote."""

    in_file: Annotated[str, FromResult("TestWriteOutput", "outfile_name")] = Field(
        description="Name of the file in the work folder; by default the one that TestWriteOutput wrote last."
    )
