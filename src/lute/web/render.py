"""HTML from the templates beside this file."""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

import lute
from lute.base import formatting
from lute.record.rows import printable
from lute.tasks.progress import as_text, metric_as_text, share, written
from lute.wire.status import LIVE, LOOKS, SYMBOLS

HERE = Path(__file__).parent
LONGEST_VALUE = 20_000
"""Most characters of a value that a page shows."""
_ESCAPES = re.compile(r"\x1b(?:\[[0-9;:?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[@-Z\\^_])")


@cache
def environment() -> Environment:
    """Returns the templates and what they may use."""
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "when": formatting.when,
        "seconds": formatting.seconds,
        "progress": as_text,
        "metric": metric_as_text,
        "written": written,
        "command": shlex.join,
        "value": as_value,
        "size": as_size,
        "path": quote,
        "short": short,
    }
    made.globals |= {"symbols": SYMBOLS, "looks": LOOKS, "live": LIVE, "share": share, "version": lute.__version__}
    return made


def page(template: str, code: int = 200, /, **content: Any) -> HTMLResponse:
    """Returns a page."""
    return HTMLResponse(environment().get_template(template).render(**content), code)


def as_value(value: Any) -> str:
    """Returns a value of the record: text as it is, anything else as JSON; not all of it if it is very long."""
    text = value if isinstance(value, str) else json.dumps(printable(value), ensure_ascii=False)
    if len(text) <= LONGEST_VALUE:
        return text
    return f"{text[:LONGEST_VALUE]}… ({len(text)} characters; JSON has them all)"


def as_size(size: int | None) -> str:
    """Returns a size in bytes as people read it.

    >>> as_size(843), as_size(2_500_000)
    ('843 B', '2.5 MB')
    """
    if size is None:
        return ""
    for power, unit in ((4, "TB"), (3, "GB"), (2, "MB"), (1, "kB")):
        if size >= 1000**power:
            return f"{size / 1000**power:.3g} {unit}"
    return f"{size} B"


def short(text: str, most: int = 80) -> str:
    """Returns the first line of a text, not too long."""
    line = text.strip().partition("\n")[0]
    return line if len(line) <= most else f"{line[: most - 1]}…"


def readable(log: str) -> str:
    """Returns a log without what makes colours on a terminal; what was written over stands on lines of its own."""
    return _ESCAPES.sub("", log).replace("\r\n", "\n").replace("\r", "\n")
