"""Opens a data file beside the screen: its first rows at once, then all that is to be said about it."""

from collections.abc import Iterator
from pathlib import Path

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.finding import Finding
from kto_tui.data.doctor import Examination
from kto_tui.data.report import Examined, Progressed, Refused, Report, Update
from kto_tui.data.shown import Browser, Head, Kept, ShownRow, read_head
from kto_tui.data.sources import STARTER, for_heldout, for_training, starter_folder
from kto_tui.data.tokens.lengths import Lengths
from kto_tui.data_here import path_of
from kto_tui.draft import Draft, choose_data, plan
from kto_tui.errors import UserError
from kto_tui.methods import Method
from kto_tui.tui.counting import Counted


class Wanted(msgspec.Struct, frozen=True):
    """What is to be opened: data and held-out file as people name them, and what they decided about it."""

    data: str
    heldout: str | None = None
    choices: DataChoices = DataChoices()

    @property
    def here(self) -> tuple[Path, DataChoices]:
        """Where the rows lie, and how they are read.

        Raises:
            UserError: it is a data set of the hub that is not on this machine.
        """
        if self.data == STARTER:
            return starter_folder() / "train.jsonl", DataChoices()
        return for_training(path_of(self.data, self.choices.config, self.choices.split), self.choices)

    @property
    def apart(self) -> tuple[Path, DataChoices] | None:
        """The same of the rows that must not be trained on; None without any.

        Raises:
            UserError: as ``here``.
        """
        if self.data == STARTER:
            return starter_folder() / "heldout.jsonl", DataChoices()
        return None if self.heldout is None else for_heldout(path_of(self.heldout), self.choices)


class Decided(msgspec.Struct, frozen=True):
    """What follows from the choices.

    Attributes:
        choices: as they are now.
        kept: rows that are trained on or held out.
        outcome: the draft with its data; or why there is none yet.
    """

    choices: DataChoices
    kept: Kept
    outcome: Draft | UserError


class Opened(msgspec.Struct, frozen=True):
    """All that is known of a file; None: not yet.

    Attributes:
        wanted: what was opened.
        place: where it lies.
        head: its first rows.
        report: of the examination.
        browser: pages through its rows.
        decided: what follows from the choices.
        estimated: tokens of its rows, from their characters.
        counted: the same by the model's tokenizer.
        method: that is to train on it.
    """

    wanted: Wanted
    place: Path
    head: Head
    report: Report | None = None
    browser: Browser | None = None
    decided: Decided | None = None
    estimated: Lengths | None = None
    counted: Counted | None = None
    method: Method = "kto"

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Of the examination, then of the counted tokens."""
        found = () if self.report is None else self.report.findings
        return found if self.counted is None else (*found, *self.counted.findings)

    @property
    def lengths(self) -> Lengths | None:
        """Tokens of the rows: counted, else estimated."""
        return self.estimated if self.counted is None else self.counted.lengths

    @property
    def rows(self) -> int:
        """How many can be looked at now."""
        return len(self.head.rows) if self.browser is None else len(self.browser)

    def row(self, number: int) -> ShownRow:
        """The row of that number, as it is in the file."""
        return self.head.rows[number - 1] if self.browser is None else self.browser.row(number)


def decide(opened: Opened, draft: Draft, choices: DataChoices) -> Decided:
    """What these choices make of a file that was examined. May take a second: call it beside the screen."""
    wanted, browser = opened.wanted, opened.browser
    assert browser is not None  # noqa: S101 - decided about once it is examined
    try:
        kept = browser.kept(choices, wanted.apart)
    except UserError as error:  # the held-out file is gone
        return Decided(choices, browser.kept(choices, None), error)
    try:
        outcome: Draft | UserError = choose_data(draft, wanted.data, wanted.heldout, choices)
    except UserError as error:
        outcome = error
    return Decided(choices, kept, outcome)


class Opening:
    """Iterate for the first rows, then progress, at last for everything or ``Refused``; ``cancel`` from any thread.

    First rows whose columns are unclear are the last word: somebody must map them first.
    """

    def __init__(self, wanted: Wanted, draft: Draft) -> None:
        self.wanted = wanted
        self._draft = draft
        self._examination: Examination | None = None
        self._cancelled = False

    def __iter__(self) -> Iterator[Opened | Progressed | Refused]:
        wanted = self.wanted
        try:
            place, choices = wanted.here
            opened = Opened(wanted, place, read_head(place, choices), method=self._draft.method)
            yield opened
            if opened.head.unclear:
                return
            for update in self._examine(place, choices):
                if isinstance(update, Examined):
                    browser = Browser(Path(update.report.store), choices)
                    opened = msgspec.structs.replace(opened, report=update.report, browser=browser)
                    decided = decide(opened, self._draft, wanted.choices)
                    estimated = browser.estimate(decided.kept.for_method(opened.method))
                    yield msgspec.structs.replace(opened, decided=decided, estimated=estimated)
                else:
                    yield update
        except UserError as error:
            yield Refused(what=error.what, mend=error.mend, where=error.where)

    def _examine(self, place: Path, choices: DataChoices) -> Iterator[Update]:
        apart = self.wanted.apart
        self._examination = Examination(
            place,
            choices,
            heldout=None if apart is None else apart[0],
            effective_batch=effective_batch(self._draft),
            method=self._draft.method,
        )
        if self._cancelled:
            self._examination.cancel()
        yield from self._examination

    def cancel(self) -> None:
        """End it; the last word is then ``Refused``."""
        self._cancelled = True
        if self._examination is not None:
            self._examination.cancel()


def effective_batch(draft: Draft) -> int | None:
    """Rows per optimizer step, where a recipe can be told already."""
    try:
        return plan(draft).recipe.effective_batch
    except UserError:
        return None
