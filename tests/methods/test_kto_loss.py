"""KTO's loss and figures as arithmetic: the paper's formulae, whatever library the arrays are of."""

import importlib
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.methods.kto_figures import LabelSums, figures
from kto_tui.methods.kto_loss import LossSettings, row_losses

NUMPY: Any = SimpleNamespace(sigmoid=lambda x: 1 / (1 + np.exp(-x)), where=np.where)
RATIOS = [-3.0, -0.5, 0.0, 0.25, 4.0]
LABELS = [True, False, True, False, True]
WEIGHTS: dict[str, Any] = {"desirable_weight": 1.3, "undesirable_weight": 0.8}
finite = st.floats(-40, 40)


def by_hand(ratio: float, label: bool, kl: float, beta: float, loss_type: str) -> float:
    """Eq. 7 of arXiv:2402.01306 and the unpaired form of Eq. 7 of arXiv:2408.06266, for one row."""
    center = kl if loss_type == "kto" else 0.0
    away = beta * (ratio - center) * (1 if label else -1)
    return (1.3 if label else 0.8) * (1 - 1 / (1 + math.exp(-away)))


@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
@given(ratios=st.lists(finite, min_size=1, max_size=6), kl=st.floats(0, 20), beta=st.floats(0.01, 2), data=st.data())
def test_each_row_has_the_papers_loss(
    loss_type: str, ratios: list[float], kl: float, beta: float, data: st.DataObject
) -> None:
    labels = data.draw(st.lists(st.booleans(), min_size=len(ratios), max_size=len(ratios)))
    found = row_losses(NUMPY, np.array(ratios), np.array(labels), kl, beta=beta, loss_type=loss_type, **WEIGHTS)
    expected = [by_hand(ratio, label, kl, beta, loss_type) for ratio, label in zip(ratios, labels, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("library", ["torch", "mlx.core"])
@pytest.mark.parametrize("loss_type", ["kto", "apo_zero_unpaired"])
def test_every_librarys_arrays_give_the_same(library: str, loss_type: str) -> None:
    pytest.importorskip(library, exc_type=ImportError)
    arrays: Any = importlib.import_module(library)
    make = arrays.tensor if library == "torch" else arrays.array
    options: dict[str, Any] = {"beta": 0.1, "loss_type": loss_type, **WEIGHTS}
    expected = row_losses(NUMPY, np.array(RATIOS), np.array(LABELS), 0.7, **options)
    found = row_losses(arrays, make(RATIOS), make(LABELS), make(0.7), **options)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_another_loss_is_refused() -> None:
    with pytest.raises(ValueError, match="dpo"):
        row_losses(NUMPY, np.zeros(1), np.ones(1, dtype=bool), 0.0, beta=0.1, loss_type="dpo", **WEIGHTS)
    assert LossSettings(0.1, "kto", 1.0, 1.0).kl
    assert not LossSettings(0.1, "apo_zero_unpaired", 1.0, 1.0).kl


def test_figures_are_means_under_trls_names() -> None:
    found = figures(LabelSums(4, 8.0, -40.0, 3), LabelSums(1, 1.5, -9.0, 0), kl=0.25, beta=0.1)
    assert found == pytest.approx(
        {
            "kl": 0.25,
            "rewards/accuracies_chosen": 0.75,
            "rewards/chosen": 0.2,
            "logps/chosen": -10.0,
            "rewards/accuracies_rejected": 0.0,
            "rewards/rejected": 0.15,
            "logps/rejected": -9.0,
            "rewards/margins": 0.05,
            "rewards/accuracies": 0.6,
        }
    )


def test_a_label_that_is_not_there_leaves_no_figure() -> None:
    found = figures(LabelSums(0, 0.0, 0.0, 0), LabelSums(2, -3.0, -8.0, 2), kl=0.0, beta=0.5)
    assert not any("chosen" in name or "margins" in name for name in found)
    assert (found["rewards/rejected"], found["rewards/accuracies"]) == (-0.75, 1.0)
