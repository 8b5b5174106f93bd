"""Greedy answers to fixed prompts and to a person's own, of the base model and of the model as it is now."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from peft import PeftModel
from transformers import GenerationConfig, PreTrainedTokenizerBase

from kto_tui.backends.hf.relief import Relieved
from kto_tui.data.behaviour import Behaviour, mean_words, shows
from kto_tui.data.rows import text_of
from kto_tui.runs.events import Adjusted, Answer, Sampled

MAX_NEW_TOKENS = 64


class Sampler:
    """Answers the same prompts each time it is asked, so that answers can be compared across steps.

    Args:
        model: policy to ask.
        tokenizer: its tokenizer.
        prompts: plain strings, or message lists for the chat template.
        behaviour: rule to measure, if the data set has one; the prompts are then its own, in its order.
        base_model: context in which ``model`` answers as the base model.
        told: told of a relief when memory runs out.
    """

    def __init__(
        self,
        model: PeftModel,
        tokenizer: PreTrainedTokenizerBase,
        prompts: list[Any],
        behaviour: Behaviour | None,
        base_model: Callable[[], AbstractContextManager[None]],
        told: Callable[[Adjusted], None] = lambda _: None,
    ) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._behaviour = behaviour
        self._base_model = base_model
        self._chat = not all(isinstance(prompt, str) for prompt in prompts)
        self._fixed = [self._rendered(prompt) for prompt in prompts]
        self._besides: list[tuple[str, str]] = []
        self._base: dict[str, Answer] = {}
        self._rows = Relieved("sample_rows", len(prompts), told)
        eos = model.get_base_model().generation_config.eos_token_id
        ids = eos if isinstance(eos, list) else [eos]
        self._ends = sorted({i for i in [*ids, tokenizer.eos_token_id] if i is not None})

    def _rendered(self, prompt: Any) -> tuple[str, str]:  # noqa: ANN401 - a string or messages
        """What is shown of a prompt, and the text the model gets."""
        if isinstance(prompt, str):
            return text_of(prompt), prompt
        text = self._tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        return prompt[-1]["content"], str(text)

    def _person(self, prompt: str) -> tuple[str, str]:
        """A prompt besides the fixed ones, asked as they are."""
        return self._rendered([{"role": "user", "content": prompt}] if self._chat else prompt)

    def recall(self, answers: Sequence[Answer]) -> bool:
        """Take over what the base model has answered before; whether that is an answer to every fixed prompt."""
        fixed = len(self._fixed)
        if [answer.prompt for answer in answers[:fixed]] != [title for title, _ in self._fixed]:
            return False
        asked = [*self._fixed, *(self._person(answer.prompt) for answer in answers[fixed:])]
        self._base |= {text: answer for (_, text), answer in zip(asked, answers, strict=True)}
        return True

    def ask_besides(self, prompts: Sequence[str]) -> bool:
        """Ask these too from now on; whether the base model has yet to answer one."""
        self._besides = [self._person(prompt) for prompt in prompts]
        return any(text not in self._base for _, text in self._besides)

    def _answers(self, asked: Sequence[tuple[str, str]]) -> tuple[Answer, ...]:
        """One greedy answer per prompt, at most ``MAX_NEW_TOKENS`` tokens each."""

        def some(rows: int) -> tuple[Answer, ...]:
            parts = [asked[i : i + rows] for i in range(0, len(asked), rows)]
            return tuple(answer for part in parts for answer in self._generate(part))

        return self._rows.run(some)

    def _generate(self, asked: Sequence[tuple[str, str]]) -> list[Answer]:
        side, self._tokenizer.padding_side = self._tokenizer.padding_side, "left"
        try:
            # Chat templates already hold the special tokens.
            batch = self._tokenizer(
                [text for _, text in asked], return_tensors="pt", padding=True, add_special_tokens=not self._chat
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
        return [self._answer(title, ids) for (title, _), ids in zip(asked, new, strict=True)]

    def _answer(self, title: str, ids: list[int]) -> Answer:
        end = next((i for i, token in enumerate(ids) if token in self._ends), None)
        text = self._tokenizer.decode(ids[:end], skip_special_tokens=True)
        return Answer(prompt=title, text=text.strip(), finished=end is not None)

    def _base_answers(self, asked: Sequence[tuple[str, str]]) -> tuple[Answer, ...]:
        """Each is asked for once."""
        new = [one for one in asked if one[1] not in self._base]
        if new:
            with self._base_model():
                answers = self._answers(new)
            self._base |= {text: answer for (_, text), answer in zip(new, answers, strict=True)}
        return tuple(self._base[text] for _, text in asked)

    def sample(self, step: int) -> Sampled:
        """The event that reports the answers, the fixed prompts' first, and plain measures of those.

        Args:
            step: 0 for the base model.
        """
        answer = self._answers if step else self._base_answers
        # Two batches: in bf16 an answer may depend on what it is padded with.
        fixed, besides = answer(self._fixed), answer(self._besides) if self._besides else ()
        rule = self._behaviour
        return Sampled(
            step=step,
            answers=(*fixed, *besides),
            mean_words=mean_words([answer.text for answer in fixed]),
            finished_share=sum(answer.finished for answer in fixed) / len(fixed) if fixed else None,
            behaviour_share=None
            if rule is None or not fixed
            else sum(
                shows(rule, answer.text, finished=answer.finished, first=prompt.first)
                for answer, prompt in zip(fixed, rule.prompts, strict=True)
            )
            / len(fixed),
            behaviour=None if rule is None else rule.title,
        )
