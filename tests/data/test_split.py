"""Splitting and ordering rows: nothing lost, nothing leaked, the same every time."""

from collections import Counter

from hypothesis import assume, given
from hypothesis import strategies as st

from kto_tui.data.rows import Row
from kto_tui.data.split import MIN_HELDOUT_ROWS, split_rows

SHARES = st.floats(0.01, 0.5)
SEEDS = st.integers(0, 2**31 - 1)


def rows_of(labels: list[bool], prompts: list[int] | None = None) -> tuple[Row, ...]:
    numbers = range(len(labels)) if prompts is None else prompts
    return tuple(
        Row(f"prompt {prompt}", f"completion {line}", label, line)
        for line, (prompt, label) in enumerate(zip(numbers, labels, strict=True), 1)
    )


@st.composite
def any_rows(draw: st.DrawFn) -> tuple[Row, ...]:
    labels = draw(st.lists(st.booleans(), max_size=150))
    prompts = draw(st.integers(1, 200))
    return rows_of(labels, [draw(st.integers(0, prompts)) for _ in labels])


@st.composite
def distinct_rows(draw: st.DrawFn, least: int = 0) -> tuple[Row, ...]:
    desirable, undesirable = draw(st.integers(0, 200)), draw(st.integers(0, 200))
    assume(desirable + undesirable >= least)
    labels = [True] * desirable + [False] * undesirable
    return rows_of(draw(st.permutations(labels)))


def count(rows: tuple[Row, ...], label: bool) -> int:
    return sum(row.label is label for row in rows)


@given(any_rows(), st.just(0.0) | SHARES, SEEDS)
def test_a_split_is_a_partition_in_order(rows: tuple[Row, ...], share: float, seed: int) -> None:
    split = split_rows(rows, share=share, seed=seed)
    assert sorted((*split.train, *split.heldout), key=lambda row: row.line) == list(rows)
    for part in (split.train, split.heldout):
        assert [row.line for row in part] == sorted(row.line for row in part)
    assert split == split_rows(rows, share=share, seed=seed)


@given(any_rows(), SHARES, SEEDS)
def test_no_heldout_prompt_is_trained_on_unless_the_note_says_so(
    rows: tuple[Row, ...], share: float, seed: int
) -> None:
    split = split_rows(rows, share=share, seed=seed)
    shared = {row.prompt for row in split.train} & {row.prompt for row in split.heldout}
    assert not shared or any("also occur in training" in note for note in split.notes)


@given(any_rows(), SHARES, SEEDS)
def test_never_more_than_half_of_a_label_is_held_out(rows: tuple[Row, ...], share: float, seed: int) -> None:
    heldout = split_rows(rows, share=share, seed=seed).heldout
    for label in (True, False):
        assert count(heldout, label) <= count(rows, label) // 2


@given(distinct_rows(), SHARES, SEEDS)
def test_labels_keep_their_proportion(rows: tuple[Row, ...], share: float, seed: int) -> None:
    split = split_rows(rows, share=share, seed=seed)
    want = max(MIN_HELDOUT_ROWS, round(share * len(rows)))
    for label in (True, False):
        have = count(rows, label)
        expected = min(want * have / len(rows), have / 2) if rows else 0
        assert abs(count(split.heldout, label) - expected) <= 0.5
    assert not any("also occur" in note for note in split.notes)


@given(distinct_rows(least=64), SHARES, SEEDS)
def test_at_least_sixteen_rows_are_held_out(rows: tuple[Row, ...], share: float, seed: int) -> None:
    split = split_rows(rows, share=share, seed=seed)
    assert len(split.heldout) >= MIN_HELDOUT_ROWS
    assert abs(len(split.heldout) - max(MIN_HELDOUT_ROWS, share * len(rows))) <= 2
    assert split.notes == ()


@given(any_rows(), SHARES, SEEDS)
def test_too_few_heldout_rows_are_noted(rows: tuple[Row, ...], share: float, seed: int) -> None:
    split = split_rows(rows, share=share, seed=seed)
    noted = [note for note in split.notes if note.startswith(f"Only {len(split.heldout)} rows")]
    assert bool(noted) == (len(split.heldout) < MIN_HELDOUT_ROWS)


@given(any_rows(), SEEDS)
def test_a_share_of_zero_keeps_everything(rows: tuple[Row, ...], seed: int) -> None:
    split = split_rows(rows, share=0, seed=seed)
    assert (split.train, split.heldout, split.notes) == (rows, (), ())


def test_one_prompt_for_all_rows_is_noted() -> None:
    rows = rows_of([True, False] * 50, [1] * 100)
    split = split_rows(rows, share=0.2, seed=1)
    assert len(split.heldout) == 20
    assert any("also occur in training" in note for note in split.notes)


def test_pairs_of_answers_stay_together() -> None:
    rows = rows_of([True, False] * 100, [line // 2 for line in range(200)])
    split = split_rows(rows, share=0.1, seed=3)
    assert len(split.heldout) == 20
    assert set(Counter(row.prompt for row in split.heldout).values()) == {2}


def test_the_seed_chooses() -> None:
    rows = rows_of([True, False] * 100)
    assert len({split_rows(rows, share=0.2, seed=seed).heldout for seed in range(5)}) == 5


# Order
