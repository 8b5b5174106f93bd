"""The program that fuses: ``python -m kto_tui.backends.fuse [--format F] RUN FOLDER``; see ``kto_tui.runs.fusion``.

A process of its own: it may import MLX, which the terminal never does, and can be ended from outside.
"""

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from kto_tui.backends.faults import is_out_of_memory, write_failure
from kto_tui.backends.fuse.adapter import read_adapter
from kto_tui.backends.fuse.base_model import base_folder, check_same, no_gguf, quantization_of
from kto_tui.backends.fuse.folder import write_folder
from kto_tui.backends.fuse.plan import plan
from kto_tui.backends.fuse.words import notes_of, readme
from kto_tui.backends.mlx.rope import read_config
from kto_tui.crash import record
from kto_tui.errors import UserError
from kto_tui.runs.config import load_config
from kto_tui.runs.folder import RunFolder
from kto_tui.runs.fusion import Failed, Fused, Update, Wrote, adapter_config, check_target

SAY_SECONDS = 0.2


def fuse(run: RunFolder, target: Path, wrote: Callable[[int, int], None], *, gguf: bool = False) -> Fused:
    """Write the base model of ``run`` with its adapter into ``target``.

    Args:
        run: with an adapter in PEFT's format.
        target: absent or empty.
        wrote: told bytes of weights so far, and all of them.
        gguf: GGUF was asked for.

    Raises:
        UserError: why not.
    """
    config, settings = load_config(run.config), adapter_config(run)
    base = base_folder(config, settings)
    described = read_config(base)
    if gguf:
        raise no_gguf(described, run.id)
    check_target(target)
    quantization = quantization_of(described)
    changes = read_adapter(run.adapter, settings)
    files = plan(base, changes, quantization)
    check_same(run, base)
    notes = notes_of(config, described)
    kept = described if quantization is None else _unquantised(described)
    text = readme(
        run.id, config, base, described, target, notes, dora=any(one.m is not None for one in changes.values())
    )
    try:
        size = write_folder(target, base, files, kept, text, wrote)
    except ImportError as error:
        what = f"The base model is quantised by MLX, which is not installed here ({error.name})"
        raise UserError(what, mend="Fuse where the run was trained", where=str(base)) from None
    except Exception as error:
        if (reason := write_failure(error)) is None:
            raise
        mend = "Free space, or choose a folder that can be written"
        raise UserError(f"The folder cannot be written ({reason})", mend=mend, where=str(target)) from None
    return Fused(path=str(target), size_bytes=size, notes=notes)


def _unquantised(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name not in {"quantization", "quantization_config"}}


def attempt(run: RunFolder, target: Path, wrote: Callable[[int, int], None], *, gguf: bool) -> Update:
    """Fuse, and turn whatever happens into the last word."""
    try:
        return fuse(run, target, wrote, gguf=gguf)
    except UserError as error:
        return Failed(what=error.what, mend=error.mend, where=error.where)
    except Exception as error:  # noqa: BLE001 - a person gets a sentence whatever happened
        if is_out_of_memory(error):
            mend = "Close what else uses memory"
            return Failed(what="Memory does not hold the largest layer", mend=mend, where=run.id)
        return Failed(crash=record(error))


def main(argv: list[str]) -> int:
    """Entry point; exit code 0 done, 1 failed, 130 interrupted."""
    parser = argparse.ArgumentParser(prog="python -m kto_tui.backends.fuse")
    parser.add_argument("run", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--format", choices=("hf", "gguf"), default="hf")
    args = parser.parse_args(argv)
    # Standard output is ours alone: whatever else prints goes where it cannot damage a line.
    output = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda *_: sys.exit(130))  # what is half written goes on the way out
    said = 0.0

    def say(update: Update) -> None:
        os.write(output, msgspec.json.encode(update) + b"\n")

    def wrote(done: int, total: int) -> None:
        nonlocal said
        if done == total or time.monotonic() - said > SAY_SECONDS:
            said = time.monotonic()
            say(Wrote(bytes_done=done, bytes_total=total))

    last = attempt(RunFolder(args.run), args.folder, wrote, gguf=args.format == "gguf")
    say(last)
    return 0 if isinstance(last, Fused) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
