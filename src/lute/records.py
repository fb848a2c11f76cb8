"""What ran, for Python: notebooks, scripts, figures. It reads, and never starts or changes a run.

from lute import records

with records.open("config.yaml") as kept:
for run in kept.find(task="FindPeak", where=["threshold > 10"]):
print(run.id, run.parameters["threshold"], run.payload())
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lute.config.config_file import read_config
from lute.errors import RecordError, UsageError, did_you_mean
from lute.record import schema
from lute.record.db import FILE_NAME, record_at, record_of
from lute.record.rows import given_of, kept_file, printable
from lute.record.store import Record
from lute.record.unpickling import unpickled

if TYPE_CHECKING:
    from lute.record.queries import Condition
    from lute.record.types import KeptFile, RunRow, Scalar

__all__ = ["Records", "Run", "Runs", "open"]

_FIRST_COLUMNS = ("id", "task", "managed_task", "experiment", "run", "status", "valid", "summary", "payload")
_LAST_COLUMNS = ("started", "ended", "wall_s", "max_rss_kib", "host")
_TIMES = ("started", "ended")
_LARGEST = 2**63


def open(place: str | os.PathLike[str] | None = None) -> Records:
    """Opens a record for reading, brought up to date.

    Args:
        place: The path or URL of the record, a folder that holds `lute.db`, or a YAML file whose header says where
            the record is. If not given: `$LUTE_CONFIGPATH`, `$LUTE_DATABASE` or `./lute.db`.

    Raises:
        ConfigError: The YAML file cannot be read.
        RecordError: There is no record, or it cannot be read.
    """
    where = str(place or os.environ.get("LUTE_CONFIGPATH") or os.environ.get("LUTE_DATABASE") or FILE_NAME)
    if where.endswith((".yaml", ".yml")):
        config = read_config(where)
        config.load_plugins()
        record = record_of(config.analysis_header()[0])
    else:
        record = record_at(where)
    if record.exists() or record.aside.is_dir():
        record.refresh()
    record.read("SELECT 1")  # there may be none
    return Records(record)


class Run(Mapping[str, Any]):
    """One run: its columns are items and attributes, such as `run.status`, `run.parameters`, `run["payload"]`.

    What they mean is in the reference (docs/reference/record.md). Two of them are more: `payload()` and `log()`.
    """

    __slots__ = ("_row",)

    def __init__(self, row: RunRow) -> None:
        object.__setattr__(self, "_row", {**row, "given": given_of(row)} if row.get("given") else dict(row))

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row)

    def __len__(self) -> int:
        return len(self._row)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._row:
            raise AttributeError(f"a run has no {name!r}.{did_you_mean(name, schema.COLUMNS)}")
        return self._row[name]

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a run is what was recorded: it cannot be changed")

    def __hash__(self) -> int:
        return hash(self._row["id"])

    def __repr__(self) -> str:
        return f"<Run {self._row['id']} {self._row['task']} {self._row['status']} {self._row['started']}>"

    def payload(self, unpickle: bool = False) -> Any:
        """Returns the result as the Task gave it: what was kept in files of its own is read back.

        A table comes back as a DataFrame of pandas if that is installed, else of polars, else as a dict of columns. Of
        a part that could not be kept there is what the record says: an object with `type` and `reason`.

        Args:
            unpickle: Whether a value that was kept as a pickle is loaded, which runs what its writer put into it.

        Raises:
            RecordError: A file is gone, or all of the result could not be kept.
            UsageError: It is a pickle and `unpickle` is false, or an array and numpy is not installed.
        """
        with contextlib.ExitStack() as archives:
            return self._read_back(self._row["payload"], _Reader(self._row, unpickle, archives), alone=True)

    def _read_back(self, value: Any, reader: _Reader, alone: bool = False) -> Any:
        if isinstance(value, list):
            return [self._read_back(item, reader) for item in value]
        if not isinstance(value, dict):
            return value
        if (kept := kept_file(value)) is None:
            return {key: self._read_back(item, reader) for key, item in value.items()}
        if kept["path"] is None:
            if alone:
                raise RecordError(f"{kept['type']} of run {self.id} was not kept: {kept.get('reason')}")
            return value
        return reader.read(kept) if self._is_ours(kept["path"]) else value

    def _is_ours(self, path: Any) -> bool:
        return isinstance(path, str) and os.path.dirname(path) == os.path.dirname(self["log"])

    def log(self) -> str:
        """Returns what the Task and its children printed; of bytes that are no UTF-8, their numbers.

        Raises:
            RecordError: The log is gone.
        """
        try:
            return Path(self["log"]).read_bytes().decode("utf-8", "backslashreplace")
        except OSError as error:
            raise RecordError(f"the log of run {self.id} cannot be read: {error}") from error


class _Reader:
    """Reads what one payload has in files.

    Args:
        row: The run that gave it.
        unpickle: Whether pickles are loaded.
        archives: Closes what was opened.
    """

    def __init__(self, row: RunRow, unpickle: bool, archives: contextlib.ExitStack) -> None:
        self._row, self._unpickle, self._close = row, unpickle, archives
        self._archives: dict[str, Any] = {}

    def read(self, kept: KeptFile) -> Any:
        """Returns a value.

        Raises:
            RecordError: Its file cannot be read.
            UsageError: It is a pickle, or what it needs is not installed.
        """
        path = Path(kept["path"] or "")
        ending = Path(kept.get("member") or path).suffix
        if ending == ".pickle" and not self._unpickle:
            raise UsageError(
                f"{path} is a pickle: to load it runs what its writer put into it. If you trust that,"
                " payload(unpickle=True)"
            )
        try:
            with self._opened(kept, path) as file:
                return self._value_in(file, ending, kept)
        except (OSError, KeyError) as error:
            raise RecordError(f"a kept value cannot be read: {error}") from error

    def _value_in(self, file: Any, ending: str, kept: KeptFile) -> Any:
        if "columns" in kept:
            from lute.record import table_files

            return table_files.read(kept, file)
        if ending == ".npy":
            return _numpy().load(file, allow_pickle=False)
        return unpickled(file.read(), self._row) if ending == ".pickle" else file.read()

    def _opened(self, kept: KeptFile, path: Path) -> Any:
        member = kept.get("member")
        if member is None:
            return path.open("rb")
        if str(path) not in self._archives:
            from zipfile import ZipFile

            self._archives[str(path)] = self._close.enter_context(ZipFile(path))
        return io.BytesIO(self._archives[str(path)].read(member))


def _numpy() -> Any:
    try:
        import numpy
    except ImportError as error:
        raise UsageError("the value is an array, and numpy is not installed: pip install numpy") from error
    return numpy


class Runs(list[Run]):
    """Runs, as a list that can become a table: one row a run, with the parameters as columns as in a Task's view."""

    def columns(self) -> dict[str, list[Any]]:
        """Returns the table's columns, of one length. Lists and objects are JSON; times are datetimes in UTC."""
        parameters: dict[str, str] = {}
        flat = [_flat(run["parameters"] or {}) for run in self]
        for one in flat:
            parameters |= dict.fromkeys(one, "")
        wanted = [*_FIRST_COLUMNS, *parameters, *_LAST_COLUMNS]
        names = schema.column_names(wanted, _LARGEST)
        found: dict[str, list[Any]] = {}
        for name, source in zip(names[: len(_FIRST_COLUMNS)], _FIRST_COLUMNS, strict=True):
            found[name] = [_cell(source, run[source]) for run in self]
        for name, source in zip(names[len(_FIRST_COLUMNS) :], parameters, strict=False):
            found[name] = [_cell("", one.get(source)) for one in flat]
        for name, source in zip(names[-len(_LAST_COLUMNS) :], _LAST_COLUMNS, strict=True):
            found[name] = [_cell(source, run[source]) for run in self]
        return found

    def to_pandas(self) -> Any:
        """Returns a pandas `DataFrame`.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise UsageError("pandas is not installed: pip install pandas") from error
        return pandas.DataFrame(self.columns())

    def to_polars(self) -> Any:
        """Returns a polars `DataFrame`; a column with values of several types is text.

        Raises:
            UsageError: polars is not installed.
        """
        try:
            import polars
        except ImportError as error:
            raise UsageError("polars is not installed: pip install polars") from error
        return polars.DataFrame({name: _one_type(values) for name, values in self.columns().items()})


def _flat(parameters: Mapping[str, Any]) -> dict[str, Any]:
    own = {name: value for name, value in parameters.items() if name != "lute_config"}
    return schema.flat_values(own)


def _cell(column: str, value: Any) -> Any:
    if column in _TIMES:
        return None if value is None else datetime.fromisoformat(value)
    if isinstance(value, (list, dict)):
        return json.dumps(printable(value))
    return float(value) if isinstance(value, int) and abs(value) >= _LARGEST else value


def _one_type(values: list[Any]) -> list[Any]:
    types = {type(value) for value in values if value is not None}
    if len(types) < 2 or types == {int, float}:
        return [float(value) if len(types) == 2 and value is not None else value for value in values]
    return [None if value is None else str(value) for value in values]


class Records:
    """A record that is open for reading. As a context manager it closes itself."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def find(
        self,
        *,
        task: str | Sequence[str] | None = None,
        status: str | Sequence[str] | None = None,
        experiment: str | None = None,
        run: str | int | None = None,
        since: str | datetime | None = None,
        until: str | datetime | None = None,
        where: Mapping[str, Scalar] | Iterable[str | Condition] | None = None,
        text: str | None = None,
        workflow: str | None = None,
        valid: bool | None = None,
        sort: str = "started",
        descending: bool = True,
        limit: int | None = None,
    ) -> Runs:
        """Returns the runs that fulfil all that is given, newest first.

        Args:
            task: Names of Tasks or managed Tasks, any of them.
            status: `COMPLETED`, `FAILED` and so on, any of them.
            experiment: The experiment.
            run: The acquisition run.
            since: Started at this time or later: a datetime, ISO 8601 (without a zone in this machine's), or `2h` ago.
            until: Started before this time.
            where: Parameters and their values, or comparisons: `{"threshold": 10}`, `["FindPeak.threshold > 5"]`.
            text: In summary or reason, in any case.
            workflow: Name or id of the workflow.
            valid: Whether the result may be used by others.
            sort: The column to sort by.
            descending: Whether the largest comes first.
            limit: At most so many.

        Raises:
            UsageError: There is no such column, parameter, comparison or time.
        """
        found = self._record.find(
            tasks=_several(task),
            statuses=[name.upper() for name in _several(status) or []],
            experiment=experiment,
            run=run,
            since=since,
            until=until,
            where=where,
            text=text,
            workflow=workflow,
            valid=valid,
            sort=sort,
            descending=descending,
            limit=limit,
        )
        return Runs(Run(row) for row in found)

    def get(self, identity: str) -> Run:
        """Returns one run by its id, the start of one, or `last`.

        Raises:
            RecordError: There is none, or more than one.
        """
        return Run(self._record.get(identity))

    def latest(
        self,
        task: str,
        param: str = "result",
        *,
        experiment: str | None = None,
        run: str | int | None = None,
        valid: bool = True,
    ) -> Any:
        """Returns the value of a parameter or of the result in the latest valid run of a Task; None if there is none.

        Args:
            task: Name of the Task.
            param: A parameter, nested ones as `a.b[0]`, or `result`, `result.summary`, `result.task_status`.
            experiment: Only of this experiment.
            run: Only of this acquisition run.
            valid: Only runs that completed and were not invalidated.
        """
        number = None if run is None else str(run)
        return self._record.latest_value(task, param, valid_only=valid, run=number, experiment=experiment)

    def close(self) -> None:
        """Closes the record."""
        self._record.close()

    def __enter__(self) -> Records:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()


def _several(names: str | Sequence[str] | None) -> list[str] | None:
    return [names] if isinstance(names, str) else None if names is None else list(names)
