"""The checks that look at texts; they see a sample of a large source, or every row on request."""

from array import array
from collections.abc import Callable, Iterator

import msgspec

from kto_tui.data.checks.characters import control_in, scrambled_in
from kto_tui.data.checks.finding import SHOWN_PLACES, SHOWN_ROWS, Finding, Severity
from kto_tui.data.checks.fixes import FIXES
from kto_tui.data.checks.languages import language_of
from kto_tui.data.checks.near import THRESHOLD, Sketches
from kto_tui.data.checks.parts import ending, texts
from kto_tui.data.checks.private import PRIVATE, Private
from kto_tui.data.checks.seen import Seen
from kto_tui.data.checks.template import token_in
from kto_tui.data.checks.truncated import is_truncated
from kto_tui.data.checks.wording import said
from kto_tui.units import count, percent

__all__ = ["Seen", "TextChecks"]
SHOWN_LANGUAGES = 3


class TextCheck(msgspec.Struct, frozen=True):
    """A check of each text alone.

    Attributes:
        example: what it finds in a text, ready to be shown; None where there is nothing.
        one: the title's words for one row; ``many``: for several.
    """

    id: str
    severity: Severity
    example: Callable[[str], str | None]
    one: str
    many: str
    why: str


def _private(kind: Private) -> TextCheck:
    why = "A model can say word for word what it was trained on, desirable answers above all"
    return TextCheck(kind.id, "hint", kind.example, f"row holds {kind.what}", f"rows hold {kind.what}", why)


CHECKS = (
    TextCheck(
        "template_tokens", "warning", token_in, "row holds chat-template tokens", "rows hold chat-template tokens",
        "The template puts such tokens round each turn, so here they end turns early or are learnt as text; only plain"
        " rows rendered for this very model need theirs",
    ),
    TextCheck(
        "mojibake", "warning", scrambled_in, "row has garbled characters", "rows have garbled characters",
        "Text decoded with the wrong encoding becomes rare tokens, which the model learns to write or to avoid",
    ),
    TextCheck(
        "control_characters", "warning", control_in, "row has control characters", "rows have control characters",
        "They are tokens nobody sees, and the model learns to write or to avoid them",
    ),
    *map(_private, reversed(PRIVATE)),
)  # fmt: skip


class _Hits:
    """The rows a check found."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[tuple[int, str]] = []
        self.example = ""

    def add(self, number: int, place: str, example: str = "") -> None:
        """One more row. ``place``: as of ``Seen``."""
        self.count += 1
        if self.count <= SHOWN_ROWS:
            self.first.append((number, place))
        self.example = self.example or example


class TextChecks:
    """Looks at rows one after another; what they say together comes at the end."""

    def __init__(self) -> None:
        self._hits = {check.id: _Hits() for check in CHECKS}
        self._truncated = _Hits()
        self._languages: dict[str, _Hits] = {}
        self._sketches = Sketches()
        self._places = _Places()

    def see(self, seen: Seen) -> None:
        """The next row."""
        found = list(texts(seen.raw))
        for check in CHECKS:
            for text in found:
                if (example := check.example(text)) is not None:
                    self._hits[check.id].add(seen.number, seen.place, example)
                    break
        end = ending(seen.raw.completion)
        if is_truncated(end):
            self._truncated.add(seen.number, seen.place)
        if language := language_of(end):
            self._languages.setdefault(language, _Hits()).add(seen.number, seen.place)
        self._sketches.see(seen)
        self._places.see(seen)

    def findings(self, *, looked_at: int | None) -> list[Finding]:
        """What was found.

        Args:
            looked_at: rows that were seen, where they are a sample; None: they are all.
        """
        found = [*self._alone(), self._cut(), self._near(), self._mixed()]
        return [msgspec.structs.replace(one, looked_at=looked_at) for one in found if one is not None]

    def _alone(self) -> Iterator[Finding | None]:
        for check in CHECKS:
            hits = self._hits[check.id]
            title = f"{said(hits.count, check.one, check.many)}, such as {hits.example}"
            yield _finding(check.id, check.severity, hits, title, check.why)

    def _cut(self) -> Finding | None:
        title = said(self._truncated.count, "completion breaks off", "completions break off")
        why = "Where an answer ends is learnt too: a desirable one that breaks off teaches the model to break off"
        return _finding("truncated", "warning", self._truncated, title, why)

    def _near(self) -> Finding | None:
        hits = _Hits()
        for number in self._sketches.repeats():
            hits.add(number, self._places.of(number) if hits.count < SHOWN_PLACES else "")
        rows = said(hits.count, "row nearly repeats an earlier one", "rows nearly repeat earlier ones")
        title = f"{rows} (same label, prompt and completion each at least {percent(THRESHOLD)} alike)"
        why = "One judgement then counts several times, and neighbours in a batch spoil the KL term's mismatched pairs"
        return _finding("near_duplicates", "warning", hits, title, why)

    def _mixed(self) -> Finding | None:
        if len(self._languages) < 2:
            return None
        main, *others = sorted(self._languages, key=lambda language: -self._languages[language].count)
        hits = _Hits()
        for number, place in sorted(row for language in others for row in self._languages[language].first):
            hits.add(number, place)
        hits.count = sum(self._languages[language].count for language in others)
        hits.first = hits.first[:SHOWN_ROWS]
        told = [f"{count(self._languages[language].count)} {language}" for language in others]
        if len(told) > SHOWN_LANGUAGES + 1:
            told[SHOWN_LANGUAGES:] = ["others"]
        title = f"{said(hits.count, 'completion is', 'completions are')} not in {main}: {', '.join(told)}"
        why = "Where one language has most of the thumbs down, KTO teaches to avoid that language"
        return _finding("mixed_languages", "hint", hits, title, why)


class _Places:
    """Where every row is, in 20 bytes: near duplicates are known only at the end."""

    def __init__(self) -> None:
        self._files: dict[str, int] = {}
        self._rows = array("Q"), array("I"), array("Q")

    def see(self, seen: Seen) -> None:
        """The next row."""
        file, _, line = seen.place.rpartition(":")
        told = seen.number, self._files.setdefault(file, len(self._files)), int(line)
        for column, value in zip(self._rows, told, strict=True):
            column.append(value)

    def of(self, number: int) -> str:
        """The place of a row that was seen."""
        numbers, files, lines = self._rows
        index = numbers.index(number)
        return f"{list(self._files)[files[index]]}:{lines[index]}"


def _finding(name: str, severity: Severity, hits: _Hits, title: str, why: str) -> Finding | None:
    if not hits.count:
        return None
    fix = FIXES.get(name)
    return Finding(
        id=name,
        severity=severity,
        count=hits.count,
        title=title,
        why=why,
        rows=tuple(number for number, _ in hits.first),
        places=tuple(place for _, place in hits.first[:SHOWN_PLACES]),
        fix=None if fix is None else fix.what,
    )
