"""Figures -> one self-contained HTML page, made where the figures were drawn.

The page opens from `file://` with no network. Libraries are imported only for figures that are theirs.
"""

from __future__ import annotations

import base64
import html
import io
import re
import sys
import traceback
from typing import Any

from lute.tasks.dataclasses import ElogSummaryPlots, RenderedPage, TaskResult

LARGEST_SVG = 2_000_000
"""A matplotlib figure whose SVG is longer than this, in characters, becomes a PNG."""

_FAR_LINK = re.compile(r"<link\b[^>]*\bhref=[\"']https?://[^>]*>", re.IGNORECASE)
"""Icons and the like that panel's template takes from the network."""

_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font-family:sans-serif;margin:1.5rem;color:#222;background:#fff}}
svg,img{{max-width:100%;height:auto}}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""


def render_result(result: TaskResult) -> None:
    """Renders the figures in a result's payload and summary, in place."""
    result.payload = rendered(result.payload)
    result.summary = rendered(result.summary)


def rendered(value: Any) -> Any:
    """Returns a value with its `ElogSummaryPlots` rendered, also in a tuple or list."""
    if isinstance(value, ElogSummaryPlots):
        try:
            return ElogSummaryPlots(value.display_name, render(value))
        except Exception as error:  # a figure that cannot be drawn must not take the result with it
            traceback.print_exc()
            text = f"<p>These figures could not be drawn: {html.escape(f'{type(error).__name__}: {error}')}</p>"
            return ElogSummaryPlots(value.display_name, RenderedPage(_page(value.display_name, text)))
    if type(value) in (tuple, list):
        return type(value)(rendered(item) for item in value)
    return value


def render(plots: ElogSummaryPlots) -> RenderedPage:
    """Returns the page of an `ElogSummaryPlots`.

    Figures may be one of, or a list of: a matplotlib `Figure`, a panel, holoviews or bokeh object, a plotly
    figure, or HTML as text.

    Raises:
        TypeError: It is none of these.
    """
    figures = plots.figures
    if isinstance(figures, RenderedPage):
        return figures
    if isinstance(figures, str):
        return RenderedPage(figures if "<html" in figures[:500].lower() else _page(plots.display_name, figures))
    home = type(figures).__module__.split(".")[0]
    if home in ("panel", "holoviews", "bokeh", "hvplot", "geoviews"):
        return RenderedPage(_with_panel(figures, plots.display_name))
    several = figures if isinstance(figures, (list, tuple)) else [figures]
    return RenderedPage(_page(plots.display_name, "\n".join(_fragment(figure) for figure in several)))


def _page(display_name: str, body: str) -> str:
    return _PAGE.format(title=html.escape(display_name), body=body)


def _fragment(figure: Any) -> str:
    if hasattr(figure, "savefig"):
        return _from_matplotlib(figure)
    if hasattr(figure, "to_html") and type(figure).__module__.startswith("plotly"):
        return str(figure.to_html(full_html=False, include_plotlyjs=True))
    if isinstance(figure, str):
        return figure
    raise TypeError(
        f"ElogSummaryPlots cannot show a {type(figure).__module__}.{type(figure).__qualname__}: give a matplotlib"
        " Figure, a panel, holoviews or bokeh object, a plotly figure or HTML text"
    )


def _from_matplotlib(figure: Any) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", bbox_inches="tight")
    if text.tell() <= LARGEST_SVG:
        svg = text.getvalue()
        return f"<figure>{svg[svg.index('<svg') :]}</figure>"
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, bbox_inches="tight")
    return (
        f'<figure><img alt="figure" src="data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"></figure>'
    )


def _with_panel(figure: Any, title: str) -> str:
    from bokeh.embed import file_html
    from bokeh.resources import INLINE

    if type(figure).__module__.split(".")[0] == "holoviews" and "panel" not in sys.modules:
        import holoviews

        if "bokeh" not in holoviews.Store.renderers:
            holoviews.extension("bokeh")
        figure = holoviews.render(figure, backend="bokeh")
    if type(figure).__module__.split(".")[0] == "bokeh":
        return str(file_html(figure, INLINE, title))
    import panel

    page = io.StringIO()
    shown: Any = panel.panel(figure)
    shown.save(page, title=title, resources=INLINE)
    return _FAR_LINK.sub("", page.getvalue())
