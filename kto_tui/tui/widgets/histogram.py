"""How long the rows are in tokens, by label: a line for each range."""

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

from kto_tui.data.tokens.lengths import Lengths
from kto_tui.tui.widgets.balance_bar import BAD, GOOD

MOST = 11  # lines of ranges, the last for what is longer than nearly all rows
STEPS = tuple(digit * 10**power for power in range(1, 8) for digit in (1, 2, 5))  # tokens that a range holds
RANGE, COUNT = 15, 8


class Histogram(Static):
    """Token lengths of desirable and undesirable rows."""

    def __init__(self) -> None:
        super().__init__(id="histogram")
        self._lengths: Lengths | None = None

    def show(self, lengths: Lengths | None) -> None:
        """Draw other lengths; nothing for None."""
        self._lengths = lengths
        self._draw(self.size)

    def on_resize(self) -> None:
        """Bars are as long as there is room."""
        self._draw(self.size)

    def _draw(self, size: Size) -> None:
        found = self._lengths
        lines = [] if found is None else histogram_lines(found, size.width)
        self.update(Content("\n").join(lines))


def bins(lengths: Lengths) -> list[tuple[str, int, int]]:
    """Ranges of one size from the shortest row's to the longest's, with their desirable and undesirable rows."""
    of_all = lengths.percentiles()
    if of_all is None:
        return []
    step = next((step for step in STEPS if of_all.p99 <= step * (MOST - 1)), STEPS[-1])
    counts = [[0, 0] for _ in range(MOST)]
    for side, distribution in enumerate((lengths.desirable, lengths.undesirable)):
        for tokens, rows in distribution:
            counts[min((tokens - 1) // step, MOST - 1)][side] += rows
    filled = [i for i, both in enumerate(counts) if any(both)]
    names = [f"{i * step + 1:,}-{(i + 1) * step:,}" for i in range(MOST - 1)] + [f"over {(MOST - 1) * step:,}"]
    return [(names[i], counts[i][0], counts[i][1]) for i in range(filled[0], filled[-1] + 1)]


def histogram_lines(lengths: Lengths, width: int) -> list[Content]:
    """A line that says what is drawn, then a line for each range; all in ``width`` cells."""
    room = width - RANGE - COUNT
    found = bins(lengths)
    if room < 4 or not found:
        return []
    how = "counted" if lengths.counted else "estimated"
    most = max(good + bad for _, good, bad in found)
    drawn = [Content.assemble((f"Tokens of a row, {how}", "bold"), f"  {GOOD} desirable {BAD} undesirable")]
    for name, good, bad in found:
        ends = [round(room * n / most) for n in (good, good + bad)]
        # What is there is seen, be it ever so few.
        ends[1] = max(ends[1], (good > 0) + (bad > 0))
        ends[0] = min(max(ends[0], int(good > 0)), ends[1] - (bad > 0))
        bar = GOOD * ends[0] + BAD * (ends[1] - ends[0])
        drawn.append(Content.assemble((name.rjust(RANGE - 1), "dim"), " ", (bar, "$text-success"), f" {good + bad:,}"))
    return [line.truncate(width) for line in drawn]
