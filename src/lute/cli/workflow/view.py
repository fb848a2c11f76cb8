"""What people see while a workflow runs: a table that changes on a terminal, plain lines elsewhere."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lute.cli import common

if TYPE_CHECKING:
    from lute.record.types import WorkflowRow
    from lute.workflows.runner import Viewer
    from lute.workflows.state import StepInstance, StepNode


def viewer_for(options: argparse.Namespace) -> Viewer | None:
    """Returns what shows a workflow run; nothing for `-q`."""
    if options.quiet:
        return None
    if sys.stderr.isatty():
        try:
            from lute.cli.workflow.table import Table
        except ImportError:  # Rich comes with the extra `tui`
            return Lines()
        return Table()
    return Lines()


class Lines:
    """A line on standard error for each step that starts or ends."""

    def begin(self) -> None:
        """Counts the time from now on."""
        self._begin = time.monotonic()

    def started(self, row: WorkflowRow, nodes: Mapping[str, StepNode]) -> None:
        """It begins."""
        self.begin()
        self._say(f"workflow {row['name']}, {len(nodes)} steps (workflow run {row['id']})")

    def changed(self, node: StepNode, instance: StepInstance | None) -> None:
        """A step, or an instance of one, has changed."""
        if instance is None:
            if not node.instances:
                self._say(f"{node.step.name} {node.state.value}: {node.reason}")
            return
        again = f" (attempt {instance.attempt})" if instance.attempt > 1 else ""
        outcome = instance.outcome
        if outcome is None or instance.state.value in ("PENDING", "RUNNING"):
            self._say(f"{instance.name} {'starts' if instance.state.value == 'RUNNING' else 'waits'}{again}")
            return
        if outcome.reused:
            self._say(f"{instance.name} reused: {outcome.reason}")
            return
        took = common.seconds((outcome.ended or 0) - (outcome.started or 0)) if outcome.started else ""
        told = f": {outcome.reason}" if instance.state.bad else ""
        self._say(f"{instance.name} {instance.state.value} {took}{again}{told}")

    def look(self) -> None:
        """Some time has passed."""

    def ended(self) -> None:
        """It has ended."""

    def _say(self, text: str) -> None:
        common.tell(f"[{time.monotonic() - self._begin:8.2f} s] {text}")
