"""The numbers of the page on performance are those of the results that are kept.

`python benchmarks/page.py` puts them in anew, and draws the pictures.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "explanation" / "performance.md"
RESULTS = ROOT / "benchmarks" / "results.json"


def test_the_numbers_are_those_of_the_kept_results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 4: the numbers in the docs come from a committed JSON of one run."""
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import page

    text, results = PAGE.read_text(encoding="utf-8"), json.loads(RESULTS.read_text(encoding="utf-8"))
    assert page.filled(text, results) == text, "run: python benchmarks/page.py"
    empty = page.filled(text, {**results, "lines": {}})
    assert empty != text
    for what in re.findall(r"<!-- = (\S+) ", text):
        assert what.rpartition(".")[0] in {line["row"] for line in results["lines"].values()}, what
    sys.modules.pop("page")


def test_every_line_that_grows_has_its_drawing_on_the_page() -> None:
    """Issue 4.3: a log-log plot for each."""
    lines = json.loads(RESULTS.read_text(encoding="utf-8"))["lines"]
    shown = set(re.findall(r"\(performance/(.+?)\.svg\)", PAGE.read_text(encoding="utf-8")))
    assert all((PAGE.parent / "performance" / f"{name}.svg").is_file() for name in shown)
    assert {name for name, line in lines.items() if line["growth"]} - {"growth.log_by_size.cat"} <= shown
