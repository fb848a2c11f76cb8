"""The command `lute`: one module a command, loaded when it is used."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import json
import os
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import NoReturn

import lute
from lute.base.modules import for_good
from lute.errors import LuteError, OutputError, UsageError, did_you_mean

__all__ = ["command", "main"]

COMMANDS = {
    "init": "write a project that runs: YAML, a Python file with Tasks, a template, a workflow",
    "run": "run one managed Task, or a Task by its name",
    "submit": "run one managed Task as a Slurm job",
    "workflow": "run Tasks that need each other, and look at what ran",
    "watch": "run a workflow for each new file or acquisition run",
    "airflow": "write a workflow as a DAG file for Airflow",
    "check": "validate a YAML file: every problem, with file, line and column",
    "tasks": "list Tasks and managed Tasks, or the parameters of one",
    "schema": "print the JSON Schema of the YAML, for editors",
    "history": "list what ran",
    "show": "show one run",
    "log": "print the log of a run",
    "serve": "show what ran, and what runs, as a web page",
    "view": "look at what ran, as a full-screen program",
    "diff": "show what differs between two runs",
    "rerun": "run a recorded run's Task again, with the parameters that it had",
    "export": "write a run as a YAML file that would run it again, or as an RO-Crate",
    "verify": "look whether what runs recorded is still so",
    "invalidate": "keep others from using the result of a run",
    "restore": "let others use the result of a run again",
    "cancel": "stop a run or a workflow run",
    "pause": "suspend a run and its clock",
    "resume": "let a paused run go on",
    "db": "look after the record",
    "elog": "show or send what waits to be posted to the eLog",
}

FOLDERS = ("workflow",)
"""Commands that are a folder of modules."""
NOTHING_STARTED = 2
NOBODY_READS = 120
"""Python's own exit code where standard output cannot be flushed."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}\n{self.format_usage().strip()}\nTry: {self.prog} --help")


def build_parser(only: str | None = None, names_alone: bool = False) -> argparse.ArgumentParser:
    """Returns the parser of the whole command, or of one command to save the time of the others.

    Args:
        only: The one command that is added; None adds all.
        names_alone: Whether the commands' own arguments are left out: `lute --help` does not tell them.
    """
    parser = _Parser(prog="lute", description=lute.__doc__ and lute.__doc__.split("\n")[0], allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"lute {lute.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=_Parser)
    for name in [only] if only else COMMANDS:
        text = COMMANDS[name]
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if not names_alone:
            _module(name).add_arguments(command)
    return parser


def _module(name: str) -> ModuleType:
    full = f"lute.cli.{name}.command" if name in FOLDERS else f"lute.cli.{name}"
    if full not in sys.modules:
        with for_good():
            importlib.import_module(full)
    return sys.modules[full]


def command() -> NoReturn:
    """Is the command `lute`: `main`, and then the process ends at once.

    Python takes its modules apart before it ends, which takes longer than many a run; nothing here needs that. What
    is registered with `atexit` is called, threads that are no daemons are waited for, and what was printed is out.
    """
    _open_standard_streams()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    code = main()
    from lute.base.cpython import run_exit_functions

    run_exit_functions()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError as error:
        if not code and not isinstance(error, BrokenPipeError):
            _tell(f"standard output cannot be written: {error.strerror}")
        code = code or NOBODY_READS
    os._exit(code)


def _open_standard_streams() -> None:
    """Opens /dev/null for each standard stream that is closed: else a file of the run gets its number, and its text."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            setattr(sys, name, open(number, "w" if number else "r", closefd=False))  # noqa: SIM115 - it stays open


def _tell(error: object, as_json: bool = False) -> None:
    """Tells of an error, even where one of the streams cannot be written."""
    with contextlib.suppress(OSError):
        if as_json:
            print(json.dumps({"error": str(error)}), flush=True)
    with contextlib.suppress(OSError):
        print(f"lute: {error}", file=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command. Returns its exit code: this and `lute.tasks.__main__` are the only places that choose one.

    Args:
        argv: The arguments after `lute`; `sys.argv` if not given.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    named = next((item for item in arguments if not item.startswith("-")), None)
    try:
        if named is not None and named not in COMMANDS:
            raise UsageError(f"there is no command {named!r}.{did_you_mean(named, COMMANDS)} See: lute --help")
        parser = build_parser(only=named, names_alone=named is None)
        options, others = parser.parse_known_args(arguments)
        options.others = others
        if others and not getattr(options, "takes_others", False):
            parser.error(f"unrecognized arguments: {' '.join(others)}")
        if options.command is None:
            parser.print_help(sys.stderr)
            return NOTHING_STARTED
        return int(_module(options.command).execute(options))
    except OutputError as error:  # what was asked for has been done
        _tell(error)
        return NOBODY_READS
    except LuteError as error:
        _tell(error, "--json" in arguments)
        return NOTHING_STARTED
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # `lute history | head`
            from lute.cli.common import silence_unread

            silence_unread()
            return NOBODY_READS
        told: object = error
        if isinstance(error, PermissionError) and error.filename:
            from lute.base.files import whose

            told = f"{error.filename}: {error.strerror}; {whose(error.filename)}"
        _tell(told, "--json" in arguments)
        return NOTHING_STARTED
    except KeyboardInterrupt:
        return 130
