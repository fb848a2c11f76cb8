"""What the commands on workflows are given: which workflow, which of its steps, with what settings."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from lute.cli import common
from lute.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from lute.graph.dag import Workflow
    from lute.workflows.state import Options


TRIGGER_NAMES = ("parameters", "inputs", "code", "program", "environment", "needs")
"""Those of `lute.workflows.reuse.TRIGGERS`, which `--help` need not load."""


def add_file(parser: argparse.ArgumentParser, **keywords: Any) -> None:
    """Adds the workflow's file or name."""
    text = "a workflow's YAML file, or the name that a plug-in gives one"
    parser.add_argument("workflow", metavar="FILE_OR_NAME", help=text, **keywords)


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Adds `-j`."""
    text = "at most N cores in use at once; all if not given"
    parser.add_argument("-j", "--jobs", metavar="N", type=from_one, help=text)


def from_one(text: str) -> int:
    """Returns a number from 1 that was given."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


def add_choice(parser: argparse.ArgumentParser) -> None:
    """Adds what chooses the steps that run anew."""
    parser.add_argument("--fresh", action="store_true", help="run every step, also if nothing has changed")
    parser.add_argument("--reuse-all", action="store_true", help="reuse also Tasks that declare no outputs")
    parser.add_argument(
        "--rerun-triggers",
        metavar="NAMES",
        dest="triggers",
        type=_triggers,
        default=(),
        help=f"only these changes make a step run again: {','.join(TRIGGER_NAMES)}; all if not given",
    )
    text = "run STEP and what needs it; take what comes before as it last was; may be repeated"
    parser.add_argument("--from", metavar="STEP", dest="start", action="append", default=[], help=text)
    text = "run STEP alone; take what comes before as it last was; may be repeated"
    parser.add_argument("--only", metavar="STEP", action="append", default=[], help=text)


def _triggers(text: str) -> tuple[str, ...]:
    """Returns the changes that count, as they were given."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names or ("",):
        if name not in TRIGGER_NAMES:
            hint = did_you_mean(name, TRIGGER_NAMES) or f" There are {', '.join(TRIGGER_NAMES)}."
            raise argparse.ArgumentTypeError(f"there is no trigger {name!r}.{hint}")
    return names


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Adds `--set` and the common options."""
    common.add_set(parser)
    common.add_options(parser, config_required=True)


def options_of(options: argparse.Namespace) -> Options:
    """Returns how a workflow is run, by the command's options; what the command has not is as usual."""
    from lute.workflows.state import Options

    return Options(
        jobs=getattr(options, "jobs", None),
        fail_fast=getattr(options, "fail_fast", False),
        fresh=getattr(options, "fresh", False),
        reuse_all=getattr(options, "reuse_all", False),
        start=tuple(getattr(options, "start", ())),
        only=tuple(getattr(options, "only", ())),
        triggers=tuple(getattr(options, "triggers", ())),
    )


def open_workflow(options: argparse.Namespace) -> tuple[Workflow, Any]:
    """Returns the workflow and the YAML file, checked as far as can be done before anything runs."""
    from lute.workflows import definition

    config = common.open_config(options)
    if not options.workflow:
        raise UsageError("which workflow? Give its YAML file or name. To write one that works: lute init")
    workflow = definition.load(options.workflow)
    for name in [*getattr(options, "start", []), *getattr(options, "only", [])]:
        workflow.find(name)
    return workflow, config
