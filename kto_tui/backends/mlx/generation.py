"""Greedy answers of a model of mlx-lm, as token ids."""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
from mlx_lm.generate import BatchGenerator, generate_step
from transformers import PreTrainedTokenizerBase

from kto_tui.backends.training import answers


def end_ids(tokenizer: PreTrainedTokenizerBase, config: dict[str, Any]) -> list[int]:
    """Token ids that end an answer: the tokenizer's, and those of the model's own generation settings."""
    said = config.get("eos_token_id")
    ids = said if isinstance(said, list) else [said]
    return sorted({each for each in [*ids, tokenizer.eos_token_id] if isinstance(each, int)})


def generator(
    model: Any,  # noqa: ANN401
    tokenizer: PreTrainedTokenizerBase,
    ends: Sequence[int],
) -> Callable[[Sequence[str], bool], list[list[int]]]:
    """Answers several texts side by side; see ``kto_tui.backends.training.answers.Sampler``."""

    def generate(texts: Sequence[str], special_tokens: bool) -> list[list[int]]:
        prompts = [tokenizer(text, add_special_tokens=special_tokens)["input_ids"] for text in texts]
        was_training = model.training
        model.eval()
        try:
            return answered(model, prompts, ends, answers.MAX_NEW_TOKENS)
        finally:
            model.train(was_training)
            mx.clear_cache()

    return generate


def answered(model: Any, prompts: Sequence[list[int]], ends: Sequence[int], most: int) -> list[list[int]]:  # noqa: ANN401
    """Greedy answers to ``prompts``, up to ``most`` tokens each, with the one that ends them.

    Of some architectures, Gemma 2 among them, mlx-lm cannot answer prompts of several lengths side by side and raises
    ValueError: those are answered one after another.
    """
    try:
        return _side_by_side(model, prompts, ends, most)
    except ValueError:
        return [_alone(model, prompt, ends, most) for prompt in prompts]


def _side_by_side(model: Any, prompts: Sequence[list[int]], ends: Sequence[int], most: int) -> list[list[int]]:  # noqa: ANN401
    batch = BatchGenerator(model, stop_tokens=[[end] for end in ends])
    try:
        numbers = batch.insert(prompts, [most] * len(prompts))
        found: dict[int, list[int]] = {number: [] for number in numbers}
        while responses := batch.next_generated():
            for response in responses:
                found[response.uid].append(int(response.token))
    finally:
        batch.close()
    return [found[number] for number in numbers]


def _alone(model: Any, prompt: list[int], ends: Sequence[int], most: int) -> list[int]:  # noqa: ANN401
    found: list[int] = []
    for token, _ in generate_step(mx.array(prompt), model, max_tokens=most):
        found.append(int(token))
        if token in ends:
            break
    return found
