"""What several commands share: their options, the record they look at, tables."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TextIO

from lute import plugins
from lute.base.formatting import between as between
from lute.base.formatting import seconds as seconds
from lute.base.formatting import visible as visible
from lute.base.formatting import when as when
from lute.errors import OutputError, UsageError
from lute.record.db import FILE_NAME, Record, record_at, record_of
from lute.record.rows import printable

if TYPE_CHECKING:
    from lute.config.config_file import ConfigFile, Overrides


def add_actions(parser: argparse.ArgumentParser, actions: Mapping[str, tuple[str, Callable[..., Any], Any]]) -> None:
    """Adds a command's own commands.

    Args:
        parser: The command's parser.
        actions: What each does, how its arguments are added, and its function, which becomes `options.function`.
    """
    commands = parser.add_subparsers(dest="action", metavar="ACTION", title="actions", required=True)
    for name, (text, add, function) in actions.items():
        action = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        add(action)
        action.set_defaults(function=function)


def add_options(
    parser: argparse.ArgumentParser, *, config_required: bool = False, plugins_required: bool = True
) -> None:
    """Adds the options that work on every command that reads a file or the record.

    Args:
        parser: The command's.
        config_required: Whether the command needs a YAML file.
        plugins_required: Whether it needs the plug-ins; if not, one that cannot be loaded is told, and it goes on.
    """
    group = parser.add_argument_group("common options")
    group.add_argument("-c", "--config", metavar="FILE", help="the YAML file; $LUTE_CONFIGPATH if not given")
    group.add_argument("-e", "--experiment", metavar="NAME", help="experiment, instead of the header's")
    group.add_argument("-r", "--run", metavar="NUMBER", help="acquisition run, instead of the header's")
    group.add_argument(
        "-p",
        "--plugin",
        metavar="FILE_OR_MODULE",
        action="append",
        default=[],
        help="load Tasks from a Python file or module; may be repeated; also $LUTE_PLUGINS",
    )
    group.add_argument("--db", metavar="PATH_OR_URL", help="path or URL of the record, instead of <work_dir>/lute.db")
    group.add_argument("--json", action="store_true", help="print JSON on standard output")
    group.add_argument("-v", "--verbose", action="count", default=0, help="say more; twice for everything")
    group.add_argument("-q", "--quiet", action="store_true", help="say less; do not copy the log")
    parser.set_defaults(config_required=config_required, plugins_required=plugins_required)


def add_set(parser: argparse.ArgumentParser) -> None:
    """Adds `--set`, for the commands that run something."""
    parser.add_argument(
        "-s",
        "--set",
        metavar="Task.param=value",
        action="append",
        help="change a value of the parameters or the header for this run; may be repeated",
    )


def add_ranks(parser: argparse.ArgumentParser) -> None:
    """Adds `--ranks`, for the commands that run one Task."""
    parser.add_argument("--ranks", metavar="N", type=int, help="number of MPI ranks, instead of the Executor's")


def set_up(options: argparse.Namespace) -> None:
    """Sets logging as `-v` and `-q` say, and loads the plug-ins."""
    level = logging.ERROR if options.quiet else (logging.WARNING, logging.INFO, logging.DEBUG)[min(options.verbose, 2)]
    logging.basicConfig(level=level, format="lute: %(message)s", stream=sys.stderr)
    plugins.load_all(options.plugin, _told_instead(options))


def _told_instead(options: argparse.Namespace) -> Callable[[UsageError], None] | None:
    """Returns what tells of a plug-in that cannot be loaded; None where the command cannot go on without it."""
    return None if options.plugins_required else lambda error: tell(f"lute: note: {error}")


def config_path(options: argparse.Namespace) -> str | None:
    """Returns the YAML file that was asked for.

    Raises:
        UsageError: The command needs one, and none was given.
    """
    path = options.config or os.environ.get("LUTE_CONFIGPATH")
    if not path and options.config_required:
        raise UsageError("which YAML file? Give -c FILE. To write one that works: lute init")
    return path or None


def overrides(options: argparse.Namespace) -> Overrides:
    """Returns what the command line changes of the YAML file."""
    from lute.config.config_file import (
        Overrides,  # not above: with it come pydantic and YAML, and some commands need neither
    )

    settings = [split_setting(text) for text in getattr(options, "set", None) or []]
    if options.db:
        settings.append(("database", options.db if "://" in options.db else os.path.abspath(options.db)))
    return Overrides(options.experiment, options.run, tuple(settings), getattr(options, "ranks", None))


def split_setting(text: str) -> tuple[str, str]:
    """Returns name and value of `name=value`.

    Raises:
        UsageError: There is no `=`.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise UsageError(f"--set {text}: write Task.param=value")
    return name.strip(), value


def open_config(options: argparse.Namespace) -> ConfigFile | None:
    """Returns the YAML file, with the plug-ins that its header names loaded; None if none was given."""
    path = config_path(options)
    if path is None:
        return None
    from lute.config.config_file import read_config

    file = read_config(path, overrides(options))
    file.load_plugins(_told_instead(options))
    return file


def open_record(options: argparse.Namespace, up_to_date: bool = True) -> Record:
    """Returns the record that the options mean, brought up to date unless the caller does that."""
    file = open_config(options)
    if file is not None:
        record = record_of(file.analysis_header()[0])
    else:
        record = record_at(options.db or os.environ.get("LUTE_DATABASE") or FILE_NAME)
    if up_to_date and (record.exists() or record.aside.is_dir()):
        record.refresh()
    return record


@contextlib.contextmanager
def unread_output() -> Iterator[None]:
    """Lets a command go on when nobody reads its standard output any more: its exit code still counts.

    Raises:
        OutputError: It cannot be written.
    """
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        silence_unread()
    except OSError as error:  # a full disk
        raise OutputError(f"standard output cannot be written: {error.strerror}") from error


def silence_unread() -> None:
    """Lets nothing more be written to whichever of standard output and error cannot be written."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            _silence(stream)


def _silence(stream: TextIO) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


@contextlib.contextmanager
def unseen_progress() -> Iterator[None]:
    """Lets a command go on where what it shows meanwhile cannot be written: from then on it shows nothing."""
    try:
        yield
        sys.stderr.flush()
    except OSError:
        _silence(sys.stderr)


def tell(text: str) -> None:
    """Tells on standard error how things go, as long as that can be written."""
    with unseen_progress():
        print(visible(text), file=sys.stderr, flush=True)


def print_json(value: Any) -> None:
    """Prints JSON on standard output."""
    print(json.dumps(printable(value), indent=2, default=str))


def print_text(text: str) -> None:
    """Prints a text for people on standard output: what the terminal would obey in it is escaped."""
    print(visible(text))


def print_table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Prints a table; the last column is as wide as it needs."""
    texts = [[visible(str("" if cell is None else cell)).replace("\n", " ") for cell in row] for row in rows]
    widths = [max(len(line[column]) for line in [list(head), *texts]) for column in range(len(head) - 1)]
    for line in [head, *texts]:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=False)]
        print("  ".join([*cells, line[-1]]).rstrip())
