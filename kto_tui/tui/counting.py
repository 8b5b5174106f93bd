"""Counts the tokens of rows with the model's own tokenizer, beside the screen."""

from collections.abc import Callable, Mapping
from itertools import islice

import msgspec

from kto_tui.data.checks.finding import Finding
from kto_tui.data.shown import Kept
from kto_tui.data.tokens.client import BATCH_ROWS, TokenizerProcess
from kto_tui.data.tokens.lengths import Lengths, count, findings


class Counted(msgspec.Struct, frozen=True):
    """Tokens of rows.

    Attributes:
        pairs: of prompt and completion, by number of the row.
        lengths: of the rows that were kept.
        findings: what ``max_length`` does to them; none where it is not known yet.
    """

    pairs: Mapping[int, tuple[int, int]]
    lengths: Lengths
    findings: tuple[Finding, ...] = ()


def count_rows(tokenizer: TokenizerProcess, kept: Kept, tell: Callable[[int], None]) -> dict[int, tuple[int, int]]:
    """Tokens of prompt and completion of each kept row, by its number. ``tell``: called with how many are done.

    Raises:
        UserError: as ``TokenizerProcess``.
    """
    pairs: dict[int, tuple[int, int]] = {}
    rows = iter(kept.rows)
    while batch := list(islice(rows, BATCH_ROWS)):
        pairs.update(zip((row.number for row in batch), tokenizer.lengths(batch), strict=True))
        tell(len(pairs))
    return pairs


def weigh(pairs: Mapping[int, tuple[int, int]], kept: Kept, max_length: int | None) -> Counted:
    """What counted rows say once others are kept or labels are turned round. Rows nobody has counted are left out."""
    numbered = zip(kept.rows.numbers.tolist(), kept.labels.tolist(), strict=True)
    known = [(number, label) for number, label in numbered if number in pairs]
    lengths = count((pairs[number] for number, _ in known), (label for _, label in known), of=len(kept.rows))
    if max_length is None:
        return Counted(pairs, lengths)
    rows = ((number, *pairs[number]) for number, _ in known)
    return Counted(pairs, lengths, tuple(findings(lengths, max_length, rows=rows)))
