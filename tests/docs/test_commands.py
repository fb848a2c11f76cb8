"""Every command and every option has its place in the reference, and no page is about what does not exist."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from lute.cli import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference" / "commands"
LINK = re.compile(r"\]\((?!https?:|mailto:|#)([^)#\s]+)")
CODE = re.compile(r"^```python[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def parser_of(command: str) -> argparse.ArgumentParser:
    """Returns the parser of one command."""
    for action in build_parser()._actions:
        if isinstance(action, argparse._SubParsersAction):
            parser = action.choices[command]
            assert isinstance(parser, argparse.ArgumentParser)
            return parser
    raise AssertionError("lute has no commands")


def pages() -> list[Path]:
    """Returns every page."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "changes/README.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} == set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_page_and_every_option_in_the_page_exists(command: str) -> None:
    text = (FOLDER / f"{command}.md").read_text(encoding="utf-8")
    actions = parser_of(command)._actions
    options = {option for action in actions for option in action.option_strings}
    written = set(re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE))
    named = {part.split()[0] for cell in written for part in cell.split("`, `")}
    assert {option for option in options if option not in ("-h", "--help")} <= named
    assert {name for name in named if name.startswith("-")} <= options
    for action in actions:
        if not action.option_strings:
            assert action.metavar in named, f"{action.metavar} is not in the table of arguments"


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_says_how_the_command_is_called(command: str) -> None:
    text = (FOLDER / f"{command}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# lute {command}\n")
    for heading in ("## Options", "## Exit status", "## Example"):
        assert f"\n{heading}\n" in text
    assert ("--json" not in parser_of(command)._option_string_actions) or "\n## JSON\n" in text


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_pages_compiles(page: Path) -> None:
    for code in CODE.findall(page.read_text(encoding="utf-8")):
        compile(code, str(page), "exec")
