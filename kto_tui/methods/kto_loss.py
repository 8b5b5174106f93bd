"""KTO's loss as plain arithmetic on log-ratios, for the arrays of any library."""

from typing import Any, Protocol

import msgspec


class LossSettings(msgspec.Struct, frozen=True):
    """The constants of the loss; see ``row_losses``."""

    beta: float
    loss_type: str
    desirable_weight: float
    undesirable_weight: float

    @property
    def kl(self) -> bool:
        """Whether the loss has a KL term."""
        return self.loss_type == "kto"


class Arrays(Protocol):
    """What the loss needs of a library of arrays; the modules ``torch`` and ``mlx.core`` have it."""

    def sigmoid(self, x: Any, /) -> Any:  # noqa: ANN401 - an array of the library
        """1 / (1 + exp(-x)), elementwise."""

    def where(self, condition: Any, x: Any, y: Any, /) -> Any:  # noqa: ANN401
        """``x`` where ``condition`` holds, ``y`` elsewhere."""


def row_losses(
    arrays: Arrays,
    log_ratios: Any,  # noqa: ANN401
    desirable: Any,  # noqa: ANN401
    kl: Any,  # noqa: ANN401
    *,
    beta: float,
    loss_type: str,
    desirable_weight: float,
    undesirable_weight: float,
) -> Any:  # noqa: ANN401
    """Weighted loss of each row, shape (rows,).

    Eq. 7 of arXiv:2402.01306 for ``kto``, the unpaired form of Eq. 7 of arXiv:2408.06266 for ``apo_zero_unpaired``; the
    same as ``trl.KTOTrainer._compute_loss`` before it takes the mean.

    Args:
        arrays: the library of the arrays.
        log_ratios: log p(y|x) - log p_ref(y|x), summed over completion tokens, shape (rows,).
        desirable: labels, shape (rows,), bool.
        kl: z of the effective batch, a scalar without gradient, clamped at 0; ``apo_zero_unpaired`` has none.
        beta: the paper's beta, above 0.
        loss_type: ``kto`` or ``apo_zero_unpaired``.
        desirable_weight: lambda_D.
        undesirable_weight: lambda_U.

    Raises:
        ValueError: another loss type.
    """
    if loss_type == "kto":
        good = 1 - arrays.sigmoid(beta * (log_ratios - kl))
        bad = 1 - arrays.sigmoid(beta * (kl - log_ratios))
    elif loss_type == "apo_zero_unpaired":
        good = 1 - arrays.sigmoid(beta * log_ratios)
        bad = arrays.sigmoid(beta * log_ratios)
    else:
        raise ValueError(f"unknown loss type {loss_type!r}")
    return arrays.where(desirable, desirable_weight * good, undesirable_weight * bad)
