"""A learning rate that a person scales while a run trains: absolutely, whatever the schedule."""

import pytest
import torch
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from transformers import get_scheduler

from kto_tui.backends.hf.interval_callback import scale_learning_rate


def schedule(name: str, peak: float) -> LambdaLR:
    optimizer = AdamW([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    return get_scheduler(name, optimizer, num_warmup_steps=3, num_training_steps=20)


def advance(scheduler: LambdaLR, steps: int) -> list[float]:
    rates = []
    for _ in range(steps):
        scheduler.optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
        assert scheduler.optimizer.param_groups[0]["lr"] == rates[-1]
    return rates


@pytest.mark.parametrize("name", ["cosine", "linear", "constant_with_warmup", "constant"])
def test_a_scaled_schedule_goes_on_as_if_its_peak_had_always_been_that(name: str) -> None:
    scaled, other = schedule(name, 1e-3), schedule(name, 1e-3 * 0.3)
    advance(scaled, 7)
    expected = advance(other, 7)[-1]
    scale_learning_rate(scaled, 1e-3 * 0.3)
    assert scaled.get_last_lr() == [expected] == [scaled.optimizer.param_groups[0]["lr"]]
    # What a resumed process does: the checkpoint holds the scaled rate, and it is scaled again.
    resumed = schedule(name, 1e-3)
    resumed.load_state_dict(scaled.state_dict())
    resumed.optimizer.load_state_dict(scaled.optimizer.state_dict())
    scale_learning_rate(resumed, 1e-3 * 0.3)
    rest = advance(other, 10)
    assert advance(scaled, 10) == rest
    assert advance(resumed, 10) == rest
