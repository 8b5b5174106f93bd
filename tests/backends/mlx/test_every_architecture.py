"""Every architecture that is let through under MLX: scored as its own logits say, given gradients, and saved."""

import importlib
import json
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
import pytest
from mlx import nn
from mlx.utils import tree_flatten, tree_map
from mlx_lm.tuner.utils import load_adapters
from mlx_lm.utils import _get_classes

from kto_tui.backends.mlx.compiled import Passes
from kto_tui.backends.mlx.generation import answered
from kto_tui.backends.mlx.lora import adapted, attach, reference_of
from kto_tui.backends.mlx.packs import pack
from kto_tui.backends.mlx.peft_format import MLX_FOLDER, write_adapter
from kto_tui.backends.mlx.scoring import Scorer
from kto_tui.catalog import load_catalog
from kto_tui.catalog.mlx import TEXT_MODELS, is_trained, mlx_architectures
from kto_tui.errors import UserError
from tests.backends.mlx.trainings import RECIPE

pytestmark = pytest.mark.usefixtures("interpreted")
SIZES = json.loads(Path(__file__).with_name("sizes.json").read_text(encoding="utf-8"))
ROWS = [([5, 6, 7], [8, 9, 10, 11]), ([7, 8], [9, 10, 11, 12, 13])]


def tiny(kind: str) -> Any:
    config = {**SIZES["of all"], "model_type": kind, **SIZES.get(kind, {})}
    if "text_config" in config:
        config["text_config"] = {**SIZES["of all"], **config["text_config"]}
    model_class, args_class = _get_classes(config)
    mx.random.seed(0)
    model = model_class(args_class.from_dict(config))
    assert sum(each.size for _, each in tree_flatten(model.parameters())) < 3e6, "its sizes are not in sizes.json"

    def disturbed(each: mx.array) -> mx.array:  # gains and heads that begin at 0 would hide what is below them
        return each + 0.02 * mx.random.normal(each.shape) if mx.issubdtype(each.dtype, mx.floating) else each

    model.update(tree_map(disturbed, model.parameters()))
    return model


def own_scores(model: Any) -> list[float]:
    found = []
    for prompt, completion in ROWS:
        logits = model(mx.array([prompt + completion]))[0].astype(mx.float32)
        log_probs = np.array(logits - mx.logsumexp(logits, axis=-1, keepdims=True))
        found.append(sum(float(log_probs[len(prompt) - 1 + at, token]) for at, token in enumerate(completion)))
    return found


@pytest.mark.parametrize("kind", sorted(filter(is_trained, mlx_architectures())))
def test_it_is_scored_and_learns_and_mlx_lm_loads_its_adapter(kind: str, tmp_path: Path) -> None:
    model = tiny(kind)
    attach(model, RECIPE)
    for _, layer in adapted(model):
        layer.lora_b = 0.05 * mx.random.normal(layer.lora_b.shape)
    passes = Passes(model, SIZES["of all"]["vocab_size"], reference_of(model))
    _, found, arrays = passes.nll(pack(ROWS), mx.array(1.0))
    assert np.array(found).tolist() == pytest.approx(own_scores(model), abs=1e-4)
    changes = [float(mx.abs(each).max()) for name, each in tree_flatten(arrays) if name.endswith("lora_b")]
    assert np.isfinite(changes).all()
    assert max(changes) > 0

    write_adapter(model, RECIPE, tmp_path / "base", tmp_path, peft=None)
    again = load_adapters(tiny(kind), str(tmp_path / MLX_FOLDER))
    assert own_scores(again) == pytest.approx(own_scores(model), abs=1e-4)


@pytest.mark.parametrize("kind", ["gemma2", "gpt_bigcode", "llama", "llama4", "qwen3_5", "stablelm"])
def test_it_answers_prompts_of_several_lengths(kind: str) -> None:
    """gemma2, gpt_bigcode and llama4 not side by side."""
    model = tiny(kind)
    model.eval()
    prompts = [[5, 6, 7, 8, 9, 10, 11], [12, 13], [14, 15, 16]]
    found = answered(model, prompts, [], 4)
    for prompt, answer in zip(prompts, found, strict=True):
        row = list(prompt)
        for _ in range(4):
            row.append(int(model(mx.array([row]))[0, -1].argmax()))
        assert answer == row[len(prompt) :]
    end = found[1][1]
    assert answered(model, prompts[1:2], [end], 4) == [found[1][: found[1].index(end) + 1]]


def test_every_model_of_the_catalog_is_among_them() -> None:
    kinds = {model.model_type or "" for model in load_catalog()}
    assert kinds
    assert {TEXT_MODELS.get(kind, kind) for kind in kinds} <= set(filter(is_trained, mlx_architectures()))


def test_a_decoder_in_an_unknown_place_is_a_sentence() -> None:
    llama = importlib.import_module("mlx_lm.models.llama")

    class Elsewhere(llama.Model):  # type: ignore[misc, name-defined]
        def __init__(self, args: Any) -> None:
            super().__init__(args)
            self.stack = self.pop("model")

    args = llama.ModelArgs.from_dict({**SIZES["of all"], "model_type": "llama"})
    with pytest.raises(UserError, match="keeps its decoder in no place known"):
        Scorer(Elsewhere(args))


def test_a_decoder_that_the_model_goes_past_is_a_sentence() -> None:
    model = tiny("llama")
    model.transformer, model.model = model.model, nn.Linear(4, 4)

    class Past(type(model)):  # type: ignore[misc]
        def __call__(self, ids: mx.array) -> mx.array:
            found: mx.array = self.lm_head(self.transformer(ids))
            return found

    model.__class__ = Past
    with pytest.raises(UserError, match="keeps its decoder in no place known"):
        Scorer(model).token_log_probs(pack(ROWS), 64)
