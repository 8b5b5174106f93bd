"""Every proven architecture scores and learns the same packed and padded; others take the plain path and say so."""

from collections.abc import Callable

import pytest
import torch
from transformers import AutoConfig

from kto_tui.backends.hf.kto.architectures import PROVEN, why_plain
from kto_tui.backends.hf.kto.attention_padded import plan_padded, tree_attention_padded
from kto_tui.backends.hf.kto.attention_rows import plan, tree_attention_rows
from kto_tui.backends.hf.kto.layout import PrefixTree
from kto_tui.catalog import config_values, load_catalog
from tests.backends.kto.conftest import Bench, assert_equal_steps, record

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


def test_every_catalog_model_is_packed_or_says_why_not() -> None:
    assert {model.model_type for model in load_catalog()} >= PROVEN
    for model in load_catalog():
        why = why_plain(AutoConfig.for_model(model.model_type, **config_values(model)), 1024)
        assert (why is None) is (model.model_type in PROVEN)
        assert why is None or str(model.model_type) in why


@pytest.mark.parametrize("kind", sorted(PROVEN))
def test_packed_rows_learn_as_padded_ones(bench: Callable[..., Bench], kind: str) -> None:
    it = bench(kind, rows=32)
    notes: list[str] = []
    changes = {"num_train_epochs": 2}
    packed = it.exact(8, arguments=changes, note=notes.append)
    assert packed.fused_layers > 0
    padded = it.exact(8, arguments=changes, plain=True, model=it.model(attn_implementation="eager"))
    assert_equal_steps(record(padded), record(packed))
    assert_equal_steps(record(it.exact(8, arguments=changes)), record(it.exact(2, arguments=changes)))
    assert notes == []


def test_an_unproven_architecture_takes_the_plain_path_and_says_so(bench: Callable[..., Bench]) -> None:
    it = bench("olmo2", rows=16)
    notes: list[str] = []
    exact = record(it.exact(arguments={"num_train_epochs": 6}, note=notes.append))
    assert len(notes) == 1
    assert "padded" in notes[0]
    assert "olmo2" in notes[0]
    assert_equal_steps(record(it.plain(num_train_epochs=6)), exact)


@pytest.mark.parametrize("window", [None, 3])
@pytest.mark.parametrize("softcap", [None, 2.0])
def test_both_kernels_give_what_each_row_alone_would(window: int | None, softcap: float | None) -> None:
    torch.manual_seed(0)
    sequences = [((1, 2, 3), (4, 5)), ((1, 2, 3), (4, 6, 7, 8)), ((1, 9), (2,)), ((5,), (5, 5, 5)), ((1, 2, 3), (4, 5))]
    tree = PrefixTree()
    layout = tree.grow(sequences)
    assert len(tree) == 14, "shared beginnings are computed once"
    inputs = [torch.randn(heads, len(tree), 8, dtype=torch.float64, requires_grad=True) for heads in (4, 2, 2)]
    weight = torch.randn(4, len(tree), 8, dtype=torch.float64)
    groups = plan(layout.spans, window, torch.float64)
    with_padding = [torch.nn.functional.pad(each, (0, 0, 0, 2)) for each in inputs]
    rows = tree_attention_rows(*with_padding, groups, scaling=0.3, softcap=softcap)
    assert not rows[:, 14:].any()
    rows = rows[:, :14]
    padded = tree_attention_padded(*inputs, plan_padded(layout.spans, window), scaling=0.3, softcap=softcap)
    expected = torch.zeros(4, len(tree), 8, dtype=torch.float64)
    for span in layout.spans:
        query, key, value = inputs[0][:, span.path], inputs[1][:, span.path], inputs[2][:, span.path]
        scores = query @ key.repeat_interleave(2, 0).transpose(1, 2) * 0.3
        if softcap is not None:
            scores = softcap * torch.tanh(scores / softcap)
        distance = torch.arange(len(span.path))[:, None] - torch.arange(len(span.path))
        hidden = (distance < 0) | (distance >= (window or 99))
        attended = scores.masked_fill(hidden, -torch.inf).softmax(-1) @ value.repeat_interleave(2, 0)
        expected = expected.index_copy(1, span.path, attended)
    wanted = torch.autograd.grad((expected * weight).sum(), inputs)
    for output in (rows, padded):
        torch.testing.assert_close(output, expected, rtol=1e-6, atol=1e-6)
        found = torch.autograd.grad((output * weight).sum(), inputs)
        for one, other in zip(found, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)
