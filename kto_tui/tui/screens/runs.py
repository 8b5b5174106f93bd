"""All runs on this machine: look, choose, compare, go on, tidy up."""

import threading
import time
from pathlib import Path
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import DataTable, Static

from kto_tui.runs.compare import FEWEST, MOST
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.overview import Overview, RunSummary
from kto_tui.tui.messages import RunOpened
from kto_tui.tui.run_table import NARROW, WIDE, WIDE_FROM, cells, detail, headers
from kto_tui.tui.screens.compare import CompareScreen
from kto_tui.tui.screens.run_actions import RunActions
from kto_tui.tui.widgets.filter_line import FilterLine
from kto_tui.tui.widgets.row_table import RowTable
from kto_tui.tui.wizard import KeyLine, complain, is_open

POLL_SECONDS = 2.0
SHOW_SECONDS = 0.3  # between two looks at what has been read so far
NONE_YET = "No runs yet: the wizard's Review screen starts one."


class RunsScreen(RunActions):
    """One line per run, newest first. ``read_only``: nothing of a run can be changed from here."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "attach", "Attach", tooltip="Open the live screen of the run under the cursor"),
        Binding("space", "choose", "Choose", tooltip=f"Choose {FEWEST} to {MOST} runs to compare, or take one back"),
        Binding("c", "compare", "Compare", tooltip="The chosen runs side by side"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Narrow the list by words; esc clears it"),
        Binding("u", "resume", "Resume", tooltip="Go on with a run that was paused or stopped, has failed or died"),
        Binding("n", "rename", "Title", tooltip="Give the run a title; its id stays", show=False),
        Binding("t", "tags", "Tags", tooltip="Write the run's tags", show=False),
        Binding("o", "note", "Note", tooltip="Write a note on the run", show=False),
        Binding("x", "export", "Export", tooltip="Every logged step as CSV, the curves as SVG", show=False),
        Binding("p", "report", "Report", tooltip="One page on the run, as Markdown", show=False),
        Binding("d", "delete", "Delete", tooltip="Delete the run and all its files", show=False),
        Binding("escape,q", "close", "Back", key_display="esc", tooltip="Clear the filter, or back"),
    ]

    def __init__(self, *, read_only: bool = False) -> None:
        super().__init__(read_only=read_only)
        self._overview = Overview()
        self._reading = threading.Lock()
        self._found: list[RunSummary] = []
        self._shown: dict[str, RunSummary] = {}
        self._chosen: list[str] = []
        self._at: str | None = None

    def compose(self) -> ComposeResult:
        """Filter, table, the run under the cursor, keys."""
        table = RowTable[object](cursor_type="row", cell_padding=0)
        with Horizontal(id="filter-line"):
            yield FilterLine(table, "/ filter by name, state, title, tag, note")
            yield Static(id="count")
        yield table
        yield Static(id="detail", classes="detail")
        yield Static(id="problem")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """Columns now, rows beside the first paint."""
        self._lay_out()
        self.query_one(DataTable).focus()
        self.refresh_runs()
        self.set_interval(POLL_SECONDS, self.refresh_runs)

    def on_resize(self) -> None:
        """More columns where there is room."""
        if len(self.query_one(DataTable).columns) != len(self._columns):
            self._lay_out()

    @property
    def _columns(self) -> dict[str, int]:
        return WIDE if self.app.size.width >= WIDE_FROM else NARROW

    def _lay_out(self) -> None:
        table = self.query_one(DataTable)
        table.clear(columns=True)
        for (key, label), width in zip(headers(self._columns).items(), self._columns.values(), strict=True):
            table.add_column(label, key=key, width=width)
        self._fill()

    @work(thread=True, group="reading")
    def refresh_runs(self) -> None:
        """Old runs can be long: read them beside the screen, and show what there is meanwhile."""
        if not self._reading.acquire(blocking=False):
            return
        try:
            found: list[RunSummary] = []
            shown = time.monotonic()
            for one in self._overview.each():
                found.append(one)
                if time.monotonic() - shown > SHOW_SECONDS and len(found) > len(self._found):
                    shown = time.monotonic()
                    self.app.call_from_thread(self.show_runs, list(found))
            self.app.call_from_thread(self.show_runs, found)
        finally:
            self._reading.release()

    def show_runs(self, found: list[RunSummary]) -> None:
        """List ``found``; only the cells that differ are written."""
        if is_open(self):
            if not found or not self._found:
                complain(self, "" if found else NONE_YET)
            self._found = found
            self._chosen = [run for run in self._chosen if run in {one.id for one in found}]
            self._fill()

    def _fill(self) -> None:
        table, words = self.query_one(DataTable), self.query_one(FilterLine).value.casefold().split()
        if len(table.columns) != len(self._columns):  # resized while another screen was on top
            self._lay_out()
            return
        before = list(self._shown)
        self._shown = {one.id: one for one in self._found if all(word in one.words for word in words)}
        if before != list(self._shown) or table.row_count != len(self._shown):
            table.clear()
        plain = self.app.has_class("-ascii")
        for one in self._shown.values():
            mark = str(self._chosen.index(one.id) + 1) if one.id in self._chosen else ""
            row = cells(one, mark, self._columns, plain=plain)
            if one.id not in table.rows:
                table.add_row(*row.values(), key=one.id)
                continue
            for column, cell in row.items():
                if table.get_cell(one.id, column) != cell:
                    table.update_cell(one.id, column, cell)
        if self._at in self._shown:
            table.move_cursor(row=list(self._shown).index(self._at))
        self._describe()
        self._count()

    def _count(self) -> None:
        total, shown = len(self._found), len(self._shown)
        words = [f"{total} runs" if shown == total else f"{shown} of {total} runs"]
        if self._chosen:
            words.append(f"{len(self._chosen)} chosen")
        self.query_one("#count", Static).update(" · ".join(words))

    def _describe(self) -> None:
        one = self._shown.get(self._at or "")
        if one is None and self._shown:
            one = next(iter(self._shown.values()))
        self.query_one("#detail", Static).update(Content("") if one is None else detail(one))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Details follow the cursor; what was said before the rows changed is old."""
        key = event.row_key.value
        if key in self._shown and event.cursor_row == self.query_one(DataTable).cursor_row:
            self._at = key
            self._describe()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Attach to the run under the cursor."""
        if event.row_key.value in self._shown:
            self.post_message(RunOpened(RunFolder(Path(self._shown[event.row_key.value].path))))

    def on_input_changed(self) -> None:
        """The list follows what is typed."""
        self._fill()
        complain(self, "" if self._shown or not self._found else "No run matches; esc clears the filter.")

    def on_input_submitted(self) -> None:
        """Enter goes from the words to the list."""
        self.query_one(DataTable).focus()

    @property
    def current(self) -> RunSummary | None:
        """The run under the cursor."""
        at = self.query_one(DataTable).cursor_row
        return list(self._shown.values())[at] if 0 <= at < len(self._shown) else None

    def action_attach(self) -> None:
        """Enter."""
        if self._shown:
            self.query_one(DataTable).action_select_cursor()

    def action_filter(self) -> None:
        """Type words."""
        self.query_one(FilterLine).focus()

    def action_close(self) -> None:
        """Clear the filter; without one back to where it was opened from."""
        line = self.query_one(FilterLine)
        if not line.value and not line.has_focus:
            self.app.pop_screen()
            return
        line.value = ""
        self.query_one(DataTable).focus()

    def action_choose(self) -> None:
        """Take the run under the cursor to those to compare, or back, and go one down."""
        one = self.current
        if one is None:
            return
        complain(self)
        if one.id in self._chosen:
            self._chosen.remove(one.id)
        elif len(self._chosen) == MOST:
            complain(self, f"{MOST} runs are the most that can be told apart; space on one of them takes it back.")
            return
        else:
            self._chosen.append(one.id)
        self._fill()
        self.query_one(DataTable).action_cursor_down()

    def action_compare(self) -> None:
        """The chosen runs side by side."""
        if len(self._chosen) < FEWEST:
            complain(self, f"Choose {FEWEST} to {MOST} runs with space first; {len(self._chosen)} chosen.")
            return
        paths = {one.id: one.path for one in self._found}
        self.app.push_screen(CompareScreen([RunFolder(Path(paths[run])) for run in self._chosen]))
