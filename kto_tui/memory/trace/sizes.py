"""The model and the window that coefficients are traced on: every size can be told from every other."""

import itertools

import torch

from kto_tui.backends.hf.kto.head import tile_size
from kto_tui.backends.hf.kto.layout import round_up
from kto_tui.memory.coefficients import ONE_HEAD
from kto_tui.memory.trace.settings import Shape
from kto_tui.memory.trace.symbols import Polynomial, Symbols

HIDDEN, INNER, VOCABULARY, KV_HEADS, GROUP, HEAD_DIM, RANK = 15 * 202, 2 * 2753, 50_021, 5, 3, 8 * 19, 23
ROWS, WINDOW, LENGTH, SCORED = 7, 14, 401, 31
MIXED = frozenset({"gemma2", "gemma3_text", "olmo3"})
TRL_TILE, TRL_CHUNK = 4096, 32768  # trl.kernels.chunked_logprob: tokens and vocabulary entries of a tile


def symbolic_shape(architecture: str, layers: int) -> Shape:
    """A model whose every dimension can be told from every other."""
    # Stable LM takes its heads' dimension from the hidden size.
    hidden = HEAD_DIM * KV_HEADS * GROUP if architecture == "stablelm" else HIDDEN
    name = next((name for name, one_head in ONE_HEAD.items() if one_head == architecture), None)
    kv_heads, mixed = KV_HEADS if name is None else 1, (name or architecture) in MIXED
    return Shape(
        architecture=name or architecture,
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=kv_heads * GROUP,
        num_key_value_heads=kv_heads,
        head_dim=HEAD_DIM,
        intermediate_size=INNER,
        vocab_size=VOCABULARY,
        tie_word_embeddings=False,
        # Sliding and full layers differ in their masks alone: one of each says what any pattern of them needs.
        extra={"layer_types": ["sliding_attention", "full_attention"] * (layers // 2)} if mixed else {},
    )


def _widths(kv_heads: int) -> dict[int, Polynomial]:
    """Outputs of a projection: gate or up, both fused, keys or values, queries, all three fused."""
    return {
        INNER: {("m",): 1.0},
        2 * INNER: {("m",): 2.0},
        kv_heads * HEAD_DIM: {("d", "kv"): 1.0},
        kv_heads * GROUP * HEAD_DIM: {("d", "g", "kv"): 1.0},
        (GROUP + 2) * kv_heads * HEAD_DIM: {("d", "g", "kv"): 1.0, ("d", "kv"): 2.0},
    }


def symbols(*, rounds: bool, kv_heads: int = KV_HEADS) -> Symbols:
    """Names for the sizes of ``symbolic_shape`` and of its windows; ``kto_tui.memory.coefficients`` explains them."""
    up, widths = round_up if rounds else int, _widths(kv_heads)
    tile = tile_size(torch.empty(VOCABULARY, 1, device="meta"))
    values = {
        "h": HIDDEN, "m": INNER, "V": VOCABULARY, "kv": kv_heads, "g": GROUP, "d": HEAD_DIM, "r": RANK,
        "S": up(LENGTH), "T": up(ROWS * LENGTH), "T2": up(WINDOW * LENGTH), "K": ROWS * SCORED, "K2": WINDOW * SCORED,
        "B": ROWS, "B2": WINDOW, "R": tile, "C": up(SCORED), "W": TRL_CHUNK,
    }  # fmt: skip
    # What is left of a size once padding, the first token or the last tile's rounding are taken off or put on.
    same = {ROWS * LENGTH: "T", WINDOW * LENGTH: "T2", LENGTH: "S", LENGTH - 1: "S", SCORED: "C"}
    same |= {ROWS * (LENGTH - 1): "T", WINDOW * (LENGTH - 1): "T2"}
    for name, rows in (("K", ROWS), ("K2", WINDOW)):
        rest = rows * SCORED % tile
        same[rows * SCORED - rest + min(round_up(rest), tile)] = name
        same[up(rows * SCORED)] = name
    sums: dict[int, Polynomial] = {size: {(name,): 1.0} for size, name in same.items()}
    grown: Polynomial = {("T",): 1.0, ("K",): 1.0}  # a tree and the completions it grew by
    for tree in (ROWS * LENGTH, up(ROWS * LENGTH)):
        sums[tree + ROWS * SCORED] = sums[tree + up(ROWS * SCORED)] = grown
    for hidden, (size, width) in itertools.product((HIDDEN, kv_heads * GROUP * HEAD_DIM), widths.items()):
        # A quantised weight's absmax, as float32.
        absmax: Polynomial = {tuple(sorted((*names, "h"))): part / 64 for names, part in width.items()}
        sums[-(-hidden * size // 64)] = absmax
    sums |= widths
    sums[HEAD_DIM // 8] = {("d",): 0.125}
    sums[HEAD_DIM // 4] = {("d",): 0.25}  # partly rotated heads
    sums[HEAD_DIM * 3 // 4] = {("d",): 0.75}
    sums[16] = {(): 16.0}
    sums |= {TRL_TILE: {("T2",): 1.0}}
    groups = (
        ("B", "kv", "g"), ("B2", "kv", "g"), ("kv", "g", "d"), ("g", "S"), ("B", "S"), ("B2", "S"), ("m",), ("d",),
        ("K",), ("K2",), ("g", "C"), ("B", "C"),
    )  # fmt: skip
    return Symbols(values, sums, groups)
