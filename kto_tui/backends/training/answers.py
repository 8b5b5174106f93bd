"""Greedy answers to fixed prompts and to a person's own, of the base model and of the model as it is now."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from transformers import PreTrainedTokenizerBase

from kto_tui.backends.training.relief import Relieved
from kto_tui.backends.training.rows import PreparedRows
from kto_tui.data.behaviour import Behaviour, mean_words, shows
from kto_tui.data.prepare.tokens import messages
from kto_tui.data.rows import text_of
from kto_tui.data.sources import Source
from kto_tui.runs.events import Adjusted, Answer, Sampled

MAX_NEW_TOKENS = 64


class Sampler:
    """Answers the same prompts each time it is asked, so that answers can be compared across steps.

    Args:
        tokenizer: of the model that is asked.
        prompts: plain strings, or message lists for the chat template.
        behaviour: rule to measure, if the data set has one; the prompts are then its own, in its order.
        generate: the new ids of each rendered text, greedily chosen and at most ``MAX_NEW_TOKENS`` (asked for anew each
            time), by the model as it stands; told whether the tokenizer is to add its special tokens.
        base_model: context in which ``generate`` is that of the base model.
        ends: ids that end an answer.
        told: told of a relief when memory runs out.
        release: gives back what a failed try left.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        prompts: list[Any],
        behaviour: Behaviour | None,
        generate: Callable[[Sequence[str], bool], list[list[int]]],
        base_model: Callable[[], AbstractContextManager[None]],
        ends: Sequence[int],
        told: Callable[[Adjusted], None] = lambda _: None,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        self._tokenizer = tokenizer
        self._behaviour = behaviour
        self._generate = generate
        self._base_model = base_model
        self._ends = frozenset(ends)
        self._chat = not all(isinstance(prompt, str) for prompt in prompts)
        self._fixed = [self._rendered(prompt) for prompt in prompts]
        self._besides: list[tuple[str, str]] = []
        self._base: dict[str, Answer] = {}
        self._rows = Relieved("sample_rows", len(prompts), told, release)

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
            return tuple(answer for part in parts for answer in self._answered(part))

        return self._rows.run(some)

    def _answered(self, asked: Sequence[tuple[str, str]]) -> list[Answer]:
        # Chat templates already hold the special tokens.
        new = self._generate([text for _, text in asked], not self._chat)
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


def fixed_prompts(source: Source, rows: PreparedRows) -> list[Any]:
    """What a ``Sampler`` asks: the data set's own prompts, else the first few held-out ones."""
    if source.behaviour is not None:
        return [[{"role": "user", "content": prompt.text}] for prompt in source.behaviour.prompts]
    return [prompt if isinstance(prompt, str) else messages(prompt) for prompt in rows.sample_prompts]
