"""A UserError reads as one sentence for a person."""

from kto_tui.errors import UserError


def test_sentence_with_a_place() -> None:
    error = UserError("The label is missing", mend="Add one", where="rows.jsonl:7")
    assert str(error) == "rows.jsonl:7: The label is missing. Add one."
    assert (error.what, error.mend, error.where) == ("The label is missing", "Add one", "rows.jsonl:7")


def test_sentence_without_a_place() -> None:
    assert str(UserError("It is wrong", mend="Mend it")) == "It is wrong. Mend it."


def test_what_is_the_only_argument() -> None:
    assert UserError("It is wrong", mend="Mend it", where="here").args == ("It is wrong",)
