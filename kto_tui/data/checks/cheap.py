"""The checks that need no text: they are computed from ``Facts``, for all rows of a source at once."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import msgspec

from kto_tui.choices import DataChoices
from kto_tui.data.checks.balance import blocks, length_rule, weight_needed
from kto_tui.data.checks.facts import OTHER, UNLABELLED, Facts, Flag
from kto_tui.data.checks.finding import SHOWN_PLACES, SHOWN_ROWS, Finding, Severity
from kto_tui.data.checks.fixes import FIXES, keep
from kto_tui.data.checks.repeats import overlapping, repeats
from kto_tui.data.checks.sound import BROKEN, NO_LABEL, Judged, judge
from kto_tui.data.checks.wording import said
from kto_tui.data.labels import Reading
from kto_tui.methods import Method
from kto_tui.units import percent

if TYPE_CHECKING:
    import numpy as np


class Context(msgspec.Struct, frozen=True):
    """What the checks know besides the facts.

    Attributes:
        reading: of the labels.
        files: base names that ``Columns.file`` counts.
        effective_batch: rows per optimizer step; None: unknown.
        heldout: of the rows that must not be trained on.
        method: that trains on the rows.
        choices: rows that are excluded are not looked at, flipped labels are looked at flipped; what concerns all
            rows together is computed from those that are trained on.
    """

    reading: Reading
    files: tuple[str, ...]
    effective_batch: int | None = None
    heldout: Facts | None = None
    choices: DataChoices = DataChoices()
    method: Method = "kto"


def cheap_findings(facts: Facts, context: Context) -> list[Finding]:
    """What ``facts`` show to be wrong."""
    if not len(facts):
        return []
    judged = judge(facts, context.reading, context.choices)
    kept = keep(facts, context.reading, context.choices, heldout=context.heldout) & judged.sound
    scribe = _Scribe(judged, context)
    return [
        *_broken(scribe, facts),
        *_repeats(scribe),
        *_together(scribe, kept),
    ]


class _Scribe:
    """Writes findings about rows."""

    def __init__(self, judged: Judged, context: Context) -> None:
        self.judged = judged
        self.context = context

    def about(
        self, name: str, severity: Severity, rows: "np.ndarray", title: str, why: str, count: int | None = None
    ) -> Finding:
        """A finding about ``rows``, a boolean per row or their indices."""
        import numpy as np

        index = np.flatnonzero(rows) if rows.dtype == bool else rows
        columns, files = self.judged.columns, self.context.files
        fix = FIXES.get(name)
        return Finding(
            id=name,
            severity=severity,
            count=len(index) if count is None else count,
            title=title,
            why=why,
            rows=tuple((index[:SHOWN_ROWS] + 1).tolist()),
            places=tuple(f"{files[columns.file[i]]}:{columns.line[i]}" for i in index[:SHOWN_PLACES].tolist()),
            fix=None if fix is None else fix.what,
        )


_FLAGS: tuple[tuple[str, Flag, Severity, str, str, str], ...] = (
    (
        "unreadable", Flag.UNREADABLE, "error", "record cannot be read", "records cannot be read",
        "Nothing can be learnt from what cannot be read, and feedback lost unseen shifts the balance of labels",
    ),
    (
        "roles", Flag.ROLES, "error", "chat has wrong roles or no answer of the assistant",
        "chats have wrong roles or no answer of the assistant",
        "KTO judges one answer of the assistant to what came before it",
    ),
    (
        "empty_prompt", Flag.EMPTY_PROMPT, "error", "row has an empty prompt", "rows have empty prompts",
        "KTO judges an answer to a prompt; without one it would be judged for every question",
    ),
    (
        "empty_completion", Flag.EMPTY_COMPLETION, "error", "row has an empty completion",
        "rows have empty completions",
        "KTO raises or lowers the probability of the answer's tokens, and an empty answer has none",
    ),
    (
        "repeats_prompt", Flag.REPEATS_PROMPT, "warning", "completion begins by repeating its prompt",
        "completions begin by repeating their prompt",
        "The loss covers every token of the completion, so the model is judged for repeating questions",
    ),
)  # fmt: skip


def _broken(scribe: _Scribe, facts: Facts) -> Iterator[Finding]:
    judged = scribe.judged
    flags, code = judged.columns.flags, judged.columns.code
    readable = judged.present & ((flags & int(BROKEN)) == 0)
    for name, flag, severity, one, many, why in _FLAGS:
        rows = judged.present & ((flags & int(flag)) != 0)
        if count := int(rows.sum()):
            yield scribe.about(name, severity, rows, said(count, one, many), why)
    nothing = readable & (judged.label == NO_LABEL)
    rows = nothing & (code == UNLABELLED)
    if count := int(rows.sum()):
        title = said(count, "row has no label", "rows have no label")
        yield scribe.about(
            "missing_label", "error", rows, title,
            "KTO learns from thumbs up and thumbs down, and a row without is neither; SFT can imitate such rows as good"
            " answers (--method sft --unlabelled good, u on the Data screen)",
        )  # fmt: skip
    rows = nothing & (code != UNLABELLED)
    if count := int(rows.sum()):
        first = int(code[rows.argmax()])
        value = "" if first == OTHER else f", such as {str(facts.values[first - 1])[:30]!r}"
        title = said(count, "row has a label that says", "rows have labels that say") + f" neither good nor bad{value}"
        yield scribe.about(
            "unparsable_label", "error", rows, title,
            "Read the wrong way round, a label pushes the model away from what people liked",
        )  # fmt: skip


def _repeats(scribe: _Scribe) -> Iterator[Finding]:
    judged, heldout = scribe.judged, scribe.context.heldout
    columns, label, sound = judged.columns, judged.label, judged.sound
    found = repeats(columns.content, label, sound)
    if count := int(found.conflicting.sum()):
        title = f"{said(count, 'row has', 'rows have')} both labels for the same answer"
        why = "KTO would raise and lower the probability of the same answer, which teaches nothing but noise"
        yield scribe.about("conflicting_labels", "warning", found.conflicting, title, why)
    if count := int(found.copies.sum()):
        title = said(count, "row repeats an earlier one", "rows repeat earlier ones")
        why = "Each copy counts as one more judgement, and copies in one batch spoil the KL term's mismatched pairs"
        yield scribe.about("exact_duplicates", "warning", found.copies, title, why)
    if heldout is None or not len(heldout):
        return
    prompts, answers = overlapping(columns, sound, heldout)
    if count := int(prompts.sum()):
        title = said(count, "row has the prompt of a held-out row", "rows have prompts of held-out rows")
        if same := int((prompts & answers).sum()):
            title += f", {said(same, 'of them its answer', 'of them their answers')} too"
        why = "Held-out rewards then show what the model remembers and not what it learnt"
        yield scribe.about("heldout_overlap", "warning", prompts, title, why)


def _together(scribe: _Scribe, kept: "np.ndarray") -> Iterator[Finding]:
    """What concerns the rows that are trained on as a whole."""
    import numpy as np

    index = np.flatnonzero(kept)
    label = scribe.judged.label[index]
    rows, good = len(index), int((label == 1).sum())
    bad, batch = rows - good, scribe.context.effective_batch
    if scribe.context.method == "sft":
        if rows and not good:
            title = said(
                rows, "row can be trained on, and it is undesirable", "rows can be trained on, and all are undesirable"
            )
            yield scribe.about("one_label", "error", index, title, "SFT imitates good answers, and here is none")
        elif bad:
            title = f"{said(bad, 'row is', 'rows are')} labelled bad and not trained on"
            why = "SFT imitates the good answers; KTO learns from what is wrong with the others too"
            yield scribe.about("not_imitated", "hint", index[label == 0], title, why)
        index, rows = index[label == 1], good
    elif rows and not (good and bad):
        only = "desirable" if good else "undesirable"
        title = said(rows, f"row can be trained on, and it is {only}", f"rows can be trained on, and all are {only}")
        why = "KTO learns what is good from what is bad; pushed in one direction only, the model just drifts"
        if good:
            why += " (SFT imitates good answers: --method sft, u on the Data screen)"
        yield scribe.about("one_label", "error", index, title, why)
    if rows and batch is not None and rows < 2 * batch:
        fill = "not even one batch" if rows < batch else "one batch only"
        title = f"{said(rows, 'row fills', 'rows fill')} {fill} of {batch:,}"
        why = "An epoch is a single optimizer step then"
        if scribe.context.method == "kto":
            why += ", and the KL term is estimated from these few answers"
        yield scribe.about("few_rows", "warning" if rows < batch else "hint", index, title, why)
    if good and bad and scribe.context.method == "kto":
        yield from _balance(scribe, index, label, good)
        yield from _order(scribe, index, label)


def _balance(scribe: _Scribe, index: "np.ndarray", label: "np.ndarray", good: int) -> Iterator[Finding]:
    bad = len(index) - good
    if needed := weight_needed(good, bad):
        few, many = ("desirable", "undesirable") if good < bad else ("undesirable", "desirable")
        rare = index[label == int(good < bad)]
        title = f"{said(len(rare), f'{few} row stands', f'{few} rows stand')} against {max(good, bad):,} {many}"
        why = (
            f"Eq. 8 would have each weigh {needed:.0f}-fold, so that what is peculiar to these few rows would be learnt"
        )
        yield scribe.about("imbalance", "warning", rare, title, why)
    rule = length_rule(scribe.judged.columns.completion_characters[index], label)
    if rule is not None:
        how, which = ("shorter", "up to") if rule.shorter_is_better else ("longer", "over")
        told = f"{percent(rule.accuracy)} of the labels (chance: {percent(0.5)})"
        title = f"Length alone tells {told}: {which} {rule.characters:,} characters is desirable"
        why = f"KTO would learn to write {how} answers, whether or not they are better"
        yield scribe.about("length_predicts_label", "warning", index, title, why)


def _order(scribe: _Scribe, index: "np.ndarray", label: "np.ndarray") -> Iterator[Finding]:
    if found := blocks(label):
        starts, expected = found
        title = f"Labels come in {said(len(starts), 'block', 'blocks')}; a mixed order would have about {expected:,.0f}"
        why = (
            "Each KTO step needs both labels; training shuffles the rows by itself, with the recipe's seed, so there is"
            " nothing to be done"
        )
        yield scribe.about("sorted_labels", "hint", index[starts], title, why)
