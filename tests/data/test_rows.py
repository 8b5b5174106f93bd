"""Reading rows: good ones as they are, bad ones as one sentence with file and line, never another exception."""

import hashlib
import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.rows import Message, read_rows, require_both_labels, text_of
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


def complaint(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_rows(path)
    return str(caught.value)


def test_plain_rows(tmp_path: Path) -> None:
    dataset = read_rows(write(tmp_path / "rows.jsonl", PLAIN, {**PLAIN, "label": False, "source": "extra"}))
    assert [(row.prompt, row.completion, row.label, row.line) for row in dataset.rows] == [
        ("Why?", " Because.", True, 1),
        ("Why?", " Because.", False, 2),
    ]
    assert (dataset.desirable, dataset.undesirable) == (1, 1)
    assert require_both_labels(dataset) is dataset


def test_conversational_rows(tmp_path: Path) -> None:
    row = read_rows(write(tmp_path / "rows.jsonl", CHAT)).rows[0]
    assert row.prompt == (Message("system", "Be brief."), Message("user", "Why?"))
    assert row.completion == (Message("assistant", "Because."),)
    assert text_of(row.prompt) == "system: Be brief.\nuser: Why?"
    assert text_of("Why?") == "Why?"


def test_prompt_keys_tell_prompts_apart(tmp_path: Path) -> None:
    other = {**CHAT, "prompt": [{"role": "user", "content": "Be brief.\nuser: Why?"}]}
    rows = read_rows(write(tmp_path / "rows.jsonl", CHAT, {**CHAT, "label": True}, other)).rows
    assert rows[0].prompt_key == rows[1].prompt_key != rows[2].prompt_key


def test_blank_lines_byte_order_mark_and_a_missing_last_newline_are_harmless(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    line = json.dumps(PLAIN).encode()
    file.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\n  \t\n" + line)
    assert [row.line for row in read_rows(file).rows] == [1, 4]


def test_text_is_kept_to_the_letter(tmp_path: Path) -> None:
    odd = {"prompt": " \u2028\x85é😀\x00 ", "completion": "\\n\n", "label": True}
    odd["completion"] += "x"
    for number, ascii_only in enumerate((True, False)):
        file = tmp_path / f"{number}.jsonl"
        file.write_text(json.dumps(odd, ensure_ascii=ascii_only) + "\n", encoding="utf-8")
        row = read_rows(file).rows[0]
        assert (row.prompt, row.completion) == (odd["prompt"], odd["completion"])


def test_the_fingerprint_is_of_the_rows(tmp_path: Path) -> None:
    one = read_rows(write(tmp_path / "one.jsonl", PLAIN, CHAT | {"prompt": "p", "completion": "c"}))
    same = read_rows(write(tmp_path / "two.jsonl", PLAIN, CHAT | {"prompt": "p", "completion": "c"}))
    other = read_rows(write(tmp_path / "three.jsonl", PLAIN))
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert other.fingerprint == hashlib.sha256((tmp_path / "three.jsonl").read_bytes()).hexdigest()


# Files that are no data file


def test_a_missing_file(tmp_path: Path) -> None:
    assert str(tmp_path / "none.jsonl") in complaint(tmp_path / "none.jsonl")


@pytest.mark.parametrize("name", ["x" * 300, "a\0b", "rows.jsonl/inside", "\udcff"])
def test_names_no_file_can_have(tmp_path: Path, name: str) -> None:
    write(tmp_path / "rows.jsonl", PLAIN)
    assert "no such data file" in complaint(tmp_path / name)


def test_a_folder(tmp_path: Path) -> None:
    assert "folder" in complaint(tmp_path)
    assert str(tmp_path) in complaint(tmp_path)


def test_a_file_that_cannot_be_read() -> None:
    unreadable = Path("/proc/self/mem")
    if not unreadable.exists():
        pytest.skip("no /proc here")
    assert f"{unreadable}: The data file cannot be read" in complaint(unreadable)


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \t \r\n  ", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n \n"])
def test_a_file_without_rows(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_bytes(content)
    assert f"{file}: The data file has no rows" in complaint(file)


# Lines that are no row


def row(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in {**PLAIN, **changes}.items() if value is not ...}).encode()


def chat(**changes: object) -> bytes:
    return json.dumps({key: value for key, value in {**CHAT, **changes}.items() if value is not ...}).encode()


ASSISTANT = {"role": "assistant", "content": "Yes."}
USER = {"role": "user", "content": "Yes?"}
BAD_LINES = {
    "no JSON": (b"prompt, completion, label", "not JSON"),
    "cut": (row()[:-5], "not JSON"),
    "two objects": (row() + row(), "not JSON"),
    "single quotes": (b"{'prompt': 'a'}", "not JSON"),
    "NUL bytes": (b"\0" * 20, "not JSON"),
    "NUL byte inside": (b'{"prompt": "a\0b", "completion": "c", "label": true}', "not JSON"),
    "UTF-16": (row().decode().encode("utf-16"), "not JSON"),
    "invalid UTF-8": (b'{"prompt": "\xff", "completion": "c", "label": true}', "not JSON"),
    "invalid UTF-8 in a key": (b'{"\xff": 1, "prompt": "p", "completion": "c", "label": true}', "not JSON"),
    "byte order mark in the middle": (b"\xef\xbb\xbf" + row(), "not JSON"),
    "lone high surrogate": (b'{"prompt": "\\ud800", "completion": "c", "label": true}', "not JSON"),
    "lone low surrogate": (b'{"prompt": "p", "completion": "\\udc00", "label": true}', "not JSON"),
    "NaN": (b'{"prompt": "p", "completion": "c", "label": NaN}', "not JSON"),
    "huge number": (b'{"prompt": "p", "completion": "c", "label": 1e999}', "not JSON"),
    "deep list": (b"[" * 10_000 + b"]" * 10_000, "not JSON"),
    "deep object": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, "not JSON"),
    "deep prompt": (b'{"prompt": ' + b"[" * 900 + b"]" * 900 + b', "completion": "c", "label": true}', "prompt"),
    "list": (b"[1, 2]", "not a JSON object"),
    "string": (b'"prompt"', "not a JSON object"),
    "number": (b"1", "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "empty object": (b"{}", "no prompt"),
    "no prompt": (row(prompt=...), "no prompt"),
    "no completion": (row(completion=...), "no completion"),
    "chosen and rejected": (b'{"prompt": "p", "chosen": "a", "rejected": "b"}', "no completion"),
    "no label": (row(label=...), "no label"),
    "label null": (row(label=None), "no label"),
    "label in quotes": (row(label="true"), 'label is "true"'),
    "label yes": (row(label="yes"), 'label is "yes"'),
    "label 1": (row(label=1), "label is 1"),
    "label 0": (row(label=0), "label is 0"),
    "label 0.0": (row(label=0.0), "label is 0.0"),
    "label list": (row(label=[True]), "label is [true]"),
    "label beyond 64 bits": (row(label=10**30), f"label is {10**30}"),
    "empty prompt": (row(prompt=""), "prompt is empty"),
    "blank prompt": (row(prompt=" \n\t"), "prompt is empty"),
    "empty completion": (row(completion=""), "completion is empty"),
    "prompt null": (row(prompt=None), "prompt is neither"),
    "prompt number": (row(prompt=3), "prompt is neither"),
    "completion list of strings": (row(completion=["a"]), "completion is neither"),
    "text and chat": (row(completion=[ASSISTANT]), "differ in kind"),
    "chat and text": (chat(completion="Yes."), "differ in kind"),
    "no turns": (chat(prompt=[]), "prompt is empty"),
    "blank turns": (chat(prompt=[{"role": "user", "content": " "}]), "prompt is empty"),
    "empty answer": (chat(completion=[{"role": "assistant", "content": ""}]), "completion is empty"),
    "unknown role": (chat(prompt=[{"role": "human", "content": "Hi"}]), "prompt is neither"),
    "no content": (chat(prompt=[{"role": "user"}]), "prompt is neither"),
    "content null": (chat(completion=[{"role": "assistant", "content": None}]), "completion is neither"),
    "last role user": (chat(completion=[ASSISTANT, USER]), "ends with the role 'user'"),
    "only role user": (chat(completion=[USER]), "ends with the role 'user'"),
}


@pytest.mark.parametrize("good", [0, 3])
@pytest.mark.parametrize(("line", "says"), BAD_LINES.values(), ids=BAD_LINES)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, says: str, good: int) -> None:
    file = tmp_path / "rows.jsonl"
    # A blank line in between: the number is the file's, not the row's. A first line may carry a byte order mark.
    file.write_bytes((row() + b"\n") * good + (b"\n" if good else b" \n") + line + b"\n" + row())
    assert complaint(file).startswith(f"{file}:{good + 2}: ")
    assert says in complaint(file)


def test_text_rows_and_chat_rows_do_not_mix(tmp_path: Path) -> None:
    for first, second in ((PLAIN, CHAT), (CHAT, PLAIN)):
        file = write(tmp_path / "rows.jsonl", first, first, second)
        assert complaint(file).startswith(f"{file}:3: The file mixes")


@pytest.mark.parametrize(("label", "missing"), [(True, "false"), (False, "true")])
def test_one_label_only(tmp_path: Path, label: bool, missing: str) -> None:
    dataset = read_rows(write(tmp_path / "rows.jsonl", *[{**PLAIN, "label": label}] * 3))
    with pytest.raises(UserError) as caught:
        require_both_labels(dataset)
    assert "All 3 rows are labelled" in str(caught.value)
    assert f"labelled {missing}" in caught.value.mend
    assert str(dataset.path) in str(caught.value)


# Whatever a file holds


def check_outcome(path: Path) -> None:
    """Either sound rows or a sentence naming the file; any other exception fails the test."""
    try:
        dataset = read_rows(path)
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
    found = read_rows(write(scratch, *rows)).rows
    assert [{"prompt": row.prompt, "completion": row.completion, "label": row.label} for row in found] == rows


# Sources


def test_the_starter_source() -> None:
    source = open_source(STARTER)
    assert source.dataset.path == starter_folder() / "train.jsonl"
    assert source.heldout is not None
    assert source.behaviour is not None
    assert require_both_labels(source.dataset) is source.dataset


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
