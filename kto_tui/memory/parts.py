"""The parts of a prediction, named for people."""

from kto_tui.memory.estimate import Estimate

PARTS = {
    "weights": "weights",
    "adapter": "adapter",
    "gradients": "gradients",
    "optimizer": "optimizer",
    "activations": "activations",
    "head": "logits and head",
    "passes": "KL and reference passes",
    "outside": "outside the allocator",
}


def parts_of(predicted: Estimate) -> list[tuple[str, float]]:
    """(name, bytes) of every part; they add up to the total."""
    values = {name: getattr(predicted.parts, name) for name in PARTS if name != "outside"}
    return [*values.items(), ("outside", predicted.outside)]
