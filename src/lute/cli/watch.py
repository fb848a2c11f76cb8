"""`lute watch`: starts a workflow for each new file or acquisition run."""

from __future__ import annotations

import argparse
import contextlib
import glob
import json
import os
import re
import signal
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING

from lute.cli import common
from lute.cli.workflow.end import exit_code, public
from lute.cli.workflow.options import add_file, add_jobs, add_settings, open_workflow, options_of
from lute.config.substitution import literally
from lute.errors import ElogError, LuteError, RecordError, UsageError
from lute.execution.run import STOP_SIGNALS

if TYPE_CHECKING:
    from lute.record.types import WorkflowRow
    from lute.workflows.runner import WorkflowRun
    from lute.workflows.watch import Look, Memory, Stamp

TERMINATED = 143
ENTRY = "file"
"""The entry of the YAML file that is set to the new file."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    add_file(parser)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--files", metavar="GLOB", help="for each new file that fits; ** goes into folders")
    source.add_argument("--folder", metavar="DIR", help="for each new file in a folder")
    source.add_argument("--elog", action="store_true", help="for each new acquisition run in the eLog")
    parser.add_argument("--tag", metavar="TAG", default="", help="with --elog: only runs that have this tag")
    parser.add_argument(
        "--every", metavar="S", type=_seconds, default=2.0, help="time between two looks, in s; 2 if not given"
    )
    parser.add_argument(
        "--settle", metavar="S", type=_seconds, default=5.0, help="time without change before a file is taken, in s; 5"
    )
    parser.add_argument(
        "--run-pattern",
        metavar="REGEX",
        type=_pattern,
        help=r"the acquisition run in a file's path, such as 'run(\d+)': it becomes the header's `run`",
    )
    parser.add_argument("--once", action="store_true", help="end when what is new now is done")
    parser.add_argument("--existing", action="store_true", help="take also what is there at the very first look")
    add_jobs(parser)
    add_settings(parser)
    parser.epilog = (
        "exit status: 0 all that was started completed (with --once), 1 one did not, 2 nothing was started,\n"
        "             130 ended by Ctrl-C, 143 ended otherwise"
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")
    return value


def _pattern(text: str) -> str:
    try:
        groups = re.compile(text).groups
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no regular expression: {error}") from error
    if groups != 1:
        raise argparse.ArgumentTypeError(rf"{text!r} must have one group, around the number: run(\d+)")
    return text


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code.

    Raises:
        UsageError: The workflow, the YAML file or what is to be watched is wrong.
    """
    from lute.workflows import watch

    common.set_up(options)
    file, config = open_workflow(options)
    if options.tag and not options.elog:
        raise UsageError("--tag goes with --elog")
    if not options.elog and ENTRY not in config.tasks.value and ENTRY not in config.header.value:
        raise UsageError(
            f'{config.path} has no entry `{ENTRY}`: write `{ENTRY}: ""` in its second document and use'
            f" {{{{ {ENTRY} }}}} where the new file's path belongs"
        )
    header = config.analysis_header()[0]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    look, source = _source(options, header.experiment)
    watched = [file.path or options.workflow, os.path.abspath(config.path), header.experiment, source]
    memory = watch.Memory(header.work_dir, file.name, watched)
    watcher = Watcher(options, memory)
    if watcher.finish_left():
        settling = watch.Settling(0.0 if options.elog else options.settle)
        looking = watcher.looking(look)
        watch.watch(looking, memory, settling, watcher.start, options.every, options.once, options.existing)
    return watcher.code


def _source(options: argparse.Namespace, experiment: str) -> tuple[Look, list[str]]:
    from lute.publish import elog
    from lute.workflows import watch

    if options.elog:
        if not experiment:
            raise UsageError("--elog needs the experiment: give it in the header or with -e")
        return watch.numbers(lambda: elog.elog_runs(experiment, options.tag)), ["elog", options.tag]
    if options.folder and not os.path.isdir(options.folder):
        raise UsageError(f"--folder {options.folder}: there is no such folder")
    pattern = options.files or os.path.join(glob.escape(options.folder), "*")
    return watch.files(pattern), ["files", os.path.abspath(os.path.expanduser(pattern))]


class Watcher:
    """Runs the workflow for one file or acquisition run after another, and tells of each.

    Attributes:
        code: The exit code so far.
    """

    def __init__(self, options: argparse.Namespace, memory: Memory) -> None:
        self._options, self._memory = options, memory
        self._told = ""
        self.code = 0

    def finish_left(self) -> bool:
        """Goes on with what was begun when the watcher before was killed. Returns whether to go on."""
        from lute.cli.workflow.view import viewer_for
        from lute.workflows import runner

        for name, identity in self._memory.left():
            with common.open_record(self._options) as record:
                try:
                    row = runner.ended(record, identity)
                except RecordError:  # it was killed before it began
                    self._memory.forget(name)
                    continue
                if row["ended"] and row["status"] != "RUNNING":
                    self._ended(name, row)
                    continue
                run = runner.resumed(record, identity, options_of(self._options), viewer_for(self._options))
            if not self._execute(name, run):
                return False
        return True

    def looking(self, look: Look) -> Look:
        """Returns a look that tells of an eLog which does not answer, and goes on; the very first one must succeed."""

        def anew() -> Mapping[str, Stamp]:
            try:
                return look()
            except ElogError as error:
                if self._memory.is_new:
                    raise
                self.tell_once(str(error))
                return {}

        return anew

    def start(self, name: str) -> bool | None:
        """Runs the workflow for a new file or run. Returns whether to go on; None if it could not be started yet."""
        try:
            run = self._prepared(name)
        except LuteError as error:  # somebody edits the YAML file: it may be right at the next look
            self.tell_once(f"{name}: not started yet: {error}")
            self.code = 1
            return False if self._options.once else None
        self._memory.put(name, run.row["id"])
        return self._execute(name, run)

    def _prepared(self, name: str) -> WorkflowRun:
        from lute.cli.workflow.view import viewer_for
        from lute.workflows import watch
        from lute.workflows.runner import WorkflowRun

        options = argparse.Namespace(**vars(self._options))
        if options.elog:
            options.run = name
        else:
            path = json.dumps(literally(name))  # what a file is called is no substitution
            options.set = [f"{ENTRY}={path}", *(options.set or [])]
            if options.run_pattern:
                options.run = watch.run_in(options.run_pattern, name) or options.run
        file, config = open_workflow(options)
        return WorkflowRun(file, config, common.overrides(options), options_of(options), viewer_for(options))

    def _execute(self, name: str, run: WorkflowRun) -> bool:
        self._told = ""
        with contextlib.redirect_stdout(sys.stderr):  # what a hook prints is no result
            row = run.execute()
        self._ended(name, row)
        by_signal = row["reason"] in {f"cancelled by {name}" for name in STOP_SIGNALS.values()}
        if by_signal:
            self.code = exit_code(row)
        return not by_signal

    def _ended(self, name: str, row: WorkflowRow) -> None:
        if row["status"] != "COMPLETED":
            self.code = 1
        self._tell(name, row)
        self._memory.put(name, row["id"], row["status"])

    def _tell(self, name: str, row: WorkflowRow) -> None:
        with common.unread_output():
            if self._options.json:
                told = {"new": name, **public(row)}
                print(json.dumps(told, default=str), flush=True)
            else:
                why = f": {row['reason']}" if row["reason"] else ""
                took = common.seconds(row["wall_s"])
                common.print_text(f"{name} {row['status']} in {took} (workflow run {row['id']}){why}")

    def tell_once(self, text: str) -> None:
        """Tells what stands in the way, unless that was told last."""
        if text != self._told:
            common.tell(f"lute: {text}")
        self._told = text
