"""Figures -> the inside of one self-contained HTML page, made where the figures were drawn.

Nothing in it is loaded from elsewhere. Libraries are imported only for figures that are theirs. What stands around
the figures (`lute.publish.page`) is added by whoever writes the page, and knows of which run it is.
"""

from __future__ import annotations

import base64
import io
import json
import re
import traceback
from collections.abc import Iterator
from typing import Any

from lute.wire.results import DEEPEST_PAGE, ElogSummaryPlots, RenderedPage, TaskResult
from lute.wire.tables import as_table

LARGEST_SVG = 2_000_000
"""A matplotlib figure whose SVG is longer than this, in characters, becomes a PNG."""
HOLOVIEWS = {"holoviews", "hvplot", "geoviews"}


def render_result(result: TaskResult) -> None:
    """Renders the figures in a result's payload and summary, in place."""
    done: dict[int, ElogSummaryPlots] = {}
    result.payload = rendered(result.payload, done)
    result.summary = rendered(result.summary, done)


def rendered(value: Any, done: dict[int, ElogSummaryPlots], levels: int = DEEPEST_PAGE) -> Any:
    """Returns a value with its `ElogSummaryPlots` rendered, also in a tuple or list; each of them once."""
    if isinstance(value, ElogSummaryPlots):
        if id(value) not in done:
            done[id(value)] = ElogSummaryPlots(value.display_name, _drawn_or_why(value))
        return done[id(value)]
    if type(value) in (tuple, list) and levels:
        return type(value)(rendered(item, done, levels - 1) for item in value)
    return value


def _drawn_or_why(plots: ElogSummaryPlots) -> RenderedPage:
    try:
        return render(plots)
    except Exception as error:  # whatever figures are, they do not take the result with them
        return RenderedPage(_why(error))


def _why(error: Exception) -> str:
    """Returns what stands in the place of a figure that cannot be drawn; the traceback goes to the log."""
    traceback.print_exc()
    told = _text(f"{type(error).__name__}: {error}", quote=True)
    return f"<p><strong>This figure could not be drawn.</strong> {told}</p>"


def render(plots: ElogSummaryPlots) -> RenderedPage:
    """Returns the inside of a page: the figures one below the other, each with its title.

    Figures are one, a list of them (also of pairs of name and figure), or a dict by name. One that cannot be drawn
    takes no other with it: in its place stands why.
    """
    if isinstance(plots.figures, RenderedPage):
        return plots.figures
    drawing = Drawing()
    named = list(_named(plots.figures))
    for number, (name, figure) in enumerate(named, start=1):
        drawing.add(name, figure, f"Figure {number}" if len(named) > 1 else plots.display_name)
    return drawing.page(show_titles=len(named) > 1 or isinstance(plots.figures, dict))


def _named(figures: Any) -> Iterator[tuple[str, Any]]:
    """Gives each figure with the name that it was given, or an empty one."""
    if isinstance(figures, dict):
        yield from ((str(name), figure) for name, figure in figures.items())
    elif isinstance(figures, (list, tuple)):
        for figure in figures:
            pair = isinstance(figure, tuple) and len(figure) == 2 and isinstance(figure[0], str)
            yield figure if pair else ("", figure)
    else:
        yield "", figures


class Drawing:
    """The figures of one page as they are drawn, and the scripts that they share."""

    def __init__(self) -> None:
        self._sections: list[tuple[str, str, str]] = []
        self._bokeh: list[Any] = []
        self._has_plotly = self._has_scripts = False

    def add(self, name: str, figure: Any, otherwise: str) -> None:
        """Draws a figure below those that are there. Its title is the name given, its own, or else `otherwise`."""
        title = name or otherwise
        try:
            if hasattr(getattr(figure, "figure", None), "savefig"):  # axes of matplotlib, a grid of seaborn
                figure = figure.figure
            title = name or _own_title(figure) or otherwise
            body, note = self._drawn(title, figure)
        except Exception as error:
            body, note = _why(error), ""
        self._sections.append((title, body, note))

    def page(self, show_titles: bool) -> RenderedPage:
        """Returns all of them as the inside of a page."""
        parts = [_bokeh_library(self._bokeh)] if self._bokeh else []
        hidden = "" if show_titles else ' class="hidden"'
        if len(self._sections) > 1:
            links = (f'<li><a href="#figure-{n}">{_text(part[0])}</a></li>' for n, part in enumerate(self._sections, 1))
            parts.append(f'<nav class="figures" aria-label="Figures"><ol>{"".join(links)}</ol></nav>')
        for number, (title, body, note) in enumerate(self._sections, 1):
            caption = f"<figcaption{hidden}>{_text(title)}</figcaption>"
            below = f'\n<p class="note">{_text(note)}</p>' if note else ""
            parts.append(f'<figure id="figure-{number}">{caption}\n<div class="paper">{body}</div>{below}\n</figure>')
        return RenderedPage("\n".join(parts), self._has_scripts)

    def _drawn(self, title: str, figure: Any) -> tuple[str, str]:
        """Returns a figure as HTML, and what there is to say below it.

        Raises:
            TypeError: Nobody knows how to show it.
        """
        from lute.tasks.pictures import is_array, picture

        homes = {base.__module__.split(".")[0] for base in type(figure).__mro__}
        if isinstance(figure, str):
            return self._from_html(figure, title)
        if not hasattr(figure, "_repr_html_") and (table := as_table(figure)) is not None:
            from lute.tasks import table_html

            self._has_scripts = True
            return table_html.drawn(table)
        if hasattr(figure, "savefig"):
            return _from_matplotlib(figure), ""
        if "plotly" in homes and hasattr(figure, "to_html"):
            return self._from_plotly(figure), ""
        if homes & HOLOVIEWS:
            return self._from_holoviews(figure, title)
        if "panel" in homes:
            return self._from_panel(figure, title)
        if "bokeh" in homes:
            return self._from_bokeh(figure), ""
        if is_array(figure) and not hasattr(figure, "_repr_html_"):
            return picture(figure)
        return self._from_its_own_words(figure, title)

    def _from_html(self, text: str, title: str) -> tuple[str, str]:
        from lute.tasks.ready_html import is_active, prepared

        body, note = prepared(text, title)
        self._has_scripts = self._has_scripts or is_active(body)
        return body, note

    def _from_plotly(self, figure: Any) -> str:
        self._has_scripts = True
        with_library, self._has_plotly = not self._has_plotly, True
        return str(figure.to_html(full_html=False, include_plotlyjs=with_library, config={"responsive": True}))

    def _from_bokeh(self, model: Any) -> str:
        from bokeh.embed import components

        self._has_scripts = True
        self._bokeh.append(model)
        script, place = components(model)
        return f"{place}\n{script}"

    def _from_holoviews(self, element: Any, title: str) -> tuple[str, str]:
        import holoviews

        if element.traverse(lambda part: part, [holoviews.HoloMap]):
            return self._from_panel(element, title)  # with a slider
        backend = holoviews.Store.current_backend if holoviews.Store.renderers else ""
        if not backend:
            holoviews.extension("bokeh")
            backend = "bokeh"
        drawn = holoviews.render(element, backend=backend)
        if backend == "plotly":
            from plotly.graph_objects import Figure

            drawn = Figure(drawn)
        return self._drawn(title, drawn)

    def _from_panel(self, shown: Any, title: str) -> tuple[str, str]:
        import holoviews
        import panel
        from bokeh.resources import INLINE

        from lute.tasks.ready_html import in_frame, without_loads

        panel.extension()
        self._has_scripts = True
        page = io.StringIO()
        viewable: Any = panel.panel(shown)
        elements = [pane.object for pane in viewable.select(panel.pane.HoloViews)]
        sliders = any(element.traverse(lambda part: part, [holoviews.HoloMap]) for element in elements)
        viewable.save(page, title=title, resources=INLINE, embed=sliders, progress=False)
        return in_frame(without_loads(_with_styles_of_panel(page.getvalue()))[0], title), ""

    def _from_its_own_words(self, figure: Any, title: str) -> tuple[str, str]:
        """Shows what an object gives to a notebook."""
        for name in ("_repr_html_", "_repr_svg_", "_repr_png_"):
            found = getattr(figure, name)() if hasattr(figure, name) else None
            if isinstance(found, bytes):
                return _image("png", found, title), ""
            if found:
                return self._from_html(str(found), title)
        raise TypeError(
            f"ElogSummaryPlots cannot show a {type(figure).__module__}.{type(figure).__qualname__}: give a matplotlib"
            " Figure, a panel, holoviews, bokeh or plotly object, an image as an array, or HTML text"
        )


def _text(text: str, quote: bool = False) -> str:
    import html  # large, and most Tasks make no figures

    return html.escape(text, quote)


def _image(kind: str, data: bytes, alt: str) -> str:
    return f'<img alt="{_text(alt, quote=True)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _own_title(figure: Any) -> str:
    """Returns the title that a figure has itself, or an empty text."""
    if hasattr(figure, "savefig"):
        whole = figure.get_suptitle() if hasattr(figure, "get_suptitle") else ""
        return whole or ", ".join(axes.get_title() for axes in _axes_of(figure) if axes.get_title())
    for names in (("layout", "title", "text"), ("title", "text"), ("label",)):
        found = figure
        for name in names:
            found = getattr(found, name, None)
        if isinstance(found, str) and found.strip():
            return found.strip()
    return ""


# -------------------------------------------------------------------------------------- matplotlib


def _axes_of(figure: Any) -> list[Any]:
    return [axes for axes in getattr(figure, "axes", []) if hasattr(axes, "get_legend_handles_labels")]


def _from_matplotlib(figure: Any) -> str:
    text = io.BytesIO()
    figure.savefig(text, format="svg", bbox_inches="tight", metadata={"Date": None})
    if text.tell() <= LARGEST_SVG:
        return _image("svg+xml", text.getvalue(), _in_words(figure))
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=150, bbox_inches="tight")
    return _image("png", data.getvalue(), _in_words(figure))


def _in_words(figure: Any) -> str:
    """Returns what a matplotlib figure shows, for who cannot see it: titles, axes, names of what is drawn."""
    told = [figure.get_suptitle()] if hasattr(figure, "get_suptitle") else []
    for axes in _axes_of(figure):
        names = axes.get_legend_handles_labels()[1]
        parts = (axes.get_title(), _against(axes), f"with {', '.join(names)}" if names else "")
        told.append(", ".join(part for part in parts if part))
    return "Plot: " + ("; ".join(part for part in told if part) or "no labels")


def _against(axes: Any) -> str:
    return " against ".join(label for label in (axes.get_ylabel(), axes.get_xlabel()) if label)


# -------------------------------------------------------------------------------- bokeh and panel


def _bokeh_library(models: list[Any]) -> str:
    """Returns the scripts and styles that bokeh's figures need, once for all of them."""
    from bokeh.embed.bundle import bundle_for_objs_and_resources
    from bokeh.resources import INLINE

    bundle = bundle_for_objs_and_resources(models, INLINE)
    styles = "".join(f"<style>{css}</style>\n" for css in bundle.css_raw)
    return styles + "".join(f"<script>{script}</script>\n" for script in bundle.js_raw)


_STYLE_SHEET = (
    r'\{"type":"object","name":"ImportedStyleSheet","id":"(\w+)","attributes":\{"url":"[^"]*?/dist/([^"?]+)[^"]*"\}\}'
)
"""A style sheet that panel takes from the network even where all is to be in the page."""


def _with_styles_of_panel(page: str) -> str:
    """Puts panel's style sheets into a page that it has made."""
    from panel.io.resources import DIST_DIR

    def inline(found: re.Match[str]) -> str:
        path = DIST_DIR / found[2]
        if not path.is_file():
            return found[0]
        css = json.dumps(path.read_text(encoding="utf-8")).replace("</", "<\\/")
        return f'{{"type":"object","name":"InlineStyleSheet","id":"{found[1]}","attributes":{{"css":{css}}}}}'

    return re.sub(_STYLE_SHEET, inline, page)
