"""The question that is asked once: which values of the label column mean good? On one row of each."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import ClassVar

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kto_tui.choices import DataChoices
from kto_tui.data.labels import key, read_labels
from kto_tui.data.report import LabelValue, Report
from kto_tui.data.rows import text_of
from kto_tui.data.shown import ShownRow
from kto_tui.tui.screens.dialogs import AskDialog
from kto_tui.tui.visible import one_line

WORDS = {True: "GOOD", False: "BAD", None: "NEITHER"}
NEXT = {True: False, False: None, None: True}
EXAMPLE = 60


class LabelsDialog(ModalScreen[DataChoices | None]):
    """Shows what each value is read as until somebody says that it is right; escape gives None.

    Args:
        report: with the values.
        choices: what was decided so far; the answer is added to it.
        row: gives the row of a number.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "right", "Right"),
        Binding("t", "turn", "Turn round"),
        Binding("space", "change", "Change one"),
        Binding("s", "threshold", "Threshold"),
        Binding("left", "step(-1)", show=False),
        Binding("right", "step(1)", show=False),
        Binding("escape", "give_up", "Back"),
    ]

    def __init__(self, report: Report, choices: DataChoices, row: Callable[[int], ShownRow]) -> None:
        super().__init__()
        self._report = report
        self._choices = choices
        self._row = row
        self._values = [value for value in report.values if key(value.value)]
        self._labels = {key(value.value): value.label for value in self._values}
        self._threshold = choices.threshold
        self._by_hand = bool(choices.good or choices.bad)

    def compose(self) -> ComposeResult:
        """Question, values, keys."""
        with Vertical(id="dialog"):
            yield Static(id="asked")
            yield OptionList(*self._lines())
            yield Static(id="answers")

    def on_mount(self) -> None:
        """Nothing is decided yet."""
        self._write()

    def _lines(self) -> list[Option]:
        return [Option(self._line(value)) for value in self._values]

    def _line(self, value: LabelValue) -> Content:
        """A value, how often it occurs, what it is read as, and a row of it."""
        row = self._row(value.row)
        name = one_line(str(value.value), 24)
        head = Content.assemble(
            f"{name:25}{value.count:>11,} rows  read as ", (WORDS[self._labels[key(value.value)]], "bold")
        )
        asked = row.prompt if isinstance(row.prompt, str) else row.prompt[-1].content if row.prompt else ""
        answered = row.completion if isinstance(row.completion, str) else text_of(row.completion).partition(": ")[2]
        examples = [(f"  {one_line(text, EXAMPLE)}", "dim") for text in (asked, answered)]
        return Content("\n").join([head, *(Content.assemble(example) for example in examples)])

    def _write(self, complaint: str = "") -> None:
        listed = self.query_one(OptionList)
        at = listed.highlighted or 0
        listed.set_options(self._lines())
        listed.highlighted = min(at, len(self._values) - 1) if self._values else None
        self.query_one("#asked", Static).update(Content(f"{self._question()}\n"))
        keys = [("y", "Right"), ("t", "Turn round"), ("space", "Good, bad or neither")]
        keys += [("s ←→", "Good from")] if self._numbers() else []
        told = Content("   ").join(
            Content.assemble((name, "bold"), f" {word}") for name, word in [*keys, ("esc", "Not now")]
        )
        self.query_one("#answers", Static).update(Content.assemble("\n", complaint, "\n" if complaint else "", told))

    def _question(self) -> str:
        if self._by_hand:
            how = "as you say below"
        elif self._threshold is not None:
            how = f"{self._threshold:g} and more are good"
        else:
            how = self._report.labels_because
        column = next((name for name, role in self._report.form.columns.items() if role == "label"), "label")
        return f"Is the label column {one_line(column, 30)!r} read right? Now: {one_line(how)}."

    def _numbers(self) -> list[float]:
        """The values that are numbers, ascending; none when most are not."""
        found = []
        for value in self._values:
            try:
                found.append(float(key(value.value)))
            except ValueError:
                continue
        return sorted(set(found)) if len(found) > len(self._values) / 2 else []

    def action_right(self) -> None:
        """Close with what is shown."""
        good, bad = (tuple(name for name, label in self._labels.items() if label is wanted) for wanted in (True, False))
        if not good and not bad and self._threshold is None:
            self._write("Say first which values are good and which are bad: space changes the one under the cursor.")
            return
        if self._threshold is not None and not self._by_hand:
            good = bad = ()
        threshold = None if self._by_hand else self._threshold
        self.dismiss(msgspec.structs.replace(self._choices, good=good, bad=bad, threshold=threshold))

    def action_turn(self) -> None:
        """Good becomes bad and bad good."""
        self._say({name: None if label is None else not label for name, label in self._labels.items()})

    def action_change(self) -> None:
        """The value under the cursor: good, bad, neither."""
        at = self.query_one(OptionList).highlighted
        if at is not None:
            name = key(self._values[at].value)
            self._say({**self._labels, name: NEXT[self._labels[name]]})

    def _say(self, labels: Mapping[str, bool | None]) -> None:
        self._labels, self._by_hand = dict(labels), True
        self._write()

    def action_threshold(self) -> None:
        """Ask for a number."""
        if self._numbers():
            self.app.push_screen(AskDialog("Ratings from which number on are good?"), self._take_threshold)

    def _take_threshold(self, text: str | None) -> None:
        try:
            if text is not None:
                self._set_threshold(float(text))
        except ValueError:
            self._write(f"{one_line(text or '', 20)!r} is no number.")

    def action_step(self, by: int) -> None:
        """The threshold at the next number that occurs."""
        numbers = self._numbers()
        if not numbers:
            return
        if self._threshold is None:
            at = len(numbers) // 2 + (by > 0)
        else:
            now = self._threshold
            at = min(range(len(numbers)), key=lambda i: abs(numbers[i] - now)) + by
        self._set_threshold(numbers[max(0, min(at, len(numbers) - 1))])

    def _set_threshold(self, threshold: float) -> None:
        counts = Counter[str]()
        for value in self._values:  # by key: as a dictionary's keys True and 1 would be one
            counts[key(value.value)] += value.count
        labels = read_labels(counts, threshold=threshold).labels
        self._labels = {name: labels.get(name) for name in self._labels}
        self._threshold, self._by_hand = threshold, False
        self._write()

    def on_option_list_option_selected(self) -> None:
        """Enter, which goes on everywhere else, is no answer to this."""
        self._write("Press y when it is right.")

    def action_give_up(self) -> None:
        """Close without an answer."""
        self.dismiss(None)
