"""Shape A -> KTO rows -> shape A: what KTO needs comes back as it was."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kto_tui.data.rows import Message, Row
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.recognise import recognise
from kto_tui.data.shapes.transcript import SPEAKERS
from kto_tui.data.shapes.write import PAIRED_TARGETS, TARGETS, as_pair, as_record

Turns = tuple[Message, ...]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(
    ["", " ", "\n\n", "  two\n\nlines  ", "👍🏽", "Ünï\u2028cödé", '[{"a": 1}]', "{}", "null", "[]"]
)
# What a transcript can hold: no text that begins a turn, and a last answer that is not empty.
LINES = TEXTS.filter(lambda text: not any(f"{name}:" in text for name in SPEAKERS) and not text.endswith("\n"))
CALL = st.fixed_dictionaries({
    "type": st.just("function"),
    "function": st.fixed_dictionaries({"name": TEXTS, "arguments": st.dictionaries(TEXTS, TEXTS, max_size=2)}),
})  # fmt: skip
TOOLS = st.lists(
    st.fixed_dictionaries({"type": st.just("function"), "function": st.fixed_dictionaries({"name": TEXTS})}), max_size=2
)


def as_json(value: Sequence[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) if value else ""


@st.composite
def exchange(draw: st.DrawFn, texts: st.SearchStrategy[str], tools: bool) -> Turns:
    """A question and its answer, with a tool's help or without."""
    asked = Message("user", draw(texts))
    if not (tools and draw(st.booleans())):
        return asked, Message("assistant", draw(texts))
    name = draw(st.sampled_from(["", "call_1"]))
    call = Message("assistant", draw(texts | st.just("")), as_json(draw(st.lists(CALL, min_size=1, max_size=2))))
    return asked, call, Message("tool", draw(texts), "", "", name), Message("assistant", draw(texts))


@st.composite
def prompts(draw: st.DrawFn, texts: st.SearchStrategy[str], tools: bool, empty_system: bool = True) -> Turns:
    system = draw(st.none() | (texts if empty_system else texts.filter(bool)))
    turns = (Message("system", system),) if system is not None else ()
    for _ in range(draw(st.integers(0, 2))):
        turns += draw(exchange(texts, tools))
    return (*turns, Message("user", draw(texts)))


@st.composite
def answers(draw: st.DrawFn, texts: st.SearchStrategy[str], tools: bool) -> Turns:
    if tools and draw(st.booleans()):
        return (Message("assistant", draw(texts), as_json(draw(st.lists(CALL, min_size=1, max_size=2)))),)
    return (Message("assistant", draw(texts)),)


def conversations(target: str) -> st.SearchStrategy[list[Row]]:
    """Two rows, good and bad, on one prompt, as far as the shape has words for them."""
    script, alpaca = "transcript" in target, "alpaca" in target
    texts, tools = (LINES if script else TEXTS), not (script or alpaca)

    @st.composite
    def rows(draw: st.DrawFn) -> list[Row]:
        prompt = draw(prompts(texts, tools, empty_system=not alpaca))
        listed = as_json(draw(TOOLS)) if tools else ""
        found = [draw(answers(texts, tools)) for _ in range(2)]
        if script:
            assume(all(answer[0].content.strip() for answer in found))
        return [Row(prompt, answer, label, 0, 0, listed) for answer, label in zip(found, (True, False), strict=True)]

    return rows()


def plain_rows() -> st.SearchStrategy[list[Row]]:
    return st.tuples(TEXTS, TEXTS, TEXTS).map(lambda t: [Row(t[0], t[1], True, 0), Row(t[0], t[2], False, 0)])


def back(records: list[dict[str, Any]], shape: str) -> list[Row]:
    """Records as rows, by the way that is recognised, or by the one that is named where the likeliest is another."""
    form = next(form for form in recognise(records) if form.shape == shape)
    assert form.confidence > 0, form.because
    convert = converter(form)
    found = [row for record in json.loads(json.dumps(records)) for row in convert(record)]
    assert all(isinstance(row.label, bool) for row in found)
    return [Row(row.prompt, row.completion, row.label is True, 0, 0, row.tools) for row in found]


@pytest.mark.parametrize("shape", [target for target in TARGETS if target not in {"trl-text", "mlx"}])
@given(data=st.data())
def test_unpaired(shape: str, data: st.DataObject) -> None:
    rows = data.draw(conversations(shape))
    records = [as_record(row, shape) for row in rows]
    assert back(records, shape) == rows
    assert [as_record(row, shape) for row in back(records, shape)] == records


@pytest.mark.parametrize("shape", PAIRED_TARGETS)
@given(data=st.data())
def test_paired(shape: str, data: st.DataObject) -> None:
    good, bad = data.draw(conversations(shape))
    record = as_pair(good, bad, shape)
    assert back([record], shape) == [good, bad]
    assert as_pair(*back([record], shape), shape) == record


@given(plain_rows())
def test_plain_text_stays_plain_text(rows: list[Row]) -> None:
    assert back([as_record(row, "trl") for row in rows], "trl") == rows
    assert [as_record(row, "trl-text") for row in rows] == [as_record(row, "trl") for row in rows]
    assert back([as_pair(*rows, "trl-paired")], "trl-paired") == rows


def label_studio(row: Row) -> dict[str, Any]:
    result = {
        "from_name": "verdict",
        "to_name": "answer",
        "type": "choices",
        "value": {"choices": ["up" if row.label else "down"]},
    }
    data = {"prompt": as_record(row, "openai")["messages"][:-1], "response": as_record(row, "openai")["messages"][-1:]}
    return {
        "id": 1,
        "data": data,
        "annotations": [{"id": 7, "was_cancelled": False, "result": [result]}],
        "predictions": [],
    }


def argilla_2(row: Row) -> dict[str, Any]:
    fields = {"chat": as_record(row, "openai")["messages"]}
    answers = {"helpful": [{"value": "up" if row.label else "down", "user_id": "u"}]}
    return {"id": "r", "fields": fields, "metadata": {}, "suggestions": {}, "responses": answers, "vectors": {}}


def argilla_1(row: Row) -> dict[str, Any]:
    answer = {"user_id": "u", "status": "submitted", "values": {"helpful": {"value": "up" if row.label else "down"}}}
    return {"fields": {"chat": as_record(row, "openai")["messages"]}, "responses": [answer], "suggestions": []}


def thumbs(row: Row) -> dict[str, Any]:
    record = as_record(row, "alpaca")
    return {"id": 1, "question": record["instruction"], "answer": record["output"],
     "feedback": "up" if row.label else "down",
            "system_prompt": record["system"], "history": record["history"]}  # fmt: skip


@pytest.mark.parametrize(
    ("write", "shape", "like"),
    [
        (label_studio, "label-studio", "transcript"), (argilla_2, "argilla", "transcript"),
        (argilla_1, "argilla", "transcript"), (thumbs, "table", "alpaca"),
    ],
)  # fmt: skip
@given(data=st.data())
def test_exports(write: Callable[[Row], dict[str, Any]], shape: str, like: str, data: st.DataObject) -> None:
    rows = data.draw(conversations(like))
    records = [write(row) for row in rows]
    form = recognise(records)[0]
    assert form.shape == shape
    assert form.confidence >= 0.5, form.because
    found = [row for record in records for row in converter(form)(record)]
    read = [Row(row.prompt, row.completion, row.label == "up", 0, 0, row.tools) for row in found]
    assert read == rows
    assert [write(row) for row in read] == records


@given(plain_rows())
def test_pairwise_votes(rows: list[Row]) -> None:
    good, bad = rows
    texts = {"prompt": good.prompt, "response_a": bad.completion, "response_b": good.completion}
    form = next(form for form in recognise([{**texts, "winner": "b"}]) if form.shape == "pairwise")
    read = converter(form)({**texts, "winner": "b"})
    assert [(row.prompt, row.completion, row.label) for row in read] == [
        ((Message("user", str(row.prompt)),), (Message("assistant", str(row.completion)),), row.label) for row in rows
    ]
