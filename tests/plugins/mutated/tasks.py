"""Four Tasks of five: they depend on a Task's own module, a template, files of others and a pattern of outputs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from lute import (
    Executor,
    FromResult,
    Output,
    Positional,
    TaskParameters,
    TemplateConfig,
    ThirdPartyParameters,
)


class SplitParameters(ThirdPartyParameters):
    """Writes several files."""

    executable: str = "./split.sh"
    in_file: Annotated[Path, Positional(), FromResult("Find", "out")]
    parts: Annotated[str, Output(glob=True, at_least=2)] = "out/part-*.txt"


class ConfiguredParameters(ThirdPartyParameters):
    """Copies its configuration, which is rendered from a template."""

    executable: str = "./copy.sh"
    config: Annotated[str, Positional()] = "out/config.txt"
    out: Annotated[str, Positional(), Output()] = "out/configured.txt"
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="config.j2", output_path="out/config.txt")


class AloneParameters(TaskParameters):
    """Runs in a module of its own."""

    in_file: Path = Path("alone.txt")
    out: Annotated[Path, Output()] = Path("out/alone.txt")

    class Config(TaskParameters.Config):
        """The parent never imports it."""

        task_module: str = "alone"


class JoinParameters(ThirdPartyParameters):
    """Joins files."""

    executable: str = "./join.sh"
    out: Annotated[str, Positional(), Output()] = "out/joined.txt"
    files: Annotated[list[Path], Positional()] = []


Splitter = Executor("Split")
Configured = Executor("Configured")
Configured.update_environment({"GREETING": "hello"})
AloneRunner = Executor("Alone")
Joiner = Executor("Join")
