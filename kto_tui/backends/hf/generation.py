"""Greedy generation by Transformers: the new tokens of prompts, without gradient and dropout."""

from collections.abc import Callable, Sequence

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase

from kto_tui.backends.training import answers


def end_tokens(model: PeftModel, tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """Every id that ends an answer, of the model and of its tokenizer."""
    eos = model.get_base_model().generation_config.eos_token_id
    ids = eos if isinstance(eos, list) else [eos]
    return sorted({i for i in [*ids, tokenizer.eos_token_id] if i is not None})


def greedy(
    model: PeftModel, tokenizer: PreTrainedTokenizerBase, ends: Sequence[int]
) -> Callable[[Sequence[str], bool], list[list[int]]]:
    """What ``kto_tui.backends.training.answers.Sampler`` calls ``generate``, by ``model`` as it stands."""

    def generate(texts: Sequence[str], special: bool) -> list[list[int]]:
        side, tokenizer.padding_side = tokenizer.padding_side, "left"
        try:
            batch = tokenizer(list(texts), return_tensors="pt", padding=True, add_special_tokens=special)
        finally:
            tokenizer.padding_side = side
        device = next(model.parameters()).device
        was_training = model.training
        model.eval()
        try:
            with torch.no_grad():
                generated = model.generate(
                    input_ids=batch["input_ids"].to(device),
                    attention_mask=batch["attention_mask"].to(device),
                    generation_config=GenerationConfig(
                        max_new_tokens=answers.MAX_NEW_TOKENS,
                        do_sample=False,
                        use_cache=True,
                        eos_token_id=list(ends) or None,
                        pad_token_id=tokenizer.pad_token_id,
                    ),
                )
        finally:
            model.train(was_training)
        new: list[list[int]] = generated[:, batch["input_ids"].shape[1] :].tolist()
        return new

    return generate
