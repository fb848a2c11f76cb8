"""Makes the tables of the reference that the code knows: `python docs/reference_tables.py --write`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from lute.base.variables import Variable

PAGE = Path(__file__).parent / "reference" / "environment-variables.md"


def table_of_variables() -> str:
    """Returns the table of the control variables, in Markdown."""
    lines = [f"| `{one.name}` | {one.set_by} | {one.meaning} |" for one in Variable]
    return "\n".join(["| variable | set by | meaning |", "|---|---|---|", *lines])


def with_table(text: str) -> str:
    """Returns the page with the table as it is to be."""
    pattern = r"(## Control variables\n.*?\n\n)\| variable .*?\n\n"
    return re.sub(pattern, lambda found: f"{found[1]}{table_of_variables()}\n\n", text, count=1, flags=re.DOTALL)


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    if "--write" in sys.argv:
        PAGE.write_text(with_table(page), encoding="utf-8")
    elif with_table(page) != page:
        sys.exit(f"{PAGE} is not as the code says: python docs/reference_tables.py --write")
