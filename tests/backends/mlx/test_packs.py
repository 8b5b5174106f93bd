"""Packs hold every token where it belongs, and little else."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.backends.mlx.packs import ALIKE, LENGTH_MULTIPLE, alike, length_size, pack, scored_size

IDS = st.lists(st.integers(0, 50_000), min_size=1, max_size=40)


@given(st.lists(st.tuples(st.lists(st.integers(0, 50_000), max_size=40), IDS), min_size=1, max_size=5))
def test_a_pack_scores_each_completion_from_the_position_before_it(pairs: list[tuple[list[int], list[int]]]) -> None:
    packed = pack(pairs)
    flat = np.array(packed.ids).reshape(-1)
    targets, sources, member = (np.array(each) for each in (packed.targets, packed.sources, packed.member))
    assert packed.ids.shape[1] % LENGTH_MULTIPLE == 0
    for row, (prompt, completion) in enumerate(pairs):
        mine = member[row] == 1
        scored = completion if prompt else completion[1:]
        assert targets[mine].tolist() == scored
        assert flat[sources[mine] + 1].tolist() == scored
        assert (sources[mine] // packed.ids.shape[1] == row).all()
        whole = [*prompt, *completion]
        assert np.array(packed.ids)[row, : len(whole)].tolist() == whole
    assert member.sum(axis=0).max() <= 1


@given(st.integers(1, 100_000))
def test_at_most_an_eighth_of_many_scored_tokens_is_padding(count: int) -> None:
    assert count <= scored_size(count) < count + max(LENGTH_MULTIPLE, count / 7)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=40), st.integers(1, 10_000))
def test_passes_have_every_row_once_and_rows_of_about_equal_length(lengths: list[int], room: int) -> None:
    passes = alike(lengths, room)
    assert sorted(row for rows in passes for row in rows) == list(range(len(lengths)))
    for rows in passes:
        assert len(rows) == 1 or sum(lengths[row] for row in rows) <= room
        sizes = [length_size(lengths[row]) for row in rows]
        assert min(sizes) >= ALIKE * max(sizes)
