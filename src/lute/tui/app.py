"""The full-screen program: a table of runs, newest first, and what is kept of the one under the cursor."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Header, Input, Label, Static, TabbedContent, TabPane

from lute.errors import LuteError
from lute.execution import requests
from lute.record.rows import RunFiles, printable
from lute.record.schema import is_live
from lute.record.store import Record
from lute.tasks.progress import as_text
from lute.wire.status import LOOKS, SYMBOLS

if TYPE_CHECKING:
    from lute.record.queries import Condition, Wanted
    from lute.record.types import RunRow

REFRESH = 1.0
"""Time between two looks at the record, in s."""
PAGE = 200
"""Runs that are read at once; the next ones when the cursor reaches the last."""
TAIL = 64 * 1024
"""Bytes of a log's end that are shown."""
COLUMNS = ("ID", "STARTED", "EXPERIMENT", "RUN", "TASK", "STATUS", "TIME", "SUMMARY")
STYLES = {"good": "green", "bad": "bold red", "busy": "bold cyan", "odd": "magenta", "quiet": "dim"}
"""The colour of a status by its look; it never stands without its symbol."""
READ = ("id", "started", "experiment", "run", "task", "managed_task", "status", "valid", "wall_s", "summary")
READ_ALSO = ("reason", "progress", "ended")


class Ask(ModalScreen[str | None]):
    """Asks for a line of text; Escape gives up."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "give up")]
    CSS = """
    Ask { align: center middle; }
    Ask > Vertical { width: 60; height: 7; border: round $accent; background: $surface; padding: 0 1; }
    """

    def __init__(self, question: str) -> None:
        super().__init__()
        self._question = question

    def compose(self) -> ComposeResult:
        """Has the question and a line to answer it."""
        with Vertical():
            yield Label(self._question, markup=False)
            yield Input()

    @on(Input.Submitted)
    def _answer(self, event: Input.Submitted) -> None:
        self.dismiss(event.value)


class RecordApp(App[None]):
    """Shows a record.

    Args:
        record: The record, open.
        when: Writes a time of the record as people read it.
        seconds: Writes a time span as people read it.
    """

    TITLE = "lute"
    CSS = """
    #filter { height: 3; }
    DataTable { height: 1fr; }
    TabbedContent { height: 1fr; border-top: solid $accent; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("slash", "filter", "filter"),
        Binding("escape", "to_table", "table", show=False),
        Binding("c", "cancel", "cancel the run"),
        Binding("i", "invalidate", "invalidate"),
        Binding("r", "restore", "restore"),
        Binding("f", "follow", "follow the newest"),
        Binding("q", "quit", "quit"),
    ]

    def __init__(
        self, record: Record, when: Callable[[str | None], str], seconds: Callable[[float | None], str]
    ) -> None:
        super().__init__()
        self._record, self._when, self._seconds = record, when, seconds
        self._wanted: Wanted = {}
        self._shown: dict[str, tuple[Any, ...]] = {}
        self._pages, self._current, self._follow = 1, "", True
        self._row: RunRow | None = None

    def compose(self) -> ComposeResult:
        """Has a line to filter, the table, and tabs for one run."""
        yield Header()
        yield Input(placeholder="filter: task=NAME status=FAILED run=12 Task.param>3, or any text", id="filter")
        yield DataTable(cursor_type="row", zebra_stripes=True)
        with TabbedContent():
            for name in ("Run", "Log", "Parameters", "Environment"):
                with TabPane(name, id=f"tab-{name.lower()}"), VerticalScroll(id=f"scroll-{name.lower()}"):
                    yield Static(id=f"text-{name.lower()}", markup=False)
        yield Footer()

    def on_mount(self) -> None:
        """Reads the record, now and every `REFRESH` s."""
        self.sub_title = str(self._record)
        table = self.query_one(DataTable)
        for column in COLUMNS:
            table.add_column(column, key=column)
        table.focus()
        self._look()
        self.set_interval(REFRESH, self._look)

    # ------------------------------------------------------------------------------------ the table

    def _look(self) -> None:
        try:
            if self._record.exists():
                self._record.mark_lost()
            rows = self._find()
        except LuteError as error:
            self.notify(str(error), severity="error")
            return
        self._fill({row["id"]: self._cells(row) for row in rows})
        self._show_run()

    def _find(self) -> list[RunRow]:
        if not self._record.exists():
            return []
        return self._record.find(columns=[*READ, *READ_ALSO], limit=PAGE * self._pages, **self._wanted)

    def _fill(self, rows: dict[str, tuple[Any, ...]]) -> None:
        """Changes the cells that have changed; builds the table anew only when other runs are shown."""
        table = self.query_one(DataTable)
        if list(rows) != list(self._shown):
            table.clear()
            for identity, cells in rows.items():
                table.add_row(*cells, key=identity)
            wanted = self._current if self._current in rows and not self._follow else next(iter(rows), "")
            if wanted:
                table.move_cursor(row=list(rows).index(wanted))
            self._current = wanted
        else:
            for identity, cells in rows.items():
                for column, old, new in zip(COLUMNS, self._shown[identity], cells, strict=True):
                    if old != new:
                        table.update_cell(identity, column, new)
        self._shown = rows

    def _cells(self, row: RunRow) -> tuple[Any, ...]:
        sign, style = SYMBOLS[row["status"]], STYLES[LOOKS[row["status"]]]
        invalid = " invalid" if row["status"] == "COMPLETED" and not row["valid"] else ""
        told = row["summary"] if row["status"] == "COMPLETED" else row["reason"]
        if is_live(row) and row["progress"]:
            told = as_text(row["progress"])
        return (
            row["id"],
            self._when(row["started"]),
            row["experiment"],
            row["run"],
            row["managed_task"] or row["task"],
            Text(f"{sign} {row['status']}{invalid}", style=style),
            self._seconds(row["wall_s"]),
            Text(str(told or "").replace("\n", " ")),
        )

    @on(DataTable.RowHighlighted)
    def _moved(self, event: DataTable.RowHighlighted) -> None:
        if event.row_key is None or event.row_key.value is None:
            return
        self._current = event.row_key.value
        self._follow = event.cursor_row == 0
        if event.cursor_row == len(self._shown) - 1 and len(self._shown) == PAGE * self._pages:
            self._pages += 1
        self._show_run()

    def action_follow(self) -> None:
        """Goes to the newest run, and stays there as newer ones come."""
        self._follow = True
        self.query_one(DataTable).move_cursor(row=0)

    # ----------------------------------------------------------------------------------- the filter

    def action_filter(self) -> None:
        """Goes to the line that filters."""
        self.query_one("#filter", Input).focus()

    def action_to_table(self) -> None:
        """Goes back to the table."""
        self.query_one(DataTable).focus()

    @on(Input.Submitted, "#filter")
    def _filter(self, event: Input.Submitted) -> None:
        before, self._wanted = self._wanted, read_filter(event.value)
        try:
            self._find()
        except LuteError as error:
            self._wanted = before
            self.notify(str(error), severity="error")
            return
        self._pages, self._follow = 1, True
        self._look()
        self.action_to_table()

    # ---------------------------------------------------------------------------------- one run

    def _show_run(self) -> None:
        if not self._current:
            return
        try:
            row = self._record.get(self._current)
        except LuteError as error:
            self.notify(str(error), severity="error")
            return
        if row == self._row and not is_live(row):
            return
        self._row = row
        self._write("run", _about(row, self._when, self._seconds))
        self._write("log", _tail(row["log"]))
        self._write("parameters", _as_lines(row["parameters"] or {}))
        self._write("environment", _as_lines(row["environment"] or {}) or "nothing was changed")
        if is_live(row):
            self.query_one("#scroll-log", VerticalScroll).scroll_end(animate=False)

    def _write(self, name: str, text: str) -> None:
        self.query_one(f"#text-{name}", Static).update(text)

    # ---------------------------------------------------------------------------------- actions

    def action_cancel(self) -> None:
        """Cancels the run under the cursor, with a reason."""
        row = self._row
        if not row or not is_live(row):
            self.notify("this run does not live: there is nothing to cancel", severity="warning")
            return

        def ask(reason: str | None) -> None:
            if reason is not None:
                self._do(lambda: _cancel(self._record, row, reason), f"asked {row['id']} to stop")

        self.push_screen(Ask(f"Cancel {row['task']} ({row['id']})? Why:"), ask)

    def action_invalidate(self) -> None:
        """Says that the result of the run under the cursor is not to be used."""
        row = self._row
        if not row or is_live(row):
            self.notify("a run that lives cannot be invalidated", severity="warning")
            return

        def ask(reason: str | None) -> None:
            if reason:
                self._do(lambda: self._record.set_valid(row["id"], False, reason), f"{row['id']} is invalid")

        self.push_screen(Ask(f"Invalidate {row['id']}? Why:"), ask)

    def action_restore(self) -> None:
        """Takes back that the result of the run under the cursor is not to be used."""
        row = self._row
        if row and row["status"] == "COMPLETED":
            self._do(lambda: self._record.set_valid(row["id"], True), f"{row['id']} is valid")
        else:
            self.notify("only a run that completed can be restored", severity="warning")

    def _do(self, action: Callable[[], None], told: str) -> None:
        try:
            action()
        except LuteError as error:
            self.notify(str(error), severity="error")
        else:
            self.notify(told)
            self._look()


def _cancel(record: Record, row: RunRow, reason: str) -> None:
    request = requests.Request(requests.CANCEL, requests.this_user(), reason)
    if not requests.cancel_waiting(record, row, request):
        requests.post(RunFiles(Path(row["log"]).parent).request, request)


def read_filter(text: str) -> Wanted:
    """Returns what `Record.find` takes for a line of filters.

    >>> read_filter("status=failed run=12 FindPeak.threshold>3 beam")
    {'statuses': ['FAILED'], 'run': '12', 'where': ['FindPeak.threshold>3'], 'text': 'beam'}
    """
    wanted: Wanted = {}
    words: list[str] = []
    where: list[str | Condition] = []
    for part in text.split():
        name, equals, value = part.partition("=")
        if equals and name in ("experiment", "run", "workflow"):
            wanted[name] = value  # type: ignore[literal-required]
        elif equals and name == "task":
            wanted["tasks"] = value.split(",")
        elif equals and name == "status":
            wanted["statuses"] = [one.upper() for one in value.split(",")]
        elif any(sign in part for sign in "=<>"):
            where.append(part)
        else:
            words.append(part)
    if where:
        wanted["where"] = where
    if words:
        wanted["text"] = " ".join(words)
    return wanted


def _about(row: RunRow, when: Callable[[str | None], str], seconds: Callable[[float | None], str]) -> str:
    lines = [
        ("status", f"{row['status']}{'' if row['valid'] or row['status'] != 'COMPLETED' else ' (invalid)'}"),
        ("reason", row["reason"]),
        ("invalid", row.get("invalid_reason")),
        ("progress", as_text(row["progress"]) if row["progress"] and is_live(row) else ""),
        ("summary", row["summary"]),
        ("result", json.dumps(printable(row["payload"])) if row["payload"] not in (None, "") else ""),
        ("started", when(row["started"])),
        ("took", seconds(row["wall_s"])),
        ("host", f"{row['host']}, process {row['pid']}" if row["pid"] else row["host"]),
        ("workflow", f"{row['workflow']}, step {row['step']}" if row["workflow"] else ""),
        ("command", " ".join(row["command"] or [])),
        ("metrics", json.dumps(printable(row["metrics"])) if row["metrics"] else ""),
        *(("page", f"file://{path}") for path in row["plots"] or []),
        ("log", row["log"]),
    ]
    return "\n".join(f"{name:<10} {text}" for name, text in lines if text)


def _as_lines(values: Mapping[str, Any]) -> str:
    return "\n".join(f"{name:<24} {json.dumps(value, ensure_ascii=False)}" for name, value in values.items())


def _tail(path: str) -> str:
    try:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            return file.read().decode("utf-8", "backslashreplace").replace("\x1b", "␛")
    except OSError as error:
        return f"the log cannot be read: {error}"
