"""Answers by whatever generates: the base model is asked once, ends are found, and few at a time give the same."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from kto_tui.backends.training.answers import Sampler
from kto_tui.backends.training.tokenizer import load_tokenizer
from kto_tui.runs.events import Adjusted
from tests.tiny import make_tokenizer

PROMPTS = ["how many", "which one", "why not"]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerBase:
    return load_tokenizer(make_tokenizer(tmp_path_factory.mktemp("model")))


class Model:
    """Answers "yes", as the base model "no", and ends what is asked as a question."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, room: int = 9) -> None:
        self.tokenizer = tokenizer
        self.room = room
        self.is_base = False
        self.asked: list[tuple[list[str], bool]] = []

    @contextmanager
    def base(self) -> Iterator[None]:
        self.is_base = True
        yield
        self.is_base = False

    def generate(self, texts: Sequence[str], special: bool) -> list[list[int]]:
        if len(texts) > self.room:
            raise RuntimeError("[METAL] out of memory")
        self.asked.append((list(texts), special))
        word: list[int] = self.tokenizer.encode("no" if self.is_base else "yes", add_special_tokens=False)
        end = self.tokenizer.eos_token_id
        return [word + ([end, end] if "why" in text else word) for text in texts]


def sampler(model: Model, prompts: list[Any], told: list[Adjusted] | None = None) -> Sampler:
    ends = [model.tokenizer.eos_token_id]
    released: list[Adjusted] = [] if told is None else told
    return Sampler(model.tokenizer, prompts, None, model.generate, model.base, ends, released.append)


def test_the_base_model_is_asked_once_and_ends_are_found(tokenizer: PreTrainedTokenizerBase) -> None:
    model = Model(tokenizer)
    ask = sampler(model, PROMPTS)
    first, again, tuned = ask.sample(0), ask.sample(0), ask.sample(5)
    assert first == again
    assert [len(texts) for texts, _ in model.asked] == [3, 3]
    assert all(special for _, special in model.asked), "plain text gets the tokenizer's special tokens"
    assert [answer.finished for answer in tuned.answers] == [False, False, True]
    assert first.answers[2].text == "no"
    assert tuned.answers[2].text == "yes"
    assert tuned.finished_share == pytest.approx(1 / 3)


def test_what_was_answered_before_is_not_asked_again(tokenizer: PreTrainedTokenizerBase) -> None:
    known = sampler(Model(tokenizer), PROMPTS).sample(0).answers
    model = Model(tokenizer)
    ask = sampler(model, PROMPTS)
    assert not ask.recall(known[:2])
    assert ask.recall(known)
    assert ask.sample(0).answers == known
    assert model.asked == []
    assert ask.ask_besides(["where to"])
    assert [answer.prompt for answer in ask.sample(0).answers] == [*PROMPTS, "where to"]
    assert not ask.ask_besides(["where to"])
    assert [texts for texts, _ in model.asked] == [["where to"]]


def test_few_at_a_time_answer_the_same(tokenizer: PreTrainedTokenizerBase) -> None:
    told: list[Adjusted] = []
    small = Model(tokenizer, room=1)
    assert sampler(small, PROMPTS, told).sample(3) == sampler(Model(tokenizer), PROMPTS).sample(3)
    assert [(one.name, one.before, one.after) for one in told] == [("sample_rows", 3, 1)]


def test_messages_go_through_the_chat_template_which_holds_the_special_tokens(
    tokenizer: PreTrainedTokenizerBase,
) -> None:
    model = Model(tokenizer)
    messages = [{"role": "user", "content": "how many"}]
    ask = sampler(model, [messages])
    ask.ask_besides(["which one"])
    sampled = ask.sample(2)
    assert [answer.prompt for answer in sampled.answers] == ["how many", "which one"]
    expected = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert model.asked[0] == ([expected], False)
