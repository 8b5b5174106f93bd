"""Makes TRL score completion tokens only, also where it has no Triton."""

from collections.abc import Iterator
from contextlib import contextmanager

import trl.trainer.utils as trl_utils


@contextmanager
def completion_tokens_only() -> Iterator[bool]:
    """Inside, TRL's fused LM head projects completion positions only; yields whether that is so.

    TRL 1.16 does this on Triton devices and scores every position elsewhere (``trl.trainer.utils.add_fused_lm_head``,
    which asks ``_use_triton``), about 2.7 times too many on chat rows. The scores are the same either way. When TRL
    no longer asks that question, its own way is left alone.
    """
    original = getattr(trl_utils, "_use_triton", None)
    if original is None:
        yield False
        return
    trl_utils._use_triton = lambda _device: True  # noqa: SLF001
    try:
        yield True
    finally:
        trl_utils._use_triton = original  # noqa: SLF001
