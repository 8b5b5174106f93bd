"""Every architecture that is said to be compared scores and learns under MLX as under Transformers and PEFT."""

from collections.abc import Callable
from pathlib import Path

import mlx.core as mx
import msgspec
import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.lora import reference_of
from kto_tui.backends.mlx.model import load_base
from kto_tui.backends.mlx.packs import pack
from kto_tui.backends.mlx.rope import read_config
from kto_tui.catalog.mlx import COMPARED
from kto_tui.catalog.mlx_config import sliding_window
from kto_tui.errors import UserError
from kto_tui.recipe import LORA_TARGETS
from tests.backends.mlx.conftest import copy_adapters, disturb
from tests.backends.mlx.models import changed, transformers_model
from tests.backends.mlx.trainings import FP32, RECIPE, mlx_model, peft_names, relative
from tests.tiny import SPECIALS

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
Checkpoint = Callable[..., Path]
PAIRS = [([7, 8, 9], [10, 11, 12, 13]), ([7, 8, 9, 20, 21], [22, 23]), ([30], [31, 32, 33, 34, 35, 36])]


def test_every_tiny_architecture_is_compared() -> None:
    assert SPECIALS.keys() == COMPARED


@pytest.mark.parametrize("kind", sorted(COMPARED))
def test_scores_and_gradients_are_those_of_transformers(checkpoint: Checkpoint, kind: str) -> None:
    folder = checkpoint(kind)
    config = read_config(folder)
    recipe = msgspec.structs.replace(RECIPE, max_length=sliding_window(config) or 48)
    assert recipe.max_length > max(len(prompt) + len(completion) for prompt, completion in PAIRS)
    peft = get_peft_model(
        transformers_model(folder),
        LoraConfig(
            r=recipe.lora_rank,
            lora_alpha=recipe.lora_alpha,
            target_modules=LORA_TARGETS[recipe.lora_targets],
            task_type="CAUSAL_LM",
        ),
    ).train()
    disturb(peft)
    model = mlx_model(folder, recipe)
    copy_adapters(peft, model)

    losses, expected = [], []
    for prompt, completion in PAIRS:
        log_probs = peft(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        chosen = log_probs[len(prompt) - 1 : -1].gather(1, torch.tensor(completion)[:, None]).sum()
        losses.append(-chosen / 13)
        expected.append(float(chosen.detach()))
    sum(losses).backward()  # type: ignore[union-attr]
    gradients = {name: each.grad.numpy() for name, each in peft.named_parameters() if each.requires_grad}

    passes = Passes(model, config["vocab_size"], reference_of(model))
    _, found, arrays = passes.nll(pack(PAIRS), mx.array(1 / 13))
    assert np.array(found).tolist() == pytest.approx(expected, abs=1e-4)
    assert relative(gradients, peft_names(arrays)) < 1e-4


@pytest.mark.parametrize("kind", ["mistral", "gemma2", "phi3", "qwen2", "qwen3"])
def test_rows_longer_than_a_window_that_mlx_lm_ignores_are_refused(
    checkpoint: Checkpoint, tmp_path: Path, kind: str
) -> None:
    folder = changed(checkpoint(kind), tmp_path / kind, sliding_window=12, use_sliding_window=True)
    with pytest.raises(UserError, match="look back 12 tokens") as caught:
        load_base(folder, msgspec.structs.replace(RECIPE, max_length=13), FP32, kind)
    assert "max_length to 12" in caught.value.mend
    load_base(folder, msgspec.structs.replace(RECIPE, max_length=12), FP32, kind)


def test_a_window_that_is_switched_off_is_none(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = changed(checkpoint("qwen2"), tmp_path / "model", sliding_window=12, use_sliding_window=False)
    load_base(folder, RECIPE, FP32, "qwen2")
