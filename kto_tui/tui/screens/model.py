"""Step 2: which model, and does it fit?"""

from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import DataTable, Static

from kto_tui import units
from kto_tui.catalog import ModelSpec, load_catalog, resolve
from kto_tui.draft import Draft, choose_model
from kto_tui.errors import UserError
from kto_tui.flags import FLAGS
from kto_tui.recipe import field_named
from kto_tui.recipe_text import show_value
from kto_tui.tui import model_table
from kto_tui.tui.candidates import Candidate, consider, in_order, proposed_model, shown
from kto_tui.tui.messages import StepRequested
from kto_tui.tui.model_detail import detail, facts
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.download import when_allowed
from kto_tui.tui.widgets.filter_line import FilterLine
from kto_tui.tui.widgets.parts_bar import WIDE, PartsBar
from kto_tui.tui.widgets.row_table import RowTable
from kto_tui.tui.wizard import TALL, WizardScreen, room


class ModelScreen(WizardScreen):
    """The catalog with a verdict for this machine, and a way to any other model."""

    STEP = "Model"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Choose", tooltip="Choose the model under the cursor"),
        Binding("slash", "filter", "Filter", key_display="/", tooltip="Narrow the list by words; esc clears it"),
        Binding("v", "with_no", "Show NO too", tooltip="Show or hide the models that do not fit"),
        Binding(
            "e",
            "other",
            "Folder or hub id",
            tooltip="A local checkpoint folder or a name like org/model",
        ),
        Binding("escape", "back", "Back", tooltip="Clear the filter, or back to the machine"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._draft = draft
        models = {model.id: model for model in load_catalog()}
        if draft.model is not None:
            models.setdefault(draft.model.id, draft.model)
        self._all = in_order(consider(draft, models.values()))
        self._at = draft.model.id if draft.model is not None else proposed_model(self._all, draft.hardware.device)
        self._with_no = self._at_no()
        self._shown: dict[str, Candidate] = {}
        self._layout = (False, False)

    @property
    def heading(self) -> str:
        """What the verdicts are measured against, and what was set by hand before that they depend on."""
        free = f"{units.size(self._draft.hardware.free_training_bytes)} free"
        by_hand = [
            f"{name} {show_value(msgspec.structs.replace(field_named(name), unit=''), value)}"
            for name, value in self._draft.overrides.items()
            if name in FLAGS.values()
        ]
        if not by_hand:
            return free
        told = f"your {', '.join(by_hand)}"
        # Where there is no room for both, the bar below still says what is free.
        ways = (f"{free} · {told}", told, "with your settings")
        return next((way for way in ways if len(way) <= room(self.app.size.width)), ways[-1])

    def compose_body(self) -> ComposeResult:
        """Filter, table, and below it the model under the cursor."""
        table = RowTable[object](cursor_type="row", cell_padding=0)
        with Horizontal(id="filter-line"):
            yield FilterLine(table, "/ filter by name, maker, licence, use")
            yield Static(id="count")
        yield table
        with Vertical(id="below"):
            yield Static(id="facts")
            yield PartsBar()
            yield Static(id="detail")

    def on_mount(self) -> None:
        """The cursor is on the proposal, or on what was chosen before."""
        self._lay_out()
        self.query_one(DataTable).focus()

    def on_resize(self) -> None:
        """More columns and lines where there is room."""
        super().on_resize()
        if self._layout != self._room:
            self._lay_out()

    @property
    def _room(self) -> tuple[bool, bool]:
        return self.app.size.width >= WIDE, self.app.size.height >= TALL

    def _lay_out(self) -> None:
        self._layout = self._room
        self.set_class(self._layout[1], "-tall")
        table, columns = self.query_one(DataTable), self._columns
        table.clear(columns=True)
        for header, width in zip(model_table.headers(columns), columns.values(), strict=True):
            table.add_column(header, width=width)
        self._fill()

    @property
    def _columns(self) -> dict[str, int]:
        return model_table.WIDE if self._layout[0] else model_table.NARROW

    def _fill(self) -> None:
        """List the rows anew; the cursor stays on its model where that is still listed."""
        table, free = self.query_one(DataTable), self._draft.hardware.free_training_bytes
        rows, hidden = shown(self._all, self.query_one(FilterLine).value, with_no=self._with_no)
        self._shown = {one.model.id: one for one in rows}
        table.clear()
        for one in rows:
            table.add_row(*model_table.cells(one, free, self._columns), key=one.model.id)
        listed = list(self._shown)
        if self._at in self._shown:
            table.move_cursor(row=listed.index(self._at))
        self._describe(self._shown.get(self._at) or next(iter(rows), None))
        words = [f"{len(rows)} of {len(self._all)} models", *([f"v: {hidden} too large"] if hidden else [])]
        self.query_one("#count", Static).update(" · ".join(words))

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Details follow the cursor; what was said before the rows changed is old."""
        found = self._shown.get(event.row_key.value or "")
        if found is not None and event.cursor_row == self.query_one(DataTable).cursor_row:
            self._at = found.model.id
            self._describe(found)

    def _describe(self, one: Candidate | None) -> None:
        self.query_one("#below").visible = one is not None
        if one is not None:
            self.query_one("#facts", Static).update(facts(one))
            self.query_one(PartsBar).show(one.plan, self._draft.hardware.free_training_bytes)
            self.query_one("#detail", Static).update(detail(one, self._draft, tall=self._layout[1]))

    def on_input_changed(self) -> None:
        """The list follows what is typed."""
        self._fill()
        self._tell_none()

    def _tell_none(self) -> None:
        wanted = self.query_one(FilterLine).value
        none = f"No model matches {wanted[:40]!r}; esc clears the filter. Then e takes a folder or hub id."
        self.complain("" if self._shown else none)

    def on_input_submitted(self) -> None:
        """Enter chooses from the filter line too."""
        self.action_next()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Enter chooses."""
        if event.row_key.value in self._shown:
            self._choose(self._shown[event.row_key.value].model)

    def action_next(self) -> None:
        """Choose the model under the cursor."""
        if self._shown:
            self.query_one(DataTable).action_select_cursor()
        else:
            self._tell_none()

    def action_filter(self) -> None:
        """Type words."""
        self.query_one(FilterLine).focus()

    def action_with_no(self) -> None:
        """Show or hide what does not fit."""
        self._with_no = not self._with_no
        self._fill()

    def action_back(self) -> None:
        """Clear the filter; without one back to the machine."""
        line = self.query_one(FilterLine)
        if not line.value and not line.has_focus:
            self.post_message(StepRequested("Hardware", self._draft))
        line.value = ""
        self.query_one(DataTable).focus()

    def action_other(self) -> None:
        """Ask for a folder or hub id."""
        self.app.push_screen(AskDialog("Local model folder, hub id like org/model, or its page"), self._take_other)

    def _take_other(self, text: str | None) -> None:
        if text is None:
            return
        try:
            model = resolve(text)
        except UserError as error:
            self.complain(str(error))
            return
        self.complain()
        others = [one for one in self._all if one.model.id != model.id]
        self._all = in_order([*others, *consider(self._draft, [model])])
        self._at = model.id
        self._with_no = self._with_no or self._at_no()
        self.query_one(FilterLine).value = ""
        self._fill()

    def _at_no(self) -> bool:
        """Whether what the cursor is to stand on would be hidden."""
        return any(one.model.id == self._at and one.plan.verdict == "NO" for one in self._all)

    def _choose(self, model: ModelSpec) -> None:
        chosen = StepRequested("Data", choose_model(self._draft, model))
        when_allowed(self.app, model, lambda: self.post_message(chosen))
