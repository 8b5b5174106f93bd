"""Draws the screenshots by driving the real app; `python screenshots/make.py` writes them all."""

import asyncio
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from textual.screen import Screen

from kto_tui.catalog import resolve
from kto_tui.choices import DataChoices
from kto_tui.data.sources import STARTER
from kto_tui.draft import Draft, choose_data, choose_model, starter_draft
from kto_tui.hardware.model import Cpu, Gpu, GpuProcess, Hardware, Memory
from kto_tui.hardware.presets import load_hardware
from kto_tui.runs.event_log import Tail
from kto_tui.runs.folder import RunFolder
from kto_tui.tui.app import KtoApp
from kto_tui.tui.screens.data import DataScreen
from kto_tui.tui.screens.hardware import HardwareScreen
from kto_tui.tui.screens.live import LiveScreen
from kto_tui.tui.screens.model import ModelScreen
from kto_tui.tui.screens.recipe import RecipeScreen
from kto_tui.tui.screens.results import ResultsScreen
from kto_tui.tui.screens.review import ReviewScreen
from kto_tui.tui.screens.runs import RunsScreen
from kto_tui.tui.screens.samples import SamplesScreen
from kto_tui.units import GIB

HERE = Path(__file__).parent
RECORDED = HERE / "recorded"
FEEDBACK = "feedback.csv"
# What the screens may see of the machine they are drawn on: nothing.
KEYS = ("KTO_TUI_HOME", "TZ", "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE")
SIZES = ((80, 24), (140, 45))
CPU = Cpu(model="AMD Ryzen 5 5600", physical_cores=6, logical_cores=12, usable_cores=12, bf16=False)
MEMORY = Memory(total_bytes=32 * GIB, available_bytes=25 * GIB, swap_total_bytes=8 * GIB, swap_free_bytes=8 * GIB)
LAPTOP = Hardware(
    host="laptop", system="Linux 6.1", cpu=CPU, memory=MEMORY, gpus=(), disk_free_bytes=200 * GIB, over_ssh=False
)
GPU = Gpu(
    index=0,
    name="NVIDIA GeForce RTX 3070",
    kind="cuda",
    total_bytes=8 * GIB,
    free_bytes=round(7.2 * GIB),
    capability=(8, 6),
    driver="560.35.03",
    cuda="12.6",
    temperature_celsius=41,
    power_watts=32.0,
    power_limit_watts=220.0,
    utilization_percent=0,
    others=(GpuProcess(name="Xorg", used_bytes=round(0.6 * GIB)),),
)
GPU_BOX = Hardware(
    host="gpu-box",
    system="Linux 6.1",
    cpu=CPU,
    memory=MEMORY,
    gpus=(GPU,),
    disk_free_bytes=212 * GIB,
    models_disk_free_bytes=80 * GIB,
    over_ssh=True,
    multiplexer="tmux",
)


def _run() -> RunFolder:
    return RunFolder(Path(os.environ["KTO_TUI_HOME"]) / "runs" / "warm-dove")


def _results() -> Screen[None]:
    run = _run()
    return ResultsScreen(run, run.read_state())


def _samples() -> Screen[None]:
    run = _run()
    return SamplesScreen(run.id, run.read_state())


def _tuned(hardware: Hardware) -> Draft:
    return choose_data(choose_model(Draft(hardware=hardware), resolve("Qwen/Qwen3-4B")), STARTER)


def _feedback(*, confirmed: bool = True) -> Screen[None]:
    """A thumbs export in which much is wrong, beside a model for a GPU."""
    draft = choose_model(Draft(hardware=GPU_BOX), resolve("Qwen/Qwen3-4B"))
    choices = DataChoices(good=("up",), bad=("down",)) if confirmed else DataChoices()
    return DataScreen(msgspec.structs.replace(draft, data=FEEDBACK, choices=choices))


SCREENS: dict[str, Callable[[], Screen[None]]] = {
    "hardware": lambda: HardwareScreen(Draft(hardware=GPU_BOX)),
    "model": lambda: ModelScreen(Draft(hardware=GPU_BOX)),
    "model-mac": lambda: ModelScreen(Draft(hardware=load_hardware("mac-m4-24gb"))),
    "data": lambda: DataScreen(starter_draft(LAPTOP)),
    "data-feedback": _feedback,
    "data-labels": lambda: _feedback(confirmed=False),
    "data-columns": _feedback,
    "data-fixes": _feedback,
    "recipe": lambda: RecipeScreen(_tuned(GPU_BOX)),
    "review": lambda: ReviewScreen(_tuned(GPU_BOX)),
    "live": lambda: LiveScreen(_run()),
    "live-zoom": lambda: LiveScreen(_run()),
    "samples": _samples,
    "results": _results,
    "runs": RunsScreen,
    "compare": RunsScreen,
}

# What is pressed once the screen is there.
PRESSED = {
    "data-feedback": ("j", "j", "j"),
    "data-columns": ("m",),
    "live-zoom": ("tab", "z", "m", *("left",) * 8),
    "data-fixes": ("f", "a", "down", "down", "down", "down"),
    "compare": ("space", "space", "space", "c"),
}


async def draw(name: str, size: tuple[int, int], between: Sequence[tuple[int, int]] = ()) -> str:
    """The SVG of screen ``name`` at ``size`` (columns, rows), the same on every machine.

    ``between``: sizes the terminal has for a moment before it has its own again.
    """
    before, here = {key: os.environ.get(key) for key in KEYS}, Path.cwd()
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(RECORDED, Path(home) / "runs")
        for run in (Path(home) / "runs").iterdir():
            began = Tail(run / "events.jsonl").read()[0].t
            os.utime(run / "run.toml", (began, began))
        shutil.copy(HERE / FEEDBACK, home)
        for key in KEYS:
            os.environ.pop(key, None)
        os.environ |= {"KTO_TUI_HOME": home, "HF_HOME": home, "TZ": "UTC"}
        time.tzset()
        try:
            os.chdir(home)
            app = KtoApp(plain=False)
            async with app.run_test(size=size) as pilot:
                await app.switch_screen(SCREENS[name]())
                for key in ("", *PRESSED.get(name, ())):
                    await pilot.press(*filter(None, [key]))
                    await app.workers.wait_for_complete()
                    await pilot.pause(0.2)
                for other in between:
                    await pilot.resize_terminal(*other)
                    await pilot.resize_terminal(*size)
                return app.export_screenshot(title=f"kto-tui {name}")
        finally:
            os.chdir(here)
            for key, value in before.items():
                if value is None:
                    os.environ.pop(key, None)
                else:
                    os.environ[key] = value
            time.tzset()


async def _write_all() -> None:
    for name in SCREENS:
        for size in SIZES:
            path = HERE / f"{name}-{size[0]}x{size[1]}.svg"
            path.write_text(await draw(name, size), encoding="utf-8")
            print(path.relative_to(HERE.parent))


if __name__ == "__main__":
    sys.exit(asyncio.run(_write_all()))
