"""Opening a source: good rows as they are, bad ones as one sentence with file and line, never another exception."""

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.choices import DataChoices
from kto_tui.data.by_method import require_trainable
from kto_tui.data.rows import Dataset, Message, text_of
from kto_tui.data.sources import STARTER, open_source, starter_folder
from kto_tui.errors import UserError

PLAIN = {"prompt": "Why?", "completion": " Because.", "label": True}
CHAT = {
    "prompt": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}],
    "completion": [{"role": "assistant", "content": "Because."}],
    "label": False,
}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One file that every generated example overwrites."""
    return tmp_path_factory.mktemp("rows") / "rows.jsonl"


def write(path: Path, *rows: object) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(path: Path, **choices: Any) -> Dataset:
    return open_source(str(path), choices=DataChoices(**choices)).dataset


def complaint(path: Path, **choices: Any) -> str:
    with pytest.raises(UserError) as caught:
        read(path, **choices)
    return str(caught.value)


def test_plain_rows(tmp_path: Path) -> None:
    dataset = read(write(tmp_path / "rows.jsonl", PLAIN, {**PLAIN, "label": False, "source": "extra"}))
    assert [(row.prompt, row.completion, row.label, row.line) for row in dataset.rows] == [
        ("Why?", " Because.", True, 1),
        ("Why?", " Because.", False, 2),
    ]
    assert (dataset.desirable, dataset.undesirable) == (1, 1)
    require_trainable("kto", dataset)


def test_conversational_rows(tmp_path: Path) -> None:
    row = read(write(tmp_path / "rows.jsonl", CHAT)).rows[0]
    assert row.prompt == (Message("system", "Be brief."), Message("user", "Why?"))
    assert row.completion == (Message("assistant", "Because."),)
    assert text_of(row.prompt) == "system: Be brief.\nuser: Why?"
    assert text_of("Why?") == "Why?"


def test_prompt_keys_tell_prompts_apart(tmp_path: Path) -> None:
    other = {**CHAT, "prompt": [{"role": "user", "content": "Be brief.\nuser: Why?"}]}
    rows = read(write(tmp_path / "rows.jsonl", CHAT, {**CHAT, "label": True}, other)).rows
    assert rows[0].prompt_key == rows[1].prompt_key != rows[2].prompt_key


def test_blank_lines_byte_order_mark_and_a_missing_last_newline_are_harmless(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    line = json.dumps(PLAIN).encode()
    file.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\n  \t\n" + line)
    assert [row.line for row in read(file).rows] == [1, 4]


def test_text_is_kept_to_the_letter(tmp_path: Path) -> None:
    odd = {"prompt": " \u2028\x85é😀\x00 ", "completion": "\\n\n", "label": True}
    odd["completion"] += "x"
    for number, ascii_only in enumerate((True, False)):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(json.dumps(odd, ensure_ascii=ascii_only) + "\n", encoding="utf-8")
        row = read(file).rows[0]
        assert (row.prompt, row.completion) == (odd["prompt"], odd["completion"])


def test_the_fingerprint_is_of_the_rows(tmp_path: Path) -> None:
    one = read(write(tmp_path / "one.jsonl", PLAIN, CHAT | {"prompt": "p", "completion": "c"}))
    same = read(write(tmp_path / "two.jsonl", PLAIN, CHAT | {"prompt": "p", "completion": "c"}))
    other = read(write(tmp_path / "three.jsonl", PLAIN))
    assert one.fingerprint == same.fingerprint != other.fingerprint


# Files that are no data file


def test_a_missing_file(tmp_path: Path) -> None:
    assert str(tmp_path / "none.jsonl") in complaint(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "rows.jsonl/inside", "\udcff"])
def test_names_no_file_can_have(tmp_path: Path, name: str) -> None:
    write(tmp_path / "rows.jsonl", PLAIN)
    assert "data file" in complaint(tmp_path / name)


def test_a_folder(tmp_path: Path) -> None:
    assert str(tmp_path) in complaint(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \t \r\n  ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n \n"])
def test_a_file_without_rows(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    assert complaint(file).startswith(f"{file}: The file ")


# Lines that are no row


def row(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in {**PLAIN, **changes}.items() if value is not ...}).encode()


def chat(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in {**CHAT, **changes}.items() if value is not ...}).encode()


ASSISTANT = {"role": "assistant", "content": "Yes."}
USER = {"role": "user", "content": "Yes?"}
BAD_LINES = {
    "no JSON": (b"prompt, completion, label", "cannot be read"),
    "cut": (row()[:-5], "cannot be read"),
    "two objects": (row() + row(), "cannot be read"),
    "single quotes": (b"{'prompt': 'a'}", "cannot be read"),
    "NUL bytes": (b"\0" * 20, "U+0000"),
    "invalid UTF-8": (b'{"prompt": "\xff", "completion": "c", "label": true}', "0xFF is not UTF-8"),
    "invalid UTF-8 in a key": (b'{"\xff": 1, "prompt": "p", "completion": "c", "label": true}', "not UTF-8"),
    "NaN": (b'{"prompt": "p", "completion": "c", "label": NaN}', "no label"),
    "huge number": (b'{"prompt": "p", "completion": "c", "label": 1e999}', "no label"),
    "a key twice": (b'{"prompt": "p", "completion": "c", "label": true, "label": false}', "'label' occurs twice"),
    "deep list": (b"[" * 10_000 + b"]" * 10_000, "nested too deeply"),
    "deep object": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "nested too deeply"),
    "deep prompt": (b'{"prompt": ' + b"[" * 900 + b"]" * 900 + b', "completion": "c", "label": true}', "prompt"),
    "list": (b"[1, 2]", "cannot be read"),
    "string": (b'"prompt"', "cannot be read"),
    "number": (b"1", "cannot be read"),
    "null": (b"null", "cannot be read"),
    "no label": (row(label=...), "no label"),
    "label null": (row(label=None), "no label"),
    "label yes among others": (row(label="perhaps"), "'perhaps', which is neither good nor bad"),
    "label beyond 64 bits": (row(label=10**30), "neither good nor bad"),
    "empty prompt": (row(prompt=""), "prompt is empty"),
    "blank prompt": (row(prompt=" \n\t"), "prompt is empty"),
    "no prompt": (row(prompt=...), "prompt"),
    "prompt null": (row(prompt=None), "prompt"),
    "empty completion": (row(completion=""), "completion is empty"),
    "no completion": (row(completion=...), "completion"),
    "prompt number": (row(prompt=3), "prompt"),
    "completion list of strings": (row(completion=["a"]), "completion"),
    "text and chat": (row(completion=[ASSISTANT, USER]), "roles of the messages are wrong"),
    "chat among text": (chat(), "the rows before are text"),
}
BAD_CHATS = {
    "text among chat": (row(), "the rows before are chat messages"),
    "no turns": (chat(prompt=[]), "prompt is empty"),
    "blank turns": (chat(prompt=[{"role": "user", "content": " "}]), "prompt is empty"),
    "empty answer": (chat(completion=[{"role": "assistant", "content": ""}]), "completion is empty"),
    "unknown role": (chat(prompt=[{"role": "judge", "content": "Hi"}]), "judge"),
    "no content": (chat(prompt=[{"role": "user"}]), "prompt"),
    "last role user": (chat(completion=[ASSISTANT, USER]), "roles of the messages are wrong"),
    "only role user": (chat(completion=[USER]), "roles of the messages are wrong"),
}


@pytest.mark.parametrize(
    ("good", "line", "says"),
    [(row(), *case) for case in BAD_LINES.values()] + [(chat(), *case) for case in BAD_CHATS.values()],
    ids=[*BAD_LINES, *BAD_CHATS],
)
def test_a_bad_line_is_named_and_left_out_only_when_that_is_accepted(
    tmp_path: Path, good: bytes, line: bytes, says: str
) -> None:
    file = tmp_path / "rows.jsonl"
    # A blank line in between: the number is the file's, not the row's.
    file.write_bytes((good + b"\n") * 3 + b"\n" + line + b"\n" + good)
    told = complaint(file)
    assert told.startswith(f"{file}:5: ")
    assert says in told
    accepted = re.search(r'fixes = \["(\w+)"\]', told)
    assert accepted
    rows = read(file, fixes=(accepted[1],)).rows
    assert [(row.line, row.number) for row in rows] == [(1, 1), (2, 2), (3, 3), (6, 5)]


def test_labels_nobody_confirmed_are_not_trained_on(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", {**PLAIN, "label": "up"}, {**PLAIN, "label": "down"})
    told = complaint(file)
    assert 'good = ["up"] and bad = ["down"]' in told
    assert [row.label for row in read(file, good=("up",), bad=("down",)).rows] == [True, False]
    assert [row.label for row in read(file, good=("down",), bad=("up",)).rows] == [False, True]


def test_stars_need_a_threshold(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", *[{**PLAIN, "label": stars} for stars in (1, 2, 3, 4, 5)])
    assert "stars" in complaint(file)
    assert [row.label for row in read(file, threshold=3).rows] == [False, False, True, True, True]


def test_rows_can_be_excluded_and_labels_turned_round(tmp_path: Path) -> None:
    file = write(tmp_path / "rows.jsonl", *[{**PLAIN, "prompt": f"p{i}", "label": i % 2 == 0} for i in range(6)])
    whole, changed = read(file), read(file, excluded=(2, 5), flipped=(3, 6))
    assert [(row.number, row.label) for row in changed.rows] == [(1, True), (3, False), (4, False), (6, True)]
    assert changed.desirable == 2
    assert changed.fingerprint != whole.fingerprint
    assert read(file, flipped=(1,)).fingerprint != whole.fingerprint


def test_near_copies_with_the_other_label_are_no_copies(tmp_path: Path) -> None:
    text = "Hold the MODE key for five seconds, then press START and wait until the lamp is green"
    first = {"prompt": "How is the pump reset?", "completion": text, "label": True}
    other, copy = {**first, "completion": f"{text}.", "label": False}, {**first, "completion": f"{text}!"}
    file = write(tmp_path / "rows.jsonl", first, other, copy)
    assert [row.number for row in read(file, fixes=("near_duplicates",)).rows] == [1, 2]


def test_an_unknown_fix_is_named(tmp_path: Path) -> None:
    assert "no fix magic" in complaint(write(tmp_path / "rows.jsonl", PLAIN), fixes=("magic",))


@pytest.mark.parametrize(("label", "missing"), [(True, "false"), (False, "true")])
def test_one_label_only(tmp_path: Path, label: bool, missing: str) -> None:
    dataset = read(write(tmp_path / "rows.jsonl", *[{**PLAIN, "label": label}] * 3))
    with pytest.raises(UserError) as caught:
        require_trainable("kto", dataset)
    assert "All 3 rows are labelled" in str(caught.value)
    assert f"labelled {missing}" in caught.value.mend
    assert str(dataset.path) in str(caught.value)


# Whatever a file holds


def check_outcome(path: Path) -> None:
    """Either sound rows or a sentence naming the file; any other exception fails the test."""
    try:
        dataset = read(path)
    except UserError as error:
        assert str(path) in str(error)  # noqa: PT017 - either outcome is right
        str(error).encode()
        return
    assert dataset.rows
    assert len({isinstance(row.prompt, str) for row in dataset.rows}) == 1
    for found in dataset.rows:
        assert found.label in {True, False}
        assert isinstance(found.prompt, str) == isinstance(found.completion, str)
        assert text_of(found.prompt).strip()
        assert text_of(found.completion).strip()


@given(content=st.binary(max_size=200))
def test_random_bytes(scratch: Path, content: bytes) -> None:
    scratch.write_bytes(content)
    check_outcome(scratch)


@given(
    prefix=st.integers(0, 3), position=st.integers(0, 200), junk=st.binary(min_size=1, max_size=4), cut=st.booleans()
)
def test_damaged_rows(scratch: Path, prefix: int, position: int, junk: bytes, cut: bool) -> None:
    content = (row() + b"\n") * prefix + chat() + b"\n" + row()
    content = content[:position] + junk + (b"" if cut else content[position + len(junk) :])
    scratch.write_bytes(content)
    check_outcome(scratch)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
ANY_JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3), max_leaves=8
)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool", "judge"]), "content": st.text() | ANY_JSON}
    ),
    max_size=3,
)
PARTS = st.text() | TURNS | ANY_JSON
NEARLY_ROWS = st.fixed_dictionaries(
    {}, optional={"prompt": PARTS, "completion": PARTS, "label": st.booleans() | ANY_JSON, "id": ANY_JSON}
)


@given(records=st.lists(ANY_JSON | NEARLY_ROWS, max_size=4), ascii_only=st.booleans())
def test_random_json(scratch: Path, records: list[object], ascii_only: bool) -> None:
    text = "\n".join(json.dumps(record, ensure_ascii=ascii_only) for record in records)
    scratch.write_text(text, encoding="utf-8")
    check_outcome(scratch)


@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                "prompt": st.text(min_size=1).filter(str.strip),
                "completion": st.text(min_size=1).filter(str.strip),
                "label": st.booleans(),
            }
        ),
        min_size=1,
        max_size=5,
    )
)
def test_every_good_row_comes_back(scratch: Path, rows: list[dict[str, object]]) -> None:
    found = read(write(scratch, *rows)).rows
    assert [{"prompt": row.prompt, "completion": row.completion, "label": row.label} for row in found] == rows


# Sources


def test_the_starter_source() -> None:
    source = open_source(STARTER)
    assert source.dataset.path == starter_folder() / "train.jsonl"
    assert source.heldout is not None
    assert source.behaviour is not None
    require_trainable("kto", source.dataset, source.heldout)


def test_a_file_with_its_own_heldout_rows(tmp_path: Path) -> None:
    train, held = write(tmp_path / "train.jsonl", PLAIN), write(tmp_path / "held.jsonl", PLAIN, PLAIN)
    source = open_source(str(train), str(held))
    assert (len(source.dataset.rows), source.behaviour) == (1, None)
    assert source.heldout is not None
    assert len(source.heldout.rows) == 2
    assert open_source(str(train)).heldout is None


def test_a_heldout_file_in_another_form(tmp_path: Path) -> None:
    train, held = write(tmp_path / "train.jsonl", PLAIN), write(tmp_path / "held.jsonl", CHAT)
    with pytest.raises(UserError, match="differ in form") as caught:
        open_source(str(train), str(held))
    assert caught.value.where == str(held)


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path / "rows.jsonl", PLAIN)
    assert len(open_source("~/rows.jsonl", f"~{os.sep}rows.jsonl").dataset.rows) == 1


def test_the_home_of_nobody() -> None:
    with pytest.raises(UserError, match="no such data file"):
        open_source("~no-such-user-here/rows.jsonl")


def test_a_column_that_begins_late_is_found(tmp_path: Path) -> None:
    rated = [{"question": f"What is {i}?", "answer": f"It is {i}.", "feedback": "up"} for i in range(40)]
    late = [{"question": f"And {i}?", "answer": f"That is {i}."} for i in range(400)]
    file = write(tmp_path / "rows.jsonl", *late, *rated, {**rated[0], "feedback": "down"})
    said: dict[str, Any] = {"good": ("up",), "bad": ("down",), "fixes": ("missing_label",)}
    assert len(read(file, **said).rows) == 41
    assert (
        len(read(file, columns={"question": "prompt", "answer": "completion", "feedback": "label"}, **said).rows) == 41
    )


def test_a_file_without_records_says_what_is_wrong_with_its_first_line(tmp_path: Path) -> None:
    file = tmp_path / "rows.json"
    file.write_text('[\n"a", "b"]', encoding="utf-8")
    assert complaint(file).startswith(f"{file}:2: No record can be read: it is text, not an object")


CSV = "Frage;Antwort;Wertung\nWarum nur?;Weil es so ist, Café.;gut\nWann denn?;Nie.;schlecht\n"
OF_THE_CSV: dict[str, Any] = {
    "columns": {"Frage": "prompt", "Antwort": "completion", "Wertung": "label"},
    "good": ("gut",),
    "bad": ("schlecht",),
    "encoding": "cp1252",
}


def test_a_held_out_file_in_another_format_is_read_as_it_is(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_bytes(CSV.encode("cp1252"))
    answer = [{"role": "assistant", "content": "Café."}]
    asked = [{**CHAT, "prompt": [{"role": "user", "content": text}], "completion": answer} for text in ("Was?", "Wo?")]
    heldout = tmp_path / "heldout.jsonl"
    heldout.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in asked), encoding="utf-8")
    source = open_source(str(data), str(heldout), DataChoices(**OF_THE_CSV))
    assert [row.label for row in source.dataset.rows] == [True, False]
    assert source.heldout is not None
    assert [text_of(row.completion) for row in source.heldout.rows] == ["assistant: Café."] * 2
    assert source.heldout.undesirable == 2


def test_the_fix_of_an_overlap_knows_a_held_out_file_in_another_format(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_bytes(CSV.encode("cp1252"))
    heldout = write(tmp_path / "heldout.jsonl", {**CHAT, "prompt": [{"role": "user", "content": "Wann denn?"}]})
    choices = DataChoices(**OF_THE_CSV, fixes=("heldout_overlap",))
    assert [row.number for row in open_source(str(data), str(heldout), choices).dataset.rows] == [1]


def test_no_fix_is_offered_for_held_out_rows(tmp_path: Path) -> None:
    data, heldout = (write(tmp_path / name, PLAIN, {**PLAIN, "label": False}) for name in ("a.jsonl", "b.jsonl"))
    write(heldout, PLAIN, {**PLAIN, "label": "perhaps"}, PLAIN)
    with pytest.raises(UserError, match=r"b\.jsonl:2: .*Mend the held-out file \(only this row\)"):
        open_source(str(data), str(heldout), DataChoices())


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "rows.jsonl", PLAIN, {**PLAIN, "label": False})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="No data file is named"):
        open_source("")
