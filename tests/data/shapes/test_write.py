"""Records for other trainers: exactly what they look like, and what they cannot say."""

import pytest

from kto_tui.data.rows import Message, Row
from kto_tui.data.shapes.write import PAIRED_TARGETS, TARGETS, as_pair, as_record
from kto_tui.errors import UserError

ASKED, SAID = Message("user", "Hi"), Message("assistant", "Hello")
TEXT = Row("Hi", "Hello", True, 1)
CHAT = Row((Message("system", "S"), ASKED), (SAID,), True, 1, tools='[{"name":"clock"}]')
CALL = Message("assistant", "", '[{"type":"function","function":{"name":"clock","arguments":{}}}]')
HELPED = Row((ASKED, CALL, Message("tool", "12"), ASKED), (SAID,), True, 1)
USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}


@pytest.mark.parametrize(
    ("row", "target", "wanted"),
    [
        (TEXT, "trl", {"prompt": "Hi", "completion": "Hello", "label": True}),
        (TEXT, "trl-text", {"prompt": "Hi", "completion": "Hello", "label": True}),
        (Row((ASKED,), (SAID,), False, 1), "trl-text", {"prompt": "Hi", "completion": "Hello", "label": False}),
        (TEXT, "mlx", {"messages": [USER, BOT]}),
        (TEXT, "openai", {"messages": [USER, BOT], "label": True}),
        (TEXT, "sharegpt", {"conversations": [HUMAN, GPT], "label": True}),
        (TEXT, "alpaca", {"instruction": "Hi", "input": "", "system": "", "history": [], "output": "Hello",
         "kto_tag": True}),
        (TEXT, "transcript", {"text": "\n\nHuman: Hi\n\nAssistant: Hello", "label": True}),
        (CHAT, "trl", {"prompt": [{"role": "system", "content": "S"}, USER], "completion": [BOT], "label": True,
                       "tools": '[{"name":"clock"}]'}),
        (CHAT, "mlx", {"messages": [{"role": "system", "content": "S"}, USER, BOT], "tools": [{"name": "clock"}]}),
        (CHAT, "sharegpt", {"conversations": [HUMAN, GPT], "label": True, "system": "S",
         "tools": '[{"name":"clock"}]'}),
        (HELPED, "sharegpt", {"conversations": [
            HUMAN, {"from": "function_call", "value": '{"name": "clock", "arguments": {}}'},
            {"from": "observation", "value": "12"}, HUMAN, GPT], "label": True}),
    ],
)  # fmt: skip
def test_records(row: Row, target: str, wanted: dict[str, object]) -> None:
    assert as_record(row, target) == wanted


PREFILLED = Row((ASKED, SAID), (SAID,), True, 1)


@pytest.mark.parametrize(
    ("row", "target", "words"),
    [
        (CHAT, "trl-text", "as plain text"),
        (CHAT, "alpaca", "Alpaca has only"),
        (CHAT, "transcript", "has no tools"),
        (HELPED, "trl-text", "as plain text"),
        (HELPED, "alpaca", "Alpaca has only"),
        (HELPED, "transcript", "looks like several"),
        (Row((ASKED,), (CALL,), True, 1), "alpaca", "calls tools"),
        (Row((ASKED, SAID, ASKED), (SAID,), True, 1), "trl-text", "several turns"),
        *((PREFILLED, target, "where the judged answer") for target in ("openai", "sharegpt", "transcript")),
        (Row((ASKED,), (CALL, Message("tool", "1"), SAID), True, 1), "openai", "where the judged answer"),
        (Row((), (SAID,), True, 1), "sharegpt", "where the judged answer"),
        (Row((), (SAID,), True, 1), "alpaca", "Alpaca has only"),
        (Row((), (SAID,), True, 1), "trl-text", "as plain text"),
        (Row("a\n\nAssistant: b", "c", True, 1), "transcript", "looks like several"),
        (TEXT, "parquet", "no target 'parquet'. Choose one of trl, "),
    ],
)
def test_what_a_shape_cannot_say_is_refused(row: Row, target: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        as_record(row, target)


def test_trl_and_its_pairs_say_everything() -> None:
    for row in (TEXT, CHAT, HELPED, PREFILLED):
        assert as_record(row, TARGETS[0])["label"] is True
        assert as_pair(row, Row(row.prompt, row.completion, False, 1, tools=row.tools), PAIRED_TARGETS[0])["chosen"]


def test_mlx_files_are_good_examples_only() -> None:
    with pytest.raises(ValueError, match="undesirable"):
        as_record(Row("Hi", "No", False, 1), "mlx")


def test_a_pair_has_one_prompt_and_both_labels() -> None:
    bad = Row("Hi", "No", False, 1)
    assert as_pair(TEXT, bad, "trl-paired") == {"prompt": "Hi", "chosen": "Hello", "rejected": "No"}
    for wrong in ((bad, TEXT), (TEXT, TEXT), (TEXT, Row("Ho", "No", False, 1))):
        with pytest.raises(ValueError, match="a pair is"):
            as_pair(*wrong, "trl-paired")
    with pytest.raises(UserError, match="no target 'trl'"):
        as_pair(TEXT, bad, "trl")
    long = Row((ASKED,), (SAID, SAID), True, 1), Row((ASKED,), (SAID,), False, 1)
    with pytest.raises(UserError, match="several turns"):
        as_pair(*long, "sharegpt-paired")
