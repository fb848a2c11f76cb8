"""The changelog's part on what is not released is made from the fragments in `changes/`.

`python tests/docs/test_changelog.py --write` makes it anew.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KINDS = {"added": "Added", "changed": "Changed", "fixed": "Fixed", "removed": "Removed"}
BEGIN, END = "<!-- from changes/ -->\n", "<!-- end -->\n"


def unreleased() -> str:
    """Returns the fragments as one text, by kind and then by name."""
    parts = []
    for kind, heading in KINDS.items():
        texts = [file.read_text(encoding="utf-8") for file in sorted((ROOT / "changes").glob(f"*.{kind}.md"))]
        if texts:
            items = ("\n  ".join(text.strip().splitlines()) for text in texts)
            parts.append(f"### {heading}\n\n" + "".join(f"- {item}\n" for item in items))
    return "\n" + "\n".join(parts) + "\n"


def test_changelog_holds_every_fragment() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert text.split(BEGIN)[1].split(END)[0] == unreleased(), "run: python tests/docs/test_changelog.py --write"


def test_fragments_are_named_by_kind() -> None:
    names = [file.name for file in (ROOT / "changes").iterdir() if file.name != "README.md"]
    assert names
    assert [name for name in names if not re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(KINDS)})\.md", name)] == []


if __name__ == "__main__":
    assert sys.argv[1:] == ["--write"], __doc__
    changelog = ROOT / "CHANGELOG.md"
    before, rest = changelog.read_text(encoding="utf-8").split(BEGIN)
    changelog.write_text(before + BEGIN + unreleased() + END + rest.split(END)[1], encoding="utf-8")
