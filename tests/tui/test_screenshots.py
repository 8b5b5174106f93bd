"""The committed screenshots are the snapshots: each must be what the application draws today."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "screenshots"


def load_script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("screenshot_script", FOLDER / "make.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


script = load_script()


@pytest.mark.parametrize("size", script.SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("name", script.SCREENS)
async def test_screenshot_is_what_the_app_draws(name: str, size: tuple[int, int]) -> None:
    path = FOLDER / f"{name}-{size[0]}x{size[1]}.svg"
    assert path.read_text(encoding="utf-8") == await script.draw(name, size), "run make screenshots and look at it"


def last_line(drawn: str) -> str:
    """The text in the lowest row of an SVG."""
    rows: dict[float, str] = {}
    for y, text in re.findall(r'<text[^>]* y="([\d.]+)"[^>]*>(.*?)</text>', drawn):
        rows[float(y)] = rows.get(float(y), "") + text
    return rows[max(rows)]


@pytest.mark.parametrize("name", script.SCREENS)
async def test_resizing_breaks_nothing(name: str) -> None:
    """Smaller than any word, tall and narrow, wide and flat: the screen is there again, down to its keys."""
    path = FOLDER / f"{name}-80x24.svg"
    drawn = await script.draw(name, (80, 24), [(1, 1), (2, 50), (500, 3), (140, 45)])
    assert last_line(drawn) == last_line(path.read_text(encoding="utf-8"))
