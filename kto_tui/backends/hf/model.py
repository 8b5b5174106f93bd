"""Loads a base model with an explicit dtype, and says plainly why it could not."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.faults import TrainingError, is_out_of_memory
from kto_tui.backends.hf.device import Device
from kto_tui.backends.hf.starter_model import ensure_starter_model
from kto_tui.backends.hf.tokenizer import first_line
from kto_tui.errors import UserError
from kto_tui.hub import sentences
from kto_tui.hub.cache import cached
from kto_tui.hub.download import Download, tenths
from kto_tui.hub.updates import Done, Failed, Update
from kto_tui.runs.events import PhaseEntered
from kto_tui.starter import MODEL_ID


def locate(job: Job) -> Path:
    """Folder of the model's files, downloaded when they are not on this machine yet.

    Raises:
        UserError: missing, gated, unreachable, no room ...
        StopRequested: asked to end meanwhile; what has arrived is kept.
    """
    name = job.config.model
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name == MODEL_ID:
        return ensure_starter_model(lambda text: job.emit(PhaseEntered(phase=text)))
    if (here := cached(name)) is not None and here.main is not None and here.complete:
        return Path(here.main.path)
    with Download(name) as updates:
        for update in tenths(stoppable(updates, job)):
            if isinstance(update, Done):
                return Path(update.path)
            if isinstance(update, Failed):
                raise UserError(update.message, mend=update.mend, where=name)
            job.emit(PhaseEntered(phase=f"downloading {name}: {sentences.line(update)}"))
    raise AssertionError("a download has a last word")


def stoppable(updates: Iterable[Update], job: Job) -> Iterator[Update]:
    """``updates``, which come at least once a second, until the run is asked to end."""
    for update in updates:
        if job.requested() is not None:
            raise StopRequested
        yield update


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


@contextlib.contextmanager
def room_for(model: str) -> Iterator[None]:
    """Inside, a lack of memory ends the run: nothing that recovery lowers makes weights smaller.

    Raises:
        TrainingError: memory ran out.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"Memory does not hold the model ({first_line(error)})",
            mend="Close what else uses memory, or start a new run with a smaller model or, on CUDA, quantization nf4",
            cause="out_of_memory",
            where=model,
        ) from error


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
