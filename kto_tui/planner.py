"""Proposes a whole recipe for a model, a machine and a data set, with a reason for every automatic value."""

import tomllib
from pathlib import Path
from typing import Any

import msgspec

from kto_tui.catalog import ModelSpec, find, nearest
from kto_tui.catalog.mlx import model_refusal
from kto_tui.device_rules import refused
from kto_tui.errors import UserError
from kto_tui.hardware import Hardware
from kto_tui.memory.advice import would_fit
from kto_tui.memory.estimate import Estimate, Verdict, verdict
from kto_tui.memory.fitting import Place, largest
from kto_tui.memory.measured import correction
from kto_tui.paths import presets
from kto_tui.recipe import LORA_TARGETS, Recipe, check_recipe, check_value, with_overrides
from kto_tui.units import count, parameters, size

# Peak LoRA learning rate by model size (docs/recipes.md): LoRA wants about ten times full fine-tuning's rate.
LEARNING_RATES = ((3e8, 3e-4), (1e9, 1e-4), (4e9, 5e-5), (9e9, 2e-5), (float("inf"), 1e-5))


# From here on a run is long enough to be evaluated and saved on its way.
LONG_RUN_STEPS = 150
# Why a value that nothing above decides is what it is.
DEFAULT_BECAUSE = {
    "method": "thumbs up and down",
    "loss_type": "the KTO paper's loss",
    "beta": "the usual value",
    "desirable_weight": "label balance, Eq. 8",
    "undesirable_weight": "label balance, Eq. 8",
    "epochs": "more tend to overfit",
    "steps": "as many as the epochs give",
    "long_rows": "their beginnings teach too",
    "completion_only_loss": "prompts are not to be imitated",
    "lora_targets": "all linear layers learn best",
    "schedule": "usual with a warm-up",
    "warmup": "a gentle start",
    "max_grad_norm": "the usual value",
    "lora_rank": "enough for preferences",
    "lora_alpha": "twice the rank",
    "use_dora": "LoRA learns preferences as well",
    "quantization": "the weights fit as they are",
    "optimizer": "LoRA's state is small",
    "gradient_checkpointing": "activations fit without",
    "heldout_share": "enough to judge by",
    "eval_every": "shows early whether it generalises",
    "sample_every": "shows once on the way what it says",
    "save_every": "no more than five minutes are lost",
    "save_total_limit": "one may turn out damaged",
    "report_to": "nothing leaves this machine",
    "log_every": "every step is a point",
    "seed": "any number will do",
}


PRECISION_BECAUSE = {
    "bf16": "the device has bf16",
    "fp16": "no bf16 before compute capability 8.0",
    "fp32": "no bf16 units found",
}
LAYERS = {name: {*layers} for name, layers in LORA_TARGETS.items() if not isinstance(layers, str)}


class Preset(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A named recipe: some fields fixed, the rest automatic."""

    name: str = ""
    title: str
    summary: str
    learning_rate_factor: float = 1.0
    recipe: dict[str, Any] = msgspec.field(default_factory=dict)
    because: dict[str, str] = msgspec.field(default_factory=dict)


class Plan(msgspec.Struct, frozen=True):
    """A complete recipe, the reason for each automatic value, and the memory it is predicted to need.

    ``would_fit``: what would make a model fit that does not; ``backend``: who trains it here, in words;
    ``backend_name``: as a run file names it.
    """

    recipe: Recipe
    because: dict[str, str]
    predicted: Estimate | None
    verdict: Verdict
    verdict_because: str
    would_fit: str | None = None
    backend: str = ""
    backend_name: str = "hf"


def load_presets() -> dict[str, Preset]:
    """The named recipes in ``presets/recipes``, the usual one first."""
    found = {}
    for path in sorted((presets() / "recipes").glob("*.toml")):
        found[path.stem] = _read_preset(path)
    return dict(sorted(found.items(), key=lambda item: (item[0] != "usual", item[0])))


def _read_preset(path: Path) -> Preset:
    try:
        preset = msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Preset)
        for name, value in preset.recipe.items():
            check_value(name, value)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise UserError(f"The recipe preset is broken ({error})", mend="Mend that file", where=str(path)) from None
    return msgspec.structs.replace(preset, name=path.stem)


def _learning_rate(model: ModelSpec, factor: float) -> tuple[float, str]:
    if model.parameters is None:
        return 5e-5 * factor, "the model's size is unknown: a middle value for LoRA"
    rate = next(rate for limit, rate in LEARNING_RATES if model.parameters <= limit)
    return float(f"{rate * factor:.2g}"), f"LoRA on {parameters(model.parameters)}"


def effective_batch(rows: int | None) -> tuple[int, str]:
    """Rows per optimizer step that suit so many rows in all, and why."""
    if rows is None:
        return 16, "the number of rows is not known yet"
    for limit, batch in ((1_000, 8), (4_000, 16)):
        if rows < limit:
            return batch, f"enough steps from {count(rows)} rows"
    return 32, f"{count(rows)} rows"


def _set_intervals(values: dict[str, Any], because: dict[str, str], rows: int) -> None:
    """Evaluate a long run more often on its way."""
    total = -(-rows // values["effective_batch"]) * float(values.get("epochs", 1.0))
    if total > LONG_RUN_STEPS:
        values.setdefault("eval_every", max(50, round(total / 10)))
        because["eval_every"] = f"ten times in about {count(round(total))} steps"


def place_of(hardware: Hardware, backend: str = "hf") -> Place:
    """``hardware`` with what the backend's own runs there have measured; a machine one plans for has none."""
    return Place(hardware, None if hardware.planned_as else correction(hardware.device_name, backend), backend)


def _backend(hardware: Hardware, backend: str) -> str:
    if backend == "mlx":
        return {"mps": "MLX on Metal", "cpu": "MLX on the processor"}.get(hardware.device, "MLX")
    names = {"cuda": "TRL on CUDA", "rocm": "TRL on ROCm", "mps": "TRL on Apple's MPS", "cpu": "TRL on the processor"}
    return names[hardware.accelerator]


def _precision(hardware: Hardware, backend: str) -> tuple[str, str]:
    if backend == "mlx":
        if hardware.device == "mps":
            return "bf16", "MLX has bf16 on Apple GPUs"
        return "fp32", "MLX is ten times slower in bf16 on processors"
    if hardware.device == "mps":
        return hardware.precision, "MPS trains in 32 bits here"
    return hardware.precision, PRECISION_BECAUSE[hardware.precision]


def _refusal(model: ModelSpec, recipe: Recipe, hardware: Hardware, backend: str) -> str | None:
    """Why the backend would refuse the settings, whatever memory they need; None where it would not."""
    refusal = model_refusal(model, backend, recipe.quantization, recipe.max_length) or refused(
        recipe, hardware.device, bf16=hardware.precision != "fp16", backend=backend
    )
    if refusal is not None:
        return f"{refusal.what}; {refusal.mend[0].lower()}{refusal.mend[1:]}"
    layers = LAYERS.get(recipe.lora_targets, set())
    if model.lora_targets and not layers <= {*model.lora_targets}:
        return f"the model has no layers {', '.join(sorted(layers))}; set lora_targets to full"
    return None


def _judge(model: ModelSpec, predicted: Estimate | None, free: int | None, backend: str) -> tuple[Verdict, str]:
    """The verdict on memory; UNKNOWN, and why, where too little is known of the model."""
    if model.known_to_transformers is False and backend == "hf":
        guess = "" if predicted is None else f"; by its size it would need about {size(predicted.total)}"
        return "UNKNOWN", f"Transformers trains no language model of architecture {model.model_type}{guess}"
    if predicted is not None:
        return verdict(predicted, free)
    if model.hidden_size is not None:
        how = "are quantised already" if model.quantised else "are not safetensors files"
        return "UNKNOWN", f"its weights {how} and could not be counted"
    near = "" if find(model.id) is not None else next(iter(nearest(model.id)), "")
    return "UNKNOWN", f"its shape is not known before it is downloaded{f'. Did you mean {near}?' if near else ''}"


def _under_mlx(model: ModelSpec, recipe: Recipe, hardware: Hardware) -> str:
    """What a recipe for TRL on a Mac would need under MLX in 4 bits; empty where MLX would refuse the model."""
    changed = msgspec.structs.replace(recipe, quantization="int4", optimizer="adamw_torch", precision="auto")
    needed = None if _refusal(model, changed, hardware, "mlx") else place_of(hardware, "mlx").estimate(model, changed)
    return "" if needed is None else f". Under MLX with quantization int4 it would need {size(needed.total)}"


def _max_length(model: ModelSpec, device: str, row_tokens: int | None, backend: str) -> tuple[int, str]:
    """Longest row in tokens, in whole 64s: from the data where they are known."""
    most = 512 if device == "cpu" else 1024
    length, why = most, "long rows are slow here" if device == "cpu" else "enough for most chats"
    if row_tokens is not None:
        length = max(128, -(-row_tokens * 5 // 4 // 64) * 64)
        why = f"95 % of the rows have about {count(row_tokens)} or less"
        if device == "cpu" and length > most:
            length, why = most, f"{why}, but long rows are slow here"
    if model.context is not None and model.context < length:
        length, why = max(16, model.context), "the model's whole context"
    if backend == "mlx" and (limit := model.mlx_limit) is not None and limit.tokens < length:
        length, why = max(16, limit.tokens), "mlx-lm computes longer rows of this model otherwise"
    return min(length, 131_072), why


def propose(
    model: ModelSpec,
    hardware: Hardware,
    *,
    rows: int | None = None,
    row_tokens: int | None = None,
    preset: Preset | None = None,
    overrides: dict[str, Any] | None = None,
    backend: str = "hf",
) -> Plan:
    """The recipe kto-tui would choose.

    Args:
        model: what to train.
        hardware: where.
        rows: training rows, None while they are not known.
        row_tokens: estimated tokens that 95 % of the rows stay below, None while they are not known.
        preset: named recipe whose fields win over automatic ones.
        overrides: fields set by hand; they win over everything.
        backend: who trains; see ``kto_tui.backend_choice``.

    Raises:
        UserError: an override is out of bounds or does not fit the others.
    """
    fixed = dict(preset.recipe if preset else {})
    by_hand = {name: check_value(name, value) for name, value in (overrides or {}).items()}
    device, place = hardware.device, place_of(hardware, backend)
    because: dict[str, str] = dict(DEFAULT_BECAUSE)
    if model.quantised is not None:
        because["quantization"] = "the checkpoint is quantised already"
    if device != "cuda" or backend == "mlx":
        # A preset made for CUDA cards still gives a recipe this machine can run.
        for name in {"optimizer"} | ({"quantization"} if device == "mps" or backend == "mlx" else set()):
            if fixed.pop(name, None) is not None:
                because[name] = "the preset's needs CUDA"
    values: dict[str, Any] = {}
    values["precision"], because["precision"] = _precision(hardware, backend)
    values["max_length"], because["max_length"] = _max_length(model, device, row_tokens, backend)
    values["learning_rate"], because["learning_rate"] = _learning_rate(
        model, preset.learning_rate_factor if preset else 1.0
    )
    values["effective_batch"], because["effective_batch"] = effective_batch(rows)
    locked = {**fixed, **by_hand}
    values |= locked
    if rows is not None and "steps" not in locked:
        _set_intervals(values, because, rows)
    if "micro_batch" not in locked:
        values["micro_batch"] = min(8, values["effective_batch"])
    recipe, given_up = largest(model, with_overrides(Recipe(), values), place, locked)
    one_pack = recipe.micro_batch == recipe.effective_batch and backend != "mlx"
    because["micro_batch"] = "the whole batch at once: prompts once" if one_pack else "as fast as larger ones"
    because |= given_up
    predicted = place.estimate(model, recipe)
    if predicted is None:
        because |= dict.fromkeys(("micro_batch", "quantization", "gradient_checkpointing"), "what fits is not known")
    for name in fixed:
        because[name] = preset.because.get(name, f"recipe {preset.title}") if preset else ""
    for name in by_hand:
        because[name] = "set by you"
    if model.context is not None and recipe.max_length > model.context:
        because["max_length"] += f", but the model's context is {count(model.context)}"
    refusal = _refusal(model, recipe, hardware, backend)
    judged: tuple[Verdict, str] = ("NO", refusal) if refusal else _judge(model, predicted, place.free, backend)
    word, why = judged
    mend = would_fit(model, recipe, place) if refusal is None and word in {"NO", "TIGHT"} else None
    if mend is not None and device == "mps" and backend == "hf":
        mend += _under_mlx(model, recipe, hardware)
    return Plan(check_recipe(recipe), because, predicted, word, why, mend, _backend(hardware, backend), backend)
