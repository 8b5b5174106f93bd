"""Windows lose no row, hold both labels, repeat from their seed, and pair every row with another row's answer."""

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from kto_tui.data.prepare import TokenRow, deal, packs
from kto_tui.data.prepare.windows import mix_labels, pair, rotation

SEEDS = st.integers(0, 2**31 - 1)
SIZES = st.integers(2, 12)
RANKS = st.integers(1, 5)
LIMIT = 12
LENGTHS = st.lists(st.integers(1, 8), max_size=60)
TOKENS = st.lists(st.integers(0, 1), min_size=1, max_size=8).map(tuple)  # few values: equal completions are common


@st.composite
def any_rows(draw: st.DrawFn) -> tuple[TokenRow, ...]:
    rarer = st.integers(0, 12)
    desirable, undesirable = draw(st.tuples(rarer, st.integers(0, 80)) | st.tuples(st.integers(0, 80), rarer))
    labels = [True] * desirable + [False] * undesirable
    lengths = st.integers(1, 6)
    return tuple(TokenRow(line, label, (9,) * draw(lengths), (line,)) for line, label in enumerate(labels, 1))


@st.composite
def one_window(draw: st.DrawFn) -> list[TokenRow]:
    completions = draw(st.lists(TOKENS, min_size=1, max_size=10))
    prompts = st.integers(0, LIMIT - 1)
    return [TokenRow(line, True, (9,) * draw(prompts), each) for line, each in enumerate(completions, 1)]


def fixed_rows(count: int = 40) -> tuple[TokenRow, ...]:
    return tuple(TokenRow(line, line % 2 == 0, (9,) * (line % 5), (line,)) for line in range(1, count + 1))


def mixed(rows: Sequence[TokenRow], *, seed: int, size: int, least: int = 2) -> list[list[TokenRow]]:
    labels, lengths = [row.label for row in rows], [row.length for row in rows]
    windows = mix_labels(range(len(rows)), labels=labels, lengths=lengths, seed=seed, size=size, least=least)
    return [[rows[i] for i in window] for window in windows]


def count(window: list[TokenRow], label: bool) -> int:
    return sum(row.label is label for row in window)


# Order


@given(any_rows(), SEEDS, SIZES, RANKS)
def test_windows_are_a_permutation_and_repeat(rows: tuple[TokenRow, ...], seed: int, size: int, ranks: int) -> None:
    windows = mixed(rows, seed=seed, size=size, least=max(2, ranks))
    assert sorted((row for window in windows for row in window), key=lambda row: row.line) == list(rows)
    assert windows == mixed(rows, seed=seed, size=size, least=max(2, ranks))


@given(any_rows(), SEEDS, SIZES, RANKS)
def test_all_windows_but_the_last_are_full(rows: tuple[TokenRow, ...], seed: int, size: int, ranks: int) -> None:
    least = max(2, ranks)
    lengths = [len(window) for window in mixed(rows, seed=seed, size=size, least=least)]
    assert all(length == size for length in lengths[:-1])
    if len(lengths) > 1:
        assert lengths[-1] >= least or lengths[-1] > size
        assert lengths[-1] < size + least
    assert 1 not in lengths or lengths == [len(rows)] == [1]


@given(any_rows(), SEEDS, SIZES, RANKS)
def test_every_window_holds_both_labels_where_there_are_enough(
    rows: tuple[TokenRow, ...], seed: int, size: int, ranks: int
) -> None:
    windows = mixed(rows, seed=seed, size=size, least=max(2, ranks))
    assume(all(count(list(rows), label) >= len(windows) for label in (True, False)))
    assert all(count(window, label) for window in windows for label in (True, False))


@given(any_rows(), SEEDS, SIZES)
def test_a_label_too_rare_for_all_windows_is_in_as_many_as_it_has_rows(
    rows: tuple[TokenRow, ...], seed: int, size: int
) -> None:
    windows = mixed(rows, seed=seed, size=size)
    for label in (True, False):
        have = count(list(rows), label)
        assert sum(count(window, label) > 0 for window in windows) == min(have, len(windows))


@given(st.integers(1, 200), st.integers(1, 200), SEEDS, st.integers(2, 32))
def test_labels_keep_their_proportion_in_every_window(desirable: int, undesirable: int, seed: int, size: int) -> None:
    total = desirable + undesirable
    rows = [TokenRow(line, line <= desirable, (9,), (line,)) for line in range(1, total + 1)]
    for window in mixed(rows, seed=seed, size=size):
        assert abs(count(window, True) - len(window) * desirable / total) <= 2


@given(any_rows(), SEEDS, SIZES)
def test_rows_of_a_window_are_sorted_by_length(rows: tuple[TokenRow, ...], seed: int, size: int) -> None:
    for window in mixed(rows, seed=seed, size=size):
        assert [row.length for row in window] == sorted(row.length for row in window)


def test_the_seed_orders() -> None:
    orders = [mixed(fixed_rows(), seed=seed, size=8) for seed in range(5)]
    assert len({tuple(frozenset(row.line for row in window) for window in windows) for windows in orders}) == 5


@pytest.mark.parametrize(("desirable", "undesirable"), [(2, 10), (10, 2)])
def test_a_short_last_window_gets_the_rarer_label_too(desirable: int, undesirable: int) -> None:
    labels = [True] * desirable + [False] * undesirable
    rows = [TokenRow(line, label, (9,), (line,)) for line, label in enumerate(labels)]
    first, last = mixed(rows, seed=0, size=10)
    assert (len(first), len(last)) == (10, 2)
    assert 0 < count(first, True) < 10
    assert count(last, True) == 1


def test_the_position_among_rows_of_one_length_does_not_tell_the_label() -> None:
    rows = [TokenRow(line, line % 2 == 0, (9,), (line,)) for line in range(4000)]
    for seed in range(3):
        first = [window[0] for window in mixed(rows, seed=seed, size=8)]
        assert 0.4 < count(first, True) / len(first) < 0.6


# Pairs


@given(one_window())
def test_mismatched_completions_are_the_matched_ones_of_the_window(window: list[TokenRow]) -> None:
    assume(len(window) > 1)
    paired = pair(window, max_length=1000, kl=True)
    assert Counter(row.kl_completion_ids for row in paired) == Counter(row.completion_ids for row in window)


@given(one_window())
def test_no_row_gets_its_own_text_back_where_a_rotation_avoids_it(window: list[TokenRow]) -> None:
    texts = [row.completion_ids for row in window]
    rotations = [texts[-step:] + texts[:-step] for step in range(1, len(texts))]
    repeats = [sum(map(tuple.__eq__, texts, rotated)) for rotated in rotations]
    paired = pair(window, max_length=1000, kl=True)
    own = sum(row.completion_ids == row.kl_completion_ids for row in paired)
    assert own == min(repeats, default=0)


@given(st.lists(TOKENS, min_size=2, max_size=10, unique=True))
def test_different_completions_are_rotated_by_one_as_in_trl(completions: list[tuple[int, ...]]) -> None:
    window = [TokenRow(line, True, (9,), each) for line, each in enumerate(completions, 1)]
    paired = pair(window, max_length=1000, kl=True)
    assert rotation(completions) == 1
    assert [row.kl_completion_ids for row in paired] == [completions[-1], *completions[:-1]]


@pytest.mark.parametrize(
    ("texts", "step"),
    [("", 0), ("a", 0), ("aa", 1), ("ab", 1), ("aab", 1), ("aabb", 2), ("abab", 1), ("aaabbb", 3), ("aabbcc", 2)],
)
def test_the_smallest_rotation_with_the_fewest_repeats_is_taken(texts: str, step: int) -> None:
    assert rotation([(ord(text),) for text in texts]) == step


@given(one_window(), st.booleans())
def test_everything_is_cut_on_the_right_to_the_limit(window: list[TokenRow], kl: bool) -> None:
    whole = pair(window, max_length=1000, kl=kl)
    for row, cut, uncut in zip(window, pair(window, max_length=LIMIT, kl=kl), whole, strict=True):
        room = LIMIT - len(row.prompt_ids)
        assert (cut.line, cut.label, cut.prompt_ids) == (row.line, row.label, row.prompt_ids)
        assert cut.completion_ids == row.completion_ids[:room]
        assert cut.kl_completion_ids == uncut.kl_completion_ids[:room]
        assert max(cut.length, len(cut.prompt_ids) + len(cut.kl_completion_ids)) <= LIMIT


@given(one_window())
def test_without_kl_there_are_no_mismatched_completions(window: list[TokenRow]) -> None:
    paired = pair(window, max_length=LIMIT, kl=False)
    assert [row.line for row in paired] == [row.line for row in window]
    assert not any(row.kl_completion_ids for row in paired)


# Shares and packs


@given(st.lists(st.integers()), st.integers(1, 9))
def test_the_shares_of_all_ranks_are_the_window(window: list[int], ranks: int) -> None:
    shares = [deal(window, rank=rank, ranks=ranks) for rank in range(ranks)]
    assert Counter(item for share in shares for item in share) == Counter(window)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@given(LENGTHS, st.integers(1, 9), st.none() | st.integers(1, 25))
def test_packs_cover_all_rows_in_order_within_the_limits(
    lengths: list[int], max_rows: int, max_tokens: int | None
) -> None:
    cuts = packs(lengths, max_rows=max_rows, max_tokens=max_tokens)
    assert [i for cut in cuts for i in cut] == list(range(len(lengths)))
    for cut in cuts:
        assert 1 <= len(cut) <= max_rows
        assert max_tokens is None or len(cut) == 1 or sum(lengths[i] for i in cut) <= max_tokens


@given(LENGTHS, st.integers(1, 9), st.none() | st.integers(1, 25))
def test_a_pack_ends_only_where_the_next_row_does_not_fit(
    lengths: list[int], max_rows: int, max_tokens: int | None
) -> None:
    cuts = packs(lengths, max_rows=max_rows, max_tokens=max_tokens)
    for cut in cuts[:-1]:
        tokens = sum(lengths[cut.start : cut.stop + 1])
        assert len(cut) == max_rows or (max_tokens is not None and tokens > max_tokens)


def test_a_pack_is_filled_to_exactly_its_limit() -> None:
    assert packs([5, 5, 5, 5, 11, 1], max_rows=9, max_tokens=10) == [range(2), range(2, 4), range(4, 5), range(5, 6)]
    assert packs([1] * 5, max_rows=2) == [range(2), range(2, 4), range(4, 5)]
