"""Every row is trained on or named, and a cache only ever saves time."""

import hashlib
import math
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kto_tui.data.prepare import Prepared, Settings, TokenRow, prepare
from kto_tui.data.prepare import build as build_module
from kto_tui.data.prepare.build import fingerprint, tokens_key
from kto_tui.data.prepare.token_file import KEPT_FILES, LEFT_OVER_SECONDS, in_memory
from kto_tui.data.rows import Message, Row

POLICIES = st.sampled_from(["cut", "skip"])
BASE = Settings(max_length=24, effective_batch=4, seed=1)


class CountingTokenizer:
    """One token per character; counts its calls."""

    eos_token: str | None = "$"

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, text: str) -> dict[str, list[int]]:
        self.calls += 1
        return {"input_ids": [ord(letter) for letter in text]}

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: bool) -> dict[str, list[int]]:
        return self("".join(f"{turn['role'][0]}{turn['content']}" for turn in conversation))


@st.composite
def any_rows(draw: st.DrawFn) -> tuple[TokenRow, ...]:
    labels = draw(st.lists(st.booleans(), max_size=40))
    lengths = st.integers(0, 12)
    return tuple(
        TokenRow(line, label, (9,) * draw(lengths), (line,) * draw(lengths), draw(st.integers(0, 1)))
        for line, label in enumerate(labels, 1)
    )


@st.composite
def any_settings(draw: st.DrawFn) -> Settings:
    return Settings(
        max_length=draw(st.integers(1, 20)),
        effective_batch=draw(st.integers(2, 9)),
        seed=draw(st.integers(0, 99)),
        kl=draw(st.booleans()),
        long_rows=draw(POLICIES),
        ranks=draw(st.integers(1, 2)),
    )


def build(rows: Iterable[TokenRow], settings: Settings) -> Prepared:
    return build_module.build(in_memory(rows), settings)


def lines_of(prepared: Prepared) -> list[int]:
    return [row.line for window in prepared.windows for row in window]


def token_rows(count: int, *, prompt: int = 2, completion: int = 3) -> tuple[TokenRow, ...]:
    return tuple(TokenRow(line, line % 2 == 0, (9,) * prompt, (line,) * completion) for line in range(1, count + 1))


def text_rows(count: int = 6) -> list[Row]:
    return [Row(f"prompt {line}", f" answer {line}", line % 2 == 0, line) for line in range(1, count + 1)]


# Nothing is lost in silence


@given(any_rows(), any_settings())
def test_every_row_is_in_a_window_or_named_once(rows: tuple[TokenRow, ...], settings: Settings) -> None:
    prepared = build(rows, settings)
    out = [line for line, _ in (*prepared.filled, *prepared.skipped)] + list(prepared.empty)
    out += [] if prepared.single is None else [prepared.single]
    assert sorted(lines_of(prepared) + out) == [row.line for row in rows]
    assert (prepared.rows, prepared.dropped) == (len(lines_of(prepared)), len(out))
    assert prepared.desirable == sum(row.label for row in rows if row.line in lines_of(prepared))


@given(any_rows(), any_settings())
def test_every_row_is_left_out_for_its_own_reason(rows: tuple[TokenRow, ...], settings: Settings) -> None:
    prepared = build(rows, settings)
    limit = settings.max_length
    fits = [row for row in rows if len(row.prompt_ids) < limit]
    long = [(row.line, row.length) for row in fits if row.completion_ids and row.length > limit]
    assert prepared.filled == tuple((row.line, len(row.prompt_ids)) for row in rows if row not in fits)
    assert prepared.empty == tuple(row.line for row in fits if not row.completion_ids)
    assert prepared.skipped == (tuple(long) if settings.long_rows == "skip" else ())
    in_windows = set(lines_of(prepared))
    assert prepared.cut == tuple(line for line, _ in long if line in in_windows)
    assert prepared.prompts_shortened == sum(row.lost_prompt for row in rows if row.line in in_windows)


@given(any_rows(), any_settings())
def test_rows_keep_their_ids_up_to_the_limit(rows: tuple[TokenRow, ...], settings: Settings) -> None:
    whole = {row.line: row for row in rows}
    for window in build(rows, settings).windows:
        for row in window:
            source = whole[row.line]
            assert (row.label, row.prompt_ids) == (source.label, source.prompt_ids)
            assert row.completion_ids == source.completion_ids[: settings.max_length - len(row.prompt_ids)]
            assert row.completion_ids
            assert bool(row.kl_completion_ids) == settings.kl


def test_long_rows_are_cut_or_skipped() -> None:
    rows = (*token_rows(4), TokenRow(5, True, (9,) * 2, (5,) * 7), TokenRow(6, False, (9,) * 8, (6,)))
    settings = Settings(max_length=8, effective_batch=8, seed=0)
    cut = build(rows, settings)
    assert (cut.rows, cut.cut, cut.skipped, cut.filled) == (5, (5,), (), ((6, 8),))
    assert [len(row.completion_ids) for row in cut.windows[0] if row.line == 5] == [6]
    skip = build(rows, msgspec.structs.replace(settings, long_rows="skip"))
    assert (skip.rows, skip.cut, skip.skipped, skip.filled) == (4, (), ((5, 9),), ((6, 8),))


def test_a_row_of_exactly_the_limit_is_neither_cut_nor_skipped() -> None:
    for policy in ("cut", "skip"):
        prepared = build(token_rows(4), Settings(max_length=5, effective_batch=4, seed=0, long_rows=policy))
        assert (prepared.rows, prepared.cut, prepared.skipped) == (4, (), ())


def test_one_row_alone_has_no_pair_and_is_named() -> None:
    alone = build(token_rows(1), BASE)
    assert (alone.windows, alone.single, alone.dropped) == ((), 1, 1)
    without_kl = build(token_rows(1), msgspec.structs.replace(BASE, kl=False))
    assert (lines_of(without_kl), without_kl.single) == ([1], None)


def test_rows_left_over_and_rows_that_meet_their_own_answer_are_counted() -> None:
    rows = tuple(TokenRow(line, line % 2 == 0, (1,), (2, 3) if line < 7 else (4, line)) for line in range(1, 10))
    prepared = build(rows, Settings(max_length=9, effective_batch=8, seed=1))
    assert prepared.merged == 1
    assert prepared.own == sum(row.kl_completion_ids == row.completion_ids for row in prepared.windows[0]) >= 3


def test_no_rows_make_no_windows() -> None:
    prepared = build((), BASE)
    assert (prepared.windows, prepared.rows, prepared.desirable, prepared.dropped) == ((), 0, 0, 0)


# Limit and ranks


@given(any_rows(), any_settings(), st.integers(1, 50))
def test_a_limit_takes_the_first_whole_windows(rows: tuple[TokenRow, ...], settings: Settings, limit: int) -> None:
    whole = build(rows, settings)
    some = build(rows, msgspec.structs.replace(settings, limit=limit))
    taken = len(some.windows)
    assert some.windows == whole.windows[:taken]
    assert some.rows <= limit or taken == 1
    assert bool(some.windows) == bool(whole.windows)
    assert taken == len(whole.windows) or some.rows + len(whole.windows[taken]) > limit
    assert some.cut == tuple(line for line in whole.cut if line in lines_of(some))
    assert some.prompts_shortened == sum(row.lost_prompt for row in rows if row.line in lines_of(some))


def test_a_limit_below_one_window_takes_one() -> None:
    rows = token_rows(12, completion=30)
    prepared = build(rows, msgspec.structs.replace(BASE, limit=2))
    assert len(prepared.cut) == prepared.rows == 4


@given(st.integers(1, 60), st.integers(2, 12), st.integers(1, 8))
def test_no_rank_is_left_without_a_row(count: int, size: int, ranks: int) -> None:
    assume(ranks <= min(size, count))
    prepared = build(token_rows(count), Settings(max_length=9, effective_batch=size, seed=0, kl=False, ranks=ranks))
    assert all(len(window) >= ranks for window in prepared.windows)


# Cache


def test_a_second_call_does_not_tokenize(tmp_path: Path) -> None:
    tokenizer, cache = CountingTokenizer(), tmp_path / "deep" / "cache"
    first = prepare(text_rows(), tokenizer, BASE, tokenizer_id="a", cache=cache)
    calls = tokenizer.calls
    assert calls > 0
    assert prepare(text_rows(), tokenizer, BASE, tokenizer_id="a", cache=cache) == first
    assert tokenizer.calls == calls
    assert [path.name for path in cache.iterdir()] == [f"{tokens_key(text_rows(), 'a')}.tokens"]


def test_chat_rows_are_cached_too(tmp_path: Path) -> None:
    tokenizer = CountingTokenizer()
    rows = [
        Row((Message("user", f"why {line}"),), (Message("assistant", f"so {line}"),), line % 2 == 0, line)
        for line in range(1, 5)
    ]
    first = prepare(rows, tokenizer, BASE, cache=tmp_path)
    calls = tokenizer.calls
    assert prepare(rows, tokenizer, BASE, cache=tmp_path) == first
    assert tokenizer.calls == calls


def test_without_a_cache_every_call_tokenizes_and_nothing_is_written(tmp_path: Path) -> None:
    tokenizer = CountingTokenizer()
    first = prepare(text_rows(), tokenizer, BASE)
    calls = tokenizer.calls
    assert prepare(text_rows(), tokenizer, BASE) == first
    assert tokenizer.calls == 2 * calls
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("max_length", 25), ("effective_batch", 3), ("seed", 2), ("kl", False), ("long_rows", "skip"), ("limit", 4)],
)
def test_another_setting_makes_other_windows_of_the_same_tokens(name: str, value: object, tmp_path: Path) -> None:
    tokenizer = CountingTokenizer()
    first = prepare(text_rows(), tokenizer, BASE, cache=tmp_path)
    calls = tokenizer.calls
    changed = msgspec.structs.replace(BASE, **{name: value})
    second = prepare(text_rows(), tokenizer, changed, cache=tmp_path)
    assert tokenizer.calls == calls
    assert second == prepare(text_rows(), CountingTokenizer(), changed)
    assert second.fingerprint != first.fingerprint


def test_another_tokenizer_tokenizes_again(tmp_path: Path) -> None:
    tokenizer = CountingTokenizer()
    first = prepare(text_rows(), tokenizer, BASE, tokenizer_id="a", cache=tmp_path)
    calls = tokenizer.calls
    second = prepare(text_rows(), tokenizer, BASE, tokenizer_id="b", cache=tmp_path)
    assert tokenizer.calls == 2 * calls
    assert second.fingerprint != first.fingerprint


@pytest.mark.parametrize("change", [{"prompt": "x"}, {"completion": "x"}, {"label": True}, {"line": 99}], ids=str)
def test_another_row_tokenizes_again(change: dict[str, object], tmp_path: Path) -> None:
    tokenizer = CountingTokenizer()
    row, *others = text_rows()
    first = prepare([row, *others], tokenizer, BASE, cache=tmp_path)
    calls = tokenizer.calls
    second = prepare([msgspec.structs.replace(row, **change), *others], tokenizer, BASE, cache=tmp_path)
    assert tokenizer.calls == 2 * calls
    assert second.fingerprint != first.fingerprint


def test_fewer_rows_and_another_order_have_keys_of_their_own() -> None:
    rows = text_rows()
    assert len({tokens_key(each, "a") for each in (rows, rows[:-1], rows[::-1])}) == 3


def test_every_setting_is_part_of_the_key() -> None:
    others: list[Settings] = []
    for name in Settings.__struct_fields__:
        value = {"kl": False, "long_rows": "skip"}.get(name, 7)
        others.append(msgspec.structs.replace(BASE, **{name: value}))
    keys = {fingerprint("a", settings) for settings in (BASE, *others)}
    assert len(keys) == len(Settings.__struct_fields__) + 1


def whole_file(content: bytes) -> bytes:
    return hashlib.sha256(content).digest() + content


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda whole: whole[: len(whole) // 2],
    "zeros": lambda whole: bytes(len(whole)),
    "text": lambda _: b"not a cache file",
    "another object": lambda _: msgspec.msgpack.encode({"windows": [[1, 2, 3]]}),
    "longer": lambda whole: whole + b"\x00",
    "not UTF-8": lambda whole: whole[:-1] + b"\xff",
    "nested deeply": lambda _: b"\x81\xa1x" + b"\x91" * 100_000,
    "another program's, short": lambda _: whole_file(b"x"),
    "another program's": lambda _: whole_file(b"x" * 100),
    "a row less than it says": lambda whole: whole_file(whole[36:]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_file_is_made_again(damage: Callable[[bytes], bytes], tmp_path: Path) -> None:
    tokenizer = CountingTokenizer()
    prepare(text_rows(), tokenizer, BASE, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    calls = tokenizer.calls
    assert prepare(text_rows(), tokenizer, BASE, cache=tmp_path) == prepare(text_rows(), CountingTokenizer(), BASE)
    assert tokenizer.calls == 2 * calls
    assert file.read_bytes() == whole


def test_no_damaged_byte_changes_what_is_trained_on(tmp_path: Path) -> None:
    first = prepare(text_rows(2), CountingTokenizer(), BASE)
    prepare(text_rows(2), CountingTokenizer(), BASE, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    wrong = []
    for place in range(0, len(whole), 3):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        if prepare(text_rows(2), CountingTokenizer(), BASE, cache=tmp_path) != first:
            wrong.append(place)
    assert wrong == []


def test_the_result_of_another_key_is_not_taken(tmp_path: Path) -> None:
    prepare(text_rows(), CountingTokenizer(), BASE, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    shutil.copy(file, tmp_path / f"{tokens_key(text_rows(4), '')}.tokens")
    assert prepare(text_rows(4), CountingTokenizer(), BASE, cache=tmp_path).rows == 4


def _under_a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file" / "cache"


def _a_file(folder: Path) -> Path:
    (folder / "file").write_text("")
    return folder / "file"


def _dangling_link(folder: Path) -> Path:
    (folder / "link").symlink_to(folder / "nowhere" / "deep")
    return folder / "link"


def _folder_in_the_way(folder: Path) -> Path:
    (folder / f"{tokens_key(text_rows(), '')}.tokens").mkdir()
    return folder


def _read_only(folder: Path) -> Path:
    folder.chmod(0o555)
    return folder


@pytest.mark.parametrize(
    "place",
    [
        _under_a_file,
        _a_file,
        _dangling_link,
        _folder_in_the_way,
        pytest.param(_read_only, marks=pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")),
    ],
)
def test_a_cache_that_cannot_be_written_does_not_fail(place: Callable[[Path], Path], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    cache = place(folder)
    for _ in range(2):
        prepared = prepare(text_rows(), CountingTokenizer(), BASE, cache=cache)
        assert prepared == prepare(text_rows(), CountingTokenizer(), BASE)
    assert not list(folder.glob(".*"))


def test_a_full_disk_does_not_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert prepare(text_rows(), CountingTokenizer(), BASE, cache=tmp_path).rows == 6
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_program_left_is_removed_and_what_is_still_written_stays(tmp_path: Path) -> None:
    old, new = tmp_path / ".aa.tokens.x1", tmp_path / ".bb.tokens.x2"
    for path in (old, new):
        path.write_bytes(b"half")
    os.utime(old, (0, time.time() - LEFT_OVER_SECONDS - 1))
    prepare(text_rows(), CountingTokenizer(), BASE, cache=tmp_path)
    assert (old.exists(), new.exists()) == (False, True)


def test_the_newest_files_are_kept(tmp_path: Path) -> None:
    tokenizer, names = CountingTokenizer(), []
    for count in range(1, KEPT_FILES + 4):
        prepare(text_rows(count), tokenizer, BASE, cache=tmp_path)
        names.append(f"{tokens_key(text_rows(count), '')}.tokens")
        os.utime(tmp_path / names[-1], (count, count))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names[-KEPT_FILES:])


def test_other_files_in_the_cache_folder_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for count in range(1, KEPT_FILES + 3):
        prepare(text_rows(count), CountingTokenizer(), BASE, cache=tmp_path)
    assert (tmp_path / "notes.txt").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == KEPT_FILES + 1


def test_the_number_of_windows_is_that_of_full_batches() -> None:
    for count in (2, 8, 9, 10, 11, 12):
        windows = build(token_rows(count), BASE).windows
        assert len(windows) == max(1, math.ceil(count / 4) - (count % 4 == 1))
