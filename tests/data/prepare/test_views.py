"""What is read from disk when it is asked for equals what was once made wholly in memory, and takes no memory."""

import random
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import overload

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.data.prepare import PreparedRow, Rows, Settings, TokenRow, Window, Windows, longest, prepare
from kto_tui.data.prepare.build import build
from kto_tui.data.prepare.token_file import TokenRows, in_memory, open_tokens, write_tokens
from kto_tui.data.prepare.windows import _desirable_per_window, _window_sizes, pair
from kto_tui.data.rows import Row

TOKENS = st.lists(st.integers(0, 2), max_size=9).map(tuple)  # few values: equal completions are common
KEY = "k"


@st.composite
def any_rows(draw: st.DrawFn) -> list[TokenRow]:
    labels = draw(st.lists(st.booleans(), max_size=50))
    return [
        TokenRow(line, label, draw(TOKENS), draw(TOKENS), draw(st.integers(0, 1)))
        for line, label in enumerate(labels, 1)
    ]


SETTINGS = st.builds(
    Settings,
    max_length=st.integers(1, 14),
    effective_batch=st.integers(2, 9),
    seed=st.integers(0, 99),
    kl=st.booleans(),
    long_rows=st.sampled_from(["cut", "skip"]),
    limit=st.none() | st.integers(1, 40),
)


def in_one_go(rows: list[TokenRow], settings: Settings) -> tuple[Window, ...]:
    """The windows as version 2 of the preparation made them: from whole rows, all at once."""
    limit = settings.max_length
    kept = [row for row in rows if len(row.prompt_ids) < limit and row.completion_ids]
    if settings.long_rows == "skip":
        kept = [row for row in kept if row.length <= limit]
    rng = random.Random(settings.seed)
    pools = {label: [row for row in kept if row.label is label] for label in (True, False)}
    for label in (True, False):
        rng.shuffle(pools[label])
    sizes = _window_sizes(len(kept), settings.effective_batch, 2)
    windows: list[list[TokenRow]] = []
    for size, desirable in zip(sizes, _desirable_per_window(sizes, len(pools[True])), strict=True):
        window = [pools[True].pop() for _ in range(desirable)]
        window += [pools[False].pop() for _ in range(size - desirable)]
        rng.shuffle(window)
        windows.append(sorted(window, key=lambda row: row.length))
    if settings.limit is not None:
        windows = [w for i, w in enumerate(windows) if i == 0 or sum(map(len, windows[: i + 1])) <= settings.limit]
    if settings.kl and windows and len(windows[-1]) == 1:
        windows.pop()
    return tuple(pair(window, max_length=limit, kl=settings.kl) for window in windows)


@given(any_rows(), SETTINGS)
def test_windows_are_those_made_in_one_go(rows: list[TokenRow], settings: Settings) -> None:
    prepared, expected = build(in_memory(rows), settings), in_one_go(rows, settings)
    assert tuple(prepared.windows) == expected
    assert prepared.own == sum(r.kl_completion_ids == r.completion_ids for window in expected for r in window)
    assert prepared.rows == sum(map(len, expected))
    assert prepared.desirable == sum(row.label for window in expected for row in window)


@given(any_rows(), SETTINGS)
def test_rows_without_pairs_are_those_of_the_windows(rows: list[TokenRow], settings: Settings) -> None:
    windows = build(in_memory(rows), settings).windows
    flat = [PreparedRow(r.line, r.label, r.prompt_ids, r.completion_ids) for window in windows for r in window]
    assert list(windows.rows) == flat


@given(any_rows(), SETTINGS)
def test_no_row_is_longer_than_is_said(rows: list[TokenRow], settings: Settings) -> None:
    windows = build(in_memory(rows), settings).windows
    assert longest(tuple(windows)) <= longest(windows) <= settings.max_length


def test_the_longest_of_plain_windows_counts_both_completions() -> None:
    assert longest([(PreparedRow(1, True, (1, 2), (3,), (4, 5)), PreparedRow(2, True, (1,), (2, 3, 4)))]) == 4
    assert longest([]) == 0


# The file


@given(rows=any_rows())
def test_rows_come_back_from_the_file(rows: list[TokenRow], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("file") / "a.tokens"
    written = write_tokens(path, KEY, iter(rows))
    found = open_tokens(path, KEY)
    assert found is not None
    assert list(written) == list(found) == list(in_memory(rows)) == rows


def stored(count: int = 5) -> TokenRows:
    return in_memory(TokenRow(line, line % 2 == 0, (9,) * line, (line, line)) for line in range(1, count + 1))


def test_rows_and_windows_are_sequences() -> None:
    rows = stored()
    windows = Windows(rows, [[4, 0], [1, 2]], max_length=5, kl=True)
    flat = windows.rows
    for sequence in (rows, windows, flat):
        whole: list[object] = list(sequence)
        assert len(whole) == len(sequence)
        assert (sequence[-1], sequence[1:], sequence[::-2]) == (whole[-1], tuple(whole[1:]), tuple(whole[::-2]))
        with pytest.raises(IndexError):
            sequence[len(whole)]
        with pytest.raises(IndexError):
            sequence[-len(whole) - 1]
    assert rows[-1].line == 5
    assert isinstance(flat, Rows)
    assert [row.line for row in flat] == [5, 1, 2, 3]


def test_windows_are_equal_to_what_holds_the_same() -> None:
    windows = Windows(stored(), [[4, 0], [1, 2]], max_length=5, kl=True)
    assert windows == tuple(windows)
    assert windows == list(windows)
    assert windows != tuple(windows)[:1]
    assert windows != Windows(stored(), [[4, 0], [2, 1]], max_length=5, kl=True)
    assert windows != 3


def test_the_rows_of_a_source_are_looked_at_in_order_only(tmp_path: Path) -> None:
    class Once(Sequence[Row]):
        """Rows that can only be walked through, and tell how often they were."""

        def __init__(self) -> None:
            self.walks = 0

        def __len__(self) -> int:
            return 9

        def __iter__(self) -> Iterator[Row]:
            self.walks += 1
            return (Row("p" * n, "a", n % 2 == 0, n) for n in range(1, 10))

        @overload
        def __getitem__(self, index: int) -> Row: ...
        @overload
        def __getitem__(self, index: slice) -> Sequence[Row]: ...
        def __getitem__(self, index: int | slice) -> Row | Sequence[Row]:
            raise AssertionError(index)

    rows, settings = Once(), Settings(max_length=20, effective_batch=4, seed=0)
    first = prepare(rows, Letters(), settings, cache=tmp_path)
    assert (first.rows, rows.walks) == (9, 2), "once for the key, once for the tokens"
    assert prepare(rows, Letters(), settings, cache=tmp_path) == first
    assert rows.walks == 3, "the key only"


class Letters:
    """One token per character: quick."""

    eos_token: str | None = "$"

    def __call__(self, text: str) -> dict[str, list[int]]:
        return {"input_ids": list(text.encode())}

    def apply_chat_template(self, conversation: list[dict[str, object]], **options: object) -> dict[str, list[int]]:
        raise NotImplementedError


MEASURE = """
import resource, sys
from pathlib import Path
from kto_tui.data.prepare import Settings, prepare
from kto_tui.data.rows import Row
from tests.data.prepare.test_views import Letters, Made

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM:")) / 1024

settings = Settings(max_length=200, effective_batch=8, seed=1)
prepare(Made(100), Letters(), settings, cache=Path(sys.argv[1]))
before = resident()
prepared = prepare(Made(200_000), Letters(), settings, cache=Path(sys.argv[1]))
assert prepared.rows == 200_000 and prepared.desirable == 100_000
for window in prepared.windows[:: len(prepared.windows) // 50]:
    assert all(row.completion_ids for row in window)
print(resident() - before)
"""


class Made(Sequence[Row]):
    """Rows that are made when they are asked for."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: int) -> Row:  # type: ignore[override]
        if index >= self._count:
            raise IndexError
        return Row(f"Tell me number {index} in short words", f" It is {index}", index % 2 == 0, index + 1)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_large_set_takes_little_memory(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path)], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 64, "MiB above what 100 rows take"
