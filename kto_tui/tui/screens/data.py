"""Step 3: which feedback, and is it sound?"""

from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from kto_tui import units
from kto_tui.data.rows import Row, text_of
from kto_tui.data.sources import STARTER
from kto_tui.draft import Draft, choose_data
from kto_tui.errors import UserError
from kto_tui.methods.kto import balance_weights
from kto_tui.tui.messages import StepRequested
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.wizard import WizardScreen

SHOWN_ROWS = 3
SHOWN_CHARACTERS = 2_000
BAR_CELLS = 30


class DataScreen(WizardScreen):
    """Reads the rows, shows count and balance, and three rows as they are."""

    STEP = "Data"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", tooltip="On to the recipe"),
        Binding("o", "open", "Open", tooltip="A JSONL file with prompt, completion and label"),
        Binding("s", "starter", "Starter", tooltip="The 496 rows that come with kto-tui"),
        Binding("h", "heldout", "Held-out", tooltip="A held-out file of your own; without one a tenth is split off"),
        Binding("n", "page(3)", "Rows", key_display="n/p", tooltip="The next three rows, the three before"),
        Binding("p", "page(-3)", "", show=False, tooltip="The three rows before"),
        Binding("escape", "back", "Back"),
    ]

    def __init__(self, draft: Draft) -> None:
        super().__init__(draft)
        self._draft = draft
        self._first = 0
        self._reading: str | None = None

    @property
    def heading(self) -> str:
        """How many rows."""
        if self._draft.source is None:
            return "no data yet"
        return f"{units.count(self._draft.rows)} rows"

    def compose_body(self) -> ComposeResult:
        """Numbers above, rows below."""
        yield Static(id="numbers", classes="detail")
        with VerticalScroll(classes="fill"):
            yield Static(id="rows")

    def on_mount(self) -> None:
        """The starter set is the default."""
        if self._draft.source is None:
            self._read(STARTER)
        else:
            self._show()

    def _read(self, data: str, heldout: str | None = None) -> None:
        self._reading = data
        self.query_one("#numbers", Static).update(Content(f"Reading {data} ..."))
        self.read_file(data, heldout)

    @work(thread=True, exclusive=True)
    def read_file(self, data: str, heldout: str | None) -> None:
        """Large files take a while: read beside the screen."""
        try:
            draft: Draft | UserError = choose_data(self._draft, data, heldout)
        except UserError as error:
            draft = error
        self.app.call_from_thread(self.take, data, draft)

    def take(self, data: str, result: Draft | UserError) -> None:
        """Show what was read, or why it could not be."""
        if data != self._reading or self.gone:
            return
        self._reading = None
        if isinstance(result, UserError):
            self.complain(str(result))
        else:
            self.complain()
            self._draft, self._first = result, 0
        self._show()

    def _show(self) -> None:
        self.redraw_rail()
        source = self._draft.source
        if source is None:
            self.query_one("#numbers", Static).update(Content("No data yet: o opens a file, s takes the starter set."))
            return
        data = source.dataset
        up, down = data.desirable, data.undesirable
        weights = balance_weights(up, down)
        cells = round(BAR_CELLS * up / len(data.rows))
        kind = "plain text" if isinstance(data.rows[0].prompt, str) else "chat messages"
        held = f"{self._draft.heldout_rows} {'of its own' if source.heldout else 'split off'}"
        place = "Starter set: answer first, then stop (CC0)" if self._draft.data == STARTER else str(data.path)
        self.query_one("#numbers", Static).update(
            Content("\n").join(
                [
                    Content(place),
                    Content(f"Read as   {kind}, {units.count(len(data.rows))} rows   held out: {held}"),
                    Content(
                        f"Balance   desirable {up:,} {'█' * cells}{'░' * (BAR_CELLS - cells)} {down:,} undesirable"
                    ),
                    Content(
                        f"Weights   {weights.desirable:.2f} : {weights.undesirable:.2f}, because {weights.because}"
                    ),
                ]
            )
        )
        shown = data.rows[self._first : self._first + SHOWN_ROWS]
        self.query_one("#rows", Static).update(
            Content("\n\n").join([_render(row, self._first + i, len(data.rows)) for i, row in enumerate(shown)])
        )

    def action_page(self, by: int) -> None:
        """Move through the rows."""
        if self._draft.source is not None:
            last = len(self._draft.source.dataset.rows) - SHOWN_ROWS
            self._first = max(0, min(self._first + by, last))
            self._show()

    def action_open(self) -> None:
        """Ask for a file."""
        self.app.push_screen(AskDialog("Path of a JSONL file with prompt, completion and label"), self._take_path)

    def _take_path(self, path: str | None) -> None:
        if path is not None:
            self._read(path)

    def action_heldout(self) -> None:
        """Ask for a held-out file."""
        if self._draft.data is None or self._draft.data == STARTER:
            self.complain("The starter set brings its own held-out rows. Open a file of yours first.")
            return
        self.app.push_screen(AskDialog("Path of a held-out JSONL file in the same form"), self._take_heldout)

    def _take_heldout(self, path: str | None) -> None:
        if path is not None and self._draft.data is not None:
            self._read(self._draft.data, path)

    def action_starter(self) -> None:
        """Take the shipped rows."""
        self._read(STARTER)

    def action_next(self) -> None:
        """On to the recipe."""
        if self._reading is not None or self._draft.source is None:
            return
        self.post_message(StepRequested("Recipe", self._draft))

    def action_back(self) -> None:
        """Back to the model."""
        self.post_message(StepRequested("Model", self._draft))


def _clip(text: str) -> str:
    """Laying out millions of characters would freeze the screen."""
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]} [... {len(text):,} characters]"


def _render(row: Row, index: int, total: int) -> Content:
    """One row: its number, its label in words, prompt and completion."""
    label = "DESIRABLE" if row.label else "UNDESIRABLE"
    head = Content.assemble(
        (f"Row {index + 1:,} of {total:,}  ", "bold"), (label, "bold reverse"), f"  line {row.line}"
    )
    prompt, completion = (_clip(text_of(part)) for part in (row.prompt, row.completion))
    return Content("\n").join([head, Content(f"  {prompt}"), Content(f"  {completion}")])
