"""Saves the trained adapter so that anyone can load it with plain PEFT."""

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from kto_tui.backends.base import Job
from kto_tui.backends.faults import TrainingError, first_line, is_disk_full
from kto_tui.runs.events import AdapterSaved
from kto_tui.runs.folder import folder_bytes

README = """# Adapter of run {run}

A LoRA adapter for `{model}`, trained with KTO by kto-tui on {steps} steps of {batch} rows.

```python
from peft import AutoPeftModelForCausalLM
from transformers import AutoTokenizer

model = AutoPeftModelForCausalLM.from_pretrained("{path}")
tokenizer = AutoTokenizer.from_pretrained("{path}")
```

The base model was read from `{base}`. All choices of the run are in `run.toml` beside this folder.
"""


def save_adapter(job: Job, write: Callable[[Path], None], *, base: Path, steps: int, readme: str | None = None) -> None:
    """Write adapter, tokenizer and a README beside the target, then rename: the folder is whole or absent.

    Args:
        job: the run.
        write: puts the files of adapter and tokenizer into an empty folder.
        base: where the base model was read from.
        steps: optimizer steps that were trained.
        readme: text of the README; None: ``README``, which tells how PEFT loads what is there.

    Raises:
        TrainingError: the disk is full or read-only.
    """
    target = job.run.adapter
    for left in job.run.path.glob(".adapter.*"):  # by an earlier process of this run that was killed here
        shutil.rmtree(left, ignore_errors=True)
    build = Path(tempfile.mkdtemp(prefix=".adapter.", dir=job.run.path))
    try:
        write(build)
        (build / "README.md").write_text(_readme(job, base, steps) if readme is None else readme, encoding="utf-8")
        build.chmod(0o700)
        if target.exists():  # saved before, by a process that ended before the run did
            target.rename(job.run.path / ".adapter.before")
        build.rename(target)
        shutil.rmtree(job.run.path / ".adapter.before", ignore_errors=True)
    except BaseException as error:
        shutil.rmtree(build, ignore_errors=True)
        if not is_disk_full(error):
            raise
        raise TrainingError(
            f"The adapter could not be saved ({first_line(error)})",
            mend="Free space or make the disk writable; checkpoints are kept",
            cause="disk_full",
            where=str(target),
        ) from error
    job.emit(AdapterSaved(path=str(target), size_bytes=folder_bytes(target)))


def _readme(job: Job, base: Path, steps: int) -> str:
    return README.format(
        run=job.run.id,
        model=job.config.model,
        steps=steps,
        batch=job.config.recipe.effective_batch,
        path=job.run.adapter,
        base=base,
    )
