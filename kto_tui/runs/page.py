"""One page on a run, as Markdown with its curves beside it: for whoever was not there."""

import re
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from kto_tui import __version__, units
from kto_tui.paths import with_tilde
from kto_tui.plain import escaped
from kto_tui.recipe import fields_of
from kto_tui.recipe_text import show_value
from kto_tui.runs.compare import NONE, choices, outcome, outcome_rows, run_picture
from kto_tui.runs.events import Evaluated, Marked, MemoryRanOut, Noted, PeakMeasured, Resumed
from kto_tui.runs.export import require_new, write_new
from kto_tui.runs.folder import RunFolder, folder_bytes
from kto_tui.runs.heldout_words import best_of, name_of
from kto_tui.runs.reading import Reading
from kto_tui.runs.report import answers_side_by_side, event_line, imitates
from kto_tui.runs.verdicts import healthy, judge

SHOWN_EVALUATIONS = 8
SHOWN_NOTES = 12
OF_REWARDS = {"Reward margin", "KL"}
TOLD = (Noted, Marked, Resumed, MemoryRanOut, PeakMeasured)
# What Markdown or HTML would read as its own.
_SPECIAL = re.compile(r"([\\`*_{}\[\]<>#|~])")
# Tokens of the hub, of W&B and of others, should one ever have got into a text.
_SECRET = re.compile(r"\b(hf_|sk-|gh[pousr]_|wandb_v\d_)[A-Za-z0-9_-]{16,}")


def write_page(run: RunFolder, path: Path, *, force: bool) -> tuple[Path, Path]:
    """Write the page to ``path`` and its curves beside it, each whole or not at all; returns both paths.

    Raises:
        UserError: one of them exists and is not to be replaced, or cannot be written.
    """
    picture = path.with_suffix(".svg")
    require_new([path, picture], force=force)
    reading = Reading(run)
    reading.read()
    svg, text = run_picture(reading).encode(), markdown(reading, picture.name).encode()
    write_new(picture, lambda file: file.writelines([svg]), force=force)
    write_new(path, lambda file: file.writelines([text]), force=force)
    return path, picture


def markdown(one: Reading, picture: str) -> str:
    """The page; ``picture``: file name of the curves. Home folders are ``~``, and no access token is in it."""
    return "\n\n".join(_sections(one, picture)) + "\n"


def _sections(one: Reading, picture: str) -> Iterator[str]:
    state, about = one.state, one.about
    yield f"# {_plain(one.name)}"
    yield _opening(one)
    if about.note:
        yield _quoted(about.note)
    yield "## Outcome"
    figures = outcome_rows(outcome(one))
    if imitates(state):
        figures = {name: text for name, text in figures.items() if name not in OF_REWARDS}
    yield _table(("Figure", "Value"), figures.items())
    means = "Loss is the mean" if imitates(state) else "Loss, margin and KL are means"
    yield f"{means} of the last tenth of the steps."
    yield "## How it went"
    yield _verdicts(one)
    yield f"![Curves of {_plain(one.name)}](<{picture}>)"
    if state.evaluations:
        yield "## Held-out rows"
        yield _evaluations(state.evaluations)
    if answers := answers_side_by_side(state):
        yield "## Answers"
        for prompt, base, tuned in answers:
            yield f"**{_plain(prompt)}**\n\n- base: {_plain(base)}\n- tuned: {_plain(tuned)}"
    if state.adapter is not None:
        yield "## Adapter"
        there = Path(state.adapter.path).is_dir()
        size = folder_bytes(Path(state.adapter.path)) if there else state.adapter.size_bytes
        yield f"{_plain(state.adapter.path)}, {units.size(size)}" + ("" if there else ", no longer there")
    yield "## Choices in force"
    yield from _choices(one)
    if state.adjustments:
        yield "## Changed while it ran"
        yield _items((event_line(event, state), event.t) for event in state.adjustments)
    if told := [note for note in state.notes if isinstance(note, TOLD)]:
        yield "## Notes"
        yield _items((event_line(event, state), event.t) for event in told[-SHOWN_NOTES:])
    yield f"Written by kto-tui {__version__} on {_day(time.time())}."


def _opening(one: Reading) -> str:
    state, about = one.state, one.about
    words = [f"Run `{one.run.id}`, {one.run.status(state)}"]
    if state.started is not None:
        words.append(f"begun {_day(state.started.t)}")
    if about.tags:
        words.append("tags " + ", ".join(map(_plain, about.tags)))
    ended = "" if state.ended is None or not state.ended.message else f" {_plain(state.ended.message)}"
    return ", ".join(words) + "." + ended


def _verdicts(one: Reading) -> str:
    found = [] if one.config is None else judge(one.curves, one.state, one.config.recipe)
    if found:
        return "\n".join(f"- **{_sentence(verdict.sentence)}** {_sentence(verdict.advice)}" for verdict in found)
    return _sentence(healthy(one.curves, one.state) or "There is too little to judge it by")


def _sentence(text: str) -> str:
    return f"{_plain(text).rstrip('.')}."


def _evaluations(evaluations: Sequence[Evaluated]) -> str:
    """The newest, and the best where that is an earlier one."""
    shown = list(evaluations[-SHOWN_EVALUATIONS:])
    top = best_of(evaluations)
    if top not in shown:
        shown.insert(0, top)
    if name_of(top.accuracy, top.loss) == "loss":
        losses = ((str(one.step), units.metric(one.loss), str(one.rows)) for one in shown)
        return _table(("Step", "Loss", "Rows"), losses)
    rows = [
        (
            str(one.step),
            units.percent(one.accuracy),
            units.percent(one.accuracy_desirable),
            units.percent(one.accuracy_undesirable),
            units.metric(one.margin, 2, signed=True),
            str(one.rows),
        )
        for one in shown
    ]
    return _table(("Step", "Accuracy", "Desirable", "Undesirable", "Margin", "Rows"), rows)


def _choices(one: Reading) -> Iterator[str]:
    config = one.config
    told = choices(one)
    if config is None:
        yield "The run's configuration cannot be read."
    else:
        fields = fields_of(config.recipe.method)
        because = {field.label: config.because.get(field.name, "") for field in fields}
        labels = {field.label: show_value(field, getattr(config.recipe, field.name)) for field in fields}
        yield _table(("Setting", "Value", "Because"), ((name, text, because[name]) for name, text in labels.items()))
        told = {name: text for name, text in told.items() if name not in labels}
        told["Data fingerprint"] = config.data_fingerprint or units.UNKNOWN
    yield "## Model, data, versions"
    yield _table(("What", "Which"), ((name, text) for name, text in told.items() if text != NONE))


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [" | ".join(columns), " | ".join("---" for _ in columns), *(" | ".join(map(_plain, row)) for row in rows)]
    return "\n".join(f"| {line} |" for line in lines)


def _items(lines: Iterable[tuple[str | None, float]]) -> str:
    return "\n".join(f"- {_day(t)} {_plain(line)}" for line, t in lines if line)


def _quoted(text: str) -> str:
    return "\n".join(f"> {_plain(line)}  " for line in text.splitlines())


def _plain(text: str) -> str:
    """``text`` on one line, shown as it is but for what is private."""
    public = _SECRET.sub("[hidden]", with_tilde(" ".join(text.split())))
    return _SPECIAL.sub(r"\\\1", escaped(public))


def _day(unix_seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(unix_seconds))
