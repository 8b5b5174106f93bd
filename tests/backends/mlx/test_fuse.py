"""A fused folder: Transformers and mlx-lm load it and say what base model and adapter said together."""

import json
from collections.abc import Callable
from pathlib import Path

import mlx_lm
import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from kto_tui.backends.fuse.__main__ import fuse
from kto_tui.backends.fuse.tensors import from_float32, to_float32
from kto_tui.runs.config import RunConfig
from tests.backends.mlx.conftest import disturb
from tests.backends.mlx.models import (
    changed,
    gap,
    mlx_logits,
    run_of,
    stored_as,
    torch_logits,
    transformers_model,
    tuned,
)
from tests.backends.mlx.trainings import RECIPE
from tests.runs.made import made_run

Checkpoint = Callable[..., Path]
LLAMA3 = {
    "rope_theta": 123456.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip


def unheard(done: int, total: int) -> None:
    assert 0 < done <= total


@pytest.mark.parametrize(
    ("kind", "use_dora"), [("llama", False), ("llama", True), ("qwen2", False), ("phi3", True), ("gemma2", False)]
)
def test_it_says_the_same(checkpoint: Checkpoint, tmp_path: Path, kind: str, use_dora: bool) -> None:
    rope = {"rope_parameters": LLAMA3 if kind == "llama" else {"rope_theta": 123456.0, "rope_type": "default"}}
    folder = changed(checkpoint(kind), tmp_path / "base", sliding_window=4096, **rope)
    recipe = msgspec.structs.replace(RECIPE, use_dora=use_dora)
    model = tuned(folder, recipe)
    expected = mlx_logits(model)
    done = fuse(run_of(folder, model, recipe), tmp_path / "fused", unheard)
    assert not done.notes
    found = transformers_model(tmp_path / "fused")
    assert found.config.rope_parameters["rope_theta"] == 123456.0
    assert gap(torch_logits(found), expected) < 1e-4
    # mlx-lm alone, which reads rotary settings at the top level only, as anyone would call it.
    loaded, tokenizer = mlx_lm.load(str(tmp_path / "fused"))
    assert gap(mlx_logits(loaded), expected) < 1e-4
    described = tmp_path / "fused" / "config.json"
    table = json.loads(described.read_text())
    described.write_text(json.dumps({name: table[name] for name in table.keys() - {"rope_theta", "rope_scaling"}}))
    assert gap(mlx_logits(mlx_lm.load(str(tmp_path / "fused"))[0]), expected) > 0.01, "else theta would not matter"
    prompt = tokenizer.apply_chat_template([{"role": "user", "content": "the cat"}], add_generation_prompt=True)
    mlx_lm.generate(loaded, tokenizer, prompt, max_tokens=4)
    assert len(found.generate(torch.tensor([prompt]), max_new_tokens=4, do_sample=False)[0]) > len(prompt)


def test_number_format_files_and_names_are_the_bases(checkpoint: Checkpoint, tmp_path: Path) -> None:
    folder = stored_as(checkpoint("llama"), tmp_path / "base", torch.bfloat16, max_shard_size="70KB")
    assert len(list(folder.glob("model-*.safetensors"))) > 2
    model = tuned(folder)
    fused = tmp_path / "fused"
    fuse(run_of(folder, model), fused, unheard)
    assert {path.name for path in folder.iterdir()} | {"README.md"} == {path.name for path in fused.iterdir()}
    found = transformers_model(fused, "auto")
    assert {each.dtype for each in found.parameters()} == {torch.bfloat16}
    assert found.lm_head.weight is found.model.embed_tokens.weight
    # One rounding to bf16 apart, not two.
    assert gap(torch_logits(transformers_model(fused)), mlx_logits(model)) < 0.02
    readme = (fused / "README.md").read_text()
    assert str(fused) in readme
    assert "bold-fox" in readme


def test_adapters_trained_over_four_bits_go_into_the_original_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    recipe = msgspec.structs.replace(RECIPE, quantization="int4")
    model = tuned(checkpoint("llama"), recipe)
    done = fuse(run_of(checkpoint("llama"), model, recipe), tmp_path / "fused", unheard)
    assert "int4" in done.notes[0]
    assert done.notes[0] in (tmp_path / "fused" / "README.md").read_text()
    plain = transformers_model(checkpoint("llama")).model.embed_tokens.weight
    assert torch.equal(transformers_model(tmp_path / "fused").model.embed_tokens.weight, plain)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
@pytest.mark.parametrize("use_dora", [False, True])
def test_adapters_of_trl_runs_are_fused_too(checkpoint: Checkpoint, tmp_path: Path, use_dora: bool) -> None:
    settings = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", use_rslora=True, use_dora=use_dora)
    peft = get_peft_model(transformers_model(checkpoint("llama")), settings)
    disturb(peft)
    run = made_run("calm-owl", config=RunConfig(model=str(checkpoint("llama")), data="starter", recipe=RECIPE))
    peft.save_pretrained(run.adapter)
    fuse(run, tmp_path / "fused", unheard)
    assert gap(torch_logits(transformers_model(tmp_path / "fused")), torch_logits(peft)) < 1e-4


@pytest.mark.parametrize("bits", [4, 8])
def test_weights_quantised_by_mlx_are_dequantised(checkpoint: Checkpoint, tmp_path: Path, bits: int) -> None:
    folder = tmp_path / "quantised"
    mlx_lm.convert(str(checkpoint("llama")), str(folder), quantize=True, q_bits=bits)
    model = tuned(folder)
    expected = mlx_logits(model)
    done = fuse(run_of(folder, model), tmp_path / "fused", unheard)
    assert f"{bits}-bit" in done.notes[0]
    config = json.loads((tmp_path / "fused" / "config.json").read_text())
    assert not {"quantization", "quantization_config"} & config.keys()
    assert gap(torch_logits(transformers_model(tmp_path / "fused")), expected) < 1e-3
    assert gap(mlx_logits(mlx_lm.load(str(tmp_path / "fused"))[0]), expected) < 1e-3


def test_a_layers_own_settings_name_no_mode_of_others(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """As in checkpoints of gpt-oss: experts in mxfp4, attention affine."""

    def chosen(path: str, _: object) -> bool | dict[str, int]:
        return {"group_size": 64, "bits": 8} if path.endswith("q_proj") else path.endswith("up_proj")

    folder = tmp_path / "quantised"
    mlx_lm.convert(str(checkpoint("llama")), str(folder), quantize=True, q_mode="mxfp4", quant_predicate=chosen)
    model = tuned(folder)
    fuse(run_of(folder, model), tmp_path / "fused", unheard)
    assert gap(mlx_logits(mlx_lm.load(str(tmp_path / "fused"))[0]), mlx_logits(model)) < 1e-2


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False, min_value=-(2.0**126), max_value=2.0**126)))
def test_numbers_are_rounded_as_torch_rounds(values: list[float]) -> None:
    array = np.array(values, np.float32)
    bits = torch.tensor(array).bfloat16().view(torch.int16).numpy()
    assert from_float32(array, "BF16").view(np.int16).tolist() == bits.tolist()
    assert to_float32(from_float32(array, "F32"), "F32").tolist() == array.tolist()
    small = (array[np.abs(array) < 6e4]).astype(np.float16)
    assert to_float32(small.view(np.uint8), "F16").tolist() == small.tolist()
