"""Gauges of a process: what this host says, what NVML says, what a Mac says, and silence of each of them."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kto_tui.hardware.sources import Sources
from kto_tui.runs.events import GaugesRead
from kto_tui.worker import energy_meter
from kto_tui.worker.apple_gauges import THERMAL_EVERY, AppleGauges, LaggingSensor
from kto_tui.worker.gpu_power import Energy, GpuPower, energy, watts
from kto_tui.worker.telemetry import Telemetry
from tests.hardware.answers import (
    GIB,
    NO_DRIVER,
    RTX_3060,
    RTX_3090,
    card,
    io_accelerator,
    macos,
    nvml,
    pressure,
    process,
    refuse,
    with_nvml,
)


@pytest.fixture
def child() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as running:
        yield running


def read(pid: int, sources: Sources, times: int = 1) -> GaugesRead:
    with contextlib.closing(Telemetry(pid, sources)) as telemetry:
        for turn in range(times - 1):
            telemetry.read(float(turn))
            time.sleep(0.05)
        return telemetry.read(float(times))


def test_a_process_on_this_host(child: subprocess.Popen[bytes]) -> None:
    first, later = read(child.pid, with_nvml(NO_DRIVER)), read(child.pid, with_nvml(NO_DRIVER), times=2)
    assert (first.process_bytes or 0) > 1_000_000
    assert (first.host_available_bytes or 0) > 0
    assert (first.cpu_percent, first.gpu_percent, first.thermal_pressure) == (None, None, None)
    assert later.cpu_percent is not None


def test_a_process_that_is_gone_is_unknown(child: subprocess.Popen[bytes]) -> None:
    telemetry = Telemetry(child.pid, with_nvml(NO_DRIVER))
    child.communicate(b"\n")
    gauges = telemetry.read(1.0)
    assert (gauges.process_bytes, gauges.gpu_used_bytes) == (None, None)


def test_the_gpu_that_holds_our_memory_is_read(child: subprocess.Popen[bytes]) -> None:
    ours = replace_card(RTX_3090, process(child.pid, "python", 512))
    gauges = read(child.pid, with_nvml(nvml(replace_card(RTX_3060, process(1, "other", 9000)), ours)))
    assert (gauges.gpu_total_bytes, gauges.gpu_process_bytes) == (ours.total, 512 * 1024**2)
    assert (gauges.gpu_percent, gauges.gpu_celsius, gauges.gpu_watts) == (0.0, 41.0, 32.4)


def replace_card(spec: object, holder: object) -> object:
    values = vars(spec)
    return card(
        values["name"], values["capability"], values["total"] // 1024**2, values["free"] // 1024**2, compute=[holder]
    )


LOST = {
    "nvmlDeviceGetMemoryInfo": {"gpu_used_bytes", "gpu_total_bytes"},
    "nvmlDeviceGetUtilizationRates": {"gpu_percent"},
    "nvmlDeviceGetTemperature": {"gpu_celsius"},
    "nvmlDeviceGetPowerUsage": {"gpu_watts"},
    "nvmlDeviceGetComputeRunningProcesses": {"gpu_process_bytes"},
}


@pytest.mark.parametrize(("function", "fields"), LOST.items())
def test_a_silent_nvml_sensor_costs_its_own_gauge_only(
    function: str, fields: set[str], child: subprocess.Popen[bytes]
) -> None:
    ours = replace_card(RTX_3090, process(child.pid, "python", 512))
    gauges = read(child.pid, with_nvml(nvml(ours, **{function: refuse()})))
    assert {name for name in set().union(*LOST.values()) if getattr(gauges, name) is None} == fields


def a_mac(run: Callable[[Sequence[str]], str | None]) -> Sources:
    return replace(macos({}), run=run)


def test_a_mac_at_work(child: subprocess.Popen[bytes]) -> None:
    answers = {"ioreg": io_accelerator(97, 6 * GIB), "notifyutil": pressure(1)}
    gauges = read(child.pid, a_mac(lambda command: answers.get(command[0])), times=3)
    assert (gauges.gpu_percent, gauges.gpu_used_bytes, gauges.thermal_pressure) == (97.0, 6 * GIB, "moderate")
    assert (gauges.gpu_total_bytes or 0) >= (gauges.host_available_bytes or 0) > 0, "it shares the host's memory"
    assert (gauges.gpu_celsius, gauges.gpu_watts, gauges.gpu_process_bytes) == (None, None, None)


def test_a_mac_without_answers_has_no_gpu_gauges(child: subprocess.Popen[bytes]) -> None:
    gauges = read(child.pid, a_mac(lambda _: None), times=3)
    assert (gauges.gpu_percent, gauges.gpu_used_bytes, gauges.thermal_pressure) == (None, None, None)
    assert (gauges.process_bytes or 0) > 0


def test_a_command_that_hangs_holds_nothing_up(child: subprocess.Popen[bytes]) -> None:
    release = threading.Event()

    def hang(_: Sequence[str]) -> None:
        release.wait(20)

    begin = time.monotonic()
    gauges = read(child.pid, a_mac(hang), times=3)
    assert time.monotonic() - begin < 5
    assert gauges.gpu_percent is None
    release.set()


def test_the_pressure_is_asked_for_less_often_than_the_load() -> None:
    asked: list[str] = []

    def run(command: Sequence[str]) -> str:
        asked.append(command[0])
        return pressure(0) if command[0] == "notifyutil" else io_accelerator(1, GIB)

    gauges = AppleGauges(a_mac(run))
    for turn in range(2 * THERMAL_EVERY):
        found = gauges.read(set())
        assert turn == 0 or found["thermal_pressure"] == "nominal", "kept until it is asked for again"
        time.sleep(0.02)
    assert (asked.count("notifyutil"), asked.count("ioreg")) == (2, 2 * THERMAL_EVERY)


def test_a_sensor_that_fails_is_unknown_and_asked_again() -> None:
    answers = iter([1, 2])
    sensor = LaggingSensor(lambda: 1 // (2 - next(answers)))
    found = []
    for _ in range(4):
        found.append(sensor.read())
        time.sleep(0.02)
    assert found == [None, 1, None, None]


@given(st.text())
def test_a_damaged_line_of_the_meter_is_no_energy(line: str) -> None:
    found = energy(line)
    assert found is None or found.millijoules >= 0


@pytest.mark.parametrize("line", ["", "1.0", "1.0 -", "1.0 -5", "nan 5", "inf 5", "a b", "1.0 2.5"])
def test_what_is_no_reading_of_the_meter(line: str) -> None:
    assert energy(line) is None


def test_power_is_the_slope_of_the_counter() -> None:
    assert watts(energy("10.0 4000"), energy("12.0 44000\n")) == 20.0
    for before, now in ((None, Energy(1, 1)), (Energy(1, 5), Energy(2, 5)), (Energy(1, 5), Energy(2, 4))):
        assert watts(before, now) is None, "first, stalled, or started again"


@given(*[st.builds(Energy, st.floats(0, 1e9), st.integers(0, 2**63))] * 2)
def test_power_is_positive_or_unknown(before: Energy, now: Energy) -> None:
    drawn = watts(before, now)
    assert drawn is None or drawn >= 0


# A stand-in with the two names of zeus-apple-silicon that are used (its README).
ZEUS = """
import itertools, time
count = itertools.count(1)
class Metrics:
    gpu_mj = property(lambda _: {value})
class AppleEnergyMonitor:
    def get_cumulative_energy(self):
        return Metrics()
"""
# 10 J between any two readings, which its clock says are 2 s apart.
FIVE_WATTS = (
    ZEUS.format(value="10_000 * next(count)") + "seconds = itertools.count(2, 2)\ntime.monotonic = seconds.__next__\n"
)


@pytest.fixture
def meter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], GpuPower]:
    def with_counter(text: str) -> GpuPower:
        (tmp_path / "zeus_apple_silicon.py").write_text(text)
        places = [str(tmp_path), *os.environ.get("PYTHONPATH", "").split(os.pathsep), str(Path.cwd())]
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join(places))
        return GpuPower()

    return with_counter


def readings(power: GpuPower, enough: int, seconds: float = 20.0) -> list[float]:
    """Those that said something, until there are ``enough`` or ``seconds`` are over."""
    found: list[float] = []
    end = time.monotonic() + seconds
    while len(found) < enough and time.monotonic() < end:
        if (drawn := power.read()) is not None:
            found.append(drawn)
        time.sleep(0.02)
    return found


def test_the_meter_reads_the_counter_and_ends(meter: Callable[[str], GpuPower]) -> None:
    with contextlib.closing(meter(FIVE_WATTS)) as power:
        assert readings(power, 3) == [5.0] * 3
    assert power.read() is None, "closed"


BROKEN = {
    "not installed": "raise ImportError",
    "ends the process": "import os\nos.abort()",
    "no such counter": ZEUS.format(value="None"),
    "stalled": ZEUS.format(value="7"),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_without_a_counter_the_power_is_unknown(text: str, meter: Callable[[str], GpuPower]) -> None:
    with contextlib.closing(meter(text)) as power:
        assert readings(power, 1, seconds=0.7) == []


def test_a_meter_that_has_done_its_readings_is_followed_by_another() -> None:
    once = "import sys, time; input(); print(time.monotonic(), time.monotonic_ns() // 10**5, flush=True)"
    twice = f"{once}; {once.partition('; ')[2]}"
    with contextlib.closing(GpuPower((sys.executable, "-c", twice))) as power:
        assert len(readings(power, 2)) == 2, "each of them gives one difference"


@pytest.mark.parametrize("code", ["import time; time.sleep(60)", "print('x' * 1000)", "raise SystemExit(1)"])
def test_a_meter_that_hangs_or_raves_holds_nothing_up(code: str) -> None:
    begin = time.monotonic()
    with contextlib.closing(GpuPower((sys.executable, "-c", code))) as power:
        assert readings(power, 1, seconds=0.5) == []
    assert time.monotonic() - begin < 5


def test_there_is_no_meter_without_its_program() -> None:
    with contextlib.closing(GpuPower(("/nowhere/meter",))) as power:
        assert [power.read(), power.read()] == [None, None]
    assert energy_meter.READINGS > 0
