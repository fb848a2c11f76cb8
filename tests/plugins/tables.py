"""Tasks that give tables."""

from pathlib import Path
from typing import Annotated

import lute
from lute import Executor, FromResult, Task, TaskParameters

COLUMNS = {
    "frame": [1, 2, 10],
    "rate": [0.5, float("nan"), None],
    "name": ["a,b", 'quo"te\nline', "<script>alert(1)</script>é"],
    "ok": [True, False, True],
    "mixed": [1, "two", None],
    "number": ["007", "1e5", "nan"],
}


class TabulateParameters(TaskParameters):
    kind: str = "lute"
    rows: int = 0


class Tabulate(Task):
    def _run(self):
        self._result.payload = make(self._task_parameters.kind, self._task_parameters.rows)


def make(kind, rows):
    if kind == "lute":
        return lute.Table({"n": list(range(rows))} if rows else COLUMNS)
    if kind == "nested":
        return {"found": lute.Table(COLUMNS), "rest": [1, 2]}
    if kind == "page":
        return lute.ElogSummaryPlots("tables/spots", lute.Table({"n": list(range(rows))} if rows else COLUMNS))
    if kind == "structured":
        import numpy

        return numpy.array([(1, 2.5, "x"), (2, 3.5, "y")], dtype=[("a", "i4"), ("b", ">f8"), ("c", "U3")])
    if kind == "pandas":
        import pandas

        frame = pandas.DataFrame(COLUMNS, index=pandas.Index(["x", "y", "z"], name="key"))
        frame["when"] = pandas.to_datetime(["2026-01-01", "2026-01-02T03:04:05", None], format="ISO8601")
        frame["kind"] = pandas.Categorical(["u", "v", "u"])
        return frame
    import polars

    return polars.DataFrame({**COLUMNS, "mixed": ["1", "two", None]})


class LookParameters(TaskParameters):
    table: Annotated[Path, FromResult("Tabulate")]


class Look(Task):
    def _run(self):
        self._result.payload = self._task_parameters.table.read_bytes()[:4]


Tabulator = Executor("Tabulate")
