import os
from pathlib import Path
from typing import Annotated, Any

from lute import Executor, Field, FromResult, IsResult, Output, Task, TaskParameters, ThirdPartyParameters
from lute.models.base import TemplateConfig


class OddParameters(TaskParameters):
    text: str = "1"
    number: float = 1e-6
    whole: int | None = 3
    old: int = None
    braces: str = "{{ not this }}"
    nested: dict[str, Any] = {"a b": [1, "1", 1.0, None, True]}
    aliased: int = Field(4, alias="other-name")
    source: Path = Path("source.txt")
    out: Annotated[Path, Output(), IsResult()] = Path("made.txt")


class Odd(Task):
    def _run(self):
        values = self._task_parameters.model_dump(exclude={"lute_config"}, mode="json")
        self.log_metric("length", len(self._task_parameters.text), "characters")
        Path(self._task_parameters.out).write_text(Path(self._task_parameters.source).read_text())
        self._result.payload = {"values": values, "cwd": os.getcwd()}


class UseParameters(TaskParameters):
    made: Annotated[dict, FromResult("Odd")]
    token: str = ""


class Use(Task):
    def _run(self):
        if not self._task_parameters.made:
            raise ValueError("nothing was made")


class SayParameters(ThirdPartyParameters):
    executable: str = "cat"
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="say.txt", output_path="said.txt")
    file: str = Field("said.txt", flag_type="")

    class Config:
        version_command = ["./version"]


OddMaker = Executor("Odd")
