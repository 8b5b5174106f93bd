"""From records to judged answers: what each notation means, and what is refused in which words."""

import json
import timeit
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data.rows import Message, text_of
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.form import RawRow, RowProblemError
from kto_tui.data.shapes.recognise import choose, recognise
from kto_tui.data.shapes.shape import SHAPES

Record = dict[str, Any]
USER, BOT = {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}
HUMAN, GPT = {"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}
TOOL = {"type": "function", "function": {"name": "clock", "parameters": {}}}
CALL = {"type": "function", "function": {"name": "clock", "arguments": {"zone": "UTC"}}}
CALLED = '[{"type":"function","function":{"name":"clock","arguments":{"zone":"UTC"}}}]'
CHAT = {"messages": [USER, BOT], "label": True}
PAIR = {"prompt": [USER], "chosen": [BOT], "rejected": [{**BOT, "content": "No"}]}


def rows_of(record: Record, like: Record | None = None) -> tuple[RawRow, ...]:
    return converter(recognise([like or record])[0])(record)


def script(row: RawRow) -> str:
    """Prompt and answer for people, a bar between them."""
    return f"{text_of(row.prompt)} | {text_of(row.completion)}".replace("\n", " / ")


PLAIN = "user: Hi | assistant: Hello"


@pytest.mark.parametrize(
    ("record", "wanted"),
    [
        ({"prompt": "Hi", "completion": "Hello", "label": True}, "Hi | Hello"),
        ({"prompt": "[1] Hi", "completion": "[{a}]", "label": True}, "[1] Hi | [{a}]"),
        ({"prompt": [USER], "completion": [BOT], "label": True}, PLAIN),
        ({"prompt": json.dumps([USER]), "completion": json.dumps([BOT], indent=1), "label": "true"}, PLAIN),
        ({"prompt": [USER], "completion": "Hello", "label": True}, PLAIN),
        ({"prompt": [USER], "completion": [USER, BOT], "label": True}, PLAIN),
        ({"prompt": "Hi", "completion": "Hello", "label": True, "system": "Be kind"},
         "system: Be kind / user: Hi | assistant: Hello"),
        ({"prompt": "Hi", "completion": "Hello", "label": True, "system": None}, PLAIN),
        (CHAT, PLAIN),
        ({"messages": json.dumps([USER, BOT]), "label": "1"}, PLAIN),
        ({"messages": [{**USER, "weight": 0}, {**BOT, "weight": 1}], "label": 1}, PLAIN),
        ({"messages": [{**USER, "name": None, "tool_calls": None}, {**BOT, "name": None, "tool_calls": None}],
         "label": 1},
         PLAIN),
        ({"messages": [{"role": "developer", "content": "S"}, USER, BOT, USER, BOT], "label": True},
         "system: S / user: Hi / assistant: Hello / user: Hi | assistant: Hello"),
        ({"messages": [USER, BOT, BOT], "label": True}, "user: Hi | assistant: Hello / assistant: Hello"),
        ({"messages": [{"role": "User ", "content": [{"type": "text", "text": "H"}, "i"]}, BOT], "label": True}, PLAIN),
        ({"conversations": [HUMAN, GPT], "kto_tag": True}, PLAIN),
        ({"conversations": [USER, BOT], "kto_tag": True}, PLAIN),
        ({"conversations": [HUMAN, GPT], "system": "S", "label": 0}, "system: S / user: Hi | assistant: Hello"),
        ({"conversations": [{"from": "system", "value": "S"}, HUMAN, GPT], "system": "S", "label": 0},
         "system: S / user: Hi | assistant: Hello"),
        ({"conversation": [{"author": "human", "text": "Hi"}, {"author": "bot", "text": "Hello"}], "vote": 1}, PLAIN),
        ({"instruction": "Add", "input": "1 2", "output": "3", "kto_tag": True}, "user: Add / 1 2 | assistant: 3"),
        ({"instruction": "Hi", "input": "", "output": "Hello", "history": [["a", "b"]], "system": "S", "kto_tag": True},
         "system: S / user: a / assistant: b / user: Hi | assistant: Hello"),
        ({"text": "\n\nHuman: Hi\n\nAssistant: Hello", "label": 1}, PLAIN),
        ({"text": "User: Hi\nAssistant: Hello", "label": 1}, PLAIN),
        ({"text": "### Human: Hi\n### Assistant: Hello", "label": 1}, PLAIN),
        ({"prompt": "\n\nHuman: Hi\n\nAssistant:", "completion": " Hello", "label": 1}, PLAIN),
        ({"question": "Hi", "answer": "Hello", "feedback": "up"}, PLAIN),
        ({"Prompt": "Hi", "Bot answer": "Hello", "Thumbs-up": "yes"}, PLAIN),
        ({"request": {"userPrompt": "Hi"}, "response": "Hello", "meta": {"rating": 5}}, PLAIN),
        ({"question": "Hi", "answer": "Hello", "rating": [{"rating": 4}]}, PLAIN),
        ({"instruction": "Hi", "response": "Hello", "quality.responses": ["yes", "no"],
          "quality.responses.status": ["submitted", "discarded"]}, PLAIN),
        ({"fields": {"text": "User: Hi\nAI: Hello"}, "responses": {"good": [{"value": "yes"}]}}, PLAIN),
    ],
)  # fmt: skip
def test_one_row(record: Record, wanted: str) -> None:
    (row,) = rows_of(record)
    assert script(row) == wanted
    assert row.label is not None


@pytest.mark.parametrize(
    ("record", "good", "bad"),
    [
        ({"prompt": "Hi", "chosen": "Hello", "rejected": "No"}, "Hi | Hello", "Hi | No"),
        ({"chosen": "The sky is blue", "rejected": "The sky is black"}, "The sky is |  blue", "The sky is |  black"),
        ({"chosen": "Q: a b\nA: c", "rejected": "Q: a b\nB: d"}, "Q: a b /  | A: c", "Q: a b /  | B: d"),
        (PAIR, PLAIN, "user: Hi | assistant: No"),
        ({"chosen": [USER, BOT], "rejected": [USER, {**BOT, "content": "No"}]}, PLAIN, "user: Hi | assistant: No"),
        ({"chosen": [USER, BOT], "rejected": [USER, BOT]}, PLAIN, PLAIN),
        ({"prompt": "Hi", "chosen": [USER, BOT], "rejected": [USER, {**BOT, "content": "No"}]},
         PLAIN, "user: Hi | assistant: No"),
        ({"prompt": "Hi", "chosen": [{"role": "system", "content": "S"}, USER, BOT],
          "rejected": [{"role": "system", "content": "S"}, USER, BOT]}, f"system: S / {PLAIN}", f"system: S / {PLAIN}"),
        # UltraFeedback: messages repeat the chosen conversation.
        ({"prompt": "Hi", "messages": [USER, BOT], "chosen": [USER, BOT], "rejected": [USER, BOT], "score_chosen": 8.5},
         PLAIN, PLAIN),
        ({"conversations": [HUMAN], "chosen": GPT, "rejected": {"from": "gpt", "value": "No"}},
         PLAIN, "user: Hi | assistant: No"),
        ({"system": "S", "question": "Hi", "chosen": "Hello", "rejected": "No"},
         f"system: S / {PLAIN}", "system: S / user: Hi | assistant: No"),
        ({"instruction": "Hi", "input": "x", "chosen": "Hello", "rejected": "No"},
         "user: Hi / x | assistant: Hello", "user: Hi / x | assistant: No"),
        ({"chosen": "\n\nHuman: Hi\n\nAssistant: Hello", "rejected": "\n\nHuman: Hi\n\nAssistant: No"},
         PLAIN, "user: Hi | assistant: No"),
        ({"prompt": "\n\nHuman: Hi\n\nAssistant:", "response": " Hello", "chosen": " Hello", "rejected": " No"},
         PLAIN, "user: Hi | assistant: No"),
        ({"input": {"messages": [USER], "tools": [], "parallel_tool_calls": True}, "preferred_output": [BOT],
          "non_preferred_output": [{**BOT, "content": "No"}]}, PLAIN, "user: Hi | assistant: No"),
        ({"prompt": "Hi", "answer_1": "No", "answer_2": "Hello", "choice": "answer_2"}, PLAIN,
         "user: Hi | assistant: No"),
        ({"conversation_a": [USER, BOT], "conversation_b": [USER, {**BOT, "content": "No"}], "winner": "model_a",
          "model_a": "x", "model_b": "y"}, PLAIN, "user: Hi | assistant: No"),
        ({"data": {"prompt": "Hi", "answer1": "Hello", "answer2": "No"}, "annotations": [{"result": [
            {"from_name": "pw", "type": "pairwise", "value": {"selected": "left"}}]}]}, PLAIN,
             "user: Hi | assistant: No"),
    ],
)  # fmt: skip
def test_pairs_are_two_rows_the_better_first(record: Record, good: str, bad: str) -> None:
    form = recognise([record])[0]
    assert form.paired
    rows = converter(form)(record)
    assert [(script(row), row.label) for row in rows] == [(good, True), (bad, False)]


@pytest.mark.parametrize("tools", [[TOOL], json.dumps([TOOL]), TOOL, [{**TOOL, "strict": None}]])
def test_tools_are_kept_as_json_text(tools: object) -> None:
    wanted = json.dumps([TOOL], separators=(",", ":"))
    for record in (
        {"prompt": "Hi", "completion": "Hello", "label": True, "tools": tools},
        {**CHAT, "tools": tools}, {**PAIR, "tools": tools}, {"conversations": [HUMAN, GPT], "label": 1, "tools": tools},
    ):  # fmt: skip
        assert {row.tools for row in rows_of(record)} == {wanted}


@pytest.mark.parametrize("tools", [None, "", [], "[]", "null"])
def test_no_tools(tools: object) -> None:
    assert rows_of({**CHAT, "tools": tools}, {**CHAT, "tools": [TOOL]})[0].tools == ""


@pytest.mark.parametrize(
    "called",
    [
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "assistant", "tool_calls": json.dumps([CALL])},
        {"role": "assistant", "content": "", "function_call": CALL["function"]},
        {"from": "function_call", "value": json.dumps(CALL["function"])},
        {"from": "function_call", "value": json.dumps([CALL["function"]])},
    ],
)
@pytest.mark.parametrize(
    "result",
    [{"role": "tool", "content": "12"}, {"role": "function", "content": "12"}, {"from": "observation", "value": "12"}],
)
def test_calls_of_tools(called: Record, result: Record) -> None:
    (row,) = rows_of({"messages": [USER, called, result, BOT], "label": True})
    assert row.prompt[1:] == (Message("assistant", "", CALLED), Message("tool", "12"))
    assert rows_of({"messages": [USER, called], "label": True})[0].completion == (Message("assistant", "", CALLED),)


@pytest.mark.parametrize(
    ("like", "change", "kind", "words"),
    [
        (CHAT, {"messages": [USER]}, "roles", "'messages' ends with a turn by the user"),
        (CHAT, {"messages": []}, "roles", "holds no turn"),
        (CHAT, {"messages": None}, "roles", "holds no turn"),
        (CHAT, {"messages": [BOT]}, "roles", "no turn before the assistant's answer"),
        (CHAT, {"messages": [{"role": "system", "content": "S"}, BOT]}, "roles", "no turn by the user"),
        (CHAT, {"messages": [USER, {"role": "system", "content": "S"}, BOT]},
         "roles", "system prompt after other turns"),
        (CHAT, {"messages": [USER, {"role": "tool", "content": "1"}, BOT]},
         "roles", "tool's result that follows a turn by the user"),
        (CHAT, {"messages": [USER, {"role": "alien", "content": "1"}]}, "roles", "'alien'"),
        (CHAT, {"messages": [USER, {"content": "1"}]}, "unreadable", "does not say whose it is"),
        (CHAT, {"messages": [USER, "Hello"]}, "unreadable", "'messages' holds text, not a message"),
        (CHAT, {"messages": [USER, {**BOT, "content": 5}]}, "unreadable", "'messages' holds a number"),
        (CHAT, {"messages": [{**USER, "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, BOT]},
         "unreadable", "'image_url'; only text"),
        (CHAT, {"messages": [{**USER, "content": [{"type": "input_audio"}]}, BOT]},
         "unreadable", "only text is trained"),
        (CHAT, {"messages": 5}, "unreadable", "'messages' holds a number, not messages"),
        (CHAT, {"messages": "said nothing"}, "unreadable", "'messages' holds text that is no JSON"),
        (CHAT, {"messages": [USER, {"from": "function_call", "value": "now()"}]},
         "unreadable", "no JSON of calls of tools"),
        (CHAT, {"label": {"by": "me"}}, "unreadable", "'label' holds an object, not a label"),
        ({**CHAT, "tools": [TOOL]}, {"tools": "a clock"}, "unreadable", "'tools' holds text that is no JSON"),
        ({**CHAT, "tools": [TOOL]}, {"tools": [5]}, "unreadable", "'tools' holds a list, not a list of tools"),
        ({**CHAT, "system": "S"}, {"messages": [{"role": "system", "content": "T"}, USER, BOT]},
         "roles", "different system prompts"),
        ({**CHAT, "system": "S"}, {"system": 5}, "unreadable", "'system' holds a number"),
        ({"prompt": "Hi", "completion": "Hello", "label": 1}, {"completion": 5},
         "unreadable", "'completion' holds a number"),
        ({"prompt": "Hi", "completion": "Hello", "label": 1}, {"completion": [USER]},
         "roles", "'completion' ends with a turn by the user"),
        ({"prompt": [USER], "completion": [BOT], "label": 1}, {"completion": [BOT, USER, BOT]},
         "roles", "inside or after the answer"),
        (PAIR, {"prompt": "Bye", "chosen": [USER, BOT]}, "roles", "does not begin with the prompt beside it"),
        ({"chosen": [USER, BOT], "rejected": [USER, BOT]}, {"rejected": [USER, BOT, USER, BOT]},
         "roles", "differ before their last answers"),
        ({"prompt": "Hi", "answer_1": "a", "answer_2": "b", "choice": 1}, {"choice": "tie"},
         "unreadable", "neither answer is better"),
        ({"prompt": "Hi", "answer_1": "a", "answer_2": "b", "choice": 1}, {"choice": None},
         "unreadable", "neither answer is better"),
        ({"instruction": "a", "input": "b", "output": "c", "kto_tag": 1}, {"input": 5},
         "unreadable", "'input' holds a number"),
        ({"instruction": "a", "output": "c", "history": [["a", "b"]], "kto_tag": 1}, {"history": [["a"]]},
         "unreadable", "pairs of two texts"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(like: Record, change: Record, kind: str, words: str) -> None:
    with pytest.raises(RowProblemError) as caught:
        rows_of({**like, **change}, like)
    assert caught.value.kind == kind
    assert words in caught.value.text
    assert "\n" not in caught.value.text


@pytest.mark.parametrize("empty", [None, "", "  "])
def test_empty_texts_and_missing_labels_are_rows(empty: str | None) -> None:
    trl = {"prompt": "Hi", "completion": "Hello", "label": True}
    (row,) = rows_of({**trl, "completion": empty, "label": empty}, trl)
    assert (row.prompt, row.completion) == ("Hi", empty or "")
    assert row.label == empty
    (row,) = rows_of({"prompt": "Hi"}, trl)
    assert row == RawRow("Hi", "", None)
    (row,) = rows_of({"messages": [{**USER, "content": empty}, {**BOT, "content": empty}]}, CHAT)
    assert (script(row).split(), row.label) == (["user:", "|", "assistant:"], None)
    table = {"question": "Hi", "answer": "Hello", "feedback": "up"}
    (row,) = rows_of({**table, "answer": empty}, table)
    assert (text_of(row.completion).strip(), row.label) == ("assistant:", "up")
    assert [text_of(row.completion) for row in rows_of({**PAIR, "chosen": []}, PAIR)] == ["", "assistant: No"]


def task(*said: str, cancelled: bool = False) -> Record:
    results = [{"from_name": "thumb", "to_name": "r", "type": "choices", "value": {"choices": [one]}} for one in said]
    annotations = [{"was_cancelled": cancelled, "result": [result]} for result in results]
    return {"data": {"prompt": "Hi", "response": "Hello"}, "annotations": annotations}


def test_several_judges_give_a_row_for_each_different_judgement() -> None:
    assert [row.label for row in rows_of(task("up", "up"))] == ["up"]
    assert [row.label for row in rows_of(task("up", "down", "up"))] == ["up", "down"]
    assert [row.label for row in rows_of(task("up", cancelled=True), task("up"))] == [None]
    pair = {"prompt": "Hi", "answer_1": "a", "answer_2": "b", "choice": ["1", "2", "1"]}
    assert [(text_of(row.completion)[-1], row.label) for row in rows_of(pair, {**pair, "choice": "1"})] == [
        ("a", True), ("b", False), ("b", True), ("a", False),
    ]  # fmt: skip


def test_suggestions_of_a_model_are_no_judgements() -> None:
    record = {
        "fields": {"prompt": "Hi", "response": "Hello"},
        "suggestions": {"helpful": {"value": "no", "score": 0.9}},
        "responses": {"helpful": [{"value": "yes", "user_id": "u"}]},
    }
    form = recognise([record])[0]
    assert form.columns["suggestions.helpful"] == "ignore"
    assert converter(form)(record)[0].label == "yes"
    assert converter(form)({**record, "responses": {}})[0].label is None


def test_a_column_without_a_name_is_not_taken_for_one_that_is_missing() -> None:
    record = {"": 0, "prompt": "Hi", "completion": "Hello"}
    assert rows_of(record, {**record, "label": True})[0] == RawRow("Hi", "Hello", None)


def test_text_of_a_table_becomes_a_conversation_unless_trl_is_chosen() -> None:
    record = {"question": "Hi", "answer": "Hello", "feedback": "up"}
    forms = recognise([record])
    choices = DataChoices(shape="trl", columns={"question": "prompt", "answer": "completion", "feedback": "label"})
    assert script(converter(forms[0])(record)[0]) == PLAIN
    assert script(converter(choose(forms, choices))(record)[0]) == "Hi | Hello"


WORDS = ["user", "assistant", "gpt", "\n\nHuman: a\n\nAssistant: b", "Human: x", '[{"role": "user"}]', "left"]
KEYS = ["role", "content", "from", "value", "type", "text", "tool_calls", "messages", "result", "status"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)
OTHERS = (
    "data annotations fields responses suggestions input question answer rating answer1 answer2 winner context history"
)
NAMES = sorted({name for shape in SHAPES.values() for name in shape.own} | {*OTHERS.split(), ""})


@given(st.lists(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6), min_size=1, max_size=4))
def test_whatever_comes_in_rows_or_a_problem_come_out(sample: list[Record]) -> None:
    forms = recognise(sample)
    assert forms
    assert forms[-1].confidence <= forms[0].confidence <= 1
    for form in forms:
        convert = converter(form)
        for record in sample:
            try:
                rows = convert(record)
            except RowProblemError:
                continue
            assert rows
            assert all(isinstance(row.label, bool | int | float | str | None) for row in rows)
            assert all(isinstance(part, str | tuple) for row in rows for part in (row.prompt, row.completion))


def test_deep_nesting_is_a_problem_and_no_crash() -> None:
    deep: object = []
    for _ in range(5000):
        deep = [deep]
    text = "[" * 5000 + "]" * 5000
    for value in (deep, text, {"a": deep}, [{"type": "function", "function": deep}]):
        for name in ("messages", "label", "tools", "system"):
            record = {**CHAT, "tools": [TOOL], "system": "S", name: value}
            if name == "label" and value is text:
                continue  # a label like any other text
            if name == "system" and value is text:
                continue  # the same
            with pytest.raises(RowProblemError):
                rows_of(record, {**CHAT, "tools": [TOOL], "system": "S"})
            assert recognise([record])


@pytest.mark.parametrize(
    ("record", "microseconds"),
    [
        ({"prompt": "Hi", "completion": "Hello", "label": True}, 2),
        (CHAT, 10),
        ({"conversations": [HUMAN, GPT], "kto_tag": True}, 10),
    ],
)
def test_a_row_is_quickly_read(record: Record, microseconds: float) -> None:
    convert = converter(recognise([record])[0])
    # The best of many short tries; five times the bound, since the machines that run the tests are shared.
    assert min(timeit.repeat(lambda: convert(record), number=200, repeat=20)) / 200 < 5 * microseconds / 1e6
