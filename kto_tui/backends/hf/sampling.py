"""Greedy answers to fixed prompts, before and after training."""

from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase

from kto_tui.data.behaviour import Behaviour, mean_words, shows
from kto_tui.data.rows import text_of
from kto_tui.runs.events import Answer, Sampled

MAX_NEW_TOKENS = 64


class Sampler:
    """Answers the same prompts each time it is asked, so that answers can be compared across steps.

    Args:
        model: policy to ask.
        tokenizer: its tokenizer.
        prompts: plain strings, or message lists for the chat template.
        behaviour: rule to measure, if the data set has one; the prompts are then its own, in its order.
    """

    def __init__(
        self,
        model: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: list[Any],
        behaviour: Behaviour | None,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._behaviour = behaviour
        self._titles = [prompt[-1]["content"] if not isinstance(prompt, str) else text_of(prompt) for prompt in prompts]
        self._texts = [
            prompt
            if isinstance(prompt, str)
            else str(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False))
            for prompt in prompts
        ]
        self._special = not all(isinstance(prompt, str) for prompt in prompts)
        eos = model.get_base_model().generation_config.eos_token_id
        ids = eos if isinstance(eos, list) else [eos]
        self._ends = sorted({i for i in [*ids, tokenizer.eos_token_id] if i is not None})

    def answers(self) -> tuple[Answer, ...]:
        """One greedy answer per prompt, at most ``MAX_NEW_TOKENS`` tokens each."""
        side, self._tokenizer.padding_side = self._tokenizer.padding_side, "left"
        try:
            # Chat templates already hold the special tokens.
            batch = self._tokenizer(
                self._texts, return_tensors="pt", padding=True, add_special_tokens=not self._special
            )
        finally:
            self._tokenizer.padding_side = side
        device = next(self._model.parameters()).device
        was_training = self._model.training
        self._model.eval()
        try:
            with torch.no_grad():
                generated = self._model.generate(
                    input_ids=batch["input_ids"].to(device),
                    attention_mask=batch["attention_mask"].to(device),
                    generation_config=GenerationConfig(
                        max_new_tokens=MAX_NEW_TOKENS,
                        do_sample=False,
                        use_cache=True,
                        eos_token_id=self._ends or None,
                        pad_token_id=self._tokenizer.pad_token_id,
                    ),
                )
        finally:
            self._model.train(was_training)
        new = generated[:, batch["input_ids"].shape[1] :].tolist()
        return tuple(self._answer(title, ids) for title, ids in zip(self._titles, new, strict=True))

    def _answer(self, title: str, ids: list[int]) -> Answer:
        end = next((i for i, token in enumerate(ids) if token in self._ends), None)
        text = self._tokenizer.decode(ids[:end], skip_special_tokens=True)
        return Answer(prompt=title, text=text.strip(), finished=end is not None)

    def sample(self, step: int) -> Sampled:
        """The event that reports the answers and their plain measures."""
        answers = self.answers()
        rule = self._behaviour
        return Sampled(
            step=step,
            answers=answers,
            mean_words=mean_words([answer.text for answer in answers]),
            finished_share=sum(answer.finished for answer in answers) / len(answers) if answers else None,
            behaviour_share=None
            if rule is None or not answers
            else sum(
                shows(rule, answer.text, finished=answer.finished, first=prompt.first)
                for answer, prompt in zip(answers, rule.prompts, strict=True)
            )
            / len(answers),
            behaviour=None if rule is None else rule.title,
        )
