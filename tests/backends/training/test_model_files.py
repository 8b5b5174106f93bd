"""What it means when memory does not hold a model."""

import pytest
import torch

from kto_tui.backends.faults import TrainingError
from kto_tui.backends.training.model_files import room_for


def test_a_model_that_memory_does_not_hold_is_no_matter_of_smaller_batches() -> None:
    with pytest.raises(TrainingError) as caught, room_for("some/model"):
        torch.empty(10**14)
    assert caught.value.cause == "out_of_memory"
    assert "some/model" in str(caught.value)
    with pytest.raises(RuntimeError, match="shapes"), room_for("some/model"):
        raise RuntimeError("shapes")
