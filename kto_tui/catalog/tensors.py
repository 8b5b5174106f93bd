"""The headers of safetensors files; the weights themselves are never read."""

import re
from pathlib import Path
from typing import Annotated

import msgspec

from kto_tui.errors import UserError

FLOATS, BUFFERS = frozenset({"F64", "F32", "F16", "BF16"}), frozenset({"I64", "BOOL"})
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
