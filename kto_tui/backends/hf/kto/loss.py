"""KTO's loss as plain arithmetic on log-ratios."""

import torch


def row_losses(
    log_ratios: torch.Tensor,
    desirable: torch.Tensor,
    kl: torch.Tensor,
    *,
    beta: float,
    loss_type: str,
    desirable_weight: float,
    undesirable_weight: float,
) -> torch.Tensor:
    """Weighted loss of each row, shape (rows,).

    Eq. 7 of arXiv:2402.01306 for ``kto``, the unpaired form of Eq. 7 of arXiv:2408.06266 for ``apo_zero_unpaired``; the
    same as ``trl.KTOTrainer._compute_loss`` before it takes the mean.

    Args:
        log_ratios: log p(y|x) - log p_ref(y|x), summed over completion tokens, shape (rows,).
        desirable: labels, shape (rows,), bool.
        kl: z of the effective batch, a scalar without gradient, clamped at 0; ``apo_zero_unpaired`` has none.
        beta: the paper's beta, above 0.
        loss_type: ``kto`` or ``apo_zero_unpaired``.
        desirable_weight: lambda_D.
        undesirable_weight: lambda_U.
    """
    if loss_type == "kto":
        good = 1 - torch.sigmoid(beta * (log_ratios - kl))
        bad = 1 - torch.sigmoid(beta * (kl - log_ratios))
    elif loss_type == "apo_zero_unpaired":
        good = 1 - torch.sigmoid(beta * log_ratios)
        bad = torch.sigmoid(beta * log_ratios)
    else:
        raise ValueError(f"unknown loss type {loss_type!r}")
    return torch.where(desirable, desirable_weight * good, undesirable_weight * bad)
