"""Which column holds what: a line for each, and below it what the first records become."""

from collections.abc import Sequence
from typing import ClassVar, get_args

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.screen import Screen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kto_tui.choices import DataChoices, Role
from kto_tui.data.scan import is_clear, lacks_labels
from kto_tui.data.shapes.columns import columns_of
from kto_tui.data.shapes.form import Form
from kto_tui.data.shapes.recognise import WORDS, choose, recognise
from kto_tui.data.shapes.shape import SHAPES
from kto_tui.data.shown import Head, preview
from kto_tui.errors import UserError
from kto_tui.tui.screens.dialogs import ChooseDialog
from kto_tui.tui.visible import one_line, sketch
from kto_tui.tui.widgets.row_view import Block, RowView, blocks_of, lay_out
from kto_tui.tui.wizard import TALL, KeyLine, complain

ROLES: tuple[Role, ...] = get_args(Role)
NAME, ROLE = 24, 13
# Of these there may be several columns.
MANY = {"ignore", "context"}


class ColumnsScreen(Screen[DataChoices | None]):
    """Says what the columns of a file hold; closes with the choices, or None when given up.

    Args:
        head: of the file, with the first records.
        choices: what was decided so far.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "apply", "Apply", tooltip="Read the file like this"),
        Binding("right", "turn(1)", "Role", key_display="←→", tooltip="What the column under the cursor holds"),
        Binding("left", "turn(-1)", show=False),
        Binding("space", "ask", show=False, tooltip="Choose its role from a list, also one that another column has"),
        Binding("s", "shape", "Shape", tooltip="The next shape the records may have"),
        Binding("u", "unlabelled", "No labels", tooltip="Rows without a label are good answers to imitate, or are not"),
        Binding("n", "record(1)", "Records", key_display="n/p", tooltip="The next record, the one before"),
        Binding("p", "record(-1)", show=False),
        Binding("a", "automatic", "Auto", tooltip="Back to what was recognised"),
        Binding("escape", "give_up", "Back", tooltip="Leave the columns as they were"),
    ]

    def __init__(self, head: Head, choices: DataChoices) -> None:
        super().__init__()
        self._head = head
        self._choices = choices
        self._forms = self._recognised()
        self._form = head.form
        self._at = 0
        self._values: dict[str, str] = {}

    def compose(self) -> ComposeResult:
        """Title, columns, reason, preview, keys."""
        yield Static(id="rail")
        yield OptionList(id="columns")
        yield Static(id="because", classes="detail")
        yield RowView()
        yield Static(id="problem")
        yield KeyLine(self)

    def on_mount(self) -> None:
        """The cursor is on the first column."""
        self._fill()
        self.query_one(OptionList).focus()

    def on_resize(self) -> None:
        """Values are as wide as there is room; a tall terminal shows more columns."""
        self.set_class(self.app.size.height >= TALL, "-tall")
        self._fill()

    @property
    def _mapped(self) -> DataChoices:
        """The choices as they would be: nothing is said where what is recognised anyway is clear."""
        free = msgspec.structs.replace(self._choices, shape=None, columns={})
        if self._form == self._forms[0] and is_clear(self._form, free):
            return free
        named = msgspec.structs.replace(free, shape=self._form.shape)
        if self._form in self._forms:
            return named
        used: dict[str, Role] = {name: role for name, role in self._form.columns.items() if role != "ignore"}
        return msgspec.structs.replace(named, columns=used)

    @property
    def _complete(self) -> bool:
        """Whether every row would have a prompt, an answer and a label."""
        unsaid = self._labelled and lacks_labels(self._form)
        return not unsaid and is_clear(self._form, DataChoices(shape=self._form.shape))

    @property
    def _labelled(self) -> bool:
        """Whether rows need a label."""
        return self._choices.unlabelled == "refuse"

    def _recognised(self) -> Sequence[Form]:
        return recognise(self._head.records, labelled=self._labelled)

    def _fill(self) -> None:
        self._sample()
        listed = self.query_one(OptionList)
        at, width = listed.highlighted or 0, self.app.size.width
        listed.set_options([Option(self._line(name, width)) for name in self._form.columns])
        listed.highlighted = min(at, listed.option_count - 1) if listed.option_count else None
        ways = "" if len(self._forms) < 2 else f"   (s: another of {len(self._forms)})"
        told = lay_out([("shape", f"{self._form.title}{ways}"), ("because", self._form.because)], width - 2, 4)
        self.query_one("#because", Static).update(Content("\n").join(told))
        title = " Which column holds what?"
        place = f"{self._head.format}, the first {len(self._head.records)} records "
        self.query_one("#rail", Static).update(
            Content.assemble((title, "bold"), place.rjust(max(0, width - len(title))))
        )
        self._preview()

    def _sample(self) -> None:
        """The first value of each column under this shape."""
        flatten = SHAPES[self._form.shape].flatten
        records = [record if flatten is None else flatten(record) for record in self._head.records]
        self._values = {
            name: sketch(column.values[0]) if column.values else "(empty)"
            for name, column in columns_of(records).items()
        }

    def _line(self, name: str, width: int) -> Content:
        role = self._form.columns[name]
        cells = [
            (one_line(name), NAME, ""),
            (role, ROLE, "dim" if role == "ignore" else "bold"),
            (self._values.get(name, ""), width - NAME - ROLE - 4, "dim" if role == "ignore" else ""),
        ]
        return Content(" ").join(
            Content(text).truncate(room, ellipsis=True, pad=True).stylize(style) for text, room, style in cells
        )

    def _preview(self) -> None:
        self.query_one(RowView).show(self._becomes)

    def _becomes(self, after: int) -> tuple[Content, Sequence[Block]] | None:
        """What the record at hand becomes, or one after it; or why it becomes nothing."""
        at, records = self._at + after, self._head.records
        if at >= len(records):
            return None
        rows = preview(records[at], self._form, number=1)
        yields = "one row with" if len(rows) == 1 else f"{len(rows)} rows, the first with"
        told = "no row" if rows[0].problem else f"{yields} label {one_line(str(rows[0].value), 30)!r}"
        which = (f"Record {at + 1} of {len(records)}", "dim" if after else "bold")
        return Content.assemble(which, f" becomes {told}"), blocks_of(rows[0])

    def action_turn(self, by: int) -> None:
        """Another role for the column under the cursor, of those that no other column has."""
        held = {role for name, role in self._form.columns.items() if name != self._column} - MANY
        free = [role for role in ROLES if role not in held]
        if self._column is not None:
            self._give(free[(free.index(self._form.columns[self._column]) + by) % len(free)])

    def action_ask(self) -> None:
        """Any role, whoever has it."""
        if self._column is not None:
            options: dict[str, str] = {role: f"{role:12} {WORDS.get(role, 'nothing that is used')}" for role in ROLES}
            question = f"What does {one_line(self._column, 40)!r} hold?"
            self.app.push_screen(ChooseDialog(question, options, self._form.columns[self._column]), self._asked)

    def _asked(self, answer: str | None) -> None:
        if answer is not None:
            self._give(next(role for role in ROLES if role == answer))

    @property
    def _column(self) -> str | None:
        """The column under the cursor."""
        at = self.query_one(OptionList).highlighted
        return None if at is None else list(self._form.columns)[at]

    def _give(self, role: Role) -> None:
        """The role to the column under the cursor; who had it holds nothing then."""
        columns: dict[str, Role] = {
            name: "ignore" if held == role and role not in MANY else held for name, held in self._form.columns.items()
        }
        if self._column is not None:
            self._choose({**columns, self._column: role}, self._form.shape)

    def action_shape(self) -> None:
        """The next shape that was recognised, with its own columns."""
        shapes = [form.shape for form in self._forms]
        at = shapes.index(self._form.shape) if self._form.shape in shapes else -1
        self._take(self._forms[(at + 1) % len(shapes)])

    def action_unlabelled(self) -> None:
        """Rows without a label are good answers to imitate, or are nothing to learn from."""
        self._choices = msgspec.structs.replace(self._choices, unlabelled="good" if self._labelled else "refuse")
        self._forms = self._recognised()
        self._take(self._forms[0])

    def action_automatic(self) -> None:
        """The likeliest of the recognised ways."""
        self._take(self._forms[0])

    def _choose(self, columns: dict[str, Role], shape: str) -> None:
        try:
            self._take(choose(self._forms, msgspec.structs.replace(self._choices, shape=shape, columns=columns)))
        except UserError as error:
            complain(self, str(error))

    def _take(self, form: Form) -> None:
        self._form = form
        complain(self)
        self._fill()

    def action_record(self, by: int) -> None:
        """Another of the first records."""
        self._at = max(0, min(self._at + by, len(self._head.records) - 1))
        self._preview()

    def on_option_list_option_selected(self) -> None:
        """Enter applies."""
        self.action_apply()

    def action_apply(self) -> None:
        """Close with the choices, once they are enough to read a row."""
        if not self._complete:
            complain(self, f"Not yet: {self._form.because}.")
        else:
            self.dismiss(self._mapped)

    def action_give_up(self) -> None:
        """Close without a change."""
        self.dismiss(None)
