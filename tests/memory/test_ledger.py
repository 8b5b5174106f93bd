"""The ledger counts what is alive: every allocation, view, rename and release, at its phase."""

import gc

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.memory.trace.ledger import BLOCK_BYTES, Ledger, blocks

KIB = 1024


def test_sizes_are_whole_blocks() -> None:
    assert [blocks(size) for size in (0, 1, 512, 513, 1024)] == [0, 512, 512, 1024, 1024]


def test_allocations_and_releases_by_hand() -> None:
    ledger = Ledger()
    with ledger:
        ledger.phase = "one"
        first = torch.empty(KIB, dtype=torch.uint8)
        second = torch.empty(2 * KIB, dtype=torch.float32)
        assert ledger.total == 9 * KIB
        del second
        assert ledger.total == KIB
        ledger.phase = "two"
        third = torch.ones(KIB, dtype=torch.uint8)
        assert ledger.total == 2 * KIB
    assert ledger.peaks["one"].total == 9 * KIB
    assert ledger.peaks["two"].total == 2 * KIB
    del first, third
    assert ledger.total == 0


def test_views_and_updates_in_place_take_nothing() -> None:
    ledger = Ledger()
    with ledger:
        one = torch.zeros(4, 256)
        for view in (one.t(), one[1:], one.view(-1), one.expand(4, 256), one.detach()):
            assert view.untyped_storage().data_ptr() == one.untyped_storage().data_ptr()
        one.add_(1).mul_(2)
        assert ledger.total == 4 * KIB
        part = one[:1]
        del one, view
        gc.collect()
        assert ledger.total == 4 * KIB, "a view keeps all of what it looks at"
        del part
    assert ledger.total == 0


def test_an_operators_temporary_counts_at_the_peak() -> None:
    ledger = Ledger()
    with ledger:
        one = torch.ones(KIB)
        result = ((one * 2) + (one * 3)).sum()
    assert ledger.peaks["setup"].total == 4 * 4 * KIB, "both products and their sum beside the input"
    assert ledger.total == 4 * KIB + BLOCK_BYTES
    assert float(result) == 5 * KIB


def test_what_is_held_moves_between_categories_and_is_counted_once() -> None:
    weight = torch.ones(KIB)
    ledger = Ledger()
    ledger.hold([weight, weight.t(), weight[:5]], "weights")
    assert dict(ledger.alive) == {"weights": 4 * KIB}
    with ledger:
        other = weight * 2
        assert ledger.alive["activations"] == 4 * KIB
        ledger.hold([other], "gradients")
        assert (ledger.alive["activations"], ledger.alive["gradients"]) == (0, 4 * KIB)
        assert ledger.total == 8 * KIB
        del other
        assert ledger.alive["gradients"] == 0
    assert ledger.peaks["setup"].parts["weights"] == 4 * KIB


def test_the_backward_pass_of_a_product() -> None:
    weight, x = torch.ones(64, 64, requires_grad=True), torch.ones(64, 64)
    ledger = Ledger()
    ledger.hold([weight, x], "weights")
    with ledger:
        ledger.phase = "forward"
        y = x @ weight
        loss = (y * y).sum()
        assert ledger.total == 2 * 16 * KIB + 16 * KIB + BLOCK_BYTES, "y is kept, its square is not"
        ledger.phase = "backward"
        loss.backward()
        assert weight.grad is not None
        ledger.hold([weight.grad], "gradients")
        del y, loss
    assert ledger.total == 3 * 16 * KIB
    assert ledger.alive["gradients"] == 16 * KIB
    assert ledger.peaks["backward"].total > ledger.peaks["forward"].total - 16 * KIB


@pytest.mark.parametrize("accelerator", [True, False])
def test_what_cudas_kernels_take_for_themselves_is_counted_on_accelerators_only(accelerator: bool) -> None:
    ledger = Ledger(accelerator=accelerator)
    with ledger:
        one = torch.ones(KIB, requires_grad=True)
        weights = torch.softmax(one, 0)
        before = ledger.total
        ledger.phase = "backward"
        torch._softmax_backward_data(torch.ones(KIB), weights.detach(), 0, torch.float32)
    hidden = 4 * KIB if accelerator else 0
    assert ledger.peaks["backward"].total == before + 2 * 4 * KIB + hidden


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5), st.integers(1, 5000)), max_size=40))
def test_any_order_of_allocations_and_releases(actions: list[tuple[bool, int, int]]) -> None:
    ledger = Ledger()
    alive: dict[int, torch.Tensor] = {}
    worst = 0
    with ledger:
        for keep, place, size in actions:
            alive.pop(place, None)
            if keep:
                alive[place] = torch.empty(size, dtype=torch.uint8)
            expected = sum(blocks(each.numel()) for each in alive.values())
            worst = max(worst, expected)
            assert ledger.total == expected == sum(ledger.alive.values())
    assert ledger.peaks["setup"].total == worst if worst else not ledger.peaks
