"""The rows of the record as types. For type checkers: nothing needs this module while `lute` runs.

A run that is read with some of its columns alone (`RunStore.find(columns=...)`) has these alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NotRequired, TypeAlias, TypedDict

JsonObject: TypeAlias = dict[str, Any]
"""What others made: parameters of a user's model, a payload. Its keys are not ours to know."""


Scalar: TypeAlias = str | int | float | bool | None
"""What a parameter can be compared with."""


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
    plugins: list[str]
    job: str
    cluster: str
    on: str
    """Of a workflow run without a driver: what runs its steps, `slurm` or `airflow`."""


class FileEntry(TypedDict):
    """A file or folder that a run read or made, as it was then; `size` in bytes, None for a folder.

    Of a folder: how many files it has at any depth, their bytes and newest time, the SHA-256 of their listing as
    `digest`, where that listing is, and whether it has the digests of the files.
    """

    parameter: str
    path: str
    size: int | None
    mtime: str
    digest: str | None
    count: NotRequired[int]
    bytes: NotRequired[int]
    newest: NotRequired[str]
    listing: NotRequired[str]
    digests: NotRequired[bool]


class OutputEntry(FileEntry):
    """A file or folder that a run wrote; the pattern that it fits, and the later run that wrote it again.

    `written` is false where it is not known that this run wrote it: it may be old, or is a result and no output.
    """

    pattern: NotRequired[str]
    replaced_by: NotRequired[str]
    written: NotRequired[bool]


class CodeEntry(TypedDict):
    """A source file that a run depends on, as it was compiled; what an older `lute` recorded has no module."""

    module: NotRequired[str]
    path: str
    digest: str | None
    commit: str | None
    dirty: bool | None


class KeptFile(TypedDict, total=False):
    """What stands in a payload for a value that is not JSON: the file in which it is kept.

    Where there are many, `path` is an archive and `member` a name in it. `columns` and `dtypes` are of a table.
    """

    type: str
    path: str | None
    member: str
    size: int | None
    shape: list[int]
    dtype: str
    columns: list[str]
    dtypes: list[str]
    reason: str
    text: str


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
    outputs: list[OutputEntry] | None
    code: list[CodeEntry] | None
    fingerprint: str | None
    also: list[str] | None
    given: JsonObject | None
    """The parameters as they were given, each as `lute.record.values` has it."""
    exact: JsonObject | None
    """Those validated parameters whose plain form is not all that they are, as `lute.record.values` has them."""


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
    plugins: NotRequired[list[str]]
    """All that were loaded, also those of `-p` and `$LUTE_PLUGINS`; not there in rows of older versions."""
    cwd: NotRequired[str]
    """The folder that it was started in."""


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


class Origin(TypedDict, total=False):
    """Where a run comes from and what it made: what is looked at beside it."""

    sources: dict[str, str]
    inputs: list[FileEntry]
    outputs: list[OutputEntry]
    code: list[CodeEntry]
    versions: dict[str, str]


class JobHead(TypedDict):
    """What a child is told to load, before its parameters."""

    task: str
    task_module: str | None
    plugins: list[str]
    modules: list[list[str]]
    path: list[str]
    ranks: int | None
    launch: list[str]
    imports: str
    code: str
    backstop: float
    waits: bool


class RecordPlace(TypedDict):
    """Where a record is, as `lute db where` tells it."""

    record: str
    kind: str
    schema: int | None
    newest_schema: int
    aside: str
    waiting: int


class RunCount(TypedDict):
    """How many runs of a Task have a status."""

    task: str
    status: str
    runs: int


class RecordSize(TypedDict):
    """What a record holds, and the bytes that it takes."""

    runs: list[RunCount]
    database_bytes: int
    log_bytes: int
    other_bytes: int


class Migration(TypedDict):
    """What a migration of a record's schema did."""

    before: int
    now: int
    copy: str | None


class PostAbout(TypedDict, total=False):
    """A post to the eLog that waits or was refused."""

    file: str
    kind: str
    experiment: str
    address: str
    query: dict[str, str]
    created: float
    tries: int
    not_before: float
    why: str | None


class PublicPost(TypedDict, total=False):
    """A post to the eLog as `lute elog --json` prints it: its times are ISO 8601."""

    file: str
    kind: str
    experiment: str
    address: str
    query: dict[str, str]
    created: str
    tries: int
    not_before: str | None
    why: str | None


class OutboxAbout(TypedDict):
    """The outbox, as `lute elog` tells it."""

    url: str | None
    login: str
    outbox: str
    waiting: list[PublicPost]
    refused: list[PublicPost]


class MetricPoint(TypedDict):
    """A metric's value in one run."""

    id: str
    experiment: str
    run: str
    started: str
    status: str
    valid: bool
    value: float | None
    unit: str


class FigureEntry(TypedDict):
    """A page of figures of a run, as the web page links to it."""

    name: str
    address: str
    there: bool


class ParameterAbout(TypedDict):
    """What `lute tasks NAME` tells of a parameter."""

    name: str
    type: str
    required: bool
    default: Any
    default_factory: str | None
    unit: Any
    from_result: str | None
    is_result: bool
    is_output: bool
    written: str
    help: str


class LogPiece(TypedDict):
    """A piece of a log: its text, where it ends, and how many bytes before it were left out."""

    offset: int
    text: str
    skipped: int


class DryRunStreams(TypedDict):
    """The files in place of a program's standard streams."""

    stdin: str | None
    stdout: str | None
    stderr: str | None


class DryRun(DryRunStreams):
    """What `lute run --dry-run` tells of a run that is not started."""

    task: str
    command: list[str]
    cwd: str
    environment: dict[str, str | None]
    sourced: list[str]
    modules: list[str]
    templates: list[RenderedTemplate]
    parameters: JsonObject
    warnings: list[str]


class RenderedTemplate(TypedDict):
    """A program's own configuration, and where it goes."""

    path: str
    text: str


class BegunRun(TypedDict, total=False):
    """What the first task of a DAG gave: the workflow run's id, or why there is none."""

    id: str
    error: str


class PublicWorkflow(TypedDict):
    """A workflow run as `--json` and the web page's API tell it."""

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
    folder: str
    report: str | None
    steps: list[StepEntry]


class RunState(TypedDict):
    """What may change of a run while it lives, as its web page is told."""

    status: str
    reason: str
    summary: str
    started: str
    ended: str | None
    wall_s: float | None
    progress: Progress | None
    symbol: str
    look: str
    progress_text: str
    progress_share: float | None
    metrics: dict[str, object]


class StepGiven(TypedDict, total=False):
    """What a step gives to those that need it; only `status` if it has not run."""

    status: str
    summary: str
    exit_code: int | None
    parameters: JsonObject | None
    exact: JsonObject
    id: str
    result: Any
    metrics: dict[str, float]
