"""Saved adapters say under PEFT and under mlx-lm what they said while they were trained."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from mlx_lm.tuner.utils import load_adapters
from peft import AutoPeftModelForCausalLM, PeftModel

from kto_tui.backends.base import Job
from kto_tui.backends.mlx.alone import unfound
from kto_tui.backends.mlx.model import Quantised, load_base
from kto_tui.backends.mlx.peft_format import MLX_FOLDER, readme, write_adapter
from kto_tui.runs.config import RunConfig
from tests.backends.mlx.models import changed, gap, mlx_logits, peft_names_of, torch_logits, transformers_model, tuned
from tests.backends.mlx.trainings import FP32, RECIPE
from tests.runs.made import made_run

# PEFT asks Transformers by a name that the latter will drop.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
Checkpoint = Callable[..., Path]
ROPE = {"rope_type": "default", "rope_theta": 123456.0}


@pytest.mark.parametrize("use_dora", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "phi3"])
def test_peft_and_mlx_lm_load_it(checkpoint: Checkpoint, tmp_path: Path, kind: str, use_dora: bool) -> None:
    folder = checkpoint(kind)
    recipe = msgspec.structs.replace(RECIPE, use_dora=use_dora)
    model = tuned(folder, recipe)
    write_adapter(model, recipe, folder, tmp_path, peft=peft_names_of(model, folder))
    base = transformers_model(folder)
    untuned = torch_logits(base)
    expected = mlx_logits(model)
    assert gap(expected, untuned) > 0.05, "an adapter that changes nothing would prove nothing"
    assert gap(torch_logits(PeftModel.from_pretrained(base, tmp_path)), expected) < 1e-4
    again = load_base(folder, recipe, FP32, kind).model
    assert gap(mlx_logits(load_adapters(again, str(tmp_path / MLX_FOLDER))), expected) < 1e-5


def test_peft_finds_the_base_model_by_itself(checkpoint: Checkpoint, tmp_path: Path) -> None:
    model = tuned(checkpoint("qwen2"))
    write_adapter(model, RECIPE, checkpoint("qwen2"), tmp_path, peft=peft_names_of(model, checkpoint("qwen2")))
    found = AutoPeftModelForCausalLM.from_pretrained(tmp_path)
    assert gap(torch_logits(found), mlx_logits(model)) < 1e-4
    changed_names = {name for name, each in found.named_parameters() if "lora_" in name}
    assert len(changed_names) == 2 * 2 * 7


@pytest.mark.parametrize("peft", [False, True])
def test_the_base_model_is_not_read_to_write_it(checkpoint: Checkpoint, tmp_path: Path, peft: bool) -> None:
    model = tuned(checkpoint())
    names = peft_names_of(model, checkpoint()) if peft else None
    write_adapter(model, RECIPE, tmp_path / "away", tmp_path, peft=names)
    of_peft = {"adapter_config.json", "adapter_model.safetensors"} if peft else set()
    assert {file.name for file in tmp_path.iterdir()} == {MLX_FOLDER} | of_peft


def test_untied_embeddings(tmp_path: Path, checkpoint: Checkpoint) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    folder = changed(checkpoint("qwen2"), tmp_path / "untied", tie_word_embeddings=False)
    torch.manual_seed(1)
    AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder)).save_pretrained(folder)
    model = tuned(folder)
    (tmp_path / "adapter").mkdir()
    write_adapter(model, RECIPE, folder, tmp_path / "adapter", peft=peft_names_of(model, folder))
    peft = PeftModel.from_pretrained(transformers_model(folder), tmp_path / "adapter")
    assert gap(torch_logits(peft), mlx_logits(model)) < 1e-4


@pytest.mark.parametrize(
    ("quantised", "quantization", "words"),
    [
        (None, "none", "AutoPeftModelForCausalLM"),
        (Quantised(4, 15, 15), "int4", "AutoPeftModelForCausalLM"),
        (Quantised(4, 13, 15), "int4", "weights quantised to 4 bits in 13 of 15 layers"),
        (Quantised(4, 15, 15), "none", "original model"),
    ],
)
def test_the_readme_says_what_loads_it(
    checkpoint: Checkpoint, tmp_path: Path, quantised: Quantised | None, quantization: str, words: str
) -> None:
    recipe = msgspec.structs.replace(RECIPE, quantization=quantization)
    folder = changed(checkpoint("llama"), tmp_path / "base", "rope_parameters", rope_theta=1e4)
    job = Job(
        run=made_run("bold-fox"),
        config=RunConfig(model="org/name", data="starter", recipe=recipe),
        emit=lambda _: None,
        requested=lambda: None,
    )
    text = readme(job, folder, 7, quantised, peft=True)
    assert words in text
    assert f"--adapter-path {job.run.adapter}/mlx" in text
    assert ("quantised to 4 bits" in text) is (quantised is not None)
    assert "{" not in text
    assert "by itself" not in text
    yarn = {"rope_type": "yarn", "factor": 4.0, "attention_factor": 0.7}
    stretched = changed(folder, tmp_path / "stretched", rope_scaling=yarn)
    assert "mlx-lm by itself computes YaRN otherwise" in readme(job, stretched, 7, quantised, peft=True)
    # Transformers 5 nests rotary settings, which mlx-lm alone would not find.
    nested = readme(
        job, changed(checkpoint("llama"), tmp_path / "nested", rope_parameters=ROPE), 7, quantised, peft=True
    )
    assert "--adapter-path" not in nested
    assert "mlx_lm.generate --model FOLDER" in nested
    alone = readme(job, tmp_path / "nested", 7, quantised, peft=False)
    assert "from peft" not in alone
    assert "kto-tui fuse bold-fox" not in alone
    assert '"rope_theta": 123456.0' in alone


def test_settings_that_change_nothing_are_not_missed(checkpoint: Checkpoint, tmp_path: Path) -> None:
    """Transformers 5 nests the defaults as well; mlx-lm has the same ones."""
    assert unfound(checkpoint("llama")) == {}
    found = unfound(changed(checkpoint("llama"), tmp_path / "nested", rope_parameters=ROPE))
    assert found["rope_theta"] == 123456.0
