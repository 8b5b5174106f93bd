"""What a data file is read as, its label balance and its tokens, a line each."""

from collections.abc import Mapping

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

from kto_tui import units
from kto_tui.choices import Role
from kto_tui.data.report import Progressed
from kto_tui.data.sources import STARTER
from kto_tui.data.tokens.lengths import Lengths
from kto_tui.draft import Draft
from kto_tui.tui.opening import Opened
from kto_tui.tui.visible import one_line
from kto_tui.tui.widgets.balance_bar import balance_lines
from kto_tui.tui.widgets.check_list import LABEL

FINGERPRINT = 8
BAR = 16
# What the last line is about, and what it says.
Line = tuple[str, str]
STARTER_TITLE = "Starter set: answer first, then stop (CC0)"


class Numbers(Static):
    """Six lines, whatever is known."""

    def __init__(self) -> None:
        super().__init__(id="numbers")
        self._told: tuple[Opened, Line] | None = None

    def show(self, opened: Opened, last: Line) -> None:
        """Write what is known of a file. ``last``: the last line, of its tokens or of what goes on."""
        self._told = (opened, last)
        self._draw(self.size)

    def on_resize(self) -> None:
        """Lines are as wide as there is room."""
        self._draw(self.size)

    def _draw(self, size: Size) -> None:
        if self._told is None or size.width <= LABEL:
            return
        opened, (label, text) = self._told
        width = size.width - LABEL
        lines = {
            "File": [Content(place_of(opened, width))],
            "Read as": two_lines(Content(read_as(opened)), width),
            "Balance": balance_lines(*balance_of(opened), width, opened.method),
            label: [Content(text)],
        }
        self.update(
            Content("\n").join(
                Content.assemble((("" if i else name).ljust(LABEL), "dim"), line.truncate(width, ellipsis=True))
                for name, told in lines.items()
                for i, line in enumerate(told)
            )
        )


def two_lines(text: Content, width: int) -> list[Content]:
    """``text`` on two lines, whether it needs them or more, so that nothing below moves."""
    first, *rest = text.wrap(width)
    return [first, Content(text.plain[len(first) :].lstrip()) if rest else Content("")]


def place_of(opened: Opened, width: int) -> str:
    """The path, its end if there is no room for all of it, what is held out, and the fingerprint where it fits."""
    place = STARTER_TITLE if opened.wanted.data == STARTER else str(opened.place)
    right = "".join(f"  {part}" for part in (held_out(opened), known_by(opened)) if part)
    if len(place) + len(right) > width:
        right = f"  {held_out(opened)}" if held_out(opened) else ""
    room = width - len(right)
    shown = place if len(place) <= room else "…" + place[len(place) - room + 1 :]
    return f"{one_line(shown, 4096)}{right}"


def held_out(opened: Opened) -> str:
    """Where the rows for evaluation come from."""
    draft = None if opened.decided is None else opened.decided.outcome
    if not isinstance(draft, Draft) or draft.source is None:
        return "" if opened.wanted.heldout is None else f"held out: {one_line(opened.wanted.heldout, 30)}"
    return f"held out: {draft.heldout_rows:,} {'split off' if draft.source.heldout is None else 'of its own'}"


def known_by(opened: Opened) -> str:
    """The beginning of the data's fingerprint, by which one knows them again; empty while it is unknown."""
    draft = None if opened.decided is None else opened.decided.outcome
    if not isinstance(draft, Draft) or draft.source is None:
        return ""
    return f"fingerprint {draft.source.dataset.fingerprint[:FINGERPRINT]}"


def read_as(opened: Opened) -> str:
    """Container, shape, columns and the reason."""
    form = opened.head.form
    return f"{opened.head.format} · {form.title}: {mapping(form.columns)}; {form.because}"


def mapping(columns: Mapping[str, Role]) -> str:
    """What each column holds; those that are ignored are not named."""
    used = {name: role for name, role in columns.items() if role != "ignore"}
    return (
        ", ".join(name if name == role else f"{role}={one_line(name, 40)}" for name, role in used.items()) or "nothing"
    )


def balance_of(opened: Opened) -> tuple[int, int]:
    """Desirable and undesirable rows that are kept; of the first rows, until all are counted."""
    if opened.decided is not None:
        return opened.decided.kept.desirable, opened.decided.kept.undesirable
    labels = [row.label for row in opened.head.rows]
    return labels.count(True), labels.count(False)


def tokens_line(lengths: Lengths | None, max_length: int | None) -> Line:
    """How long rows are, and what becomes of them at ``max_length``."""
    found = None if lengths is None else lengths.percentiles()
    if lengths is None or found is None:
        return "Tokens", units.UNKNOWN
    told = f"median {found.p50:,} · 95 % {found.p95:,} · max {found.max:,}"
    if max_length is not None:
        cut, dropped = lengths.cut(max_length), lengths.dropped(max_length)
        losses = f"{cut:,} cut, {dropped:,} dropped" if cut or dropped else "all fit"
        told = f"{told} · at {max_length:,}: {losses}"
    return "Tokens", told if lengths.counted else f"estimated, t counts: {told}"


def counting_line(done: int, total: int) -> Line:
    """How far the counting is."""
    return "Counting", f"{_bar(done / total if total else 1.0)}  {done:,} of {total:,} rows, with the model's tokenizer"


def progress_line(progress: Progressed, rate: float | None) -> Line:
    """How far the reading, or the checking, is. ``rate``: bytes per second; None while unknown."""
    if progress.phase == "reading":
        amount = f"{units.size(progress.bytes_done)} of {units.size(progress.bytes_total)} · {progress.rows:,} rows"
        speed = "" if rate is None else f" · {rate / units.MIB:.0f} MiB/s"
    else:
        amount, speed = f"{progress.rows:,} of {progress.bytes_total:,} rows looked at", ""
    return progress.phase.capitalize(), f"{_bar(progress.share)}  {amount}{speed}"


def _bar(share: float) -> str:
    filled = int(BAR * share)
    return f"[{'#' * filled}{'·' * (BAR - filled)}] {share:4.0%}"
