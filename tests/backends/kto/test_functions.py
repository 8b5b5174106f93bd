"""The hand-written autograd functions against PyTorch's own derivatives."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from kto_tui.backends.hf.kto import head
from kto_tui.backends.hf.kto.head import completion_log_probs
from kto_tui.backends.hf.kto.layout import PrefixTree, round_up
from kto_tui.backends.hf.kto.lora import _LowRankLinear
from kto_tui.backends.hf.kto.pointwise import _GatedSilu, _RmsNorm


@pytest.mark.parametrize("head_learns", [False, True])
@pytest.mark.parametrize(("scale", "softcap"), [(1.0, None), (0.5, None), (1.0, 3.0), (2.0, 1.5)])
@pytest.mark.parametrize("with_bias", [False, True])
def test_head(
    head_learns: bool, scale: float, softcap: float | None, with_bias: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(head, "TILE_BYTES", 0)  # several tiles, of 16 rows
    torch.manual_seed(1)
    hidden = torch.randn(40, 8, requires_grad=True)
    weight = torch.randn(50, 8, requires_grad=head_learns)
    bias = torch.randn(50, requires_grad=head_learns) if with_bias else None
    targets = torch.randint(0, 50, (40,))
    found = completion_log_probs(hidden, weight, bias, targets, scale=scale, softcap=softcap)
    logits = torch.nn.functional.linear(hidden, weight, bias) * scale
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    wanted = torch.log_softmax(logits, -1).gather(1, targets[:, None]).squeeze(1)
    torch.testing.assert_close(found, wanted)
    pull = torch.randn(40)
    leaves = [leaf for leaf in (hidden, weight, bias) if leaf is not None and leaf.requires_grad]
    for one, other in zip(*(torch.autograd.grad(each, leaves, pull) for each in (found, wanted)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def test_head_gradients_of_sure_tokens_survive_bf16() -> None:
    weight = (torch.eye(32) * 2).bfloat16()
    hidden = (torch.eye(32)[:4] * 4).bfloat16().requires_grad_()
    completion_log_probs(hidden, weight, None, torch.arange(4)).sum().backward()
    exact = hidden.detach().float().requires_grad_()
    torch.log_softmax(exact @ weight.float().t(), -1).diagonal().sum().backward()
    assert hidden.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(hidden.grad.float(), exact.grad, rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("with_bias", [False, True])
def test_low_rank_linear(with_bias: bool) -> None:
    torch.manual_seed(2)
    x, down, up = (torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((5, 6), (2, 6), (7, 2)))
    weight, bias = torch.randn(7, 6, dtype=torch.float64), torch.randn(7, dtype=torch.float64) if with_bias else None

    def fused(x: torch.Tensor, down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        output: torch.Tensor = _LowRankLinear.apply(x, weight, bias, down, up, down.detach(), up.detach(), 0.5)
        return output

    torch.testing.assert_close(
        fused(x, down, up), torch.nn.functional.linear(x, weight, bias) + 0.5 * x @ down.T @ up.T
    )
    assert torch.autograd.gradcheck(fused, (x, down, up))


def test_rms_norm() -> None:
    torch.manual_seed(3)
    module = LlamaRMSNorm(6, eps=1e-3)
    module.weight.data.normal_()
    x = torch.randn(2, 5, 6, requires_grad=True)
    pull = torch.randn(2, 5, 6)
    found, wanted = _RmsNorm.apply(x, module.weight, 1e-3), module(x)
    torch.testing.assert_close(found, wanted)
    leaves = (x, module.weight)
    for one, other in zip(*(torch.autograd.grad(each, leaves, pull) for each in (found, wanted)), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_rms_norm_rounds_as_the_model_does_in_bf16() -> None:
    module = LlamaRMSNorm(64).bfloat16()
    x = torch.randn(7, 64).bfloat16()
    assert torch.equal(_RmsNorm.apply(x, module.weight, module.variance_epsilon), module(x))


def test_gated_silu() -> None:
    torch.manual_seed(4)
    gate, up = (torch.randn(5, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    torch.testing.assert_close(_GatedSilu.apply(gate, up), torch.nn.functional.silu(gate) * up)
    assert torch.autograd.gradcheck(_GatedSilu.apply, (gate, up))


@given(st.integers(1, 5000))
def test_padding_to_sizes_that_come_again_is_small(count: int) -> None:
    assert count <= round_up(count) <= count + max(7, count // 8)
    assert round_up(round_up(count)) == round_up(count)


IDS = st.lists(st.integers(0, 3), max_size=6)


@given(st.lists(st.tuples(IDS, IDS.filter(bool)), min_size=1, max_size=6))
def test_a_tree_holds_each_beginning_once_and_every_sequence_whole(pairs: list[tuple[list[int], list[int]]]) -> None:
    tree = PrefixTree()
    layout = tree.grow([(tuple(prompt), tuple(completion)) for prompt, completion in pairs])
    beginnings = {tuple([*prompt, *completion][:i]) for prompt, completion in pairs for i in range(1, 13)}
    assert len(tree) == layout.new == len(beginnings)
    assert len(layout.input_ids) == len(layout.position_ids) == round_up(layout.new)
    positions = layout.position_ids.tolist()
    for span in layout.spans:
        path = span.path.tolist()
        assert [positions[node] for node in path] == list(range(len(path)))
        assert path[-(span.stop - span.start) :] == list(range(span.start, span.stop))
    assert [i for span in layout.spans for i in range(span.start, span.stop)] == list(range(layout.new))
    wanted = [(row, token) for row, (p, c) in enumerate(pairs) for token in (c if p else c[1:])]
    assert list(zip(layout.rows.tolist(), layout.targets.tolist(), strict=True)) == wanted
