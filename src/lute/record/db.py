"""The record's functions that people know, and where a record is. The record itself: `lute.record.store`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.errors import RecordError
from lute.record.rows import Earlier, row_of
from lute.record.store import Record
from lute.wire.results import DescribedAnalysis

if TYPE_CHECKING:
    from lute.models.base import AnalysisHeader

__all__ = [
    "FILE_NAME",
    "Record",
    "read_for",
    "read_latest_db_entry",
    "record_analysis_db",
    "record_at",
    "record_of",
]

FILE_NAME = "lute.db"


def record_of(header: AnalysisHeader) -> Record:
    """Returns the record that a YAML's header names, or else `$LUTE_DATABASE`, or else the work folder's."""
    folder = Path(header.work_dir)
    return record_at(header.database or os.environ.get("LUTE_DATABASE") or folder / FILE_NAME, folder)


def record_at(place: str | os.PathLike[str], work_dir: str | os.PathLike[str] = "") -> Record:
    """Returns the record at a path, or at a URL `postgresql://...` or `sqlite:///path`.

    Args:
        place: Path or URL.
        work_dir: For a URL, the folder in which rows are put aside that the database did not take.

    Raises:
        UsageError: It is a URL of another kind.
    """
    text = str(place)
    if text.startswith("sqlite:///"):
        return Record(text.removeprefix("sqlite:///"))
    if "://" in text:
        return Record(text, aside=Path(work_dir) / f"{FILE_NAME}.d")
    return Record(Path(text) / FILE_NAME if os.path.isdir(text) else text)


def read_for(header: AnalysisHeader, task: str, param: str) -> Earlier | None:
    """Returns the latest valid value of a Task's parameter or result in the header's experiment and run.

    Raises:
        NotKeptError: It could not be kept as it was.
    """
    with record_of(header) as record:
        if not record.exists():
            return None
        record.refresh()
        found = record.earlier(param, task=task, valid=True, run=str(header.run), experiment=header.experiment)
        return None if found is None or found.value is None else found


def record_analysis_db(cfg: DescribedAnalysis) -> bool:
    """Records the run of a Task as it stands.

    Returns:
        False if the row went to a file beside the database.

    Raises:
        RecordError: It could not be kept at all, or there are no parameters to tell where.
    """
    if cfg.task_parameters is None:
        raise RecordError("a run without parameters cannot be recorded: they say where the record is")
    with record_of(cfg.task_parameters.lute_config) as record:
        return record.save(row_of(cfg))


def read_latest_db_entry(
    db_dir: str | os.PathLike[str],
    task_name: str,
    param: str,
    valid_only: bool = True,
    for_run: str | int | None = "$RUN",
) -> Any:
    """Returns the latest value of a Task's parameter or result.

    Args:
        db_dir: Folder of the record, or its path or URL; where there is no `lute.db`, `$LUTE_DATABASE` is read.
        task_name: Name of the Task.
        param: A parameter, nested ones as `a.b[0]`; or `result.payload`, `result.summary`,
            `result.task_status`, `result.impl_schemas`.
        valid_only: Only runs that completed and were not invalidated.
        for_run: The acquisition run; `$RUN` if not given, any run if that is not set or None is given.

    Returns:
        The value; None if there is no such entry.
    """
    run = os.environ.get("RUN") if for_run == "$RUN" else for_run
    elsewhere = os.environ.get("LUTE_DATABASE")
    with record_at(elsewhere if elsewhere and not record_at(db_dir).exists() else db_dir) as record:
        if not record.exists():
            return None
        record.refresh()
        return record.latest_value(task_name, param, valid_only=valid_only, run=None if run is None else str(run))
