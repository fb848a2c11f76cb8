"""`lute elog`: what waits to be posted to the eLog, and sending it now."""

from __future__ import annotations

import argparse
import math
import time
from typing import TYPE_CHECKING, cast

from lute.cli import common
from lute.errors import UsageError
from lute.publish import elog
from lute.publish.elog_http import NOT_CONFIGURED, Service, shown
from lute.publish.outbox import Outbox
from lute.record.rows import utc

if TYPE_CHECKING:
    from lute.record.types import OutboxAbout, PostAbout, PublicPost

ACTIONS = ("status", "send")
PATIENCE = 30.0
"""Longest time for one post, in s: nobody waits for a run here."""
SOMETHING_LEFT = 1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument(
        "action", metavar="ACTION", choices=ACTIONS, help="`status` shows what waits and why; `send` sends it now"
    )
    parser.add_argument("--refused", action="store_true", help="with send: also what the eLog refused before")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=float,
        default=PATIENCE,
        help=f"with send: longest time for one post; {PATIENCE:g} if not given",
    )
    common.add_options(parser)
    parser.epilog = "exit status: 0 done, 1 send left something or something was refused, 2 nothing could be done"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    outbox, experiment = _outbox(options)
    service = Service.of(experiment)
    refused = _send(options, outbox, service) if options.action == "send" else []
    for text in refused:
        common.tell(f"lute: {text}")
    found: OutboxAbout = {
        "url": shown(service.url) or None,
        "login": service.login,
        "outbox": str(outbox.folder),
        "waiting": [_public(post) for post in outbox.waiting()],
        "refused": [_public(post) for post in outbox.refused()],
    }
    with common.unread_output():
        if options.json:
            common.print_json(found)
        else:
            _print(found, service)
    return SOMETHING_LEFT if options.action == "send" and (found["waiting"] or refused) else 0


def _outbox(options: argparse.Namespace) -> tuple[Outbox, str]:
    """Returns the outbox that the options mean, and the experiment."""
    file = common.open_config(options)
    if file is None:
        return elog.outbox_of(None, options.experiment or ""), options.experiment or ""
    header = file.analysis_header()[0]
    return Outbox(header.work_dir), header.experiment


def _send(options: argparse.Namespace, outbox: Outbox, service: Service) -> list[str]:
    """Sends what waits. Returns what was refused, and why."""
    if options.refused:
        outbox.take_back()
    if not outbox.names():
        return []
    if not service.url:
        raise UsageError(NOT_CONFIGURED)
    return outbox.deliver(elog.send, math.inf, options.timeout, at_once=True)


def _public(post: PostAbout) -> PublicPost:
    """Returns a post as `--json` prints it, its times as ISO 8601 in UTC."""
    times = {"created": post.get("created"), "not_before": post.get("not_before")}
    told = {name: utc(moment) if moment else None for name, moment in times.items() if name in post}
    return cast("PublicPost", {**post, **told})


def _print(found: OutboxAbout, service: Service) -> None:
    login = f"login: {service.login}{f' as {service.user}' if service.login == 'basic' else ''}"
    print(f"eLog      {shown(service.url)} ({login})" if service.url else f"eLog      none ({NOT_CONFIGURED})")
    print(f"outbox    {found['outbox']}: {len(found['waiting'])} waiting, {len(found['refused'])} refused")
    rows = [(post, "refused") for post in found["refused"]] + [(post, "waiting") for post in found["waiting"]]
    if rows:
        cells = [(common.when(post.get("created")), post.get("kind"), *_where(post, state)) for post, state in rows]
        common.print_table(("SINCE", "KIND", "EXPERIMENT", "RUN", "STATE", "TRIES", "WHY"), cells)


def _where(post: PublicPost, state: str) -> tuple[object, ...]:
    run = (post.get("query") or {}).get("run_num", "")
    return post.get("experiment", ""), run, state, post.get("tries") or "", f"{post['why']}{_next_try(post)}"


def _next_try(post: PublicPost) -> str:
    later = post.get("not_before")
    if not later or later <= utc(time.time()):
        return ""
    return f" (next try after {common.when(later)}, or now with: lute elog send)"
