"""``data show``: one row as it was found, as it is read, and as a model sees it."""

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.text import Text as Styled

from kto_tui.choices import DataChoices
from kto_tui.commands.data.progress import progress
from kto_tui.commands.data.report import HEAD, READ_AS, put, shown
from kto_tui.commands.data.tokens import tokenizer_of
from kto_tui.commands.printing import print_json
from kto_tui.data.checks.cheap import Context, cheap_findings
from kto_tui.data.checks.facts import Facts
from kto_tui.data.checks.finding import Finding
from kto_tui.data.checks.passing import flags_of, hashes_of
from kto_tui.data.checks.seen import Seen
from kto_tui.data.checks.texts import TextChecks
from kto_tui.data.labels import Reading
from kto_tui.data.rows import Row, text_of
from kto_tui.data.scan import scan
from kto_tui.data.shapes.form import RawRow, Text
from kto_tui.data.shown import Browser, ShownRow
from kto_tui.data.sources import for_training
from kto_tui.data.tokens.rendered import Rendered
from kto_tui.errors import UserError
from kto_tui.plain import escaped

STYLES = {"special": "bold cyan", "completion": "green", "prompt": "", "cut": "dim"}
# What a row alone shows; that all rows have one label, say, is no problem of any of them.
TOGETHER = {"one_label"}


def show(data: str, number: int, choices: DataChoices, model: str | None, *, as_json: bool) -> int:
    """Print a row.

    Raises:
        UserError: there is no such row, or the model's tokenizer is not on this machine.
    """
    path, reading = for_training(data, choices)
    with tokenizer_of(model) as tokenizer:
        with progress() as tell:
            rows = Browser(scan(path, reading, tell).path, choices)
        if not 1 <= number <= len(rows):
            raise UserError(f"There is no row {number:,}", mend=f"Name one from 1 to {len(rows):,}", where=str(path))
        row = rows.row(number)
        found = _findings(row, rows.reading)
        rendered = refused = None
        if tokenizer is not None and not row.problem:
            try:
                rendered = tokenizer.render(Row(row.prompt, row.completion, bool(row.label), 0, number, row.tools))
            except UserError as error:  # its chat template takes no such row; that is worth seeing
                refused = f"{error.what}. {error.mend}."
    if as_json:
        print_json(_record(row, len(rows), found) | {"rendered": rendered, "refused": refused})
        return 0
    _print(row, len(rows), found)
    if rendered is not None:
        _print_rendered(rendered)
    if refused is not None:
        put("ERROR", refused)
    return 0


def _findings(row: ShownRow, reading: Reading) -> list[Finding]:
    """What is wrong with the row by itself."""
    if row.problem:
        return []
    raw = RawRow(row.prompt, row.completion, row.value, row.tools)
    facts = Facts()
    lengths = len(text_of(row.prompt)), len(text_of(row.completion))
    facts.add(0, 1, facts.code(row.value), int(flags_of(raw)), *hashes_of(raw), lengths)
    checks = TextChecks()
    checks.see(Seen(row.number, row.place, raw, row.label))
    cheap = cheap_findings(facts, Context(reading=reading, files=(row.place,)))
    return [*(one for one in cheap if one.id not in TOGETHER), *checks.findings(looked_at=None)]


def _record(row: ShownRow, rows: int, found: list[Finding]) -> dict[str, Any]:
    """The row's own fields, how many ``rows`` there are, ``checks`` by id, severity and title."""
    checks = [{"id": one.id, "severity": one.severity, "title": one.title} for one in found]
    return {**msgspec.to_builtins(row), "rows": rows, "checks": checks}


def _print(row: ShownRow, rows: int, found: list[Finding]) -> None:
    put("Row", f"{row.number:,} of {rows:,}, {row.place}")
    if row.problem:
        put("Problem", row.problem)
        if row.completion:
            _print_text("Found", row.completion)
        return
    put("Label", f"{shown(row.value)}, read as {READ_AS[row.label]}")
    for finding in found:
        put(finding.severity.upper(), f"{finding.title} [{finding.id}]")
    _print_text("Prompt", row.prompt)
    _print_text("Completion", row.completion)
    if row.tools:
        _print_text("Tools", row.tools)


def _print_text(head: str, text: Text) -> None:
    """Each line as it is, beside the heading; each message below its role."""
    said = text if isinstance(text, str) else "\n".join(map(_message, text))
    for i, line in enumerate(said.split("\n")):
        sys.stdout.write(f"{'' if i else head:{HEAD}}{escaped(line, keep=chr(9))}".rstrip() + "\n")


def _message(message: Any) -> str:  # noqa: ANN401 - kto_tui.data.rows.Message
    more = {"calls": message.tool_calls, "name": message.name, "for": message.tool_call_id}
    said = "".join(f" [{name} {value}]" for name, value in more.items() if value)
    return f"{message.role}:{said} {message.content}"


def _print_rendered(rendered: Rendered) -> None:
    """What the template makes of it, special tokens as they are written, and what the loss is computed on."""
    console = Console(highlight=False, soft_wrap=True)
    for head, count, trained in (
        ("As prompt", rendered.prompt_tokens, False), ("As answer", rendered.completion_tokens, True),
    ):  # fmt: skip
        put(head, f"{count:,} tokens{', trained on' if trained else ''}")
        pieces = [
            (escaped(one.text, keep="\n\t"), STYLES[one.kind]) for one in rendered.pieces if one.trained is trained
        ]
        console.print(Styled.assemble(*pieces))
    if rendered.lost_prompt:
        put("Note", f"the template leaves out {rendered.lost_prompt} tokens of the prompt once an answer follows")
