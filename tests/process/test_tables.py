"""Tables as payloads: Parquet where pyarrow is there, else CSV; read back without unpickling."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from conftest import PLUGINS, Project
from lute import records
from process.helpers import make_bare_python, other_pythons

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, *others):
        if name.partition(".")[0] in {names!r}: raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
"""
READ = "from lute import records\nfound = records.open().get('last').payload()\nprint(type(found))\n"


@pytest.fixture
def shelf(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project whose Task gives tables; the test is in its folder."""
    project.plugin("tables")
    project.config()
    monkeypatch.chdir(project.folder)
    return project


def lacking(project: Project, names: tuple[str, ...]) -> dict[str, str]:
    """Returns variables with which every Python starts as if some libraries were not installed."""
    file = project.write("lacking/sitecustomize.py", WITHOUT.format(names=names))
    return {"PYTHONPATH": str(file.parent)}


def give(project: Project, kind: str, *more: str, without: tuple[str, ...] = ()) -> dict[str, Any]:
    """Runs the Task. Returns its JSON."""
    argv = ["run", "Tabulator", "-c", "config.yaml", "--json", "-q", "-s", f"Tabulate.kind={kind}", *more]
    done = project.lute(*argv, env=lacking(project, without))
    assert done.code == 0, done
    found: dict[str, Any] = done.json
    return found


def given() -> dict[str, list[Any]]:
    names: dict[str, Any] = {}
    exec((PLUGINS / "tables.py").read_text().split("class TabulateParameters")[0], names)
    columns: dict[str, list[Any]] = names["COLUMNS"]
    return columns


def read(project: Project, *without: str, more: str = "") -> str:
    """Returns what a Python prints of the last payload, in which some libraries are not installed."""
    return project.run([sys.executable, "-c", READ + more], env=lacking(project, without)).out


@pytest.mark.parametrize(
    ("kind", "type_name", "shape", "columns"),
    [
        ("lute", "lute.Table", [3, 6], list(given())),
        ("structured", "numpy.ndarray", [2, 3], ["a", "b", "c"]),
        ("pandas", "DataFrame", [3, 9], ["key", *given(), "when", "kind"]),
        ("polars", "DataFrame", [3, 6], list(given())),
    ],
)
@pytest.mark.parametrize("without", [(), ("pyarrow",)], ids=["parquet", "csv"])
def test_a_table_is_a_file_that_others_read(
    shelf: Project, kind: str, type_name: str, shape: list[int], columns: list[str], without: tuple[str, ...]
) -> None:
    """C5: the JSON has type, path, size, shape and columns; the file is Parquet, or CSV without pyarrow."""
    kept = give(shelf, kind, without=without)["payload"]
    assert kept["type"].endswith(type_name)
    assert (kept["shape"], kept["columns"]) == (shape, columns)
    path = Path(kept["path"])
    assert path.stat().st_size == kept["size"]
    if without:
        assert path.suffix == ".csv"
        with path.open(newline="") as file:
            head, *rows = csv.reader(file)
        assert (head, len(rows)) == (columns, shape[0])
    else:
        frame = pd.read_parquet(path)
        assert (list(frame.columns), len(frame)) == (columns, shape[0])
    with records.open() as record:
        back = record.get("last").payload()
    assert isinstance(back, pd.DataFrame)
    assert list(back.columns) == columns
    if kind == "structured":
        assert back["a"].tolist() == [1, 2]
        assert back["b"].tolist() == [2.5, 3.5]
        assert back["c"].tolist() == ["x", "y"]
        return
    assert back["frame"].tolist() == [1, 2, 10]
    assert back["rate"].tolist()[0] == 0.5
    assert back["rate"].isna().tolist() == [False, True, True]
    assert back["name"].tolist() == given()["name"]
    assert back["ok"].tolist() == [True, False, True]
    assert back["mixed"].tolist()[:2] == ["1", "two"]
    assert back["number"].tolist() == ["007", "1e5", "nan"]


@pytest.mark.parametrize("writer", [(), ("pyarrow",)], ids=["parquet", "csv"])
def test_it_is_read_with_what_is_installed(shelf: Project, writer: tuple[str, ...]) -> None:
    """C5: as a DataFrame of pandas, else of polars, else as a dict of columns."""
    give(shelf, "lute", without=writer)
    assert "pandas" in read(shelf)
    assert "polars" in read(shelf, "pandas")
    plain = read(shelf, "pandas", "polars", more="print(found)")
    assert plain.startswith("<class 'dict'>")
    columns = eval(plain.split("\n", 1)[1], {"nan": float("nan")})
    wanted = given()
    assert {name: columns[name] for name in ("frame", "name", "ok", "number")} == {
        name: wanted[name] for name in ("frame", "name", "ok", "number")
    }
    if not writer:
        assert "polars" in read(shelf, "pandas", "pyarrow")
        done = shelf.run([sys.executable, "-c", READ], env=lacking(shelf, ("pandas", "polars", "pyarrow")))
        assert "pip install pyarrow" in done.err


def test_a_part_of_a_payload_may_be_a_table(shelf: Project) -> None:
    """C5: beside the rest, which stays JSON."""
    found = give(shelf, "nested")["payload"]
    assert found["rest"] == [1, 2]
    assert found["found"]["columns"] == list(given())
    with records.open() as record:
        assert len(record.get("last").payload()["found"]) == 3


def test_another_task_gets_its_path(shelf: Project) -> None:
    """C5: `FromResult` gives the path of the file."""
    give(shelf, "pandas")
    found = shelf.run_task("Look")
    assert found["status"] == "COMPLETED"
    assert Path(found["payload"]["path"]).read_bytes() == b"PAR1"


def test_callers_get_the_object_itself(shelf: Project) -> None:
    """A4: `execute_task()` returns what the Task gave."""
    code = (
        "from lute import Executor, plugins\nplugins.load('tasks.py')\n"
        "found = Executor('Tabulate').execute_task('config.yaml').task_result.payload\n"
        "print(type(found).__name__, len(found), found.columns.dtype if hasattr(found, 'index') else '')"
    )
    shelf.config("Tabulate: {kind: pandas}")
    assert shelf.run([sys.executable, "-c", code]).out.split()[:2] == ["DataFrame", "3"]
    shelf.config("Tabulate: {kind: lute}")
    assert shelf.run([sys.executable, "-c", code]).out.split()[:2] == ["Table", "3"]


def test_the_parent_needs_no_pandas_and_the_child_no_pyarrow(shelf: Project) -> None:
    """C5: what the Task has not imported is not imported for it; without pandas here the table is kept all the same."""
    shelf.write("sees.py", "import sys, lute\nfrom lute import Task, TaskParameters\n")
    with (shelf.folder / "tasks.py").open("a") as file:
        file.write(
            "\n\nclass SeeParameters(TaskParameters):\n    pass\n\n\nclass See(Task):\n    def _run(self):\n"
            "        import atexit, sys\n"
            "        def told():\n"
            "            print('loaded:', sorted({'pandas', 'polars', 'pyarrow', 'numpy'} & set(sys.modules)))\n"
            "        atexit.register(told)\n"
            "        self._result.payload = lute.Table(COLUMNS)\n"
        )
    found = shelf.run_task("See", env={"LUTE_LAUNCHER": "exec"})
    assert found["payload"]["path"].endswith(".parquet")
    assert "loaded: []" in Path(found["log"]).read_text()


FAR = """
from lute import Executor, TaskParameters

class FarTableParameters(TaskParameters):
    class Config:
        task_module = "far_table"

FarTable = Executor("FarTable")
FarTable.interpreter({python!r})
"""
FAR_TASK = """
import sys
from lute.tasks import Table, Task

class FarTable(Task):
    def _run(self):
        self._result.payload = Table({"a": [1, 2], "b": ["x", None]})
        print("loaded:", sorted({"numpy", "pandas", "pyarrow"} & set(sys.modules)))
"""


def test_another_python_gives_a_table(project: Project) -> None:
    """C5: `lute.tasks.Table` is the standard library alone, from Python 3.9 on."""
    for number, python in enumerate([*other_pythons(), make_bare_python(project.folder / "bare")]):
        project.write("tasks.py", FAR.format(python=python))
        project.write("far_table.py", FAR_TASK)
        project.config()
        found = project.run_task("FarTable")
        assert found["payload"]["columns"] == ["a", "b"], found
        assert found["payload"]["path"].endswith(".parquet")
        assert "loaded: []" in Path(found["log"]).read_text(), number


def test_many_tables_share_the_archive(shelf: Project) -> None:
    """C3: they count among the files of a payload."""
    with (shelf.folder / "tasks.py").open("a") as file:
        file.write(
            "\n\nclass ManyParameters(TaskParameters):\n    pass\n\n\nclass Many(Task):\n    def _run(self):\n"
            "        self._result.payload = [lute.Table({'n': [n]}) for n in range(150)]\n"
        )
    found = shelf.run_task("Many")
    assert len(list(Path(found["log"]).parent.iterdir())) < 110
    with records.open() as record:
        assert [frame["n"][0] for frame in record.get("last").payload()] == list(range(150))


def test_a_page_of_figures_shows_a_table(shelf: Project) -> None:
    """C5: sortable, escaped, at most some hundred rows, and it says so."""
    [page] = give(shelf, "page")["plots"]
    html = Path(page).read_text()
    assert "<script>alert(1)" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;é" in html
    assert "aria-sort" in html
    [page] = give(shelf, "page", "-s", "Tabulate.rows=1000")["plots"]
    html = Path(page).read_text()
    assert html.count("<tr>") == 301
    assert "the first 300 of 1000 rows" in html


def test_what_json_says_is_enough_for_polars(shelf: Project) -> None:
    """C5: any program that reads Parquet reads it."""
    kept = give(shelf, "polars")["payload"]
    assert pl.read_parquet(kept["path"])["frame"].to_list() == [1, 2, 10]
    assert json.dumps(kept["dtypes"]) == '["int", "float", "text", "bool", "text", "text"]'


def test_arrays_of_every_kind_are_columns(shelf: Project) -> None:
    """C5: big-endian numbers, half floats, times and complex numbers have a column too."""
    columns = {
        "h": np.array([1, 2], "f2"),
        "be": np.array([1, 2], ">i4"),
        "t": np.array(["2026-01-01", "NaT"], "M8[s]"),
        "d": np.array([1, 2], "m8[ms]"),
        "c": np.array([1 + 2j, 0]),
        "u": np.array([2**64 - 1, 0], "u8"),
        "s": np.array([b"a", b"b"]),
        "big": [2**70, 1],
    }
    from lute.record import table_files
    from lute.wire.tables import Table

    ending, data = table_files.write(Table(columns))
    (shelf.folder / f"t{ending}").write_bytes(data)
    frame = pd.read_parquet(shelf.folder / f"t{ending}")
    assert list(frame.columns) == list(columns)
    assert frame["be"].tolist() == [1, 2]
    assert frame["u"].tolist() == [2**64 - 1, 0]
    assert frame["t"].isna().tolist() == [False, True]
    assert frame["big"].tolist() == [str(2**70), "1"]
