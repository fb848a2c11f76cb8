from pathlib import Path
from typing import Annotated

from pydantic import FilePath, field_validator, model_validator

from lute import Executor, Field, FromResult, Positional, ThirdPartyParameters

SEEN = []


class CutParameters(ThirdPartyParameters):
    """Says which cut-off it took."""

    executable: str = "echo"
    cut: Annotated[float, Positional()] = Field(gt=0)
    count: Annotated[int, Positional()] = 1
    word: Annotated[str, Positional()] = "word"

    @field_validator("word")
    @classmethod
    def _no_bad_word(cls, word):
        SEEN.append(word)
        if word == "bad" or (word.endswith(".txt") and not Path(word).exists()):
            raise ValueError(f"{word} is no good word")
        return word


class ReadParameters(ThirdPartyParameters):
    """Shows a file that must be there."""

    executable: str = "cat"
    in_file: Annotated[FilePath | int, Positional()]


class NeedParameters(ThirdPartyParameters):
    """Takes what `Cut` gave."""

    executable: str = "echo"
    cut: Annotated[float, FromResult("Cut", "cut"), Positional()]


class LostParameters(ThirdPartyParameters):
    """Takes what no step of the workflow gives."""

    executable: str = "echo"
    cut: Annotated[float, FromResult("Nobody", "cut"), Positional()]


class FoundParameters(ThirdPartyParameters):
    """Finds its parameter by itself, once it is there."""

    executable: str = "cat"
    in_file: Annotated[str, Positional()]

    @model_validator(mode="before")
    @classmethod
    def _find(cls, values):
        found = [str(path) for path in Path(".").glob("made.*")]
        return {"in_file": found[0], **values} if found else values


Cutter = Executor("Cut")
Reader = Executor("Read")
Needer = Executor("Need")
Loser = Executor("Lost")
Finder = Executor("Found")
