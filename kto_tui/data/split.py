"""Seeded splitting and ordering of rows. Deterministic: the same rows and seed give the same result."""

import random
from collections import defaultdict

import msgspec

from kto_tui.data.rows import Row

MIN_HELDOUT_ROWS = 16
TRIAL_ROWS = 200


class Split(msgspec.Struct, frozen=True):
    """Rows to train on, rows kept for evaluation, and remarks on how the split went."""

    train: tuple[Row, ...]
    heldout: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def _quotas(rows: tuple[Row, ...], share: float) -> dict[bool, int]:
    """Held-out rows per label: at least 16 in all, in the data's proportion, never more than half of a label."""
    want = max(MIN_HELDOUT_ROWS, round(share * len(rows))) if share > 0 else 0
    quotas = {}
    for label in (True, False):
        have = sum(row.label is label for row in rows)
        quotas[label] = min(have // 2, round(want * have / len(rows))) if rows else 0
    return quotas


def heldout_count(rows: tuple[Row, ...], share: float) -> int:
    """How many rows ``split_rows`` keeps for evaluation."""
    return sum(_quotas(rows, share).values())


def split_rows(rows: tuple[Row, ...], *, share: float, seed: int) -> Split:
    """Stratified by label; rows that share a prompt stay on one side so that no held-out prompt was trained on.

    Args:
        rows: all rows.
        share: held-out share of the rows, 0 to 0.5; 0 keeps everything for training.
        seed: of the choice.
    """
    quotas = _quotas(rows, share)
    groups: dict[str, list[int]] = defaultdict(list)
    for index, row in enumerate(rows):
        groups[row.prompt_key].append(index)
    shuffled = list(groups.values())
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - reproducible order, not secrecy
    left = dict(quotas)
    chosen: set[int] = set()
    for group in shuffled:
        need = {label: sum(rows[i].label is label for i in group) for label in (True, False)}
        if all(need[label] <= left[label] for label in need):
            chosen.update(group)
            for label, rows_needed in need.items():
                left[label] -= rows_needed
    notes: list[str] = []
    if sum(left.values()) > max(2, sum(quotas.values()) // 4):
        # Too few distinct prompts to keep them apart: an evaluation with shared prompts beats none, if it is said.
        for index in (i for group in shuffled for i in group):
            if index not in chosen and left[rows[index].label] > 0:
                chosen.add(index)
                left[rows[index].label] -= 1
        notes.append("Some held-out prompts also occur in training, because too few different prompts exist")
    if share > 0 and len(chosen) < MIN_HELDOUT_ROWS:
        notes.append(
            f"Only {len(chosen)} rows could be held out; {MIN_HELDOUT_ROWS} or more make evaluation meaningful"
        )
    train = tuple(row for i, row in enumerate(rows) if i not in chosen)
    heldout = tuple(row for i, row in enumerate(rows) if i in chosen)
    return Split(train, heldout, tuple(notes))
