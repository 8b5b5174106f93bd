"""Which GPUs a CUDA program sees, and in which order.

NVIDIA, CUDA programming guide, environment variables (CUDA_VISIBLE_DEVICES), and MIG user guide, device enumeration.
"""

from collections.abc import Sequence
from typing import NamedTuple

from kto_tui.hardware.model import Gpu


class Named(NamedTuple):
    """A GPU, or an instance of one, with the identifiers that CUDA_VISIBLE_DEVICES may abbreviate."""

    gpu: Gpu
    names: tuple[str, ...]


def _find(word: str, cards: Sequence[Sequence[Named]]) -> Gpu | None:
    """What an index or the beginning of an identifier names; None when that is nothing, or several."""
    if word.isascii() and word.isdigit():
        card = cards[int(word)] if int(word) < len(cards) else []
        return card[0].gpu if card else None
    if not word.startswith(("GPU-", "MIG-")):
        return None
    named = [one for card in cards for one in card]
    found = [one.gpu for one in named if word in one.names]
    found = found or [one.gpu for one in named if any(name.startswith(word) for name in one.names)]
    return found[0] if len(found) == 1 else None


def visible(asked: str | None, cards: Sequence[Sequence[Named]]) -> tuple[Gpu, ...]:
    """The GPUs CUDA enumerates.

    Args:
        asked: the value of CUDA_VISIBLE_DEVICES; None when it is not set, and then all are visible.
        cards: by index, the card itself, or its instances where it is in MIG mode; empty when it does not answer.
    """
    chosen: list[Gpu] = []
    if asked is None:
        chosen = [one.gpu for card in cards for one in card]
    else:
        for word in asked.split(","):
            gpu = _find(word.strip(), cards)
            if gpu is None:  # the first that is invalid hides itself and all after it
                break
            if gpu in chosen:  # naming one twice hides all: torch counts no device then
                return ()
            chosen.append(gpu)
    # CUDA enumerates a single MIG instance, and beside it no whole GPU.
    return tuple([gpu for gpu in chosen if gpu.mig][:1] or chosen)
