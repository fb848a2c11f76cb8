"""The rows of the record as types. For type checkers: nothing needs this module while `lute` runs.

A run that is read with some of its columns alone (`RunStore.find(columns=...)`) has these alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias, TypedDict

JsonObject: TypeAlias = dict[str, Any]
"""What others made: parameters of a user's model, a payload. Its keys are not ours to know."""


class Progress(TypedDict):
    """How far a Task is."""

    done: float
    total: float | None
    text: str


class Metric(TypedDict):
    """A number that a Task told; `value` is None if it was not finite."""

    value: float | None
    unit: str


class Owner(TypedDict, total=False):
    """Which process keeps a row true while a run or a workflow run lives."""

    pid: int
    started: str | None
    boot: str
    cwd: str
    config: str
    job: str
    cluster: str
    on: str
    """Of a workflow run without a driver: what runs its steps, `slurm` or `airflow`."""


class FileEntry(TypedDict):
    """A file that a run read or made, as it was then; `size` in bytes, None for a folder."""

    parameter: str
    path: str
    size: int | None
    mtime: str
    digest: str | None


class CodeEntry(TypedDict):
    """A source file that a run was made of."""

    path: str
    digest: str | None
    commit: str | None
    dirty: bool | None


class KeptFile(TypedDict, total=False):
    """What stands in a payload for a value that is not JSON: the file in which it is kept."""

    type: str
    path: str | None
    size: int | None
    shape: list[int]
    dtype: str
    reason: str


class RunRow(TypedDict):
    """A run: the columns of `lute_runs`."""

    id: str
    task: str
    managed_task: str
    experiment: str
    run: str
    status: str
    reason: str
    exit_code: int | None
    signal: str | None
    summary: str
    payload: Any
    impl_schemas: str | None
    valid: bool
    parameters: JsonObject | None
    command: list[str]
    environment: dict[str, str | None]
    started: str
    ended: str | None
    wall_s: float | None
    user_s: float | None
    system_s: float | None
    max_rss_kib: int | None
    host: str
    pid: int | None
    log: str
    plots: list[str]
    metrics: dict[str, Metric]
    versions: dict[str, str]
    workflow: str | None
    step: str | None
    attempt: int
    log_tail: str | None
    owner: Owner | None
    progress: Progress | None
    invalid_reason: str | None
    sources: dict[str, str] | None
    inputs: list[FileEntry] | None
    outputs: list[FileEntry] | None
    code: list[CodeEntry] | None
    fingerprint: str | None


class StepEntry(TypedDict):
    """A step, or an instance of one, in a workflow run's row."""

    step: str
    task: str
    needs: list[str]
    rule: str
    job: str | None
    name: str
    status: str
    reason: str
    id: str | None
    attempt: int
    reused: bool
    started: str | None
    ended: str | None
    exit_code: int | None


class KeptOverrides(TypedDict):
    """What the command line changed of the YAML file of a workflow run."""

    experiment: str | None
    run: str | None
    settings: list[tuple[str, str]]
    ranks: int | None


class KeptOptions(TypedDict):
    """How a workflow run was asked for."""

    options: JsonObject
    overrides: KeptOverrides


class WorkflowRow(TypedDict):
    """A workflow run: the columns of `lute_workflows`."""

    id: str
    name: str
    file: str
    config: str
    experiment: str
    run: str
    status: str
    reason: str
    started: str
    ended: str | None
    wall_s: float | None
    host: str
    owner: Owner | None
    folder: str
    options: KeptOptions
    definition: str
    steps: list[StepEntry]


Steps: TypeAlias = Mapping[str, list[StepEntry]]
"""The entries of each step, by its name."""
