"""What stands in a crate for who unpacks it: what to do, what is needed, what is missing."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lute.record.types import RunRow


def text_of(runs: Iterable[tuple[RunRow, str]], left_out: Sequence[str], workflow: bool) -> str:
    """Returns the text.

    Args:
        workflow: Whether there is `workflow.yaml` with its `config.yaml`.
        runs: The runs, each with its YAML file.
        left_out: What is not in the crate, and why.
    """
    lines = ["# Run it again", "", "In the folder in which this file is, with `lute` installed:", ""]
    lines += ["    lute workflow run workflow.yaml -c config.yaml", ""] if workflow else []
    versions: dict[str, None] = {}
    for row, file in runs:
        name = shlex.quote(row["managed_task"] or row["task"])
        lines += [f"    lute run {name} -c {file}", f"    lute rerun {row['id']} --verify --db lute.db", ""]
        versions |= dict.fromkeys(f"{key} {value}" for key, value in (row["versions"] or {}).items())
    lines += [
        "`rerun --verify` compares what comes out with what came out. `lute history --db lute.db` lists the runs.",
        "",
    ]
    lines += ["## It ran with", "", *(f"- {text}" for text in versions), ""]
    if left_out:
        lines += ["## What is not here", "", *(f"- {text}" for text in left_out), ""]
    return "\n".join(lines)
