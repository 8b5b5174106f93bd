"""What a person decided about a data file: how it is read, which fixes are accepted, which rows are left out."""

from typing import Literal

import msgspec

Role = Literal[
    "prompt", "completion", "label", "system", "context", "messages", "chosen", "rejected", "first", "second",
    "preferred", "history", "tools", "ignore",
]  # fmt: skip
# first, second: two answers of which the column ``preferred`` names the better one; context: stands below the prompt.


class DataChoices(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Decisions on one data file, saved as ``[choices]`` of ``run.toml``; the file itself is never changed.

    Attributes:
        shape: name of the shape the records have; None: recognised.
        columns: what a column holds, by its name; empty: recognised. The ones that are not named are ignored.
        good: values of the label column that mean desirable, as somebody confirmed them; compared as ``labels.key``.
        bad: the same for undesirable.
        threshold: ratings from here on are desirable.
        encoding: of text files; None: found out.
        config: of a data set with several.
        split: of a data set with several.
        fixes: ids of the checks whose offered fix is accepted.
        excluded: numbers of rows that are left out.
        flipped: numbers of rows whose label is turned round.
        unlabelled: what rows without a label are; ``good``: good answers to imitate, ``refuse``: rows that nothing is
            learnt from, so that they have to be mended or left out.
    """

    shape: str | None = None
    columns: dict[str, Role] = msgspec.field(default_factory=dict)
    good: tuple[str, ...] = ()
    bad: tuple[str, ...] = ()
    threshold: float | None = None
    encoding: str | None = None
    config: str | None = None
    split: str | None = None
    fixes: tuple[str, ...] = ()
    excluded: tuple[int, ...] = ()
    flipped: tuple[int, ...] = ()
    unlabelled: Literal["refuse", "good"] = "refuse"
