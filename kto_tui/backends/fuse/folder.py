"""Writes the fused folder: whole, or not at all."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from kto_tui.atomic import as_usual, unused_beside
from kto_tui.backends.fuse.plan import Files
from kto_tui.backends.fuse.tensors import index, write_shard
from kto_tui.runs.fusion import check_room

INDEX = "model.safetensors.index.json"
# What a checkpoint has beside weights: tokenizer, chat template, generation settings, code, licence.
SUFFIXES = frozenset({".json", ".jinja", ".model", ".py", ".tiktoken", ".txt"})
LEGAL = ("license", "notice", "use_policy")
OWN = frozenset({"config.json", "adapter_config.json", "source.json"})


def companions(base: Path) -> list[Path]:
    """Files of the base model that the fused one has unchanged."""
    return [
        path
        for path in sorted(base.iterdir())
        if path.is_file()
        and path.name not in OWN
        and not path.name.endswith(".index.json")
        and (path.suffix in SUFFIXES or path.name.lower().startswith(LEGAL))
    ]


def write_folder(
    target: Path,
    base: Path,
    files: Files,
    config: Mapping[str, Any],
    readme: str,
    wrote: Callable[[int, int], None],
) -> int:
    """Build the folder beside ``target`` and rename it; returns its bytes.

    Args:
        target: absent or empty; the folder it is in exists.
        base: folder of the base model.
        files: tensors by file name.
        config: for config.json.
        readme: for README.md.
        wrote: told bytes of weights written so far, and all of them.

    Raises:
        UserError: no room.
        OSError: it cannot be written. Nothing is left behind.
    """
    beside = companions(base)
    total = sum(one.size for planned in files.values() for one in planned.values())
    check_room(target, total + sum(path.stat().st_size for path in beside) + len(readme) + 2**20)
    build = unused_beside(target)
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        wrote(done, total)

    try:
        build.mkdir(mode=0o700)
        for path in beside:
            shutil.copyfile(path, build / path.name)
        for name, planned in files.items():
            write_shard(build / name, planned, count)
        if len(files) > 1:
            _write_json(build / INDEX, index(files.items()))
        _write_json(build / "config.json", config)
        (build / "README.md").write_text(readme, encoding="utf-8")
        size = sum(path.stat().st_size for path in build.iterdir())
        build.chmod(as_usual(0o755))
        build.rename(target)
    except BaseException:
        shutil.rmtree(build, ignore_errors=True)
        raise
    return size


def _write_json(file: Path, table: Mapping[str, Any]) -> None:
    file.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
