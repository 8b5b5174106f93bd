"""A rough estimate, by hand, for architectures whose step was not traced (mixtures of experts, hybrids, new ones)."""

from kto_tui.catalog import ModelSpec
from kto_tui.memory.predict import Parts, Window, bits_of, weight_bytes
from kto_tui.recipe import Recipe
from kto_tui.units import MIB

HEAD = 256 * MIB  # TRL 1.16's tile of logits, kept and folded in place
# Without a count of its linear layers a model is taken to be quantised nowhere: never less than it will need.
LAYER_HIDDEN, LAYER_INNER = 10, 5  # activations of one layer per token, in hidden and intermediate widths


def rough(model: ModelSpec, recipe: Recipe, precision: str, window: Window) -> Parts | None:
    """Predicted bytes, within about a quarter; None where even the parameter count is unknown.

    Where shapes are unknown they follow from the count: a decoder has about 12 * layers * hidden^2 parameters, and a
    layer for every 100 or so of its width.
    """
    bits = bits_of(recipe, precision)
    nf4 = recipe.quantization == "nf4" and model.nf4_linear_params is not None
    weights = weight_bytes(model, bits=bits, nf4=nf4)
    if weights is None or model.parameters is None:
        return None
    hidden = model.hidden_size or round((model.parameters * 100 / 12) ** (1 / 3))
    layers = model.layers or max(4, hidden // 100)
    inner = model.intermediate_size or 4 * hidden
    value = bits // 8
    tokens = min(recipe.micro_batch, recipe.effective_batch) * window.length
    adapter_elements = recipe.lora_rank * layers * (4 * 2 * hidden + 3 * (hidden + inner))
    element = 2 if recipe.quantization == "nf4" else 4
    layer = tokens * value * (LAYER_HIDDEN * hidden + LAYER_INNER * inner)
    kept = layers * tokens * hidden * value if recipe.gradient_checkpointing else (layers - 1) * layer
    state = {"adamw_torch": 2 * element, "adamw_8bit": 2, "paged_adamw_8bit": 0}[recipe.optimizer]
    return Parts(
        weights=weights,
        adapter=adapter_elements * element,
        gradients=adapter_elements * element,
        optimizer=adapter_elements * state,
        activations=kept + layer,
        head=HEAD,
        passes=0.0,
    )
