"""Loads a base model with an explicit dtype, and says plainly why it could not."""

from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from kto_tui.backends.base import Job
from kto_tui.backends.hf.device import Device
from kto_tui.backends.training.model_files import room_for
from kto_tui.backends.training.tokenizer import first_line
from kto_tui.errors import UserError


def load_model(folder: Path, job: Job, device: Device) -> Any:  # noqa: ANN401 - any architecture
    """The base model on ``device``: in its dtype, or NF4 with double quantisation.

    Raises:
        UserError: no configuration, an unknown architecture or unreadable weights.
        TrainingError: memory does not hold it.
    """
    if not (folder / "config.json").is_file():
        raise UserError("The model folder has no config.json", mend="Name a Transformers checkpoint", where=str(folder))
    options: dict[str, Any] = {"dtype": device.dtype, "attn_implementation": device.attention}
    if job.config.recipe.quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=device.dtype,
        )
        options["device_map"] = {"": 0 if device.type == "cuda" else device.type}
    try:
        with room_for(job.config.model):
            model = AutoModelForCausalLM.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False, **options
            )
    except (OSError, ValueError, KeyError, ImportError) as error:
        raise UserError(
            f"The model cannot be loaded ({first_line(error)})",
            mend="Check that it is a complete causal language model with safetensors weights",
            where=str(folder),
        ) from error
    keep_trainable(model)
    if device.type == "cpu" and job.config.recipe.quantization == "nf4":
        unmap(model)
    return model


def unmap(model: Any) -> None:  # noqa: ANN401
    """Copy what was not quantised out of the mapped checkpoint, all of whose pages would else stay resident."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.data = parameter.data.clone()


def keep_trainable(model: Any) -> None:  # noqa: ANN401
    """Keep quantised layers of ``model`` in the layout that gradients pass through.

    On processors with bf16 dot products the first pass in evaluation mode would turn bitsandbytes' weights, for good,
    into a layout whose product has no backward pass (``Linear4bit.forward``): training after it goes on without the
    base model's gradients.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
