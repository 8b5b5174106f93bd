"""What a trace is asked for: one training step's settings, in the vocabulary of published measurements."""

import contextlib
import json
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from kto_tui.errors import UserError

Count = Annotated[int, Meta(ge=1, le=2**40)]
DtypeName = Literal["float32", "bfloat16", "float16"]
BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A decoder's shape under Transformers' configuration names; ``extra`` are further ones of its architecture."""

    architecture: str
    hidden_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Count
    intermediate_size: Count
    vocab_size: Count
    tie_word_embeddings: bool
    extra: dict[str, Any] = {}

    def __post_init__(self) -> None:
        """Check that the sizes agree; raises ValueError, which msgspec turns into a validation error."""
        if self.num_attention_heads % self.num_key_value_heads:
            raise ValueError(f"{self.num_attention_heads} query heads share no {self.num_key_value_heads} of keys")

    def values(self, layers: int | None = None) -> dict[str, Any]:
        """Configuration values, with another depth if given."""
        found = {name: getattr(self, name) for name in self.__struct_fields__ if name not in {"architecture", "extra"}}
        return found | self.extra | {"num_hidden_layers": layers or self.num_hidden_layers}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One training step.

    ``loop`` and ``head``: ``sft`` with full logits, a raw loop over the model's own loss; ``kto`` with TRL's fused head
    (``trl.KTOTrainer``: policy, KL and reference passes over one padded batch). ``batch`` rows of ``seq_len`` tokens
    each; ``workspace_mib`` is what cuBLAS holds inside the allocator; ``kv_repeated_in_sdpa``: keys and values are
    copied for every query head. A quantised model's weights dtype is also its compute dtype.
    """

    loop: Literal["sft", "kto"]
    head: Literal["full_logits", "fused"]
    batch: Count
    seq_len: Annotated[int, Meta(ge=2, le=2**24)]
    shape: Shape
    weights_dtype: DtypeName
    quantization: Literal["none", "nf4", "int8"] = "none"
    double_quant: bool = False
    kbit_upcast: bool = False
    adapter: Literal["lora", "full"]
    rank: Annotated[int, Meta(ge=1, le=65536)] | None = None
    targets: Annotated[list[str], Meta(min_length=1)] | Literal["all-linear"] | None = None
    adapter_dtype: DtypeName | None = None
    autocast: DtypeName | None = None
    attention: Literal["sdpa", "eager"] = "sdpa"
    kv_repeated_in_sdpa: bool = False
    gradient_checkpointing: bool
    optimizer: Literal["adamw", "adamw_8bit", "paged_adamw_8bit"] = "adamw"
    foreach: bool = True
    zero_grad: Literal[
        "to none, before the forward",
        "to none, after the step",
        "to zero, before the forward",
        "to zero, after the step",
    ] = "to none, before the forward"
    workspace_mib: Annotated[float, Meta(ge=0, le=65536)] = 0.0

    def __post_init__(self) -> None:
        """Check that the fields agree; raises ValueError, which msgspec turns into a validation error."""
        if (self.loop == "kto") != (self.head == "fused"):
            raise ValueError(f"loop {self.loop!r} has no head {self.head!r}")
        lora = (self.rank, self.targets, self.adapter_dtype)
        if self.adapter == "lora" and None in lora:
            raise ValueError("a LoRA adapter needs rank, targets and adapter_dtype")
        named = self.targets if isinstance(self.targets, list) else []
        if twice := [name for name in named if named.count(name) > 1]:
            raise ValueError(f"targets name {twice[0]} more than once")
        if self.adapter == "full" and (lora != (None, None, None) or self.quantization != "none" or self.loop == "kto"):
            raise ValueError("full fine-tuning is traced for sft, without rank, targets, adapter_dtype or quantization")
        if self.quantization == "none" and (self.kbit_upcast or self.double_quant):
            raise ValueError("kbit_upcast and double_quant need a quantization")
        if self.double_quant and self.quantization != "nf4":
            raise ValueError("double_quant belongs to nf4")


class Measured(Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A row of a measurements file: settings, what was measured under them, and where that is from."""

    id: str
    allocated_gib: Annotated[float, Meta(gt=0)] | None = None
    reserved_gib: Annotated[float, Meta(gt=0)] | None = None
    source: str = ""
    device: str = ""
    model: str = ""
    repeat_of_another_row: bool = False


def _no_number(name: str) -> None:
    raise msgspec.ValidationError(f"{name} is not a number; write null where nothing is known")


def _table(line: str) -> dict[str, Any]:
    try:
        return msgspec.json.decode(line, type=dict[str, Any])
    except msgspec.DecodeError:
        with contextlib.suppress(json.JSONDecodeError, RecursionError):
            json.loads(line, parse_constant=_no_number)  # what other programs write, though it is not JSON
        raise


def _shape(value: object, known: frozenset[str]) -> dict[str, Any]:
    table = msgspec.convert(value, dict[str, Any])
    own = {name: part for name, part in table.items() if name in Shape.__struct_fields__ and name != "extra"}
    extra = {name: part for name, part in table.items() if name not in own}
    if unknown := sorted(extra.keys() - known):
        raise msgspec.ValidationError(f"Object contains unknown field `{unknown[0]}` - at `$.shape`")
    return own | {"extra": extra}


def read_rows(file: Path) -> list[Measured]:
    """The rows of a JSON-lines file; see ``numbered_rows``."""
    return [row for _, row in numbered_rows(file)]


def numbered_rows(file: Path) -> list[tuple[int, Measured]]:
    """The rows of a JSON-lines file, each with the number of its line.

    Raises:
        UserError: unreadable, or a row with a field or value that is not known here.
    """
    from kto_tui.memory.trace.architectures import configuration_names

    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, ValueError) as error:
        raise UserError(f"The rows cannot be read ({error})", mend="Name a JSON-lines file", where=str(file)) from None
    rows: list[tuple[int, Measured]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            table = _table(line)
            shape = table.get("shape")
            if isinstance(shape, dict):
                table["shape"] = _shape(shape, configuration_names(str(shape.get("architecture"))))
            rows.append((number, msgspec.convert(table, Measured)))
        except (msgspec.DecodeError, RecursionError) as error:
            where = f"{file}, line {number}"
            raise UserError(f"Not a row that can be traced ({error})", mend="Correct it", where=where) from None
    return rows
