"""Seeded splitting and ordering of rows. Deterministic: the same rows and seed give the same result."""

import hashlib
import random
from collections import defaultdict
from collections.abc import Sequence

import msgspec

from kto_tui.data.rows import Row
from kto_tui.data.selection import Selection

MIN_HELDOUT_ROWS = 16
TRIAL_ROWS = 200


class Split(msgspec.Struct, frozen=True):
    """Rows to train on, rows kept for evaluation, and remarks on how the split went."""

    train: Sequence[Row]
    heldout: Sequence[Row]
    notes: tuple[str, ...] = ()


def _quotas(desirable: int, undesirable: int, share: float) -> dict[bool, int]:
    """Held-out rows per label: at least 16 in all, in the data's proportion, never more than half of a label."""
    rows = desirable + undesirable
    want = max(MIN_HELDOUT_ROWS, round(share * rows)) if share > 0 else 0
    have = {True: desirable, False: undesirable}
    return {label: min(count // 2, round(want * count / rows)) if rows else 0 for label, count in have.items()}


def heldout_count(desirable: int, undesirable: int, share: float) -> int:
    """How many rows ``split_rows`` keeps for evaluation, at most."""
    return sum(_quotas(desirable, undesirable, share).values())


def split_rows(rows: Sequence[Row], *, share: float, seed: int) -> Split:
    """Stratified by label; rows that share a prompt stay on one side so that no held-out prompt was trained on.

    Args:
        rows: all rows.
        share: held-out share of the rows, 0 to 0.5; 0 keeps everything for training.
        seed: of the choice.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    labels: list[bool] = []
    for index, row in enumerate(rows):
        # A digest: the prompts of a large set do not fit into memory.
        groups[hashlib.blake2b(row.prompt_key.encode(), digest_size=16).digest()].append(index)
        labels.append(row.label)
    quotas = _quotas(sum(labels), len(labels) - sum(labels), share)
    shuffled = list(groups.values())
    random.Random(seed).shuffle(shuffled)  # noqa: S311 - reproducible order, not secrecy
    left = dict(quotas)
    chosen: set[int] = set()
    for group in shuffled:
        need = {label: sum(labels[i] is label for i in group) for label in (True, False)}
        if all(need[label] <= left[label] for label in need):
            chosen.update(group)
            for label, rows_needed in need.items():
                left[label] -= rows_needed
    notes: list[str] = []
    if sum(left.values()) > max(2, sum(quotas.values()) // 4):
        # Too few distinct prompts to keep them apart: an evaluation with shared prompts beats none, if it is said.
        for index in (i for group in shuffled for i in group):
            if index not in chosen and left[labels[index]] > 0:
                chosen.add(index)
                left[labels[index]] -= 1
        notes.append("Some held-out prompts also occur in training, because too few different prompts exist")
    if share > 0 and len(chosen) < MIN_HELDOUT_ROWS:
        notes.append(
            f"Only {len(chosen)} rows could be held out; {MIN_HELDOUT_ROWS} or more make evaluation meaningful"
        )
    kept = [i for i in range(len(labels)) if i not in chosen]
    return Split(_pick(rows, kept), _pick(rows, sorted(chosen)), tuple(notes))


def _pick(rows: Sequence[Row], indices: list[int]) -> Sequence[Row]:
    """The rows at ``indices``; of rows that are mapped from disk a view."""
    return rows.pick(indices) if isinstance(rows, Selection) else tuple(rows[i] for i in indices)
