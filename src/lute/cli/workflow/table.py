"""A workflow run on a terminal: a table that changes in place. Needs Rich."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table as RichTable
from rich.text import Text

from lute.cli import common
from lute.wire.status import StepState

if TYPE_CHECKING:
    from lute.record.types import WorkflowRow
    from lute.workflows.state import StepInstance, StepNode

STYLES = {"good": "green", "bad": "bold red", "busy": "cyan", "odd": "yellow", "quiet": "dim"}
"""The colour of a state by its look."""
MOST_LINES = 40
"""More steps than this are counted, and only those that run or failed are listed."""


class Table:
    """Draws the steps again when something has changed, at most ten times a second."""

    def __init__(self) -> None:
        self._live = Live(console=Console(stderr=True), auto_refresh=False, transient=True)
        self._drawn = 0.0
        self._changed = False

    def started(self, row: WorkflowRow, nodes: Mapping[str, StepNode]) -> None:
        """It begins."""
        self._row, self._nodes, self._begin = row, nodes, time.monotonic()
        with common.unseen_progress():
            self._live.start()

    def changed(self, node: StepNode, instance: StepInstance | None) -> None:
        """A step, or an instance of one, has changed."""
        self._changed = True
        self.look()

    def look(self) -> None:
        """Some time has passed."""
        if time.monotonic() - self._drawn < 0.1:
            return
        self._drawn = time.monotonic()
        with common.unseen_progress():
            self._live.update(self._drawing(), refresh=True)

    def ended(self) -> None:
        """It has ended: the table goes, since a whole one is printed."""
        with common.unseen_progress():
            self._live.stop()

    def _drawing(self) -> Group:
        entries = [entry for node in self._nodes.values() for entry in _entries(node)]
        if len(entries) > MOST_LINES:
            shown = [one for one in entries if one.state.failed or one.state is StepState.RUNNING][:MOST_LINES]
        else:
            shown = entries
        done = sum(entry.state.final for entry in entries)
        passed = common.seconds(time.monotonic() - self._begin)
        title = f"{self._row['name']}  {done}/{len(entries)} steps  {passed}  (workflow run {self._row['id']})"
        table = RichTable("STEP", "STATUS", "TIME", "REASON", box=None, pad_edge=False)
        for entry in shown:
            table.add_row(*_cells(entry))
        return Group(Text(title, style="bold", no_wrap=True), table)


def _entries(node: StepNode) -> list[Any]:
    return list(node.instances) if node.instances else [node]


def _cells(entry: Any) -> tuple[Any, ...]:
    outcome = getattr(entry, "outcome", None)
    name = getattr(entry, "name", None) or entry.step.name
    status = Text(entry.state.value, style=STYLES[entry.state.look])
    took = common.seconds(outcome.ended - outcome.started) if outcome and outcome.started and outcome.ended else ""
    reason = outcome.reason if outcome else getattr(entry, "reason", "")
    return Text(name), status, took, Text(common.visible(reason))
