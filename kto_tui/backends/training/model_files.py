"""Finds a model's files, downloads them where they are not here, and says plainly when memory does not hold them."""

import contextlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from kto_tui.backends.base import Job, StopRequested
from kto_tui.backends.faults import TrainingError, is_out_of_memory
from kto_tui.backends.training.tokenizer import first_line
from kto_tui.catalog import ModelSpec
from kto_tui.catalog.config_file import read_config
from kto_tui.environment import installed
from kto_tui.errors import UserError
from kto_tui.hub import sentences
from kto_tui.hub.cache import cached
from kto_tui.hub.download import Download, tenths
from kto_tui.hub.updates import Done, Failed, Update
from kto_tui.runs.events import PhaseEntered
from kto_tui.starter import MODEL_ID, is_whole, starter_model_folder


def locate(job: Job) -> Path:
    """Folder of the model's files, downloaded when they are not on this machine yet.

    Raises:
        UserError: missing, gated, unreachable, no room ...
        StopRequested: asked to end meanwhile; what has arrived is kept.
    """
    name = job.config.model
    folder = Path(name).expanduser()
    if folder.is_dir():
        return folder
    if name == MODEL_ID and (stored := _starter_model(job)) is not None:
        return stored
    if (here := cached(name)) is not None and here.main is not None and here.complete:
        return Path(here.main.path)
    with Download(name, backend=job.config.backend, max_length=job.config.recipe.max_length) as updates:
        for update in tenths(stoppable(updates, job)):
            if isinstance(update, Done):
                return Path(update.path)
            if isinstance(update, Failed):
                raise UserError(update.message, mend=update.mend, where=name)
            job.emit(PhaseEntered(phase=f"downloading {name}: {sentences.line(update)}"))
    raise AssertionError("a download has a last word")


def _starter_model(job: Job) -> Path | None:
    """Folder of the stored starter model; None where it is not stored and only PyTorch could convert it."""
    if is_whole(starter_model_folder()):
        return starter_model_folder()
    if installed("torch") is None:
        return None
    from kto_tui.backends.hf.starter_model import ensure_starter_model

    return ensure_starter_model(lambda text: job.emit(PhaseEntered(phase=text)))


def stoppable(updates: Iterable[Update], job: Job) -> Iterator[Update]:
    """``updates``, which come at least once a second, until the run is asked to end."""
    for update in updates:
        if job.requested() is not None:
            raise StopRequested
        yield update


def context_of(folder: Path) -> int | None:
    """Tokens the model in ``folder`` was made for (``max_position_embeddings``); None where it tells none."""
    try:
        return read_config(folder, ModelSpec(id=str(folder), title=folder.name)).context
    except UserError:  # whoever loads the model tells what is wrong with it
        return None


@contextlib.contextmanager
def room_for(model: str) -> Iterator[None]:
    """Inside, a lack of memory ends the run: nothing that recovery lowers makes weights smaller.

    Raises:
        TrainingError: memory ran out.
    """
    try:
        yield
    except (OSError, RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        raise TrainingError(
            f"Memory does not hold the model ({first_line(error)})",
            mend="Close what else uses memory, or start a new run with a smaller model or, on CUDA, quantization nf4",
            cause="out_of_memory",
            where=model,
        ) from error
