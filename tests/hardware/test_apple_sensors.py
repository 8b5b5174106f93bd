"""What macOS's commands answer about the GPU and the heat, and answers that are damaged."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.hardware.apple_sensors import THERMAL_LEVELS, gpu_statistics, thermal_pressure
from tests.hardware.answers import GIB, io_accelerator, pressure


def test_an_accelerator_at_work() -> None:
    assert gpu_statistics(io_accelerator(97, 6 * GIB)) == (97.0, 6 * GIB)
    assert gpu_statistics(io_accelerator(0, 1)) == (0.0, 1), "an idle GPU is known to be idle"


UNKNOWN = {
    "no command": "",
    "another class": '+-o IOService  <class IOService>\n    {\n      "model" = "x"\n    }\n',
    "no such keys": '"PerformanceStatistics" = {"recoveryCount"=0}',
    "another key": '"PerformanceStatistics" = {"In use system memory (driver)"=77}',
    "outside the statistics": '"IOReportLegend" = ({"Device Utilization %"=5,"In use system memory"=9})',
    "no numbers": '"PerformanceStatistics" = {"Device Utilization %"=x,"In use system memory"=}',
    "beyond sense": '"PerformanceStatistics" = {"Device Utilization %"=101,"In use system memory"=18446744071562067}',
    "nothing in use": '"PerformanceStatistics" = {"In use system memory"=0}',
    "cut off": io_accelerator(50, GIB)[:60],
}


@pytest.mark.parametrize("answer", UNKNOWN.values(), ids=UNKNOWN)
def test_what_does_not_say_is_unknown(answer: str) -> None:
    assert gpu_statistics(answer) == (None, None)


def test_each_counter_may_be_missing() -> None:
    assert gpu_statistics('"PerformanceStatistics" = {"Device Utilization %"=3}') == (3.0, None)
    assert gpu_statistics('"PerformanceStatistics" = {"In use system memory"=9}') == (None, 9)


def test_the_levels_of_thermal_pressure() -> None:
    assert [thermal_pressure(pressure(level)) for level in range(6)] == [*THERMAL_LEVELS, None]


@pytest.mark.parametrize(
    "answer", ["", "0", "Failed with code 9", "com.apple.system.other 1", pressure(-1), pressure(20)]
)
def test_an_unknown_pressure_is_unknown(answer: str) -> None:
    assert thermal_pressure(answer) is None


@given(
    st.text() | st.binary().map(lambda raw: raw.decode("utf-8", "replace")), st.integers(0, 400), st.integers(0, 400)
)
def test_damaged_answers_never_raise(noise: str, begin: int, end: int) -> None:
    for whole in (io_accelerator(50, GIB), pressure(2)):
        for answer in (noise, whole[:begin] + noise + whole[end:]):
            percent, used = gpu_statistics(answer)
            assert percent is None or 0 <= percent <= 100
            assert used is None or used > 0
            assert thermal_pressure(answer) in {None, *THERMAL_LEVELS}
