"""What mlx-lm would compute otherwise by itself it computes as Transformers does, or is refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx_lm.utils
import msgspec
import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from kto_tui.backends.fuse.__main__ import fuse
from kto_tui.backends.mlx.model import load_base
from kto_tui.backends.mlx.rope import read_config
from kto_tui.errors import UserError
from tests.backends.mlx.models import changed, gap, mlx_logits, run_of, torch_logits, transformers_model, tuned
from tests.backends.mlx.trainings import FP32, RECIPE

Checkpoint = Callable[..., Path]
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64, "rope_theta": 5432.0}
# Factors for a phi3 and a llama of the tests, whose heads are 16 wide.
LONG = {
    "rope_type": "longrope",
    "short_factor": [1 + 0.2 * i for i in range(8)],
    "long_factor": [1 + 3.0 * i for i in range(8)],
    "original_max_position_embeddings": 64,
    "rope_theta": 5432.0,
}
MENDED: dict[str, tuple[str, dict[str, Any]]] = {
    "longrope of phi3": ("phi3", {"rope_parameters": LONG, "original_max_position_embeddings": 64}),
    "longrope of llama": ("llama", {"rope_parameters": LONG}),
    "attention factor": ("llama", {"rope_parameters": YARN | {"attention_factor": 0.7}}),
    "attention factor of one": ("llama", {"rope_parameters": YARN | {"attention_factor": 1.0}}),
    "mscale alone": ("llama", {"rope_parameters": YARN | {"mscale": 0.5}}),
    "mscale of all dimensions alone": ("llama", {"rope_parameters": YARN | {"mscale_all_dim": 0.5}}),
    "ramp not rounded": ("llama", {"rope_parameters": YARN | {"truncate": False}}),
    "kinds of layers": ("llama", {"layer_types": ["sliding_attention", "full_attention"], "sliding_window": 8}),
}


@pytest.mark.parametrize("name", MENDED)
def test_mlx_says_what_transformers_says(checkpoint: Checkpoint, tmp_path: Path, name: str) -> None:
    kind, config = MENDED[name]
    folder = changed(checkpoint(kind), tmp_path / "model", **config)
    expected = torch_logits(transformers_model(folder))
    assert gap(mlx_logits(load_base(folder, RECIPE, FP32, kind).model), expected) < 1e-4
    # By itself mlx-lm computes another model, from the top level too: the reason why it is told otherwise.
    alone = mlx_lm.utils.load_model(folder, model_config=read_config(folder))[0]
    assert gap(mlx_logits(alone), expected) > 0.01


def test_longrope_as_the_hub_writes_it(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """With the older name, at the top level."""
    scaling = {"type": "longrope", "short_factor": LONG["short_factor"], "long_factor": LONG["long_factor"]}
    folder = changed(
        checkpoint("phi3"), tmp_path / "model", "rope_parameters",
        rope_scaling=scaling, rope_theta=5432.0, original_max_position_embeddings=64,
    )  # fmt: skip
    expected = torch_logits(transformers_model(folder))
    base = load_base(folder, msgspec.structs.replace(RECIPE, max_length=64), FP32, "phi3")
    assert gap(mlx_logits(base.model), expected) < 1e-4
    with pytest.raises(UserError, match="more than 64 tokens") as caught:
        load_base(folder, msgspec.structs.replace(RECIPE, max_length=65), FP32, "phi3")
    assert "max_length to 64" in caught.value.mend


def test_gemma_3_has_whole_rows_in_other_layers_than_every_sixth(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = AutoConfig.for_model(
        "gemma3_text", vocab_size=337, hidden_size=32, intermediate_size=64, num_hidden_layers=6, num_attention_heads=2,
        num_key_value_heads=1, head_dim=16, query_pre_attn_scalar=16, sliding_window=8, max_position_embeddings=256,
        layer_types=["sliding_attention", "full_attention"] * 3,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(tmp_path / "plain")
    folder = changed(tmp_path / "plain", tmp_path / "model")
    expected = torch_logits(transformers_model(folder))
    assert gap(mlx_logits(load_base(folder, RECIPE, FP32, "gemma").model), expected) < 1e-4
    alone = mlx_lm.utils.load_model(folder, model_config=read_config(folder))[0]
    assert gap(mlx_logits(alone), expected) > 0.01


def test_fused_it_is_the_same_model_for_transformers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """In rows of both lengths: both factors stay; that mlx-lm by itself takes one is said."""
    folder = changed(checkpoint("phi3"), tmp_path / "model", rope_parameters=LONG, original_max_position_embeddings=64)
    model = tuned(folder)
    done = fuse(run_of(folder, model), tmp_path / "fused", lambda _done, _all: None)
    assert "long factors of longrope" in done.notes[0]
    fused = transformers_model(tmp_path / "fused")
    assert gap(torch_logits(fused), mlx_logits(model)) < 1e-4
    rope = transformers_model(folder).config.rope_parameters
    assert {name: fused.config.rope_parameters[name] for name in rope} == rope
