"""The model and the window that coefficients are traced on: every size can be told from every other."""

import torch

from kto_tui.backends.hf.kto.head import tile_size
from kto_tui.backends.hf.kto.layout import round_up
from kto_tui.memory.trace.settings import Shape
from kto_tui.memory.trace.symbols import Polynomial, Symbols

HIDDEN, INNER, VOCABULARY, KV_HEADS, GROUP, HEAD_DIM, RANK = 15 * 202, 2 * 2753, 50_021, 5, 3, 2 * 37, 23
ROWS, WINDOW, LENGTH, SCORED = 7, 11, 401, 29
TRL_TILE, TRL_CHUNK = 4096, 32768  # trl.kernels.chunked_logprob: tokens and vocabulary entries of a tile


def symbolic_shape(architecture: str, layers: int) -> Shape:
    """A model whose every dimension can be told from every other."""
    return Shape(
        architecture=architecture,
        hidden_size=HIDDEN,
        num_hidden_layers=layers,
        num_attention_heads=KV_HEADS * GROUP,
        num_key_value_heads=KV_HEADS,
        head_dim=HEAD_DIM,
        intermediate_size=INNER,
        vocab_size=VOCABULARY,
        tie_word_embeddings=False,
    )


def symbols(*, accelerator: bool) -> Symbols:
    """Names for the sizes of ``symbolic_shape`` and of its windows; ``kto_tui.memory.coefficients`` explains them."""
    up = (lambda count: count) if accelerator else round_up
    tile = tile_size(torch.empty(VOCABULARY, 1, device="meta"))
    values = {
        "h": HIDDEN, "m": INNER, "V": VOCABULARY, "kv": KV_HEADS, "g": GROUP, "d": HEAD_DIM, "r": RANK,
        "S": up(LENGTH), "T": up(ROWS * LENGTH), "T2": up(WINDOW * LENGTH), "K": ROWS * SCORED, "K2": WINDOW * SCORED,
        "B": ROWS, "B2": WINDOW, "R": tile, "C": up(SCORED),
    }  # fmt: skip
    # What is left of a size once padding, the first token or the last tile's rounding are taken off or put on.
    same = {ROWS * LENGTH: "T", WINDOW * LENGTH: "T2", LENGTH: "S", LENGTH - 1: "S", SCORED: "C"}
    same |= {ROWS * (LENGTH - 1): "T", WINDOW * (LENGTH - 1): "T2"}
    for name, rows in (("K", ROWS), ("K2", WINDOW)):
        rest = rows * SCORED % tile
        same[rows * SCORED - rest + min(round_up(rest), tile)] = name
        same[up(rows * SCORED)] = name
    sums: dict[int, Polynomial] = {size: {(name,): 1.0} for size, name in same.items()}
    sums[(GROUP + 2) * KV_HEADS * HEAD_DIM] = {("d", "g", "kv"): 1.0, ("d", "kv"): 2.0}  # a fused qkv_proj
    grown = {("T",): 1.0, ("K",): 1.0}  # a tree and the completions it grew by
    for tree in (ROWS * LENGTH, up(ROWS * LENGTH)):
        sums[tree + ROWS * SCORED] = sums[tree + up(ROWS * SCORED)] = grown
    for size, names in (
        (INNER, ("h", "m")),
        (HEAD_DIM * KV_HEADS * GROUP, ("d", "g", "h", "kv")),
        (HEAD_DIM * KV_HEADS, ("d", "h", "kv")),
    ):
        sums[-(-HIDDEN * size // 64)] = {tuple(sorted(names)): 1 / 64}  # a quantised weight's absmax, as float32
    sums[16] = {(): 16.0}
    sums[TRL_TILE] = {(): float(TRL_TILE)}
    sums[TRL_CHUNK] = {(): float(TRL_CHUNK)}
    groups = (
        ("B", "kv", "g"), ("B2", "kv", "g"), ("kv", "g", "d"), ("g", "S"), ("B", "S"), ("B2", "S"), ("m",), ("d",),
        ("K",), ("K2",), ("g", "C"), ("B", "C"),
    )  # fmt: skip
    return Symbols(values, sums, groups)
