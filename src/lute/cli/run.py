"""`lute run`: runs one managed Task."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shlex
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from lute import managed_tasks, plugins, registry
from lute.base import secrets
from lute.cli import common
from lute.errors import TaskFailed, TaskNotFoundError, nearest
from lute.execution import environment, run_log
from lute.execution.executor import BaseExecutor, Executor
from lute.execution.handed_on import will_replace
from lute.execution.plan import Plan, child_command
from lute.execution.recorder import RunContext
from lute.execution.run import SUBMITTED
from lute.models.files import outputs_declared
from lute.record.db import record_of
from lute.record.row_codec import to_sql
from lute.record.rows import kept_file, plain_parameters, printable, public
from lute.tasks.program import redirection
from lute.tasks.progress import draws
from lute.wire.channel import write_fully
from lute.wire.results import DescribedAnalysis
from lute.wire.status import exit_code_of

if TYPE_CHECKING:
    from lute.cli._screen import Screen
    from lute.record.types import DryRun, DryRunStreams, RunRow

CTRL_C = 130
PIECE = 1 << 20
LONGEST = 400
"""Most characters that are shown of a result."""
OnStart = Callable[["RunRow"], None] | None
"""Called with a run's row when it has been recorded."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("name", metavar="NAME", help="a managed Task, or a Task, which then runs under `Executor`")
    common.add_set(parser)
    common.add_ranks(parser)
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="show the command line, templates and environment changes; start nothing",
    )
    parser.add_argument(
        "--accept-changed",
        action="store_true",
        help="take files of earlier runs though they are not what those wrote; the record says so",
    )
    common.add_options(parser, config_required=True)
    parser.epilog = (
        "exit status: 0 COMPLETED, 1 FAILED, 2 nothing was started, 124 TIMEDOUT,\n"
        "             130 cancelled by Ctrl-C, 143 cancelled otherwise"
    )


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    path = common.config_path(options)
    common.open_config(options)
    executor, managed_task = find(options.name)
    if options.dry_run:
        return dry_run(executor.plan(path, common.overrides(options)), options)

    def start(on_start: OnStart) -> DescribedAnalysis:
        plan = executor.plan(path, common.overrides(options), identity=os.environ.get(SUBMITTED, ""))
        tell_replaced(plan)
        place = _place(plan, managed_task)._replace(accept_changed=options.accept_changed)
        return executor.execute_plan(plan, place, on_start=on_start)

    return watched(options, executor, options.name, start)


def replaced(plan: Plan) -> list[str]:
    """Returns what of valid earlier runs a plan would replace, in words for people."""
    with record_of(plan.params.lute_config) as record:
        return will_replace(plan, record)


def tell_replaced(plan: Plan) -> None:
    """Says on standard error what of valid earlier runs is about to be replaced."""
    if any(file.mark is not None for file in outputs_declared(plan.params, plan.cwd)):
        for text in replaced(plan):
            common.tell(f"lute: {text}")


def _place(plan: Plan, managed_task: str) -> RunContext:
    if SUBMITTED not in os.environ:
        return RunContext(managed_task)
    from lute.execution import waiting_run  # only in a job of `lute submit`

    return waiting_run.place_in_job(plan, managed_task)


def watched(
    options: argparse.Namespace, executor: BaseExecutor, name: str, start: Callable[[OnStart], DescribedAnalysis]
) -> int:
    """Runs a Task, shows its log and progress meanwhile, and prints its result. Returns the exit code.

    Args:
        options: The command's.
        executor: The Task's Executor.
        name: What the Task is called on the screen.
        start: Runs it to its end, and calls what it is given when the run has been recorded.
    """
    screen = screen_for(options, name)
    copier = None if options.quiet else LogCopier(screen)
    above = screen.instead_of_stderr() if screen else contextlib.nullcontext()
    with above, contextlib.redirect_stdout(sys.stderr):  # what a hook prints is no result
        try:
            analysis, failure = start(copier.start if copier else None), None
        except TaskFailed as error:
            analysis, failure = error.analysis, error
        if copier is not None:
            copier.finish()
    found = analysis.record | {"task": executor.task_name, "status": analysis.task_result.task_status.name}
    found |= {"impl_schemas": analysis.task_result.impl_schemas, "valid": failure is None}
    found |= {name: to_sql(name, found[name]) for name in ("summary", "reason", "log_tail") if name in found}
    row = cast("RunRow", found)
    with common.unread_output():
        _print(options, analysis, row, failure, shown=copier is not None)
    return exit_code(row)


def screen_for(options: argparse.Namespace, name: str) -> Screen | None:
    """Returns what shows how far a Task is, where standard error is a terminal."""
    if options.quiet or not draws(sys.stderr):
        return None
    from lute.cli._screen import Screen  # only where there is a terminal

    return Screen(sys.stderr.fileno(), name)


def _print(options: argparse.Namespace, analysis: Any, row: RunRow, failure: TaskFailed | None, shown: bool) -> None:
    if options.json:
        row |= {"experiment": _header(analysis).experiment, "run": str(_header(analysis).run)}
        common.print_json(public(row))
    else:
        print_result(row)
    if failure is not None:
        tell_failure(str(failure) if options.json else None, row, shown)


def find(name: str) -> tuple[BaseExecutor, str]:
    """Returns the Executor for a managed Task's or a Task's name, and the managed Task's name if it is one.

    Raises:
        TaskNotFoundError: There is neither.
    """
    executor = managed_tasks.find(name)
    if executor is not None:
        return executor, name
    try:
        registry.model_of(name)
    except TaskNotFoundError as error:
        names = [*registry.managed, *(model.removesuffix("Parameters") for model in registry.models)]
        close = nearest(name, names) or nearest(name, [*managed_tasks.BUILT_IN, *registry.BUILT_IN], cutoff=0.8)
        hint = f" Did you mean {close!r}?" if close else " See: lute tasks"
        given = ", ".join(plugins.loaded()) or "none: give one with -p FILE, or name it in the header's `plugins:`"
        raise TaskNotFoundError(
            f"there is no managed Task and no Task {name!r}.{hint}\nPlug-ins loaded: {given}"
        ) from error
    return Executor(name), ""


def exit_code(row: RunRow) -> int:
    """Returns the exit code that stands for how a run ended."""
    if row["status"] == "CANCELLED" and row["reason"] == "cancelled by Ctrl-C":
        return CTRL_C
    return exit_code_of(row["status"])


class LogCopier:
    """Copies a run's log to standard error as it grows, in a thread: a slow reader holds up nothing but itself.

    Args:
        screen: Where standard error is a terminal; it also shows how far the run is.
    """

    def __init__(self, screen: Screen | None = None) -> None:
        self._screen = screen
        self._out = sys.stderr.fileno()  # now: while tasklets run, `sys.stderr` is the log itself
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, row: Mapping[str, object]) -> None:
        """Begins to copy the log of a run."""
        self._thread = threading.Thread(target=self._copy, args=(row,), daemon=True, name="lute-log")
        self._thread.start()

    @property
    def started(self) -> bool:
        """Whether it has begun."""
        return self._thread is not None

    def finish(self) -> None:
        """Says that the log is complete, and waits until it is copied or its reader has gone."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()

    def _copy(self, row: RunRow) -> None:
        try:
            with open(row["log"], "rb", buffering=0) as log:
                while True:
                    ended = self._ended.wait(run_log.LOOK)
                    while piece := log.read(PIECE):
                        self._write(piece)
                    if ended:
                        return
                    if self._screen is not None:
                        self._screen.show(row)
        except (OSError, ValueError):  # nobody reads any more; the log itself has it all
            return

    def _write(self, piece: bytes) -> None:
        if self._screen is not None:
            self._screen.write_bytes(piece)
        else:
            write_fully(self._out, piece)  # with no buffer, which other threads could meddle with


def print_result(row: RunRow) -> None:
    """Prints a run's result in a few lines."""
    name = row.get("managed_task") or row["task"]
    common.print_text(f"{name} {row['status']} in {common.seconds(row.get('wall_s'))} (run {row['id']})")
    also = [("also", text) for text in row.get("also") or []]
    for label, text in (("reason", row["reason"]), *also, ("summary", row["summary"]), ("result", row.get("payload"))):
        expected = label == "reason" and row["status"] == "COMPLETED"
        if text not in ("", None) and not expected and not (label == "summary" and row["reason"].startswith(text)):
            common.print_text(f"  {label:<8} {_short(text)}")
    for page in row.get("plots") or []:
        print(f"  page     {Path(page).as_uri()}")
    common.print_text(f"  log      {row['log']}")


def _short(value: Any) -> str:
    if (kept := kept_file(value)) is not None:
        return f"{kept['type']} in {kept['path']}"
    text = value if isinstance(value, str) else json.dumps(printable(value), default=str)
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


def tell_failure(text: str | None, row: RunRow, shown: bool) -> None:
    """Tells of a run that did not complete on standard error, with the end of its log if that was not shown."""
    if text:
        common.tell(f"lute: {text}")
    tail = row.get("log_tail")
    if not shown and tail:
        print("The log ends:", file=sys.stderr)
        print("\n".join(f"  {line}" for line in tail.splitlines()), file=sys.stderr)


def _header(analysis: Any) -> Any:
    return analysis.task_parameters.lute_config


def _command(plan: Plan, env: Mapping[str, str]) -> list[str]:
    argv = plan.argv if plan.argv is not None else child_command(plan, "JOB")
    ranks = plan.settings.ranks
    if ranks is None or plan.starts_ranks:
        return argv
    from lute.execution import mpi  # most runs have no ranks

    return mpi.command(ranks, argv, plan.python, env, plan.streams)


def _streams(plan: Plan, to_hide: list[str]) -> DryRunStreams:
    found = {name: secrets.hide(path, to_hide) for name, (path, _) in plan.streams.items()}
    return {"stdin": found.get("stdin"), "stdout": found.get("stdout"), "stderr": found.get("stderr")}


def dry_run(plan: Plan, options: argparse.Namespace) -> int:
    """Shows what would be run. Returns the exit code."""
    base = environment.without_ours(os.environ)
    scripts: list[str] = []
    modules: list[str] = []

    def not_sourced(change: environment.Change, env: dict[str, str]) -> dict[str, str]:
        scripts.extend([change.script] if change.script else [])
        modules.extend(change.modules)
        return env

    env = environment.changed(base, plan.settings.changes, not_sourced)
    to_hide = secrets.secret_values(base, env, {"database": plan.params.lute_config.database})
    changed = secrets.hide_variables(environment.difference(base, env), to_hide)
    rendered = plan.rendered_template()
    shown: DryRun = {
        "task": plan.task,
        "command": secrets.hide(_command(plan, env), to_hide),
        "cwd": plan.cwd,
        **_streams(plan, to_hide),
        "environment": changed,
        "sourced": scripts,
        "modules": modules,
        "templates": [{"path": rendered[1], "text": secrets.hide(rendered[0], to_hide)}] if rendered else [],
        "parameters": secrets.hide(plain_parameters(plan.params), to_hide),
        "warnings": [*plan.warnings, *replaced(plan)],
    }
    shown = plan.as_written(shown)
    if options.json:
        common.print_json(shown)
        return 0
    if plan.argv is None:
        print(f"# the Python Task {plan.task} in a process of its own; JOB is a file with its parameters")
    print(shlex.join(shown["command"]))
    print(f"  in        {shown['cwd']}")
    for name, (path, append) in plan.as_written(plan.streams).items():
        print(f"  {name:<9} {redirection(name, append, shlex.quote(secrets.hide(path, to_hide)))}")
    for name, value in changed.items():
        print(f"  set       {name}={shlex.quote(value)}" if value is not None else f"  unset     {name}")
    for script in scripts:
        print(f"  source    {script} (not sourced now: nothing is started)")
    for module in modules:
        print(f"  module    load {shlex.quote(module)} (not loaded now: nothing is started)")
    for text in shown["warnings"]:
        print(f"  warning   {text}")
    for template in shown["templates"]:
        print(f"  writes    {template['path']}:")
        print("\n".join(f"    {line}" for line in template["text"].splitlines()))
    return 0
