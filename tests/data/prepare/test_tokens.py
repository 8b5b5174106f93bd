"""Token ids, cuts and KL pairs are those of TRL's own preparation."""

import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from kto_tui.data.prepare import Prepared, Settings, prepare, tokenize_rows
from kto_tui.data.prepare.tokens import messages
from kto_tui.data.rows import Message, Row
from kto_tui.errors import UserError
from tests.tiny import WORDS, make_model

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# TRL itself sets the old name in every KTOConfig.
pytestmark = pytest.mark.filterwarnings("ignore:`gradient_checkpointing` is deprecated:FutureWarning")

Texts = list[tuple[str, str]]
Kind = Callable[[Texts], list[Row]]
BATCH = 4
LONG = 1000
SYSTEM = "{% set messages = [{'role': 'system', 'content': 'dog'}] + messages %}"
THINK = "{% if add_generation_prompt %}<think>\n\n</think>\n{% endif %}"  # gone once an answer follows


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("model"))


@pytest.fixture
def tokenizer(folder: Path) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


TOOLS = '[{"type": "function", "function": {"name": "dog", "parameters": {"type": "object", "properties": {}}}}]'
TOOL_TEMPLATE = (
    "{% if tools %}<|im_start|>system\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.name or '' }} {{ m.tool_call_id or '' }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}{{ c.function.name }} {{ c.function.arguments.items() | list }}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant  \n{% endif %}"
)


def call(name: str, **arguments: object) -> Message:
    calls = [{"id": "7", "type": "function", "function": {"name": name, "arguments": arguments}}]
    return Message("assistant", "", tool_calls=json.dumps(calls))


def words(start: int, count: int) -> str:
    return " ".join(WORDS[(start + 7 * i) % len(WORDS)] for i in range(count))


def texts_of(count: int, *, longest: int = 12) -> Texts:
    """Different prompts and completions; a few of up to ``longest`` words."""
    return [
        (f"{words(i, longest if i % 7 == 3 else 4)} {i}", f" {words(i + 3, longest if i % 5 == 1 else 3)} {i}")
        for i in range(count)
    ]


def text_rows(texts: Texts) -> list[Row]:
    return [Row(prompt, completion, line % 2 == 0, line) for line, (prompt, completion) in enumerate(texts, 1)]


def chat_rows(texts: Texts) -> list[Row]:
    return [
        Row((Message("user", prompt),), (Message("assistant", completion),), line % 3 == 0, line)
        for line, (prompt, completion) in enumerate(texts, 1)
    ]


def as_trl(row: Row) -> dict[str, Any]:
    """``row`` as a data set for TRL has it; tools as JSON text, as TRL advises where their schemas differ."""
    record = {"prompt": plain(row.prompt), "completion": plain(row.completion), "label": row.label, "line": row.line}
    return record | ({"tools": row.tools} if row.tools else {})


def plain(part: str | tuple[Message, ...]) -> str | list[dict[str, Any]]:
    if isinstance(part, str):
        return part
    turns = []
    for turn in part:
        found: dict[str, Any] = {"role": turn.role, "content": turn.content}
        if turn.tool_calls:
            found["tool_calls"] = json.loads(turn.tool_calls)
        if turn.role == "tool":
            found |= {"name": turn.name, "tool_call_id": turn.tool_call_id}
        turns.append(found)
    return turns


def by_trl(
    rows: list[Row], tokenizer: "PreTrainedTokenizerBase", folder: Path, max_length: int, *, kl: bool = True
) -> list[dict[str, Any]]:
    """What ``trl.KTOTrainer`` trains on when it gets ``rows`` in this order, batch by batch."""
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    args = KTOConfig(
        output_dir=str(folder / "out"),
        max_length=max_length,
        per_device_train_batch_size=BATCH,
        report_to="none",
        bf16=False,
    )
    trainer = SimpleNamespace(_tokenizer=tokenizer, calculate_KL=kl, desirable_weight=1.0, undesirable_weight=1.0)
    data = Dataset.from_list([as_trl(row) for row in rows])
    return list(KTOTrainer._prepare_dataset(trainer, data, tokenizer, args, "train"))


def in_window_order(prepared: Prepared, rows: list[Row]) -> list[Row]:
    """``rows`` as the windows have them, those left out in between."""
    order = [row.line for window in prepared.windows for row in window]
    out = [row for row in rows if row.line not in order]
    lines = {row.line: row for row in rows}
    kept = [lines[line] for line in order]
    return kept[:1] + out + kept[1:]


def assert_same(prepared: Prepared, theirs: list[dict[str, Any]], max_length: int) -> None:
    ours = [row for window in prepared.windows for row in window]
    assert [row.line for row in ours] == [row["line"] for row in theirs]
    for our, their in zip(ours, theirs, strict=True):
        prompt, whole = their["prompt_ids"], their["prompt_ids"] + their["completion_ids"]
        assert list(our.prompt_ids) == prompt
        assert [*our.prompt_ids, *our.completion_ids] == whole[:max_length]
        mismatched = prompt + their["KL_completion_ids"]
        assert [*our.prompt_ids, *our.kl_completion_ids] == mismatched[:max_length]


@pytest.mark.parametrize("kind", [chat_rows, text_rows])
def test_ids_and_pairs_are_those_of_trl(kind: Kind, tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    rows = kind(texts_of(22))
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=3))
    assert [len(window) for window in prepared.windows] == [4, 4, 4, 4, 4, 2]
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)


@pytest.mark.parametrize(("kind", "limit"), [(chat_rows, 38), (text_rows, 26)])
def test_a_limit_drops_and_cuts_the_same_rows_as_trl(
    kind: Kind, limit: int, tokenizer: "PreTrainedTokenizerBase", folder: Path
) -> None:
    rows = kind(texts_of(30, longest=24))
    prepared = prepare(rows, tokenizer, Settings(limit, BATCH, seed=3))
    assert prepared.filled
    assert prepared.cut
    assert prepared.rows > 3 * BATCH
    assert len(prepared.windows[-1]) <= BATCH
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, limit), limit)


def test_ids_without_kl_are_those_of_trl(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    rows = chat_rows(texts_of(6))
    theirs = by_trl(rows, tokenizer, folder, LONG, kl=False)
    ours = tokenize_rows(rows, tokenizer)
    assert [(list(row.prompt_ids), list(row.completion_ids)) for row in ours] == [
        (row["prompt_ids"], row["completion_ids"]) for row in theirs
    ]
    assert "KL_completion_ids" not in theirs[0]


def test_conversations_of_many_turns_are_those_of_trl(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    turns = (Message("system", "the dog"), Message("user", "why"), Message("assistant", "no"), Message("user", "how"))
    answer = (Message("assistant", "yes"), Message("user", "day"), Message("assistant", "night"))
    rows = [Row(turns, answer, True, 1), Row(turns[:2], answer[:1], False, 2)]
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=0))
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)


def test_the_end_of_sequence_is_appended_once(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    end = tokenizer.eos_token
    rows = text_rows([("the cat", f" sat{end}"), ("the dog", " ran"), ("why", f" no{end} yes"), ("how", end)])
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=0))
    for row in prepared.windows[0]:
        assert row.completion_ids.count(tokenizer.eos_token_id) == (2 if row.line == 3 else 1)
        assert row.completion_ids[-1] == tokenizer.eos_token_id
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)


def test_without_an_end_of_sequence_none_is_appended(tokenizer: "PreTrainedTokenizerBase") -> None:
    tokenizer.eos_token = None
    (row,) = tokenize_rows(text_rows([("the cat", " sat")]), tokenizer)
    assert tokenizer.decode([*row.prompt_ids, *row.completion_ids]) == "the cat sat"


def test_text_that_merges_across_the_boundary_is_divided_as_by_trl(
    tokenizer: "PreTrainedTokenizerBase", folder: Path
) -> None:
    rows = text_rows([("the ca", "t ran"), ("the d", "og sat"), ("why n", "o")])
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=0))
    assert prepared.prompts_shortened > 0
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)


def test_a_generation_prompt_that_vanishes_shortens_every_prompt_as_in_trl(
    tokenizer: "PreTrainedTokenizerBase", folder: Path
) -> None:
    tokenizer.chat_template += THINK
    rows = chat_rows(texts_of(8))
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=1))
    assert prepared.prompts_shortened == len(rows)
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)


def test_a_template_that_adds_messages_renders_as_in_trl(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    tokenizer.chat_template = SYSTEM + tokenizer.chat_template
    rows = chat_rows(texts_of(4))
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=1))
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)


def test_tools_and_calls_are_rendered_as_by_trl(tokenizer: "PreTrainedTokenizerBase", folder: Path) -> None:
    tokenizer.chat_template = TOOL_TEMPLATE
    # All calls have the same arguments: ``datasets`` gives every row the arguments of any other, as None.
    asked = (Message("user", "why"),)
    answered = Message("tool", "42", name="dog", tool_call_id="7")
    rows = [
        Row(asked, (call("dog", cat=3, on="mat"),), True, 1, tools=TOOLS),
        Row(
            (*asked, call("dog", cat=4, on="mat"), answered),
            (Message("assistant", "yes"),),
            False,
            2,
            tools=TOOLS,
        ),
        Row(
            asked,
            (call("dog", cat=3, on="mat"), answered, Message("assistant", "no")),
            True,
            3,
            tools=TOOLS,
        ),
        Row(asked, (Message("assistant", "night"),), False, 4, tools="[]"),
    ]
    prepared = prepare(rows, tokenizer, Settings(LONG, BATCH, seed=0))
    assert_same(prepared, by_trl(in_window_order(prepared, rows), tokenizer, folder, LONG), LONG)
    text = tokenizer.decode(next(row.prompt_ids for row in prepared.windows[0] if row.line == 2))
    assert TOOLS in text
    assert "dog [('cat', 4), ('on', 'mat')]" in text
    assert "tool dog 7\n42" in text


def test_what_a_message_does_not_have_is_absent() -> None:
    """Templates ask ``'tool_calls' in message``."""
    turns = (Message("user", "why"), call("dog", cat=1), Message("tool", "42", tool_call_id="7"))
    assert [sorted(turn) for turn in messages(turns)] == [
        ["content", "role"],
        ["content", "role", "tool_calls"],
        ["content", "role", "tool_call_id"],
    ]


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{{ raise_exception('System role not supported') }}", "System role not supported"),
        ("{{ messages[0].content + 1 }}", "str"),
        ("{% for %}", "Expected"),
    ],
)
def test_a_row_that_the_template_refuses_is_named(
    template: str, reason: str, tokenizer: "PreTrainedTokenizerBase"
) -> None:
    tokenizer.chat_template = template
    with pytest.raises(UserError, match=f"^line 7: The model's chat template refuses the row .*{reason}"):
        list(tokenize_rows([Row((Message("user", "a"),), (Message("assistant", "b"),), True, 7)], tokenizer))


def test_common_and_lost_tokens_add_up_to_the_prompt(tokenizer: "PreTrainedTokenizerBase") -> None:
    for row in tokenize_rows(text_rows([("the ca", "t ran"), ("the cat", " ran")]), tokenizer):
        prompt = tokenizer("the ca" if row.line == 1 else "the cat")["input_ids"]
        assert len(row.prompt_ids) + row.lost_prompt == len(prompt)
        assert list(row.prompt_ids) == prompt[: len(row.prompt_ids)]
