"""The whole preparation: length policy, windows, KL pairs, and a cache so that a second run starts at once."""

import contextlib
import hashlib
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from kto_tui.data.prepare.token_file import TokenRows, in_memory, open_tokens, write_tokens
from kto_tui.data.prepare.tokens import Tokenizer, tokenize_rows
from kto_tui.data.prepare.views import Windows
from kto_tui.data.prepare.windows import mix_labels, rotation
from kto_tui.data.rows import Row

# Changes when the same input would be prepared differently, so that old cache files are not read.
VERSION = 3


class Settings(msgspec.Struct, frozen=True, array_like=True):
    """What the preparation depends on besides the rows and the tokenizer.

    Attributes:
        max_length: tokens of prompt and completion together, at most.
        effective_batch: rows per window.
        seed: of the order.
        kl: whether the loss has a KL term and so needs mismatched pairs.
        long_rows: "cut" cuts the completion of a longer row on the right, "skip" leaves the row out.
        limit: take whole windows with at most so many rows, at least one window; None: all rows.
            What it leaves is not counted as dropped.
        ranks: processes that share each window, at most ``effective_batch``; none is left without a row.
    """

    max_length: int
    effective_batch: int
    seed: int
    kl: bool = True
    long_rows: Literal["cut", "skip"] = "cut"
    limit: int | None = None
    ranks: int = 1


class Prepared(msgspec.Struct, frozen=True):
    """Windows ready to train on, and what was left out on the way.

    Attributes:
        windows: one optimizer step each, in training order; read when asked for.
        filled: (line, tokens) of rows whose prompt alone fills ``max_length``; left out.
        skipped: (line, tokens) of rows longer than ``max_length`` that the policy leaves out.
        empty: lines of rows whose completion adds no token to the prompt; left out.
        cut: lines of rows whose completion was cut on the right.
        prompts_shortened: rows whose chat template renders the prompt differently once an answer follows.
        single: line of a row left out because it had no other row to be paired with, None normally.
        merged: rows left over that were too few for a window and are in the last one.
        own: rows whose mismatched completion equals their own, because their window has no other.
        fingerprint: SHA-256 of everything the windows depend on.
    """

    windows: Windows
    filled: tuple[tuple[int, int], ...]
    skipped: tuple[tuple[int, int], ...]
    empty: tuple[int, ...]
    cut: tuple[int, ...]
    prompts_shortened: int
    single: int | None
    merged: int
    own: int
    fingerprint: str

    @property
    def rows(self) -> int:
        """Rows to train on."""
        return self.windows.row_count

    @property
    def desirable(self) -> int:
        """Rows labelled true among them."""
        return self.windows.desirable

    @property
    def dropped(self) -> int:
        """Rows left out, for whatever reason."""
        return len(self.filled) + len(self.skipped) + len(self.empty) + (self.single is not None)


def tokens_key(rows: Sequence[Row], tokenizer_id: str) -> str:
    """SHA-256 over the rows and the tokenizer."""
    digest = hashlib.sha256(msgspec.msgpack.encode((VERSION, tokenizer_id)))
    for row in rows:
        digest.update(msgspec.msgpack.encode(row))
    return digest.hexdigest()


def fingerprint(key: str, settings: Settings) -> str:
    """SHA-256 over the rows and the tokenizer, whose ``tokens_key`` is ``key``, and the settings."""
    return hashlib.sha256(msgspec.msgpack.encode((VERSION, key, settings))).hexdigest()


def build(rows: TokenRows, settings: Settings, *, key: str = "") -> Prepared:
    """Windows from tokenised ``rows``; every row that is not in them is named in the result."""
    if settings.ranks > settings.effective_batch:
        raise ValueError(f"{settings.ranks} processes cannot share a window of {settings.effective_batch} rows")
    limit = settings.max_length
    filled: list[tuple[int, int]] = []
    skipped: list[tuple[int, int]] = []
    empty: list[int] = []
    kept = array("Q")
    for i, (line, prompt, length) in enumerate(zip(rows.lines, rows.prompts, rows.lengths, strict=True)):
        if prompt >= limit:
            filled.append((line, prompt))
        elif length == prompt:
            empty.append(line)
        elif settings.long_rows == "skip" and length > limit:
            skipped.append((line, length))
        else:
            kept.append(i)
    windows = mix_labels(
        kept,
        labels=rows.labels,
        lengths=rows.lengths,
        seed=settings.seed,
        size=settings.effective_batch,
        # Rows of one label are imitated, not compared: there a row may stand alone.
        least=max(2 if settings.kl or len({*rows.labels}) > 1 else 1, settings.ranks),
    )
    if settings.limit is not None:
        windows = _first(windows, settings.limit)
    single = rows.lines[windows.pop()[0]] if settings.kl and windows and len(windows[-1]) == 1 else None
    used = [row for window in windows for row in window]
    return Prepared(
        windows=Windows(rows, windows, max_length=limit, kl=settings.kl),
        filled=tuple(filled),
        skipped=tuple(skipped),
        empty=tuple(empty),
        cut=tuple(sorted(rows.lines[row] for row in used if rows.lengths[row] > limit)),
        prompts_shortened=sum(rows.lost[row] > 0 for row in used),
        single=single,
        merged=max(0, len(windows[-1]) - settings.effective_batch) if windows else 0,
        own=sum(_meet_themselves(rows, window, limit) for window in windows) if settings.kl else 0,
        fingerprint=key,
    )


def _meet_themselves(rows: TokenRows, window: Sequence[int], limit: int) -> int:
    """Rows of ``window`` whose mismatched completion equals their own once both are cut."""
    step = rotation([rows.digests[row] for row in window])
    return sum(_cut_alike(rows, row, window[i - step], limit) for i, row in enumerate(window)) if step else 0


def _cut_alike(rows: TokenRows, row: int, other: int, limit: int) -> bool:
    """Whether both completions are equal once they are cut to ``limit`` tokens with the prompt of ``row``."""
    if rows.digests[row] == rows.digests[other]:
        return True
    room = limit - rows.prompts[row]  # different completions can be equal only where both are cut to it
    own, mismatched = rows.completion(row)[:room], rows.completion(other)[:room]
    return len(own) == len(mismatched) == room and own == mismatched


def _first(windows: list[list[int]], rows: int) -> list[list[int]]:
    """Whole windows with at most ``rows`` rows in all, at least one window."""
    kept: list[list[int]] = []
    for window in windows:
        if kept and sum(map(len, kept)) + len(window) > rows:
            break
        kept.append(window)
    return kept


def prepare(
    rows: Sequence[Row], tokenizer: Tokenizer, settings: Settings, *, tokenizer_id: str = "", cache: Path | None = None
) -> Prepared:
    """Tokenise, order and pair ``rows``.

    Args:
        rows: checked rows; they may lie on disk, each is looked at in order and not kept.
        tokenizer: of the model.
        settings: length policy, window size and seed.
        tokenizer_id: what identifies the tokenizer and its chat template; part of the cache's key.
        cache: folder for token ids, also those of earlier calls, whatever their settings; None keeps them in memory.

    Raises:
        UserError: the model's chat template refuses a row.
    """
    key = tokens_key(rows, tokenizer_id)
    return build(_tokens(rows, tokenizer, key, cache), settings, key=fingerprint(key, settings))


def _tokens(rows: Sequence[Row], tokenizer: Tokenizer, key: str, cache: Path | None) -> TokenRows:
    """The rows' token ids, from the cache where it has them; one that can't be written costs memory, never a run."""
    if cache is not None:
        file = cache / f"{key}.tokens"
        if (found := open_tokens(file, key)) is not None:
            return found
        with contextlib.suppress(OSError):
            return write_tokens(file, key, tokenize_rows(rows, tokenizer))
    return in_memory(tokenize_rows(rows, tokenizer))
