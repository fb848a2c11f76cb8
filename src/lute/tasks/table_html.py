"""A table on a page of figures: its first rows, which a click on a column's head sorts."""

from __future__ import annotations

import html
from typing import Any, Tuple

from lute.wire.tables import Table

MOST_ROWS, MOST_COLUMNS = 300, 100
"""What is shown of a table."""

_SCRIPT = """<script>
document.currentScript.previousElementSibling.addEventListener("click", (event) => {
  const head = event.target.closest("th");
  if (!head) return;
  const table = head.closest("table"), body = table.tBodies[0], at = head.cellIndex;
  const sign = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  const text = (row) => row.cells[at].textContent;
  const number = (row) => (text(row) === "" ? NaN : Number(text(row).replace(/^(-?)inf$/, "$1Infinity")));
  const last = (row) => text(row) === "" || text(row) === "nan";
  body.append(...[...body.rows].sort((a, b) => {
    if (last(a) || last(b)) return last(a) - last(b);
    const [x, y] = [number(a), number(b)];
    if (isNaN(x) !== isNaN(y)) return sign * (isNaN(x) ? 1 : -1);
    return sign * (isNaN(x) ? text(a).localeCompare(text(b)) : x - y || 0);
  }));
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", sign === 1 ? "ascending" : "descending");
});
</script>"""
_HEAD = (
    '<th scope="col"><button type="button" style="all:unset;cursor:pointer;font-weight:600">{} &#8597;</button></th>'
)


def drawn(table: Table) -> Tuple[str, str]:
    """Returns a table as HTML with the script that sorts it, and what there is to say below it."""
    names = list(table.columns)[:MOST_COLUMNS]
    columns = [_plain(table.columns[name][:MOST_ROWS]) for name in names]
    head = "".join(_HEAD.format(html.escape(name)) for name in names)
    rows = "\n".join(f"<tr>{''.join(map(_cell, cells))}</tr>" for cells in zip(*columns))
    body = f"<table><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table>{_SCRIPT}"
    return body, _cut(len(table), len(table.columns))


def _plain(values: Any) -> Any:
    return values.tolist() if hasattr(values, "dtype") and values.dtype.kind not in "Mm" else values


def _cell(value: Any) -> str:
    return f"<td>{'' if value is None else html.escape(str(value))}</td>"


def _cut(rows: int, columns: int) -> str:
    """Returns what is not shown of a table; an empty text if all is."""
    parts = [f"the first {MOST_ROWS} of {rows} rows"] if rows > MOST_ROWS else []
    parts += [f"the first {MOST_COLUMNS} of {columns} columns"] if columns > MOST_COLUMNS else []
    return f"Shown are {' and '.join(parts)}." if parts else ""
