"""What may be changed while a run trains: names, types, bounds, and what people type."""

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.errors import UserError
from kto_tui.runs.control import Request, Setting
from kto_tui.runs.settings import MOST_CHARACTERS, MOST_PROMPTS, SETTABLE, check_setting, parse_setting


def test_everything_settable_says_what_it_is() -> None:
    assert set(SETTABLE) == {
        "log_every", "eval_every", "sample_every", "save_every", "learning_rate_scale", "stop_after", "sample_prompts",
    }  # fmt: skip
    assert all(one.title and one.type and one.bounds and one.help for one in SETTABLE.values())


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("log_every", "5", 5),
        ("eval_every", " 20 ", 20),
        ("eval_every", "", None),
        ("save_every", "1e2", 100),
        ("learning_rate_scale", "0.1", 0.1),
        ("learning_rate_scale", "10", 10.0),
        ("stop_after", "40", 40),
        ("stop_after", "", None),
        ("sample_prompts", "Why is the sky blue?\n\n What is 2 + 2? \nWhy is the sky blue?",
         ("Why is the sky blue?", "What is 2 + 2?")),
        ("sample_prompts", "", ()),
    ],
)  # fmt: skip
def test_what_people_type(name: str, text: str, value: Setting) -> None:
    assert parse_setting(name, text) == value
    assert type(parse_setting(name, text)) is type(value)


@pytest.mark.parametrize(
    ("name", "text", "part"),
    [
        ("log_every", "0", "at least 1"),
        ("log_every", "", "a whole number"),
        ("log_every", "2.5", "a whole number"),
        ("eval_every", "often", "a whole number"),
        ("learning_rate_scale", "0", "above 0"),
        ("learning_rate_scale", "11", "at most 10"),
        ("learning_rate_scale", "nan", "above 0"),
        ("learning_rate_scale", "", "a number"),
        ("stop_after", "-3", "at least 1"),
        ("beta", "0.2", "log_every"),
        ("sample_prompts", "x" * (MOST_CHARACTERS + 1), str(MOST_CHARACTERS)),
        ("sample_prompts", "\n".join(map(str, range(MOST_PROMPTS + 1))), str(MOST_PROMPTS)),
    ],
)
def test_what_is_refused_is_named_with_its_bounds(name: str, text: str, part: str) -> None:
    with pytest.raises(UserError) as caught:
        parse_setting(name, text)
    assert caught.value.where == name
    assert part in str(caught.value)


@pytest.mark.parametrize("value", [3, "one", [1], True, {"a": 1}])
def test_prompts_are_texts(value: Any) -> None:
    with pytest.raises(UserError, match="texts"):
        check_setting("sample_prompts", value)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()).map(tuple)


@given(st.sampled_from(sorted(SETTABLE)), values)
def test_whatever_is_accepted_travels_through_the_control_file_unchanged(name: str, value: Any) -> None:
    try:
        checked = check_setting(name, value)
    except UserError:
        return
    assert not isinstance(checked, float) or math.isfinite(checked)
    line = msgspec.json.encode(Request(action="set", name=name, value=checked))
    assert check_setting(name, msgspec.json.decode(line, type=Request).value) == checked
