"""Courses of the learning rate, the same as Transformers' (``transformers.get_scheduler``)."""

import math
from collections.abc import Callable


def factor(schedule: str, *, steps: int, warmup: float) -> Callable[[int], float]:
    """The share of the peak rate that the step after so many done steps is taken with.

    Args:
        schedule: cosine, linear, constant_with_warmup or constant.
        steps: of the whole training.
        warmup: share of them in which the rate rises from 0, rounded up to whole steps.

    Raises:
        ValueError: another schedule.
    """
    rising = math.ceil(steps * warmup)
    if schedule == "constant":
        return lambda _done: 1.0
    if schedule not in {"cosine", "linear", "constant_with_warmup"}:
        raise ValueError(f"unknown schedule {schedule!r}")

    def of(done: int) -> float:
        if done < rising:
            return done / max(1, rising)
        if schedule == "constant_with_warmup":
            return 1.0
        passed = (done - rising) / max(1, steps - rising)
        if schedule == "linear":
            return max(0.0, 1.0 - passed)
        return max(0.0, 0.5 * (1.0 + math.cos(math.pi * passed)))

    return of
