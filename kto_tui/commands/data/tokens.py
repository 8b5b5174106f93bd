"""How long rows are in tokens, counted by a model's own tokenizer or estimated from their characters."""

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import msgspec

from kto_tui import units
from kto_tui.choices import DataChoices
from kto_tui.data.opening import open_selection
from kto_tui.data.report import Progressed
from kto_tui.data.rows import Row, text_of
from kto_tui.data.scan import Tell
from kto_tui.data.selection import Selection, label_column
from kto_tui.data.sources import for_training
from kto_tui.data.tokens.client import BATCH_ROWS, TokenizerProcess
from kto_tui.data.tokens.lengths import Lengths, characters_per_token, count, estimate
from kto_tui.errors import UserError
from kto_tui.methods import Method

ESTIMATED_ROWS = 10_000
COUNTED_ROWS = 2_000
SCRIPT_ROWS = 200
SEED = 42


@contextlib.contextmanager
def tokenizer_of(model: str | None) -> Iterator[TokenizerProcess | None]:
    """The tokenizer of ``model`` in a process of its own; None without a model.

    Raises:
        UserError: it is not on this machine or cannot be loaded; said before anything long begins.
    """
    if model is None:
        yield None
        return
    with TokenizerProcess(model) as tokenizer:
        tokenizer.lengths([Row("a", "b", True, 1)])
        yield tokenizer


def measure(
    data: str, choices: DataChoices, tokenizer: TokenizerProcess | None, tell: Tell, *, method: Method, full: bool
) -> tuple[Lengths, UserError | None]:
    """Lengths of the rows that would be trained on: of a sample chosen by a seed, or of all.

    Where the tokenizer refuses a row they are estimated, and why is told beside them.
    """
    found = open_selection(*for_training(data, choices), tell)
    rows, facts = found.selection if method == "kto" else found.selection.of_label(True), found.facts
    refused = None
    if tokenizer is not None:
        index = _sample(rows, COUNTED_ROWS, full=full)
        labels = label_column(facts, rows, choices)[index].tolist()
        try:
            return count(_counted(rows, index, tokenizer, tell), labels, of=len(rows)), None
        except UserError as error:
            refused = error
    index = _sample(rows, ESTIMATED_ROWS, full=full)
    labels = label_column(facts, rows, choices)[index].tolist()
    numbers = rows.numbers[index] - 1
    columns = facts.columns()
    lengths = columns.prompt_characters[numbers].tolist(), columns.completion_characters[numbers].tolist()
    some = (
        text_of(part) for i in index[:: len(index) // SCRIPT_ROWS + 1] for part in (rows[i].prompt, rows[i].completion)
    )
    return estimate(*lengths, labels, per_token=characters_per_token(some), of=len(rows)), refused


def _sample(rows: Selection, most: int, *, full: bool) -> list[int]:
    wanted = len(rows) if full else min(most, len(rows))
    return sorted(random.Random(SEED).sample(range(len(rows)), wanted))  # noqa: S311 - no secret


def _counted(rows: Selection, index: list[int], tokenizer: TokenizerProcess, tell: Tell) -> Iterator[tuple[int, int]]:
    for start in range(0, len(index), BATCH_ROWS):
        tell(Progressed(phase="counting tokens", bytes_done=start, bytes_total=len(index), rows=start))
        yield from tokenizer.lengths([rows[i] for i in index[start : start + BATCH_ROWS]])


def sentence(lengths: Lengths, model: str | None, refused: UserError | None) -> str:
    """The percentiles in words, and how they are known."""
    found = lengths.percentiles()
    if found is None:
        return f"{units.UNKNOWN}: no row can be trained on"
    about = "" if lengths.counted else "about "
    how = f"counted with {model}" if lengths.counted else "estimated from characters"
    if not lengths.counted:
        how += f", for {refused}" if refused else ", --tokenizer MODEL counts them"
    of = "" if lengths.looked_at == lengths.of else f", on {lengths.looked_at:,} of {lengths.of:,} rows"
    said = f"median {about}{found.p50:,}, 95 % up to {found.p95:,}, longest {found.max:,} ({how}{of})"
    proposal = lengths.proposal()
    return said if proposal is None else f"{said}; max_length {proposal.max_length:,}: {proposal.because}"


def record(lengths: Lengths, model: str | None, refused: UserError | None) -> dict[str, Any]:
    """``counted``, ``model``, ``rows`` looked at ``of`` all, ``percentiles`` of all and by label, ``proposal``."""
    return {
        "counted": lengths.counted,
        "model": model,
        "refused": None if refused is None else str(refused),
        "rows": lengths.looked_at,
        "of": lengths.of,
        "percentiles": msgspec.to_builtins(lengths.percentiles()),
        "desirable": msgspec.to_builtins(lengths.percentiles(label=True)),
        "undesirable": msgspec.to_builtins(lengths.percentiles(label=False)),
        "proposal": msgspec.to_builtins(lengths.proposal()),
    }
