"""Random runs over the catalog, and the traces of the real step that predictions of them are held against."""

import random
from collections.abc import Iterator
from typing import Any, NamedTuple
from unittest import mock

import transformers

from kto_tui.backends.hf.kto import head
from kto_tui.catalog import ModelSpec, load_catalog
from kto_tui.memory.coefficients import SAME_AS, TRACED
from kto_tui.memory.predict import DeviceKind, Window, predict
from kto_tui.memory.trace.architectures import configuration, period
from kto_tui.memory.trace.exact import ExactSettings, run
from kto_tui.memory.trace.generate import TARGETS
from kto_tui.memory.trace.ledger import Ledger
from kto_tui.memory.trace.settings import Shape
from kto_tui.recipe import Recipe

transformers.logging.set_verbosity_error()
SPECS = [model for model in load_catalog() if model.model_type in TRACED | set(SAME_AS)]
PLACES: tuple[tuple[DeviceKind, str], ...] = (
    ("cuda", "bf16"),
    ("cuda", "fp16"),
    ("cpu", "bf16"),
    ("cpu", "fp32"),
    ("mps", "fp32"),
)


class Sample(NamedTuple):
    """A run that is predicted and traced."""

    spec: ModelSpec
    recipe: Recipe
    device: DeviceKind
    precision: str
    window: Window

    def __str__(self) -> str:
        made, (length, scored) = self.recipe, (self.window.length, self.window.scored)
        words = [self.spec.id, self.device, self.precision, made.quantization, made.lora_targets, made.loss_type]
        words += ["checkpointing"] if made.gradient_checkpointing else []
        words += [f"rank {made.lora_rank}", f"{made.micro_batch} of {made.effective_batch} rows"]
        return " ".join([*words, f"{length} tokens, {scored} scored"])

    @property
    def predicted(self) -> float:
        """Bytes by the app's arithmetic."""
        found = predict(self.spec, self.recipe, self.device, self.precision, self.window)
        assert found is not None, self
        return found.total


def random_sample(chance: random.Random, architecture: str | None = None, **chosen: Any) -> Sample:
    """A model of the catalog under settings that people choose."""
    spec = chance.choice([one for one in SPECS if architecture in {None, one.model_type}])
    device, precision = chance.choice(PLACES)
    rows = chance.choice([1, 2, 4, 8])
    window = rows if rows > 1 and chance.random() < 0.2 else rows * chance.choice([2, 3, 8] if rows < 4 else [2, 3])
    settings = {
        "quantization": "nf4" if device != "mps" and chance.random() < 0.5 else "none",
        "gradient_checkpointing": chance.random() < 0.5,
        "lora_targets": chance.choice(["minimal", "balanced", "full"]),
        "micro_batch": rows,
        "effective_batch": window,
        "lora_rank": chance.choice([8, 16, 64]),
        "max_length": chance.choice([128, 256, 512, 1024, 2048]),
        "loss_type": chance.choice(["kto", "kto", "kto", "apo_zero_unpaired"]),
    } | chosen
    if spec.model_type == "phi3":  # its projections are fused
        settings["lora_targets"] = "full"
    recipe = Recipe(**settings)
    length = recipe.max_length
    return Sample(spec, recipe, device, precision, Window(length, int(length * chance.choice([0.2, 0.5, 0.9]))))


def shape_of(spec: ModelSpec) -> Shape:
    """A catalog model as traces take it."""
    return Shape(
        architecture=spec.model_type,
        hidden_size=spec.hidden_size,
        num_hidden_layers=spec.layers,
        num_attention_heads=spec.heads,
        num_key_value_heads=spec.kv_heads,
        head_dim=spec.head_dim,
        intermediate_size=spec.intermediate_size,
        vocab_size=spec.vocab_size,
        tie_word_embeddings=bool(spec.tied_embeddings),
        extra=dict(spec.config),
    )


def exact_settings(sample: Sample) -> ExactSettings:
    """The window of a sample as the tracer takes it."""
    recipe = sample.recipe
    return ExactSettings(
        shape=shape_of(sample.spec),
        accelerator=sample.device != "cpu",
        dtype={"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}[sample.precision],
        autocast=sample.device == "cuda" and sample.precision != "fp32",
        quantised=recipe.quantization == "nf4",
        checkpointing=recipe.gradient_checkpointing,
        kl=recipe.loss_type == "kto",
        rank=recipe.lora_rank,
        targets=TARGETS[recipe.lora_targets],
        effective_batch=recipe.effective_batch,
        micro_batch=recipe.micro_batch,
        length=sample.window.length,
        scored=sample.window.scored,
    )


def _few_tiles(tiles: Any) -> Iterator[slice]:
    starts = range(0, len(tiles._hidden), tiles._size)
    for start in sorted({*starts[:2], *starts[-1:]}):
        yield slice(start, min(start + tiles._size, len(tiles._hidden)))


def peaks(settings: ExactSettings, layers: int, *, all_tiles: bool = False) -> dict[str, int]:
    """The peak of every phase of two windows with so many layers.

    Of the head's tiles, which are as large as each other and let go of each other's memory, the first two and the last
    are traced unless ``all_tiles``: most of a trace's time is theirs.
    """
    ledger = Ledger(accelerator=settings.accelerator)
    with mock.patch.object(head._Tiles, "__iter__", head._Tiles.__iter__ if all_tiles else _few_tiles):
        run(settings, layers, ledger)
    return {phase: peak.total for phase, peak in ledger.peaks.items()}


def traced(sample: Sample) -> dict[str, float]:
    """The peak of every phase at the model's own depth: on the line through two shallower ones."""
    settings = exact_settings(sample)
    every = period(configuration(settings.shape.architecture, settings.shape.values()))
    low, high = 2 * every, 4 * every
    first, second = peaks(settings, low), peaks(settings, high)
    more = ((sample.spec.layers or 0) - low) / (high - low)
    return {phase: first[phase] + (second[phase] - first[phase]) * more for phase in first}
