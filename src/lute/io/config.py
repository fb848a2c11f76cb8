"""The door to `lute.config`."""

from __future__ import annotations

import os

from lute.config import config_file
from lute.config.config_file import AS_WRITTEN, Overrides, Reader
from lute.models.base import TaskParameters
from lute.record.db import read_for

__all__ = ["parse_config"]


def parse_config(
    task_name: str,
    config_path: str | os.PathLike[str],
    *,
    reader: Reader = read_for,
    overrides: Overrides = AS_WRITTEN,
) -> TaskParameters:
    """Reads and validates the parameters of one Task, with defaults from earlier results out of the record.

    Args:
        task_name: Name of the Task; its model is `<task_name>Parameters`.
        config_path: The YAML file.
        reader: Gives values of earlier results for `FromResult` defaults; the record's if not given.
        overrides: What the command line changes.

    Raises:
        ConfigError: With every problem found, each with file, line and column.
        TaskNotFoundError: There is no model of that name.
    """
    return config_file.parse_config(task_name, config_path, reader=reader, overrides=overrides)
