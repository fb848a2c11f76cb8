"""`lute init`: writes a project that runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from lute.errors import UsageError, did_you_mean

PROJECTS = Path(__file__).parent / "projects"
EXAMPLES = {
    "scan": "a rotation scan: a program, a template, a Python Task with a figure, a workflow",
    "function": "the shortest: one Python function that is a Task",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("folder", metavar="DIR", nargs="?", default=".", help="where to; this folder if not given")
    listed = "; ".join(f"{name}: {text}" for name, text in EXAMPLES.items())
    parser.add_argument("--example", metavar="NAME", default="scan", help=f"which project ({listed})")


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code.

    Raises:
        UsageError: There is no such example, or a file is there already.
    """
    if options.example not in EXAMPLES:
        hint = did_you_mean(options.example, EXAMPLES)
        known = ", ".join(EXAMPLES)
        raise UsageError(
            f"no example is named {options.example!r}: use one of {known}.{hint} Try: lute init --example scan"
        )
    source, target = PROJECTS / options.example, Path(options.folder)
    files = sorted(path.relative_to(source) for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")
    in_the_way = [str(target / name) for name in files if (target / name).exists()]
    if in_the_way:
        raise UsageError(
            f"{', '.join(in_the_way)}: already there; nothing was written. Give another folder: lute init DIR"
        )
    try:
        for name in files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            (target / name).write_bytes((source / name).read_bytes())
    except OSError as error:
        raise UsageError(f"{error.filename} cannot be written: {error.strerror}") from error
    for name in files:
        print(target / name)
    folder = "" if target.resolve() == Path.cwd() else f"cd {options.folder} && "
    print(f"\nNext: {folder}{_next(source)}")
    return 0


def _next(source: Path) -> str:
    """Returns the first command of the project's own README."""
    lines = (source / "README.md").read_text().splitlines()
    return next(line.strip() for line in lines if line.startswith("    lute "))
