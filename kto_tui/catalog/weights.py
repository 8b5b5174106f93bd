"""Parameter counts from the headers of safetensors files; the weights themselves are never read."""

import math
import re
from pathlib import Path
from typing import Annotated

import msgspec

from kto_tui import units
from kto_tui.catalog.model import Count, ModelSpec
from kto_tui.errors import UserError

FLOATS, BUFFERS = frozenset({"F64", "F32", "F16", "BF16"}), frozenset({"I64", "BOOL"})
ALIKE = 0.1  # biases, norms and what some architectures add are less of a model than this
HEADER_BYTES = 100_000_000  # the safetensors library's own limit


class Tensor(msgspec.Struct):
    """One entry of a safetensors header."""

    dtype: Annotated[str, msgspec.Meta(pattern=r"^\w{0,16}$")] = ""
    shape: list[Annotated[int, msgspec.Meta(ge=0)]] = []


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of a checkpoint folder by name; empty where it has no safetensors files.

    Raises:
        UserError: a shard is missing or a file is damaged.
    """
    # Some publishers add a second copy of the same weights (consolidated.safetensors) under another name.
    files = sorted(folder.glob("model*.safetensors")) or sorted(folder.glob("*.safetensors"))
    shards = re.search(r"-of-(\d+)\.", files[-1].name) if files else None
    if shards and int(shards[1]) != len(files):
        raise UserError("Some weight files are missing", mend="Copy the model again", where=str(folder))
    tensors: dict[str, Tensor] = {}
    for file in files:
        try:
            with file.open("rb") as stream:
                length = int.from_bytes(stream.read(8), "little")
                header = stream.read(min(length, HEADER_BYTES))
            tensors |= msgspec.json.decode(header, type=dict[str, Tensor])
        except (OSError, ValueError, RecursionError) as error:
            raise UserError(f"Damaged ({error})", mend="Copy the file again", where=str(file)) from error
    tensors.pop("__metadata__", None)
    return tensors


def count_weights(spec: ModelSpec, tensors: dict[str, Tensor], where: str) -> ModelSpec:
    """``spec`` with the number of parameters in ``tensors``, which quantised weights leave unknown.

    Raises:
        UserError: the shapes multiply to more than any model has, or are not those of the config.
    """
    if not tensors:
        return spec
    tied = spec.tied_embeddings if spec.tied_embeddings is not None else "lm_head.weight" not in tensors
    spec = msgspec.structs.replace(spec, tied_embeddings=tied)
    if packed := {tensor.dtype for tensor in tensors.values()} - FLOATS - BUFFERS:
        return msgspec.structs.replace(spec, quantised=spec.quantised or min(packed).lower() or "unknown")
    # Some files repeat the tied head or keep rotary buffers: neither is a parameter once the model is loaded.
    skip = (".inv_freq", "lm_head.weight") if tied else (".inv_freq",)
    total = sum(math.prod(t.shape) for n, t in tensors.items() if t.dtype in FLOATS and not n.endswith(skip))
    try:
        spec = msgspec.structs.replace(spec, parameters=msgspec.convert(total or None, Count | None))
    except msgspec.ValidationError as error:
        raise UserError("Damaged (impossible tensor shapes)", mend="Copy the model again", where=where) from error
    _compare(spec, where)
    return spec


def _compare(spec: ModelSpec, where: str) -> None:
    """Transformers would make up the layers that a config names and the files lack, and train those."""
    if spec.parameters is None or spec.nf4_linear_params is None or not (spec.vocab_size and spec.hidden_size):
        return
    described = spec.nf4_linear_params + spec.vocab_size * spec.hidden_size * (1 if spec.tied_embeddings else 2)
    if abs(spec.parameters / described - 1) > ALIKE:
        held, said = units.parameters(spec.parameters), units.parameters(described)
        what = f"config.json describes a model of {said} parameters, the weight files hold {held}"
        raise UserError(what, mend="Copy both from the same model again", where=where)
