"""How far a training has come, beside its arrays."""

import msgspec

from kto_tui.data.prepare import Window


class Progress(msgspec.Struct, kw_only=True):
    """What the trainer holds beside adapter, optimizer and random numbers; saved with a checkpoint.

    Attributes:
        step: optimizer steps done.
        tokens: trained on since the last point of the curves.
        logged: step of that point.
        loss: summed since then; NaN where a step had none.
        figures: by name, of each step since then.
        seconds: training took since then.
        skipped: steps in a row that the guard skipped.
        micro_batch: rows per pack, which may have been lowered when memory ran out.
        room: of a pass without gradient, likewise.
        changed: windows that memory did not hold as they were.
    """

    step: int = 0
    tokens: int = 0
    logged: int = 0
    loss: float = 0.0
    figures: dict[str, list[float]] = msgspec.field(default_factory=dict)
    seconds: float = 0.0
    skipped: int = 0
    micro_batch: int = 0
    room: int = 0
    changed: dict[int, Window] = msgspec.field(default_factory=dict)
