"""The folders of `lute` are layers, as the page about them says."""

from __future__ import annotations

import ast
import importlib.util
import re
from collections.abc import Iterable, Sequence
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def _load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("architecture", ROOT / "docs" / "architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


code = _load()
PAGE = code.PAGE.read_text(encoding="utf-8")
EDGES = code.imports()


def going_up(edges: Iterable[tuple[str, str]], rows: Sequence[Sequence[str]]) -> list[tuple[str, str]]:
    """Returns the imports that go from a row to a higher one."""
    height = {name: number for number, row in enumerate(rows) for name in row}
    return [(source, target) for source, target in edges if height[target] < height[source]]


def in_one_row(edges: Iterable[tuple[str, str]], rows: Sequence[Sequence[str]]) -> set[tuple[str, str]]:
    """Returns the imports within a row."""
    return {(source, target) for source, target in edges if any(source in row and target in row for row in rows)}


def ring(edges: Iterable[tuple[str, str]]) -> list[str]:
    """Returns the parts of one ring; nothing if there is none."""
    sorter: TopologicalSorter[str] = TopologicalSorter()
    for source, target in edges:
        sorter.add(source, target)
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def sentences(docstring: str) -> int:
    """Returns the number of sentences in a docstring's first paragraph; 0 if that does not end as one."""
    first = " ".join(docstring.split("\n\n")[0].split())
    return len(re.findall(r"[.!?](?= [A-Z`]|$)", first)) if first.endswith(".") else 0


def test_imports_go_down() -> None:
    rows = [code.doors(), *code.layers()]
    assert [(pair, sorted(EDGES[pair])) for pair in going_up(EDGES, rows)] == []
    assert ("cli", "config") in EDGES, "imports inside functions are seen"


def test_an_import_that_goes_up_is_found() -> None:
    assert going_up([("low", "high"), ("high", "low")], [["high"], ["low"]]) == [("low", "high")]


def test_there_is_no_ring_of_folders() -> None:
    assert ring(EDGES) == []


def test_a_ring_is_found() -> None:
    assert set(ring([("a", "b"), ("b", "c"), ("c", "a"), ("a", "d")])) == {"a", "b", "c"}


def test_within_a_row_the_page_names_every_import_and_none_is_a_ring() -> None:
    found = in_one_row(EDGES, code.layers())
    assert ring(found) == []
    text = PAGE.split("with these exceptions", 1)[1].split("\n\n", 1)[0]
    named = {
        (source, target)
        for part in text.split(":", 1)[1].split(";")
        for sources, targets in [part.split("import", 1)]
        for source in re.findall(r"`(\w+)`", sources)
        for target in re.findall(r"`(\w+)`", targets)
    }
    assert found == named


def test_an_import_within_a_row_is_found() -> None:
    assert in_one_row([("a", "b"), ("a", "c")], [["a", "b"], ["c"]]) == {("a", "b")}


def test_every_part_has_its_place() -> None:
    """Each folder and module of `lute` stands once, in the table or among the doors."""
    there = {code.part_of(module) for module in code.modules()}
    named = [*code.doors(), *(name for row in code.layers() for name in row)]
    assert sorted(named) == sorted(there)
    for name in (f"`{name}/`" if (code.HOME / name).is_dir() else f"`{name}.py`" for name in named):
        assert name in PAGE


@pytest.mark.parametrize(
    "folder", sorted({path.parent for path in code.modules().values()}), ids=lambda path: path.name
)
def test_a_package_says_what_it_is(folder: Path) -> None:
    """Its docstring begins with one sentence."""
    text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8")))
    assert text is not None
    assert sentences(text) == 1


@pytest.mark.parametrize(
    ("text", "number"), [("One.", 1), ("None", 0), ("One. Two.", 2), ("`a.b` is 1.5.\n\nMore. M.", 1)]
)
def test_sentences_are_counted(text: str, number: int) -> None:
    assert sentences(text) == number


def test_imports_are_seen_wherever_they_are() -> None:
    """Those inside functions count; those for the type checker alone do not."""
    text = """
import one
if TYPE_CHECKING:
    import two
else:
    import three
def function():
    try:
        from four import five
    finally:
        if typing.TYPE_CHECKING:
            from six import seven
"""
    assert list(code.imported(ast.parse(text))) == [("one", ""), ("three", ""), ("four", "five")]


def test_types_of_rows_are_for_the_type_checker_alone() -> None:
    """To make classes of 50 fields would take time at each start."""
    rows = {("lute.record.types", ""), ("lute.record", "types")}
    for path in code.modules().values():
        found = set(code.imported(ast.parse(path.read_text(encoding="utf-8"))))
        assert not rows & found
        assert "lute.record.types" not in {origin for origin, _ in found}


def test_the_drawing_is_that_of_the_code() -> None:
    """`python docs/architecture.py` draws it."""
    assert code.IMAGE.read_text(encoding="utf-8") == code.draw(code.layers(), EDGES)


def test_the_drawing_shows_an_import_that_goes_up() -> None:
    good = code.draw([["high"], ["low"]], {("high", "low"): {"high.one"}})
    bad = code.draw([["high"], ["low"]], {("low", "high"): {"low.one"}})
    assert ("#c53030" in good, "#c53030" in bad) == (False, True)


def test_the_tables_name_what_there_is() -> None:
    """Each file and function that the page names is there."""
    for path, function in re.findall(r"`([a-z_]+/[\w/]+\.py)(?:: ([\w.]+))?`", PAGE):
        if path.startswith(("docs/", "tests/")):
            assert (ROOT / path).is_file()
            continue
        text = (code.HOME / path.removeprefix("lute/")).read_text(encoding="utf-8")
        for name in function.split(".") if function else []:
            assert re.search(rf"^\s*(?:def|class) {name}\b|^{name}\b", text, re.MULTILINE), (path, name)
