"""The whole preparation: length policy, windows, KL pairs, and a cache so that a second run starts at once."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from kto_tui.atomic import write_atomically
from kto_tui.data.prepare.tokens import Tokenizer, TokenRow, tokenize_rows
from kto_tui.data.prepare.windows import Window, mix_labels, pair
from kto_tui.data.rows import Row
from kto_tui.paths import keep_newest

# Changes when the same input would be prepared differently, so that old cache files are not read.
VERSION = 2
KEPT_FILES = 16
DIGEST_BYTES = 32


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
        windows: one optimizer step each, in training order.
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

    windows: tuple[Window, ...]
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
        return sum(len(window) for window in self.windows)

    @property
    def desirable(self) -> int:
        """Rows labelled true among them."""
        return sum(row.label for window in self.windows for row in window)

    @property
    def dropped(self) -> int:
        """Rows left out, for whatever reason."""
        return len(self.filled) + len(self.skipped) + len(self.empty) + (self.single is not None)


def fingerprint(rows: Sequence[Row], tokenizer_id: str, settings: Settings) -> str:
    """SHA-256 over the rows, the tokenizer and the settings."""
    digest = hashlib.sha256(msgspec.msgpack.encode((VERSION, tokenizer_id, settings)))
    for row in rows:
        digest.update(msgspec.msgpack.encode(row))
    return digest.hexdigest()


def build(rows: Sequence[TokenRow], settings: Settings, *, key: str = "") -> Prepared:
    """Windows from tokenised ``rows``; every row that is not in them is named in the result."""
    if settings.ranks > settings.effective_batch:
        raise ValueError(f"{settings.ranks} processes cannot share a window of {settings.effective_batch} rows")
    limit = settings.max_length
    filled = tuple((row.line, len(row.prompt_ids)) for row in rows if len(row.prompt_ids) >= limit)
    empty = tuple(row.line for row in rows if not row.completion_ids and len(row.prompt_ids) < limit)
    kept = [row for row in rows if len(row.prompt_ids) < limit and row.completion_ids]
    skipped: tuple[tuple[int, int], ...] = ()
    if settings.long_rows == "skip":
        skipped = tuple((row.line, row.length) for row in kept if row.length > limit)
        kept = [row for row in kept if row.length <= limit]
    windows = mix_labels(kept, seed=settings.seed, size=settings.effective_batch, least=max(2, settings.ranks))
    if settings.limit is not None:
        windows = _first(windows, settings.limit)
    single = None
    if settings.kl and windows and len(windows[-1]) == 1:
        single = windows.pop()[0].line
    used = [row for window in windows for row in window]
    paired = tuple(pair(window, max_length=limit, kl=settings.kl) for window in windows)
    return Prepared(
        windows=paired,
        filled=filled,
        skipped=skipped,
        empty=empty,
        cut=tuple(sorted(row.line for row in used if row.length > limit)),
        prompts_shortened=sum(row.lost_prompt > 0 for row in used),
        single=single,
        merged=max(0, len(windows[-1]) - settings.effective_batch) if windows else 0,
        own=sum(row.kl_completion_ids == row.completion_ids for window in paired for row in window),
        fingerprint=key,
    )


def _first(windows: list[list[TokenRow]], rows: int) -> list[list[TokenRow]]:
    """Whole windows with at most ``rows`` rows in all, at least one window."""
    kept: list[list[TokenRow]] = []
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
        rows: checked rows.
        tokenizer: of the model.
        settings: length policy, window size and seed.
        tokenizer_id: what identifies the tokenizer and its chat template; part of the cache's key.
        cache: folder for results of earlier calls; None reads and writes nothing.
    """
    key = fingerprint(rows, tokenizer_id, settings)
    file = None if cache is None else cache / f"{key}.msgpack"
    if file is not None and (found := _read(file, key)) is not None:
        return found
    prepared = build(tokenize_rows(rows, tokenizer), settings, key=key)
    if file is not None:
        _write(file, prepared)
    return prepared


def _read(file: Path, key: str) -> Prepared | None:
    """The cached result of ``key``; None when it is absent, damaged or another's, so that it is made again."""
    try:
        content = file.read_bytes()
        if hashlib.sha256(content[DIGEST_BYTES:]).digest() != content[:DIGEST_BYTES]:
            return None
        found = msgspec.msgpack.decode(content[DIGEST_BYTES:], type=Prepared)
        os.utime(file)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found if found.fingerprint == key else None


def _write(file: Path, prepared: Prepared) -> None:
    """A cache that can't be written costs time, never a run."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        content = msgspec.msgpack.encode(prepared)
        write_atomically(file, hashlib.sha256(content).digest() + content)
        keep_newest(file.parent, "*.msgpack", KEPT_FILES)
    except OSError:
        return
