"""A workflow as text, as Mermaid and as SVG: pure functions."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from lute.graph.dag import Rule, Step, Workflow
from lute.wire.status import LOOKS

COLOURS = {"good": "#c8e6c9", "bad": "#ffcdd2", "busy": "#bbdefb", "odd": "#ffe0b2", "quiet": "#eceff1"}
"""The fill of a step by the look of its state."""
WIDTH, HEIGHT, GAP_X, GAP_Y, PAD = 170, 44, 60, 20, 12
"""Sizes of the drawing, in pixels."""


def as_text(workflow: Workflow) -> str:
    """Returns a line for each step, in order: its level, its name, its Task, what it needs."""
    levels = levels_of(workflow)
    wide = max((len(name) + 2 * levels[name] for name in workflow.steps), default=0)
    lines = []
    for name, step in workflow.steps.items():
        head = f"{'  ' * levels[name]}{name}".ljust(wide)
        lines.append("  ".join(part for part in (head, *_about(step)) if part).rstrip())
    return "\n".join(lines)


def _about(step: Step) -> list[str]:
    return [
        step.task if step.task != step.name else "",
        f"after {', '.join(step.needs)}" if step.needs else "",
        f"[{step.rule.value}]" if step.rule is not Rule.ALL_SUCCEEDED else "",
        f"if {step.when}" if step.when else "",
        f"for each of {step.foreach}" if step.foreach is not None else "",
        f"up to {step.retries.times + 1} times" if step.retries.times else "",
    ]


def as_mermaid(workflow: Workflow) -> str:
    """Returns a flowchart in Mermaid's language."""
    number = {name: f"s{index}" for index, name in enumerate(workflow.steps)}
    lines = ["flowchart LR"]
    for name, step in workflow.steps.items():
        label = name if step.task == name else f"{name}<br/>{step.task}"
        lines.append(f'    {number[name]}["{label}"]')
    for name, step in workflow.steps.items():
        note = "" if step.rule is Rule.ALL_SUCCEEDED else f"|{step.rule.value}|"
        lines += [f"    {number[need]} -->{note} {number[name]}" for need in step.needs]
    return "\n".join(lines)


def levels_of(workflow: Workflow) -> dict[str, int]:
    """Returns how many steps come before each, on the longest way."""
    levels: dict[str, int] = {}
    for name, step in workflow.steps.items():
        levels[name] = 1 + max((levels[need] for need in step.needs), default=-1)
    return levels


def as_svg(workflow: Workflow, states: Mapping[str, str] | None = None) -> str:
    """Returns a drawing that needs nothing else, coloured by the steps' states if they are given."""
    places = _places(workflow)
    wide = max((x for x, _ in places.values()), default=0) + WIDTH + PAD
    high = max((y for _, y in places.values()), default=0) + HEIGHT + PAD
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" width="{wide}" height="{high}"'
        f' role="img" aria-label="Steps of {escape(workflow.name)}" font-family="sans-serif" font-size="13">'
    ]
    for name, step in workflow.steps.items():
        parts += [_arrow(places[need], places[name]) for need in step.needs]
    parts += [_box(step, places[name], (states or {}).get(name, "PENDING")) for name, step in workflow.steps.items()]
    return "\n".join([*parts, "</svg>"])


def _places(workflow: Workflow) -> dict[str, tuple[int, int]]:
    rows: dict[int, int] = {}
    places = {}
    for name, level in levels_of(workflow).items():
        row = rows[level] = rows.get(level, -1) + 1
        places[name] = (PAD + level * (WIDTH + GAP_X), PAD + row * (HEIGHT + GAP_Y))
    return places


def _arrow(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1, x2, y2 = start[0] + WIDTH, start[1] + HEIGHT // 2, end[0], end[1] + HEIGHT // 2
    middle = (x1 + x2) // 2
    head = f"M{x2 - 7},{y2 - 4} L{x2},{y2} L{x2 - 7},{y2 + 4}"
    return f'<path d="M{x1},{y1} C{middle},{y1} {middle},{y2} {x2},{y2} {head}" fill="none" stroke="#607d8b"/>'


def colour_of(state: str) -> str:
    """Returns the fill of a step, or of a run, by its state; of one that is not known, that of one that waits."""
    return COLOURS[LOOKS.get(state, "quiet")]


def _box(step: Step, place: tuple[int, int], state: str) -> str:
    x, y = place
    centre = x + WIDTH // 2
    under = step.task if step.task != step.name else state.lower()
    return (
        f"<g><title>{escape(step.name)}: {escape(state)}</title>"
        f'<rect x="{x}" y="{y}" width="{WIDTH}" height="{HEIGHT}" rx="6" fill="{colour_of(state)}" stroke="#607d8b"/>'
        f'<text x="{centre}" y="{y + 18}" text-anchor="middle" fill="#212121">{escape(_short(step.name))}</text>'
        f'<text x="{centre}" y="{y + 35}" text-anchor="middle" font-size="11" fill="#546e7a">'
        f"{escape(_short(under))}</text></g>"
    )


def _short(text: str) -> str:
    return text if len(text) <= 24 else f"{text[:23]}…"
