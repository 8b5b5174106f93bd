"""Peak bytes of MLX's allocator in a training step, by arithmetic over a model's shape.

What is counted is counted (weights, adapters, padding, tiles); how many bytes of each kind of activation are alive at
the worst moment was fitted to the allocator's own counter on processors (docs/memory.md, benchmarks/mlx_memory.py).
"""

from typing import NamedTuple

from kto_tui.catalog import ModelSpec
from kto_tui.catalog.mlx import GROUP
from kto_tui.catalog.model import LLAMA_LIKE
from kto_tui.memory.predict import Parts, Window
from kto_tui.recipe import LORA_TARGETS, Recipe
from kto_tui.units import MIB

# Architectures measured, or built of the same layers as one that was; others are rough.
FITTED = frozenset({"llama", "mistral", "qwen2", "qwen3", "smollm3", "phi3"})
# kto_tui.backends.mlx: padding, tile of logits, room of passes without gradient; a test compares them.
MULTIPLE, TILE_BYTES = 8, 48 * 2**20
WITHOUT_GRADIENT, WITH_CHECKPOINTING = 8, 2
BITS = {"int4": 4, "int8": 8}
# Python with MLX, mlx-lm and Transformers' tokenizers takes 126 MiB (Linux x86-64, no torch installed); half as much
# again for compiled steps and rows is an assumption until a run on this machine has measured its own.
BESIDE_ARRAYS = 190 * MIB


class Sizes(NamedTuple):
    """Numbers that activations are products of.

    ``tokens``, ``scores``: of a pack, padded: rows * length, and rows * heads * length^2; ``scored``: positions of a
    pack that the head is applied to; ``inner`` to ``keys``: widths; ``ranks``: of all adapters of a layer together;
    ``adapted``: widths of their outputs together.
    """

    tokens: int
    scores: int
    scored: int
    hidden: int
    inner: int
    queries: int
    keys: int
    ranks: int
    adapted: int


class Alive(NamedTuple):
    """Bytes alive per token and width, and per attention score."""

    hidden: float
    inner: float
    queries: float
    keys: float
    score: float
    adapted: float = 0.0

    def bytes(self, sizes: Sizes) -> float:
        """All together; the narrow products of adapters are float32."""
        widths = self.hidden * sizes.hidden + self.inner * sizes.inner
        widths += self.queries * sizes.queries + self.keys * sizes.keys + self.adapted * sizes.adapted
        return sizes.tokens * (widths + 4 * sizes.ranks) + self.score * sizes.scores


# By bytes of an activation and LoRA targets: what a layer keeps for the gradient.
KEPT = {
    (4, "full"): Alive(16.1, 20.7, 10.4, 8.0, 4.2),
    (4, "balanced"): Alive(19.0, 15.3, 11.7, 8.0, 4.2),
    (4, "minimal"): Alive(19.8, 16.2, 8.7, 8.0, 4.2),
    (2, "full"): Alive(16.8, 12.0, 7.3, 3.7, 1.9),
    (2, "balanced"): Alive(12.8, 6.0, 9.1, 3.7, 1.9),
    (2, "minimal"): Alive(12.2, 5.9, 6.0, 3.7, 1.9),
}
# What else is under way at the worst moment of a gradient. MLX starts operations ahead of those that have ended.
UNDER_WAY = {4: Alive(0.0, 0.6, 27.9, 0.0, 8.0), 2: Alive(20.5, 9.0, 0.0, 0.0, 4.0)}
# While layers are computed again: how many at most, the share of each that is alive, and that of what is under way.
AGAIN = {4: (2, 1.25, 0.4), 2: (2, 1.6, 0.1)}
# Layers that a pass without gradient has under way, more in deeper models, up to the second number. Under bf16 their
# temporaries are mostly float32, as adapters are.
WITHOUT, DEEP = 1.5, 8
# Arrays of the size of float32 logits: of tiles under way, and of a pack no larger than one; with a gradient and
# without, where under bf16 the logits come as the model gives them besides.
HEAD, HEAD_ALONE = (17.0, 5.0), {4: (8.0, 3.0), 2: (8.0, 3.5)}
# A layer's weights in float32 that DoRA takes the norms of. The optimizer's update is one compiled pass: gradients,
# and the new adapters and moments beside the old.
DORA_WEIGHTS, UPDATE = 1.0, 4.0


def outside_mlx() -> float:
    """Bytes of a training process beside MLX's arrays."""
    return BESIDE_ARRAYS


def linears(model: ModelSpec) -> dict[str, tuple[int, int]] | None:
    """(inputs, outputs) of a block's linear layers; None where the shape is unknown."""
    shape = (model.hidden_size, model.intermediate_size, model.heads, model.kv_heads, model.head_dim, model.layers)
    if None in shape or model.vocab_size is None:
        return None
    hidden, inner, heads, kv_heads, head_dim, _ = (int(each) for each in shape if each is not None)
    queries, keys = heads * head_dim, kv_heads * head_dim
    if model.model_type == "phi3":
        first = {"qkv_proj": (hidden, queries + 2 * keys), "gate_up_proj": (hidden, 2 * inner)}
    else:
        first = {
            "q_proj": (hidden, queries), "k_proj": (hidden, keys), "v_proj": (hidden, keys),
            "gate_proj": (hidden, inner), "up_proj": (hidden, inner),
        }  # fmt: skip
    return {**first, "o_proj": (queries, hidden), "down_proj": (inner, hidden)}


def weight_bytes_mlx(model: ModelSpec, recipe: Recipe, *, element: int) -> float | None:
    """Bytes of the frozen model; None where its counts are unknown.

    Of a checkpoint that MLX has quantised they were counted in its files: what is packed stays, all else is loaded in
    the run's precision (``kto_tui.backends.mlx.model``), a mixture's router biases in float32 aside.

    Where the recipe quantises, linear layers and embeddings have a scale and a bias for each 64 weights of an output,
    in the model's own format; layers whose inputs are no multiple of 64 stay as they are
    (``mlx_lm.utils.quantize_model``).

    Args:
        model: what is trained.
        recipe: its quantization counts.
        element: bytes of a weight that is not quantised.
    """
    if model.parameters is None:
        return None
    if model.packed is not None:
        return float(model.packed.resident_bytes(element))
    bits, layers = BITS.get(recipe.quantization), linears(model)
    if bits is None:
        return float(model.parameters * element)
    each = bits / 8 + 2 * element / GROUP
    if layers is None or model.model_type not in LLAMA_LIKE:
        return model.parameters * each
    hidden, vocabulary, depth = model.hidden_size or 0, model.vocab_size or 0, model.layers or 0
    tables = [(hidden, vocabulary)] * (1 if model.tied_embeddings else 2)
    shapes = [*tables, *(shape for shape in layers.values() for _ in range(depth))]
    quantised = min(model.parameters, sum(one * other for one, other in shapes if one % GROUP == 0))
    return quantised * each + (model.parameters - quantised) * element


def _round_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple


def scored_size(count: int) -> int:
    """What ``count`` scored tokens are padded to, as ``kto_tui.backends.mlx.packs.scored_size``."""
    return _round_up(count, max(MULTIPLE, 1 << max(0, count.bit_length() - 4)))


def _targets(layers: dict[str, tuple[int, int]], recipe: Recipe) -> list[tuple[int, int]]:
    wanted = LORA_TARGETS[recipe.lora_targets]
    return [shape for name, shape in layers.items() if isinstance(wanted, str) or name in wanted]


def _sizes(model: ModelSpec, recipe: Recipe, window: Window, layers: dict[str, tuple[int, int]], rows: int) -> Sizes:
    length = _round_up(window.length, MULTIPLE)
    scored = window.length - 1 if recipe.method == "sft" and not recipe.completion_only_loss else window.scored
    heads, kv_heads, head_dim = model.heads or 0, model.kv_heads or 0, model.head_dim or 0
    targets = _targets(layers, recipe)
    return Sizes(
        tokens=rows * length,
        scores=rows * heads * length**2,
        scored=scored_size(max(1, rows * scored)),
        hidden=model.hidden_size or 0,
        inner=model.intermediate_size or 0,
        queries=heads * head_dim,
        keys=kv_heads * head_dim,
        ranks=recipe.lora_rank * len(targets),
        adapted=sum(outputs for _, outputs in targets),
    )


def predict_mlx(model: ModelSpec, recipe: Recipe, window: Window, *, metal: bool) -> Parts | None:
    """Bytes of MLX's arrays at the worst moment of a step; None where the model's shape is unknown.

    Args:
        model: what is trained.
        recipe: how.
        window: the rows.
        metal: bf16 where the precision is left open, and fused attention where there is no gradient; on processors
            fp32, and all scores of attention.
    """
    element = 4 if (recipe.precision == "fp32" or (recipe.precision == "auto" and not metal)) else 2
    layers, weights = linears(model), weight_bytes_mlx(model, recipe, element=element)
    if layers is None or weights is None:
        return None
    rows = min(recipe.micro_batch, recipe.effective_batch)
    sizes = _sizes(model, recipe, window, layers, rows)
    depth, vocabulary = model.layers or 0, model.vocab_size or 0
    trained = sum(recipe.lora_rank * (one + other) for one, other in _targets(layers, recipe))
    adapter = 4.0 * depth * (trained + (sizes.adapted if recipe.use_dora else 0))
    packs = -(-recipe.effective_batch // rows)
    known = Known(recipe, sizes, depth, vocabulary, element, metal)
    moments = [_backward(known, weights, adapter, packs, layers), _update(weights, adapter)]
    if recipe.method == "kto":
        room = WITH_CHECKPOINTING if recipe.gradient_checkpointing else WITHOUT_GRADIENT
        wide = min(recipe.effective_batch, room * rows) if recipe.loss_type == "kto" else rows
        moments.append(_passes(known, weights, adapter, _sizes(model, recipe, window, layers, wide)))
    return max(moments, key=lambda parts: parts.total)


class Known(NamedTuple):
    """What the moments of a step depend on besides weights and adapters; ``element``: bytes of an activation."""

    recipe: Recipe
    sizes: Sizes
    depth: int
    vocabulary: int
    element: int
    metal: bool

    @property
    def layer(self) -> Alive:
        """Of a layer, kept for the gradient."""
        found = KEPT[self.element, self.recipe.lora_targets]
        return found._replace(adapted=self.element) if self.recipe.use_dora else found

    def head(self, sizes: Sizes, ahead: float, whole: float) -> float:
        """Bytes of logits and what is computed from them: of a pack's, or of those tiles that are under way."""
        tile = max(16, TILE_BYTES // (4 * self.vocabulary) // 16 * 16)
        copies = whole * sizes.scored if sizes.scored <= tile else min(whole * sizes.scored, ahead * tile)
        return 4 * self.vocabulary * copies


def _backward(known: Known, weights: float, adapter: float, packs: int, layers: dict[str, tuple[int, int]]) -> Parts:
    """Gradients of the last pack: those of earlier packs are added up, and the pack before is still held."""
    recipe, sizes = known.recipe, known.sizes
    layer, way = known.layer.bytes(sizes), UNDER_WAY[known.element].bytes(sizes._replace(ranks=0))
    head = known.head(sizes, *HEAD)
    if recipe.gradient_checkpointing:
        most, again, share = AGAIN[known.element]
        kept = float(known.depth * sizes.tokens * sizes.hidden * known.element)
        anew = min(known.depth, most) * again * layer + share * way
        # The head is done with before the first layer is computed again.
        kept, head = (kept, head) if head > anew else (kept + anew, 0.0)
    else:
        kept = known.depth * layer + way
    dora = DORA_WEIGHTS * 4 * sum(one * other for one, other in _targets(layers, recipe)) if recipe.use_dora else 0.0
    arriving = 1 if recipe.gradient_checkpointing else 0
    return Parts(
        weights=weights,
        adapter=adapter,
        gradients=adapter * (min(packs - 1, 2) + arriving),
        optimizer=2 * adapter,
        activations=kept + dora,
        head=head,
        passes=0.0,
    )


def _update(weights: float, adapter: float) -> Parts:
    """The optimizer's update of all parameters at once."""
    return Parts(weights, adapter, UPDATE * adapter, 2 * adapter, 0.0, 0.0, 0.0)


def _passes(known: Known, weights: float, adapter: float, wide: Sizes) -> Parts:
    """KL and reference scores, without gradient: the activations of a few layers, whose operations run ahead.

    Metal's attention holds no scores there (``mlx.core.fast.scaled_dot_product_attention``; with a gradient it does).
    """
    layer = KEPT[4, known.recipe.lora_targets]
    if known.metal:
        layer = layer._replace(score=0.0)
    return Parts(
        weights=weights,
        adapter=adapter,
        gradients=0.0,
        optimizer=2 * adapter,
        activations=0.0,
        head=known.head(wide, *HEAD_ALONE[known.element]),
        passes=(1 + (WITHOUT - 1) * min(known.depth, DEEP) / DEEP) * layer.bytes(wide),
    )
