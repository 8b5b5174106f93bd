"""Leaves, of thousands of moments, those that are a step's worst for some model and window."""

import math
import random
from collections.abc import Mapping, Sequence

import torch

from kto_tui.memory.coefficients import Case, Moment, product
from kto_tui.memory.predict import GROUP_SCORES

SAMPLES, SEED = 2000, 7
# A moment is left out when the others reach this share of it in every sample.
ENOUGH = 0.9985


def _sample(chance: random.Random, case: Case) -> dict[str, float]:
    """Sizes of a model and a window as they occur: from 0.1 B to 70 B, from one short row to many long ones."""
    hidden = chance.choice([576, 960, 1536, 2048, 2560, 3072, 4096, 5120, 8192])
    head_dim = chance.choice([64, 80, 96, 128, 256])
    group = chance.choice([1, 2, 3, 4, 6, 7, 8])
    heads = max(1, round(hidden / head_dim / group * chance.choice([1, 1, 1, 2])))
    rows = chance.choice([1, 1, 2, 4, 8, 16, 32])
    length = chance.choice([128, 256, 512, 1024, 2048, 4096])
    window = rows if case.joint else chance.choice([rows * k for k in (1, 2, 4, 8)])
    if case.checkpointing:
        window = min(window, 2 * rows)
    share = chance.choice([0.1, 0.3, 0.6, 1.0])

    def grouped(queries: float) -> float:
        return max(1.0, GROUP_SCORES // (queries * length)) if case.device == "cpu" else math.inf

    vocabulary = chance.choice([32_000, 49_152, 100_352, 128_256, 151_936, 256_000])
    return {
        "layers": chance.choice([16, 24, 32, 40, 64, 80]), "h": hidden, "m": hidden * chance.choice([2, 2.7, 3.5, 8]),
        "V": vocabulary, "kv": heads, "g": group, "d": head_dim, "r": chance.choice([4, 8, 16, 64, 256]),
        "S": length, "B": rows, "T": rows * length, "K": rows * length * share, "B2": window, "T2": window * length,
        "K2": window * length * share, "R": max(16, 6 * 2**20 // vocabulary), "C": length * share, "W": 32768,
        "grouped": grouped(length), "grouped C": grouped(length * share),
    }  # fmt: skip


def _matrix(moments: Sequence[Moment], samples: Sequence[Mapping[str, float]]) -> torch.Tensor:
    """Bytes of every moment in every sample, shape (samples, moments)."""
    names = sorted({term.names for moment in moments for part in moment.parts.values() for term in part})
    place = {name: i for i, name in enumerate(names)}
    constant, slope = (torch.zeros(len(names), len(moments), dtype=torch.float64) for _ in range(2))
    for i, moment in enumerate(moments):
        for part in moment.parts.values():
            for term in part:
                constant[place[term.names], i] += term.constant
                slope[place[term.names], i] += term.per_layer
    products = torch.tensor([[product(name, sample) for name in names] for sample in samples], dtype=torch.float64)
    layers = torch.tensor([sample["layers"] for sample in samples], dtype=torch.float64)[:, None]
    return products @ constant + (products * layers) @ slope


def prune(moments: Sequence[Moment], case: Case) -> tuple[Moment, ...]:
    """The fewest moments, taken greedily, whose maximum is that of all in samples of models and windows.

    Phases are covered one by one, because a loss without a KL term skips some of them.
    """
    chance = random.Random(SEED)  # noqa: S311 - sampling sizes
    matrix = _matrix(moments, [_sample(chance, case) for _ in range(SAMPLES)])
    kept: list[int] = []
    for columns in ([i for i, m in enumerate(moments) if "kl" not in m.phase], list(range(len(moments)))):
        part = matrix[:, columns]
        worst = part.max(1).values
        reached = part[:, [columns.index(i) for i in kept]].max(1).values if kept else torch.zeros_like(worst)
        while bool((short := reached < ENOUGH * worst).any()):
            good = (part >= ENOUGH * worst[:, None]) & short[:, None]
            best = int(good.sum(0).argmax())
            kept.append(columns[best])
            reached = torch.maximum(reached, part[:, best])
    return tuple(moments[i] for i in kept)
