"""The hyper-parameters: one annotated field each drives validation, the form, the command line and the TOML file."""

import difflib
import types
import typing
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from kto_tui.errors import UserError
from kto_tui.units import compact

LORA_TARGETS: dict[str, tuple[str, ...] | str] = {
    "minimal": ("q_proj", "v_proj"),
    "balanced": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "full": "all-linear",
}
Value = str | int | float | bool | None


def _meta(title: str, help_text: str, *, common: bool = False, **bounds: Any) -> Meta:  # noqa: ANN401
    unit = bounds.pop("unit", "")
    return Meta(title=title, description=help_text, extra={"common": common, "unit": unit}, **bounds)


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to train. Bounds, unit, label and help of every field live in its annotation; ``None`` means automatic."""

    method: Annotated[
        Literal["kto", "sft"],
        _meta("Method", "kto: thumbs up and down; sft: imitate the good answers (backend mlx)", common=True),
    ] = "kto"
    loss_type: Annotated[
        Literal["kto", "apo_zero_unpaired"],
        _meta(
            "Loss",
            "kto: Eq. 7 of arXiv:2402.01306; apo_zero_unpaired: arXiv:2408.06266, no KL pass",
            common=True,
        ),
    ] = "kto"
    beta: Annotated[
        float,
        _meta(
            "Beta",
            "How tightly to stay near the base model; 0.01-0.1 freer, 0.5-1 tighter",
            common=True,
            gt=0,
            le=10,
        ),
    ] = 0.1
    desirable_weight: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None,
        _meta("Desirable weight", "Weight of thumbs-up rows; empty: from the label balance (Eq. 8)", common=True),
    ] = None
    undesirable_weight: Annotated[
        Annotated[float, Meta(gt=0, le=1000)] | None,
        _meta(
            "Undesirable weight",
            "Weight of thumbs-down rows; empty: from the label balance (Eq. 8)",
            common=True,
        ),
    ] = None
    learning_rate: Annotated[
        float,
        _meta(
            "Learning rate",
            "Peak step size; LoRA wants about ten times that of full fine-tuning",
            common=True,
            gt=0,
            le=0.1,
        ),
    ] = 1e-4
    epochs: Annotated[float, _meta("Epochs", "Passes over the training rows", common=True, gt=0, le=100)] = 1.0
    steps: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _meta("Steps", "Stop after so many optimizer steps; empty: what the epochs give", common=True),
    ] = None
    effective_batch: Annotated[
        int,
        _meta(
            "Effective batch",
            "Rows per optimizer step, micro-batches added up; carries the KL estimate",
            common=True,
            ge=2,
            le=4096,
            unit="rows",
        ),
    ] = 16
    micro_batch: Annotated[
        int,
        _meta(
            "Micro-batch",
            "Rows per pass, at most; sets memory and speed, not what is learnt",
            common=True,
            ge=1,
            le=1024,
            unit="rows",
        ),
    ] = 4
    max_length: Annotated[
        int,
        _meta(
            "Max length",
            "Prompt and completion together; longer rows are cut on the right",
            common=True,
            ge=16,
            le=131_072,
            unit="tokens",
        ),
    ] = 1024
    long_rows: Annotated[
        Literal["cut", "skip"],
        _meta("Long rows", "cut: shorten the answers of rows beyond max length; skip: leave such rows out"),
    ] = "cut"
    completion_only_loss: Annotated[
        bool, _meta("Completion only", "sft: learn the answers alone, not the prompts too")
    ] = True
    lora_targets: Annotated[
        Literal["minimal", "balanced", "full"],
        _meta("LoRA targets", "minimal: q,v; balanced: q,k,v,o; full: all linear layers", common=True),
    ] = "full"
    schedule: Annotated[
        Literal["cosine", "linear", "constant_with_warmup", "constant"],
        _meta("Schedule", "Course of the learning rate"),
    ] = "cosine"
    warmup: Annotated[float, _meta("Warm-up", "Share of the steps in which the learning rate rises", ge=0, lt=1)] = 0.1
    max_grad_norm: Annotated[
        float,
        _meta("Gradient clipping", "Largest gradient norm; lower it when the loss turns NaN", gt=0, le=1000),
    ] = 1.0
    lora_rank: Annotated[int, _meta("LoRA rank", "Size of the adapter; 8 small, 16 usual, 32 large", ge=1, le=1024)] = (
        16
    )
    lora_alpha: Annotated[int, _meta("LoRA alpha", "The adapter is scaled by alpha / rank", ge=1, le=4096)] = 32
    use_dora: Annotated[
        bool, _meta("DoRA", "Train each layer's magnitude apart from its direction (arXiv:2402.09353; backend mlx)")
    ] = False
    quantization: Annotated[
        Literal["none", "nf4", "int4", "int8"],
        _meta("Quantisation", "4 or 8-bit base weights (QLoRA); nf4: bitsandbytes; int4, int8: backend mlx"),
    ] = "none"
    precision: Annotated[
        Literal["auto", "bf16", "fp16", "fp32"],
        _meta("Precision", "auto: bf16 where the device has it, fp16 on older CUDA, else fp32"),
    ] = "auto"
    optimizer: Annotated[
        Literal["adamw_torch", "adamw_8bit", "paged_adamw_8bit"],
        _meta("Optimizer", "8-bit and paged need CUDA and bitsandbytes"),
    ] = "adamw_torch"
    gradient_checkpointing: Annotated[
        bool, _meta("Checkpointing", "Recompute activations: less memory, about a third slower")
    ] = False
    heldout_share: Annotated[
        float, _meta("Held-out share", "Share of rows kept for evaluation, at least 16 rows", ge=0, le=0.5)
    ] = 0.1
    eval_every: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _meta("Evaluate every", "Steps between evaluations; empty: at each third of the run", unit="steps"),
    ] = None
    sample_every: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _meta("Sample every", "Steps between answers to the fixed prompts; empty: at half of the run", unit="steps"),
    ] = None
    save_every: Annotated[
        Annotated[int, Meta(ge=1, le=1_000_000)] | None,
        _meta("Save every", "Steps between checkpoints; empty: every five minutes", unit="steps"),
    ] = None
    save_total_limit: Annotated[
        int, _meta("Checkpoints kept", "The newest; two survive a damaged one", ge=1, le=1000, unit="checkpoints")
    ] = 2
    report_to: Annotated[
        Literal["none", "tensorboard", "trackio", "wandb"],
        _meta("Tracker", "Where curves are sent besides; none: nothing leaves this machine"),
    ] = "none"
    log_every: Annotated[
        int, _meta("Log every", "Steps between points of the curves", ge=1, le=10_000, unit="steps")
    ] = 1
    seed: Annotated[int, _meta("Seed", "Of the split, the order and the adapter", ge=0, le=2**31 - 1)] = 42


class Field(msgspec.Struct, frozen=True):
    """One recipe field as a form or an error message needs it."""

    name: str
    label: str
    help: str
    unit: str
    common: bool
    kind: Literal["choice", "bool", "int", "float"]
    optional: bool
    choices: tuple[str, ...]
    bounds: str
    annotation: Any


def _bounds(meta: Meta) -> str:
    parts = [
        f"{word} {compact(float(value))}"
        for word, value in (
            ("above", meta.gt),
            ("at least", meta.ge),
            ("below", meta.lt),
            ("at most", meta.le),
        )
        if value is not None
    ]
    return ", ".join(parts)


def field_of(name: str, annotation: Any) -> Field:  # noqa: ANN401
    """``Field`` of an annotation as in ``Recipe``."""
    base, meta = get_args(annotation)
    optional = get_origin(base) in {types.UnionType, typing.Union} and type(None) in get_args(base)
    inner = next(arg for arg in get_args(base) if arg is not type(None)) if optional else base
    limits = meta
    if optional:
        # msgspec takes bounds only directly on the number, so an optional field carries them one level down.
        inner, limits = get_args(inner)
    choices: tuple[str, ...] = ()
    kind: Literal["choice", "bool", "int", "float"]
    if get_origin(inner) is Literal:
        kind, choices = "choice", get_args(inner)
    elif inner is bool:
        kind = "bool"
    else:
        kind = "int" if inner is int else "float"
    extra = meta.extra
    return Field(
        name,
        meta.title,
        meta.description,
        extra["unit"],
        extra["common"],
        kind,
        optional,
        choices,
        _bounds(limits),
        annotation,
    )


FIELDS: tuple[Field, ...] = tuple(
    field_of(name, annotation) for name, annotation in get_type_hints(Recipe, include_extras=True).items()
)
_BY_NAME = {field.name: field for field in FIELDS}
_WITHOUT_USE = {"kto": {"completion_only_loss"}, "sft": {"loss_type", "beta", "desirable_weight", "undesirable_weight"}}


def fields_of(method: str) -> tuple[Field, ...]:
    """The fields that mean something to ``method``."""
    return tuple(field for field in FIELDS if field.name not in _WITHOUT_USE[method])


def field_named(name: str) -> Field:
    """The field called ``name``; a UserError with the nearest known name otherwise."""
    if name in _BY_NAME:
        return _BY_NAME[name]
    near = difflib.get_close_matches(name, _BY_NAME, n=1, cutoff=0.4)
    hint = f"Did you mean {near[0]}?" if near else f"Known keys: {', '.join(_BY_NAME)}"
    raise UserError(f"Unknown recipe key {name!r}", mend=hint.rstrip("?") + ("?" if near else ""), where="[recipe]")


def check_value(name: str, value: object) -> Value:
    """``value`` converted to the type of field ``name``, or a UserError that gives the bounds."""
    return convert(field_named(name), value, where=f"[recipe] {name}")


def convert(field: Field, value: object, *, where: str) -> Value:
    """``value`` converted to the type of ``field``, or a UserError about ``where`` that gives the bounds."""
    try:
        return typing.cast("Value", msgspec.convert(value, field.annotation))
    except (msgspec.ValidationError, UnicodeEncodeError):
        expected = (
            " or ".join(field.choices)
            or {"bool": "true or false", "int": "a whole number", "float": "a number"}[field.kind]
        )
        limits = f", {field.bounds}" if field.bounds else ""
        raise UserError(f"{field.label} cannot be {value!r}", mend=f"Give {expected}{limits}", where=where) from None


def check_recipe(recipe: Recipe) -> Recipe:
    """``recipe`` itself when its fields agree with each other; a UserError naming the two that do not."""
    if recipe.micro_batch > recipe.effective_batch:
        raise UserError(
            f"A micro-batch of {recipe.micro_batch} is larger than the effective batch of {recipe.effective_batch}",
            mend=f"Choose {recipe.effective_batch} or less",
            where="[recipe] micro_batch",
        )
    return recipe


def with_overrides(recipe: Recipe, overrides: dict[str, Any]) -> Recipe:
    """``recipe`` with some fields replaced, each checked on its own and then together."""
    values = {name: check_value(name, value) for name, value in overrides.items()}
    return check_recipe(msgspec.structs.replace(recipe, **values))
