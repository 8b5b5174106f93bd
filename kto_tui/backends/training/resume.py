"""Whether a run can go on from its newest checkpoint, and what there is to say about it."""

from pathlib import Path

import msgspec

from kto_tui.backends.base import Job
from kto_tui.backends.training.reference import model_fingerprint
from kto_tui.backends.training.rows import PreparedRows
from kto_tui.data.sources import Source
from kto_tui.environment import versions
from kto_tui.errors import UserError
from kto_tui.recipe import Value
from kto_tui.runs.checkpoints import Checkpoint, newest_valid
from kto_tui.runs.events import Noted, Resumed
from kto_tui.runs.state import RunState

# What may change under a run: recovery lowers the first three, the others change nothing that is learnt.
FREE = frozenset(
    {
        "micro_batch", "gradient_checkpointing", "max_length",
        "log_every", "eval_every", "sample_every", "save_every", "save_total_limit", "report_to",
    }
)  # fmt: skip
# Fingerprints that must be equal, and what they are of.
SAME = {"data": "data", "model": "model"}
# With these equal, equal rows are prepared to equal windows.
PREPARED_BY = ("kto-tui", "transformers", "tokenizers")


class Facts(msgspec.Struct, frozen=True):
    """What a checkpoint of this run belongs to; see ``kto_tui.runs.checkpoints.Manifest``."""

    versions: dict[str, str]
    fingerprints: dict[str, str]
    recipe: dict[str, Value]


def facts(job: Job, source: Source, rows: PreparedRows, folder: Path, device: str) -> Facts:
    """Those of ``job``, on which its figures depend.

    Args:
        job: the run.
        source: of its rows.
        rows: as they are trained on.
        folder: where the base model was read from.
        device: what it runs on and in which precision, such as "cpu bf16".
    """
    heldout = {} if source.heldout is None else {"heldout": source.heldout.fingerprint}
    return Facts(
        versions=versions(job.config.backend),
        fingerprints={
            "data": source.dataset.fingerprint,
            "model": model_fingerprint(folder, strict=False),
            "windows": rows.fingerprint,
            "device": device,
            **heldout,
        },
        recipe=msgspec.to_builtins(job.config.recipe),
    )


def newest(job: Job, now: Facts, before: RunState) -> Checkpoint | None:
    """The checkpoint that training goes on from, None when it begins at the beginning; tells the run so.

    Args:
        job: the run.
        now: what a checkpoint must belong to.
        before: what the run's log told until now.

    Raises:
        UserError: data, model or recipe are not those of the checkpoint.
    """
    found, remarks = newest_valid(job.run)
    for remark in remarks:
        job.emit(Noted(text=remark))
    if found is None:
        if before.step:
            job.emit(Resumed(step=0))
        return None
    _refuse(job, found, now)
    for note in _notes(found, now):
        job.emit(Noted(text=note))
    job.emit(Resumed(step=found.step, path=str(found.path)))
    return found


def same_windows(found: Checkpoint, now: Facts) -> bool:
    """Whether the windows that ``found`` was trained on are the ones there are ``now``."""
    return found.manifest.fingerprints.get("windows") == now.fingerprints["windows"]


def _refuse(job: Job, found: Checkpoint, now: Facts) -> None:
    saved = found.manifest
    places = {"data": job.config.data, "model": job.config.model}
    anew = f"or start a new run, or delete {job.run.checkpoints} to begin this one anew"
    for name, word in SAME.items():
        if saved.fingerprints.get(name) != now.fingerprints[name]:
            raise UserError(
                f"The {word} has changed since the checkpoint of step {found.step} was written",
                mend=f"Put it back as it was and resume, {anew}",
                where=places[name],
            )
    changed = [
        f"{name} was {saved.recipe[name]} and is {value}"
        for name, value in now.recipe.items()
        if name not in FREE and name in saved.recipe and saved.recipe[name] != value
    ]
    if changed:
        raise UserError(
            f"The recipe has changed since the checkpoint of step {found.step} was written ({'; '.join(changed)})",
            mend=f"Put it back as it was and resume, {anew}",
            where=str(job.run.config),
        )
    same_tools = all(saved.versions.get(name) == now.versions.get(name) for name in PREPARED_BY)
    same_length = saved.recipe.get("max_length") == now.recipe["max_length"]
    if same_tools and same_length and not same_windows(found, now):
        raise UserError(
            f"The rows are prepared otherwise than for the checkpoint of step {found.step}: another tokenizer, "
            "other choices about the data, or a trial",
            mend=f"Put that back as it was and resume, {anew}",
            where=str(job.run.config),
        )


def _notes(found: Checkpoint, now: Facts) -> list[str]:
    """What differs, and does not keep training from going on."""
    saved = found.manifest
    versions = [
        f"{name} {saved.versions.get(name, 'missing')}, now {now.versions.get(name, 'missing')}"
        for name in {**now.versions, **saved.versions}
        if saved.versions.get(name) != now.versions.get(name)
    ]
    notes = []
    if versions:
        notes.append(f"Other versions than before: {'; '.join(versions)}. Results may differ a little")
    if saved.fingerprints.get("device") != now.fingerprints["device"]:
        text = f"Before, this run trained on {saved.fingerprints.get('device')}, now on {now.fingerprints['device']}"
        notes.append(f"{text}. Results may differ a little")
    if saved.fingerprints.get("heldout") != now.fingerprints.get("heldout"):
        notes.append("The held-out file has changed: its figures before and after cannot be compared")
    if saved.recipe.get("max_length") != now.recipe["max_length"]:
        text = f"Rows are cut to {now.recipe['max_length']} tokens now, {saved.recipe.get('max_length')} before"
        notes.append(f"{text}; training goes on at batch {saved.window + 1} of the epoch")
    return notes
