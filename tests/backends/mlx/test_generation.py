"""Answers of the sampled prompts under MLX."""

import json
from collections.abc import Callable
from pathlib import Path

from transformers import AutoTokenizer

from kto_tui.backends.mlx.generation import end_ids
from kto_tui.backends.mlx.model import load_base
from tests.backends.mlx.models import changed
from tests.backends.mlx.trainings import FP32, RECIPE


def test_an_answer_ends_where_the_generation_settings_say(checkpoint: Callable[..., Path], tmp_path: Path) -> None:
    # As Gemma and Llama 3 tell it: more tokens in generation_config.json than in config.json.
    folder = changed(checkpoint(), tmp_path / "model", eos_token_id=2)
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert end_ids(tokenizer, load_base(folder, RECIPE, FP32, "tiny").config) == [2, 7]
    (folder / "generation_config.json").unlink()
    assert end_ids(tokenizer, load_base(folder, RECIPE, FP32, "tiny").config) == [2]
