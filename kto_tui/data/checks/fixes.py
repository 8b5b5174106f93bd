"""What accepting a check's fix does: rows that are left out, texts that are changed. The user's file stays as it is."""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import cache, partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.echo import echo_end
from kto_tui.data.checks.facts import BY_FLAG, Facts, Flag
from kto_tui.data.checks.parts import beginning, changed, ending, question
from kto_tui.data.checks.passing import flags_of
from kto_tui.data.checks.repeats import overlapping, repeats
from kto_tui.data.checks.seen import Seen
from kto_tui.data.checks.sound import BROKEN, NO_LABEL, judge
from kto_tui.data.labels import Reading
from kto_tui.data.shapes.form import RawRow, Text

if TYPE_CHECKING:
    import numpy as np


class Fix(msgspec.Struct, frozen=True):
    """What accepting a finding does.

    Attributes:
        what: an imperative without full stop.
        kind: whether rows are left out or their texts changed.
        sees: what decides about a row: its ``Facts``, its texts, or the texts of all rows.
    """

    what: str
    kind: Literal["leave out", "change"]
    sees: Literal["facts", "texts", "all texts"] = "facts"


FIXES: Mapping[str, Fix] = MappingProxyType(
    {
        "unreadable": Fix("Leave these records out", "leave out"),
        "roles": Fix("Leave these records out", "leave out"),
        "missing_label": Fix("Leave these rows out", "leave out"),
        "unparsable_label": Fix("Leave these rows out", "leave out"),
        "empty_prompt": Fix("Leave these rows out", "leave out"),
        "empty_completion": Fix("Leave these rows out", "leave out"),
        "conflicting_labels": Fix("Drop both: leave every row of these answers out", "leave out"),
        "exact_duplicates": Fix("Keep the first of each and leave the copies out", "leave out"),
        "near_duplicates": Fix("Keep the first of each and leave the others out", "leave out", "all texts"),
        "heldout_overlap": Fix("Leave these rows out of training", "leave out"),
        "truncated": Fix("Leave these rows out", "leave out", "texts"),
        "repeats_prompt": Fix("Cut the repeated prompt off the completion", "change", "texts"),
        "template_tokens": Fix("Remove these tokens from the texts", "change", "texts"),
        "mojibake": Fix("Put back the characters that were meant", "change", "texts"),
        "control_characters": Fix("Remove these characters", "change", "texts"),
        "privacy_email": Fix("Write [EMAIL] in their place", "change", "texts"),
        "privacy_phone": Fix("Write [PHONE] in their place", "change", "texts"),
        "privacy_key": Fix("Write [KEY] in their place", "change", "texts"),
        "privacy_card": Fix("Write [CARD] in their place", "change", "texts"),
    }
)


def keep(facts: Facts, reading: Reading, choices: DataChoices, *, heldout: Facts | None = None) -> "np.ndarray":
    """The rows that are left after exclusions and those accepted fixes that ``Facts`` alone decide.

    Rows that cannot be trained on are left in unless the fix of their check is accepted. What counts as a duplicate or
    a contradiction is decided among the rows that are left and sound.

    Args:
        facts: of all rows.
        reading: of their labels.
        choices: fixes, exclusions and flipped labels.
        heldout: of the rows that must not be trained on.

    Returns:
        Per row whether it is kept, bool, shape (rows,).
    """
    judged = judge(facts, reading, choices)
    columns, label, kept = judged.columns, judged.label, judged.present
    unlabelled = (columns.flags & int(BROKEN) == 0) & (label == NO_LABEL)
    for name in choices.fixes:
        if name in BY_FLAG:
            kept &= columns.flags & int(BY_FLAG[name]) == 0
        elif name == "missing_label":
            kept &= ~(unlabelled & (columns.code == 0))
        elif name == "unparsable_label":
            kept &= ~(unlabelled & (columns.code != 0))
    if "heldout_overlap" in choices.fixes and heldout is not None:
        kept &= ~overlapping(columns, kept & judged.sound, heldout)[0]
    if {"conflicting_labels", "exact_duplicates"} & set(choices.fixes):
        found = repeats(columns.content, label, kept & judged.sound)
        if "conflicting_labels" in choices.fixes:
            kept &= ~found.conflicting
        if "exact_duplicates" in choices.fixes:
            kept &= ~found.copies
    return kept


def mend(raw: RawRow, fixes: Collection[str]) -> RawRow | None:
    """A row as the accepted fixes change its texts; None where one leaves it out or changing leaves nothing of it.

    Mending twice is mending once. Fixes that do not look at texts are passed over; a row that was empty before stays.
    """
    leaves_out, changes = _of_texts()
    if any(name in fixes and cut(raw) for name, cut in leaves_out.items()):
        return None
    accepted = [change for name, change in changes.items() if name in fixes]
    before, after = None, raw
    while after is not before:  # one change may bring forth what another looks for
        before = after
        for change in accepted:
            after = change(after)
    empty = Flag.EMPTY_PROMPT | Flag.EMPTY_COMPLETION
    return None if after is not raw and flags_of(after) & empty & ~flags_of(raw) else after


def left_out(rows: Iterable[Seen], fixes: Collection[str]) -> list[int]:
    """Numbers of the rows that accepted fixes leave out and ``Facts`` cannot tell.

    Truncated ones, near duplicates of an earlier row, and rows that mending leaves nothing of.

    Args:
        rows: those that ``keep`` left, in order.
        fixes: the accepted ones.
    """
    if not any(FIXES[name].sees != "facts" for name in fixes if name in FIXES):
        return []
    gone: list[int] = []
    sketches = None
    if "near_duplicates" in fixes:
        from kto_tui.data.checks.near import Sketches

        sketches = Sketches()
    for seen in rows:
        if (mended := mend(seen.raw, fixes)) is None:
            gone.append(seen.number)
        elif sketches is not None:
            sketches.see(msgspec.structs.replace(seen, raw=mended))
    return sorted(gone + ([] if sketches is None else sketches.repeats()))


@cache
def _of_texts() -> tuple[dict[str, Callable[[RawRow], bool]], dict[str, Callable[[RawRow], RawRow]]]:
    """What leaves a row out by its texts, and what changes it, by check; imported late, for the terminal's sake."""
    from kto_tui.data.checks.characters import clean, unscramble
    from kto_tui.data.checks.private import PRIVATE
    from kto_tui.data.checks.template import without_tokens
    from kto_tui.data.checks.truncated import is_truncated

    changes = {"mojibake": unscramble, "control_characters": clean, "template_tokens": without_tokens}
    changes |= {kind.id: kind.masked for kind in PRIVATE}
    return (
        {"truncated": lambda raw: is_truncated(ending(raw.completion))},
        {name: partial(_changed, change) for name, change in changes.items()} | {"repeats_prompt": _without_echo},
    )


def _changed(change: Callable[[str], str], raw: RawRow) -> RawRow:
    return changed(raw, change)


def _without_echo(raw: RawRow) -> RawRow:
    end = echo_end(question(raw.prompt), beginning(raw.completion))
    if not end:
        return raw
    completion: Text
    if isinstance(raw.completion, str):
        completion = raw.completion[end:].lstrip()
    else:
        first = raw.completion[0]
        completion = (msgspec.structs.replace(first, content=first.content[end:].lstrip()), *raw.completion[1:])
    return msgspec.structs.replace(raw, completion=completion)
