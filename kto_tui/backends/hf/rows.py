"""From checked rows to the datasets a TRL trainer takes: split, ordered, weighed, with nothing dropped in silence."""

import msgspec
from datasets import Dataset as HubDataset
from transformers import PreTrainedTokenizerBase

from kto_tui.backends.base import Job
from kto_tui.data.rows import Row, require_both_labels
from kto_tui.data.sources import Source
from kto_tui.data.split import MIN_HELDOUT_ROWS, TRIAL_ROWS, mix_labels, split_rows
from kto_tui.errors import UserError
from kto_tui.methods.kto import fill_weights
from kto_tui.runs.events import DataPrepared, Noted

# Beyond this share the file and max_length do not belong together, and going on would waste the night.
MAX_DROPPED_SHARE = 0.1


class PreparedRows(msgspec.Struct, frozen=True):
    """Training and held-out rows in TRL's unpaired format, and the label weights."""

    train: HubDataset
    heldout: HubDataset | None
    heldout_prompts: tuple[object, ...]
    desirable_weight: float
    undesirable_weight: float


def _record(row: Row) -> dict[str, object]:
    return {
        "prompt": msgspec.to_builtins(row.prompt),
        "completion": msgspec.to_builtins(row.completion),
        "label": row.label,
    }


def token_lengths(tokenizer: PreTrainedTokenizerBase, row: Row) -> tuple[int, int]:
    """Tokens of the prompt alone and of prompt and completion together, by TRL's tokenisation rules."""
    record = _record(row)
    if isinstance(row.prompt, str):
        return len(tokenizer(row.prompt)["input_ids"]), len(tokenizer(f"{row.prompt}{row.completion}")["input_ids"])
    prompt = tokenizer.apply_chat_template(record["prompt"], add_generation_prompt=True, return_dict=True)
    whole = tokenizer.apply_chat_template([*record["prompt"], *record["completion"]], return_dict=True)  # type: ignore[misc]
    return len(prompt["input_ids"]), len(whole["input_ids"])


def _fitting(
    rows: tuple[Row, ...], tokenizer: PreTrainedTokenizerBase, job: Job, path: str
) -> tuple[tuple[Row, ...], int, int]:
    """Rows whose prompt leaves room for an answer; (rows, dropped, cut), each drop noted with its line."""
    limit = job.config.recipe.max_length
    kept: list[Row] = []
    too_long: list[tuple[int, int]] = []
    cut = 0
    for row in rows:
        prompt, whole = token_lengths(tokenizer, row)
        if prompt >= limit:
            too_long.append((row.line, prompt))
            continue
        cut += whole > limit
        kept.append(row)
    if too_long:
        line, tokens = too_long[0]
        longest = max(tokens for _, tokens in too_long)
        problem = f"{len(too_long)} of {len(rows)} rows have a prompt that alone fills max_length {limit}"
        where = f"{path}:{line} (the first, {tokens} tokens)"
        if len(too_long) > MAX_DROPPED_SHARE * len(rows) or len({row.label for row in kept}) < len(
            {row.label for row in rows}
        ):
            raise UserError(problem, mend=f"Set max_length above {longest} or shorten those prompts", where=where)
        job.emit(Noted(text=f"{where}: {problem}; they are left out. Set max_length above {longest} to keep them."))
    if cut:
        job.emit(Noted(text=f"{cut} of {len(rows)} rows are longer than max_length {limit} and are cut on the right"))
    return tuple(kept), len(too_long), cut


def prepare_rows(source: Source, tokenizer: PreTrainedTokenizerBase, job: Job) -> PreparedRows:
    """Split, order, check lengths and weigh the labels of ``source`` for ``job``; emits what was done.

    Raises:
        UserError: too few rows, one label only, too many prompts that fill ``max_length``, or chat rows for a
            tokenizer without a chat template.
    """
    recipe, config = job.config.recipe, job.config
    dataset = require_both_labels(source.dataset)
    path = str(dataset.path)
    if config.data_fingerprint and config.data_fingerprint != dataset.fingerprint:
        job.emit(Noted(text=f"{path} has changed since this run was set up"))
    if not isinstance(dataset.rows[0].prompt, str) and tokenizer.chat_template is None:
        raise UserError(
            "The data are chat messages, but the model's tokenizer has no chat template",
            mend="Use an instruct or chat model, or plain text rows",
            where=config.model,
        )
    if source.heldout is not None:
        train, heldout, remarks = dataset.rows, source.heldout.rows, tuple[str, ...]()
    else:
        split = split_rows(dataset.rows, share=recipe.heldout_share, seed=recipe.seed)
        train, heldout, remarks = split.train, split.heldout, split.notes
    for remark in remarks:
        job.emit(Noted(text=remark))
    train, dropped, cut = _fitting(train, tokenizer, job, path)
    train = mix_labels(train, seed=recipe.seed, window=recipe.effective_batch)
    if config.trial:
        train = train[:TRIAL_ROWS]
    if len(train) < recipe.micro_batch:
        raise UserError(
            f"{len(train)} training rows are fewer than a micro-batch of {recipe.micro_batch}",
            mend="Add rows or lower micro_batch and effective_batch",
            where=path,
        )
    if len(train) % recipe.micro_batch == 1:
        job.emit(Noted(text=f"{path}:{train[-1].line}: left out, because a micro-batch of one row has no KL partner"))
        train, dropped = train[:-1], dropped + 1
    held_path = path if source.heldout is None else str(source.heldout.path)
    heldout = _fitting(heldout, tokenizer, job, held_path)[0] if heldout else ()
    desirable = sum(row.label for row in train)
    weights = fill_weights(
        recipe.desirable_weight,
        recipe.undesirable_weight,
        desirable_rows=desirable,
        undesirable_rows=len(train) - desirable,
    )
    job.emit(
        DataPrepared(
            train_rows=len(train),
            heldout_rows=len(heldout),
            desirable=desirable,
            undesirable=len(train) - desirable,
            dropped_rows=dropped,
            cut_rows=cut,
            desirable_weight=weights.desirable,
            undesirable_weight=weights.undesirable,
            weights_because=weights.because,
        )
    )
    if heldout and len(heldout) < MIN_HELDOUT_ROWS and source.heldout is not None:
        job.emit(Noted(text=f"{held_path} has only {len(heldout)} rows; held-out figures will be rough"))
    return PreparedRows(
        train=HubDataset.from_list([_record(row) for row in train]),
        heldout=HubDataset.from_list([_record(row) for row in heldout]) if heldout else None,
        heldout_prompts=tuple(dict.fromkeys(row.prompt for row in heldout or train)),
        desirable_weight=weights.desirable,
        undesirable_weight=weights.undesirable,
    )
