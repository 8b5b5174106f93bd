"""Title, tags and note: written whole, refused with a reason, and a way to find the run."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.errors import UserError
from kto_tui.runs.about import (
    NOTE_LENGTH,
    TAG_LENGTH,
    TAGS,
    TITLE_LENGTH,
    About,
    change_about,
    known_about,
    read_about,
    split_tags,
)
from kto_tui.runs.folder import find_run
from tests.runs.made import made_run

BAD_TITLES = ["x" * (TITLE_LENGTH + 1), "two\nlines", "bell\a", "\x1b[2J", "over\u202eride", "last", " last "]
BAD_TAGS = [["a b"], ["a,b"], [""], ["x" * (TAG_LENGTH + 1)], ["\x1b"], [f"t{i}" for i in range(TAGS + 1)]]


def test_each_is_changed_by_itself_and_the_folder_keeps_its_name() -> None:
    run = made_run("bold-fox")
    assert read_about(run.about) == About()
    change_about(run.about, title="  Größer, mit β  ")
    change_about(run.about, tags=("lr", "low", "lr"))
    change_about(run.about, note="first\nsecond  \n\n")
    assert read_about(run.about) == About(title="Größer, mit β", tags=("lr", "low"), note="first\nsecond")
    assert change_about(run.about, title="", tags=()) == About(note="first\nsecond")
    assert run.path.name == "bold-fox"
    assert {path.name for path in run.path.iterdir()} == {"run.toml", "about.toml"}


@given(
    title=st.text(st.characters(categories=["L", "N", "P", "S"]), max_size=TITLE_LENGTH),
    note=st.text(
        st.characters(categories=["L", "N", "P", "S", "Zs"], exclude_characters="\x1c\x1d\x1e\x85\u2028\u2029")
    ),
)
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, title: str, note: str) -> None:
    path = tmp_path_factory.mktemp("home") / "run" / "about.toml"
    path.parent.mkdir()
    try:
        written = change_about(path, title=title, note=note)
    except UserError:
        assert title == "last" or not note.isprintable() or len(note) > NOTE_LENGTH
    else:
        assert read_about(path) == written
        assert written.title == title


@pytest.mark.parametrize("title", BAD_TITLES)
def test_titles_that_cannot_be(title: str) -> None:
    run = made_run("bold-fox")
    with pytest.raises(UserError):
        change_about(run.about, title=title)
    assert not run.about.exists()


@pytest.mark.parametrize("tags", BAD_TAGS)
def test_tags_that_cannot_be(tags: list[str]) -> None:
    with pytest.raises(UserError):
        change_about(made_run("bold-fox").about, tags=tags)


@pytest.mark.parametrize("note", ["x" * (NOTE_LENGTH + 1), "a\x1b[31m", "x\n" * NOTE_LENGTH])
def test_notes_that_cannot_be(note: str) -> None:
    with pytest.raises(UserError):
        change_about(made_run("bold-fox").about, note=note)


def test_tags_as_people_type_them() -> None:
    assert split_tags(" lr, low  beta,lr ") == ("lr", "low", "beta")
    assert split_tags("") == ()


@pytest.mark.parametrize("text", ["title = 3", "title = ", 'colour = "red"', 'title = "a\\u0007"', "\ufffd\x00"])
def test_a_damaged_file_says_nothing_in_lists_and_is_not_written_over(text: str) -> None:
    run = made_run("bold-fox")
    run.about.write_text(text, encoding="utf-8")
    assert known_about(run.about) == About()
    with pytest.raises(UserError, match=r"about\.toml"):
        change_about(run.about, note="new")
    assert run.about.read_text(encoding="utf-8") == text


def test_a_run_is_found_by_its_title() -> None:
    fox, owl, cat = made_run("bold-fox"), made_run("calm-owl"), made_run("wise-cat")
    change_about(fox.about, title="Polite answers")
    change_about(owl.about, title="Politer")
    for text in ("Polite answers", "polite a", "bold", "bold-fox"):
        assert find_run(text).id == "bold-fox", text
    with pytest.raises(UserError, match="Several runs begin with 'pol'"):
        find_run("pol")
    change_about(cat.about, title="bold")
    assert find_run("bold").id == "wise-cat", "a whole title before the beginning of an id"
    with pytest.raises(UserError, match="There is no run called 'zebra'"):
        find_run("zebra")


@pytest.mark.parametrize("title", ["calm-owl", "CALM-OWL", "Other", "other"])
def test_no_two_runs_have_the_same_name(title: str) -> None:
    change_about(made_run("calm-owl").about, title="Other")
    with pytest.raises(UserError, match="The run calm-owl is already called"):
        change_about(made_run("bold-fox").about, title=title)


def test_a_title_may_be_given_again_to_its_own_run() -> None:
    run = made_run("bold-fox")
    change_about(run.about, title="Other")
    assert change_about(run.about, title="Other").title == "Other"


def test_a_disk_that_cannot_be_written_is_told(home: Path) -> None:
    with pytest.raises(UserError, match="cannot be written"):
        change_about(home / "gone" / "about.toml", note="n")
