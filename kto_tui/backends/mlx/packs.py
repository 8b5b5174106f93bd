"""Rows of token ids as padded arrays: fixed multiples of sizes, so that a compiled step is not compiled anew."""

from collections.abc import Sequence
from typing import NamedTuple

import mlx.core as mx
import numpy as np

# Sequences are padded to multiples of this. mlx-lm's trainer takes 32, which on rows of 70 tokens is a third more work
# for a third as many shapes to compile, a tenth of a second each.
LENGTH_MULTIPLE = 8
# Scored tokens come in multiples of these, larger ones for more of them: at most an eighth is padding.
SCORED_MULTIPLE = 8
# Rows of a pass without gradient are at least this share of the longest.
ALIKE = 0.8

Pair = tuple[Sequence[int], Sequence[int]]


class Pack(NamedTuple):
    """Rows side by side, padded on the right; causal attention never looks at the padding.

    Attributes:
        ids: token ids, shape (rows, length), int32.
        sources: for each scored token the flat position (row * length + column) before it, shape (scored,), int32.
        targets: the scored tokens, shape (scored,), int32.
        member: 1 where a scored token belongs to a row, else 0, shape (rows, scored), float32; padding has none.
    """

    ids: mx.array
    sources: mx.array
    targets: mx.array
    member: mx.array


def round_up(count: int, multiple: int) -> int:
    """The smallest multiple of ``multiple`` that is no smaller than ``count``."""
    return -(-count // multiple) * multiple


def scored_size(count: int) -> int:
    """What ``count`` scored tokens are padded to."""
    return round_up(count, max(SCORED_MULTIPLE, 1 << max(0, count.bit_length() - 4)))


def length_size(tokens: int) -> int:
    """What rows of at most ``tokens`` tokens are padded to."""
    return round_up(tokens, LENGTH_MULTIPLE)


def pack(pairs: Sequence[Pair]) -> Pack:
    """Rows (prompt, scored completion) as arrays.

    A token is scored from the position before it: the first token of a row without a prompt is not scored.

    Args:
        pairs: at least one; each with at least one token in all.
    """
    length = length_size(max(len(prompt) + len(completion) for prompt, completion in pairs))
    scored = [len(completion) - (not prompt) for prompt, completion in pairs]
    size = scored_size(max(1, sum(scored)))
    ids = np.zeros((len(pairs), length), dtype=np.int32)
    sources, targets = np.zeros(size, dtype=np.int32), np.zeros(size, dtype=np.int32)
    member = np.zeros((len(pairs), size), dtype=np.float32)
    done = 0
    for row, ((prompt, completion), count) in enumerate(zip(pairs, scored, strict=True)):
        whole = [*prompt, *completion]
        ids[row, : len(whole)] = whole
        first = len(whole) - count - 1
        sources[done : done + count] = row * length + np.arange(first, first + count)
        targets[done : done + count] = whole[len(whole) - count :]
        member[row, done : done + count] = 1
        done += count
    return Pack(mx.array(ids), mx.array(sources), mx.array(targets), mx.array(member))


def alike(lengths: Sequence[int], max_tokens: int) -> list[list[int]]:
    """Rows in passes of about equal length, so that little is padding.

    Args:
        lengths: tokens of each row.
        max_tokens: of a pass; a longer row has one of its own.

    Returns:
        Indices into ``lengths``, pass by pass, each index once.
    """
    passes: list[list[int]] = []
    tokens = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        length = lengths[row]
        shortest = length_size(lengths[passes[-1][0]]) if passes else 0
        if not passes or tokens + length > max_tokens or shortest < ALIKE * length_size(length):
            passes.append([])
            tokens = 0
        passes[-1].append(row)
        tokens += length
    return passes
