"""Rows for the checks, and what the checks say about them."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from kto_tui.choices import DataChoices
from kto_tui.data.checks.cheap import Context, cheap_findings
from kto_tui.data.checks.facts import Facts, Flag
from kto_tui.data.checks.finding import Finding
from kto_tui.data.checks.passing import flags_of, hashes_of
from kto_tui.data.checks.texts import Seen, TextChecks
from kto_tui.data.labels import Reading, Scalar, read_labels
from kto_tui.data.rows import Message, text_of
from kto_tui.data.shapes.form import RawRow

FILE = "rows.jsonl"
AS_FOUND = DataChoices()


def row(
    completion: str = "Because the sky scatters blue light.", *, prompt: str = "Why?", label: Scalar = True
) -> RawRow:
    return RawRow(prompt, completion, label)


def chat(completion: str, *before: str, label: Scalar = True, system: str = "") -> RawRow:
    """``before``: turns of user and assistant in turn."""
    turns = [Message("assistant" if i % 2 else "user", text) for i, text in enumerate(before)]
    return RawRow(
        (*([Message("system", system)] if system else []), *turns), (Message("assistant", completion),), label
    )


def facts_of(rows: Iterable[RawRow | Flag]) -> Facts:
    """As a scan would gather them; a flag stands for a record that yields no row. Row n is on line n."""
    facts = Facts()
    for line, raw in enumerate(rows, start=1):
        if isinstance(raw, Flag):
            facts.add(0, line, 0, raw, 7, 8, (0, 9))
            continue
        lengths = len(text_of(raw.prompt)), len(text_of(raw.completion))
        facts.add(0, line, facts.code(raw.label), flags_of(raw), *hashes_of(raw), lengths)
    return facts


def reading_of(rows: Iterable[RawRow | Flag]) -> Reading:
    return read_labels(Counter(raw.label for raw in rows if isinstance(raw, RawRow)))


def cheap(rows: Sequence[RawRow | Flag], choices: DataChoices = AS_FOUND, **context: Any) -> dict[str, Finding]:
    """The cheap findings by id."""
    found = cheap_findings(facts_of(rows), Context(reading_of(rows), (FILE,), choices=choices, **context))
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}


def seen(rows: Iterable[RawRow]) -> list[Seen]:
    listed = list(rows)
    reading = reading_of(listed)
    return [Seen(i, f"{FILE}:{i}", raw, reading.label(raw.label)) for i, raw in enumerate(listed, start=1)]


def texts(rows: Iterable[RawRow], *, looked_at: int | None = None) -> dict[str, Finding]:
    """The findings of the dear checks by id."""
    checks = TextChecks()
    for one in seen(rows):
        checks.see(one)
    found = checks.findings(looked_at=looked_at)
    assert len({one.id for one in found}) == len(found)
    return {one.id: one for one in found}
