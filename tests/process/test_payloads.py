"""Payloads and summaries: each kept where it can be read back, or told why not; the status stays the Task's."""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Project
from process.helpers import peak

NUMPY = "import numpy as np"


@pytest.fixture
def gives(project: Project) -> Project:
    """A project with a Task that gives what it is told to."""
    project.plugin("gives")
    return project


def give(
    project: Project, payload: str = "''", summary: str = "''", before: str = "", **keywords: Any
) -> dict[str, Any]:
    """Runs the Task. Returns the JSON of a run that completed."""
    texts = {"payload": payload, "summary": summary, "before": before}
    project.config(f"Give: {json.dumps(texts)}")
    found = project.run_task("Give", **keywords)
    assert (found["returncode"], found["status"], found["exit_code"]) == (0, "COMPLETED", 0), found
    return found


def read_back(kept: dict[str, Any]) -> Any:
    """Reads what an entry of the JSON says was kept."""
    path = Path(kept["path"])
    assert path.is_absolute()
    if path.suffix == ".npy":
        return np.load(path, allow_pickle=False)
    if kept["type"].endswith("bytes"):
        return path.read_bytes()
    return pickle.loads(path.read_bytes())


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        (
            "{'a': 1, 'b': [0.5, None, True], 'caf\\u00e9': {'d': 'it\\'s'}}",
            {"a": 1, "b": [0.5, None, True], "caf\u00e9": {"d": "it's"}},
        ),
        ("'text with \\'quotes\\' and \\n a line'", "text with 'quotes' and \n a line"),
        ("0", 0),
        ("[{}, 0, 0.0, False, 1.5, 'x', '', 2**70]", [{}, 0, 0.0, False, 1.5, "x", "", 2**70]),
    ],
)
def test_what_is_json_is_kept_as_json(gives: Project, expression: str, wanted: Any) -> None:
    """A4, B: a dict is kept as JSON, text as text, a number or a bool as one, 0 and False too; `show` tells the same."""
    found = give(gives, expression)
    assert repr(found["payload"]) == repr(wanted)
    shown = gives.lute("show", found["id"], "-c", "config.yaml", "--json").json
    assert shown == {name: value for name, value in found.items() if name in shown}


def test_a_dict_as_summary_is_kept_as_text_with_semicolons(gives: Project) -> None:
    """A4: a dict as summary is kept as `key: value;key: value`."""
    found = give(gives, summary="{'Rmerge': 0.054, 'CC1/2': '0.998', 'space group': 'P 21'}")
    assert found["summary"] == "Rmerge: 0.054;CC1/2: 0.998;space group: P 21"


ARRAYS = [
    ("np.arange(24, dtype='float32').reshape(2, 3, 4)", "float32", [2, 3, 4]),
    ("np.asfortranarray(np.arange(12).reshape(3, 4))", "int64", [3, 4]),
    ("np.arange(100)[::7]", "int64", [15]),
    ("np.zeros((0, 3))", "float64", [0, 3]),
    ("np.array(['a', 'b\\u00e9'])", "<U2", [2]),
    ("np.arange(6, dtype='>u2').reshape(2, 3)", ">u2", [2, 3]),
    ("np.array([True, False])", "bool", [2]),
    ("np.array([1+2j])", "complex128", [1]),
    ("np.array([(1, [2.5, 3])], dtype=[('n', 'i4'), ('x', 'f8', 2)])", None, [1]),
    ("np.array(['2026-01-01'], dtype='M8[D]')", "datetime64[D]", [1]),
]


def test_arrays_are_kept_with_shape_and_dtype(gives: Project) -> None:
    """A4, B: an array is kept where it can be read back, with type, path, size, shape and dtype; so is one in a list."""
    alone = give(gives, ARRAYS[0][0], before=NUMPY)["payload"]
    several = give(gives, f"[{', '.join(text for text, _, _ in ARRAYS)}]", before=NUMPY)["payload"]
    assert len({kept["path"] for kept in several}) == len(ARRAYS)
    for kept, (expression, dtype, shape) in zip([alone, *several], [ARRAYS[0], *ARRAYS], strict=True):
        wanted = eval(expression, {"np": np})
        found = read_back(kept)
        assert (kept["type"].rpartition(".")[2], kept["shape"]) == ("ndarray", shape), expression
        assert kept["size"] >= wanted.nbytes
        assert dtype is None or np.dtype(kept["dtype"]) == np.dtype(dtype)
        assert kept["dtype"]
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_a_big_array_is_kept(gives: Project) -> None:
    """A4: 64 MB come whole."""
    kept = give(gives, "np.arange(8_000_000, dtype='float64').reshape(8, 1000, 1000)", before=NUMPY)["payload"]
    assert kept["shape"] == [8, 1000, 1000]
    np.testing.assert_array_equal(read_back(kept).ravel(), np.arange(8_000_000.0))


def test_a_big_array_takes_no_more_memory_than_some_copies(gives: Project) -> None:
    """DESIGN: arrays travel as such; nowhere is one made into a list of Python's numbers."""
    texts = {"payload": "np.zeros(8_000_000)", "before": NUMPY}
    gives.config(f"Give: {json.dumps(texts)}")
    found = peak(gives, "run", "Give", "-c", "config.yaml", "--json")
    assert found["code"] == 0
    assert json.loads((gives.folder / "peak.out").read_text())["payload"]["shape"] == [8_000_000]
    assert found["rss_kib"] < 400_000, f"{found['rss_kib']} KiB for 62,500 KiB"


@pytest.mark.slow
def test_a_gigabyte_is_kept(gives: Project) -> None:
    """A4, "Done when": an array of 1 GB comes whole."""
    found = give(gives, "np.arange(125_000_000, dtype='float64')", before=NUMPY, timeout=110)
    array = np.load(found["payload"]["path"], mmap_mode="r")
    assert array.nbytes == 1_000_000_000
    assert (array[::1_000_003] == np.arange(125_000_000, dtype="float64")[::1_000_003]).all()
    Path(found["payload"]["path"]).unlink()


@pytest.mark.parametrize(("opening", "closing"), [("(", ",)"), ("[", "]")])
def test_a_mixture_is_kept_part_by_part(gives: Project, opening: str, closing: str) -> None:
    """A4: a payload may be a tuple or list of dict, text, arrays, numbers, pages and anything else."""
    inside = (
        "{'a': 1}, 'text', np.arange(3), 5, ElogSummaryPlots('mix/page', '<p>drawn</p>'), datetime.date(2026, 1, 2)"
    )
    found = give(gives, f"{opening}{inside}{closing}", before=NUMPY)
    mapping, text, array, number, page, date = found["payload"]
    assert (mapping, text, number) == ({"a": 1}, "text", 5)
    assert (array["shape"], read_back(array).tolist()) == ([3], [0, 1, 2])
    [path] = found["plots"]
    assert path in json.dumps(page)
    assert Path(path) == Path(found["log"]).parent / "plots/mix/page/report.html"
    assert "2026" in json.dumps(date) or str(read_back(date)) == "2026-01-02"


def test_a_summary_may_be_a_mixture(gives: Project) -> None:
    """A4: a summary may be a tuple: its dict is posted and kept as text, its page written, its text kept."""
    found = give(gives, summary="({'n': 5, 'm': 0}, 'well done', ElogSummaryPlots('one', '<p>drawn</p>'))")
    assert "n: 5;m: 0" in str(found["summary"])
    assert "well done" in str(found["summary"])
    assert found["plots"] == [str(Path(found["log"]).parent / "plots/one/report.html")]


OTHERS = [
    "{1, 2, 3}",
    "b'\\x00\\xff bytes'",
    "datetime.datetime(2026, 1, 2, 3, 4)",
    "complex(1, 2)",
    "{'when': datetime.date(2026, 1, 2), ('a', 1): {1, 2}}",
    "collections.OrderedDict(a=1)",
    "Path('/a b/c')",
    "float('nan')",
]


def test_anything_else_is_kept(gives: Project) -> None:
    """A4: anything else is kept where it can be read back, with type and size; what is printed is valid JSON."""
    import collections
    import datetime

    names = {"datetime": datetime, "collections": collections, "Path": Path}
    alone = give(gives, OTHERS[0])["payload"]
    several = give(gives, f"[{', '.join(OTHERS)}]")["payload"]
    assert len(several) == len(OTHERS)
    for found, expression in zip([alone, *several], [OTHERS[0], *OTHERS], strict=True):
        assert found not in (None, ""), expression
        if isinstance(found, dict) and "path" in found:
            value, wanted = read_back(found), eval(expression, names)
            assert value == wanted or value != value
            assert found["size"] == Path(found["path"]).stat().st_size
            assert found["type"]


def test_an_array_without_dimensions_is_a_value(gives: Project) -> None:
    """A4, B: the result of a reduction is told as a number, or as an array that can be read back."""
    found = give(gives, "np.array(5.5)", before=NUMPY)["payload"]
    assert (read_back(found) if isinstance(found, dict) else found) == 5.5


def test_numpy_scalars_and_dicts_of_arrays(gives: Project) -> None:
    """A4: what analysis code gives: numpy numbers in a dict, and arrays in one."""
    found = give(
        gives, "{'n': np.int64(5), 'x': np.float32(0.5), 'ok': np.bool_(True), 'a': np.arange(3)}", before=NUMPY
    )
    kept = found["payload"]
    if "path" in kept:
        kept = read_back(kept)
    assert (kept["n"], kept["x"], kept["ok"]) == (5, 0.5, True)
    array = kept["a"]
    array = read_back(array) if isinstance(array, dict) else array
    assert list(array) == [0, 1, 2]


# ------------------------------------------------------------------------------------ objects

LATE = "class Late:\n  def __init__(self): self.x = 5\n  def __setstate__(self, state): import time; time.sleep(1.2); self.x = 5"


def in_own_module(code: str) -> str:
    """Code that makes a module which only the Task's process can import."""
    return (
        "import types\nmodule = types.ModuleType('only_here')\nsys.modules['only_here'] = module\n"
        f"exec({code!r}, vars(module))\n"
    )


@pytest.mark.parametrize(
    ("payload", "before"),
    [
        ("Own()", "class Own:\n  x = 5"),
        ("only_here.Own()", in_own_module("class Own:\n  x = 5") + "only_here = module"),
        ("[1, only_here.Own()]", in_own_module("class Own:\n  x = 5") + "only_here = module"),
        ("threading.Lock()", ""),
        ("(n for n in range(3))", ""),
        ("lambda: 5", ""),
        ("open('config.yaml')", ""),
    ],
)
def test_what_cannot_be_loaded_is_told(gives: Project, payload: str, before: str) -> None:
    """A4: a value whose class the parent lacks, or that cannot be sent, is told with a reason; the status is the Task's."""
    texts = {"payload": payload, "before": before, "summary": "'a summary'"}
    gives.config(f"Give: {json.dumps(texts)}")
    outcome = gives.lute("run", "Give", "-c", "config.yaml", "--json")
    found = outcome.json
    assert (outcome.code, found["status"], found["summary"]) == (0, "COMPLETED", "a summary")
    kept = found["payload"][1] if payload.startswith("[") else found["payload"]
    assert {"type", "path", "size"} <= set(kept), kept
    assert re.search("Own|lock|generator|function|TextIOWrapper", kept["type"])
    told = outcome.err + json.dumps(kept) + Path(found["log"]).read_text()
    assert re.search("pickle|import|module|attribute|class", told), told
    if kept["path"]:
        assert Path(kept["path"]).exists()


def test_an_object_that_takes_a_second_to_load(gives: Project) -> None:
    """A4, "Done when": an object that takes a second to load is kept, and the run is COMPLETED."""
    gives.write("slow_to_load.py", LATE)
    before = f"sys.path.insert(0, {str(gives.folder)!r})\nimport slow_to_load"
    found = give(gives, "slow_to_load.Late()", before=before, env={"PYTHONPATH": str(gives.folder)})
    kept = found["payload"]
    assert kept["type"].endswith("Late")
    assert Path(kept["path"]).stat().st_size == kept["size"] > 0
    code = f"import sys, pickle; sys.path.insert(0, {str(gives.folder)!r}); print(pickle.load(open({kept['path']!r}, 'rb')).x)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "5\n"


@pytest.mark.parametrize("error", ["raise ValueError('cannot load me')", "import sys; sys.exit(3)"])
def test_an_object_whose_loading_fails(gives: Project, error: str) -> None:
    """A4: a value that the parent cannot load is kept as bytes, with the reason; the status is the Task's."""
    gives.write(
        "bad_to_load.py", f"class Bad:\n  def __init__(self): self.x = 5\n  def __setstate__(self, state):\n    {error}"
    )
    before = f"sys.path.insert(0, {str(gives.folder)!r})\nimport bad_to_load"
    found = give(gives, "bad_to_load.Bad()", before=before, env={"PYTHONPATH": str(gives.folder)})
    kept = found["payload"]
    assert "Bad" in kept["type"]
    assert b"bad_to_load" in Path(kept["path"]).read_bytes()
    assert len(json.dumps(kept)) > 0


def test_an_object_whose_pickling_fails_does_not_hide_the_status(gives: Project) -> None:
    """A4: a value whose own code breaks while it is sent is told; the summary and the status arrive."""
    before = "class Bad:\n  def __reduce__(self): raise RuntimeError('not me')\n  def __repr__(self): raise RuntimeError('nor that')"
    found = give(gives, "Bad()", summary="'all the same'", before=before)
    assert found["summary"] == "all the same"
    assert "Bad" in json.dumps(found["payload"])


def test_a_failed_task_may_give_a_payload(project: Project) -> None:
    """A4: what a Task gave before it said that it failed is kept all the same."""
    project.write(
        "tasks.py",
        """
        from lute import Task, TaskParameters, TaskStatus

        class HalfParameters(TaskParameters):
            pass

        class Half(Task):
            def _run(self):
                self._result.payload = {"half": 1}
                self._result.summary = "half of it"
                self._result.task_status = TaskStatus.FAILED
        """,
    )
    project.config()
    found = project.run_task("Half")
    assert (found["status"], found["payload"], found["summary"]) == ("FAILED", {"half": 1}, "half of it")


# ------------------------------------------------------------------------------------- figures

FIGURES = {
    "matplotlib": (
        "import matplotlib\nmatplotlib.use('agg')\nfrom matplotlib.figure import Figure\n"
        "figure = Figure()\nfigure.subplots().plot([1, 2, 3], [4, 1, 5])\nfigure.suptitle('a title')",
        "<svg|<img|data:image",
    ),
    "pyplot": (
        "import matplotlib\nmatplotlib.use('agg')\nimport matplotlib.pyplot as plt\n"
        "figure, axes = plt.subplots()\naxes.imshow([[1, 2], [3, 4]])",
        "<svg|<img|data:image",
    ),
    "holoviews": (
        "import holoviews as hv\nhv.extension('bokeh')\nfigure = hv.Curve([1, 2, 3]) * hv.Scatter([3, 1, 2])",
        "bokeh",
    ),
    "panel": (
        "import panel as pn\nimport holoviews as hv\npn.extension()\nhv.extension('bokeh')\n"
        "figure = pn.Tabs(('curve tab', hv.Curve([1, 2, 3])), ('text tab', pn.pane.Markdown('# words')))",
        "curve tab",
    ),
}


@pytest.mark.parametrize("kind", list(FIGURES))
def test_figures_become_a_self_contained_page(gives: Project, kind: str) -> None:
    """A1, A4: matplotlib, holoviews and panel figures are written as a page that needs nothing from elsewhere."""
    before, holds = FIGURES[kind]
    found = give(gives, f"ElogSummaryPlots('scans/{kind} scan', figure)", before=before)
    page = Path(found["log"]).parent / f"plots/scans/{kind} scan/report.html"
    assert found["plots"] == [str(page)]
    assert str(page) in json.dumps(found["payload"])
    html = page.read_text(encoding="utf-8")
    assert re.search(holds, html)
    assert (
        re.findall(r"""<(?:script|link|img|iframe)[^>]+(?:src|href)\s*=\s*["']?(?:https?:)?//[^"'\s>]+""", html) == []
    )
    assert "<html" in html.lower()
    assert page.stat().st_mode & 0o007 == 0


@pytest.mark.parametrize("place", ["summary", "payload"])
def test_a_page_may_be_payload_or_summary(gives: Project, place: str) -> None:
    """A4: an ElogSummaryPlots as payload or as summary is written as a page; its path is kept."""
    found = give(gives, **{place: "ElogSummaryPlots('a/b/c', '<p>drawn</p>')"})
    page = Path(found["log"]).parent / "plots/a/b/c/report.html"
    assert found["plots"] == [str(page)]
    assert "<p>drawn</p>" in page.read_text()
    assert str(page) in json.dumps(found[place])


def test_a_display_name_never_leads_out_of_the_folder(gives: Project) -> None:
    """A1, C5: a page lies below `summary` and the run's `plots`, whatever its name; the run is COMPLETED."""
    names = ["../../outside", "/tmp/outside", "a/../../../outside", "..", "", "a//b", ".", "a/./b", "x" * 300]
    found = give(gives, f"[ElogSummaryPlots(name, '<p>drawn</p>') for name in {names!r}]")
    latest, own = gives.folder / "summary", Path(found["log"]).parent / "plots"
    pages = [page.resolve() for page in gives.folder.rglob("report.html")]
    kept = {str(page) for page in pages if own in page.parents}
    assert {str(page) for page in pages if latest not in page.parents} == kept == set(found["plots"])
    assert len(kept) >= 3
    for outside in (gives.folder, gives.folder.parent, gives.folder.parent.parent, Path("/tmp")):
        assert not (outside / "outside").exists()


def test_a_display_name_is_escaped_in_its_page(gives: Project) -> None:
    """B5: markup in a page's name does nothing in the page."""
    found = give(gives, "ElogSummaryPlots('tab/<script>alert(1)<', '<p>drawn</p>')")
    [page] = found["plots"]
    assert "<script>alert(1)" not in Path(page).read_text()


def test_a_figure_that_cannot_be_drawn_is_told(gives: Project) -> None:
    """A4: a figure of a kind that nobody knows, or one whose drawing breaks, is told; the status is the Task's."""
    before = "class Broken:\n  def savefig(self, *a, **k): raise RuntimeError('no ink')"
    texts = {"payload": "[{'a': 1}, ElogSummaryPlots('bad', Broken())]", "before": before, "summary": "'fine'"}
    gives.config(f"Give: {json.dumps(texts)}")
    outcome = gives.lute("run", "Give", "-c", "config.yaml", "--json")
    found = outcome.json
    assert (outcome.code, found["status"], found["summary"], found["payload"][0]) == (0, "COMPLETED", "fine", {"a": 1})
    told = outcome.err + json.dumps(found["payload"][1])
    assert "Broken" in told or "bad" in told


def test_the_page_of_a_second_run_takes_the_place_of_the_first(gives: Project) -> None:
    """A4, C5: the latest page of a name lies in `summary`; each run keeps its own."""
    first, second = (give(gives, f"ElogSummaryPlots('again', '<p>{text}</p>')") for text in ("first", "second"))
    assert os.listdir(gives.folder / "summary/again") == ["report.html"]
    for page, text in (
        (gives.folder / "summary/again/report.html", "second"),
        (Path(second["plots"][0]), "second"),
        (Path(first["plots"][0]), "first"),
    ):
        assert re.findall("<p>(first|second)</p>", page.read_text()) == [text]
