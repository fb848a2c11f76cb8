"""Every command and every option has its place in the reference, and no page is about what does not exist."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from lute.cli import COMMANDS, build_parser

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "reference" / "commands"
TITLED = re.compile(r"^```\w+ title=(\S+)$", re.MULTILINE)
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


def actions_of(command: str) -> dict[str, argparse.ArgumentParser]:
    """Returns the parsers of a command's own commands, by name; empty if it has none."""
    found = [one.choices for one in parser_of(command)._actions if isinstance(one, argparse._SubParsersAction)]
    return dict(found[0]) if found else {}


def named_in(text: str) -> set[str]:
    """Returns the arguments and options in the first columns of a text's tables."""
    cells = re.findall(r"^\| `(.+?)` \|", text, re.MULTILINE)
    return {part.split()[0] for cell in cells for part in cell.split("`, `")}


def section_of(text: str, heading: str) -> str:
    """Returns what stands below a heading of the second level."""
    found = re.search(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"there is no heading: ## {heading}"
    return found[1]


def pages() -> list[Path]:
    """Returns every page."""
    names = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "changes/README.md")
    return [*(ROOT / name for name in names), *sorted((ROOT / "docs").rglob("*.md"))]


def test_every_command_has_a_page_and_every_page_a_command() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} == set(COMMANDS)


def test_the_index_leads_to_every_page() -> None:
    linked = set(LINK.findall((ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    folder = ROOT / "docs"
    assert {str(page.relative_to(folder)) for page in folder.rglob("*.md")} - {"index.md"} == {
        name for name in linked if name.endswith(".md")
    }


def check_options(
    parser: argparse.ArgumentParser, named: set[str], shared: set[str] | frozenset[str] = frozenset()
) -> None:
    """Fails if a parser's arguments and options are not those that a page names.

    Args:
        parser: The parser.
        named: What is named for it alone.
        shared: What is named for it and others together.
    """
    options = {option for action in parser._actions for option in action.option_strings}
    assert {option for option in options if option not in ("-h", "--help")} <= named | shared
    assert {name for name in named | shared if name.startswith("-")} <= options
    for action in parser._actions:
        if not action.option_strings and not isinstance(action, argparse._SubParsersAction):
            assert action.metavar in named, f"{action.metavar} is not in the table of arguments"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_in_the_page_and_every_option_in_the_page_exists(command: str) -> None:
    text = (FOLDER / f"{command}.md").read_text(encoding="utf-8")
    shared = named_in(section_of(text, "Options"))
    if not actions_of(command):
        check_options(parser_of(command), named_in(text))
    for name, parser in actions_of(command).items():
        check_options(parser, named_in(section_of(text, f"lute {command} {name}")), shared)


@pytest.mark.parametrize("command", [command for command in COMMANDS if actions_of(command)])
def test_every_action_has_a_place_and_every_place_an_action(command: str) -> None:
    text = (FOLDER / f"{command}.md").read_text(encoding="utf-8")
    assert re.findall(rf"^## lute {command} (\S+)$", text, re.MULTILINE) == list(actions_of(command))


@pytest.mark.parametrize("command", COMMANDS)
def test_a_page_says_how_the_command_is_called(command: str) -> None:
    text = (FOLDER / f"{command}.md").read_text(encoding="utf-8")
    assert text.startswith(f"# lute {command}\n")
    for heading in ("## Options", "## Exit status", "## Example"):
        assert f"\n{heading}\n" in text
    parsers = [parser_of(command), *actions_of(command).values()]
    assert not any("--json" in parser._option_string_actions for parser in parsers) or "\n## JSON\n" in text


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} links to {target}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_the_text_names_a_file_before_it_shows_it(page: Path) -> None:
    """A reader of the finished page does not see a block's title."""
    text = page.read_text(encoding="utf-8")
    for block in TITLED.finditer(text):
        said = text[: block.start()].rstrip().rsplit("\n\n", 1)[-1]
        assert f"`{block[1]}`" in said, f"nothing says that this is {block[1]}"


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_pages_compiles(page: Path) -> None:
    for code in CODE.findall(page.read_text(encoding="utf-8")):
        compile(code, str(page), "exec")
