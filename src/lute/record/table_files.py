"""Tables in files: Parquet where pyarrow is there, else CSV; written from columns, read without unpickling.

What CSV does not say, the payload does: `columns` has the names, `dtypes` the kinds of their values.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from lute.errors import UsageError
from lute.wire.tables import Table

if TYPE_CHECKING:
    from lute.record.types import KeptFile

PARQUET, CSV = ".parquet", ".csv"
BOOL, INTEGER, NUMBER, TEXT = "bool", "int", "float", "text"
"""Kinds of columns. Times are texts here: Parquet has its own word for them."""
_KIND_OF = {"b": BOOL, "i": INTEGER, "u": INTEGER, "f": NUMBER}
_READ: dict[str, Callable[[str], Any]] = {BOOL: lambda text: text == "True", INTEGER: int, NUMBER: float}


def about(table: Table) -> KeptFile:
    """Returns what a payload says of a table beside path and size; `shape` is rows and columns."""
    kinds = [_kind_of(values) for values in table.columns.values()]
    names = list(table.columns)
    return {"type": table.type_name, "shape": [len(table), len(names)], "columns": names, "dtypes": kinds}


def _kind_of(values: Any) -> str:
    if hasattr(values, "dtype"):
        return _KIND_OF.get(values.dtype.kind, TEXT)
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {float, int}:
        return NUMBER
    return {bool: BOOL, int: INTEGER, float: NUMBER}.get(kinds.pop(), TEXT) if len(kinds) == 1 else TEXT


def write(table: Table) -> tuple[str, memoryview]:
    """Returns the ending and the contents of a table's file."""
    file = io.BytesIO()
    try:
        import pyarrow.parquet
    except ImportError:
        _write_csv(table, file)
        return CSV, file.getbuffer()
    columns = {name: _arrow(values) for name, values in table.columns.items()}
    pyarrow.parquet.write_table(pyarrow.table(columns), file)
    return PARQUET, file.getbuffer()


def _arrow(values: Any) -> Any:
    """Returns a column as pyarrow's: what it has no type for, such as numbers among texts, as text."""
    import pyarrow

    if hasattr(values, "dtype"):
        kind = values.dtype.kind
        if kind in "biuf":
            wide = values.dtype.newbyteorder("=") if values.dtype.itemsize > 2 or kind != "f" else "float32"
            return pyarrow.array(values.astype(wide))
        values = values if kind in "Mm" else values.tolist()
    try:
        return pyarrow.array(values)
    except (pyarrow.ArrowException, OverflowError):
        return pyarrow.array([None if value is None else str(value) for value in values], pyarrow.string())


def _write_csv(table: Table, file: BinaryIO) -> None:
    text = io.TextIOWrapper(file, "utf-8", "backslashreplace", newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.columns)
    columns = [values.tolist() if values_have_dtype(values) else values for values in table.columns.values()]
    writer.writerows(zip(*columns, strict=True))
    text.detach()


def values_have_dtype(values: Any) -> bool:
    """Returns whether a column is an array of numbers or texts, whose items are plain values."""
    return hasattr(values, "dtype") and values.dtype.kind not in "Mm"


# ------------------------------------------------------------------------------------------- reading


def read(kept: KeptFile, file: BinaryIO) -> Any:
    """Returns a table: as a DataFrame of pandas if that is installed, else of polars, else as a dict of columns.

    Args:
        kept: What the payload says of it.
        file: The file's contents.

    Raises:
        UsageError: It is Parquet, and nothing that reads that is installed.
    """
    pandas, polars = _library("pandas"), _library("polars")
    if _is_parquet(kept) and not (_library("pyarrow") or polars):
        raise UsageError("the table is in Parquet, and pyarrow is not installed: pip install pyarrow")
    if _is_parquet(kept) and pandas and _library("pyarrow"):
        return pandas.read_parquet(file)
    if _is_parquet(kept) and polars and not pandas:
        return polars.read_parquet(file)
    columns = _columns(kept, file)
    if pandas:
        return pandas.DataFrame(columns)
    return polars.DataFrame(columns, strict=False) if polars else columns


def head(kept: KeptFile, file: BinaryIO, rows: int) -> list[list[Any]]:
    """Returns the first rows of a table, as plain values.

    Raises:
        UsageError: As for `read`.
    """
    if not _is_parquet(kept):
        return list(itertools.islice(_csv_rows(kept, file), rows))
    if _library("pyarrow"):
        import pyarrow.parquet

        batches = pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=rows)
        first = next(batches, None)
        columns = [] if first is None else [column.to_pylist() for column in first.columns]
    elif polars := _library("polars"):
        columns = [series.to_list() for series in polars.read_parquet(file, n_rows=rows)]
    else:
        raise UsageError("the table is in Parquet: install pyarrow to see it here")
    return [list(row) for row in zip(*columns, strict=True)]


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError:
        return None


def _is_parquet(kept: KeptFile) -> bool:
    return str(kept.get("member") or kept["path"]).endswith(PARQUET)


def _columns(kept: KeptFile, file: BinaryIO) -> dict[str, list[Any]]:
    if _is_parquet(kept):
        if polars := _library("polars"):
            return polars.read_parquet(file).to_dict(as_series=False)  # type: ignore[no-any-return]
        import pyarrow.parquet

        return pyarrow.parquet.read_table(file).to_pydict()  # type: ignore[no-any-return]
    found = list(_csv_rows(kept, file))
    columns: Iterable[Any] = zip(*found, strict=True) if found else ([] for _ in kept["columns"])
    return dict(zip(kept["columns"], map(list, columns), strict=True))


def _csv_rows(kept: KeptFile, file: BinaryIO) -> Iterator[list[Any]]:
    reads = [_READ.get(kind, str) for kind in kept["dtypes"]]
    text = io.TextIOWrapper(file, "utf-8", newline="")
    try:
        lines = csv.reader(text)
        next(lines, None)
        for line in lines:
            yield [None if cell == "" else read(cell) for cell, read in zip(line, reads, strict=True)]
    finally:
        text.detach()  # who opened the file closes it
