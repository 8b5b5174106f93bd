"""A language model inside a checkpoint that also sees: its adapter is PEFT's, and it is fused, under any names."""

import json
from pathlib import Path
from typing import Any

import mlx_lm
import pytest
import torch
from peft import AutoPeftModelForCausalLM
from safetensors.numpy import load_file
from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

from kto_tui.backends.fuse.__main__ import fuse
from kto_tui.backends.mlx.alone import unfound
from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.lora import reference_of
from kto_tui.backends.mlx.packs import pack
from tests.backends.mlx.models import IDS, changed, gap, mlx_logits, run_of, torch_logits, tuned
from tests.tiny import make_tokenizer

pytestmark = [
    pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning"),
    pytest.mark.usefixtures("interpreted"),
]
# mlx-lm multiplies Gemma 3's embeddings by the root of the width rounded to bf16 in fp32 as well: of 64 it is exact.
TEXT = {
    "vocab_size": 340, "hidden_size": 64, "intermediate_size": 104, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 512, "pad_token_id": 0, "eos_token_id": 2,
    "bos_token_id": None,
}  # fmt: skip
QWEN = {
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 32, "linear_value_head_dim": 16,
    "model_type": "qwen3_5_text",
    "rope_parameters": {"rope_type": "default", "rope_theta": 54321.0, "partial_rotary_factor": 0.5},
}  # fmt: skip
GEMMA4 = {
    "model_type": "gemma4_text", "global_head_dim": 32, "num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0,
    "sliding_window": 64, "vocab_size_per_layer_input": 340,
}  # fmt: skip
SEEING = {
    "gemma3": {
        "text_config": TEXT | {"sliding_window": 16, "model_type": "gemma3_text"},
        "vision_config": {
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "image_size": 28, "patch_size": 14,
        },
        "mm_tokens_per_image": 4,
    },
    "gemma4": {
        "text_config": TEXT | GEMMA4,
        "vision_config": {
            "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
            "num_key_value_heads": 2, "head_dim": 16, "patch_size": 14,
        },
        "audio_config": None,
    },
    "qwen3_5": {
        "text_config": TEXT | QWEN,
        "vision_config": {
            "depth": 1, "hidden_size": 32, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 64,
            "num_position_embeddings": 16,
        },
    },
}  # fmt: skip


@pytest.fixture(params=[*SEEING, "qwen3_5_text"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    kind = request.param
    made = tmp_path / kind / "made"
    torch.manual_seed(3)
    if kind == "qwen3_5_text":
        from transformers import AutoModelForCausalLM

        AutoModelForCausalLM.from_config(AutoConfig.for_model(**TEXT | QWEN)).save_pretrained(made)
    else:
        config = AutoConfig.for_model(kind, **SEEING[kind], eos_token_id=2)
        AutoModelForImageTextToText.from_config(config).save_pretrained(made)
    make_tokenizer(made)
    more: dict[str, Any] = {
        "vocab_size": TEXT["vocab_size"]
    }  # mlx-lm's gemma3 reads it here, where the published ones have it
    if kind == "gemma4":  # Transformers 5.23 leaves out a width that the published ones have
        text = json.loads((made / "config.json").read_text())["text_config"]
        more["text_config"] = text | {"global_head_dim": GEMMA4["global_head_dim"]}
    return changed(made, tmp_path / kind / "base", **more)


def told(folder: Path, lacks: dict[str, Any]) -> Path:
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | lacks))
    return folder


def test_what_mlx_lm_lacks_of_it_is_known(folder: Path) -> None:
    model = tuned(folder)
    with reference_of(model)():
        untuned = mlx_logits(model)
    lacks = unfound(folder)
    assert lacks == ({"model_type": "qwen3_5"} if folder.parent.name == "qwen3_5_text" else {})
    assert gap(mlx_logits(mlx_lm.utils.load_model(told(folder, lacks))[0]), untuned) < 1e-5


def test_peft_and_a_fused_folder_say_the_same(folder: Path, tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    model = tuned(folder)
    expected = mlx_logits(model)
    with reference_of(model)():
        untuned = mlx_logits(model)
    assert gap(expected, untuned) > 0.05, "an adapter that changes nothing would prove nothing"
    run = run_of(folder, model)
    recwarn.clear()
    peft = AutoPeftModelForCausalLM.from_pretrained(run.adapter)
    assert not [each for each in recwarn if "adapter" in str(each.message)]
    trained = {name for name, _ in peft.named_modules() if name.endswith("lora_A.default")}
    assert len(trained) == len(load_file(run.adapter / "adapter_model.safetensors")) // 2
    assert gap(torch_logits(peft), expected) < 2e-4
    with peft.disable_adapter():
        assert gap(torch_logits(peft), untuned) < 2e-4

    fused = tmp_path / "fused"
    fuse(run, fused, lambda *_: None)
    assert load_file(fused / "model.safetensors").keys() == load_file(folder / "model.safetensors").keys()
    assert gap(torch_logits(type(peft.get_base_model()).from_pretrained(fused)), expected) < 2e-4
    # mlx-lm alone, told what the READMEs say it must be.
    lacks = unfound(fused)
    assert lacks == ({"model_type": "qwen3_5"} if folder.parent.name == "qwen3_5_text" else {})
    assert all(str(value) in (fused / "README.md").read_text() for value in lacks.values())
    assert gap(mlx_logits(mlx_lm.load(str(told(fused, lacks)))[0]), expected) < 1e-4
    assert AutoTokenizer.from_pretrained(fused).eos_token_id == 2


def test_scores_are_those_of_its_logits(folder: Path) -> None:
    model: Any = tuned(folder)
    row = IDS[0].tolist()
    passes = Passes(model, TEXT["vocab_size"], reference_of(model))
    (found,) = passes.log_probs(pack([(row[:10], row[10:])]))
    logits = torch.tensor(mlx_logits(model)[0]).log_softmax(-1)
    assert found == pytest.approx(float(logits[9:-1].gather(1, torch.tensor(row[10:])[:, None]).sum()), abs=1e-3)
