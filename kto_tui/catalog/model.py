"""What is known of one model, and the Transformers configuration that follows from it."""

import functools
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from kto_tui.errors import UserError

Size = Annotated[int, msgspec.Meta(ge=1, le=2**24)]
Context = Annotated[int, msgspec.Meta(ge=1, le=2**40)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**14)]
Text = Annotated[str, msgspec.Meta(min_length=1)]
Name = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z][\w.-]{0,63}$")]
HubId = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][\w.-]*/[\w.-]+$")]
Whole = Annotated[int, msgspec.Meta(ge=-(2**40), le=2**40)]
Value = bool | Whole | float | str | list[Whole | str] | None

# The architectures the catalog describes: layers, linear weights and LoRA targets of these are known, not guessed.
SUPPORTED = frozenset(
    {
        "gemma", "gemma2", "gemma3_text", "gemma4_text", "gemma4_unified_text", "gpt_oss", "granite", "lfm2", "llama",
        "mistral", "mixtral", "olmo3", "phi3", "qwen2", "qwen3", "qwen3_5_moe_text", "qwen3_5_text", "qwen3_moe",
        "smollm3", "stablelm",
    }
)  # fmt: skip
# Those whose layers are the seven plain projections (fused or not): their linear weights follow from the shapes.
LLAMA_LIKE = frozenset(
    {"gemma", "gemma2", "gemma3_text", "granite", "llama", "mistral", "olmo3", "phi3", "qwen2", "qwen3", "smollm3"}
    | {"stablelm"}
)
# Keys of config.json beyond the shapes that decide the parameter count or the structure of the layers.
STRUCTURE = frozenset(
    {
        "attention_bias", "attention_k_eq_v", "block_auto_adjust_ff_dim", "block_ffn_dim_multiplier",
        "block_multiple_of", "enable_moe_block", "full_attention_interval", "full_attn_idxs", "global_head_dim",
        "hidden_size_per_layer_input", "layer_types", "linear_key_head_dim", "linear_num_key_heads",
        "linear_num_value_heads", "linear_value_head_dim", "mlp_bias", "moe_intermediate_size", "num_experts",
        "num_experts_per_tok", "num_global_key_value_heads", "num_kv_shared_layers", "num_local_experts",
        "shared_expert_intermediate_size", "sliding_window", "sliding_window_pattern", "top_k_experts",
        "use_double_wide_mlp", "use_qkv_bias", "use_sliding_window", "vocab_size_per_layer_input",
    }
)  # fmt: skip
# Each shape's name in config.json. Without an OPTIONAL one the architecture's default holds, in a checkpoint as here.
CONFIG_KEYS = {n: n for n in ("hidden_size", "head_dim", "intermediate_size", "vocab_size")} | {
    "layers": "num_hidden_layers", "heads": "num_attention_heads", "kv_heads": "num_key_value_heads",
    "tied_embeddings": "tie_word_embeddings", "context": "max_position_embeddings",
}  # fmt: skip
OPTIONAL = {"tied_embeddings", "context"}


@functools.cache
def causal_architectures() -> frozenset[str]:
    """Transformers' model types with a causal language model (AutoModelForCausalLM's mapping), as shipped."""
    return frozenset(Path(__file__).with_name("causal_architectures.txt").read_text(encoding="ascii").split())


class Packed(msgspec.Struct, frozen=True):
    """What is kept of a checkpoint that MLX has quantised.

    Attributes:
        packed_bytes: of packed values and one-byte scales, which stay as they lie in the file.
        floats: numbers beside them, scales and biases of groups among them, which are loaded in a run's precision.
    """

    packed_bytes: Annotated[int, msgspec.Meta(ge=0, le=10**14)]
    floats: Annotated[int, msgspec.Meta(ge=0, le=10**14)]

    def resident_bytes(self, element: int) -> int:
        """In memory, a floating-point number taking ``element`` bytes."""
        return self.packed_bytes + self.floats * element


class MlxLimit(msgspec.Struct, frozen=True):
    """Rows of more than ``tokens`` mlx-lm scores otherwise than Transformers: a window it does not slide, or positions
    that are rotated otherwise in longer rows."""

    tokens: Context
    cause: Literal["window", "longrope", "dynamic"]


class ModelSpec(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model; None means unknown. presets/models.toml explains the fields.

    ``verified`` is said of catalog models only; ``quantised`` is a checkpoint's own quantisation method, and
    ``packed`` what is kept of it where that is MLX's. ``parameters`` are those that quantised weights stand for.
    ``mlx_limit`` and ``mlx_difference`` say where mlx-lm computes another model than Transformers: in longer rows, or
    in all.
    """

    id: Text
    title: Text
    parameters: Count | None = None
    verified: bool | None = None
    model_type: Name | None = None
    hidden_size: Size | None = None
    layers: Size | None = None
    heads: Size | None = None
    kv_heads: Size | None = None
    head_dim: Size | None = None
    intermediate_size: Size | None = None
    vocab_size: Size | None = None
    tied_embeddings: bool | None = None
    context: Context | None = None
    config: dict[str, Value] = msgspec.field(default_factory=dict)
    nf4_linear_params: Count | None = None
    hub_bytes: Count | None = None
    lora_targets: tuple[Name, ...] | None = None
    licence: Text | None = None
    gated: bool | None = None
    unsloth_4bit: HubId | None = None
    mlx_4bit: HubId | None = None
    chat_template: (
        Literal[
            "chatml", "gemma", "gemma4", "granite", "harmony", "llama2", "llama3", "mistral", "phi3", "phi4", "zephyr"
        ]
        | None
    ) = None
    use: Literal["fast iteration", "general", "reasoning", "multilingual and coding"] | None = None
    note: str = ""
    quantised: Text | None = None
    packed: Packed | None = None
    mlx_limit: MlxLimit | None = None
    mlx_difference: Text | None = None

    def __hash__(self) -> int:
        """``config`` cannot be hashed; equal models have equal ids."""
        return hash(self.id)

    @property
    def supported(self) -> bool | None:
        """Whether the architecture is one the catalog describes; None where it is unknown. False: figures are rough."""
        return None if self.model_type is None else self.model_type in SUPPORTED

    @property
    def known_to_transformers(self) -> bool | None:
        """Whether Transformers trains language models of this architecture; None where it is unknown."""
        return None if self.model_type is None else self.model_type in causal_architectures()

    @property
    def download_bytes(self) -> int | None:
        """About what the hub's files hold: ``hub_bytes``, or two bytes a parameter that is not packed."""
        if self.parameters is None or self.id.startswith("/"):
            return None
        if self.packed is not None:
            return self.packed.resident_bytes(2)
        return self.hub_bytes or 2 * self.parameters

    @property
    def active_params(self) -> int | None:
        """Parameters that a token meets in matrix products: not the experts it passes by, the embedding once."""
        if self.parameters is None:
            return None
        experts = self.config.get("num_experts") or self.config.get("num_local_experts")
        chosen = self.config.get("num_experts_per_tok") or self.config.get("top_k_experts")
        width = self.config.get("moe_intermediate_size") or self.intermediate_size
        active = self.parameters
        if isinstance(experts, int) and isinstance(chosen, int) and isinstance(width, int) and self.layers:
            active -= self.layers * (experts - chosen) * 3 * (self.hidden_size or 0) * width
        if not self.tied_embeddings:
            active -= (self.vocab_size or 0) * (self.hidden_size or 0)
        return active if active > 0 else self.parameters

    @property
    def non_quantised_params(self) -> int | None:
        """What QLoRA leaves in 16 bits: embeddings, head, norms, biases, fused experts."""
        if self.parameters is None or self.nf4_linear_params is None or self.parameters <= self.nf4_linear_params:
            return None
        return self.parameters - self.nf4_linear_params


def config_values(spec: ModelSpec) -> dict[str, object]:
    """Keyword arguments for ``transformers.AutoConfig.for_model(spec.model_type, ...)``: shapes and ``spec.config``.

    Values that decide neither parameters nor layers (rope, norms, token ids) are left to the architecture's defaults.

    Raises:
        UserError: the model's architecture or one of its shapes is unknown.
    """
    shapes = {key: getattr(spec, field) for field, key in CONFIG_KEYS.items()}
    needed = {"model_type": spec.model_type} | {k: shapes[k] for f, k in CONFIG_KEYS.items() if f not in OPTIONAL}
    if lacking := sorted(key for key, value in needed.items() if value is None):
        mend = "Download it first, or choose a model from the catalog"
        raise UserError(f"The model's {' and '.join(lacking)} is not known", mend=mend, where=spec.id)
    return {key: value for key, value in shapes.items() if value is not None} | spec.config
