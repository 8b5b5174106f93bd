"""What a static linter cannot see: nothing that must not imports a training library by way of others."""

import os
import pkgutil
import statistics
import subprocess
import sys
import time

import pytest

import kto_tui
from kto_tui.backends import training

HEAVY = {
    "torch",
    "transformers",
    "trl",
    "datasets",
    "peft",
    "accelerate",
    "bitsandbytes",
    "mlx",
    "huggingface_hub",
    "numpy",
    "pandas",
    "pyarrow",
}
LIBRARIES = {"torch", "trl", "peft", "accelerate", "bitsandbytes", "datasets", "mlx"}
DOWNLOAD_PROGRAM = ("kto_tui.hub.transfer", "kto_tui.hub.listing", "kto_tui.hub.failures")
# What computes with numpy: only the examination's program and the worker import it when they start.
DOCTOR = (
    "kto_tui.data.checks.balance",
    "kto_tui.data.checks.cheap",
    "kto_tui.data.checks.near",
    "kto_tui.data.checks.texts",
    "kto_tui.data.examine",
    "kto_tui.data.program",
)
TRACER = "kto_tui.memory.trace"  # a tool of development
WORKER_SIDE = ("kto_tui.backends", "kto_tui.worker.__main__", "kto_tui.__main__", TRACER, *DOWNLOAD_PROGRAM, *DOCTOR)
LIGHT = sorted(
    name for _, name, _ in pkgutil.walk_packages(kto_tui.__path__, "kto_tui.") if not name.startswith(WORKER_SIDE)
)


def test_terminal_side_never_imports_training_libraries() -> None:
    code = (
        f"import importlib, sys\nfor name in {LIGHT!r}: importlib.import_module(name)\n"
        f"print(sorted({HEAVY!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert "kto_tui.tui.screens.live" in LIGHT


def test_what_backends_share_imports_none_of_their_libraries() -> None:
    names = [name for _, name, _ in pkgutil.walk_packages(training.__path__, f"{training.__name__}.")]
    assert "kto_tui.backends.training.saving" in names
    code = (
        f"import importlib, sys\nfor name in {names!r}: importlib.import_module(name)\n"
        f"print(sorted({LIBRARIES!r} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("flag", ["--help", "--version"])
def test_help_and_version_answer_without_any_dependency(flag: str) -> None:
    """Not even the light packages: their import alone would eat the 150 ms (generous here: shared machines)."""
    code = f"import sys; sys.argv = ['kto-tui', {flag!r}]\nfrom kto_tui.cli import main\n"
    code += "try: main()\nexcept SystemExit: pass\n"
    code += "print(sorted({'textual', 'rich', 'msgspec', 'psutil', 'torch'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    times = []
    for _ in range(5):
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-m", "kto_tui", flag], capture_output=True, check=True, env=os.environ.copy())
        times.append(time.perf_counter() - begin)
    assert statistics.median(times) < 0.6
