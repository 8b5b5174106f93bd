"""All runs on this machine; Enter attaches."""

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import DataTable, Static

from kto_tui import units
from kto_tui.paths import runs_home
from kto_tui.runs.folder import RunFolder, RunSummary, list_runs, summarise
from kto_tui.tui.clock import clock_time
from kto_tui.tui.messages import RunOpened
from kto_tui.tui.widgets.row_table import RowTable
from kto_tui.tui.wizard import KeyLine

POLL_SECONDS = 2.0


class RunsScreen(Screen[None]):
    """One line per run, newest first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "attach", "Attach", tooltip="Open the live screen of the run under the cursor"),
        Binding("escape,q", "close", "Back", key_display="esc"),
    ]

    def compose(self) -> ComposeResult:
        """Title, table, keys."""
        yield Static(Content.assemble((" Runs", "bold")), id="rail")
        yield RowTable[str](cursor_type="row")
        yield Static(id="problem")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """Columns now, rows beside the first paint."""
        table = self.query_one(DataTable)
        for label, width in (
            ("Run", 16),
            ("State", 9),
            ("Step", 10),
            ("Loss", 7),
            ("tok/s", 6),
            ("Held-out", 8),
            ("Start", 8),
        ):
            table.add_column(label, key=label, width=width)
        table.focus()
        self.refresh_runs()
        self.set_interval(POLL_SECONDS, self.refresh_runs)

    @work(thread=True, exclusive=True)
    def refresh_runs(self) -> None:
        """Old runs can be long: read them beside the screen."""
        found = [summarise(run) for run in list_runs()]
        self.app.call_from_thread(self.show_runs, found)

    def show_runs(self, found: list[RunSummary]) -> None:
        """Change only the cells that differ."""
        if not self.is_mounted:
            return
        table = self.query_one(DataTable)
        ids = [one.id for one in found]
        if ids != [row.key.value for row in table.ordered_rows]:
            at = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value if table.row_count else None
            table.clear()
            self._fill(table, found)
            if at in ids:
                table.move_cursor(row=ids.index(at))
        else:
            self._fill(table, found)
        problem = self.query_one("#problem", Static)
        problem.update("No runs yet: the wizard's Review screen starts one.")
        problem.display = not found

    def _fill(self, table: DataTable[str], found: list[RunSummary]) -> None:
        for one in found:
            cells = {
                "Run": one.id,
                "State": one.state,
                "Step": f"{one.step}/{one.total_steps or '?'}",
                "Loss": units.metric(one.loss),
                "tok/s": units.metric(one.tokens_per_second, 0),
                "Held-out": units.percent(one.heldout_accuracy),
                "Start": "" if one.started is None else clock_time(one.started),
            }
            if one.id not in table.rows:
                table.add_row(*cells.values(), key=one.id)
            else:
                for column, value in cells.items():
                    if table.get_cell(one.id, column) != value:
                        table.update_cell(one.id, column, value)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Attach to the run under the cursor."""
        if event.row_key.value is not None:
            self.post_message(RunOpened(RunFolder(runs_home() / event.row_key.value)))

    def action_attach(self) -> None:
        """Enter."""
        if self.query_one(DataTable).row_count:
            self.query_one(DataTable).action_select_cursor()

    def action_close(self) -> None:
        """Back to where it was opened from."""
        self.app.pop_screen()
