"""Tables: columns of one length, by name. Whatever library a table is of, nothing is imported to look at it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Dict, List, Optional

from lute.wire.pickled import ATOMS, HOLDERS


class Table:
    """A table for a result: columns of one length, by name. It needs no library.

    Args:
        columns: The values of each column: a list, an array of one dimension, or anything that can be gone through.

    Attributes:
        columns: A list or a numpy array for each name.
        type_name: The type that the table was of.

    Raises:
        ValueError: The columns are not of one length, or one of them is a text.

    >>> Table({"frame": [1, 2, 3], "spots": [10, 0, 25]})
    Table(frame, spots: 3 rows)
    """

    def __init__(self, columns: Mapping[Any, Any]) -> None:
        self.columns: Dict[str, Any] = {}
        self.type_name = "lute.Table"
        for name, values in dict(columns).items():
            if isinstance(values, (str, bytes, Mapping)):
                raise ValueError(
                    f"the column {name!r} of a table is {type(values).__name__}, expected a list of values"
                )
            self._add(str(name), _column(values))
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of a table have one length, and these are of {lengths}")

    def _add(self, name: str, values: Any) -> None:
        """Adds a column; a name that is there already gets a number, since files and libraries want one each."""
        free, number = name, 1
        while free in self.columns:
            number += 1
            free = f"{name} ({number})"
        self.columns[free] = values

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __repr__(self) -> str:
        return f"Table({', '.join(self.columns)}: {len(self)} rows)"


HOLDERS.add(Table)


def as_table(value: Any) -> Optional[Table]:
    """Returns a value as a table; None if it is none that is known.

    Known are DataFrames of pandas and polars, and numpy arrays of one dimension with named fields.
    """
    kind = type(value)
    if kind is Table:
        return value  # type: ignore[no-any-return]
    if kind in ATOMS:
        return None
    try:
        if _is(kind, "pandas", "DataFrame"):
            pairs = _pairs_of_pandas(value)
        elif _is(kind, "polars", "DataFrame"):
            pairs = [(name, _series_of_polars(value[name])) for name in value.columns]
        elif _is(kind, "numpy", "ndarray") and value.dtype.names and value.ndim == 1:
            pairs = [(name, value[name]) for name in value.dtype.names]
            if not all(_is_column(values) for _, values in pairs):
                return None
        else:
            return None
        made = Table({})
        for name, values in pairs:
            made._add(str(name), _column(values))
    except Exception:  # it stays what it is: an object of another library
        return None
    made.type_name = f"{kind.__module__}.{kind.__qualname__}"
    return made


def _is(kind: type, library: str, name: str) -> bool:
    return any(base.__name__ == name and base.__module__.partition(".")[0] == library for base in kind.__mro__)


def _pairs_of_pandas(frame: Any) -> List[Any]:
    """Returns name and values of each column; an index that is more than a count comes first."""
    if type(frame.index).__name__ != "RangeIndex" or frame.index.name is not None:
        frame = frame.reset_index(allow_duplicates=True)
    names = ["/".join(map(str, name)) if isinstance(name, tuple) else name for name in frame.columns]
    return [(name, _series_of_pandas(frame.iloc[:, at])) for at, name in enumerate(names)]


def _series_of_pandas(series: Any) -> Any:
    if getattr(series.dtype, "kind", "O") in _ARRAYS and type(series.dtype).__module__.startswith("numpy"):
        return series.to_numpy()
    array = series.astype(object).to_numpy()
    missing = series.isna().to_numpy()
    return [None if gone else value for gone, value in zip(missing, array)]


def _series_of_polars(series: Any) -> Any:
    import sys

    if "numpy" in sys.modules and not series.null_count() and (series.dtype.is_numeric() or series.dtype.is_temporal()):
        array = series.to_numpy()
        if array.dtype.kind in _ARRAYS:
            return array
    return series.to_list()


_ARRAYS = "biufMmSU"
"""The kinds of arrays that are columns as they are."""


def _column(values: Any) -> Any:
    """Returns a column as an array of one dimension, or a list of numbers, texts, bools and None."""
    if hasattr(values, "to_numpy"):
        values = _series_of_pandas(values) if hasattr(values, "isna") else _series_of_polars(values)
    if _is_column(values):
        return values
    cells = list(values)
    return cells if ATOMS.issuperset(map(type, cells)) else [_cell(value) for value in cells]


def _is_column(values: Any) -> bool:
    dtype = getattr(values, "dtype", None)
    return getattr(dtype, "kind", "O") in _ARRAYS and len(values.shape) == 1 and str(dtype) not in _TOO_EXACT


_TOO_EXACT = ("float128", "float96")


def _cell(value: Any) -> Any:
    if type(value) in ATOMS:
        return value
    item = value.item() if hasattr(value, "dtype") and hasattr(value, "item") and not value.shape else value
    return item if type(item) in ATOMS else str(item)
