"""One row by role, cut to the lines there are: every part keeps its share, so the answer is always in sight."""

from collections.abc import Callable, Sequence

from textual.content import Content
from textual.geometry import Size
from textual.widgets import Static

from kto_tui.data.shown import ShownRow
from kto_tui.tui.visible import parts, visible

ROLE = 13  # cells of a role's name
SHOWN_TURNS = 12  # of a longer conversation the last
MARK = "> "  # before the role of what is judged
AROUND = 80  # characters shown before a change
WHEN = ("before", f"{MARK}after")
# Who says it, and what.
Block = tuple[str, str]
Look = Callable[[int], tuple[Content, Sequence[Block]] | None]
LEAST = 4  # lines that make another row worth showing


class RowView(Static):
    """A row below lines that say what it is; where room is left, the rows after it."""

    def __init__(self) -> None:
        super().__init__(id="rows")
        self._look: Look = lambda _: None

    def show(self, look: Look) -> None:
        """Draw other rows. ``look``: gives the row at hand for 0, those after it for 1 and more, None at the end."""
        self._look = look
        self._draw(self.size)

    def on_resize(self) -> None:
        """As much as there is room for."""
        self._draw(self.size)

    def _draw(self, size: Size) -> None:
        lines: list[Content] = []
        at = 0
        while size.width > ROLE + 2 and size.height - len(lines) >= (LEAST if at else 1):
            if (found := self._look(at)) is None:
                break
            heading, blocks = found
            lines += [Content("")] * (at > 0) + heading.wrap(size.width)
            lines += lay_out(blocks, size.width, size.height - len(lines))
            at += 1
        self.update(Content("\n").join(lines))


def blocks_of(row: ShownRow) -> list[Block]:
    """Who says what: what was asked, then what is judged, marked."""
    if row.problem:
        record = str(row.completion)
        return [("no row", row.problem), *([("record", record)] if record else [])]
    asked = parts(row.prompt, "prompt")
    if len(asked) > SHOWN_TURNS:
        hidden = len(asked) - SHOWN_TURNS
        asked = [("", f"[{hidden:,} earlier turns]"), *asked[hidden:]]
    tools = [("tools", row.tools)] if row.tools else []
    judged = [(f"{MARK}{role}", text) for role, text in parts(row.completion, "completion")]
    return [*tools, *asked, *judged[:SHOWN_TURNS]]


def changed_blocks(before: ShownRow, after: ShownRow) -> list[Block]:
    """The texts that differ, before and after, from shortly before they do."""
    pairs = list(zip(blocks_of(before), blocks_of(after), strict=False))
    changed = [(role, old, new) for (role, old), (_, new) in pairs if old != new]
    found = []
    for role, *both in changed:
        old, new = both
        same = next((i for i, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), min(len(old), len(new)))
        start = max(0, same - AROUND)
        found += [(role, "")] if len(changed) > 1 else []
        found += [(when, ("…" if start else "") + text[start:]) for when, text in zip(WHEN, both, strict=True)]
    return found


def lay_out(found: Sequence[Block], width: int, height: int) -> list[Content]:
    """Blocks in at most ``height`` lines of ``width`` cells."""
    room = width - ROLE
    # Nobody reads more than the screen holds, and laying out megabytes would freeze it.
    enough = max(200, room * max(1, height))
    wrapped = [Content(visible(text[:enough])).wrap(room) for _, text in found]
    granted = share([len(lines) for lines in wrapped], height)
    drawn: list[Content] = []
    for (role, text), lines, count in zip(found, wrapped, granted, strict=True):
        kept = _cut(lines, count, len(text), room, whole=len(text) <= enough)
        style = "bold" if role.startswith(MARK) else "dim"
        for i, line in enumerate(kept):
            drawn.append(Content.assemble((role.ljust(ROLE) if i == 0 else " " * ROLE, style), line))
    return drawn


def _cut(lines: Sequence[Content], count: int, characters: int, room: int, *, whole: bool) -> list[Content]:
    """The first ``count`` lines; the last says how long the text is when it goes on."""
    kept = list(lines[:count])
    if kept and (len(lines) > count or not whole):
        note = f"… [{characters:,} characters]"
        cut = kept[-1].truncate(max(0, room - len(note) - 1)) + Content.assemble(" ", (note, "dim"))
        kept[-1] = cut.truncate(room)
    return kept


def share(wanted: Sequence[int], room: int) -> list[int]:
    """``room`` lines among blocks that want so many each: the short ones whole, the rest alike."""
    granted = [0] * len(wanted)
    # One for each, the last first: when there is not a line for all, the answer has its own.
    for i in reversed(range(len(wanted))):
        granted[i] = min(wanted[i], 1, room)
        room -= granted[i]
    order = sorted(range(len(wanted)), key=lambda i: wanted[i])
    for done, i in enumerate(order):
        more = min(wanted[i] - granted[i], -(-room // (len(wanted) - done)))
        granted[i] += more
        room -= more
    return granted
