"""The files that a run read and made, as its parameters name them, and their digests."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from lute import IsResult, Output, TaskParameters, TemplateConfig, TemplateParameters, ThirdPartyParameters
from lute.base.files import make_folder
from lute.execution import provenance
from lute.execution.outputs import RunOutputs
from lute.execution.plan import Plan, Settings
from lute.execution.provenance import MOST_FILES, Provenance, digest_of
from lute.models.base import AnalysisHeader
from lute.record.rows import RunFiles, new_run_id


class Inner(BaseModel):
    """Parameters inside parameters."""

    files: list[Path] = []
    text: str = ""


class TracedParameters(TaskParameters):
    """Parameters of all kinds that may name files."""

    path: Path | None = None
    text: str = ""
    number: int = 0
    several: list[str] = []
    pair: tuple[str, str] = ("", "")
    by_name: dict[str, Any] = {}
    names: set[Path] = set()
    frozen: frozenset[str] = frozenset()
    inner: Inner = Inner()
    out: Annotated[Path | None, Output()] = None
    outs: Annotated[list[str], Output()] = []
    result: Annotated[str, IsResult()] = ""


class TracedProgramParameters(ThirdPartyParameters):
    """A program with a template."""

    executable: str = "prog"
    lute_template_cfg: TemplateConfig = TemplateConfig(template_name="a", output_path="b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with files."""
    for name in ("a", "b", "c d", "é", "prog"):
        (tmp_path / name).write_text(f"text of {name}", encoding="utf-8")
    (tmp_path / "empty").write_text("")
    (tmp_path / "inside").mkdir()
    return tmp_path


def made_from(
    folder: Path, model: type[TaskParameters] = TracedParameters, digests: bool = False, **given: Any
) -> Provenance:
    """What a run with these parameters is made from, in the folder."""
    return of_params(folder, model(lute_config=AnalysisHeader(work_dir=str(folder), digests=digests), **given))


def of_params(folder: Path, params: TaskParameters) -> Provenance:
    """What a run with these parameters is made from, in the folder."""
    plan = Plan("None", params, f"{folder}/config.yaml", str(folder), False, None, {}, Settings(), [])
    files = RunFiles.of(str(folder), new_run_id())
    make_folder(files.folder)
    return Provenance(plan, files, RunOutputs(params, str(folder)))


def inputs(folder: Path, model: type[TaskParameters] = TracedParameters, **given: Any) -> list[tuple[str, str]]:
    """Which parameter named which file, relative to the folder, as it is told at a run's start."""
    found = made_from(folder, model, **given).at_start()["inputs"]
    return [(file["parameter"], os.path.relpath(file["path"], folder)) for file in found]


@pytest.mark.parametrize(
    ("parameter", "value", "names"),
    [
        ("path", "a", ["a"]),
        ("path", None, []),
        ("text", "a", ["a"]),
        ("text", "c d", ["c d"]),
        ("text", "é", ["é"]),
        ("text", "", []),
        ("text", "none", []),
        ("text", "a\n", []),
        ("text", "a\0", []),
        ("text", "a" * 5000, []),
        ("text", "a" * 300, []),
        ("number", 1, []),
        ("several", ["a", "none", "b", ""], ["a", "b"]),
        ("pair", ("b", "a"), ["b", "a"]),
        ("by_name", {"b": "a", "deep": [{"er": "c d"}]}, ["a", "c d"]),
        ("inner", {"files": ["a", "b"], "text": "é"}, ["a", "b", "é"]),
        ("text", "empty", ["empty"]),
        ("text", "inside", ["inside"]),
        ("text", ".", []),
    ],
)
def test_the_files_that_parameters_name(folder: Path, parameter: str, value: Any, names: list[str]) -> None:
    """B2: any text, path or collection that names an existing file, however deep, or a folder; not that of the run itself."""
    assert inputs(folder, **{parameter: value}) == [(parameter, name) for name in names]


@pytest.mark.parametrize("parameter", ["names", "frozen"])
def test_the_files_of_a_set(folder: Path, parameter: str) -> None:
    """B2: files in a set are inputs like those in a list, in an order that is the same for each run."""
    assert inputs(folder, **{parameter: ["é", "b", "none", "a"]}) == [(parameter, name) for name in ("a", "b", "é")]


def test_an_absolute_path_stands(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """B2: relative paths start from the folder that the run is in."""
    other = tmp_path_factory.mktemp("other")
    (other / "a").write_text("another")
    found = made_from(folder, several=["a", str(other / "a")]).at_start()["inputs"]
    assert [(file["path"], file["size"]) for file in found] == [(f"{folder}/a", 9), (f"{other}/a", 7)]


def test_a_program_and_its_template(folder: Path) -> None:
    """B2: a template's variables may name inputs; the program itself and where its configuration goes do not."""
    found = inputs(folder, TracedProgramParameters, executable="prog", one=TemplateParameters(["a"]))
    assert found == [("one", "a")]


def test_the_header_names_no_inputs(folder: Path) -> None:
    """B2: what the header says, such as the record's own file, is no input."""
    header = AnalysisHeader(work_dir=str(folder), database="a", title="b")
    assert of_params(folder, TracedParameters(lute_config=header)).at_start()["inputs"] == []


def test_outputs_are_looked_at_when_they_are_made(folder: Path) -> None:
    """B2: what is marked as output or result is no input though it is there; at the end it is told, a folder as well."""
    made = made_from(folder, path="a", out="b", outs=["inside", "none", "later"], result="é")
    made._outputs.before()
    assert [file["parameter"] for file in made.at_start()["inputs"]] == ["path"]
    (folder / "later").write_text("made")
    (folder / "b").write_text("text of B")
    (folder / "inside" / "file").write_text("made")
    made._outputs.after()
    told = made.at_end({"python": "3"})
    assert [(file["parameter"], os.path.basename(file["path"]), file["size"]) for file in told["outputs"]] == [
        ("out", "b", 9),
        ("outs", "inside", None),
        ("outs", "later", 4),
        ("result", "é", 10),
    ]
    assert [file["parameter"] for file in told["inputs"]] == ["path"]
    assert [code["path"] for code in told["code"]] == [__file__], "it defines the model"
    assert told["versions"]["python"] == "3"


def test_only_so_many_files_are_told(folder: Path) -> None:
    """B2: a run that names very many files does not make the record large."""
    assert len(inputs(folder, several=["a"] * (MOST_FILES + 1))) == MOST_FILES


def test_where_values_came_from(folder: Path) -> None:
    """B2: the runs that values were taken from, by parameter."""
    made = made_from(folder, text="a")
    made._params._lute_sources = {"text": "0123456789ab"}
    assert made.at_start()["sources"] == {"text": "0123456789ab"}


# ---------------------------------------------------------------------------------------- digests


def sha256(text: str) -> str:
    """The digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def test_digests_are_taken_when_asked_for(folder: Path) -> None:
    """B2: with `digests` the SHA-256 of what was read and made, at the end; a folder has none."""
    given = {"path": "a", "text": "empty", "out": "b", "outs": ["inside"]}
    plain = made_from(folder, **given)
    plain.at_start()
    told = plain.at_end({})
    assert [file["digest"] for file in told["inputs"]] == [None, None]
    assert [file["digest"] for file in told["outputs"]] == [None, sha256("")], "a folder's is of the list of its files"
    made = made_from(folder, digests=True, **given)
    assert {file["digest"] for file in made.at_start()["inputs"]} == {None}, "a run does not wait for these to start"
    told = made.at_end({})
    assert [file["digest"] for file in told["inputs"]] == [sha256("text of a"), sha256("")]
    assert [file["digest"] for file in told["outputs"]] == [sha256("text of b"), sha256("")]


def test_a_file_that_changed_meanwhile_has_no_digest(folder: Path) -> None:
    """B2: a digest is of what the run read, so none is better than that of what came later."""
    [known] = made_from(folder, path="a").at_start()["inputs"]
    assert digest_of(known) == sha256("text of a")
    before = os.stat(folder / "a")
    (folder / "a").write_text("TEXT OF A")
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert digest_of(known) is None, "another time"
    (folder / "a").write_text("longer than before")
    os.utime(folder / "a", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert digest_of(known) is None, "another size"
    (folder / "a").unlink()
    assert digest_of(known) is None, "gone"


@pytest.mark.parametrize("nanoseconds", [1, 499, 924, 999, 639002924, 999999999])
def test_a_time_is_that_of_the_file_whatever_its_nanoseconds(folder: Path, nanoseconds: int) -> None:
    """A time as float is 200 ns off, so that its microsecond may be another."""
    os.utime(folder / "a", ns=(0, 1_764_591_927 * 10**9 + nanoseconds))
    [known] = made_from(folder, path="a").at_start()["inputs"]
    assert digest_of(known) == sha256("text of a")


def test_what_goes_wrong_costs_the_run_nothing(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """B2: where a run comes from never decides about it: a look that fails is told in the log."""

    def fails(*_: Any) -> None:
        raise RuntimeError("boom")

    made = made_from(folder, path="a", out="b")
    for name in ("inputs_named", "dependencies"):
        monkeypatch.setattr(provenance, name, fails)
    with caplog.at_level("WARNING"):
        assert (made.at_start(), made.at_end({})) == ({}, {})
    assert [record.message for record in caplog.records] == ["where this run comes from is not recorded"] * 2
