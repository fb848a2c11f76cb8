import numpy as np

from lute import ElogSummaryPlots, Task, TaskParameters


class DrawParameters(TaskParameters):
    pass


class Draw(Task):
    def _run(self):
        pages = [ElogSummaryPlots(f"kinds/{name}", draw()) for name, draw in KINDS.items()]
        self._result.payload = pages


def matplotlib_():
    from matplotlib.figure import Figure

    figure = Figure()
    axes = figure.subplots()
    axes.plot([1, 2, 3], [4, 1, 5], label="counts & more")
    axes.set(title="A <title>", xlabel="angle", ylabel="intensity")
    axes.legend()
    return figure


def large_matplotlib():
    from matplotlib.figure import Figure

    figure = Figure()
    figure.subplots().plot(np.random.default_rng(1).normal(size=60_000), ".")
    return figure


def axes():
    return matplotlib_().axes[0]


def plotly():
    import plotly.graph_objects as go

    line = go.Figure(go.Scatter(y=[1, 3, 2]), layout={"title": {"text": "plotly's own"}})
    return {"line": line, "gl": go.Figure(go.Scattergl(y=[1, 3, 2]))}


def bokeh():
    from bokeh.layouts import column
    from bokeh.models import CustomJS, Slider
    from bokeh.plotting import figure

    first, second = figure(title="first"), figure(title="second")
    line = first.line([1, 2, 3], [3, 1, 2], name="the line")
    second.scatter([1, 2, 3], [3, 1, 2])
    slider = Slider(start=1, end=10, value=3, name="the slider")
    slider.js_on_change("value", CustomJS(args={"line": line}, code="line.glyph.line_width = cb_obj.value"))
    return [column(slider, first), second]


def holoviews():
    import holoviews as hv

    hv.extension("bokeh")
    return hv.Curve([1, 2, 3], label="a curve")


def holomap():
    import holoviews as hv

    hv.extension("bokeh")
    return hv.HoloMap({n: hv.Curve([1, 2, n]) for n in range(3)}, kdims="frame")


def panel():
    import holoviews as hv
    import panel as pn

    hv.extension("bokeh")
    return pn.Tabs(("curve tab", hv.Curve([1, 2, 3])), ("text tab", pn.pane.Markdown("# words")))


def arrays():
    return {"grey": np.arange(600.0).reshape(20, 30), "colours": np.full((10, 20, 3), 200, "u1")}


def fragment():
    return "<table><tr><td>caf\u00e9 &amp; more</td></tr></table>"


def document():
    return (
        "<!doctype html><html><head><title>x</title><script src='https://example.org/far.js'></script></head>"
        "<body><p id='p'>before</p><img src=//example.org/a.png>"
        "<script>document.getElementById('p').textContent = 'the script ran'</script></body></html>"
    )


def tall_document():
    return "<html><body><div style='height:3000px'>tall</div></body></html>"


def table():
    import pandas

    return pandas.DataFrame({"resolution": [3.0, 2.5], "CC1/2": [0.99, 0.6]})


def png_of_its_own():
    from PIL import Image

    return Image.new("RGB", (30, 20), "red")


KINDS = {
    name.strip("_"): value
    for name, value in list(globals().items())
    if callable(value) and getattr(value, "__module__", "") == __name__ and not isinstance(value, type)
}
