"""The HTML around what a page shows: figures, all pages, a workflow run. Pure; nothing in it needs the network."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from types import MappingProxyType
from urllib.parse import quote

from lute.wire.results import RenderedPage

Told = Mapping[str, Mapping[str, str]]
"""Texts by name, by a title."""
MOST_VALUES, LONGEST_VALUE = 40, 200
"""So many values stand below the figures at most, each with so many characters."""
NO_TAB = "General"
"""The tab of pages whose display name has no folder."""

_STATIC = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
SCRIPTED = (
    "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; font-src data:; media-src data:;"
    " script-src 'unsafe-inline' 'unsafe-eval' blob:; worker-src blob:; connect-src 'none'; base-uri 'none';"
    " form-action 'none'"
)
"""What a browser lets a page with interactive figures do: their own scripts, and nothing from anywhere else. The
libraries make functions from text (`unsafe-eval`)."""

_STYLE = """
:root{color-scheme:light dark;--text:#1c2330;--soft:#5b6575;--line:#d8dde5;--back:#f5f6f8;--card:#fff;--link:#0b5cad}
@media(prefers-color-scheme:dark){:root{--text:#e6e9ef;--soft:#a3adbb;--line:#3a4250;--back:#15181d;--card:#1e232b;
--link:#7db8f5}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:78rem;padding:1.25rem 1.5rem 3rem;background:var(--back);color:var(--text);
font:16px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Liberation Sans",sans-serif}
a{color:var(--link)}
h1{font-size:1.6rem;line-height:1.25;margin:.2rem 0 .6rem;overflow-wrap:anywhere}
.where{color:var(--soft);font-size:.9rem;overflow-wrap:anywhere}
dl.about{display:flex;flex-wrap:wrap;gap:.2rem 1.6rem;margin:0 0 1.2rem;font-size:.9rem}
dl.about div{display:flex;gap:.4rem}
dt{color:var(--soft)}
dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
"""
_PAGE_STYLE = """
nav.figures ol{display:flex;flex-wrap:wrap;gap:.2rem 1.4rem;margin:0 0 1rem;padding:0;list-style:none;font-size:.95rem}
figure{margin:0 0 1.8rem}
figcaption{font-weight:600;font-size:1.1rem;margin:0 0 .4rem}
.hidden{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}
.paper{color-scheme:light;background:#fff;color:#1c2330;border:1px solid var(--line);border-radius:.5rem;padding:1rem;
overflow-x:auto}
.paper img,.paper svg{max-width:100%;height:auto;vertical-align:middle}
.paper img.pixels{image-rendering:pixelated}
.paper iframe{display:block;width:100%;height:32rem;border:0}
.paper pre{margin:0;white-space:pre-wrap}
.paper table{border-collapse:collapse}
.paper th,.paper td{padding:.25rem .6rem;border-bottom:1px solid #d8dde5}
footer h2{font-size:1rem;margin:0 0 .2rem}
.note{color:var(--soft);font-size:.9rem;margin:.4rem 0 0;overflow-wrap:anywhere}
@media print{body{max-width:none;padding:0;background:none}.paper{border:0;padding:0}figure{break-inside:avoid}}
"""
_INDEX_STYLE = """
.tabs{display:flex;flex-wrap:wrap;gap:.3rem;margin:1rem 0 0;border-bottom:1px solid var(--line)}
input.tab{position:absolute;opacity:0;pointer-events:none}
.tabs label{padding:.45rem .9rem;border:1px solid transparent;border-bottom:0;border-radius:.4rem .4rem 0 0;
cursor:pointer;color:var(--soft)}
.tabs label:hover{color:var(--text)}
.count{font-size:.8rem;color:var(--soft)}
.panel{display:none}
ul.pages{list-style:none;margin:0;padding:0}
ul.pages>li{background:var(--card);border:1px solid var(--line);border-radius:.5rem;padding:.7rem 1rem;margin:.7rem 0}
ul.pages a.page{font-size:1.1rem;font-weight:600;overflow-wrap:anywhere}
ul.pages dl.about{margin:.15rem 0 0}
"""
_CHOSEN = "background:var(--card);border-color:var(--line);color:var(--text)"
_FIT_FRAMES = """<script>
addEventListener("message", (event) => {
  for (const frame of document.querySelectorAll("iframe"))
    if (frame.contentWindow === event.source && typeof event.data?.luteHeight === "number")
      frame.style.height = Math.min(Math.max(event.data.luteHeight, 80), 20000) + "px";
});
</script>
"""

_NAV = re.compile(rb'<nav class="where".*?</nav>', re.DOTALL)
_META = re.compile(r'<meta name="lute-(\w+)" content="([^"]*)">')


@dataclass(frozen=True)
class About:
    """What a page is about.

    Attributes:
        page: Its display name.
        task: The Task that drew it.
        id: The run's id.
        experiment: The experiment.
        run: The acquisition run.
        time: When it was written, ISO 8601 in UTC.
    """

    page: str = ""
    task: str = ""
    id: str = ""
    experiment: str = ""
    run: str = ""
    time: str = ""

    @property
    def tab(self) -> str:
        """The first folder of the display name."""
        return self.page.split("/")[0] if "/" in self.page else NO_TAB

    @property
    def title(self) -> str:
        """The display name below its tab."""
        return self.page.partition("/")[2] or self.page


@dataclass(frozen=True)
class Entry:
    """A page in the index.

    Attributes:
        about: What it is about.
        path: Its path below the summary folder.
    """

    about: About
    path: str


def page(rendered: RenderedPage, about: About, has_index: bool, told: Told = MappingProxyType({})) -> str:
    """Returns a whole page of figures.

    Args:
        rendered: The figures.
        about: What it is about.
        told: What stands below the figures.
        has_index: Whether it lies below a folder with an index of all pages, to which it leads then.
    """
    way = _where(about.page) + "\n" if has_index else ""
    parts = about.page.split("/")
    return (
        _head(parts[-1], SCRIPTED if rendered.scripts else _STATIC, _STYLE + _PAGE_STYLE, about)
        + f"<header>{way}<h1>{_text(parts[-1])}</h1>\n{_facts(about)}</header>\n"
        + (_FIT_FRAMES if "<iframe" in rendered.html else "")
        + f"<main>\n{rendered.html}\n</main>\n{_below(told)}</body></html>\n"
    )


def document(title: str, body: str, style: str = "") -> str:
    """Returns a whole page without scripts.

    Args:
        title: What it is about, as text.
        body: What it shows, as HTML.
        style: CSS of its own.
    """
    return _head(title, _STATIC, _STYLE + style, About()) + body + "\n</body></html>\n"


def without_way(data: bytes) -> bytes:
    """Returns a page without its way to the index, for a place where that cannot be gone."""
    return _NAV.sub(b"", data, count=1)


def about_of(head: str) -> About:
    """Returns what a page is about, from its beginning; empty where it does not say."""
    known = {field.name for field in fields(About)}
    found = {name: html.unescape(text) for name, text in _META.findall(head) if name in known}
    return About(**found)


def index(entries: list[Entry]) -> str:
    """Returns the index: a tab for each first folder of display names, its pages below, the newest first."""
    tabs: dict[str, list[Entry]] = {}
    for entry in sorted(entries, key=lambda entry: entry.about.time, reverse=True):
        tabs.setdefault(entry.about.tab, []).append(entry)
    names = sorted(tabs, key=lambda name: (name == NO_TAB, name.lower()))
    shown = "".join(
        f"#tab-{n}:checked~.tabs label[for=tab-{n}]{{{_CHOSEN}}}\n"
        f"#tab-{n}:checked~.panels #panel-{n}{{display:block}}\n"
        f"#tab-{n}:focus-visible~.tabs label[for=tab-{n}]{{outline:2px solid var(--link)}}\n"
        for n in range(1, len(names) + 1)
    )
    experiments = sorted({entry.about.experiment for entry in entries} - {""})
    title = f"Figures of {', '.join(experiments)}" if 0 < len(experiments) < 4 else "Figures"
    return (
        _head(title, _STATIC, _STYLE + _INDEX_STYLE + shown, About())
        + f"<header><h1>{_text(title)}</h1></header>\n<main>\n{_tabs(names, tabs)}</main>\n</body></html>\n"
    )


def _tabs(names: list[str], tabs: dict[str, list[Entry]]) -> str:
    buttons, labels, panels = [], [], []
    newest = max(names, key=lambda name: tabs[name][0].about.time, default="")
    for number, name in enumerate(names, 1):
        checked = " checked" if name == newest else ""
        buttons.append(f'<input class="tab" type="radio" name="tab" id="tab-{number}"{checked}>')
        count = f' <span class="count">{len(tabs[name])}</span>'
        labels.append(f'<label for="tab-{number}">{_text(name)}{count}</label>')
        items = "\n".join(_item(entry) for entry in tabs[name])
        panels.append(
            f'<section class="panel" id="panel-{number}" aria-label="{html.escape(name)}">'
            f'<ul class="pages">\n{items}\n</ul></section>'
        )
    return (
        f'{"".join(buttons)}\n<div class="tabs">{"".join(labels)}</div>\n'
        + f'<div class="panels">\n{"".join(panels)}\n</div>\n'
    )


def _item(entry: Entry) -> str:
    return f'<li><a class="page" href="{_link(entry.path)}">{_text(entry.about.title)}</a>\n{_facts(entry.about)}</li>'


def _head(title: str, policy: str, style: str, about: About) -> str:
    said = "".join(
        f'<meta name="lute-{field.name}" content="{html.escape(getattr(about, field.name))}">\n'
        for field in fields(about)
        if getattr(about, field.name)
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        f"<title>{_text(title)}</title>\n{said}"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{style}</style></head>\n<body>\n"
    )


def _where(display_name: str) -> str:
    """Returns the way from a page to the index."""
    parts = display_name.split("/")
    steps = "".join(f" / {_text(part)}" for part in parts)
    way = f'<a href="{"../" * len(parts)}index.html">All figures</a>{steps}'
    return f'<nav class="where" aria-label="Where this page is">{way}</nav>'


def _facts(about: About) -> str:
    told = {"Task": about.task, "Experiment": about.experiment, "Acquisition run": about.run, "Run id": about.id}
    told["Time"] = _when(about.time)
    pairs = "".join(f"<div><dt>{name}</dt><dd>{_text(value)}</dd></div>" for name, value in told.items() if value)
    return f'<dl class="about">{pairs}</dl>' if pairs else ""


def _below(told: Told) -> str:
    """Returns tables of names and values, each value cut to a line or so."""
    parts = []
    for title, values in told.items():
        pairs = [f"<div><dt>{_text(name)}</dt><dd>{_text(_cut(text))}</dd></div>" for name, text in values.items()]
        more = [f"<div><dt>and {len(pairs) - MOST_VALUES} more</dt><dd></dd></div>"] if len(pairs) > MOST_VALUES else []
        if pairs:
            shown = "".join([*pairs[:MOST_VALUES], *more])
            parts.append(f'<section><h2>{_text(title)}</h2>\n<dl class="about">{shown}</dl></section>\n')
    return f"<footer>\n{''.join(parts)}</footer>\n" if parts else ""


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"


def _when(iso: str) -> str:
    """Returns a time as people read it, in the time zone of who writes the page."""
    try:
        return datetime.fromisoformat(iso).astimezone().strftime("%Y-%m-%d %H:%M:%S %Z")
    except ValueError:  # somebody wrote the page by hand
        return iso


def _text(text: str) -> str:
    return html.escape(text, quote=False)


def _link(path: str) -> str:
    return html.escape(quote(path))
