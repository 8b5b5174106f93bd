"""From checked rows to windows of token ids: split, prepared and weighed, with nothing dropped in silence."""

import hashlib
from collections.abc import Sequence

import msgspec
import transformers
from transformers import PreTrainedTokenizerBase

from kto_tui.backends.base import Job
from kto_tui.backends.training.tokenizer import require_chat_template
from kto_tui.data.by_method import require_trainable, rows_for
from kto_tui.data.prepare import Prepared, PreparedRow, Settings, Window, prepare
from kto_tui.data.rows import Message, Row
from kto_tui.data.sources import Source
from kto_tui.data.split import MIN_HELDOUT_ROWS, TRIAL_ROWS, split_rows
from kto_tui.errors import UserError
from kto_tui.methods.kto import Weights, fill_weights
from kto_tui.paths import cache_home
from kto_tui.runs.events import DataPrepared, Noted

# Beyond this share the file and max_length do not belong together, and going on would waste the night.
MAX_DROPPED_SHARE = 0.1
SAMPLE_PROMPTS = 4


class PreparedRows(msgspec.Struct, frozen=True):
    """Windows to train on, held-out rows, a few prompts to show answers to, and the label weights.

    ``fingerprint``: equal for equal windows.
    """

    windows: Sequence[Window]
    heldout: Sequence[PreparedRow]
    sample_prompts: tuple[str | tuple[Message, ...], ...]
    desirable_weight: float
    undesirable_weight: float
    fingerprint: str


def tokenizer_fingerprint(tokenizer: PreTrainedTokenizerBase) -> str:
    """SHA-256 over the vocabulary, the rules and the chat template."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    rules = backend.to_str() if backend is not None else repr(sorted(tokenizer.get_vocab().items()))
    special = sorted(tokenizer.special_tokens_map.items())
    return hashlib.sha256(f"{rules}{tokenizer.chat_template}{special}{transformers.__version__}".encode()).hexdigest()


def _check_lengths(prepared: Prepared, rows: int, job: Job, path: str) -> None:
    """Say what the length limit did to ``rows`` rows, or refuse when it took too many of them."""
    limit = job.config.recipe.max_length
    if prepared.filled:
        line, tokens = prepared.filled[0]
        longest = max(tokens for _, tokens in prepared.filled)
        problem = f"{len(prepared.filled)} of {rows} rows have a prompt that alone fills max_length {limit}"
        where = f"{path}:{line} (the first, {tokens} tokens)"
        one_label = job.config.recipe.method == "kto" and prepared.desirable in {0, prepared.rows}
        if len(prepared.filled) > MAX_DROPPED_SHARE * rows or one_label:
            raise UserError(problem, mend=f"Set max_length above {longest} or shorten those prompts", where=where)
        job.emit(Noted(text=f"{where}: {problem}; they are left out. Set max_length above {longest} to keep them."))
    if prepared.skipped:
        line, tokens = prepared.skipped[0]
        text = f"{len(prepared.skipped)} of {rows} rows are longer than max_length {limit} and are left out"
        job.emit(Noted(text=f"{path}:{line} (the first, {tokens} tokens): {text}"))
    if prepared.empty:
        text = f"{len(prepared.empty)} rows add no token to their prompt and are left out"
        job.emit(Noted(text=f"{path}:{prepared.empty[0]} (the first): {text}"))
    if prepared.cut:
        text = f"{len(prepared.cut)} of {rows} rows are longer than max_length {limit} and are cut on the right"
        job.emit(Noted(text=text))
    if prepared.prompts_shortened:
        text = "rows have a chat template that renders the prompt differently once an answer follows; the answer starts"
        job.emit(Noted(text=f"{prepared.prompts_shortened} {text} where the two differ"))


def _note_windows(prepared: Prepared, job: Job, path: str) -> None:
    """Say which training rows did not come out even in windows and KL pairs."""
    if prepared.single is not None:
        text = "this row is left out, because no other row is there to estimate its KL with"
        job.emit(Noted(text=f"{path}:{prepared.single}: {text}"))
    if prepared.merged:
        text = f"{prepared.merged} rows left over, too few for a step of their own, are trained with the last full step"
        job.emit(Noted(text=text))
    if prepared.own:
        text = f"{prepared.own} rows have an equal answer as their mismatched one, because their step holds no other"
        job.emit(Noted(text=f"{text}; KL is underestimated there"))


def _prepare(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, settings: Settings, path: str) -> Prepared:
    """As ``prepare``, with the cache; a row that the chat template refuses is named with the file at ``path``."""
    name = tokenizer_fingerprint(tokenizer)
    try:
        return prepare(rows, tokenizer, settings, tokenizer_id=name, cache=cache_home() / "prepared")
    except UserError as error:
        raise UserError(error.what, mend=error.mend, where=f"{path}, {error.where}") from error


def _require_both(prepared: Prepared, path: str, *, trial: bool) -> None:
    """Nothing when rows of both labels are left.

    Raises:
        UserError: fewer than two rows, or one label only.
    """
    if prepared.rows < 2:
        raise UserError(
            f"{prepared.rows} rows are left to train on; KTO needs at least two",
            mend="Add rows, or raise max_length",
            where=path,
        )
    if prepared.desirable in {0, prepared.rows}:
        raise UserError(
            f"The {prepared.rows} rows that are left to train on all have the label {prepared.desirable > 0}",
            mend="Train without --trial" if trial else "Raise max_length, or add rows of the other label",
            where=path,
        )


def _note_context(prepared: Prepared, context: int | None, job: Job) -> None:
    """Say that rows are longer than what the model was made for."""
    if context is None or job.config.recipe.max_length <= context:
        return
    count, longest = prepared.windows.beyond(context)
    if count:
        text = (
            f"{count} of {prepared.rows} rows are longer than the model's context of {context} tokens, up to {longest}"
        )
        mend = f"it was not made for positions beyond. Set max_length to {context} to cut them there"
        job.emit(Noted(text=f"{text}; {mend}"))


def prepare_rows(
    source: Source, tokenizer: PreTrainedTokenizerBase, job: Job, *, context: int | None = None
) -> PreparedRows:
    """Split ``source``, prepare its windows and weigh its labels for ``job``; emits what was done.

    Args:
        source: the rows.
        tokenizer: of the model.
        job: the run.
        context: tokens the model was made for; None: unknown.

    Raises:
        UserError: too few rows, one label only, too many prompts that fill ``max_length``, chat rows for a tokenizer
            without a chat template, or a row that the template refuses.
    """
    recipe, config = job.config.recipe, job.config
    dataset = source.dataset
    require_trainable(recipe.method, dataset, source.heldout)
    kto = recipe.method == "kto"
    path = str(dataset.path)
    if config.data_fingerprint and config.data_fingerprint != dataset.fingerprint:
        job.emit(Noted(text=f"{path} has changed since this run was set up"))
    if not isinstance(dataset.rows[0].prompt, str):
        require_chat_template(tokenizer, config.model)
    train, remarks = rows_for(recipe.method, dataset)
    if source.heldout is not None:
        heldout = rows_for(recipe.method, source.heldout)[0]
    else:
        split = split_rows(train, share=recipe.heldout_share, seed=recipe.seed)
        train, heldout, remarks = split.train, split.heldout, (*remarks, *split.notes)
    for remark in remarks:
        job.emit(Noted(text=remark))
    settings = Settings(
        max_length=recipe.max_length,
        effective_batch=recipe.effective_batch,
        seed=recipe.seed,
        kl=kto and recipe.loss_type == "kto",
        long_rows=recipe.long_rows,
        limit=TRIAL_ROWS if config.trial else None,
    )
    prepared = _prepare(train, tokenizer, settings, path)
    _check_lengths(prepared, len(train), job, path)
    _note_windows(prepared, job, path)
    _note_context(prepared, context, job)
    if kto:
        _require_both(prepared, path, trial=config.trial)
    elif not prepared.rows:
        raise UserError("No rows are left to train on", mend="Raise max_length", where=path)
    held_path = path if source.heldout is None else str(source.heldout.path)
    held: Sequence[PreparedRow] = ()
    if heldout:
        held_settings = msgspec.structs.replace(settings, kl=False, limit=None)
        prepared_held = _prepare(heldout, tokenizer, held_settings, held_path)
        _check_lengths(prepared_held, len(heldout), job, held_path)
        held = prepared_held.windows.rows
    desirable = prepared.desirable
    weights = (
        fill_weights(
            recipe.desirable_weight,
            recipe.undesirable_weight,
            desirable_rows=desirable,
            undesirable_rows=prepared.rows - desirable,
        )
        if kto
        else Weights(1.0, 1.0, "SFT has one kind of row")
    )
    job.emit(
        DataPrepared(
            train_rows=prepared.rows,
            heldout_rows=len(held),
            desirable=desirable,
            undesirable=prepared.rows - desirable,
            dropped_rows=prepared.dropped,
            cut_rows=len(prepared.cut),
            desirable_weight=weights.desirable,
            undesirable_weight=weights.undesirable,
            weights_because=weights.because,
        )
    )
    if held and len(held) < MIN_HELDOUT_ROWS and source.heldout is not None:
        job.emit(Noted(text=f"{held_path} has only {len(held)} rows; held-out figures will be rough"))
    return PreparedRows(
        windows=prepared.windows,
        heldout=held,
        sample_prompts=_first_prompts(heldout or train),
        desirable_weight=weights.desirable,
        undesirable_weight=weights.undesirable,
        fingerprint=prepared.fingerprint,
    )


def _first_prompts(rows: Sequence[Row]) -> tuple[str | tuple[Message, ...], ...]:
    """The first few different ones."""
    found: dict[str | tuple[Message, ...], None] = {}
    for row in rows:
        found[row.prompt] = None
        if len(found) == SAMPLE_PROMPTS:
            break
    return tuple(found)
