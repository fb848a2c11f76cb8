"""Makes the tables of the reference that the code knows: `python docs/reference_tables.py --write`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lute.base.variables import Variable

DOCS = Path(__file__).parent
PAGE = DOCS / "reference" / "environment-variables.md"
OUTCOME = DOCS / "reference" / "outcome.md"


def table_of_variables() -> str:
    """Returns the table of the control variables, in Markdown."""
    lines = [f"| `{one.name}` | {one.set_by} | {one.meaning} |" for one in Variable]
    return "\n".join(["| variable | set by | meaning |", "|---|---|---|", *lines])


def with_table(text: str) -> str:
    """Returns the page with the table as it is to be."""
    pattern = r"(## Control variables\n.*?\n\n)\| variable .*?\n\n"
    return re.sub(pattern, lambda found: f"{found[1]}{table_of_variables()}\n\n", text, count=1, flags=re.DOTALL)


def with_cases(text: str) -> str:
    """Returns the page of outcomes with the table of its tests, tests/judge_table.py."""
    sys.path.insert(0, str(DOCS.parent / "tests"))
    import judge_table

    before = text.partition("\n| what happened |")[0]
    return f"{before}\n{judge_table.in_markdown()}\n"


if __name__ == "__main__":
    for path, made in ((PAGE, with_table), (OUTCOME, with_cases)):
        page = path.read_text(encoding="utf-8")
        if "--write" in sys.argv:
            path.write_text(made(page), encoding="utf-8")
        elif made(page) != page:
            sys.exit(f"{path} is not as the code says: python docs/reference_tables.py --write")
