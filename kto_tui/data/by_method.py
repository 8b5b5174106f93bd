"""Which rows of a data set a training method learns from, and whether they are what it needs."""

from collections.abc import Sequence

from kto_tui.data.rows import Dataset, Row
from kto_tui.data.selection import Selection
from kto_tui.errors import UserError
from kto_tui.methods import Method
from kto_tui.units import count


def rows_for(method: Method, dataset: Dataset) -> tuple[Sequence[Row], tuple[str, ...]]:
    """The rows that ``method`` learns from or is judged by, in order, and what a person should know of the others.

    KTO takes all rows. SFT takes the ones labelled good: it has no way to learn from an answer that is not to be given.
    """
    if method == "kto" or not dataset.undesirable:
        return dataset.rows, ()
    return _good(dataset.rows), (unused(dataset.undesirable),)


def count_for(method: Method, dataset: Dataset) -> int:
    """How many rows ``rows_for`` gives, without looking at them."""
    return len(dataset.rows) if method == "kto" else dataset.desirable


def unused(undesirable: int) -> str:
    """What becomes of so many rows labelled bad when a model is fine-tuned with SFT, in words."""
    rows = "thumbs-down row is" if undesirable == 1 else "thumbs-down rows are"
    return f"{count(undesirable)} {rows} not trained on: SFT imitates the good answers"


def require_trainable(method: Method, dataset: Dataset, heldout: Dataset | None = None) -> None:
    """Nothing when ``method`` can learn from ``dataset`` and be judged by ``heldout``.

    Raises:
        UserError: KTO, and only one label occurs; SFT, and no row is labelled good.
    """
    rows, good, bad = len(dataset.rows), dataset.desirable, dataset.undesirable
    if method == "sft":
        for one in (dataset,) if heldout is None else (dataset, heldout):
            if not one.desirable:
                raise UserError(
                    f"All {count(len(one.rows))} rows are labelled false; SFT imitates rows labelled true",
                    mend="Add rows labelled true",
                    where=str(one.path),
                )
    elif not bad:
        raise UserError(
            f"All {count(rows)} rows are labelled true; KTO needs both thumbs up and thumbs down",
            mend='Add rows labelled false, or imitate these: method = "sft" below [recipe], which backend mlx has',
            where=str(dataset.path),
        )
    elif not good:
        raise UserError(
            f"All {count(rows)} rows are labelled false; KTO needs both thumbs up and thumbs down",
            mend="Add rows labelled true",
            where=str(dataset.path),
        )


def _good(rows: Sequence[Row]) -> Sequence[Row]:
    """Those labelled good; of rows that are mapped from disk a view."""
    return rows.of_label(True) if isinstance(rows, Selection) else tuple(row for row in rows if row.label)
