"""Draws the folders of `lute` as layers, and the imports between them, from the code as it is.

    python docs/architecture.py [FILE]

The layers are read from the table in `docs/explanation/architecture.md`.
File written: FILE, or `docs/images/architecture.svg`.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
HOME = DOCS.parent / "src" / "lute"
PAGE = DOCS / "explanation" / "architecture.md"
IMAGE = DOCS / "images" / "architecture.svg"
COPIED = ("cli/projects/",)
"""What `lute init` copies: no modules of `lute`."""

CELL, LINE, TOP, LEFT = 38, 30, 66, 14
"""Sizes in pixels: of a column, of a folder's line, above the first one, and left of it."""

Edges = dict[tuple[str, str], set[str]]
"""For each part that imports another: the modules of the first that do."""


# ------------------------------------------------------------------------------------------ the page


def names_in_table(text: str, heading: str) -> list[list[str]]:
    """Returns the names in each row's first cell of the table below a heading."""
    section = text.split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    return [[name.rstrip("/") for name in re.findall(r"`([^`]+)`", row)] for row in rows]


def layers() -> list[list[str]]:
    """Returns the parts of `lute` in each row of the page's table, top first: `cli`, `testing`."""
    table = names_in_table(PAGE.read_text(encoding="utf-8"), "Folders")
    return [[name.removesuffix(".py") for name in row] for row in table]


def doors() -> list[str]:
    """Returns the parts of `lute` that the page calls doors."""
    table = names_in_table(PAGE.read_text(encoding="utf-8"), "Doors")
    return [name.removesuffix(".py") for row in table for name in row]


# ------------------------------------------------------------------------------------------ the code


def modules() -> dict[str, Path]:
    """Returns the files of all modules by their dotted names."""
    found = {}
    for path in sorted(HOME.rglob("*.py")):
        place = path.relative_to(HOME).as_posix()
        if not place.startswith(COPIED):
            parts = path.relative_to(HOME.parent).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yields module and name of what is imported at run time, inside functions too; the name is empty for a module."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from imported(ast.Module([other], []))
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "imports are absolute"
            yield from ((node.module or "", alias.name) for alias in node.names)
        yield from imported(node)


def part_of(module: str) -> str:
    """Returns the folder or module right inside `lute` that a module belongs to; `__init__` for `lute` itself.

    >>> part_of("lute.cli.run"), part_of("lute.errors"), part_of("lute")
    ('cli', 'errors', '__init__')
    """
    return [*module.split("."), "__init__"][1]


def imports() -> Edges:
    """Returns which parts of `lute` import which.

    `import lute` alone, which is for `lute.__version__`, does not count: it loads nothing.
    """
    known = modules()
    found: Edges = defaultdict(set)
    for module, path in known.items():
        for origin, name in imported(ast.parse(path.read_text(encoding="utf-8"))):
            target = f"{origin}.{name}" if f"{origin}.{name}" in known else origin
            parts = part_of(module), part_of(target)
            if target.split(".")[0] == "lute" and parts[0] != parts[1] and (target, name) != ("lute", ""):
                found[parts].add(module)
    return dict(found)


# --------------------------------------------------------------------------------------- the drawing


def ordered(row: Sequence[str], edges: Mapping[tuple[str, str], object]) -> list[str]:
    """Returns a row's parts so that each stands before those of its row that it imports."""
    left, found = list(row), list[str]()
    while left:
        first = next((one for one in left if not any((other, one) in edges for other in left)), left[0])
        left.remove(first)
        found.append(first)
    return found


def draw(rows: Sequence[Sequence[str]], edges: Mapping[tuple[str, str], set[str]]) -> str:
    """Returns the drawing: the parts down a diagonal, an import as a dot in line and column of the two.

    An import that goes down is right of the diagonal; one that went up would be left of it, and is drawn in red.
    """
    groups = [ordered(row, edges) for row in rows]
    names = [name for group in groups for name in group]
    at = {name: number for number, name in enumerate(names)}
    width, height = LEFT * 2 + CELL * (len(names) + 1), TOP + LINE * len(names) + 14

    def x(name: str) -> float:
        return LEFT + CELL * at[name] + 54

    def y(name: str) -> float:
        return TOP + LINE * at[name] + LINE / 2

    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
        ' font-family="sans-serif" font-size="13" role="img" aria-labelledby="title">',
        '<title id="title">The folders of lute as layers, and the imports between them</title>',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15" font-weight="bold" fill="#1b2733">Imports go down</text>',
        f'<text x="{LEFT}" y="42" fill="#52606d">A dot in the line of a folder: so many of its modules import from the'
        " folder at the foot of the dot's column. Bands are layers.</text>",
    ]
    for number, group in enumerate(groups):
        top = TOP + LINE * at[group[0]]
        fill = "#eef3f8" if number % 2 == 0 else "#f8fafc"
        out.append(f'<rect x="0" y="{top}" width="{width}" height="{LINE * len(group)}" fill="{fill}"/>')
    drawn = {pair: len(by) for pair, by in sorted(edges.items()) if pair[0] in at and pair[1] in at}
    for name in names:
        ends = [x(target) for source, target in drawn if source == name]
        if ends:
            out.append(_line(min([x(name), *ends]), y(name), max([x(name), *ends]), y(name)))
        ends = [y(source) for source, target in drawn if target == name]
        if ends:
            out.append(_line(x(name), min([y(name), *ends]), x(name), max([y(name), *ends])))
    for (source, target), count in drawn.items():
        colour = "#2b6cb0" if at[source] < at[target] else "#c53030"
        out.append(f'<circle cx="{x(target):g}" cy="{y(source):g}" r="{8 if count < 10 else 10}" fill="{colour}"/>')
        out.append(_text(x(target), y(source) + 4, str(count), "#fff", 11))
    for name in names:
        wide = 14 + 7.4 * len(name)
        out.append(
            f'<rect x="{x(name) + 15 - wide:g}" y="{y(name) - 11:g}" width="{wide:g}" height="22" rx="4" fill="#fff"'
            ' stroke="#334e68"/>'
        )
        out.append(_text(x(name) + 15 - wide / 2, y(name) + 4.5, name, "#1b2733", 13))
    return "\n".join([*out, "</svg>", ""])


def _line(x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}" stroke="#b3c1cf"/>'


def _text(x: float, y: float, text: str, fill: str, size: int) -> str:
    return f'<text x="{x:g}" y="{y:g}" text-anchor="middle" font-size="{size}" fill="{fill}">{escape(text)}</text>'


def main() -> None:
    """Writes the drawing."""
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGE
    target.write_text(draw(layers(), imports()), encoding="utf-8")
    print(target)


if __name__ == "__main__":
    main()
