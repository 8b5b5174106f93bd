"""How often a backend tells what its allocator holds."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from kto_tui.backends.allocator_gauges import AllocatorGauges
from kto_tui.runs.events import AllocatorRead


@given(st.lists(st.integers(0, 20).map(lambda quarters: quarters / 4), max_size=40))
def test_it_tells_at_once_and_then_at_most_every_two_seconds(pauses: list[float]) -> None:
    now, told, ticks = 100.0, list[float](), [100.0]
    gauges = AllocatorGauges(lambda _: told.append(now), lambda: (3, 2, 4), clock=lambda: now)
    gauges.tick(0)
    for pause in pauses:
        now += pause
        ticks.append(now)
        gauges.tick(0)
    assert told[0] == 100.0
    assert all(later - earlier >= 2.0 for earlier, later in pairwise(told))
    assert all(any(0 <= tick - at < 2.0 for at in told) for tick in ticks), "none is older than two seconds"


def test_it_tells_what_it_reads() -> None:
    told: list[AllocatorRead] = []
    AllocatorGauges(told.append, lambda: (3, 2, 4)).tick(7)
    assert told == [AllocatorRead(active_bytes=3, cache_bytes=2, peak_bytes=4, step=7)]


def test_a_reading_that_fails_is_left_out_and_the_next_one_is_told() -> None:
    told: list[AllocatorRead] = []
    answers = iter([None, (3, 2, 4)])

    def read() -> tuple[int, int, int]:
        if (answer := next(answers)) is None:
            raise RuntimeError("no such counter")
        return answer

    gauges = AllocatorGauges(told.append, read, every_seconds=0.0)
    gauges.tick(1)
    gauges.tick(2)
    assert [one.active_bytes for one in told] == [3]
