"""Desirable against undesirable rows as a bar, and the weights that bring them into the range of Eq. 8."""

from textual.content import Content

from kto_tui.data.by_method import unused
from kto_tui.methods import Method
from kto_tui.methods.kto import BALANCE_HIGH, BALANCE_LOW, Weights, balance_weights
from kto_tui.units import count

GOOD, BAD = "█", "░"


def bar(desirable: int, undesirable: int, width: int) -> str:
    """``width`` cells shared as the labels are; a label that occurs has at least one."""
    total = desirable + undesirable
    if not total or width < 2:
        return ""
    filled = round(width * desirable / total)
    filled = min(max(filled, desirable > 0), width - (undesirable > 0))
    return GOOD * filled + BAD * (width - filled)


def balance_lines(desirable: int, undesirable: int, width: int, method: Method = "kto") -> list[Content]:
    """The bar between its two counts, and below it the weights, or why there are none."""
    left, right = f"desirable {desirable:,} ", f" {undesirable:,} undesirable"
    drawn = Content.assemble(
        left, (bar(desirable, undesirable, width - len(left) - len(right)), "$text-success"), right
    )
    below = weights_line(desirable, undesirable) if method == "kto" else imitated_line(desirable, undesirable)
    return [drawn, Content(below)]


def imitated_line(desirable: int, undesirable: int) -> str:
    """What SFT trains on, and what it does not."""
    if not desirable:
        return "SFT imitates good rows, and there is none"
    others = unused(undesirable) if undesirable else "each of them is imitated"
    return f"SFT on {count(desirable)} good rows; {others}"


def weights_line(desirable: int, undesirable: int) -> str:
    """The weights KTO would use, and where they bring n_D·w_D : n_U·w_U."""
    if not desirable or not undesirable:
        only = "no rows" if not desirable + undesirable else "only one label"
        return f"{only}: KTO needs desirable and undesirable rows, so there are no weights"
    weights = balance_weights(desirable, undesirable)
    ratio = ratio_of(desirable, undesirable, weights)
    # Weights are kept to four digits, so a ratio may miss a bound by less than people see.
    inside = BALANCE_LOW - 1e-3 <= ratio <= BALANCE_HIGH + 1e-3
    return (
        f"weights {weights.desirable:.4g} : {weights.undesirable:.4g} make the ratio {ratio:.2f}, "
        f"{'within' if inside else 'outside'} 1 to 1.33 (Eq. 8)"
    )


def ratio_of(desirable: int, undesirable: int, weights: Weights) -> float:
    """n_D·w_D / (n_U·w_U), which Eq. 8 of arXiv:2402.01306 wants between 1 and 4/3."""
    return desirable * weights.desirable / (undesirable * weights.undesirable)
