"""HTML that a Task brings ready made: as it is, but without what it would load from elsewhere."""

from __future__ import annotations

import html
import re

_SCRIPT = re.compile(r"(<script\b[^>]*>)(.*?</script\s*>)", re.IGNORECASE | re.DOTALL)
_ELSEWHERE = r"(?!\s*(?:data:|blob:|#))"
_LOADS = re.compile(
    r"<(?:script|link|img|iframe|source|video|audio|embed|object|image)\b[^>]*?\s(?:src|href|data|srcset|poster)\s*=\s*"
    rf"(?:\"{_ELSEWHERE}(?P<a>[^\"]+)\"|'{_ELSEWHERE}(?P<b>[^']+)'|(?![\"']){_ELSEWHERE}(?P<c>[^\s>]+))[^>]*>",
    re.IGNORECASE,
)
"""A tag that loads something which is not in the page itself."""
_ACTIVE = re.compile(r"<script\b|<[^>]+\son\w+\s*=|javascript:", re.IGNORECASE)
_WHOLE = re.compile(r"<!doctype\b|<html\b|<head\b|<body\b|<frameset\b", re.IGNORECASE)
_TAG = re.compile(r"<[a-zA-Z!/]")

TELL_HEIGHT = """<script>
addEventListener("load", () => {
  let times = 0;
  new ResizeObserver(() => {
    const height = Math.max(document.documentElement.offsetHeight, document.body.scrollHeight);
    if (Math.abs(height - innerHeight) > 4 && ++times < 100) parent.postMessage({luteHeight: height}, "*");
  }).observe(document.body);
});
</script>"""
"""Has a document that is a part of the page tell it how high it is."""


_DOCUMENT = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Figure</title>'
    "<style>body{{margin:0;font:16px/1.5 system-ui,sans-serif}}</style></head><body>{}</body></html>"
)


def is_active(text: str) -> bool:
    """Returns whether HTML has scripts."""
    return _ACTIVE.search(text) is not None


def prepared(text: str, title: str) -> tuple[str, str]:
    """Returns HTML as a part of a page, and what there is to say about it.

    A whole document, or one with scripts, is kept apart from the page in a frame of its own. Text without any tag is
    shown as it is.
    """
    if not _TAG.search(text):
        return f"<pre>{html.escape(text)}</pre>", ""
    text, addresses = without_loads(text)
    note = ""
    if addresses:
        several = ", ".join(addresses[:5]) + (", ..." if len(addresses) > 5 else "")
        note = f"Left out, since a page must hold all that it shows: {several}"
    if _WHOLE.search(text[:2000]):
        return in_frame(text, title), note
    return (in_frame(_DOCUMENT.format(text), title) if is_active(text) else text), note


def without_loads(text: str) -> tuple[str, list[str]]:
    """Returns HTML without the tags that load what is not in it, and the addresses they named.

    >>> without_loads('<b>x</b><img src="https://example.org/a.png"><script>"<img src=//b>"</script>')
    ('<b>x</b><script>"<img src=//b>"</script>', ['https://example.org/a.png'])
    """
    addresses: list[str] = []

    def leave_out(found: re.Match[str]) -> str:
        addresses.append((found["a"] or found["b"] or found["c"]).strip())
        return ""

    parts = _SCRIPT.split(text)  # text, tag and body of a script, text, ...
    kept = []
    for number in range(0, len(parts), 3):
        kept.append(_LOADS.sub(leave_out, parts[number]))
        if number + 1 < len(parts) and not _LOADS.sub(leave_out, parts[number + 1]):
            continue  # the script was to come from elsewhere, and has no body of its own
        kept += parts[number + 1 : number + 3]
    return "".join(kept), addresses


def in_frame(document: str, title: str) -> str:
    """Returns a whole document as a part of a page, in a frame that neither reaches the page nor its address."""
    end = document.lower().rfind("</body>")
    document = f"{document[:end]}{TELL_HEIGHT}{document[end:]}" if end >= 0 else document + TELL_HEIGHT
    inside = document.replace("&", "&amp;").replace('"', "&quot;")
    label = html.escape(title)
    return f'<iframe title="{label}" sandbox="allow-scripts allow-downloads" srcdoc="{inside}"></iframe>'
