"""Step 3: which feedback, and is it sound?"""

from typing import ClassVar, Literal

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.widgets import OptionList

from kto_tui.choices import DataChoices
from kto_tui.data.sources import STARTER
from kto_tui.draft import Draft
from kto_tui.errors import UserError
from kto_tui.methods import Method
from kto_tui.tui.messages import StepRequested
from kto_tui.tui.opening import Opened, Wanted
from kto_tui.tui.screens.columns import ColumnsScreen
from kto_tui.tui.screens.data_hub import when_here
from kto_tui.tui.screens.data_rows import WAIT
from kto_tui.tui.screens.data_tokens import TokensScreen
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.screens.fixes import FixesScreen
from kto_tui.tui.screens.labels import LabelsDialog
from kto_tui.tui.widgets.check_list import ALL, CheckList
from kto_tui.tui.widgets.histogram import Histogram
from kto_tui.tui.widgets.numbers import Numbers
from kto_tui.tui.widgets.parts_bar import WIDE
from kto_tui.tui.widgets.row_view import RowView
from kto_tui.tui.wizard import TALL

STARTER_AS_IS = "The starter set is used as it is. Open a file of yours first (o)."


class DataScreen(TokensScreen):
    """Reads a file, says what is in it and what is wrong with it, and has doubtful rows decided."""

    STEP = "Data"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", tooltip="On to the recipe"),
        Binding("o", "open", "Open", tooltip="A file or folder of feedback, or a data set of the hub"),
        Binding("s", "starter", show=False, tooltip="The 496 rows that come with kto-tui"),
        Binding("h", "heldout", show=False, tooltip="A held-out file of your own; without one a tenth is split off"),
        Binding("n", "page(1)", "Rows", key_display="n/p", tooltip="The next row, the one before; g asks for a number"),
        Binding("p", "page(-1)", show=False),
        Binding("g", "go", show=False),
        Binding("slash", "find", show=False, key_display="/", tooltip="Search the rows; again: the next one"),
        Binding("f", "fixes", "Fixes", tooltip="What the checks can mend, previewed row by row"),
        Binding("m", "columns", "Columns", tooltip="What each column holds"),
        Binding("e", "labels", show=False, tooltip="What each value of the label column means"),
        Binding(
            "u", "imitate", show=False, tooltip="SFT: imitate the good rows, those without a label too; again: KTO"
        ),
        Binding("x", "exclude", "Exclude", tooltip="Leave the row out, or take it back"),
        Binding("l", "flip", show=False, tooltip="Turn the row's label round, or take that back"),
        Binding("v", "view", show=False, tooltip="The row as the model will see it, token by token"),
        Binding("t", "count", show=False, tooltip="Count the tokens with the model's tokenizer"),
        Binding("c", "cancel", show=False, tooltip="Stop reading the file, or counting"),
        Binding("escape", "back", "Back", tooltip="Leave the search, then the check, then the screen; or stop reading"),
    ]

    def compose_body(self) -> ComposeResult:
        """Numbers and checks above, the row below."""
        with Horizontal(id="upper"):
            with Vertical():
                yield Numbers()
                yield CheckList("f fix")
            yield Histogram()
        yield RowView()

    def on_mount(self) -> None:
        """What was chosen before, else the starter set."""
        self.query_one(CheckList).focus()
        self.open_file(Wanted(self._draft.data or STARTER, self._draft.heldout, self._draft.choices))

    def on_resize(self) -> None:
        """A tall terminal shows more checks, a wide one the histogram."""
        self.set_class(self.app.size.height >= TALL, "-tall")
        self.set_class(self.app.size.width >= WIDE, "-wide")

    # Deciding.

    def _own(self) -> Opened | None:
        """The examined file, when it is one whose rows can be decided about; else a sentence says why not."""
        opened = self._opened
        if opened is None or opened.report is None:
            self.complain(WAIT)
        elif opened.wanted.data == STARTER:
            self.complain(STARTER_AS_IS)
        else:
            return opened
        return None

    def action_exclude(self) -> None:
        """Leave the row out, or take it back."""
        if (opened := self._own()) is not None:
            choices = opened.wanted.choices
            self.change(msgspec.structs.replace(choices, excluded=toggled(choices.excluded, self._cursor.number)))

    def action_flip(self) -> None:
        """Turn the row's label round, or take that back."""
        if (opened := self._own()) is not None:
            if opened.row(self._cursor.number).label is None:
                self.complain("This row has no label that could be turned round.")
                return
            choices = opened.wanted.choices
            self.change(msgspec.structs.replace(choices, flipped=toggled(choices.flipped, self._cursor.number)))

    def action_fixes(self, sentence: str = "") -> None:
        """What can be mended."""
        if (opened := self._own()) is not None and opened.report is not None:
            if not opened.findings:
                self.complain("The checks found nothing to mend.")
                return
            screen = FixesScreen(
                opened, opened.wanted.choices, check=self.query_one(CheckList).chosen, sentence=sentence
            )
            self.app.push_screen(screen, self._take_fixes)

    def _take_fixes(self, choices: DataChoices | None) -> None:
        if choices is not None and self._opened is not None and choices != self._opened.wanted.choices:
            self.change(choices)

    def go_on(self) -> None:
        """On to the recipe, or what must be done first."""
        self.action_next()

    def ask_columns(self) -> None:
        """Nothing can be read before somebody says what the columns hold."""
        self.action_columns()

    def ask_labels(self) -> None:
        """Nothing is trained on before somebody says what the labels mean."""
        self.action_labels()

    def action_labels(self) -> None:
        """What the values of the label column mean."""
        opened = self._own()
        if opened is None or opened.report is None:
            return
        if not any(value.value is not None for value in opened.report.values):
            self.complain("No row has a label. m says which column holds them.")
            return
        self.app.push_screen(LabelsDialog(opened.report, opened.wanted.choices, opened.row), self._take_reading)

    def action_imitate(self) -> None:
        """SFT, which imitates the good rows, rows without a label among them; or KTO again."""
        opened = self._opened
        if opened is None or (opened.report is None and not opened.head.unclear):
            self.complain(WAIT)
            return
        wanted = opened.wanted
        if self._draft.method == "sft":
            unlabelled: Literal["refuse", "good"] = "refuse"
        else:
            values = () if opened.report is None else opened.report.values
            bare = opened.head.unclear or any(value.value is None for value in values)
            unlabelled = "good" if bare and wanted.data != STARTER else "refuse"
        self._train_with("kto" if self._draft.method == "sft" else "sft")
        choices = msgspec.structs.replace(wanted.choices, unlabelled=unlabelled)
        self.open_file(msgspec.structs.replace(wanted, choices=choices))

    def _train_with(self, method: Method) -> None:
        """Set the method by hand; whether the rows suit it is seen anew."""
        self._draft = msgspec.structs.replace(self._draft, overrides={**self._draft.overrides, "method": method})
        self._sound = None

    def action_columns(self) -> None:
        """What the columns hold."""
        opened = self._opened
        if opened is None or opened.wanted.data == STARTER:
            self.complain(WAIT if opened is None else STARTER_AS_IS)
            return
        self.app.push_screen(ColumnsScreen(opened.head, opened.wanted.choices), self._take_reading)

    def _take_reading(self, choices: DataChoices | None) -> None:
        """Choices that say how the file is read: it is opened anew, its numbers of rows may be others."""
        if choices is not None and self._opened is not None:
            if choices.unlabelled == "good" and self._draft.method == "kto":
                self._train_with("sft")
            self.open_file(msgspec.structs.replace(self._opened.wanted, choices=choices))
        elif self._opened is not None and self._opened.head.unclear and self._before is not None:
            self._opened, self._before = self._before, None
            self.show_all()

    # Choosing a file.

    def action_open(self) -> None:
        """Ask for a file."""
        self.app.push_screen(
            AskDialog("File or folder of feedback, or a data set of the hub like org/name"), self._take_path
        )

    def _take_path(self, path: str | None) -> None:
        if path is not None:
            when_here(self.app, path, lambda name: self.open_file(Wanted(name)), self.complain)

    def action_heldout(self) -> None:
        """Ask for a held-out file."""
        if self._opened is None or self._opened.wanted.data == STARTER:
            self.complain("The starter set brings its own held-out rows. Open a file of yours first.")
            return
        self.app.push_screen(AskDialog("Path of a held-out file in the same form"), self._take_heldout)

    def _take_heldout(self, path: str | None) -> None:
        if path is not None and self._opened is not None:
            wanted = self._opened.wanted
            go_on = lambda name: self.open_file(msgspec.structs.replace(wanted, heldout=name))  # noqa: E731
            when_here(self.app, path, go_on, self.complain)

    def action_starter(self) -> None:
        """Take the shipped rows."""
        self.open_file(Wanted(STARTER))

    # Leaving.

    def on_option_list_option_selected(self, event: OptionList.OptionSelected) -> None:
        """Enter goes on from the list too."""
        event.stop()
        self.action_next()

    def action_next(self) -> None:
        """On to the recipe, or what must be done first."""
        opened = self._opened
        wanted = self._opening.wanted if self._opening is not None else opened.wanted if opened is not None else None
        if wanted is not None and wanted == self._sound:
            self.post_message(StepRequested("Recipe", self._draft))
        elif self._opening is not None or opened is None:
            self._going_on = True
            self.complain("Goes on to the recipe once the file is read, if nothing is found wrong with it; esc stays.")
        elif opened.head.unclear:
            self.action_columns()
        elif opened.report is not None and not opened.report.confirmed:
            self.action_labels()
        elif opened.decided is None or opened.decided.choices != opened.wanted.choices:
            self.complain("Your last choice is still being counted. One moment.")
        elif isinstance(opened.decided.outcome, UserError):
            self._first_mend(opened, opened.decided.outcome)

    def _first_mend(self, opened: Opened, problem: UserError) -> None:
        """Say what keeps the file from being trained on; where a fix is offered, on the screen that has it."""
        errors = [one for one in opened.findings if one.severity == "error"]
        if any(one.fix is not None and one.id not in opened.wanted.choices.fixes for one in errors):
            self.action_fixes(f"{problem.what}. Accept a fix, or mend the file.")
        else:
            kept = opened.decided.kept if opened.decided is not None else None
            only_good = kept is not None and kept.desirable and not kept.undesirable
            self.complain(f"{problem} Press u for SFT." if only_good and opened.method == "kto" else str(problem))

    def action_cancel(self) -> None:
        """Stop reading, or counting."""
        if self._opening is not None:
            self._opening.cancel()
        elif self.stop_counting():
            self._progress = None
            self.show_all()

    def action_back(self) -> None:
        """Stay after all; out of the search, out of the check, out of the reading, back to the model."""
        if self._going_on:
            self._going_on = False
            self.complain()
        elif self._search:
            self._search = ""
            self.complain()
        elif self.query_one(CheckList).chosen != ALL:
            self.go_to(self._cursor.number)
        elif self._opening is not None and self._before is not None:
            self.action_cancel()
        else:
            self.post_message(StepRequested("Model", self._left_draft))

    @property
    def _left_draft(self) -> Draft:
        """The draft with what is open, though it may not be sound yet."""
        opened = self._opened
        if opened is None or opened.wanted == self._sound or opened.report is None:
            return self._draft
        wanted = opened.wanted
        return msgspec.structs.replace(
            self._draft, data=wanted.data, heldout=wanted.heldout, choices=wanted.choices, source=None
        )


def toggled(numbers: tuple[int, ...], number: int) -> tuple[int, ...]:
    """``numbers`` without ``number`` if it is there, else with it, ascending."""
    return tuple(sorted({*numbers} ^ {number}))
