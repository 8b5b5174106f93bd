"""Transformers architectures by name: their configurations, and after how many layers their layers repeat."""

import functools
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig
from transformers.models.auto.configuration_auto import CONFIG_MAPPING
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from kto_tui.errors import UserError


@functools.cache
def configuration_names(architecture: str) -> frozenset[str]:
    """Names of all values in the configuration of ``architecture``; empty when Transformers does not know it."""
    if architecture not in CONFIG_MAPPING:
        return frozenset()
    return frozenset(AutoConfig.for_model(architecture).to_dict())


def configuration(architecture: str, values: dict[str, Any]) -> Any:  # noqa: ANN401 - any Transformers config
    """The configuration of a causal language model.

    Raises:
        UserError: Transformers has no such causal language model, or its configuration refuses the values.
    """
    if architecture not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise UserError(
            f"The architecture {architecture!r} is no causal language model of Transformers",
            mend="Name one such as llama, qwen2 or gemma2",
            where="shape.architecture",
        )
    try:
        config = AutoConfig.for_model(architecture, **values)
    except (ValueError, TypeError, ZeroDivisionError, StrictDataclassError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[-1].strip()
        raise UserError(f"The shape makes no {architecture} ({reason})", mend="Correct it", where="shape") from None
    config.pad_token_id = None  # the architecture's own may lie beyond a smaller vocabulary
    return config


def period(config: Any) -> int:  # noqa: ANN401
    """After how many layers the layers repeat: 1 where all are alike."""
    kinds = list(getattr(config, "layer_types", None) or [])
    for length in range(1, len(kinds) // 2 + 1):
        if all(kind == kinds[i % length] for i, kind in enumerate(kinds)):
            return length
    return max(1, len(kinds)) if len(set(kinds)) > 1 else 1
