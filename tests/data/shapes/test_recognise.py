"""Which shape a sample has, how sure that is, and what a person may make of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices, Role
from kto_tui.data.shapes.convert import converter
from kto_tui.data.shapes.form import RowProblemError
from kto_tui.data.shapes.recognise import choose, recognise
from kto_tui.data.shapes.shape import SHAPES
from kto_tui.errors import UserError

Record = dict[str, Any]
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
GPT = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello"}]
THUMBS = {"question": "What is it?", "answer": "That", "feedback": "up"}


@pytest.mark.parametrize(
    ("record", "shape", "least"),
    [
        ({"prompt": "Hi", "completion": "Hello", "label": True}, "trl", 1),
        ({"prompt": CHAT[:1], "completion": CHAT[1:], "label": True, "tools": [], "id": 7}, "trl", 1),
        ({"prompt": "Hi", "chosen": "a", "rejected": "b"}, "trl-paired", 1),
        ({"chosen": CHAT, "rejected": CHAT}, "trl-paired", 1),
        ({"messages": CHAT, "label": True}, "openai", 1),
        ({"messages": CHAT, "feedback": "up"}, "openai", 0.8),
        ({"conversations": GPT, "kto_tag": "true"}, "sharegpt", 1),
        ({"messages": GPT, "label": False, "system": "S"}, "sharegpt", 1),
        ({"conversations": GPT[:1], "chosen": GPT[1], "rejected": GPT[1]}, "sharegpt-paired", 1),
        ({"instruction": "a", "input": "", "output": "b", "kto_tag": True}, "alpaca", 1),
        ({"instruction": "a", "input": "", "chosen": "b", "rejected": "c"}, "alpaca-paired", 1),
        ({"text": "Human: a\n\nAssistant: b", "label": 0}, "transcript", 1),
        ({"chosen": "\n\nHuman: a\n\nAssistant: b", "rejected": "\n\nHuman: a\n\nAssistant: c"}, "transcript-paired",
         1),
        ({"input": {"messages": CHAT[:1]}, "preferred_output": CHAT[1:], "non_preferred_output": CHAT[1:]},
         "openai-preference", 1),
        ({"data": {"prompt": "a", "answer": "b"}, "annotations": [
            {"result": [{"from_name": "t", "type": "rating", "value": {"rating": 4}}]}]}, "label-studio", 0.8),
        ({"fields": {"prompt": "a", "answer": "b"}, "responses": {"q": [{"value": 1}]}}, "argilla", 0.8),
        ({"prompt": "a", "response_a": "b", "response_b": "c", "preference": "A"}, "pairwise", 0.8),
        ({"instruction": "a", "input": "b c", "response": "c", "rating": 5}, "table", 0.8),
        (THUMBS, "table", 0.8),
        ({"question": "a", "answer": "b", "better": "c", "worse": "d"}, "table", 0.8),
        ({"user": "What is it?", "assistant": "It is that", "thumbs_up": 1, "model": "m", "user_id": "u1"}, "table",
         0.8),
    ],
)  # fmt: skip
def test_shapes(record: Record, shape: str, least: float) -> None:
    forms = recognise([record])
    assert forms[0].shape == shape
    assert forms[0].confidence >= least
    assert forms[0].title == SHAPES[shape].title
    assert all(repr(name) in forms[0].because for name, role in forms[0].columns.items() if role != "ignore")
    assert [form.confidence for form in forms] == sorted((form.confidence for form in forms), reverse=True)
    assert len({form.shape for form in forms}) == len(forms)


@pytest.mark.parametrize(
    ("record", "named"),
    [
        ({**THUMBS, "rating": 4}, "'feedback', 'rating' could each be the label"),
        ({**THUMBS, "response": "This"}, "'answer', 'response' could each be the answer"),
        ({**THUMBS, "prompt": "Why?"}, "'question', 'prompt' could each be the prompt"),
        ({"messages": CHAT, "label": 1, "kto_tag": 0}, "'label', 'kto_tag' could each be the label"),
        ({"prompt": "a", "completion": "b", "label": 1, "rating": 5}, "'label', 'rating' could each be the label"),
        ({"prompt": "a", "completion": "b", "label": True, "chosen": "c", "rejected": "d"},
         "single answer with a label"),
        ({"conversations": GPT, "messages": CHAT, "label": True}, "'conversations' could be the conversation as well"),
        ({"question": "a", "answer": "b", "thumbs_up": 1, "thumbs_down": 0},
         "'thumbs_down' may say which answers are bad"),
        ({"chosen": "one two", "rejected": "three four"}, "there is no prompt"),
        ({"messages": str(CHAT), "label": "1"}, "'messages' holds lists in Python's notation: export it as JSON"),
        ({"prompt": str(CHAT[:1]), "completion": "b", "label": "1"}, "'prompt' holds lists in Python's notation"),
    ],
)  # fmt: skip
def test_what_could_be_meant_otherwise_is_never_sure(record: Record, named: str) -> None:
    forms = recognise([record])
    assert named in forms[0].because
    assert all(form.confidence < 0.5 for form in forms)


def test_a_column_of_free_text_or_the_opposite_is_no_label() -> None:
    comment = [{**THUMBS, "feedback": f"I liked answer {number} because of its wit"} for number in range(20)]
    assert recognise(comment)[0].confidence == 0
    both = [{**record, "rating": number % 2} for number, record in enumerate(comment)]
    assert recognise(both)[0].columns["rating"] == "label"
    assert recognise(both)[0].confidence == 0.8
    for name in ("is_bad", "not_helpful", "unhelpful", "dislike"):
        form = recognise([{"question": "a", "answer": "b", name: True}])[0]
        assert form.confidence == 0, name


def test_true_and_false_in_a_shapes_own_column_are_the_label_whatever_else_is_there() -> None:
    form = recognise([{"prompt": "a", "completion": "b", "label": True, "rating": 5, "score": 0.3}])[0]
    assert (form.shape, form.confidence) == ("trl", 1)
    assert form.columns == {
        "prompt": "prompt",
        "completion": "completion",
        "label": "label",
        "rating": "ignore",
        "score": "ignore",
    }


@pytest.mark.parametrize("record", [{"messages": CHAT}, {"conversations": GPT}, {"prompt": "a", "completion": "b"}])
def test_without_a_label_nothing_is_for_kto(record: Record) -> None:
    form = recognise([record])[0]
    assert form.confidence == 0
    assert "label" not in form.columns.values()
    assert "no column says which answers are good" in form.because
    assert converter(form)(record)[0].label is None


def test_the_last_resort_is_a_table_to_be_mapped() -> None:
    sample = [{"q_1": "What is it?", "a_1": "It is that.", "v": "up", "n": number} for number in range(3)]
    (form,) = recognise(sample)
    assert (form.shape, form.confidence) == ("table", 0)
    assert form.columns == {"q_1": "prompt", "a_1": "completion", "v": "label", "n": "ignore"}
    (form,) = recognise([{"x": 1, "y": None}])
    assert set(form.columns) == {"x", "y"}
    with pytest.raises(RowProblemError, match="mapped to the answer"):
        converter(form)({"x": 1})


def test_a_shape_that_reads_hardly_any_record_is_not_meant() -> None:
    broken = [{"messages": CHAT[:1], "label": True}] * 3 + [{"messages": CHAT, "label": True}]
    assert recognise(broken)[0].confidence < 0.5
    assert "does not fit most records: 'messages' ends with a turn by the user" in recognise(broken)[0].because
    assert recognise(broken[2:])[0].confidence == 1


def test_media_that_are_left_out_are_named() -> None:
    assert (
        "'images' cannot be trained and is left out"
        in recognise([{"messages": CHAT, "label": 1, "images": ["a.png"]}])[0].because
    )


def test_every_column_of_the_sample_is_named_and_records_may_differ() -> None:
    sample = [{"prompt": "a", "completion": "b"}, {"label": True}, {"note": None, "prompt": "c", "completion": "d"}]
    form = recognise(sample)[0]
    assert form.shape == "trl"
    assert list(form.columns) == ["prompt", "completion", "label", "note"]


def test_choose_takes_the_likeliest_or_what_is_named() -> None:
    forms = recognise([{"messages": CHAT, "label": True}])
    assert choose(forms, DataChoices()) == forms[0]
    assert choose(forms, DataChoices(shape="sharegpt")).shape == "sharegpt"


def test_choose_maps_columns() -> None:
    sample = [{**THUMBS, "rating": 4, "note": "x"}]
    columns: dict[str, Role] = {"question": "prompt", "answer": "completion", "rating": "label"}
    form = choose(recognise(sample), DataChoices(columns=columns))
    assert (form.shape, form.confidence, form.because) == ("table", 1, "mapped by you")
    assert form.columns == {**columns, "feedback": "ignore", "note": "ignore"}
    assert converter(form)(sample[0])[0].label == 4
    pair = choose(
        recognise(sample), DataChoices(columns={"question": "prompt", "answer": "chosen", "note": "rejected"})
    )
    assert pair.paired
    assert [row.label for row in converter(pair)(sample[0])] == [True, False]


@pytest.mark.parametrize(
    ("columns", "because"),
    [({"question": "prompt"}, "no column is mapped to the answer"), ({"answer": "completion"},
     "no column is mapped to the label")],
)  # fmt: skip
def test_an_unfinished_mapping_says_what_is_missing(columns: dict[str, Role], because: str) -> None:
    form = choose(recognise([THUMBS]), DataChoices(columns=columns))
    assert (form.confidence, form.because) == (0, because)


@pytest.mark.parametrize(
    ("choices", "words"),
    [
        (DataChoices(shape="shargpt"), ["no shape 'shargpt'", "sharegpt"]),
        (DataChoices(shape="openai"), ["do not look like the shape 'openai'", "table"]),
        (DataChoices(columns={"answr": "completion"}), ["no column 'answr'", "'question', 'answer', 'feedback'"]),
        (
            DataChoices(columns={"question": "prompt", "answer": "prompt"}),
            ["'question', 'answer' cannot each be the prompt"],
        ),
    ],
)
def test_wrong_choices_name_what_exists(choices: DataChoices, words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        choose(recognise([THUMBS]), choices)
    assert all(word in str(caught.value) for word in words)


@given(
    st.lists(
        st.dictionaries(st.text(max_size=5), st.none() | st.booleans() | st.text(max_size=5), max_size=5), min_size=1
    )
)
def test_every_sample_has_a_form_that_names_its_columns(sample: list[Record]) -> None:
    names = {name for record in sample for name in record}
    for form in recognise(sample):
        assert set(form.columns) == names
        assert form.because
