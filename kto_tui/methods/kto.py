"""KTO (arXiv:2402.01306): unpaired thumbs-up/thumbs-down feedback."""

import msgspec

# Eq. 8 of arXiv:2402.01306: w_D * n_D / (w_U * n_U) should lie between 1 and 4/3.
BALANCE_LOW, BALANCE_HIGH = 1.0, 4.0 / 3.0


class Weights(msgspec.Struct, frozen=True):
    """Loss weights of desirable and undesirable rows, and why they are what they are."""

    desirable: float
    undesirable: float
    because: str


def balance_weights(desirable_rows: int, undesirable_rows: int) -> Weights:
    """Weights that bring the label balance into the range of Eq. 8, raising the rarer label's weight only.

    Args:
        desirable_rows: n_D, at least 1.
        undesirable_rows: n_U, at least 1.

    Raises:
        ValueError: one label is missing, so no weight can balance it.
    """
    if desirable_rows < 1 or undesirable_rows < 1:
        raise ValueError("both labels are needed to balance them")
    ratio = desirable_rows / undesirable_rows
    counts = f"{desirable_rows:,} : {undesirable_rows:,}"
    if BALANCE_LOW <= ratio <= BALANCE_HIGH:
        return Weights(1.0, 1.0, f"{counts} is balanced (KTO paper Eq. 8)")
    if ratio > BALANCE_HIGH:
        return Weights(1.0, round(ratio, 4), f"{counts} (KTO paper Eq. 8)")
    return Weights(round(1 / ratio, 4), 1.0, f"{counts} (KTO paper Eq. 8)")


def _short(weight: float) -> float:
    """Six significant digits: a small weight must not be rounded to nothing."""
    return float(f"{weight:.6g}")


def fill_weights(
    desirable_weight: float | None,
    undesirable_weight: float | None,
    *,
    desirable_rows: int,
    undesirable_rows: int,
) -> Weights:
    """The weights a run uses: set by hand where given, the rest from the label balance.

    With one weight set by hand the other is chosen so that the two together meet Eq. 8's lower bound, ratio 1.
    """
    automatic = balance_weights(desirable_rows, undesirable_rows)
    if desirable_weight is None and undesirable_weight is None:
        return automatic
    if desirable_weight is not None and undesirable_weight is not None:
        return Weights(desirable_weight, undesirable_weight, "set by you")
    ratio = desirable_rows / undesirable_rows
    if desirable_weight is not None:
        return Weights(desirable_weight, _short(desirable_weight * ratio), "one set by you, the other from Eq. 8")
    assert undesirable_weight is not None  # noqa: S101 - narrows the type; the cases above cover the rest
    return Weights(_short(undesirable_weight / ratio), undesirable_weight, "one set by you, the other from Eq. 8")
