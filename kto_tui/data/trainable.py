"""The sentences about a source that cannot be trained on as it is."""

from typing import TYPE_CHECKING, NoReturn

from kto_tui.data.checks.facts import BY_FLAG, OTHER, UNLABELLED, Facts
from kto_tui.data.labels import Reading
from kto_tui.data.store import Store
from kto_tui.errors import UserError

if TYPE_CHECKING:
    import numpy as np

TITLES = {
    "roles": "The roles of the messages are wrong",
    "empty_prompt": "The prompt is empty",
    "empty_completion": "The completion is empty",
    "missing_label": "The row has no label",
}

IMITATE = 'If such rows are good answers to imitate, train with method = "sft" and unlabelled = "good" below [choices]'


def refuse(store: Store, facts: Facts, bad: "np.ndarray", *, apart: bool = False) -> NoReturn:
    """Say what is wrong with the first of the rows that cannot be trained on.

    Args:
        store: with the rows.
        facts: of its rows.
        bad: per row, whether it is one of them; at least one is.
        apart: these are held-out rows, of which no fix leaves any out.

    Raises:
        UserError: always.
    """
    columns = facts.columns()
    number = int(bad.argmax()) + 1
    row = store.row(number)
    same = bad
    for name, flag in BY_FLAG.items():
        if columns.flags[number - 1] & flag:
            kind, same = name, bad & ((columns.flags & flag) != 0)
            break
    else:
        missing = row.code == UNLABELLED
        kind = "missing_label" if missing else "unparsable_label"
        same = bad & ((columns.code == UNLABELLED) == missing)
    what = TITLES.get(kind, "The row cannot be read")
    if row.problem:
        what = f"{what} ({row.problem})"
    elif kind == "unparsable_label":
        value = "one of too many values" if row.code == OTHER else repr(facts.values[row.code - 1])
        what = f"The label is {value}, which is neither good nor bad"
    count = int(same.sum())
    rows = "only this row" if count == 1 else f"{count:,} rows"
    mend = f'Mend the file, or leave such rows out ({rows}): fixes = ["{kind}"] below [choices]'
    if kind == "missing_label":
        mend += f". {IMITATE}"
    if apart:
        also = ", or add what it says to good or bad below [choices]" if kind == "unparsable_label" else ""
        mend = f"Mend the held-out file ({rows}){also}"
    raise UserError(
        what,
        mend=mend,
        where=f"{store.about.files[row.file]}:{row.line}",
    )


def require_confirmed(store: Store, reading: Reading, *, confirmed: bool) -> None:
    """Nothing when the polarity of the labels is certain or confirmed.

    Raises:
        UserError: it was inferred and nobody has said that it is right.
    """
    if confirmed or not reading.labels:
        return
    labels = {name: label for name, label in reading.labels.items() if name}
    good, bad = (_toml([name for name, label in labels.items() if label is wanted]) for wanted in (True, False))
    raise UserError(
        f"Nobody has confirmed how the labels are read: {reading.because}",
        mend=f"If that is right, write good = {good} and bad = {bad} below [choices],"
        " or answer the question on the Data screen",
        where=store.about.files[0],
    )


def _toml(names: list[str]) -> str:
    return "[" + ", ".join(f'"{name}"' for name in names) + "]"
