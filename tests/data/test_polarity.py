"""Which labels mean good: never a guess that nobody confirmed, however it is asked for."""

import json
from pathlib import Path
from typing import Any

import pytest

from kto_tui.choices import DataChoices
from kto_tui.data.sources import open_source
from kto_tui.errors import UserError


def file_of(folder: Path, name: str, *values: object) -> str:
    """A file with one row for each value of the column ``name``."""
    rows = [{"prompt": f"What is {i}?", "answer": f"It is {i}.", name: value} for i, value in enumerate(values)]
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(file)


def labels(data: str, **choices: Any) -> list[bool]:
    return [row.label for row in open_source(data, choices=DataChoices(**choices)).dataset.rows]


def complaint(data: str, **choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        labels(data, **choices)
    return str(caught.value)


@pytest.mark.parametrize(
    ("name", "values", "good", "bad"),
    [
        ("thumbs_down", (True, False), "false", "true"),
        ("disliked", (1, 0), "0", "1"),
        ("user_downvote", ("yes", "no"), "no", "yes"),
        ("flagged", (True, False), "true", "false"),  # who knows; so somebody is asked
        ("not_helpful", ("TRUE", "FALSE"), "true", "false"),
    ],
)
def test_what_a_column_is_called_decides_whether_true_is_plainly_good(
    tmp_path: Path, name: str, values: tuple[object, ...], good: str, bad: str
) -> None:
    data = file_of(tmp_path, name, *values)
    columns = {"prompt": "prompt", "answer": "completion", name: "label"}
    told = complaint(data, columns=columns)
    assert "Nobody has confirmed" in told
    assert f'good = ["{good}"] and bad = ["{bad}"]' in told
    assert labels(data, columns=columns, good=(bad,), bad=(good,)) == [good != str(v).lower() for v in values]


@pytest.mark.parametrize("name", ["label", "kto_tag", "liked", "was it helpful?", "Rating (0-1)", "Score [1 to 5]"])
def test_true_of_a_label_is_good(tmp_path: Path, name: str) -> None:
    data = file_of(tmp_path, name, True, False)
    assert labels(data, columns={"prompt": "prompt", "answer": "completion", name: "label"}) == [True, False]


def test_a_threshold_confirms_ratings_and_not_words(tmp_path: Path) -> None:
    assert "Nobody has confirmed" in complaint(file_of(tmp_path, "label", "up", "down"), threshold=4)
    assert labels(file_of(tmp_path, "label", 4, 3), threshold=4) == [True, False]


def test_stars_are_offered_as_they_were_read(tmp_path: Path) -> None:
    assert 'good = ["5"] and bad = ["1"]' in complaint(file_of(tmp_path, "label", 5, 3, 1))


def test_true_and_one_are_two_values(tmp_path: Path) -> None:
    data = file_of(tmp_path, "label", True, False, 1, 0, True, False)
    assert "'1'" in complaint(data) or "1, which" in complaint(data)
    assert labels(data, good=("true", "1"), bad=("false", "0")) == [True, False] * 3


def test_no_value_is_both(tmp_path: Path) -> None:
    assert "'up' is said to be both good and bad" in complaint(
        file_of(tmp_path, "label", "up", "down"), good=("Up",), bad=("up ", "down")
    )
