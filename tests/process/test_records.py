"""`lute.records`: what ran, for notebooks and scripts."""

from __future__ import annotations

import datetime
import json
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy
import pytest

from conftest import Project
from lute import records
from lute.errors import ConfigError, RecordError, UsageError
from lute.records import Records


@pytest.fixture
def shelf(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project with a Task that gives results of many kinds; the tests are in its folder."""
    project.plugin("payloads")
    project.config()
    monkeypatch.chdir(project.folder)
    return project


@pytest.fixture
def kept(shelf: Project) -> Iterator[Records]:
    """A record of three runs."""
    for what in ("text", "array", "error"):
        shelf.run_task("Giver", "-s", f"Give.what={what}", "-s", f"Give.mixed={'x' if what == 'text' else 2}")
    with records.open("lute.db") as one:
        yield one


@pytest.mark.parametrize("what", ["array", "bytes", "nested", "like", "text", "none"])
def test_payloads_come_back_as_they_were_given(shelf: Project, what: str) -> None:
    """B: what a Task gave is read back, from files of its own where it was kept in some."""
    plugin: dict[str, Any] = {}
    exec((shelf.folder / "tasks.py").read_text().split("class GiveParameters")[0], plugin)
    assert shelf.run_task("Giver", "-s", f"Give.what={what}")["status"] == "COMPLETED"
    with records.open() as kept:
        run = kept.get("last")
    given, found = plugin["PAYLOADS"][what], run.payload()
    numpy.testing.assert_equal(found, given)
    if what == "array":
        assert found.dtype == given.dtype
        Path(run["payload"]["path"]).unlink()
        with pytest.raises(RecordError, match=r"cannot be read: .*payload.npy"):
            run.payload()


def test_a_pickle_is_loaded_only_when_told(shelf: Project) -> None:
    """B5: nothing that was kept is unpickled unless its reader says that its writer is trusted."""
    shelf.run_task("Giver", "-s", "Give.what=odd")
    with records.open() as kept:
        run = kept.get("last")
    with pytest.raises(UsageError, match=r"is a pickle.*payload\(unpickle=True\)"):
        run.payload()
    assert run.payload(unpickle=True) == Fraction(1, 3)


def test_a_run_is_a_mapping_with_attributes(kept: Records) -> None:
    """B: a run's columns are items and attributes; it cannot be changed."""
    run = kept.get("last")
    assert (run.status, run["status"], run.parameters["what"], run.run) == ("FAILED", "FAILED", "error", "7")
    assert dict(run)["reason"] == run.reason
    assert run.reason.startswith("ValueError: wrong calibration (tasks.py:")
    assert run.log().splitlines()[0] == "giving error"
    assert run == kept.get(run.id)
    assert len({run, kept.get(run.id)}) == 1
    assert run.id in repr(run)
    with pytest.raises(AttributeError, match="Did you mean 'status'"):
        run.statsu
    with pytest.raises(AttributeError, match="cannot be changed"):
        run.status = "COMPLETED"
    Path(run["log"]).unlink()
    with pytest.raises(RecordError, match="the log of run"):
        run.log()


def test_find(kept: Records) -> None:
    """B: runs are found by Task or managed Task, status, time, text and parameters."""
    assert [run.parameters["what"] for run in kept.find()] == ["error", "array", "text"]
    for wanted in (
        {"task": "Give"},
        {"task": ["Giver", "Other"]},
        {"experiment": "exp1", "run": 7},
        {"since": datetime.datetime.now() - datetime.timedelta(hours=1)},
    ):
        assert len(kept.find(**wanted)) == 3, wanted
    assert [run.parameters["what"] for run in kept.find(status="failed")] == ["error"]
    assert [run.parameters["what"] for run in kept.find(status=["COMPLETED"], limit=1)] == ["array"]
    assert [run.parameters["what"] for run in kept.find(where={"mixed": "x"})] == ["text"]
    assert [run.parameters["what"] for run in kept.find(where=["Give.mixed >= 2"], valid=True)] == ["array"]
    assert [run.parameters["what"] for run in kept.find(text="CALIBRATION")] == ["error"]
    assert kept.find(sort="started", descending=False)[0].parameters["what"] == "text"
    with pytest.raises(UsageError, match="Did you mean 'what'"):
        kept.find(where={"waht": 1})
    assert kept.latest("Give", "what") == "array"
    assert kept.latest("Give", "what", valid=False) == "error"
    assert kept.latest("Give", "what", run=8) is None


def test_tables(kept: Records) -> None:
    """B: runs as a table of pandas or polars: a column a parameter, times as times."""
    found = kept.find()
    table = found.to_pandas()
    assert list(table["what"]) == ["error", "array", "text"]
    assert list(table["several[1]"]) == [2, 2, 2]
    assert list(table["id (2)"]) == [7, 7, 7]
    assert list(table["id"]) == [run.id for run in found]
    assert str(table["started"].dtype).startswith("datetime64")
    assert list(table["mixed"]) == [2, 2, "x"]
    assert json.loads(table["payload"][1])["shape"] == [2, 3]
    assert table["wall_s"].min() > 0
    other = found.to_polars()
    assert other["what"].to_list() == ["error", "array", "text"]
    assert other["mixed"].to_list() == ["2", "2", "x"]
    assert other["started"].to_list() == [datetime.datetime.fromisoformat(run.started) for run in found]
    assert kept.find(status="CANCELLED").to_pandas().shape[0] == 0
    assert kept.find(status="CANCELLED").to_polars().shape[0] == 0


def test_where_the_record_is(shelf: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """B2: a path, a folder, a YAML file, or what the environment says; an error says what is missing."""
    with pytest.raises(RecordError, match="there is no record at"):
        records.open()
    shelf.run_task("Giver")
    for place in ("lute.db", ".", "config.yaml", None, "sqlite:///lute.db", shelf.folder):
        with records.open(place) as kept:
            assert len(kept.find()) == 1
    (shelf.folder / "lute.db").rename(shelf.folder / "other.db")
    for name, value in (("LUTE_DATABASE", "other.db"), ("LUTE_CONFIGPATH", "config.yaml")):
        monkeypatch.setenv(name, value)
        with records.open() as kept:
            assert len(kept.find()) == 1
    with pytest.raises(ConfigError):
        records.open("none.yaml")


@pytest.mark.parametrize(("module", "call"), [("pandas", "to_pandas"), ("polars", "to_polars"), ("numpy", "payload")])
def test_what_is_not_installed_is_said(shelf: Project, module: str, call: str) -> None:
    """STYLE: without pandas, polars or numpy the error says what to install."""
    shelf.run_task("Giver", "-s", "Give.what=array")
    code = f"import sys; sys.modules[{module!r}] = None\nfrom lute import records\nfound = records.open().find()\n"
    what = "found[0].payload()" if call == "payload" else f"found.{call}()"
    done = subprocess.run([sys.executable, "-c", code + what], cwd=shelf.folder, capture_output=True, text=True)
    assert f"pip install {module}" in done.stderr.splitlines()[-1]


def test_notebooks_do_not_pay_for_what_they_do_not_use() -> None:
    """DESIGN: heavy libraries load when they are first needed."""
    code = "import sys, lute.records; print({'pandas', 'polars', 'numpy', 'psycopg'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"
