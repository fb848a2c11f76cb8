"""What a run takes from earlier ones: a path that was an output must still be what that run wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from lute.errors import UsageError
from lute.execution.outputs import differs
from lute.models.files import NamedFile, inputs_named, outputs_declared
from lute.record.written import last_writer, valid_writer

if TYPE_CHECKING:
    from lute.execution.plan import Plan
    from lute.record.store import Record
    from lute.record.types import OutputEntry

ACCEPTED = "accepted as it is:"
"""Before a parameter's name in a run's `sources`: its value was taken though it is not what that run wrote."""

Handed = Mapping[str, Sequence["OutputEntry"]]
"""The outputs of earlier runs, by their ids."""


class Changed(NamedTuple):
    """A path that is not what an earlier run wrote.

    Attributes:
        file: The path, and the parameter that it was to be handed on to.
        run: The earlier run.
        how: How it differs, for people.
    """

    file: NamedFile
    run: str
    how: str


def changed_values(plan: Plan, record: Record, needed: Handed) -> list[Changed]:
    """Returns the paths that a plan takes from earlier runs and that are not what those wrote.

    Args:
        plan: What is to be run.
        record: Where those runs are.
        needed: The outputs of the runs of steps that it needs.
    """
    outputs = dict(needed)
    for run in {*plan.params._lute_sources.values()} - outputs.keys():
        outputs[run] = record.get(run)["outputs"] or []
    if not any(outputs.values()):
        return []
    named = {file.path: file for file in inputs_named(plan.params, plan.cwd)}
    known = [(run, entry) for run, entries in outputs.items() for entry in entries if entry["path"] in named]
    return [Changed(named[entry["path"]], run, how) for run, entry in known if (how := differs(entry))]


def refuse_changed(changed: Sequence[Changed], record: Record) -> None:
    """Raises for the first value that is not what an earlier run wrote.

    Raises:
        UsageError: There is one.
    """
    for file, run, how in changed:
        writer = last_writer(record, file.path)
        since = f"run {writer} wrote it since" if writer not in (None, run) else how
        raise UsageError(
            f"{file.text} is not what run {run} wrote: {since}. Run {run}'s Task again, or give {file.parameter} a"
            " value (to take it as it is: --accept-changed)"
        )


def will_replace(plan: Plan, record: Record) -> list[str]:
    """Returns what of valid earlier runs a plan would replace, in words for people."""
    found = []
    for file in outputs_declared(plan.params, plan.cwd):
        run = valid_writer(record, file.path) if file.mark is not None and not file.is_pattern else None
        if run is not None:
            found.append(f"this replaces {file.text}, which run {run} wrote")
    return found
