"""Peak memory of a KTO step by arithmetic: a model's own counts, and traced polynomials in the sizes of its window."""

import math
from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from kto_tui.catalog import ModelSpec
from kto_tui.memory.coefficients import ONE_HEAD, PACKED, Case, Moment, Term, product, table
from kto_tui.recipe import Recipe

# bitsandbytes NF4 with double quantisation: 4-bit weight + one 8-bit absmax per 64 + one fp32 per 64*256.
NF4_BYTES = 0.5 + 1 / 64 + 4 / (64 * 256)
# bitsandbytes' 8-bit AdamW: two states of a byte and, for every 256 elements, two fp32 absmax.
ADAMW_8BIT_BYTES = 2 * (1 + 4 / 256)
# kto_tui.backends.hf.kto: tokens of a pass without gradient as a multiple of a pack's, bytes of a tile of the head in
# float32, scores of a group of rows in attention on processors. A test compares them with the trainer's own.
WITHOUT_GRADIENT, WITH_CHECKPOINTING = 8, 2
TILE_BYTES = 24 * 2**20
GROUP_SCORES = 160_000

TRL_CHUNK = 32768  # trl.kernels.chunked_logprob: vocabulary entries of a tile of logits

DeviceKind = Literal["cuda", "rocm", "mps", "cpu"]


class Window(msgspec.Struct, frozen=True):
    """Rows a step is predicted for: ``length`` tokens each, ``scored`` of them the completion's."""

    length: int
    scored: int


class Parts(msgspec.Struct, frozen=True):
    """Predicted bytes of the allocator at a step's worst moment, by what they are."""

    weights: float
    adapter: float
    gradients: float
    optimizer: float
    activations: float
    head: float
    passes: float

    @property
    def total(self) -> float:
        """All parts together."""
        values: tuple[float, ...] = msgspec.structs.astuple(self)
        return sum(values)

    def times(self, factor: float) -> "Parts":
        """Every part but the weights, which are counted and not predicted, multiplied."""
        rest = {name: value * factor for name, value in msgspec.structs.asdict(self).items() if name != "weights"}
        return Parts(weights=self.weights, **rest)


def round_up(count: int) -> int:
    """``kto_tui.backends.hf.kto.layout.round_up``: the sizes that passes on processors are padded to."""
    step = max(8, 1 << count.bit_length() >> 4)
    return -(-count // step) * step


def bits_of(recipe: Recipe, precision: str) -> Literal[16, 32]:
    """Bits of weights and activations; ``precision`` is the device's own, for recipes that leave it open."""
    return 32 if (precision if recipe.precision == "auto" else recipe.precision) == "fp32" else 16


def case_of(model: ModelSpec, recipe: Recipe, device: DeviceKind, precision: str) -> Case:
    """The traced case that a recipe falls under."""
    nf4 = recipe.quantization == "nf4"
    joint = recipe.micro_batch >= recipe.effective_batch
    return Case(
        "cpu" if device == "cpu" else "accelerator",
        bits_of(recipe, precision),
        nf4,
        recipe.gradient_checkpointing,
        recipe.lora_targets,
        joint,
        nf4 and (precision if recipe.precision == "auto" else recipe.precision) == "fp16",
        recipe.loss_type == "kto" or not (joint and model.model_type in PACKED),
    )


def weight_bytes(model: ModelSpec, *, bits: int, nf4: bool) -> float | None:
    """Bytes of the frozen base model; None where its counts are unknown."""
    if model.parameters is None:
        return None
    if not nf4:
        return model.parameters * bits / 8
    linear = model.nf4_linear_params
    return None if linear is None else linear * NF4_BYTES + (model.parameters - linear) * bits / 8


def sizes(model: ModelSpec, recipe: Recipe, window: Window, *, rounds: bool) -> dict[str, float] | None:
    """The sizes that ``kto_tui.memory.coefficients.Term`` names; None where the model's shape is unknown."""
    shape = (model.hidden_size, model.intermediate_size, model.vocab_size, model.heads, model.kv_heads, model.head_dim)
    if None in shape or model.layers is None:
        return None
    hidden, inner, vocabulary, heads, kv_heads, head_dim = (int(each) for each in shape if each is not None)
    rows = min(recipe.micro_batch, recipe.effective_batch)
    room = WITH_CHECKPOINTING if recipe.gradient_checkpointing else WITHOUT_GRADIENT
    wide = min(recipe.effective_batch, room * rows)
    length, scored = window.length, window.scored
    up = round_up if rounds else int

    def grouped(queries: int) -> float:
        return max(1, GROUP_SCORES // max(1, queries * length)) if rounds else math.inf

    return {
        "layers": model.layers, "h": hidden, "m": inner, "V": vocabulary, "kv": kv_heads, "g": heads / kv_heads,
        "d": head_dim, "r": recipe.lora_rank, "S": up(length), "B": rows, "T": up(rows * length), "K": rows * scored,
        "B2": wide, "T2": up(wide * length), "K2": wide * scored, "C": up(scored),
        "R": max(16, TILE_BYTES // (4 * vocabulary) // 8 * 8), "W": TRL_CHUNK,
        "grouped": grouped(length), "grouped C": grouped(scored),
    }  # fmt: skip


def _value(terms: Iterable[Term], known: Mapping[str, float]) -> float:
    layers = known["layers"]
    return sum((term.constant + term.per_layer * layers) * product(term.names, known) for term in terms)


def _parts(moment: Moment, known: Mapping[str, float], weights: float, recipe: Recipe, case: Case) -> Parts:
    adapter = _value(moment.parts.get("adapter", ()), known)
    other = [term for name, terms in moment.parts.items() if name != "adapter" for term in terms]
    head = _value((term for term in other if "V" in term.names or "R" in term.names), known)
    rest = _value((term for term in other if not {"V", "R"} & {*term.names}), known)
    gradients = adapter if moment.phase in {"backward", "optimizer"} else 0.0
    element = 2 if case.quantised and not case.wide else 4
    state = {"adamw_torch": 2.0 * element, "adamw_8bit": ADAMW_8BIT_BYTES, "paged_adamw_8bit": 0.0}[recipe.optimizer]
    activations = max(0.0, rest - gradients)
    passes = 0.0
    if moment.phase in {"kl", "reference", "reference kl"}:
        activations, passes = 0.0, activations
    return Parts(
        weights=weights,
        adapter=adapter,
        gradients=gradients,
        optimizer=adapter / element * state,
        activations=activations,
        head=head,
        passes=passes,
    )


def worst_row(recipe: Recipe) -> Window:
    """The longest row a recipe lets through, most of it answer."""
    return Window(recipe.max_length, recipe.max_length - 1)


def predict(
    model: ModelSpec, recipe: Recipe, device: DeviceKind, precision: str, window: Window | None = None
) -> Parts | None:
    """Allocated bytes at the worst moment of a step; None where the shape is unknown or was not traced.

    Args:
        model: what is trained.
        recipe: how.
        device: where.
        precision: the device's own, for recipes that leave it open.
        window: the rows; the longest that the recipe lets through if None.
    """
    case = case_of(model, recipe, device, precision)
    architecture = model.model_type or ""
    moments = table(ONE_HEAD.get(architecture, architecture) if model.kv_heads == 1 else architecture, case)
    known = sizes(model, recipe, window or worst_row(recipe), rounds=device == "cpu" and model.model_type in PACKED)
    weights = weight_bytes(model, bits=case.bits, nf4=case.quantised)
    if moments is None or known is None or weights is None:
        return None
    found = [
        _parts(moment, known, weights, recipe, case)
        for moment in moments
        if recipe.loss_type == "kto" or "kl" not in moment.phase
    ]
    found.append(_update(found[0], recipe, device))
    worst = max(found, key=lambda parts: parts.total)
    return worst if math.isfinite(worst.total) else None


def _update(step: Parts, recipe: Recipe, device: DeviceKind) -> Parts:
    """The optimizer's update: no activations, but on accelerators its temporaries for all parameters at once.

    torch.optim.adamw._multi_tensor_adamw holds the denominator; bitsandbytes' optimizers work in place.
    """
    foreach = device != "cpu" and recipe.optimizer == "adamw_torch"
    temporary = step.adapter if foreach else 0.0
    return msgspec.structs.replace(step, gradients=step.adapter, activations=temporary, passes=0.0)
