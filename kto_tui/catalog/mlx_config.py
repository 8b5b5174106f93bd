"""Where mlx-lm computes otherwise than Transformers, told from a config.json: at any length, or in longer rows.

Found by running tiny random models of every architecture of the catalog through mlx-lm 0.32.2 and Transformers 5.23.
What mlx-lm can be told otherwise is no fault of the model: see ``kto_tui.backends.mlx.told``.
"""

import math
from collections.abc import Mapping
from typing import Any

from kto_tui.catalog.model import MlxLimit

Config = Mapping[str, Any]

# Architectures, less "_text", whose modules of mlx_lm.models slide a window; all others attend to whole rows.
SLIDING = frozenset(
    {
        "afmoe", "baichuan_m1", "cohere2", "deepseek_v41", "exaone4", "exaone_moe", "gear", "gemma3", "gemma3n",
        "gemma4", "gemma4_unified", "gpt_oss", "iquestloopcoder", "laguna", "mellum", "mimo_v2_flash", "ministral3",
        "muse_glimmer", "muse_spark", "nemotron-nas", "olmo3", "plamo2", "plamo3", "recurrent_gemma", "spark2_5",
        "step3p5",
    }
)  # fmt: skip
# Architectures that slide none in Transformers either, whatever their configuration says.
WHOLE = frozenset({"gemma", "granite", "lfm2", "llama", "olmo2", "qwen3_5", "qwen3_5_moe", "stablelm"})
# A window that Transformers takes where config.json names none, and families that have a switch for it, off by default.
WINDOWS = {"gemma2": 4096, "mistral": 4096}
SWITCHED = ("qwen2", "qwen3", "smollm3")
# Architectures, less "_text", whose modules of mlx_lm.models scale rotary positions; all others ignore that in silence.
SCALING = frozenset(
    {
        "afm7", "afmoe", "apertus", "bailing_hybrid", "bailing_moe", "bailing_moe_linear", "bailing_moe_v3", "bitnet",
        "deepseek_v2", "deepseek_v3", "deepseek_v32", "deepseek_v41", "dots1", "ernie4_5", "ernie4_5_moe", "exaone",
        "exaone4", "exaone_moe", "falcon_h1", "gear", "gemma3", "gemma4", "gemma4_unified", "glm4_moe_lite",
        "glm_moe_dsa", "gpt_oss", "gptj", "granite", "granitemoe", "granitemoehybrid", "hunyuan", "hunyuan_v1_dense",
        "internlm2", "internlm3", "iquestcoder", "iquestloopcoder", "joyai_llm_flash", "kimi_k2", "kimi_k25", "laguna",
        "llama", "llama4", "longcat_flash", "longcat_flash_ngram", "mellum", "mimo", "minicpm", "minicpm3",
        "minimax_m3_vl", "ministral3", "mistral", "mistral4", "muse_glimmer", "muse_spark", "nanbeige", "nemotron-nas",
        "olmo2", "olmo3", "olmo_hybrid", "olmoe", "phi3", "phimoe", "qwen2", "qwen2_5_vl", "qwen2_vl", "qwen3",
        "qwen3_5", "qwen3_5_moe", "qwen3_next", "qwen3_vl", "seed_oss", "smollm3", "spark2_5", "step3p5", "telechat3",
        "xverse", "youtu_llm",
    }
)  # fmt: skip
PLAIN = {"default", "mrope"}
# The activation that an architecture's module of mlx_lm.models computes, whatever config.json says.
SILU, TANH = frozenset({"silu", "swish"}), frozenset({"gelu_pytorch_tanh", "gelu_new"})
WITH_SILU = "granite llama mistral mixtral olmo2 olmo3 phi3 qwen2 qwen3 qwen3_5 qwen3_5_moe qwen3_moe smollm3 stablelm"
ACTIVATIONS = dict.fromkeys(WITH_SILU.split(), SILU) | dict.fromkeys(
    ("gemma2", "gemma3", "gemma4", "gemma4_unified"), TANH
)
SWIGLU_LIMIT = 7.0  # of gpt-oss, written into mlx-lm's module


def text_of(config: Config) -> Config:
    """The configuration of the text model: ``text_config`` where there is one."""
    inner = config.get("text_config")
    return inner if isinstance(inner, Mapping) else config


def kind_of(text: Config) -> str:
    """The architecture's name as it stands in the sets here."""
    return str(text.get("model_type")).removesuffix("_text")


def rope_of(text: Config) -> Config:
    """Rotary settings in effect, those of layers with full attention where kinds of layers have their own."""
    for name in ("rope_scaling", "rope_parameters"):  # in Transformers the first wins
        rope = text.get(name)
        if isinstance(rope, Mapping) and rope:
            full = rope.get("full_attention")
            return full if isinstance(full, Mapping) else rope
    return {}


def rope_kind(rope: Config) -> str:
    """``rope_type``, or ``type`` of older files; ``su`` is longrope's first name."""
    kind = str(rope.get("rope_type", rope.get("type")) or "default")
    return "longrope" if kind == "su" else kind


def original_context(text: Config, rope: Config) -> int | None:
    """Tokens of a row in pre-training, before positions were scaled (as ``standardize_rope_params`` finds them)."""
    default = 4096 if kind_of(text) == "phi3" else rope.get("original_max_position_embeddings")
    found = text.get("original_max_position_embeddings", default) or text.get("max_position_embeddings")
    return _tokens(found)


def sliding_window(config: Config) -> int | None:
    """Tokens that the checkpoint's attention looks back in some layer, None where it is the whole row."""
    text = text_of(config)
    kind = kind_of(text)
    found = text.get("sliding_window", WINDOWS.get(kind))
    off = kind in WHOLE or (kind.startswith(SWITCHED) and not text.get("use_sliding_window"))
    return None if off else _tokens(found)


def row_limit(config: Config) -> MlxLimit | None:
    """The longest rows that mlx-lm scores as Transformers does; None: of any length."""
    text = text_of(config)
    kind, rope = kind_of(text), rope_of(text)
    found = []
    window = sliding_window(config)
    listed = isinstance(text.get("layer_types"), list)
    if window is not None and kind not in SLIDING and not (kind == "smollm3" and listed):
        found.append(MlxLimit(tokens=window, cause="window"))
    original = original_context(text, rope)
    if rope_kind(rope) == "longrope" and original and rope.get("short_factor") != rope.get("long_factor"):
        found.append(MlxLimit(tokens=original, cause="longrope"))
    context = _tokens(text.get("max_position_embeddings"))
    if rope_kind(rope) == "dynamic" and context:
        found.append(MlxLimit(tokens=context, cause="dynamic"))
    return min(found, key=lambda limit: limit.tokens, default=None)


def difference(config: Config) -> str | None:
    """What mlx-lm computes otherwise in rows of any length and cannot be told; None where there is nothing known."""
    text = text_of(config)
    kind, rope = kind_of(text), rope_of(text)
    scaled = rope_kind(rope)
    if _told_twice(text):
        return "config.json has two different rotary settings, rope_scaling and rope_parameters"
    if (scaled not in PLAIN | {"dynamic"} and kind not in SCALING) or (
        scaled == "proportional" and not kind.startswith("gemma4")
    ):
        return f"mlx-lm's {kind} does not scale rotary positions ({scaled})"
    if scaled == "longrope" and not _same_longrope(text, rope):
        return "mlx-lm ignores longrope's factor and attention_factor"
    if scaled == "yarn" and rope.get("attention_factor") not in (None, 1.0) and not _number(rope, "factor") > 1:
        return "mlx-lm ignores the attention_factor of YaRN"
    named = text.get("hidden_activation") if kind.startswith("gemma") else text.get("hidden_act")
    if isinstance(named, str) and named not in ACTIVATIONS.get(kind, {named}):
        return f"mlx-lm's {kind} does not compute the activation {named}"
    return _of_family(kind, text)


def by_itself(config: Config) -> str | None:
    """What mlx-lm computes otherwise when it reads the folder by itself, and kto-tui tells it; None: nothing known."""
    text = text_of(config)
    kind, rope = kind_of(text), rope_of(text)
    scaled = rope_kind(rope)
    if scaled == "longrope" and rope.get("short_factor") != rope.get("long_factor"):
        tokens = original_context(text, rope)
        return f"takes the long factors of longrope in all rows, Transformers in those of more than {tokens} tokens"
    one_mscale = bool(rope.get("mscale")) != bool(rope.get("mscale_all_dim"))
    if scaled == "yarn" and (rope.get("attention_factor") is not None or one_mscale or not rope.get("truncate", True)):
        return "computes YaRN otherwise than Transformers (attention_factor, mscale, truncate)"
    types = text.get("layer_types")
    if kind == "gemma3" and isinstance(types, list) and sliding_pattern(text) != text.get("sliding_window_pattern", 6):
        return "takes every sixth layer for one that sees whole rows, config.json has others (layer_types)"
    return None


def _of_family(kind: str, text: Config) -> str | None:
    """What one architecture's module has written into it."""
    caps = ("attn_logit_softcapping", "final_logit_softcapping")
    if kind == "gemma2" and (missing := next((name for name in caps if text.get(name, 1.0) is None), None)):
        return f"mlx-lm's gemma2 cannot leave out {missing}"
    if kind == "gpt_oss" and text.get("swiglu_limit", SWIGLU_LIMIT) != SWIGLU_LIMIT:
        return f"mlx-lm's gpt_oss takes swiglu_limit as {SWIGLU_LIMIT:g}"
    if kind != "gemma3":
        return None
    if text.get("final_logit_softcapping") is not None:
        return "mlx-lm's gemma3 ignores final_logit_softcapping"
    if text.get("use_bidirectional_attention"):
        return "mlx-lm's gemma3 ignores use_bidirectional_attention"
    nested = text.get("rope_parameters")
    local = nested.get("sliding_attention") if isinstance(nested, Mapping) else None
    if isinstance(local, Mapping) and rope_kind(local) != "default":
        return "mlx-lm's gemma3 does not scale rotary positions of layers with a window"
    if sliding_pattern(text) is None:
        return "mlx-lm's gemma3 wants every n-th layer, and no other, to see whole rows (layer_types)"
    return None


def sliding_pattern(text: Config) -> int | None:
    """Gemma 3's n, of which every n-th layer and no other sees whole rows; None where there is none."""
    types = text.get("layer_types")
    if not isinstance(types, list):
        return _tokens(text.get("sliding_window_pattern", text.get("_sliding_window_pattern", 6)))
    full = [each == "full_attention" for each in types]
    found = full.index(True) + 1 if any(full) else 0
    return found if found and full == [(layer + 1) % found == 0 for layer in range(len(full))] else None


def _told_twice(text: Config) -> bool:
    """Whether settings stand at the top level too and differ: Transformers takes those, with the base beside them."""
    top, nested = text.get("rope_scaling"), text.get("rope_parameters")
    if not isinstance(top, Mapping) or not top or not isinstance(nested, Mapping) or not nested:
        return False
    if any(isinstance(each, Mapping) for each in nested.values()):
        return False
    base = {"rope_theta": text["rope_theta"]} if "rope_theta" in text else {}
    both = (top.keys() | base.keys()) & nested.keys() - {"type", "rope_type"}
    return rope_kind(top) != rope_kind(nested) or any(({**base, **top})[name] != nested[name] for name in both)


def _same_longrope(text: Config, rope: Config) -> bool:
    """Whether attention is scaled by what mlx-lm takes: it reads neither ``factor`` nor ``attention_factor``."""
    original, context = original_context(text, rope), _tokens(text.get("max_position_embeddings"))
    if not original or not context:
        return False

    def attention(factor: float) -> float:
        return 1.0 if factor <= 1 else math.sqrt(1 + math.log(factor) / math.log(original))

    taken = attention(context / original)
    said = rope.get("attention_factor")
    wanted = said if isinstance(said, (int, float)) else attention(_number(rope, "factor") or context / original)
    return math.isclose(taken, wanted, rel_tol=1e-4)


def _tokens(found: object) -> int | None:
    """A count as anybody may have written it; beyond 2 to the 40th it is none."""
    return found if isinstance(found, int) and not isinstance(found, bool) and 1 < found <= 2**40 else None


def _number(rope: Config, name: str) -> float:
    found = rope.get(name)
    return float(found) if isinstance(found, (int, float)) else 0.0
