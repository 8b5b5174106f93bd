"""What the Data screen says of all rows and of the one that is looked at."""

from textual.content import Content

from kto_tui.data.checks.finding import Finding
from kto_tui.data.shown import ShownRow
from kto_tui.tui.opening import Opened
from kto_tui.tui.visible import one_line

LABELS = {True: "DESIRABLE", False: "UNDESIRABLE", None: "NO LABEL"}


def summary(opened: Opened) -> str:
    """How many rows there are, how many are used, what a person did about single ones."""
    if opened.report is None or opened.decided is None:
        if opened.browser is not None:
            return f"{opened.rows:,}, being examined anew, esc cancels"
        return f"the first {opened.rows:,}; the rest is being read, esc cancels"
    choices = opened.wanted.choices
    kept = opened.decided.kept
    used = len(kept.rows) if opened.method == "kto" else kept.desirable
    words = [f"{opened.rows:,}", "all used" if used == opened.rows else f"{used:,} used"]
    words += [f"{len(choices.excluded):,} left out by you"] if choices.excluded else []
    words += [f"{len(choices.flipped):,} turned round"] if choices.flipped else []
    words += [] if opened.findings else ["the checks found nothing"]
    return ", ".join(words)


def label_of(opened: Opened, row: ShownRow) -> bool | None:
    """The label a row is trained with."""
    return row.label if row.label is None else row.label ^ (row.number in opened.wanted.choices.flipped)


def fate(opened: Opened, row: ShownRow) -> str:
    """What was decided about a row, in words; empty when nothing was."""
    choices, decided = opened.wanted.choices, opened.decided
    if row.number in choices.excluded:
        return "LEFT OUT by you"
    if row.problem or decided is None or decided.choices != choices or decided.kept.index(row.number) is not None:
        turned = "label TURNED ROUND by you" if row.number in choices.flipped else ""
        return "NOT TRAINED ON by SFT" if opened.method == "sft" and label_of(opened, row) is False else turned
    return "LEFT OUT by an accepted fix" if choices.fixes else "CANNOT BE TRAINED ON as it is"


def tokens(opened: Opened, row: ShownRow) -> str:
    """How many tokens a row has; empty while nobody has counted."""
    pair = None if opened.counted is None else opened.counted.pairs.get(row.number)
    return "" if pair is None else f"{sum(pair):,} tokens"


def why(finding: Finding) -> Content:
    """What a check has found and why it matters."""
    return Content.assemble((f"{one_line(finding.title)}: ", "bold"), one_line(finding.why, 400))


def row_heading(opened: Opened, row: ShownRow, which: str, style: str = "bold") -> Content:
    """Which row it is, its label in words, where it stands, what becomes of it. ``style``: of the first of these."""
    label = LABELS[label_of(opened, row)]
    value = "" if row.label is not None or row.value is None or row.problem else f" ({one_line(str(row.value), 20)!r})"
    rest = "  ".join(word for word in (one_line(row.place), tokens(opened, row), fate(opened, row)) if word)
    return Content.assemble((f"{which}  ", style), (label, f"{style} reverse"), f"{value}  {rest}")
