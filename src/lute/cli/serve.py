"""`lute serve`: what ran and what runs, as a web page."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

from lute.cli import common
from lute.errors import RecordError, UsageError
from lute.record.db import Record, record_of


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the command's arguments."""
    parser.add_argument("--host", metavar="ADDRESS", default="127.0.0.1", help="where; 127.0.0.1 if not given")
    parser.add_argument("--port", metavar="N", type=int, default=8080, help="8080 if not given; 0 takes a free one")
    text = "the token is in FILE, which is made if it is not there; a new one each time if not given"
    parser.add_argument("--token-file", metavar="FILE", help=text)
    text = "everybody who reaches the server may look, and nobody may change anything; only on the loopback"
    parser.add_argument("--no-token", action="store_true", help=text)
    text = "the server may also be called NAME, behind a proxy for example; may be repeated"
    parser.add_argument("--allow-host", metavar="NAME", action="append", default=[], help=text)
    common.add_options(parser)
    parser.epilog = "exit status: 0 ended by Ctrl-C or SIGTERM, 2 nothing was started"


def execute(options: argparse.Namespace) -> int:
    """Runs the command. Returns its exit code."""
    common.set_up(options)
    try:
        from lute.web import server
        from lute.web.site import Site
    except ImportError as error:
        raise UsageError(f"the web page needs more packages ({error}): pip install 'lute-executor[web]'") from error

    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    if options.no_token and (options.token_file or options.host not in server.LOOPBACK):
        why = "goes with no token file" if options.token_file else "is for the loopback only"
        raise UsageError(f"--no-token {why}: on another address everybody could look")
    record, summary = _places(options)
    if options.db and not (record.exists() or record.aside.is_dir()):
        raise RecordError(f"there is no record at {record}. Run a Task first, or give -c FILE to see it from the start")
    listening = server.listen(options.host, options.port)
    port = listening.getsockname()[1]
    token = None if options.no_token else server.token_for(options.token_file)
    names = server.names_of(options.host, options.allow_host)
    site = Site(record, summary, token, names, cookie=f"lute_{port}", again=_again(options))
    server.serve(site, listening, lambda: _tell(options, server.url_of(options.host, port), token))
    return 0


def _places(options: argparse.Namespace) -> tuple[Record, Path]:
    """Returns the record, and the folder of the figures that belong to it."""
    from lute.publish.report import summary_folder

    file = common.open_config(options)
    if file is not None:
        header = file.analysis_header()[0]
        return record_of(header), summary_folder(header.work_dir, header.experiment, header.run).absolute()
    record = common.open_record(options, up_to_date=False)
    work_dir = record.aside.parent
    return record, summary_folder(str(work_dir), options.experiment or "", options.run or "").absolute()


def _again(options: argparse.Namespace) -> tuple[tuple[str, ...], dict[str, str]]:
    """Returns arguments and variables by which another `lute` finds the same record, Tasks and no other."""
    arguments = ["-c", os.path.abspath(options.config)] if options.config else []
    for spec in options.plugin:
        arguments += ["-p", os.path.abspath(spec) if spec.endswith(".py") else spec]
    if not options.db:
        return tuple(arguments), {}
    if "://" in options.db:  # it may hold a password, and command lines are for everyone to see
        return tuple(arguments), {"LUTE_DATABASE": options.db}
    return (*arguments, "--db", os.path.abspath(options.db)), {}


def _tell(options: argparse.Namespace, url: str, token: str | None) -> None:
    whole = f"{url}?token={token}" if token else url
    if options.json:
        common.print_json({"url": whole, "address": url, "token": token})
    else:
        print(f"Open {whole}\nTo end: Ctrl-C")
    sys.stdout.flush()
