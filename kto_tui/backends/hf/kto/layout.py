"""A pack as a prefix tree: tokens that several sequences share from their start are computed once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


def on_cpu(device: torch.device) -> bool:
    """Whether passes take the forms that suit processors; in one place, so that a trace can stand in for a GPU."""
    kind: str = device.type
    return kind == "cpu"


def round_up(count: int) -> int:
    """The next of eight sizes per octave, in multiples of 8.

    oneDNN compiles a kernel for every new shape, about 3 ms each on one x86 machine: as long as a small layer's whole
    product. A few sizes that come again cost less than that, padding included.
    """
    step = max(8, 1 << count.bit_length() >> 4)
    return -(-count // step) * step


@dataclass(frozen=True)
class Span:
    """The tokens one sequence adds to the tree.

    Attributes:
        start: index of the first among the new tokens.
        stop: index after the last.
        path: tree indices of the whole sequence from its first token to its last, shape (length,).
    """

    start: int
    stop: int
    path: torch.Tensor


def hidden_keys(queries: int, length: int, window: int | None, device: torch.device) -> torch.Tensor:
    """True where a key must not be seen, shape (queries, length): queries are the last tokens of the path."""
    key = torch.arange(length, device=device)
    query = torch.arange(length - queries, length, device=device)[:, None]
    hidden = key > query
    if window is not None:
        hidden |= query - key >= window
    return hidden


@dataclass(frozen=True)
class Layout:
    """What one forward pass over new tokens of a tree needs.

    Attributes:
        past: tokens in the tree before this pass.
        new: tokens that this pass adds.
        input_ids: new tokens and, on CPUs, padding after them that nothing attends to; shape (padded,).
        position_ids: their positions within their sequences, shape (padded,).
        spans: one for each sequence that adds tokens.
        sources: tree index whose hidden state predicts each scored token, shape (scored,).
        targets: the scored tokens, shape (scored,).
        rows: which sequence each scored token belongs to, shape (scored,).
        sequences: how many sequences there are.
    """

    past: int
    new: int
    input_ids: torch.Tensor
    position_ids: torch.Tensor
    spans: tuple[Span, ...]
    sources: torch.Tensor
    targets: torch.Tensor
    rows: torch.Tensor
    sequences: int


class PrefixTree:
    """Grows by sequences; each token is a node that is told apart by its parent.

    A token's hidden state depends on the tokens before it alone, so a node stands for all sequences that share it.
    ``rounds``: passes are rounded up to sizes that come again, which suits processors.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        self._children: dict[tuple[int, int], int] = {}
        self._device = torch.device(device)
        self.rounds = on_cpu(self._device)

    def __len__(self) -> int:
        return len(self._children)

    def _walk(self, sequence: Sequence[int]) -> list[int]:
        parent, path = -1, []
        for token in sequence:
            parent = self._children.setdefault((parent, token), len(self._children))
            path.append(parent)
        return path

    def grow(self, sequences: Sequence[tuple[Sequence[int], Sequence[int]]]) -> Layout:
        """Add (prompt ids, completion ids) pairs; every completion token that has one before it is scored."""
        past = len(self)
        tokens: list[int] = []
        positions: list[int] = []
        spans: list[tuple[int, int, list[int]]] = []
        sources: list[int] = []
        targets: list[int] = []
        rows: list[int] = []
        for row, (prompt, completion) in enumerate(sequences):
            ids = (*prompt, *completion)
            before = len(self)
            path = self._walk(ids)
            added = len(self) - before
            if added:
                spans.append((before - past, before - past + added, path))
                tokens += ids[-added:]
                positions += range(len(ids) - added, len(ids))
            first = max(len(prompt), 1)
            sources += path[first - 1 : -1]
            targets += ids[first:]
            rows += [row] * (len(ids) - first)

        new = len(tokens)
        padding = round_up(new) - new if self.rounds else 0
        tokens += [0] * padding
        positions += [0] * padding

        def tensor(values: list[int]) -> torch.Tensor:
            return torch.tensor(values, dtype=torch.long, device=self._device)

        return Layout(
            past=past,
            new=new,
            input_ids=tensor(tokens),
            position_ids=tensor(positions),
            spans=tuple(Span(start, stop, tensor(path)) for start, stop, path in spans),
            sources=tensor(sources),
            targets=tensor(targets),
            rows=tensor(rows),
            sequences=len(sequences),
        )
